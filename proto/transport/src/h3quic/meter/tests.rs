use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

const HEADERS: u64 = 0x01;
const UNKNOWN: u64 = 0x21;

fn frame(kind: u64, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint::put(&mut out, kind);
    varint::put(&mut out, body.len() as u64);
    out.extend_from_slice(body);
    out
}

/// All pieces of a chunk, each dropped at once, as h3 does with frames it has decoded.
fn pieces(meter: &mut FrameMeter, chunk: impl Into<Bytes>) -> Result<Vec<Vec<u8>>, Refusal> {
    let mut chunk = chunk.into();
    let mut pieces = Vec::new();
    while let Some(piece) = meter.take(&mut chunk)? {
        pieces.push(piece.to_vec());
    }
    Ok(pieces)
}

#[test]
fn a_piece_ends_where_its_frame_ends() {
    let mut wire = frame(HEADERS, b"hhh");
    wire.extend(frame(DATA, b"dd"));
    wire.extend(frame(DATA, b"d"));
    let pieces = pieces(&mut FrameMeter::new(), wire).unwrap();
    assert_eq!(pieces, [&b"\x01\x03hhh"[..], &[0, 2], b"dd", &[0, 1], b"d"]);
}

#[test]
fn empty_data_frames_are_left_out() {
    let mut wire = frame(DATA, b"").repeat(1000);
    wire.extend(frame(DATA, b"d"));
    assert_eq!(pieces(&mut FrameMeter::new(), wire).unwrap(), [&[0, 1][..], b"d"]);
}

#[test]
fn half_a_gigabyte_is_refused_by_its_announcement() {
    for kind in [HEADERS, UNKNOWN] {
        let mut wire = Vec::new();
        varint::put(&mut wire, kind);
        varint::put(&mut wire, 512 << 20);
        let refusal = pieces(&mut FrameMeter::new(), wire).unwrap_err();
        assert_eq!(refusal, Refusal::TooLong { length: 512 << 20 });
    }
}

#[test]
fn data_may_be_as_long_as_it_likes() {
    let mut wire = Vec::new();
    varint::put(&mut wire, DATA);
    varint::put(&mut wire, 512 << 20);
    let mut meter = FrameMeter::new();
    pieces(&mut meter, wire).unwrap();
    for _ in 0..16 {
        assert_eq!(pieces(&mut meter, vec![7; 1 << 20]).unwrap().len(), 1);
    }
}

#[test]
fn frames_that_are_let_go_of_may_follow_for_ever() {
    let mut meter = FrameMeter::new();
    for _ in 0..100 {
        pieces(&mut meter, frame(UNKNOWN, &[0; FRAME_LIMIT])).unwrap();
    }
}

#[test]
fn nothing_may_follow_a_frame_that_h3_keeps() {
    for next in [frame(DATA, b"d"), frame(UNKNOWN, b"u")] {
        let mut meter = FrameMeter::new();
        // A GOAWAY without its number: h3 waits for more.
        let kept = meter.take(&mut frame(0x07, b"").into()).unwrap().unwrap();
        assert_eq!(meter.take(&mut next.into()), Err(Refusal::Undecodable));
        drop(kept);
    }
}

#[test]
fn a_frame_comes_out_whole_however_it_arrives() {
    let mut meter = FrameMeter::new();
    let wire = frame(HEADERS, &[9; 300]);
    let (last, rest) = wire.split_last().unwrap();
    for byte in rest {
        assert!(pieces(&mut meter, vec![*byte]).unwrap().is_empty());
    }
    assert_eq!(pieces(&mut meter, vec![*last]).unwrap(), [wire]);
}

#[test]
fn a_header_that_is_cut_off_comes_out_at_the_end() {
    let mut meter = FrameMeter::new();
    assert!(pieces(&mut meter, vec![0x01, 0x80, 0x00]).unwrap().is_empty());
    assert_eq!(meter.rest().unwrap(), &[0x01, 0x80, 0x00][..]);
    assert_eq!(meter.rest(), None);
}

proptest! {
    #[test]
    fn any_split_passes_the_same_bytes(
        frames in vec((prop_oneof![Just(DATA), Just(HEADERS), Just(UNKNOWN)], vec(any::<u8>(), 1..100)), 0..10),
        cuts in vec(1usize..50, 0..100),
    ) {
        let wire: Vec<u8> = frames.iter().flat_map(|(kind, body)| frame(*kind, body)).collect();
        let mut rest = Bytes::from(wire.clone());
        let mut meter = FrameMeter::new();
        let mut seen = Vec::new();
        for cut in cuts {
            seen.extend(pieces(&mut meter, rest.split_to(cut.min(rest.len()))).unwrap().concat());
        }
        seen.extend(pieces(&mut meter, rest).unwrap().concat());
        prop_assert_eq!(seen, wire);
    }
}

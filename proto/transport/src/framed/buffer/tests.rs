use super::*;
use macula_proto::frame::put;
use proptest::collection::vec;
use proptest::prelude::*;

const LIMIT: usize = 1 << 20;

fn encode(frames: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (kind, body) in frames {
        put(&mut out, *kind, body);
    }
    out
}

fn drain(buffer: &mut FrameBuffer) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some((kind, body)) = buffer.next_frame().expect("well-formed frames") {
        frames.push((kind, body.to_vec()));
    }
    frames
}

proptest! {
    #[test]
    fn any_split_gives_the_same_frames(
        frames in vec((any::<u8>(), vec(any::<u8>(), 0..300)), 0..20),
        cuts in vec(1usize..400, 0..200),
    ) {
        let mut wire = Bytes::from(encode(&frames));
        let mut buffer = FrameBuffer::new(LIMIT);
        let mut seen = Vec::new();
        for cut in cuts {
            buffer.push(wire.split_to(cut.min(wire.len())));
            seen.extend(drain(&mut buffer));
        }
        buffer.push(wire);
        seen.extend(drain(&mut buffer));
        prop_assert_eq!(seen, frames);
        prop_assert!(buffer.is_empty());
    }

    #[test]
    fn several_chunks_may_wait(frames in vec((any::<u8>(), vec(any::<u8>(), 0..60)), 0..20), size in 1usize..50) {
        let wire = Bytes::from(encode(&frames));
        let mut buffer = FrameBuffer::new(LIMIT);
        for start in (0..wire.len()).step_by(size) {
            buffer.push(wire.slice(start..wire.len().min(start + size)));
        }
        prop_assert_eq!(drain(&mut buffer), frames);
    }

    #[test]
    fn garbage_never_panics(chunks in vec(vec(any::<u8>(), 0..64), 0..20)) {
        let mut buffer = FrameBuffer::new(100);
        for chunk in chunks {
            buffer.push(Bytes::from(chunk));
            while let Ok(Some(_)) = buffer.next_frame() {}
        }
    }
}

#[test]
fn a_frame_inside_one_chunk_is_not_copied() {
    let wire = Bytes::from(encode(&[(7, b"one".to_vec()), (8, b"two".to_vec())]));
    let mut buffer = FrameBuffer::new(LIMIT);
    buffer.push(wire.clone());
    let (kind, body) = buffer.next_frame().unwrap().unwrap();
    assert_eq!((kind, &body[..]), (7, &b"one"[..]));
    assert_eq!(body.as_ptr(), wire[2..].as_ptr());
    let (_, body) = buffer.next_frame().unwrap().unwrap();
    assert_eq!(body.as_ptr(), wire[7..].as_ptr());
}

#[test]
fn a_long_frame_is_refused_before_its_body_comes() {
    let mut wire = encode(&[(1, vec![0; 100])]);
    wire.truncate(2);
    let mut buffer = FrameBuffer::new(100);
    buffer.push(Bytes::from(wire));
    let refused = Err(FrameError::TooLong { length: 101, limit: 100 });
    assert_eq!(buffer.next_frame(), refused);
    buffer.push(Bytes::from(encode(&[(1, b"fine".to_vec())])));
    assert_eq!(buffer.next_frame(), refused, "there is no boundary to go on from");
}

#[test]
fn lengths_that_are_none_are_refused() {
    let mut buffer = FrameBuffer::new(100);
    buffer.push(Bytes::from_static(&[0]));
    assert_eq!(buffer.next_frame(), Err(FrameError::Empty));
    let mut buffer = FrameBuffer::new(100);
    buffer.push(Bytes::from_static(&[0xff; 12]));
    assert_eq!(buffer.next_frame(), Err(FrameError::BadLength));
}

#[test]
fn a_cut_off_stream_is_noticed() {
    let mut wire = encode(&[(1, b"cut".to_vec())]);
    wire.pop();
    let mut buffer = FrameBuffer::new(100);
    buffer.push(Bytes::from(wire));
    assert_eq!(buffer.next_frame(), Ok(None));
    assert!(!buffer.is_empty());
}

//! Any bytes for what tells streams apart and what bounds them.

use bytes::{Buf, Bytes};
use macula_proto::fuzz::Choices;

use super::meter::{FRAME_LIMIT, FrameMeter};
use super::prefix::{MAX_PREFIX, Verdict, judge};
use super::{BIDI_MARKER, UNI_MARKER};
use crate::varint;

/// A stream is judged alike whether its bytes come one by one or as greedily as the judge allows, and it takes no byte
/// beyond the prefix.
pub fn prefix(data: &[u8]) {
    for marker in [BIDI_MARKER, UNI_MARKER] {
        let feed = |piece: usize| {
            let mut seen = 0;
            loop {
                match judge(&data[..seen], marker) {
                    Verdict::More(wanted) => {
                        assert!(wanted > 0 && seen + wanted <= MAX_PREFIX);
                        if seen == data.len() {
                            return (Verdict::More(0), seen);
                        }
                        seen += wanted.min(piece).min(data.len() - seen);
                    }
                    verdict => return (verdict, seen),
                }
            }
        };
        let (greedy, taken) = feed(MAX_PREFIX);
        assert_eq!(greedy, feed(1).0);
        if let Verdict::WebTransport { session } = greedy {
            let (kind, at) = varint::get(data).expect("it was judged by it");
            let (id, length) = varint::get(&data[at..]).expect("it was judged by it");
            assert_eq!((kind, id, at + length), (marker, session, taken));
        }
    }
}

/// However a stream comes, the meter hands out the same bytes and refuses it at the same place, or takes it all.
pub fn meter(data: &[u8]) {
    let mut choices = Choices(data);
    let cuts: Vec<usize> = (0..8).map(|_| choices.below(40) + 1).collect();
    let stream = choices.0;
    let run = |cuts: &mut dyn Iterator<Item = usize>| {
        let (mut meter, mut out, mut rest) = (FrameMeter::new(), Vec::new(), Bytes::copy_from_slice(stream));
        while rest.has_remaining() {
            let size = cuts.next().unwrap_or(rest.len()).min(rest.len());
            let mut chunk = rest.split_to(size);
            loop {
                match meter.take(&mut chunk) {
                    // h3 has decoded it at once.
                    Ok(Some(piece)) => out.extend_from_slice(&piece),
                    Ok(None) => break,
                    Err(refusal) => return (out, Err(refusal)),
                }
            }
            assert!(chunk.is_empty(), "the meter leaves bytes behind");
        }
        let held = meter.rest();
        assert!(held.as_ref().is_none_or(|rest| rest.len() <= FRAME_LIMIT + 2 * varint::MAX_BYTES));
        out.extend(held.into_iter().flatten());
        (out, Ok(()))
    };
    let whole = run(&mut std::iter::empty());
    assert_eq!(whole, run(&mut cuts.into_iter().cycle()));
    assert!(whole.0.len() <= stream.len());
}

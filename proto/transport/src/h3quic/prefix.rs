//! How an incoming stream begins: as a WebTransport stream, or as one of HTTP/3.

use crate::varint;

/// First integer of a bidirectional WebTransport stream.
pub(crate) const BIDI_MARKER: u64 = 0x41;

/// First integer of a unidirectional WebTransport stream.
pub(crate) const UNI_MARKER: u64 = 0x54;

/// Longest prefix: the marker and the session id.
pub(super) const MAX_PREFIX: usize = 2 * varint::MAX_BYTES;

/// Shortest prefix of a WebTransport stream; both markers need two bytes.
const MIN_PREFIX: usize = 3;

/// What the first bytes of a stream tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// At most this many further bytes are needed, and all of them belong to a prefix if it is one.
    More(usize),
    /// A stream of this WebTransport session. Its own bytes follow.
    WebTransport { session: u64 },
    /// A stream of HTTP/3, to which the bytes seen belong.
    Http,
}

/// Judges a stream by the bytes seen so far. It never asks for a byte that a WebTransport stream would own, so
/// nothing has to be put back into a raw stream.
pub(super) fn judge(seen: &[u8], marker: u64) -> Verdict {
    let Some(&first) = seen.first() else { return Verdict::More(MIN_PREFIX) };
    let Some((kind, kind_len)) = varint::get(seen) else {
        return Verdict::More(varint::len_from_first(first) + 1 - seen.len());
    };
    if kind != marker {
        return Verdict::Http;
    }
    let id = &seen[kind_len..];
    match varint::get(id) {
        Some((session, _)) => Verdict::WebTransport { session },
        None => Verdict::More(id.first().map_or(1, |&first| varint::len_from_first(first) - id.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds a stream as greedily as [`judge`] allows, in pieces of at most `piece` bytes.
    fn feed(stream: &[u8], piece: usize, marker: u64) -> (Verdict, usize) {
        let mut seen = 0;
        loop {
            match judge(&stream[..seen], marker) {
                Verdict::More(wanted) if seen < stream.len() => {
                    assert!(wanted > 0);
                    seen += wanted.min(piece).min(stream.len() - seen);
                }
                verdict => return (verdict, seen),
            }
        }
    }

    #[test]
    fn a_prefix_is_taken_exactly() {
        for session in [0u64, 4, 60, 64, 16_384, 1 << 40] {
            let mut stream = vec![0x40, 0x41];
            varint::put(&mut stream, session);
            let prefix = stream.len();
            stream.extend_from_slice(b"payload");
            for piece in 1..8 {
                let verdict = feed(&stream, piece, BIDI_MARKER);
                assert_eq!(verdict, (Verdict::WebTransport { session }, prefix));
            }
        }
    }

    #[test]
    fn streams_of_the_vectors_are_told_from_those_of_http() {
        let vectors = include_str!("../../../vectors/frames.json");
        let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
        let mut seen = 0;
        for stream in vectors["streams"].as_array().unwrap() {
            let hex = stream["hex"].as_str().unwrap();
            let bytes: Vec<u8> = (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                .collect();
            let control = stream["stream"] == "control";
            let marker = if control { BIDI_MARKER } else { UNI_MARKER };
            let Some(session) = stream["session"].as_u64() else { continue };
            let (verdict, taken) = feed(&bytes, bytes.len(), marker);
            assert_eq!(verdict, Verdict::WebTransport { session }, "{stream}");
            assert_eq!(bytes[taken] == 0, control, "the kind of the stream follows: {stream}");
            seen += 1;
        }
        assert!(seen > 5);
    }

    #[test]
    fn a_marker_in_eight_bytes_is_still_one() {
        let stream = [0xc0, 0, 0, 0, 0, 0, 0, 0x54, 0x44, 0x00, b'p'];
        assert_eq!(feed(&stream, 9, UNI_MARKER), (Verdict::WebTransport { session: 0x400 }, 10));
    }

    #[test]
    fn anything_else_is_http() {
        assert_eq!(judge(&[0x01], BIDI_MARKER), Verdict::Http);
        assert_eq!(judge(&[0x00, 0x04], UNI_MARKER), Verdict::Http);
        assert_eq!(
            judge(&[0x40, 0x54, 0x00], BIDI_MARKER),
            Verdict::Http,
            "the marker of the other direction"
        );
    }
}

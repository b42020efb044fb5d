//! Capsules on the CONNECT stream (RFC 9297): `varint type | varint length | value`.
//!
//! Only the one that closes a session has a meaning here; others are skipped without being kept.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::MAX_REASON;
use crate::varint;

/// CLOSE_WEBTRANSPORT_SESSION of draft-ietf-webtrans-http3.
const CLOSE_SESSION: u64 = 0x2843;

/// The peer's last word on a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Close {
    pub(super) code: u32,
    pub(super) reason: String,
}

impl Close {
    /// The capsule; a reason that is too long is cut.
    pub(super) fn encode(&self) -> Bytes {
        let reason = &self.reason[..self.reason.floor_char_boundary(MAX_REASON)];
        let mut out = Vec::new();
        varint::put(&mut out, CLOSE_SESSION);
        varint::put(&mut out, 4 + reason.len() as u64);
        out.put_u32(self.code);
        out.extend_from_slice(reason.as_bytes());
        out.into()
    }
}

/// Reads capsules from the body of the CONNECT stream.
#[derive(Debug, Default)]
pub(super) struct Capsules {
    state: State,
    /// A header, or the value of a capsule that has a meaning, as far as it has come.
    partial: BytesMut,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Header,
    /// Within the closing capsule, of which this much is missing.
    Close(usize),
    /// Within a capsule of no interest, of which this much is left.
    Skip(u64),
}

/// The closing capsule is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed CLOSE_WEBTRANSPORT_SESSION capsule")]
pub(super) struct Malformed;

impl Capsules {
    /// Takes a piece of the body; gives the closing capsule once it is complete.
    pub(super) fn read(&mut self, mut piece: impl Buf) -> Result<Option<Close>, Malformed> {
        loop {
            match self.state {
                State::Header => {
                    if let Some((kind, at)) = varint::get(&self.partial)
                        && let Some((length, _)) = varint::get(&self.partial[at..])
                    {
                        self.partial.clear();
                        self.state = if kind != CLOSE_SESSION {
                            State::Skip(length)
                        } else if (4..=4 + MAX_REASON as u64).contains(&length) {
                            State::Close(length as usize)
                        } else {
                            return Err(Malformed);
                        };
                    } else if piece.has_remaining() {
                        self.partial.put_u8(piece.get_u8());
                    } else {
                        return Ok(None);
                    }
                }
                State::Close(0) => return self.close().map(Some),
                State::Skip(0) => self.state = State::Header,
                _ if !piece.has_remaining() => return Ok(None),
                State::Close(missing) => {
                    let taken = missing.min(piece.remaining());
                    self.partial.put((&mut piece).take(taken));
                    self.state = State::Close(missing - taken);
                }
                State::Skip(left) => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(piece.remaining());
                    piece.advance(taken);
                    self.state = State::Skip(left - taken as u64);
                }
            }
        }
    }

    fn close(&mut self) -> Result<Close, Malformed> {
        let code = self.partial.get_u32();
        let reason = std::str::from_utf8(&self.partial).map_err(|_| Malformed)?.to_owned();
        Ok(Close { code, reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn capsule(kind: u64, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        varint::put(&mut out, kind);
        varint::put(&mut out, value.len() as u64);
        out.extend_from_slice(value);
        out
    }

    proptest! {
        #[test]
        fn a_close_is_found_among_others_however_it_is_cut(code: u32, reason in ".{0,80}", size in 1usize..30) {
            let close = Close { code, reason };
            let mut wire = capsule(0x78ae, b"");
            wire.extend(capsule(0x21, &[5; 100]));
            wire.extend(close.encode());
            let mut capsules = Capsules::default();
            let found = wire.chunks(size).find_map(|piece| capsules.read(piece).unwrap());
            prop_assert_eq!(found, Some(close));
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let close = Close { code: 1, reason: "é".repeat(MAX_REASON) };
        let found = Capsules::default().read(close.encode()).unwrap().unwrap();
        assert_eq!(found.reason, "é".repeat(MAX_REASON / 2));
        let close = Close { code: 1, reason: format!("x{}", close.reason) };
        let found = Capsules::default().read(close.encode()).unwrap().unwrap();
        assert_eq!(found.reason.len(), MAX_REASON - 1);
    }

    #[test]
    fn a_close_of_the_wrong_length_is_refused() {
        for length in [0, 3, MAX_REASON + 5] {
            let wire = capsule(CLOSE_SESSION, &vec![b'a'; length]);
            assert_eq!(Capsules::default().read(&wire[..]), Err(Malformed));
        }
        assert_eq!(
            Capsules::default().read(&capsule(CLOSE_SESSION, &[0, 0, 0, 0, 0xff])[..]),
            Err(Malformed)
        );
    }

    #[test]
    fn a_huge_capsule_of_no_interest_is_skipped_and_not_kept() {
        let mut wire = Vec::new();
        varint::put(&mut wire, 0x21);
        varint::put(&mut wire, 1 << 40);
        let mut capsules = Capsules::default();
        assert_eq!(capsules.read(&wire[..]), Ok(None));
        for _ in 0..100 {
            assert_eq!(capsules.read(&[0; 1 << 16][..]), Ok(None));
        }
        assert_eq!(capsules.partial.len(), 0);
    }
}

//! Bounds what h3 keeps of a stream.
//!
//! h3 0.0.8 collects a whole HEADERS or unknown frame before it looks at its size, and reads ahead of the handler
//! when DATA frames are small. What the handler has consumed cannot be asked of it. So the meter makes the order
//! of things plain instead: it reads frame headers as they pass, and hands out one piece at a time.
//!
//! - A DATA payload needs no limit. A piece of it never crosses the end of its frame, and h3 takes one piece for
//!   each that it gives to the handler, so none is left over; the rest waits in QUIC's flow control.
//! - Every other frame is announced with its length and refused on that account alone. Within the limit it is
//!   collected here and handed out whole, which also spares h3 a scan of all pieces for each that arrives.
//! - Headers and other frames tell when h3 lets go of them, which is as soon as it has decoded them. A frame that
//!   it cannot decode it keeps, waiting for a rest that never comes; then whatever follows is refused.
//!
//! So of one stream there is at most one frame of [`FRAME_LIMIT`] in memory beyond what the handler has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Buf, Bytes, BytesMut};

use crate::varint;

/// Longest frame that h3 is given, DATA excepted. Four times the field section that we allow, so that one too long
/// by little is answered with a status instead of losing the connection.
pub const FRAME_LIMIT: usize = 64 << 10;

const DATA: u64 = 0x00;

/// Cuts one stream into pieces for h3.
#[derive(Debug)]
pub(super) struct FrameMeter {
    state: State,
    /// A frame header, or a frame other than DATA, as far as it has come.
    partial: BytesMut,
    /// Whether h3 holds a header or a frame that it has not decoded.
    held: Arc<AtomicBool>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Collecting type and length of the next frame.
    Header,
    /// Within a DATA frame with this much left.
    Data(u64),
    /// Collecting another frame, of which this much is missing.
    Other(usize),
}

/// The peer sends what h3 would keep without bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// A frame other than DATA is too long.
    #[error("frame of {length} bytes, at most {FRAME_LIMIT} are accepted")]
    TooLong { length: u64 },
    /// The frame before could not be decoded.
    #[error("malformed frame")]
    Undecodable,
}

impl FrameMeter {
    pub(super) fn new() -> Self {
        Self { state: State::Header, partial: BytesMut::new(), held: Arc::default() }
    }

    /// Takes the next piece out of `chunk`; `None` when it is used up.
    pub(super) fn take(&mut self, chunk: &mut Bytes) -> Result<Option<Bytes>, Refusal> {
        loop {
            match self.state {
                State::Header => {
                    let Some((kind, length)) = self.read_header(chunk) else { return Ok(None) };
                    if kind != DATA {
                        if length > FRAME_LIMIT as u64 {
                            return Err(Refusal::TooLong { length });
                        }
                        self.state = State::Other(length as usize);
                    } else if length == 0 {
                        // h3 takes an empty DATA frame for the end of the body, and it means nothing: left out.
                        self.partial.clear();
                    } else {
                        self.state = State::Data(length);
                        return self.hand_out().map(Some);
                    }
                }
                State::Other(0) => {
                    self.state = State::Header;
                    return self.hand_out().map(Some);
                }
                State::Data(0) => self.state = State::Header,
                _ if chunk.is_empty() => return Ok(None),
                State::Other(missing) => {
                    let piece = chunk.split_to(missing.min(chunk.len()));
                    self.partial.extend_from_slice(&piece);
                    self.state = State::Other(missing - piece.len());
                }
                State::Data(left) => {
                    self.expect_decoded()?;
                    let piece = chunk.split_to(usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len()));
                    self.state = State::Data(left - piece.len() as u64);
                    return Ok(Some(piece));
                }
            }
        }
    }

    /// What is left at the end of the stream: a frame without its end, for h3 to complain about.
    pub(super) fn rest(&mut self) -> Option<Bytes> {
        (!self.partial.is_empty()).then(|| self.partial.split().freeze())
    }

    /// Moves bytes over to `partial` until it is a whole header.
    fn read_header(&mut self, chunk: &mut Bytes) -> Option<(u64, u64)> {
        loop {
            if let Some((kind, at)) = varint::get(&self.partial)
                && let Some((length, _)) = varint::get(&self.partial[at..])
            {
                return Some((kind, length));
            }
            if chunk.is_empty() {
                return None;
            }
            self.partial.extend_from_slice(&[chunk.get_u8()]);
        }
    }

    /// Hands `partial` out, and watches it until its last owner drops it.
    fn hand_out(&mut self) -> Result<Bytes, Refusal> {
        self.expect_decoded()?;
        self.held.store(true, Ordering::Relaxed);
        Ok(Bytes::from_owner(Held { piece: self.partial.split().freeze(), held: self.held.clone() }))
    }

    fn expect_decoded(&self) -> Result<(), Refusal> {
        if self.held.load(Ordering::Relaxed) { Err(Refusal::Undecodable) } else { Ok(()) }
    }
}

/// Bytes that say when they are dropped.
struct Held {
    piece: Bytes,
    held: Arc<AtomicBool>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.piece
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.held.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;

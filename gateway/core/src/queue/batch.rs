//! Encoded frames that lie side by side and leave together.

use crate::origins::{Mark, Origins};
use bytes::Bytes;
use macula_proto::frame::{self, FrameError, Splitter};
use macula_proto::{kind, varint};

/// A batch is sealed at this size: large enough that a write costs little per message, small enough to stay
/// in the cache. 16 to 64 KiB measured alike on loopback.
pub(super) const BATCH_BYTES: usize = 32 << 10;

/// The batch that frames are added to.
#[derive(Debug, Default)]
pub(super) struct Open {
    pub(super) bytes: Vec<u8>,
    frames: u32,
    pub(super) marks: Vec<Mark>,
    pub(super) expiring: Vec<Expiring>,
}

/// Frames that are added to no longer.
#[derive(Debug)]
pub(super) struct Batch {
    bytes: Bytes,
    /// The rest of its only frame, where that is a large message: the same memory in all queues.
    body: Bytes,
    pub(super) frames: u32,
    /// Position of its last frame on the stream.
    pub(super) end: u64,
    /// Segments that its events are of.
    pub(super) marks: Vec<Mark>,
    pub(super) expiring: Vec<Expiring>,
}

/// A message that is of no use from some time on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expiring {
    /// Its place among the frames of the batch.
    frame: u32,
    at_ms: u64,
}

impl Open {
    /// Frames in it.
    pub(super) fn frames(&self) -> u32 {
        self.frames
    }

    /// Counts a frame that was written to `bytes`.
    #[inline]
    pub(super) fn count(&mut self, mark: Mark, expires_ms: u64, origins: &mut Origins) {
        if !mark.is_nothing() && self.marks.last() != Some(&mark) {
            origins.refer(mark);
            self.marks.push(mark);
        }
        if expires_ms > 0 {
            self.expiring.push(Expiring { frame: self.frames, at_ms: expires_ms });
        }
        self.frames += 1;
    }

    /// Counts a frame that belongs to no message.
    #[inline]
    pub(super) fn count_plain(&mut self) {
        self.frames += 1;
    }

    /// Makes it a batch that ends at this position, and whose only frame goes on with a body that others share.
    pub(super) fn seal_with(&mut self, body: Bytes, end: u64) -> Batch {
        debug_assert!(self.frames == 1, "a body belongs to one frame");
        Batch { body, ..self.seal(end) }
    }

    /// Makes it a batch that ends at this position. An almost empty one is copied, so that its large buffer can be
    /// filled on.
    pub(super) fn seal(&mut self, end: u64) -> Batch {
        let bytes = if self.bytes.len() < BATCH_BYTES / 16 {
            let bytes = Bytes::copy_from_slice(&self.bytes);
            self.bytes.clear();
            bytes
        } else {
            let fresh = Vec::with_capacity(BATCH_BYTES + BATCH_BYTES / 8);
            Bytes::from(std::mem::replace(&mut self.bytes, fresh))
        };
        Batch {
            bytes,
            body: Bytes::new(),
            frames: std::mem::take(&mut self.frames),
            end,
            marks: std::mem::take(&mut self.marks),
            expiring: std::mem::take(&mut self.expiring),
        }
    }
}

impl Batch {
    /// A batch of frames that belong to no message.
    pub(super) fn plain(bytes: Vec<u8>, frames: u32, end: u64) -> Self {
        let (bytes, body) = (bytes.into(), Bytes::new());
        Self { bytes, body, frames, end, marks: Vec::new(), expiring: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() + self.body.len()
    }

    /// What lies side by side in memory from this place on; behind the last place nothing.
    pub(super) fn piece(&self, start: usize) -> Bytes {
        match start.checked_sub(self.bytes.len()) {
            Some(in_body) => self.body.slice(in_body..),
            None => self.bytes.slice(start..),
        }
    }

    /// Bytes of [`Batch::piece`].
    pub(super) fn piece_len(&self, start: usize) -> usize {
        if start < self.bytes.len() { self.bytes.len() - start } else { self.len() - start }
    }

    /// The last of its pieces, from this place on.
    pub(super) fn into_piece(self, start: usize) -> Bytes {
        if start == 0 && self.body.is_empty() { self.bytes } else { self.piece(start) }
    }

    /// Calls `each` with kind and body of every frame.
    pub(super) fn for_each_frame(&self, each: impl FnMut(u8, &[u8])) {
        if self.body.is_empty() {
            return for_each_frame(&self.bytes, each);
        }
        for_each_frame(&[&self.bytes[..], &self.body].concat(), each);
    }

    /// Position of the frame before its first.
    pub(super) fn start(&self) -> u64 {
        self.end - u64::from(self.frames)
    }

    /// Gives its references back.
    pub(super) fn release(&self, origins: &mut Origins) {
        self.marks.iter().for_each(|mark| origins.release(*mark));
    }

    /// Takes off the frames up to and with this position, which lies within it.
    pub(super) fn skip_to(&mut self, position: u64) {
        let skipped = (position - self.start()) as u32;
        debug_assert!(skipped < self.frames, "whole batches are taken off as such");
        let mut offset = 0;
        for _ in 0..skipped {
            offset += frame_len(&self.bytes[offset..]);
        }
        self.bytes = self.bytes.slice(offset..);
        self.frames -= skipped;
        self.expiring.retain(|expiring| expiring.frame >= skipped);
        self.expiring.iter_mut().for_each(|expiring| expiring.frame -= skipped);
    }

    /// Takes off the frames up to and with this position, which lies within it, as a batch of their own.
    pub(super) fn split_to(&mut self, position: u64, origins: &mut Origins) -> Self {
        let (marks, expiring) = (self.marks.clone(), self.expiring.clone());
        marks.iter().for_each(|mark| origins.refer(*mark));
        let (before, frames) = (self.bytes.clone(), (position - self.start()) as u32);
        self.skip_to(position);
        let bytes = before.slice(..before.len() - self.bytes.len());
        let expiring = expiring.into_iter().filter(|expiring| expiring.frame < frames).collect();
        Self { bytes, body: Bytes::new(), frames, end: position, marks, expiring }
    }

    /// Puts an Expired in the place of each message whose time is over; how many there were.
    pub(super) fn expire(&mut self, now_ms: u64) -> u64 {
        if self.expiring.iter().all(|expiring| expiring.at_ms > now_ms) {
            return 0;
        }
        let (mut out, mut index, mut expired) = (Vec::with_capacity(self.len()), 0, 0);
        let mut due = self.expiring.iter().peekable();
        self.for_each_frame(|kind, body| {
            let over =
                due.next_if(|expiring| expiring.frame == index).is_some_and(|next| next.at_ms <= now_ms);
            if over {
                frame::put(&mut out, kind::EXPIRED, &[]);
                expired += 1;
            } else {
                frame::put(&mut out, kind, body);
            }
            index += 1;
        });
        self.expiring.retain(|expiring| expiring.at_ms > now_ms);
        (self.bytes, self.body) = (out.into(), Bytes::new());
        expired
    }
}

/// When the message at this place among the frames is of no use any more, 0 for never.
pub(super) fn expiry(expiring: &[Expiring], frame: u32) -> u64 {
    expiring.binary_search_by_key(&frame, |known| known.frame).map_or(0, |found| expiring[found].at_ms)
}

/// Calls `each` with kind and body of every frame of bytes that this gateway has encoded.
pub(super) fn for_each_frame(bytes: &[u8], mut each: impl FnMut(u8, &[u8])) {
    let split = Splitter::new(usize::MAX).split(bytes, |kind, body| {
        each(kind, body);
        Ok::<(), FrameError>(())
    });
    debug_assert!(split.is_ok(), "a batch holds whole frames");
}

/// Bytes of the first frame.
fn frame_len(bytes: &[u8]) -> usize {
    match varint::get(bytes) {
        Ok(Some((length, taken))) => taken + length as usize,
        _ => unreachable!("a batch holds whole frames"),
    }
}

//! Splits the chunks of a stream into frames and knows no stream itself.
//!
//! A frame that lies inside one chunk is handed out as a slice of it; only a frame that crosses chunks is copied.
//! [`Splitter`](macula_proto::frame::Splitter) lends frames to a closure instead, for those who keep none.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use macula_proto::frame::FrameError;
use macula_proto::varint;

/// Splits chunks into frames.
///
/// Feed it with [`push`](Self::push), then take frames with [`next_frame`](Self::next_frame) until there is none.
/// After an error the stream has no frame boundary any more, and every further call gives the same error.
#[derive(Debug)]
pub struct FrameBuffer {
    limit: usize,
    /// Chunks not looked at yet; the first one is being split.
    chunks: VecDeque<Bytes>,
    /// The start of a frame whose end has not come. Copied, so that a slow sender does not keep receive buffers alive.
    partial: BytesMut,
    failed: Option<FrameError>,
}

impl FrameBuffer {
    /// A buffer that refuses frames longer than `limit` bytes, kind and body together.
    pub fn new(limit: usize) -> Self {
        Self { limit, chunks: VecDeque::new(), partial: BytesMut::new(), failed: None }
    }

    /// Adds the next chunk of the stream.
    #[inline]
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.chunks.push_back(chunk);
        }
    }

    /// The next frame as its kind and body, or `None` when more chunks are needed.
    ///
    /// The body is a slice of a pushed chunk where possible: copy what you keep for long, or a small frame keeps
    /// its whole chunk alive.
    ///
    /// # Errors
    /// [`FrameError`] when the length is zero, above the limit, or no number.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<(u8, Bytes)>, FrameError> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        let frame = if self.partial.is_empty() { self.split() } else { self.complete() };
        if let Err(error) = frame {
            self.failed = Some(error);
        }
        frame
    }

    /// Whether the bytes pushed so far end at a frame boundary; false at the end of a stream means it was cut off.
    pub fn is_empty(&self) -> bool {
        self.partial.is_empty() && self.chunks.is_empty()
    }

    /// Takes a frame out of the first chunk, or sets its rest aside as partial.
    fn split(&mut self) -> Result<Option<(u8, Bytes)>, FrameError> {
        let Some(chunk) = self.chunks.front_mut() else { return Ok(None) };
        if let Some(extent) = Extent::of(chunk, self.limit)?
            && extent.end() <= chunk.len()
        {
            let frame = if extent.end() == chunk.len() {
                self.chunks.pop_front().expect("the chunk is the front of the queue")
            } else {
                chunk.split_to(extent.end())
            };
            return Ok(Some(extent.open(frame)));
        }
        let chunk = self.chunks.pop_front().expect("the chunk is the front of the queue");
        self.partial.extend_from_slice(&chunk);
        self.complete()
    }

    /// Appends to the partial frame from the chunks until it is whole.
    fn complete(&mut self) -> Result<Option<(u8, Bytes)>, FrameError> {
        loop {
            let extent = Extent::of(&self.partial, self.limit)?;
            // Without a length yet, one more byte; a frame is at least two bytes, so this never takes too much.
            let wanted = extent.map_or(1, |extent| extent.end() - self.partial.len());
            if wanted == 0 {
                let frame = std::mem::take(&mut self.partial).freeze();
                return Ok(Some(extent.expect("a frame without length is not whole").open(frame)));
            }
            let Some(chunk) = self.chunks.front_mut() else { return Ok(None) };
            let taken = wanted.min(chunk.len());
            self.partial.extend_from_slice(&chunk[..taken]);
            chunk.advance(taken);
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
        }
    }
}

/// Where the parts of a frame lie.
#[derive(Clone, Copy)]
struct Extent {
    prefix: usize,
    length: usize,
}

impl Extent {
    /// Reads the length at the start of `bytes`; `None` when it is not all there.
    #[inline]
    fn of(bytes: &[u8], limit: usize) -> Result<Option<Self>, FrameError> {
        let Some((length, prefix)) = varint::get(bytes).map_err(|_| FrameError::BadLength)? else {
            return Ok(None);
        };
        if length == 0 {
            return Err(FrameError::Empty);
        }
        match usize::try_from(length) {
            Ok(length) if length <= limit => Ok(Some(Self { prefix, length })),
            _ => Err(FrameError::TooLong { length, limit }),
        }
    }

    fn end(self) -> usize {
        self.prefix + self.length
    }

    #[inline]
    fn open(self, mut frame: Bytes) -> (u8, Bytes) {
        let kind = frame[self.prefix];
        frame.advance(self.prefix + 1);
        (kind, frame)
    }
}

#[cfg(test)]
mod tests;

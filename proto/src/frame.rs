//! Frames on a stream: `varint length | kind | body`, the length counting the kind byte and the body.
//!
//! [`Splitter`] cuts received chunks into frames and lends each to a closure: no allocation, and no copy unless
//! a frame straddles chunks. [`put`] and [`put_message`] append frames.

use crate::varint;

/// Cuts a stream of chunks into frames.
#[derive(Debug)]
pub struct Splitter {
    /// Start of a frame whose rest has not come. Copied, so that a slow sender keeps no receive buffer alive.
    partial: Vec<u8>,
    limit: usize,
}

impl Splitter {
    /// A splitter that refuses frames longer than `limit` bytes, kind and body together.
    pub fn new(limit: usize) -> Self {
        Self { partial: Vec::new(), limit }
    }

    /// Bytes of an unfinished frame that are held.
    pub fn held(&self) -> usize {
        self.partial.len()
    }

    /// Takes the next chunk of the stream and calls `each` with kind and body of every frame that it ends.
    ///
    /// # Errors
    /// The first error of `each`, or a [`FrameError`] turned into the caller's error. The stream is of no use
    /// afterwards: there is no frame boundary any more.
    #[inline]
    pub fn split<E: From<FrameError>>(
        &mut self,
        mut chunk: &[u8],
        mut each: impl FnMut(u8, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.partial.is_empty() && !self.complete(&mut chunk, &mut each)? {
            return Ok(());
        }
        while let Some(extent) = Extent::of(chunk, self.limit)?.filter(|extent| extent.end <= chunk.len()) {
            each(chunk[extent.kind], &chunk[extent.kind + 1..extent.end])?;
            chunk = &chunk[extent.end..];
        }
        self.partial.extend_from_slice(chunk);
        Ok(())
    }

    /// Fills up the partial frame and lends it; false when the chunk ends before the frame does.
    fn complete<E: From<FrameError>>(
        &mut self,
        chunk: &mut &[u8],
        each: &mut impl FnMut(u8, &[u8]) -> Result<(), E>,
    ) -> Result<bool, E> {
        loop {
            let extent = Extent::of(&self.partial, self.limit)?;
            // Without a length yet, one more byte: a frame has at least two, so this never takes too much.
            let missing = extent.as_ref().map_or(1, |extent| extent.end - self.partial.len());
            if let (0, Some(extent)) = (missing, extent) {
                each(self.partial[extent.kind], &self.partial[extent.kind + 1..])?;
                self.partial.clear();
                return Ok(true);
            }
            if chunk.is_empty() {
                return Ok(false);
            }
            let (taken, rest) = chunk.split_at(missing.min(chunk.len()));
            self.partial.extend_from_slice(taken);
            *chunk = rest;
        }
    }
}

/// Where the parts of a frame lie: its kind byte, and the first byte after it.
struct Extent {
    kind: usize,
    end: usize,
}

impl Extent {
    /// Reads the length at the start of `bytes`; `None` when it is not all there.
    #[inline]
    fn of(bytes: &[u8], limit: usize) -> Result<Option<Self>, FrameError> {
        let Some((length, kind)) = varint::get(bytes).map_err(|_| FrameError::BadLength)? else {
            return Ok(None);
        };
        match usize::try_from(length) {
            Ok(0) => Err(FrameError::Empty),
            Ok(length) if length <= limit => Ok(Some(Self { kind, end: kind + length })),
            _ => Err(FrameError::TooLong { length, limit }),
        }
    }
}

/// What a peer wrote on a stream is not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The peer announced more than this side takes.
    #[error("a frame of {length} bytes is longer than the {limit} that are accepted")]
    TooLong {
        /// What the peer announced.
        length: u64,
        /// What this side takes.
        limit: usize,
    },
    /// A frame has at least its kind byte.
    #[error("a frame of length 0 has no kind")]
    Empty,
    /// The length is not a number of 64 bits.
    #[error("a frame's length does not fit 64 bits")]
    BadLength,
}

/// Appends a frame of this kind and body.
#[inline]
pub fn put(out: &mut Vec<u8>, kind: u8, body: &[u8]) {
    varint::put(out, body.len() as u64 + 1);
    out.push(kind);
    out.extend_from_slice(body);
}

/// Appends a frame with this message as its body.
pub fn put_message(out: &mut Vec<u8>, kind: u8, message: &impl prost::Message) {
    let length = message.encoded_len();
    varint::put(out, length as u64 + 1);
    out.push(kind);
    out.reserve(length);
    message.encode(out).expect("a Vec grows as needed");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(
        splitter: &mut Splitter,
        chunk: &[u8],
        frames: &mut Vec<(u8, Vec<u8>)>,
    ) -> Result<(), FrameError> {
        splitter.split(chunk, |kind, body| {
            frames.push((kind, body.to_vec()));
            Ok(())
        })
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_frames(
            frames in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..300)), 0..12),
            cuts in prop::collection::vec(1usize..200, 0..40),
        ) {
            let mut stream = Vec::new();
            for (kind, body) in &frames {
                put(&mut stream, *kind, body);
            }
            let mut splitter = Splitter::new(1000);
            let mut seen = Vec::new();
            let mut rest = &stream[..];
            for cut in cuts {
                let (head, tail) = rest.split_at(cut.min(rest.len()));
                split(&mut splitter, head, &mut seen).unwrap();
                rest = tail;
            }
            split(&mut splitter, rest, &mut seen).unwrap();
            prop_assert_eq!(seen, frames);
            prop_assert_eq!(splitter.held(), 0);
        }

        #[test]
        fn arbitrary_bytes_never_panic_nor_pile_up(chunks: Vec<Vec<u8>>) {
            let mut splitter = Splitter::new(64);
            let mut seen = Vec::new();
            for chunk in chunks {
                if split(&mut splitter, &chunk, &mut seen).is_err() {
                    break;
                }
                prop_assert!(splitter.held() <= 64 + varint::MAX_BYTES);
            }
        }
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_by_its_length_alone() {
        let mut length = Vec::new();
        varint::put(&mut length, 1 << 29);
        let error = split(&mut Splitter::new(1 << 20), &length, &mut Vec::new()).unwrap_err();
        assert_eq!(error, FrameError::TooLong { length: 1 << 29, limit: 1 << 20 });
    }
}

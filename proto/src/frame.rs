//! Frames on a stream: `varint length | kind | body`, the length counting the kind byte and the body.
//!
//! [`Splitter`] cuts received chunks into frames and lends each to a closure: no allocation, and no copy unless
//! a frame straddles chunks. [`put`] and [`put_message`] append frames.

use crate::varint;
use bytes::Bytes;

/// From this size on, what a frame holds is better shared with the memory that it was received in than copied. A guess, not
/// measured.
pub const SHARED_BYTES: usize = 4 << 10;

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
        if !self.partial.is_empty() {
            let Some(extent) = self.complete(&mut chunk)? else { return Ok(()) };
            each(self.partial[extent.kind], &self.partial[extent.kind + 1..])?;
            self.partial.clear();
        }
        while let Some(extent) = Extent::of(chunk, self.limit)?.filter(|extent| extent.end <= chunk.len()) {
            each(chunk[extent.kind], &chunk[extent.kind + 1..extent.end])?;
            chunk = &chunk[extent.end..];
        }
        self.partial.extend_from_slice(chunk);
        Ok(())
    }

    /// The same for who keeps what the frames hold: `each` gets the memory that the body lies in, too, which is the chunk
    /// or, for a frame that straddles chunks, its own.
    ///
    /// # Errors
    /// As of [`Splitter::split`].
    #[inline]
    pub fn split_shared<E: From<FrameError>>(
        &mut self,
        chunk: &Bytes,
        mut each: impl FnMut(u8, &[u8], &Bytes) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = &chunk[..];
        if !self.partial.is_empty() {
            let Some(extent) = self.complete(&mut rest)? else { return Ok(()) };
            let whole = self.take_partial();
            each(whole[extent.kind], &whole[extent.kind + 1..], &whole)?;
        }
        loop {
            match Extent::of(rest, self.limit)? {
                Some(extent) if extent.end <= rest.len() => {
                    each(rest[extent.kind], &rest[extent.kind + 1..extent.end], chunk)?;
                    rest = &rest[extent.end..];
                }
                begun => {
                    self.partial
                        .reserve_exact(begun.map_or(rest.len(), |extent| extent.end.min(RESERVED_BYTES)));
                    self.partial.extend_from_slice(rest);
                    return Ok(());
                }
            }
        }
    }

    /// Makes the partial frame, which is whole now, memory of its own.
    fn take_partial(&mut self) -> Bytes {
        if self.partial.len() >= SHARED_BYTES {
            return Bytes::from(std::mem::take(&mut self.partial));
        }
        let whole = Bytes::copy_from_slice(&self.partial);
        self.partial.clear();
        whole
    }

    /// Fills up the partial frame from the chunk; `None` when the chunk ends before the frame does.
    fn complete(&mut self, chunk: &mut &[u8]) -> Result<Option<Extent>, FrameError> {
        loop {
            let extent = Extent::of(&self.partial, self.limit)?;
            // Without a length yet, one more byte: a frame has at least two, so this never takes too much.
            let missing = extent.as_ref().map_or(1, |extent| extent.end - self.partial.len());
            if missing == 0 {
                return Ok(extent);
            }
            if chunk.is_empty() {
                return Ok(None);
            }
            let (taken, rest) = chunk.split_at(missing.min(chunk.len()));
            self.partial.extend_from_slice(taken);
            *chunk = rest;
        }
    }
}

/// What is set aside for a frame by its length alone; a longer one grows as it comes.
const RESERVED_BYTES: usize = 64 << 10;

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
            large in prop::option::of(SHARED_BYTES..3 * SHARED_BYTES),
        ) {
            let large = large.map(|length| (9, vec![7; length]));
            let frames: Vec<(u8, Vec<u8>)> = frames.into_iter().chain(large).collect();
            let mut stream = Vec::new();
            for (kind, body) in &frames {
                put(&mut stream, *kind, body);
            }
            let limit = 4 * SHARED_BYTES;
            let (mut splitter, mut sharing) = (Splitter::new(limit), Splitter::new(limit));
            let (mut seen, mut shared) = (Vec::new(), Vec::new());
            let mut rest = Bytes::from(stream);
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let chunk = rest.split_to(cut.min(rest.len()));
                split(&mut splitter, &chunk, &mut seen).unwrap();
                let splitting = sharing.split_shared(&chunk, |kind, body, memory| {
                    shared.push((kind, memory.slice_ref(body)));
                    Ok::<(), FrameError>(())
                });
                splitting.unwrap();
            }
            prop_assert_eq!(&seen, &frames);
            let shared: Vec<(u8, Vec<u8>)> = shared.into_iter().map(|(kind, body)| (kind, body.to_vec())).collect();
            prop_assert_eq!(shared, frames);
            prop_assert_eq!((splitter.held(), sharing.held()), (0, 0));
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

//! Macula frames on a QUIC stream: reading them without copies, writing whole batches.

mod buffer;

use bytes::Bytes;
use macula_proto::frame::FrameError;

pub use buffer::FrameBuffer;

/// Chunks taken from a stream under one lock. A chunk is at most one packet, so this is about 200 KiB.
const CHUNKS: usize = 32;

/// Reads frames from a stream.
#[derive(Debug)]
pub struct FrameReader {
    stream: quinn::RecvStream,
    buffer: FrameBuffer,
}

impl FrameReader {
    /// Reads frames of at most `limit` bytes, kind and body together.
    pub fn new(stream: quinn::RecvStream, limit: usize) -> Self {
        Self { stream, buffer: FrameBuffer::new(limit) }
    }

    /// The next frame as its kind and body; `None` when the peer finished the stream at a frame boundary.
    ///
    /// Cancelling it loses nothing. The body is usually a slice of a received packet: copy what you keep.
    ///
    /// # Errors
    /// [`FrameReadError`]; the stream gives nothing more.
    pub async fn next_frame(&mut self) -> Result<Option<(u8, Bytes)>, FrameReadError> {
        loop {
            if let Some(frame) = self.buffer.next_frame()? {
                return Ok(Some(frame));
            }
            if !self.fill().await? {
                return if self.buffer.is_empty() { Ok(None) } else { Err(FrameReadError::CutOff) };
            }
        }
    }

    /// A frame that has been received already, without waiting.
    ///
    /// # Errors
    /// [`FrameError`] when the peer wrote something else.
    pub fn buffered_frame(&mut self) -> Result<Option<(u8, Bytes)>, FrameError> {
        self.buffer.next_frame()
    }

    /// Waits for more bytes and takes what is there; false at the end of the stream.
    async fn fill(&mut self) -> Result<bool, quinn::ReadError> {
        let mut chunks = [const { Bytes::new() }; CHUNKS];
        let Some(count) = self.stream.read_chunks(&mut chunks).await? else { return Ok(false) };
        for chunk in chunks.into_iter().take(count) {
            self.buffer.push(chunk);
        }
        Ok(true)
    }

    /// The stream itself, to stop it or read its id.
    pub fn stream_mut(&mut self) -> &mut quinn::RecvStream {
        &mut self.stream
    }
}

/// Frames could not be read from a stream.
#[derive(Debug, thiserror::Error)]
pub enum FrameReadError {
    /// The peer wrote something that is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The peer reset the stream, or the connection is lost.
    #[error(transparent)]
    Stream(#[from] quinn::ReadError),
    /// The peer finished the stream within a frame.
    #[error("stream ended within a frame")]
    CutOff,
}

/// Writes batches of whole frames. Batch 16 to 64 KiB before handing them over: every write is a lock and an entry
/// in a list that quinn walks for each packet.
#[derive(Debug)]
pub struct BatchWriter {
    stream: quinn::SendStream,
}

impl BatchWriter {
    /// Writes to this stream.
    pub fn new(stream: quinn::SendStream) -> Self {
        Self { stream }
    }

    /// Writes a batch, without copying it. Waits while the send window is full.
    ///
    /// Not to be cancelled: part of the batch may have been written.
    ///
    /// # Errors
    /// When the peer stopped the stream, or the connection is lost.
    pub async fn write(&mut self, batch: Bytes) -> Result<(), quinn::WriteError> {
        self.stream.write_chunk(batch).await
    }

    /// Writes several batches in order, as [`write`](Self::write) does; they are left empty.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn write_all(&mut self, batches: &mut [Bytes]) -> Result<(), quinn::WriteError> {
        self.stream.write_all_chunks(batches).await
    }

    /// The stream itself, to finish or reset it, or to set its priority.
    pub fn stream_mut(&mut self) -> &mut quinn::SendStream {
        &mut self.stream
    }
}

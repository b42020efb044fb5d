//! The receiving half of a stream, as h3 reads it.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId};

use super::meter::{FrameMeter, Refusal};
use super::{code, stream_error};
use crate::varint;

/// Control stream: the only unidirectional one with frames that h3 reads.
const CONTROL: u64 = 0x00;

/// The receiving half of a stream, metered.
pub struct RecvStream {
    stream: quinn::RecvStream,
    connection: quinn::Connection,
    /// Type of a unidirectional stream, still to be handed out. h3 wants it by itself.
    kind: Option<Bytes>,
    /// Received, or peeked at, and not handed out.
    chunk: Bytes,
    /// `None` for streams of which h3 reads no more than the type.
    meter: Option<FrameMeter>,
}

impl RecvStream {
    /// A stream of frames, of which `seen` has been read already.
    pub(super) fn frames(stream: quinn::RecvStream, connection: quinn::Connection, seen: Bytes) -> Self {
        Self { stream, connection, kind: None, chunk: seen, meter: Some(FrameMeter::new()) }
    }

    /// A unidirectional stream, of which at least the type has been read.
    pub(super) fn uni(stream: quinn::RecvStream, connection: quinn::Connection, mut seen: Bytes) -> Self {
        let (kind, len) = varint::get(&seen).unwrap_or((u64::MAX, seen.len()));
        let kind_bytes = seen.split_to(len);
        let meter = (kind == CONTROL).then(FrameMeter::new);
        Self { stream, connection, kind: Some(kind_bytes), chunk: seen, meter }
    }

    fn refuse(&self, refusal: Refusal) -> StreamErrorIncoming {
        let error = match refusal {
            Refusal::TooLong { .. } => Code::H3_EXCESSIVE_LOAD,
            Refusal::Undecodable => Code::H3_FRAME_ERROR,
        };
        self.connection.close(code(error.value()), refusal.to_string().as_bytes());
        StreamErrorIncoming::ConnectionErrorIncoming {
            connection_error: ConnectionErrorIncoming::Undefined(std::sync::Arc::new(refusal)),
        }
    }
}

impl quic::RecvStream for RecvStream {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        if let Some(kind) = self.kind.take() {
            return Poll::Ready(Ok(Some(kind)));
        }
        loop {
            let piece = match &mut self.meter {
                Some(meter) => match meter.take(&mut self.chunk) {
                    Ok(piece) => piece,
                    Err(refusal) => return Poll::Ready(Err(self.refuse(refusal))),
                },
                None if self.chunk.is_empty() => None,
                None => Some(std::mem::take(&mut self.chunk)),
            };
            if piece.is_some() {
                return Poll::Ready(Ok(piece));
            }
            // quinn keeps the waker by stream, not in the future, so the future can be made anew for every poll.
            // Keeping none means that the stream is always here to be stopped or asked for its id.
            match ready!(pin!(self.stream.read_chunk(usize::MAX, true)).poll(cx)) {
                Ok(Some(chunk)) => self.chunk = chunk.bytes,
                Ok(None) => return Poll::Ready(Ok(self.meter.as_mut().and_then(FrameMeter::rest))),
                Err(error) => return Poll::Ready(Err(read_error(error))),
            }
        }
    }

    fn stop_sending(&mut self, error_code: u64) {
        // Already stopped or read to its end: nothing to stop.
        let _ = self.stream.stop(code(error_code));
    }

    fn recv_id(&self) -> StreamId {
        u64::from(self.stream.id()).try_into().expect("quinn's stream ids are valid")
    }
}

fn read_error(error: quinn::ReadError) -> StreamErrorIncoming {
    match error {
        quinn::ReadError::Reset(code) => {
            StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() }
        }
        quinn::ReadError::ConnectionLost(error) => stream_error(error),
        other => StreamErrorIncoming::Unknown(Box::new(other)),
    }
}

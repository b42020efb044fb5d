//! The sending half of a stream, as h3 writes it.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};

use super::{code, stream_error};

/// The sending half of a stream. Header and payload of a frame are joined and written at once.
pub struct SendStream {
    stream: quinn::SendStream,
    writing: Bytes,
}

impl SendStream {
    pub(super) fn new(stream: quinn::SendStream) -> Self {
        Self { stream, writing: Bytes::new() }
    }
}

impl<B: Buf> quic::SendStream<B> for SendStream {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        while !self.writing.is_empty() {
            let mut chunks = [std::mem::take(&mut self.writing)];
            // quinn leaves what it did not take in the chunk, also when it took nothing.
            let written = pin!(self.stream.write_chunks(&mut chunks)).poll(cx);
            [self.writing] = chunks;
            ready!(written).map_err(write_error)?;
        }
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<B>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        if !self.writing.is_empty() {
            let connection_error =
                ConnectionErrorIncoming::InternalError("write before the last one ended".into());
            return Err(StreamErrorIncoming::ConnectionErrorIncoming { connection_error });
        }
        let mut data = data.into();
        self.writing = data.copy_to_bytes(data.remaining());
        Ok(())
    }

    fn poll_finish(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        Poll::Ready(self.stream.finish().map_err(|error| StreamErrorIncoming::Unknown(Box::new(error))))
    }

    fn reset(&mut self, reset_code: u64) {
        // Already finished or reset: nothing to reset.
        let _ = self.stream.reset(code(reset_code));
    }

    fn send_id(&self) -> StreamId {
        u64::from(self.stream.id()).try_into().expect("quinn's stream ids are valid")
    }
}

fn write_error(error: quinn::WriteError) -> StreamErrorIncoming {
    match error {
        quinn::WriteError::Stopped(code) => {
            StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() }
        }
        quinn::WriteError::ConnectionLost(error) => stream_error(error),
        other => StreamErrorIncoming::Unknown(Box::new(other)),
    }
}

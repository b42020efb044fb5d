//! quinn under h3: an adapter that peels WebTransport streams off and bounds what h3 keeps in memory.
//!
//! Three things are done that the stock adapter does not do. A stream that begins as a WebTransport stream is
//! handed over raw, so that its bytes pass through no HTTP layer. Whatever h3 reads comes to it frame by frame
//! and within limits, see `meter.rs`. And a DATA frame is one write.

mod accept;
mod connection;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod meter;
mod prefix;
mod recv;
mod router;
mod send;

pub use connection::{BidiStream, Connection, OpenStreams};
pub use meter::FRAME_LIMIT;
pub use recv::RecvStream;
pub use router::WAITING_STREAMS;
pub use send::SendStream;

pub(crate) use prefix::{BIDI_MARKER, UNI_MARKER};
pub(crate) use router::Router;

use std::sync::Arc;

use h3::quic::{ConnectionErrorIncoming, StreamErrorIncoming};

fn connection_error(error: quinn::ConnectionError) -> ConnectionErrorIncoming {
    match error {
        quinn::ConnectionError::ApplicationClosed(close) => {
            ConnectionErrorIncoming::ApplicationClose { error_code: close.error_code.into_inner() }
        }
        quinn::ConnectionError::TimedOut => ConnectionErrorIncoming::Timeout,
        other => ConnectionErrorIncoming::Undefined(Arc::new(other)),
    }
}

fn stream_error(error: quinn::ConnectionError) -> StreamErrorIncoming {
    StreamErrorIncoming::ConnectionErrorIncoming { connection_error: connection_error(error) }
}

/// A code of HTTP/3 as quinn wants it.
pub(crate) fn code(code: u64) -> quinn::VarInt {
    quinn::VarInt::from_u64(code).unwrap_or(quinn::VarInt::MAX)
}

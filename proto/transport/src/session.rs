//! WebTransport sessions over HTTP/3, for both sides.
//!
//! A session is a CONNECT request that stays open, and the streams that name it. There is one session on a
//! connection. Its streams are raw QUIC streams: after the prefix, which is read and written here, they carry
//! nothing but their user's bytes.
//!
//! Both sides get a [`Driver`] beside what they asked for. It has to be spawned, with `spawn` or `spawn_local`:
//! HTTP/3 only moves while it is polled, and dropping it ends everything on the connection.

mod capsule;
mod client;
mod connect_stream;
mod driver;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod handle;
mod server;

pub use client::{ConnectError, Refusal, connect_session};
pub use driver::Driver;
pub use handle::{Session, SessionEnd, SessionError};
pub use server::{AnswerError, Event, RequestStream, ServerConnection, SessionRequest, serve};

/// Largest header section of a request or response, in bytes as HTTP/3 counts them. Tokens are the largest part.
pub const MAX_FIELD_SECTION: u64 = 16 << 10;

/// Longest reason that closes a session, in bytes. From draft-ietf-webtrans-http3.
pub const MAX_REASON: usize = 1024;

/// Tells a browser which draft was chosen; Chromium closes a session without it.
const DRAFT_HEADER: (&str, &str) = ("sec-webtransport-http3-draft", "draft02");

/// Tells a server which draft is offered.
const DRAFT_OFFER: (&str, &str) = ("sec-webtransport-http3-draft02", "1");

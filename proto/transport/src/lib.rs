//! Transport of Macula: QUIC endpoints, TLS identities, HTTP/3 and WebTransport sessions.
//!
//! Gateways and clients share this crate. It knows how bytes travel and who the peer is; what the frames mean
//! is decided elsewhere. Nothing here spawns a task: whatever has to be driven is returned as a
//! [`session::Driver`] for the caller to spawn, on a `current_thread` runtime or any other.

pub mod client;
pub mod endpoint;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod h3quic;
pub mod profile;
pub mod session;
mod socket;
pub mod tls;
#[cfg(unix)]
mod udp;
pub mod varint;
pub mod windows;

/// ALPN of HTTP/3, which sessions of clients and browsers speak.
pub const ALPN_H3: &[u8] = b"h3";

/// ALPN of links between gateways: raw QUIC streams, no HTTP.
pub const ALPN_MESH: &[u8] = b"macula-mesh/1";

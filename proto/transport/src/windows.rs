//! How many bytes may be under way: the QUIC windows, above the credit of each class.
//!
//! QUIC windows are per stream and per connection, while our promise is per class: a full telemetry stream must
//! not stop a call. So the application gives out credit by class, and the QUIC windows are wide enough never to
//! bind first. All figures are first guesses, to be replaced by measurements.

use macula_proto::limits::WINDOW_BYTES;

/// QUIC receive window of one stream, in bytes: above the largest credit, so that a class meets its credit first.
pub const STREAM_RECEIVE_WINDOW: u32 = 6 << 20;

/// QUIC receive window of a connection, in bytes.
pub const RECEIVE_WINDOW: u32 = 16 << 20;

/// QUIC receive window of a connection whose other end has not been let in. From the design: at most 64 KiB wait for
/// Welcome.
pub const NEWCOMER_WINDOW: u32 = 64 << 10;

/// Bytes that quinn keeps for a connection until they are acknowledged.
pub const SEND_WINDOW: u64 = 8 << 20;

/// Room above the classes for control streams, HTTP requests and bodies.
const HEADROOM: u64 = 1 << 20;

const _: () = assert!(3 * WINDOW_BYTES + HEADROOM <= RECEIVE_WINDOW as u64);
const _: () = assert!(WINDOW_BYTES < STREAM_RECEIVE_WINDOW as u64);

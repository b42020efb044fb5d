//! How many bytes may be under way: credit of each class, and the QUIC windows above them.
//!
//! QUIC windows are per stream and per connection, while our promise is per class: a full telemetry stream must
//! not stop a call. So the application gives out credit by class, and the QUIC windows are wide enough never to
//! bind first. All figures are first guesses, to be replaced by measurements.

/// Application credit of the rpc class, in bytes.
pub const RPC_CREDIT: u64 = 1 << 20;

/// Application credit of the event class, in bytes.
pub const EVENT_CREDIT: u64 = 4 << 20;

/// Application credit of the telemetry class, in bytes.
pub const TELEMETRY_CREDIT: u64 = 1 << 20;

/// QUIC receive window of one stream, in bytes: above the largest credit, so that a class meets its credit first.
pub const STREAM_RECEIVE_WINDOW: u32 = 6 << 20;

/// QUIC receive window of a connection, in bytes.
pub const RECEIVE_WINDOW: u32 = 16 << 20;

/// Bytes that quinn keeps for a connection until they are acknowledged.
pub const SEND_WINDOW: u64 = 8 << 20;

/// What one class may have written and not yet acknowledged: a quarter of [`SEND_WINDOW`], leaving one for
/// control and bodies.
pub const CLASS_IN_FLIGHT: u64 = SEND_WINDOW / 4;

/// Room above the classes for control streams, HTTP requests and bodies.
const HEADROOM: u64 = 1 << 20;

const _: () = assert!(RPC_CREDIT + EVENT_CREDIT + TELEMETRY_CREDIT + HEADROOM <= RECEIVE_WINDOW as u64);
const _: () = assert!(EVENT_CREDIT < STREAM_RECEIVE_WINDOW as u64);

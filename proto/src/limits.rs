//! The bounds every part of Macula agrees on, and where each of them comes from.
//!
//! They are protocol limits: a peer that exceeds one gets an error that names it. What an operator may tune lies
//! below them and is told to the client in `Welcome`.

/// Longest topic or pattern, in bytes. From the design: a topic fits an MQTT-like short name and its length one byte.
pub const TOPIC_BYTES: usize = 255;

/// Most segments of a topic or pattern. From the design: lets a match walk a buffer of fixed size on the stack.
pub const TOPIC_SEGMENTS: usize = 16;

/// Longest record key of a message, in bytes. The same as a topic, since a key often is a name inside one.
pub const KEY_BYTES: usize = 255;

/// Longest content type in bytes: RFC 6838 allows 127 for each of type and subtype; parameters are short.
pub const CONTENT_TYPE_BYTES: usize = 255;

/// Largest payload of a message, a call or a result, in bytes. What a gateway accepts may be set lower and is told in
/// `Welcome`. Larger results stream in parts; larger files belong into an object store.
pub const PAYLOAD_BYTES: usize = 16 << 20;

/// Largest frame on a class stream, in bytes, its length prefix not counted: the largest payload with headers, names and
/// encoding.
pub const FRAME_BYTES: usize = PAYLOAD_BYTES + (64 << 10);

/// Largest payload of a last will, in bytes: every session may leave one with its gateway, so it is a notice, not a
/// document. A guess, not measured.
pub const WILL_BYTES: usize = 64 << 10;

/// Largest frame on the control stream of a session, in bytes: the frames there are small.
pub const CONTROL_FRAME_BYTES: usize = 1 << 20;

/// Most headers of one message. A guess, not measured: tracing needs two, applications rarely more than ten.
pub const HEADERS: usize = 32;

/// All header names and values of one message together, in bytes. 8 KiB is what web servers commonly accept.
pub const HEADER_BYTES: usize = 8 << 10;

/// Subscriptions of one session. A guess, not measured: a projection needs tens, a bridge thousands.
pub const SUBSCRIPTIONS_PER_SESSION: usize = 10_000;

/// Procedures and procedure patterns registered by one session. A guess, not measured.
pub const REGISTRATIONS_PER_SESSION: usize = 1_000;

/// Members of a group behind one gateway. A guess, not measured: every one is asked for at each message.
pub const MEMBERS_PER_INTEREST: usize = 10_000;

/// Patterns, groups and procedures together that one gateway may want and offer at another. A guess, not measured: some forty
/// sessions at their limits, or a quarter of a million that want one thing each; 120 bytes for each of them.
pub const INTEREST_PER_LINK: usize = 250_000;

/// Topic aliases a session may define. A guess, not measured: four topics for each of a thousand homes.
pub const ALIASES_PER_SESSION: usize = 4_096;

/// Calls a session may have in flight. A guess, not measured: at 1 ms a call this is a million calls a second.
pub const CALLS_IN_FLIGHT: usize = 1_000;

/// Credit in bytes that either side grants on each class stream at first: some thousand small messages, more than a
/// round trip on a local link needs. A guess, not measured.
pub const WINDOW_BYTES: u64 = 1 << 20;

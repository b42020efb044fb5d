//! The first byte of a stream, and the kind byte of a frame.
//!
//! Kinds from [`FIRST_SKIPPABLE`] on are skipped by a receiver that does not know them; an unknown kind below
//! it is a protocol error. That is how a later minor version adds notices without breaking older peers.

use crate::v1::Class;

/// What a stream carries: its first byte, after the WebTransport prefix if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum StreamKind {
    /// Opened once by the client (by the dialling gateway on a link), bidirectional.
    Control = 0,
    /// Calls and results, one stream for each direction.
    Rpc = 1,
    /// Events, one stream for each direction.
    Event = 2,
    /// Telemetry, one stream for each direction.
    Telemetry = 3,
}

impl StreamKind {
    /// All kinds, in the order of their bytes.
    pub const ALL: [StreamKind; 4] =
        [StreamKind::Control, StreamKind::Rpc, StreamKind::Event, StreamKind::Telemetry];

    /// The kind of this first byte, if there is one.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }

    /// The class whose credit counts on this stream; the control stream has none.
    pub fn class(self) -> Option<Class> {
        match self {
            StreamKind::Control => None,
            StreamKind::Rpc => Some(Class::Rpc),
            StreamKind::Event => Some(Class::Event),
            StreamKind::Telemetry => Some(Class::Telemetry),
        }
    }

    /// The stream of this class.
    pub fn of(class: Class) -> Option<Self> {
        match class {
            Class::Rpc => Some(StreamKind::Rpc),
            Class::Event => Some(StreamKind::Event),
            Class::Telemetry => Some(StreamKind::Telemetry),
            Class::Unspecified => None,
        }
    }
}

/// Frames of unknown kinds from here on are skipped.
pub const FIRST_SKIPPABLE: u8 = 0x80;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $byte:literal),* $(,)?) => {
        $($(#[$doc])* pub const $name: u8 = $byte;)*

        /// All kinds of frames, with the names of their constants.
        pub const ALL: &[(u8, &str)] = &[$(($byte, stringify!($name))),*];
    };
}

kinds! {
    /// [`crate::v1::Hello`]
    HELLO = 0x01,
    /// [`crate::v1::Welcome`]
    WELCOME = 0x02,
    /// [`crate::v1::Refused`]
    REFUSED = 0x03,
    /// [`crate::v1::Subscribe`]
    SUBSCRIBE = 0x04,
    /// [`crate::v1::Unsubscribe`]
    UNSUBSCRIBE = 0x05,
    /// [`crate::v1::Register`]
    REGISTER = 0x06,
    /// [`crate::v1::Unregister`]
    UNREGISTER = 0x07,
    /// [`crate::v1::Acknowledged`]
    ACKNOWLEDGED = 0x08,
    /// [`crate::v1::Accepted`]
    ACCEPTED = 0x09,
    /// [`crate::v1::Credit`]
    CREDIT = 0x0a,
    /// [`crate::v1::Ping`]
    PING = 0x0b,
    /// [`crate::v1::Pong`]
    PONG = 0x0c,
    /// [`crate::v1::Moving`]
    MOVING = 0x0d,
    /// [`crate::v1::Close`]
    CLOSE = 0x0e,
    /// [`crate::v1::PublishRefused`]
    PUBLISH_REFUSED = 0x0f,
    /// [`crate::v1::TopicAlias`]
    TOPIC_ALIAS = 0x10,
    /// [`crate::v1::PublisherAlias`]
    PUBLISHER_ALIAS = 0x11,
    /// [`crate::v1::Publish`]
    PUBLISH = 0x12,
    /// [`crate::v1::Deliver`]
    DELIVER = 0x13,
    /// [`crate::v1::Dropped`]
    DROPPED = 0x14,
    /// [`crate::v1::Gap`]
    GAP = 0x15,
    /// [`crate::v1::RetainedEnd`]
    RETAINED_END = 0x16,
    /// [`crate::v1::Expired`]
    EXPIRED = 0x17,
    /// [`crate::v1::Settled`]
    SETTLED = 0x18,
    /// [`crate::v1::Ack`]
    ACK = 0x19,
    /// [`crate::v1::Resent`]
    RESENT = 0x1a,
    /// [`crate::v1::Call`]
    CALL = 0x20,
    /// [`crate::v1::CallResult`]
    CALL_RESULT = 0x21,
    /// [`crate::v1::CallError`]
    CALL_ERROR = 0x22,
    /// [`crate::v1::CallCancel`]
    CALL_CANCEL = 0x23,
    /// [`crate::v1::CallEnd`]
    CALL_END = 0x24,
    /// [`crate::v1::CallCredit`]
    CALL_CREDIT = 0x25,
    /// [`crate::v1::LinkHello`]
    LINK_HELLO = 0x30,
    /// [`crate::v1::InterestSnapshot`]
    INTEREST_SNAPSHOT = 0x31,
    /// [`crate::v1::InterestDelta`]
    INTEREST_DELTA = 0x32,
    /// [`crate::v1::InterestApplied`]
    INTEREST_APPLIED = 0x33,
    /// [`crate::v1::Pause`]
    PAUSE = 0x34,
    /// [`crate::v1::Resume`]
    RESUME = 0x35,
    /// [`crate::v1::NotHere`]
    NOT_HERE = 0x36,
    /// [`crate::v1::StoreDigest`]
    STORE_DIGEST = 0x37,
    /// [`crate::v1::StoreList`]
    STORE_LIST = 0x38,
    /// [`crate::v1::Received`]
    RECEIVED = 0x39,
    /// [`crate::v1::Continue`]
    CONTINUE = 0x3a,
    /// [`crate::v1::InterestDigest`]
    INTEREST_DIGEST = 0x3b,
    /// [`crate::v1::InterestWanted`]
    INTEREST_WANTED = 0x3c,
}

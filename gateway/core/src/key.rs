//! Keys of the tables of a gateway: an index and a generation, so that a stale one finds nothing.

slotmap::new_key_type! {
    /// A connection: a client's session or a link to another gateway.
    pub struct ConnKey;
    /// A subscription of a session.
    pub(crate) struct SubscriptionKey;
    /// A provider of a procedure: a registration of a session, or the offer of a peer.
    pub(crate) struct ProviderKey;
    /// Somebody whose events are to be settled: a publisher, or a link.
    pub(crate) struct OriginKey;
    /// A group of subscriptions that share messages.
    pub(crate) struct GroupKey;
}

/// Stable identity of a gateway: sixteen bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub [u8; 16]);

impl NodeId {
    /// A number for a generator of random ones.
    pub(crate) fn seed(self) -> u64 {
        let (front, _) = self.0.split_at(8);
        front.iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte))
    }

    /// The id of the gateway of this name: whatever machine it runs on, and for everybody who knows the name.
    pub fn derived(realm: &str, name: &str) -> Self {
        let uri = format!("macula://{realm}/gateway/{name}");
        Self(uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, uri.as_bytes()).into_bytes())
    }
}

impl std::fmt::Display for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Identity of a publisher: sixteen random bytes, and the run of its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PublisherId {
    /// Chosen once by the client.
    pub id: [u8; 16],
    /// Higher is newer.
    pub epoch: u64,
}

/// The two classes of messages, as an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum MessageClass {
    Event = 0,
    Telemetry = 1,
}

impl MessageClass {
    pub(crate) fn stream(self) -> macula_proto::kind::StreamKind {
        match self {
            MessageClass::Event => macula_proto::kind::StreamKind::Event,
            MessageClass::Telemetry => macula_proto::kind::StreamKind::Telemetry,
        }
    }

    pub(crate) fn wire(self) -> macula_proto::v1::Class {
        match self {
            MessageClass::Event => macula_proto::v1::Class::Event,
            MessageClass::Telemetry => macula_proto::v1::Class::Telemetry,
        }
    }

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            MessageClass::Event => "event",
            MessageClass::Telemetry => "telemetry",
        }
    }

    pub(crate) fn of(class: macula_proto::v1::Class) -> Option<Self> {
        match class {
            macula_proto::v1::Class::Event => Some(MessageClass::Event),
            macula_proto::v1::Class::Telemetry => Some(MessageClass::Telemetry),
            _ => None,
        }
    }
}

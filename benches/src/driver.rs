//! Drives a gateway's core by frames, as clients and peers send them: bytes in, bytes out, no network.

use macula_core::{ConnKey, Identity, Node, NodeId, Now};
use macula_proto::frame::put_message;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{
    CallPolicy, Continue, Hello, Interest, InterestSnapshot, LinkHello, Received, Register, Subscribe,
    TopicAlias, Windows,
};
use macula_proto::wire::{self, Message};

/// Messages in one batch: what a busy publisher's packet carries.
pub const BATCH: usize = 40;
/// Credit that never ends.
pub const ENDLESS: u64 = u64::MAX / 2;

const REALM: &str = "bench";

/// A core, and what is needed to drive it.
#[derive(Debug)]
pub struct Driver {
    /// The core.
    pub node: Node,
    /// Time that it is told.
    pub now: Now,
    sequence: u64,
    batch: Vec<u8>,
}

impl Driver {
    /// A core without connections, whose node id is made of this number.
    pub fn new(id: u8) -> Self {
        let identity = Identity {
            node: NodeId([id; 16]),
            name: format!("gateway-{id}"),
            realm: REALM.to_owned(),
            epoch: 1,
            advertise: Vec::new(),
        };
        let now = Now { elapsed_ms: 1, unix_ms: 1 };
        Self { node: Node::new(identity), now, sequence: 0, batch: Vec::new() }
    }

    /// A client that was welcomed and grants so many bytes on every stream. It does not acknowledge: events count as that
    /// once they are sent.
    pub fn client(&mut self, id: u128, window: u64) -> ConnKey {
        let conn = self.node.open_session();
        let hello = Hello {
            versions: vec![1],
            realm: REALM.to_owned(),
            publisher: id.to_be_bytes().to_vec().into(),
            epoch: 1,
            windows: Some(Windows { rpc: window, event: window, telemetry: window }),
            ..Hello::default()
        };
        self.control(conn, kind::HELLO, &hello);
        self.drain();
        conn
    }

    /// A link that is up, to a peer that wants these patterns.
    pub fn peer(&mut self, id: u8, patterns: impl IntoIterator<Item = String>) -> ConnKey {
        let conn = self.node.open_link(false);
        let hello = LinkHello {
            versions: vec![1],
            realm: REALM.to_owned(),
            node: vec![id; 16].into(),
            name: format!("gateway-{id}"),
            epoch: 1,
            windows: Some(Windows { rpc: ENDLESS, event: ENDLESS, telemetry: ENDLESS }),
            ..LinkHello::default()
        };
        self.control(conn, kind::LINK_HELLO, &hello);
        self.control(conn, kind::RECEIVED, &Received::default());
        let interests = patterns.into_iter().map(|pattern| Interest { pattern, ..Interest::default() });
        let interests = interests.collect();
        self.control(
            conn,
            kind::INTEREST_SNAPSHOT,
            &InterestSnapshot { version: 1, interests, offers: vec![] },
        );
        self.frame(conn, StreamKind::Event, kind::CONTINUE, &Continue::default());
        self.drain();
        conn
    }

    /// A subscription with the policies of the pattern's class.
    pub fn subscribe(&mut self, conn: ConnKey, subscription: u32, pattern: &str) {
        let subscribe = Subscribe { subscription, pattern: pattern.to_owned(), ..Subscribe::default() };
        self.control(conn, kind::SUBSCRIBE, &subscribe);
    }

    /// A registration.
    pub fn register(&mut self, conn: ConnKey, registration: u32, procedure: &str, policy: CallPolicy) {
        let register = Register {
            registration,
            procedure: procedure.to_owned(),
            policy: policy.into(),
            ..Register::default()
        };
        self.control(conn, kind::REGISTER, &register);
    }

    /// A client tells a name for a topic.
    pub fn alias(&mut self, conn: ConnKey, stream: StreamKind, alias: u32, topic: &str) {
        let told = TopicAlias { alias, topic: topic.to_owned(), content_type: String::new() };
        self.frame(conn, stream, kind::TOPIC_ALIAS, &told);
    }

    /// A control frame arrives.
    pub fn control(&mut self, conn: ConnKey, kind: u8, message: &impl prost::Message) {
        self.frame(conn, StreamKind::Control, kind, message);
    }

    /// A frame arrives.
    pub fn frame(&mut self, conn: ConnKey, stream: StreamKind, kind: u8, message: &impl prost::Message) {
        let mut frame = Vec::new();
        put_message(&mut frame, kind, message);
        self.node.receive(conn, stream, &frame, self.now);
    }

    /// A batch of messages of 128 bytes arrives, each with an alias and a key that follow from its place in the batch.
    pub fn publish<'a>(&mut self, conn: ConnKey, stream: StreamKind, each: impl Fn(usize) -> (u32, &'a str)) {
        self.batch.clear();
        for place in 0..BATCH {
            let (alias, key) = each(place);
            self.sequence += 1;
            wire::encode_publish(&mut self.batch, alias, self.sequence, &Message::new(&[7; 128], key), false);
        }
        self.node.receive(conn, stream, &self.batch, self.now);
    }

    /// Takes what there is to send; its bytes.
    pub fn drain(&mut self) -> usize {
        self.drain_into(|_, _, _| {})
    }

    /// Takes what there is to send, and shows it.
    pub fn drain_into(&mut self, mut show: impl FnMut(ConnKey, StreamKind, &[u8])) -> usize {
        let mut sent = 0;
        while let Some((conn, stream)) = self.node.poll_ready() {
            while let Some(bytes) = self.node.take(conn, stream, self.now) {
                sent += bytes.len();
                show(conn, stream, &bytes);
            }
        }
        while self.node.poll_notice().is_some() {}
        sent
    }
}

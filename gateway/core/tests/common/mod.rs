//! A gateway to feed frames to, and the frames that come out of it.
#![allow(dead_code, reason = "each test file uses its part")]

use macula_core::{ConnKey, Identity, Node, NodeId, Notice, Now};
use macula_proto::frame::{self, FrameError, Splitter};
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{self, Class, Windows};
use macula_proto::wire;
use prost::Message;
use std::collections::HashMap;

pub(crate) type Frame = (u8, Vec<u8>);

pub(crate) struct Gateway {
    pub(crate) node: Node,
    pub(crate) now: Now,
    out: HashMap<(ConnKey, StreamKind), Vec<u8>>,
    pub(crate) notices: Vec<Notice>,
}

impl Gateway {
    pub(crate) fn new() -> Self {
        let identity = Identity {
            node: NodeId([5; 16]),
            name: "here".to_owned(),
            realm: "test".to_owned(),
            epoch: 1,
            advertise: Vec::new(),
        };
        Self {
            node: Node::new(identity),
            now: Now { elapsed_ms: 0, unix_ms: 1 << 40 },
            out: HashMap::new(),
            notices: Vec::new(),
        }
    }

    /// A client that was welcomed and grants `window` bytes on every stream.
    pub(crate) fn client(&mut self, publisher: u8, window: u64) -> ConnKey {
        let conn = self.node.open_session();
        self.send(conn, kind::HELLO, &hello(publisher, window));
        let frames = self.frames(conn, StreamKind::Control);
        assert_eq!(frames[0].0, kind::WELCOME);
        conn
    }

    /// A peer whose link is up.
    pub(crate) fn peer(&mut self, id: u8, name: &str) -> ConnKey {
        let conn = self.linked(link_hello(id, name));
        self.send(conn, kind::INTEREST_SNAPSHOT, &v1::InterestSnapshot::default());
        self.frames(conn, StreamKind::Control);
        conn
    }

    /// A peer has connected for the first time, and what both sides say first has been said.
    pub(crate) fn linked(&mut self, hello: v1::LinkHello) -> ConnKey {
        let conn = self.node.open_link(false);
        self.send(conn, kind::LINK_HELLO, &hello);
        self.send(conn, kind::RECEIVED, &v1::Received::default());
        self.send_on(conn, StreamKind::Event, kind::CONTINUE, &v1::Continue::default());
        let sent = self.out.get_mut(&(conn, StreamKind::Event)).expect("the stream has begun");
        assert_eq!(sent[..2], [1, kind::CONTINUE]);
        sent.drain(..2);
        conn
    }

    /// A control frame arrives.
    pub(crate) fn send(&mut self, conn: ConnKey, kind: u8, message: &impl Message) {
        self.send_on(conn, StreamKind::Control, kind, message);
    }

    pub(crate) fn send_on(&mut self, conn: ConnKey, stream: StreamKind, kind: u8, message: &impl Message) {
        let mut bytes = Vec::new();
        frame::put_message(&mut bytes, kind, message);
        self.bytes(conn, stream, &bytes);
    }

    pub(crate) fn bytes(&mut self, conn: ConnKey, stream: StreamKind, bytes: &[u8]) {
        self.node.receive(conn, stream, bytes, self.now);
        self.pump();
    }

    pub(crate) fn alias(&mut self, conn: ConnKey, stream: StreamKind, alias: u32, topic: &str) {
        let told = v1::TopicAlias { alias, topic: topic.to_owned(), content_type: String::new() };
        self.send_on(conn, stream, kind::TOPIC_ALIAS, &told);
    }

    pub(crate) fn publish(
        &mut self,
        conn: ConnKey,
        stream: StreamKind,
        alias: u32,
        sequence: u64,
        payload: &[u8],
    ) {
        let mut bytes = Vec::new();
        wire::encode_publish(&mut bytes, alias, sequence, &wire::Message::new(payload, ""), false);
        self.bytes(conn, stream, &bytes);
    }

    pub(crate) fn credit(&mut self, conn: ConnKey, class: Class, total: u64) {
        self.send(conn, kind::CREDIT, &v1::Credit { class: class.into(), total });
    }

    /// Time passes, as the shell sees it: a tick every 100 ms.
    pub(crate) fn pass(&mut self, ms: u64) {
        for _ in 0..ms / 100 {
            self.jump(100);
        }
    }

    /// Time passes in one step.
    pub(crate) fn jump(&mut self, ms: u64) {
        self.now.elapsed_ms += ms;
        self.now.unix_ms += ms;
        self.node.tick(self.now);
        self.pump();
    }

    pub(crate) fn remove(&mut self, conn: ConnKey) {
        self.node.remove(conn, self.now);
        self.pump();
    }

    fn pump(&mut self) {
        while let Some((conn, stream)) = self.node.poll_ready() {
            while let Some(bytes) = self.node.take(conn, stream, self.now) {
                self.out.entry((conn, stream)).or_default().extend_from_slice(&bytes);
            }
        }
        self.notices.extend(std::iter::from_fn(|| self.node.poll_notice()));
    }

    /// Whole frames that came out of a stream since the last look.
    pub(crate) fn frames(&mut self, conn: ConnKey, stream: StreamKind) -> Vec<Frame> {
        let mut frames = Vec::new();
        let mut taken = 0;
        let bytes = self.out.entry((conn, stream)).or_default();
        let mut splitter = Splitter::new(macula_proto::limits::FRAME_BYTES);
        splitter
            .split(bytes, |kind, body| {
                let mut whole = Vec::new();
                frame::put(&mut whole, kind, body);
                taken += whole.len();
                frames.push((kind, body.to_vec()));
                Ok::<(), FrameError>(())
            })
            .expect("the gateway sends frames");
        bytes.drain(..taken);
        frames
    }

    /// The frames of one kind on a stream since the last look; others are skipped.
    pub(crate) fn only<M: Message + Default>(
        &mut self,
        conn: ConnKey,
        stream: StreamKind,
        kind: u8,
    ) -> Vec<M> {
        let frames = self.frames(conn, stream).into_iter().filter(|frame| frame.0 == kind);
        frames.map(|(_, body)| M::decode(&body[..]).expect("a frame of this kind")).collect()
    }

    /// Sequences of the messages delivered on a stream since the last look.
    pub(crate) fn sequences(&mut self, conn: ConnKey, stream: StreamKind) -> Vec<u64> {
        self.only::<v1::Deliver>(conn, stream, kind::DELIVER)
            .into_iter()
            .map(|deliver| deliver.sequence)
            .collect()
    }

    /// Why the gateway closed this connection, if it did.
    pub(crate) fn closed(&self, conn: ConnKey) -> Option<(v1::Code, &str)> {
        self.notices.iter().find_map(|notice| match notice {
            Notice::Close { conn: closed, code, message, .. } if *closed == conn => {
                Some((*code, &message[..]))
            }
            _ => None,
        })
    }
}

pub(crate) fn hello(publisher: u8, window: u64) -> v1::Hello {
    v1::Hello {
        versions: vec![1],
        realm: "test".to_owned(),
        publisher: vec![publisher; 16].into(),
        epoch: 1,
        windows: Some(Windows { rpc: window, event: window, telemetry: window }),
        ..v1::Hello::default()
    }
}

pub(crate) fn link_hello(id: u8, name: &str) -> v1::LinkHello {
    v1::LinkHello {
        versions: vec![1],
        realm: "test".to_owned(),
        node: vec![id; 16].into(),
        name: name.to_owned(),
        epoch: 1,
        windows: Some(Windows { rpc: 1 << 30, event: 1 << 30, telemetry: 1 << 30 }),
        ..v1::LinkHello::default()
    }
}

pub(crate) fn subscribe(subscription: u32, pattern: &str) -> v1::Subscribe {
    v1::Subscribe { subscription, pattern: pattern.to_owned(), ..v1::Subscribe::default() }
}

pub(crate) fn register(registration: u32, procedure: &str) -> v1::Register {
    v1::Register { registration, procedure: procedure.to_owned(), ..v1::Register::default() }
}

pub(crate) fn call(call: u64, procedure: &str, timeout_ms: u32) -> v1::Call {
    v1::Call { call, procedure: procedure.to_owned(), timeout_ms, ..v1::Call::default() }
}

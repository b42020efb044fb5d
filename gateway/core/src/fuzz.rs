//! What a fuzzer feeds to a [`Node`]: any bytes, and sequences of frames that mostly make sense.
//!
//! Behind the feature `fuzz`, for `gateway/fuzz` and the tests, which run the committed seeds through the same functions.
//! No part of the API.

mod steps;

use crate::hash::HashMap;
use crate::{ConnKey, Identity, Node, NodeId, Notice, Now};
use macula_proto::frame::{self, FrameError, Splitter};
use macula_proto::fuzz::Choices;
use macula_proto::kind::{self, StreamKind};
use macula_proto::{limits, v1};
use prost::Message as _;

/// Steps of one sequence; what lies beyond is left alone, so that no input takes long.
const STEPS: usize = 500;
/// Time after which nothing of a connection may be left: longer than sessions are kept, interest is parked and calls
/// last.
const FORGOTTEN_MS: u64 = 600_000;

/// Any bytes on the streams of a session and a link that are up: `stream and connection | length | bytes`, and so on.
pub fn bytes(data: &[u8]) {
    let mut choices = Choices(data);
    let mut gateway = Gateway::new();
    let conns = [gateway.session(1), gateway.link(9, 1, None)];
    while !choices.is_over() {
        let (conn, stream) = (choices.pick(&conns), choices.pick(&StreamKind::ALL));
        let length = choices.byte().into();
        gateway.receive(conn, stream, choices.bytes(length));
    }
    gateway.forget_everything();
}

/// Connections that come and go, frames of every kind, and time that passes.
pub fn sequences(data: &[u8]) {
    let mut choices = Choices(data);
    let mut gateway = Gateway::new();
    for _ in 0..STEPS {
        if choices.is_over() {
            break;
        }
        steps::step(&mut gateway, &mut choices);
    }
    gateway.forget_everything();
}

/// A gateway, and the other ends of its connections.
struct Gateway {
    node: Node,
    now: Now,
    conns: Vec<ConnKey>,
    out: HashMap<(ConnKey, StreamKind), Splitter>,
    /// Numbers of the calls that each connection was given, so that some answers are to the point.
    calls: HashMap<ConnKey, Vec<u64>>,
    /// Numbers of the sessions that were welcomed, so that some are resumed.
    sessions: Vec<u64>,
}

impl Gateway {
    fn new() -> Self {
        let identity = Identity {
            node: NodeId([5; 16]),
            name: "here".to_owned(),
            realm: "test".to_owned(),
            epoch: 1,
            advertise: Vec::new(),
        };
        let now = Now { elapsed_ms: 0, unix_ms: 1 << 40 };
        let (conns, out, calls, sessions) = (Vec::new(), HashMap::default(), HashMap::default(), Vec::new());
        Self { node: Node::new(identity), now, conns, out, calls, sessions }
    }

    /// A session that was welcomed.
    fn session(&mut self, publisher: u8) -> ConnKey {
        let conn = self.node.open_session();
        self.conns.push(conn);
        let hello = v1::Hello {
            versions: vec![1],
            realm: "test".to_owned(),
            publisher: vec![publisher; 16].into(),
            epoch: 1,
            windows: Some(v1::Windows { rpc: 1 << 20, event: 1 << 20, telemetry: 1 << 20 }),
            ..v1::Hello::default()
        };
        self.send(conn, StreamKind::Control, kind::HELLO, &hello);
        conn
    }

    /// A link that is up, to this run of a peer that says how far it has received events before.
    fn link(&mut self, node: u8, epoch: u64, position: Option<u64>) -> ConnKey {
        let conn = self.node.open_link(false);
        self.conns.push(conn);
        let hello = v1::LinkHello {
            versions: vec![1],
            realm: "test".to_owned(),
            node: vec![node; 16].into(),
            name: format!("peer-{node}"),
            epoch,
            windows: Some(v1::Windows { rpc: 1 << 20, event: 1 << 20, telemetry: 1 << 20 }),
            ..v1::LinkHello::default()
        };
        self.send(conn, StreamKind::Control, kind::LINK_HELLO, &hello);
        self.send(conn, StreamKind::Control, kind::RECEIVED, &v1::Received { position });
        conn
    }

    fn send(&mut self, conn: ConnKey, stream: StreamKind, kind: u8, message: &impl prost::Message) {
        let mut bytes = Vec::new();
        frame::put_message(&mut bytes, kind, message);
        self.receive(conn, stream, &bytes);
    }

    fn receive(&mut self, conn: ConnKey, stream: StreamKind, bytes: &[u8]) {
        self.node.receive(conn, stream, bytes, self.now);
        self.drain();
    }

    fn pass(&mut self, ms: u64) {
        self.now.elapsed_ms += ms;
        self.now.unix_ms += ms;
        self.node.tick(self.now);
        self.drain();
    }

    fn remove(&mut self, conn: ConnKey) {
        self.conns.retain(|known| *known != conn);
        self.node.remove(conn, self.now);
        self.drain();
    }

    /// Does what a shell does: sends what is ready, and removes what is closed.
    fn drain(&mut self) {
        loop {
            while let Some((conn, stream)) = self.node.poll_ready() {
                while let Some(bytes) = self.node.take(conn, stream, self.now) {
                    self.check(conn, stream, &bytes);
                }
            }
            let mut closed = Vec::new();
            while let Some(notice) = self.node.poll_notice() {
                if let Notice::Close { conn, .. } = notice {
                    closed.push(conn);
                }
            }
            if closed.is_empty() {
                return;
            }
            for conn in closed {
                self.conns.retain(|known| *known != conn);
                self.node.remove(conn, self.now);
            }
        }
    }

    /// What the gateway sends are frames that a peer takes.
    fn check(&mut self, conn: ConnKey, stream: StreamKind, bytes: &[u8]) {
        let (calls, sessions) = (self.calls.entry(conn).or_default(), &mut self.sessions);
        let splitter = self.out.entry((conn, stream)).or_insert_with(|| Splitter::new(limits::FRAME_BYTES));
        let split = splitter.split(bytes, |kind, body| {
            assert!(kind::ALL.iter().any(|(known, _)| *known == kind), "a frame of kind {kind:#04x}");
            match kind {
                kind::CALL => calls.push(v1::Call::decode(body).expect("the gateway sends protobuf").call),
                kind::WELCOME => {
                    sessions.push(v1::Welcome::decode(body).expect("the gateway sends protobuf").session);
                }
                _ => {}
            }
            Ok::<(), FrameError>(())
        });
        split.expect("the gateway sends frames");
    }

    /// Once everybody is gone and time has passed, nothing is left of them but what is retained.
    fn forget_everything(mut self) {
        for conn in std::mem::take(&mut self.conns) {
            self.remove(conn);
        }
        for _ in 0..60 {
            self.pass(FORGOTTEN_MS / 60);
        }
        let gauges = self.node.gauges();
        let left = (gauges.sessions, gauges.links, gauges.subscriptions, gauges.registrations, gauges.calls);
        assert_eq!(left, (0, 0, 0, 0, 0), "{gauges:?}");
        assert_eq!(gauges.queued_bytes, 0, "{gauges:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use macula_proto::fuzz::replay;
    use std::path::{Path, PathBuf};

    fn seeds(target: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target)
    }

    #[test]
    fn seeds_of_the_bytes() {
        replay(&seeds("bytes"), bytes);
    }

    #[test]
    fn seeds_of_the_sequences() {
        replay(&seeds("sequences"), sequences);
    }
}

use super::*;
use crate::key::NodeId;
use crate::node::Identity;
use macula_proto::frame::{self, FrameError, Splitter};
use macula_proto::kind::StreamKind;
use macula_proto::v1::{CallCancel, CallCredit, CallError, Hello, Windows};
use prost::Message;

/// Answers with as many parts as the payload's first byte says, of as many bytes as the second says.
pub(super) fn count(_: &mut Node, call: &Call, _: Now) -> Answer {
    let &[count, size] = &call.payload[..] else {
        return Answer::Error(Code::InvalidArgument, "two bytes, please".to_owned());
    };
    let part = move |number| Reply { payload: vec![number; usize::from(size)].into(), ..Reply::default() };
    let mut parts = (0..count).map(part);
    Answer::Parts(Box::new(move |_| parts.next()))
}

const NOW: Now = Now { elapsed_ms: 0, unix_ms: 1 << 40 };

struct Caller {
    node: Node,
    conn: ConnKey,
    splitter: Splitter,
}

impl Caller {
    fn new() -> Self {
        let identity = Identity {
            node: NodeId([5; 16]),
            name: "here".to_owned(),
            realm: "test".to_owned(),
            epoch: 1,
            advertise: Vec::new(),
        };
        let mut node = Node::new(identity);
        let conn = node.open_session();
        let mut caller = Self { node, conn, splitter: Splitter::new(limits::FRAME_BYTES) };
        let hello = Hello {
            versions: vec![1],
            realm: "test".to_owned(),
            publisher: vec![1; 16].into(),
            windows: Some(Windows { rpc: 1 << 30, event: 0, telemetry: 0 }),
            ..Hello::default()
        };
        caller.send(StreamKind::Control, kind::HELLO, &hello);
        caller
    }

    fn send(&mut self, stream: StreamKind, kind: u8, message: &impl Message) {
        let mut bytes = Vec::new();
        frame::put_message(&mut bytes, kind, message);
        self.node.receive(self.conn, stream, &bytes, NOW);
    }

    fn call(&mut self, procedure: &str, payload: &[u8], credit: u64) {
        let payload = Bytes::copy_from_slice(payload);
        let call = Call { call: 7, procedure: procedure.to_owned(), payload, credit, ..Call::default() };
        self.send(StreamKind::Rpc, kind::CALL, &call);
    }

    /// Results as payload and `more`, and errors, in order.
    fn answers(&mut self) -> Vec<Result<(Vec<u8>, bool), Code>> {
        let mut answers = Vec::new();
        while let Some(bytes) = self.node.take(self.conn, StreamKind::Rpc, NOW) {
            let split = self.splitter.split(&bytes, |kind, body| {
                answers.push(match kind {
                    kind::CALL_RESULT => {
                        let result = CallResult::decode(body).unwrap();
                        assert_eq!(result.call, 7);
                        Ok((result.payload.to_vec(), result.more))
                    }
                    _ => Err(CallError::decode(body).unwrap().code()),
                });
                Ok::<(), FrameError>(())
            });
            split.unwrap();
        }
        answers
    }
}

#[test]
fn the_gateway_answers_by_itself() {
    let mut caller = Caller::new();
    caller.call("$sys.echo", b"hello", 0);
    assert_eq!(caller.answers(), [Ok((b"hello".to_vec(), false))]);
    caller.call("$sys.nothing", b"", 0);
    assert_eq!(caller.answers(), [Err(Code::NotFound)]);
    caller.call("$sys.count", b"", 0);
    assert_eq!(caller.answers(), [Err(Code::InvalidArgument)]);
    assert_eq!(caller.node.gauges().calls, 0);
}

#[test]
fn parts_leave_as_the_caller_grants_credit() {
    let mut caller = Caller::new();
    caller.call("$sys.count", &[5, 100], 250);
    let part = |number: u8, more| Ok((vec![number; 100], more));
    assert_eq!(caller.answers(), [part(0, true), part(1, true)]);
    caller.send(StreamKind::Rpc, kind::CALL_CREDIT, &CallCredit { call: 7, total: 299 });
    assert_eq!(caller.answers(), [], "the third has no room yet");
    caller.send(StreamKind::Rpc, kind::CALL_CREDIT, &CallCredit { call: 7, total: 450 });
    assert_eq!(caller.answers(), [part(2, true), part(3, true)]);
    assert_eq!(caller.node.gauges().calls, 1);
    caller.send(StreamKind::Rpc, kind::CALL_CREDIT, &CallCredit { call: 7, total: 500 });
    assert_eq!(caller.answers(), [part(4, false)]);
    assert_eq!(caller.node.gauges().calls, 0);
    assert!(caller.node.system.0.is_empty());
}

#[test]
fn a_stream_without_a_taker_ends() {
    let mut caller = Caller::new();
    caller.call("$sys.count", &[5, 100], 0);
    assert_eq!(caller.answers(), [Err(Code::InvalidArgument)], "it wants a single result");
    caller.call("$sys.count", &[1, 100], 0);
    assert_eq!(caller.answers(), [Ok((vec![0; 100], false))], "and there is one");
    caller.call("$sys.count", &[5, 100], 99);
    assert_eq!(caller.answers(), [Err(Code::ResourceExhausted)], "it would never take a part");

    caller.call("$sys.count", &[5, 100], 100);
    caller.send(StreamKind::Rpc, kind::CALL_CANCEL, &CallCancel { call: 7 });
    assert!(caller.node.system.0.is_empty());
    caller.answers();
    caller.call("$sys.count", &[5, 100], 100);
    caller.answers();
    caller.node.tick(Now { elapsed_ms: 30_000, ..NOW });
    assert_eq!(caller.answers(), [Err(Code::DeadlineExceeded)]);
    caller.call("$sys.count", &[5, 100], 100);
    caller.node.remove(caller.conn, NOW);
    assert!(caller.node.system.0.is_empty());
    assert_eq!(caller.node.gauges().calls, 0);
}

#[test]
fn who_does_not_read_has_no_part_dropped() {
    let mut caller = Caller::new();
    caller.call("$sys.count", &[255, 255], u64::MAX);
    let echo =
        Call { procedure: "$sys.echo".to_owned(), payload: vec![0; 1_000_000].into(), ..Call::default() };
    for call in 100..118 {
        caller.send(StreamKind::Rpc, kind::CALL, &Call { call, ..echo.clone() });
    }
    let other =
        Call { call: 8, procedure: "$sys.count".to_owned(), payload: vec![3, 9].into(), credit: 99, ..echo };
    caller.send(StreamKind::Rpc, kind::CALL, &other);
    assert_eq!(caller.node.gauges().calls, 1, "it waits behind what is not read");
    while caller.node.take(caller.conn, StreamKind::Rpc, NOW).is_some() {}
    caller.node.tick(NOW);
    assert_eq!(caller.node.gauges().calls, 0);
    assert!(caller.node.take(caller.conn, StreamKind::Rpc, NOW).is_some());
}

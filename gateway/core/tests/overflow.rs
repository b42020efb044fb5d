//! A reader that has stopped, under every overflow policy and in both classes: what it costs whom.

mod common;

use common::{Gateway, call, hello, register, subscribe};
use macula_core::ConnKey;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{self, Class, Code, Hello, Overflow, Subscribe, Windows};
use macula_proto::wire;
use prost::Message as _;

const POLICIES: [Overflow; 5] =
    [Overflow::Block, Overflow::Conflate, Overflow::DropOldest, Overflow::DropNewest, Overflow::Disconnect];
const PAYLOAD: usize = 8 << 10;
/// What a queue may hold beside what its publishers have under way: the backlog of all policies.
const HELD_BYTES: usize = 3 << 20;
const LARGE: u64 = 1 << 40;

fn client(gateway: &mut Gateway, id: u8, window: u64, subscribe: &Subscribe) -> ConnKey {
    let conn = gateway.node.open_session();
    let windows = Windows { rpc: 1 << 20, event: window, telemetry: window };
    gateway.send(conn, kind::HELLO, &Hello { windows: Some(windows), ..hello(id, 0) });
    gateway.send(conn, kind::SUBSCRIBE, subscribe);
    conn
}

fn subscription(class: Class, policy: Overflow) -> Subscribe {
    match class {
        Class::Event => Subscribe { events: policy.into(), ..subscribe(1, "a") },
        _ => Subscribe { telemetry: policy.into(), ..subscribe(1, "a") },
    }
}

/// Publishes within the credit that the gateway grants, as a client does; how many it could.
fn publish(gateway: &mut Gateway, from: ConnKey, stream: StreamKind, sent: &mut Sent, count: u64) -> u64 {
    for done in 0..count {
        let mut bytes = Vec::new();
        let key = (sent.sequence % 10).to_string();
        let message = wire::Message::new(&[7; PAYLOAD], &key);
        wire::encode_publish(&mut bytes, 1, sent.sequence + 1, &message, false);
        for credit in gateway.only::<v1::Credit>(from, StreamKind::Control, kind::CREDIT) {
            if StreamKind::of(credit.class()) == Some(stream) {
                sent.credit = credit.total;
            }
        }
        if sent.bytes + bytes.len() as u64 > sent.credit {
            return done;
        }
        sent.bytes += bytes.len() as u64;
        sent.sequence += 1;
        gateway.bytes(from, stream, &bytes);
    }
    count
}

struct Sent {
    sequence: u64,
    bytes: u64,
    credit: u64,
}

impl Sent {
    fn after_alias() -> Self {
        // The alias frame, generously.
        Self { sequence: 0, bytes: 64, credit: 1 << 20 }
    }
}

/// What a reader got in the end: messages, and losses told.
fn tally(gateway: &mut Gateway, conn: ConnKey, stream: StreamKind) -> (u64, u64) {
    let (mut got, mut told) = (0, 0);
    for (kind, body) in gateway.frames(conn, stream) {
        match kind {
            kind::DELIVER => got += 1,
            kind::GAP => told += v1::Gap::decode(&body[..]).unwrap().count,
            kind::DROPPED => told += v1::Dropped::decode(&body[..]).unwrap().count,
            _ => {}
        }
    }
    (got, told)
}

#[test]
fn a_stopped_reader_costs_a_bounded_queue_and_only_whom_it_asked_to_wait() {
    for (class, stream) in [(Class::Event, StreamKind::Event), (Class::Telemetry, StreamKind::Telemetry)] {
        for policy in POLICIES {
            stopped_reader(class, stream, policy);
        }
    }
}

fn stopped_reader(class: Class, stream: StreamKind, policy: Overflow) {
    let case = format!("{class:?} {policy:?}");
    let mut gateway = Gateway::new();
    let stopped = client(&mut gateway, 1, 0, &subscription(class, policy));
    let neighbour = client(&mut gateway, 2, LARGE, &subscription(class, Overflow::Block));
    let from = gateway.client(3, LARGE);
    gateway.alias(from, stream, 1, "a");
    let bystander = gateway.client(4, LARGE);
    gateway.alias(bystander, stream, 1, "b");
    let mut sent = Sent::after_alias();
    let published = publish(&mut gateway, from, stream, &mut sent, 1_000);
    let held = gateway.node.gauges().queued_bytes;
    assert!(held <= HELD_BYTES, "{case}: {held} bytes");
    if policy == Overflow::Block {
        assert!(published < 1_000, "{case}: the publisher waits");
        assert_eq!(publish(&mut gateway, from, stream, &mut sent, 1), 0, "{case}");
        gateway.pass(9_900);
        assert_eq!(publish(&mut gateway, from, stream, &mut sent, 1), 0, "{case}: for ten seconds");
        gateway.pass(200);
        assert_eq!(
            publish(&mut gateway, from, stream, &mut sent, 1_000 - published),
            1_000 - published,
            "{case}"
        );
    } else {
        assert_eq!(published, 1_000, "{case}: the publisher does not wait");
    }
    assert_eq!(publish(&mut gateway, bystander, stream, &mut Sent::after_alias(), 1_000), 1_000, "{case}");
    assert_eq!(tally(&mut gateway, neighbour, stream), (1_000, 0), "{case}: the neighbour has everything");
    let held = gateway.node.gauges().queued_bytes;
    assert!(held <= HELD_BYTES, "{case}: {held} bytes");
    if policy == Overflow::Disconnect {
        assert_eq!(gateway.closed(stopped).map(|(code, _)| code), Some(Code::ResourceExhausted), "{case}");
        gateway.remove(stopped);
        assert_eq!(gateway.node.gauges().queued_bytes, 0, "{case}");
        return;
    }
    gateway.credit(stopped, class, LARGE);
    let (mut got, mut told) = tally(&mut gateway, stopped, stream);
    // A loss at the end is told with the next message.
    publish(&mut gateway, from, stream, &mut sent, 1);
    let more = tally(&mut gateway, stopped, stream);
    (got, told) = (got + more.0, told + more.1);
    assert_eq!(got + told, 1_001, "{case}: every message is delivered or counted");
    assert!(told > 500, "{case}: {told}");
    assert_eq!(gateway.node.gauges().queued_bytes, 0, "{case}");
}

#[test]
fn calls_are_answered_while_events_and_telemetry_are_not_read() {
    let mut gateway = Gateway::new();
    let lossless = Subscribe { telemetry: Overflow::Block.into(), ..subscribe(1, "a") };
    let stopped = client(&mut gateway, 1, 0, &lossless);
    let from = gateway.client(2, LARGE);
    for stream in [StreamKind::Event, StreamKind::Telemetry] {
        gateway.alias(from, stream, 1, "a");
        publish(&mut gateway, from, stream, &mut Sent::after_alias(), 1_000);
    }
    gateway.send(from, kind::REGISTER, &register(1, "p"));
    gateway.send_on(stopped, StreamKind::Rpc, kind::CALL, &call(1, "p", 1_000));
    let asked = gateway.only::<v1::Call>(from, StreamKind::Rpc, kind::CALL).remove(0);
    let result = v1::CallResult { call: asked.call, ..v1::CallResult::default() };
    gateway.send_on(from, StreamKind::Rpc, kind::CALL_RESULT, &result);
    assert_eq!(gateway.only::<v1::CallResult>(stopped, StreamKind::Rpc, kind::CALL_RESULT).len(), 1);
}

#[test]
fn a_message_that_is_larger_than_a_queue_reaches_who_reads() {
    for policy in POLICIES {
        let mut gateway = Gateway::new();
        let reader = client(&mut gateway, 1, LARGE, &subscription(Class::Telemetry, policy));
        let from = gateway.client(2, LARGE);
        gateway.alias(from, StreamKind::Telemetry, 1, "a");
        let mut bytes = Vec::new();
        wire::encode_publish(&mut bytes, 1, 1, &wire::Message::new(&vec![7; 4 << 20], "k"), false);
        for part in bytes.chunks(64 << 10) {
            gateway.bytes(from, StreamKind::Telemetry, part);
        }
        assert_eq!(tally(&mut gateway, reader, StreamKind::Telemetry), (1, 0), "{policy:?}");
    }
}

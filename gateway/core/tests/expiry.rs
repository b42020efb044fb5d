//! Messages whose time to live ends while they wait: what stands in their place, and for whom.

mod common;

use common::{Gateway, hello, link_hello, subscribe};
use macula_core::ConnKey;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{self, Class, Hello, Overflow, Share, Subscribe};
use prost::Message as _;

fn publish(gateway: &mut Gateway, from: ConnKey, stream: StreamKind, sequence: u64, message: v1::Message) {
    let publish = v1::Publish { topic: 1, sequence, message: Some(message), report: false };
    gateway.send_on(from, stream, kind::PUBLISH, &publish);
}

fn lasting(time_to_live_ms: u32, payload: usize) -> v1::Message {
    v1::Message {
        time_to_live_ms,
        payload: vec![0; payload].into(),
        key: "k".to_owned(),
        ..Default::default()
    }
}

#[test]
fn a_link_outlives_a_message_that_waited_too_long_on_it() {
    let mut sender = Gateway::new();
    let windows = Some(v1::Windows { rpc: 1_000, event: 100, telemetry: 100 });
    let slow = sender.linked(v1::LinkHello { windows, ..link_hello(9, "there") });
    let interest = v1::Interest { pattern: "a".to_owned(), ..v1::Interest::default() };
    let snapshot =
        v1::InterestSnapshot { version: 1, interests: vec![interest], ..v1::InterestSnapshot::default() };
    sender.send(slow, kind::INTEREST_SNAPSHOT, &snapshot);
    let from = sender.client(1, 1 << 20);
    sender.alias(from, StreamKind::Event, 1, "a");
    for sequence in 1..=3 {
        publish(&mut sender, from, StreamKind::Event, sequence, lasting(500, 20_000));
    }
    sender.pass(1_000);
    sender.credit(slow, Class::Event, 1 << 20);
    let frames = sender.frames(slow, StreamKind::Event);
    assert!(frames.iter().any(|(kind, _)| *kind == kind::EXPIRED), "{:?}", frames.len());

    let mut receiver = Gateway::new();
    let link = receiver.peer(9, "there");
    for (kind, body) in frames {
        let mut bytes = Vec::new();
        macula_proto::frame::put(&mut bytes, kind, &body);
        receiver.bytes(link, StreamKind::Event, &bytes);
    }
    assert_eq!(receiver.closed(link), None);
}

#[test]
fn every_message_that_waited_is_delivered_or_told_expired_or_told_dropped() {
    for (class, stream) in [(Class::Telemetry, StreamKind::Telemetry), (Class::Event, StreamKind::Event)] {
        for policy in [Overflow::Conflate, Overflow::DropOldest, Overflow::DropNewest, Overflow::Block] {
            let mut gateway = Gateway::new();
            let slow = gateway.client(1, 0);
            let chosen = Subscribe { events: policy.into(), telemetry: policy.into(), ..subscribe(1, "a") };
            gateway.send(slow, kind::SUBSCRIBE, &chosen);
            let from = gateway.client(2, 1 << 20);
            gateway.alias(from, stream, 1, "a");
            for sequence in 1..=14 {
                let ttl = if sequence % 3 == 0 { 0 } else { 500 };
                publish(&mut gateway, from, stream, sequence, lasting(ttl, 60_000));
            }
            gateway.pass(1_000);
            gateway.credit(slow, class, 1 << 30);
            let (mut delivered, mut expired, mut lost) = (0, 0, 0);
            for (kind, body) in gateway.frames(slow, stream) {
                match kind {
                    kind::DELIVER => delivered += 1,
                    kind::EXPIRED => expired += 1,
                    kind::DROPPED => lost += v1::Dropped::decode(&body[..]).expect("it decodes").count,
                    kind::GAP => lost += v1::Gap::decode(&body[..]).expect("it decodes").count,
                    _ => {}
                }
            }
            assert_eq!(delivered + expired + lost, 14, "{policy:?}: {delivered} {expired} {lost}");
            assert!(expired > 0 && delivered > 0, "{policy:?}: {delivered} {expired} {lost}");
        }
    }
}

#[test]
fn what_a_member_leaves_behind_keeps_its_time_to_live() {
    let mut gateway = Gateway::new();
    let member = |gateway: &mut Gateway, id, windows| {
        let conn = gateway.node.open_session();
        let greeting = Hello { acknowledges: true, windows: Some(windows), ..hello(id, 0) };
        gateway.send(conn, kind::HELLO, &greeting);
        let shared = Subscribe { group: "g".into(), share: Share::RoundRobin.into(), ..subscribe(1, "work") };
        gateway.send(conn, kind::SUBSCRIBE, &shared);
        conn
    };
    let leaves = member(&mut gateway, 1, v1::Windows::default());
    let from = gateway.client(100, 1 << 20);
    gateway.alias(from, StreamKind::Event, 1, "work");
    for (sequence, ttl) in [(1, 500), (2, 0), (3, 60_000)] {
        publish(&mut gateway, from, StreamKind::Event, sequence, lasting(ttl, 1));
    }
    let stays = member(&mut gateway, 2, v1::Windows::default());
    gateway.remove(leaves);
    gateway.pass(1_000);
    gateway.credit(stays, Class::Event, 1 << 20);
    assert_eq!(gateway.sequences(stays, StreamKind::Event), [2, 3]);
}

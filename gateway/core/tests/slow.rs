//! One slow reader, and who has to wait for it.

mod common;

use common::{Gateway, link_hello, subscribe};
use macula_core::ConnKey;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{self, Class, Overflow};

const PAYLOAD: usize = 10_000;

/// Publishes until the gateway has all the bytes that it granted; the last sequence.
fn publish_all_credit(
    gateway: &mut Gateway,
    publisher: ConnKey,
    stream: StreamKind,
    from: u64,
    granted: &mut u64,
    sent: &mut u64,
) -> u64 {
    let mut sequence = from;
    // A frame is a little longer than its payload.
    while *sent + PAYLOAD as u64 + 30 <= *granted {
        sequence += 1;
        gateway.publish(publisher, stream, 1, sequence, &[0; PAYLOAD]);
        *sent += PAYLOAD as u64 + 30;
        *granted = credit(gateway, publisher).unwrap_or(*granted);
        if sequence - from > 300 {
            break;
        }
    }
    sequence
}

fn credit(gateway: &mut Gateway, conn: ConnKey) -> Option<u64> {
    gateway.only::<v1::Credit>(conn, StreamKind::Control, kind::CREDIT).last().map(|credit| credit.total)
}

#[test]
fn a_slow_block_subscriber_holds_only_those_it_is_owed_and_is_overtaken_after_ten_seconds() {
    let mut gateway = Gateway::new();
    let [owed, other] = [1, 2].map(|publisher| gateway.client(publisher, 1 << 30));
    let slow = gateway.client(3, 1_000);
    gateway.send(slow, kind::SUBSCRIBE, &subscribe(1, "a"));
    for (conn, topic) in [(owed, "a"), (other, "b")] {
        gateway.alias(conn, StreamKind::Event, 1, topic);
    }
    let (mut granted, mut sent) = (1 << 20, 100);
    let last = publish_all_credit(&mut gateway, owed, StreamKind::Event, 0, &mut granted, &mut sent);
    assert!(last < 250, "its credit ends: {last}");
    assert_eq!(gateway.node.counters().held, 1);
    let (mut others, mut theirs) = (1 << 20, 100);
    let free = publish_all_credit(&mut gateway, other, StreamKind::Event, 0, &mut others, &mut theirs);
    assert!(free > 300, "the other one goes on: {free}");

    gateway.pass(9_900);
    assert_eq!(credit(&mut gateway, owed), None, "not before its time");
    gateway.pass(200);
    granted = credit(&mut gateway, owed).expect("after ten seconds the publisher goes on");
    let end = publish_all_credit(&mut gateway, owed, StreamKind::Event, last, &mut granted, &mut sent);
    assert!(end - last > 100);
    assert_eq!(gateway.closed(slow), None);

    gateway.credit(slow, Class::Event, 1 << 30);
    let frames = gateway.frames(slow, StreamKind::Event);
    let delivered = frames.iter().filter(|frame| frame.0 == kind::DELIVER).count() as u64;
    let gaps = frames.iter().filter(|frame| frame.0 == kind::GAP);
    let told: u64 = gaps.map(|(_, body)| <v1::Gap as prost::Message>::decode(&body[..]).unwrap().count).sum();
    assert!(told > 0);
    assert_eq!(delivered + told, end);
    assert_eq!(gateway.node.counters().lost, [told, 0]);
}

#[test]
fn no_subscriber_holds_a_publisher_for_more_than_a_minute() {
    let mut gateway = Gateway::new();
    let publisher = gateway.client(1, 1 << 30);
    let slow = gateway.client(3, 1_000);
    let forever = v1::Subscribe { block_ms: u32::MAX, ..subscribe(1, "a") };
    gateway.send(slow, kind::SUBSCRIBE, &forever);
    gateway.alias(publisher, StreamKind::Event, 1, "a");
    let (mut granted, mut sent) = (1 << 20, 100);
    publish_all_credit(&mut gateway, publisher, StreamKind::Event, 0, &mut granted, &mut sent);
    gateway.pass(59_900);
    assert_eq!(credit(&mut gateway, publisher), None);
    gateway.pass(200);
    assert!(credit(&mut gateway, publisher).is_some());
}

#[test]
fn a_subscriber_that_would_rather_be_disconnected_costs_no_link() {
    let mut gateway = Gateway::new();
    let publisher = gateway.client(1, 1 << 30);
    let windows = v1::Windows { rpc: 1_000, event: 1_000, telemetry: 1_000 };
    let peer = gateway.linked(v1::LinkHello { windows: Some(windows), ..link_hello(9, "there") });
    let interest = v1::Interest {
        pattern: "a".to_owned(),
        telemetry: Overflow::Disconnect.into(),
        ..Default::default()
    };
    let snapshot = v1::InterestSnapshot { interests: vec![interest], ..v1::InterestSnapshot::default() };
    gateway.send(peer, kind::INTEREST_SNAPSHOT, &snapshot);
    gateway.alias(publisher, StreamKind::Telemetry, 1, "a");
    let (mut granted, mut sent) = (1 << 20, 100);
    publish_all_credit(&mut gateway, publisher, StreamKind::Telemetry, 0, &mut granted, &mut sent);
    assert_eq!(gateway.closed(peer), None);
}

#[test]
fn a_reader_that_stands_still_keeps_nothing_but_what_it_may_have_to_read() {
    let mut gateway = Gateway::new();
    let stalled = gateway.client(200, 0);
    gateway.send(stalled, kind::SUBSCRIBE, &subscribe(1, "kept"));
    let publishers: Vec<ConnKey> = (1..=9).map(|publisher| gateway.client(publisher, 1 << 30)).collect();
    for (index, &publisher) in publishers.iter().enumerate() {
        (1..=4_000).for_each(|alias| {
            gateway.alias(publisher, StreamKind::Event, alias, &format!("t{index}.{alias}"));
        });
    }
    gateway.alias(publishers[0], StreamKind::Event, 1, "kept");
    gateway.publish(publishers[0], StreamKind::Event, 1, 1, b"x");
    publishers.into_iter().for_each(|publisher| gateway.remove(publisher));
    assert!(gateway.node.gauges().queued_bytes > 0);
    gateway.jump(61_000);
    assert_eq!(gateway.node.gauges().topics, 1);
    let publisher = gateway.client(100, 1 << 30);
    gateway.alias(publisher, StreamKind::Event, 1, "other");
    gateway.publish(publisher, StreamKind::Event, 1, 1, b"y");
    gateway.credit(stalled, Class::Event, 1 << 30);
    let frames = gateway.frames(stalled, StreamKind::Event);
    let told = <v1::TopicAlias as prost::Message>::decode(&frames[0].1[..]).unwrap();
    let deliver = <v1::Deliver as prost::Message>::decode(&frames[2].1[..]).unwrap();
    assert_eq!((&told.topic[..], told.alias), ("kept", deliver.topic));
    assert_eq!(frames.len(), 3);
}

#[test]
fn a_pause_ends_where_it_was_said_even_when_the_publisher_has_moved() {
    let mut gateway = Gateway::new();
    let slow = gateway.client(3, 1_000);
    gateway.send(slow, kind::SUBSCRIBE, &subscribe(1, "a"));
    let peers = [(8, "one"), (9, "two")].map(|(id, name)| gateway.peer(id, name));
    for peer in peers {
        let told = v1::PublisherAlias { alias: 1, publisher: vec![7; 16].into(), epoch: 1 };
        gateway.send_on(peer, StreamKind::Event, kind::PUBLISHER_ALIAS, &told);
        gateway.alias(peer, StreamKind::Event, 1, "a");
    }
    let forward = |gateway: &mut Gateway, peer, sequence| {
        let message = v1::Message { payload: vec![0; PAYLOAD].into(), ..v1::Message::default() };
        let deliver = v1::Deliver {
            topic: 1,
            publisher: 1,
            sequence,
            message: Some(message),
            ..v1::Deliver::default()
        };
        gateway.send_on(peer, StreamKind::Event, kind::DELIVER, &deliver);
    };
    (1..=110).for_each(|sequence| forward(&mut gateway, peers[0], sequence));
    let paused: Vec<v1::Pause> = gateway.only(peers[0], StreamKind::Control, kind::PAUSE);
    assert_eq!(paused.len(), 1);
    forward(&mut gateway, peers[1], 111);
    gateway.credit(slow, Class::Event, 1 << 30);
    let resumed: Vec<v1::Resume> = gateway.only(peers[0], StreamKind::Control, kind::RESUME);
    assert_eq!(resumed.len(), 1, "who was paused is resumed");
}

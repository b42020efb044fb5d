//! Groups: each message to one member, in one gateway and across links.

mod common;

use common::{Gateway, hello, link_hello, subscribe};
use macula_core::ConnKey;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{self, Class, Code, Hello, Share, Subscribe};
use macula_proto::{slot, wire};
use prost::Message as _;

const WINDOW: u64 = 1 << 20;

fn member(gateway: &mut Gateway, id: u8, share: Share) -> ConnKey {
    let conn = gateway.node.open_session();
    gateway.send(conn, kind::HELLO, &Hello { acknowledges: true, ..hello(id, WINDOW) });
    gateway.send(conn, kind::SUBSCRIBE, &grouped(1, share));
    let answers = gateway.only::<v1::Acknowledged>(conn, StreamKind::Control, kind::ACKNOWLEDGED);
    assert_eq!(answers[0].code(), Code::Ok, "{}", answers[0].message);
    conn
}

fn grouped(number: u32, share: Share) -> Subscribe {
    Subscribe { group: "g".to_owned(), share: share.into(), ..subscribe(number, "work.*") }
}

fn publisher(gateway: &mut Gateway) -> ConnKey {
    let conn = gateway.node.open_session();
    gateway.send(conn, kind::HELLO, &Hello { acknowledges: true, ..hello(100, WINDOW) });
    gateway.alias(conn, StreamKind::Event, 1, "work.a");
    conn
}

/// Publishes one event for each sequence, whose number is its key.
fn publish(gateway: &mut Gateway, from: ConnKey, sequences: impl IntoIterator<Item = u64>) {
    for sequence in sequences {
        let mut bytes = Vec::new();
        let key = sequence.to_string();
        wire::encode_publish(&mut bytes, 1, sequence, &wire::Message::new(b"x", &key), false);
        gateway.bytes(from, StreamKind::Event, &bytes);
    }
}

fn settled(gateway: &mut Gateway, conn: ConnKey) -> Option<u64> {
    gateway
        .only::<v1::Settled>(conn, StreamKind::Control, kind::SETTLED)
        .last()
        .map(|settled| settled.sequence)
}

/// Sequences that a member received, and how many frames it has received by now.
fn received(gateway: &mut Gateway, conn: ConnKey, position: &mut u64) -> Vec<u64> {
    let frames = gateway.frames(conn, StreamKind::Event);
    *position += frames.len() as u64;
    let deliveries = frames.into_iter().filter(|(kind, _)| *kind == kind::DELIVER);
    deliveries.map(|(_, body)| v1::Deliver::decode(&body[..]).unwrap().sequence).collect()
}

fn ack(gateway: &mut Gateway, conn: ConnKey, position: u64) {
    gateway.send(conn, kind::ACK, &v1::Ack { position });
}

#[test]
fn each_event_goes_to_one_member_and_one_key_always_to_the_same() {
    let mut gateway = Gateway::new();
    let members = [1, 2, 3].map(|id| member(&mut gateway, id, Share::Hash));
    let from = publisher(&mut gateway);
    publish(&mut gateway, from, 1..=300);
    let got = members.map(|conn| received(&mut gateway, conn, &mut 0));
    assert!(got.iter().all(|sequences| sequences.len() > 50), "{got:?}");
    let mut all = got.concat();
    all.sort_unstable();
    assert_eq!(all, (1..=300).collect::<Vec<_>>());
    for sequences in got {
        let slots: std::collections::HashSet<u8> =
            sequences.iter().map(|sequence| slot::of(&sequence.to_string(), "work.a")).collect();
        let others = all.iter().filter(|sequence| !sequences.contains(sequence));
        assert!(others.clone().all(|sequence| !slots.contains(&slot::of(&sequence.to_string(), "work.a"))));
    }
}

#[test]
fn members_take_turns_or_the_least_loaded_is_chosen() {
    for (share, expected) in [(Share::RoundRobin, 50), (Share::LeastLoaded, 100)] {
        let mut gateway = Gateway::new();
        let idle = member(&mut gateway, 1, share);
        let busy = member(&mut gateway, 2, share);
        let from = publisher(&mut gateway);
        if share == Share::LeastLoaded {
            // Something that the other has not acknowledged.
            gateway.send(busy, kind::SUBSCRIBE, &subscribe(2, "other"));
            gateway.alias(from, StreamKind::Event, 2, "other");
            gateway.publish(from, StreamKind::Event, 2, 1, &[0; 100_000]);
        }
        let mut position = 0;
        for sequence in 2..102 {
            publish(&mut gateway, from, [sequence]);
            received(&mut gateway, idle, &mut position);
            ack(&mut gateway, idle, position);
        }
        let got = received(&mut gateway, busy, &mut 0).len();
        assert_eq!(got, 100 - expected + usize::from(share == Share::LeastLoaded), "{share:?}");
    }
}

#[test]
fn a_group_shares_in_one_way() {
    let mut gateway = Gateway::new();
    member(&mut gateway, 1, Share::Hash);
    let other = gateway.client(2, WINDOW);
    gateway.send(other, kind::SUBSCRIBE, &grouped(1, Share::RoundRobin));
    let answer = gateway.only::<v1::Acknowledged>(other, StreamKind::Control, kind::ACKNOWLEDGED).remove(0);
    assert_eq!(answer.code(), Code::InvalidArgument);
    assert!(answer.message.contains("SHARE_HASH"), "{}", answer.message);
}

#[test]
fn a_slot_moves_to_a_newcomer_once_the_one_before_has_acknowledged() {
    let mut gateway = Gateway::new();
    let old = member(&mut gateway, 1, Share::Hash);
    let from = publisher(&mut gateway);
    publish(&mut gateway, from, 1..=100);
    let mut position = 0;
    assert_eq!(received(&mut gateway, old, &mut position).len(), 100);
    let new = member(&mut gateway, 2, Share::Hash);
    publish(&mut gateway, from, 101..=200);
    assert_eq!(received(&mut gateway, new, &mut 0), [0; 0], "the old one may still be at work on these keys");
    let stayed = received(&mut gateway, old, &mut position);
    ack(&mut gateway, old, position);
    let moved = received(&mut gateway, new, &mut 0);
    assert!(moved.len() > 20, "{moved:?}");
    for slot in 0..=255 {
        let of_slot = |sequence: &&u64| slot::of(&sequence.to_string(), "work.a") == slot;
        assert!(moved.iter().filter(of_slot).is_sorted(), "slot {slot} of {moved:?}");
    }
    let mut all = [stayed, moved].concat();
    all.sort_unstable();
    assert_eq!(all, (101..=200).collect::<Vec<_>>());
}

#[test]
fn what_a_dead_member_has_not_acknowledged_goes_to_those_that_live() {
    let mut gateway = Gateway::new();
    let dead = member(&mut gateway, 1, Share::Hash);
    let living = member(&mut gateway, 2, Share::Hash);
    let from = publisher(&mut gateway);
    publish(&mut gateway, from, 1..=100);
    let (mut position, mut done) = (0, 0);
    let first = received(&mut gateway, dead, &mut done);
    let mut got = received(&mut gateway, living, &mut position);
    // It has acknowledged nothing: a batch counts as a whole.
    gateway.remove(dead);
    got.extend(received(&mut gateway, living, &mut position));
    assert_eq!(got[100 - first.len()..], first[..], "in order");
    ack(&mut gateway, living, position);
    assert_eq!(settled(&mut gateway, from), Some(100));
    publish(&mut gateway, from, 101..=110);
    assert_eq!(received(&mut gateway, living, &mut position).len(), 10, "it owns all slots now");
}

#[test]
fn who_leaves_a_group_gives_back_what_it_has_not_acknowledged() {
    let mut gateway = Gateway::new();
    let leaving = member(&mut gateway, 1, Share::Hash);
    let staying = member(&mut gateway, 2, Share::Hash);
    let from = publisher(&mut gateway);
    publish(&mut gateway, from, 1..=100);
    let (mut position, mut done) = (0, 0);
    let given = received(&mut gateway, leaving, &mut done);
    received(&mut gateway, staying, &mut position);
    gateway.send(leaving, kind::UNSUBSCRIBE, &v1::Unsubscribe { subscription: 1 });
    assert_eq!(received(&mut gateway, staying, &mut position), given);
}

#[test]
fn a_plain_subscription_beside_the_group_gets_everything() {
    let mut gateway = Gateway::new();
    let _members = [1, 2].map(|id| member(&mut gateway, id, Share::Hash));
    let plain = gateway.client(3, WINDOW);
    gateway.send(plain, kind::SUBSCRIBE, &subscribe(1, "#"));
    let from = publisher(&mut gateway);
    publish(&mut gateway, from, 1..=50);
    assert_eq!(gateway.sequences(plain, StreamKind::Event).len(), 50);
}

/// A peer with these members of the group.
fn peer_with(gateway: &mut Gateway, members: &[u64]) -> ConnKey {
    let conn = gateway.linked(link_hello(9, "there"));
    let interest = v1::Interest {
        pattern: "work.*".to_owned(),
        group: "g".to_owned(),
        members: members.to_vec(),
        ..v1::Interest::default()
    };
    let snapshot = v1::InterestSnapshot { version: 1, interests: vec![interest], offers: Vec::new() };
    gateway.send(conn, kind::INTEREST_SNAPSHOT, &snapshot);
    gateway.frames(conn, StreamKind::Control);
    conn
}

#[test]
fn the_gateway_of_entry_chooses_among_the_members_of_the_mesh() {
    let mut gateway = Gateway::new();
    let here = member(&mut gateway, 1, Share::Hash);
    let there = peer_with(&mut gateway, &[77, 78]);
    let from = publisher(&mut gateway);
    publish(&mut gateway, from, 1..=90);
    let local = received(&mut gateway, here, &mut 0);
    let forwards = gateway.only::<v1::Deliver>(there, StreamKind::Event, kind::DELIVER);
    assert_eq!(local.len() + forwards.len(), 90);
    assert!(local.len() > 10 && forwards.len() > 20);
    assert!(forwards.iter().all(|forward| matches!(forward.members[..], [77 | 78])));
    gateway.remove(there);
    assert_eq!(received(&mut gateway, here, &mut 0), [0u64; 0], "it may come back");
    gateway.pass(60_000);
    let again = received(&mut gateway, here, &mut 0);
    assert_eq!(again.len(), forwards.len(), "the peer is gone and has acknowledged nothing");
}

#[test]
fn peers_are_told_the_members_that_are_here_and_their_messages_reach_them() {
    let mut gateway = Gateway::new();
    let here = member(&mut gateway, 1, Share::Hash);
    let there = gateway.linked(link_hello(9, "there"));
    let snapshot =
        gateway.only::<v1::InterestSnapshot>(there, StreamKind::Control, kind::INTEREST_SNAPSHOT).remove(0);
    let [interest] = &snapshot.interests[..] else { panic!("{snapshot:?}") };
    assert_eq!((&interest.pattern[..], &interest.group[..], interest.members.len()), ("work.*", "g", 1));
    let id = interest.members[0];
    gateway.alias(there, StreamKind::Event, 5, "work.a");
    let told = v1::PublisherAlias { alias: 3, publisher: vec![66; 16].into(), epoch: 1 };
    gateway.send_on(there, StreamKind::Event, kind::PUBLISHER_ALIAS, &told);
    let forward = v1::Deliver {
        topic: 5,
        publisher: 3,
        sequence: 1,
        members: vec![id],
        message: Some(v1::Message::default()),
        ..v1::Deliver::default()
    };
    gateway.send_on(there, StreamKind::Event, kind::DELIVER, &forward);
    let mut position = 0;
    assert_eq!(received(&mut gateway, here, &mut position), [1]);
    gateway.frames(there, StreamKind::Control);
    ack(&mut gateway, here, position);
    let acks = gateway.only::<v1::Ack>(there, StreamKind::Control, kind::ACK);
    assert_eq!(acks.last(), Some(&v1::Ack { position: 3 }), "settled over there when it is settled here");
    // It leaves, and a message that was chosen for it before that was known comes back.
    gateway.send(here, kind::UNSUBSCRIBE, &v1::Unsubscribe { subscription: 1 });
    gateway.send_on(there, StreamKind::Event, kind::DELIVER, &v1::Deliver { sequence: 2, ..forward });
    let back = gateway.only::<v1::NotHere>(there, StreamKind::Event, kind::NOT_HERE).remove(0);
    assert_eq!((&back.group[..], back.deliver.unwrap().sequence), ("g", 2));
}

#[test]
fn a_message_that_comes_back_goes_to_another_member() {
    let mut gateway = Gateway::new();
    let there = peer_with(&mut gateway, &[77]);
    let from = publisher(&mut gateway);
    publish(&mut gateway, from, [1]);
    let forward = gateway.only::<v1::Deliver>(there, StreamKind::Event, kind::DELIVER).remove(0);
    let here = member(&mut gateway, 1, Share::Hash);
    gateway.alias(there, StreamKind::Event, 1, "work.a");
    let told = v1::PublisherAlias { alias: 1, publisher: vec![100; 16].into(), epoch: 1 };
    gateway.send_on(there, StreamKind::Event, kind::PUBLISHER_ALIAS, &told);
    let deliver = v1::Deliver { topic: 1, publisher: 1, members: Vec::new(), ..forward };
    let back = v1::NotHere { pattern: "work.*".to_owned(), group: "g".to_owned(), deliver: Some(deliver) };
    gateway.credit(there, Class::Event, 1 << 30);
    gateway.send_on(there, StreamKind::Event, kind::NOT_HERE, &back);
    gateway.send(there, kind::ACK, &v1::Ack { position: 3 });
    assert_eq!(received(&mut gateway, here, &mut 0), [1]);
}

/// A member that comes back to another run of its gateway.
fn returning(gateway: &mut Gateway, id: u8) -> ConnKey {
    let conn = gateway.node.open_session();
    let resume = Some(v1::Resumption { session: 1, gateway_epoch: 77, position: 3 });
    gateway.send(conn, kind::HELLO, &Hello { acknowledges: true, resume, ..hello(id, WINDOW) });
    gateway.send(conn, kind::SUBSCRIBE, &Subscribe { recover: true, ..grouped(1, Share::Hash) });
    conn
}

#[test]
fn after_a_restart_members_are_waited_for_and_get_what_they_had_before() {
    let mut before = Gateway::new();
    let from = publisher(&mut before);
    let members = [1, 2, 3].map(|id| member(&mut before, id, Share::Hash));
    publish(&mut before, from, 1..=60);
    let had = members.map(|conn| received(&mut before, conn, &mut 0));

    let mut after = Gateway::new();
    let first = returning(&mut after, 3);
    let from = publisher(&mut after);
    after.send_on(from, StreamKind::Event, kind::RESENT, &v1::Resent { sequence: 60 });
    publish(&mut after, from, 1..=60);
    after.pass(1_500);
    let second = returning(&mut after, 1);
    publish(&mut after, from, 61..=70);
    after.pass(1_500);
    let third = returning(&mut after, 2);
    after.pass(1_500);
    for conn in [first, second, third] {
        assert_eq!(after.sequences(conn, StreamKind::Event), [0u64; 0], "all are waited for");
    }
    assert_eq!(settled(&mut after, from), None);
    after.pass(1_000);
    publish(&mut after, from, 71..=80);
    let mut all = Vec::new();
    for (conn, had) in [(second, &had[0]), (third, &had[1]), (first, &had[2])] {
        let deliveries: Vec<v1::Deliver> = after.only(conn, StreamKind::Event, kind::DELIVER);
        assert!(deliveries.iter().all(|deliver| deliver.resent == (deliver.sequence <= 70)));
        let sequences: Vec<u64> = deliveries.iter().map(|deliver| deliver.sequence).collect();
        assert!(sequences.is_sorted(), "{sequences:?}");
        let again: Vec<u64> = sequences.iter().copied().filter(|sequence| *sequence <= 60).collect();
        assert_eq!(again, *had);
        all.extend(sequences);
    }
    all.sort_unstable();
    assert_eq!(all, (1..=80).collect::<Vec<_>>());
}

#[test]
fn what_waits_for_members_goes_to_those_who_are_there_when_the_time_is_over() {
    let mut gateway = Gateway::new();
    let only = returning(&mut gateway, 3);
    let from = publisher(&mut gateway);
    publish(&mut gateway, from, 1..=10);
    // Others come all the time, and leave.
    for _ in 0..7 {
        gateway.pass(1_500);
        let guest = returning(&mut gateway, 9);
        gateway.remove(guest);
    }
    assert_eq!(gateway.sequences(only, StreamKind::Event), (1..=10).collect::<Vec<_>>());
}

#[test]
fn a_group_that_is_new_gets_what_is_published_from_its_beginning() {
    let mut gateway = Gateway::new();
    let from = gateway.node.open_session();
    let resume = Some(v1::Resumption { session: 1, gateway_epoch: 77, position: 3 });
    gateway.send(from, kind::HELLO, &Hello { acknowledges: true, resume, ..hello(100, WINDOW) });
    gateway.alias(from, StreamKind::Event, 1, "work.a");
    publish(&mut gateway, from, 1..=5);
    let new = member(&mut gateway, 1, Share::Hash);
    publish(&mut gateway, from, 6..=9);
    gateway.pass(2_100);
    assert_eq!(gateway.sequences(new, StreamKind::Event), [6, 7, 8, 9]);
}

#[test]
fn a_link_treats_telemetry_for_a_member_as_the_member_says() {
    let mut gateway = Gateway::new();
    let there = gateway.node.open_link(false);
    // A peer that takes little at a time.
    let windows = Some(v1::Windows { rpc: WINDOW, event: WINDOW, telemetry: 1_000 });
    gateway.send(there, kind::LINK_HELLO, &v1::LinkHello { windows, ..link_hello(9, "there") });
    let wants = |version, telemetry: v1::Overflow| {
        let (pattern, group) = ("work.*".to_owned(), "g".to_owned());
        let interest =
            v1::Interest { pattern, group, members: vec![77], telemetry: telemetry.into(), share: 0 };
        v1::InterestDelta { version, added: vec![interest], ..v1::InterestDelta::default() }
    };
    let from = gateway.client(100, 1 << 30);
    gateway.alias(from, StreamKind::Telemetry, 1, "work.a");
    gateway.send(there, kind::INTEREST_DELTA, &wants(1, v1::Overflow::Block));
    (1..=90).for_each(|sequence| gateway.publish(from, StreamKind::Telemetry, 1, sequence, &[0; 10_000]));
    assert_eq!(gateway.node.counters().lost, [0; 2], "`block` holds the publisher back instead");
    gateway.send(there, kind::INTEREST_DELTA, &wants(2, v1::Overflow::Conflate));
    (91..=100).for_each(|sequence| gateway.publish(from, StreamKind::Telemetry, 1, sequence, &[0; 10_000]));
    assert_eq!(gateway.node.counters().lost, [0, 9], "nine of ten were replaced by newer ones");
}

#[test]
fn peers_are_told_the_strongest_policy_of_the_members_that_are_here() {
    let mut gateway = Gateway::new();
    let told = |gateway: &mut Gateway, there| {
        let deltas: Vec<v1::InterestDelta> = gateway.only(there, StreamKind::Control, kind::INTEREST_DELTA);
        deltas.last().map(|delta| delta.added[0].telemetry())
    };
    let there = gateway.peer(9, "there");
    let first = member(&mut gateway, 1, Share::Hash);
    assert_eq!(told(&mut gateway, there), Some(v1::Overflow::Default));
    let second = gateway.client(2, WINDOW);
    let block = Subscribe { telemetry: v1::Overflow::Block.into(), ..grouped(1, Share::Hash) };
    gateway.send(second, kind::SUBSCRIBE, &block);
    assert_eq!(told(&mut gateway, there), Some(v1::Overflow::Block));
    let conflate = Subscribe { telemetry: v1::Overflow::Conflate.into(), ..block };
    gateway.send(second, kind::SUBSCRIBE, &conflate);
    assert_eq!(told(&mut gateway, there), Some(v1::Overflow::Default), "it has changed its mind");
    gateway.remove(first);
    assert_eq!(told(&mut gateway, there), Some(v1::Overflow::Conflate));
}

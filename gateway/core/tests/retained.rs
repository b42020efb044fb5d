//! Retained values: who is sent what, what removes them, and how the stores of gateways come to agree.

mod common;

use common::{Gateway, link_hello, subscribe};
use macula_core::ConnKey;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{self, Class, Code, Deliver};
use prost::Message as _;

const WINDOW: u64 = 1 << 30;
const HOUR_MS: u64 = 3_600_000;

fn value(key: &str, payload: &[u8]) -> v1::Message {
    v1::Message { key: key.to_owned(), retain: true, payload: payload.to_vec().into(), ..Default::default() }
}

fn removal(key: &str) -> v1::Message {
    v1::Message { key: key.to_owned(), remove: true, ..Default::default() }
}

/// A client that publishes under alias 1.
fn publisher(gateway: &mut Gateway, id: u8, topic: &str) -> ConnKey {
    let client = gateway.client(id, WINDOW);
    gateway.alias(client, StreamKind::Event, 1, topic);
    client
}

fn publish(gateway: &mut Gateway, client: ConnKey, sequence: u64, message: v1::Message) {
    let publish = v1::Publish { topic: 1, sequence, message: Some(message), report: false };
    gateway.send_on(client, StreamKind::Event, kind::PUBLISH, &publish);
}

fn follow(gateway: &mut Gateway, client: ConnKey, number: u32, pattern: &str) {
    gateway.send(client, kind::SUBSCRIBE, &v1::Subscribe { retained: true, ..subscribe(number, pattern) });
}

/// Key, whether it came from the store, and whether it is a removal, of each delivery since the last look.
fn delivered(gateway: &mut Gateway, client: ConnKey) -> Vec<(String, bool, bool)> {
    let delivered: Vec<Deliver> = gateway.only(client, StreamKind::Event, kind::DELIVER);
    let told = delivered.into_iter().map(|deliver| {
        let message = deliver.message.unwrap();
        (message.key, deliver.retained, message.remove)
    });
    told.collect()
}

/// A message of the peer's publisher 7, as its store or as a live one has it.
fn forwarded(sequence: u64, stamp: u64, retained: bool, message: v1::Message) -> Deliver {
    Deliver {
        topic: 1,
        publisher: 1,
        sequence,
        stamp,
        retained,
        message: Some(message),
        ..Deliver::default()
    }
}

/// A peer that has told the alias 1 for publisher 7 and for this topic.
fn peer(gateway: &mut Gateway, id: u8, topic: &str) -> ConnKey {
    let peer = gateway.peer(id, "there");
    let told = v1::PublisherAlias { alias: 1, publisher: vec![7; 16].into(), epoch: 1 };
    gateway.send_on(peer, StreamKind::Event, kind::PUBLISHER_ALIAS, &told);
    gateway.alias(peer, StreamKind::Event, 1, topic);
    peer
}

fn forward(gateway: &mut Gateway, peer: ConnKey, deliver: &Deliver) {
    gateway.send_on(peer, StreamKind::Event, kind::DELIVER, deliver);
}

fn stamp(gateway: &Gateway) -> u64 {
    gateway.now.unix_ms << 16
}

#[test]
fn a_removal_is_a_message_for_those_who_are_there_and_nothing_for_those_who_come_later() {
    let mut gateway = Gateway::new();
    let writer = publisher(&mut gateway, 1, "a");
    let [early, late] = [2, 3].map(|id| gateway.client(id, WINDOW));
    publish(&mut gateway, writer, 1, value("k", b"x"));
    publish(&mut gateway, writer, 2, value("l", b"x"));
    follow(&mut gateway, early, 1, "a");
    publish(&mut gateway, writer, 3, removal("k"));
    let kept = |key: &str, retained, removed| (key.to_owned(), retained, removed);
    assert_eq!(
        delivered(&mut gateway, early),
        [kept("k", true, false), kept("l", true, false), kept("k", false, true)]
    );
    follow(&mut gateway, late, 1, "#");
    assert_eq!(delivered(&mut gateway, late), [kept("l", true, false)]);
    assert_eq!((gateway.node.gauges().retained, gateway.node.gauges().tombstones), (1, 1));
    gateway.jump(HOUR_MS);
    assert_eq!((gateway.node.gauges().retained, gateway.node.gauges().tombstones), (1, 0));
    assert!(gateway.node.gauges().retained_bytes > 0);
}

#[test]
fn a_value_vanishes_when_its_time_is_over() {
    let mut gateway = Gateway::new();
    let writer = publisher(&mut gateway, 1, "a");
    let [early, late] = [2, 3].map(|id| gateway.client(id, WINDOW));
    publish(&mut gateway, writer, 1, v1::Message { time_to_live_ms: 5_000, ..value("k", b"x") });
    gateway.pass(4_900);
    follow(&mut gateway, early, 1, "a");
    assert_eq!(delivered(&mut gateway, early).len(), 1);
    gateway.pass(100);
    follow(&mut gateway, late, 1, "a");
    assert_eq!(delivered(&mut gateway, late), []);
    assert_eq!(gateway.node.gauges().retained, 0);
}

#[test]
fn a_removal_wins_against_older_values_of_peers_and_loses_against_newer_ones() {
    let mut gateway = Gateway::new();
    let follower = gateway.client(1, WINDOW);
    gateway.send(follower, kind::SUBSCRIBE, &subscribe(1, "a"));
    let link = peer(&mut gateway, 9, "a");
    let now = stamp(&gateway);
    forward(&mut gateway, link, &forwarded(1, now, true, value("k", b"x")));
    forward(&mut gateway, link, &forwarded(3, now + 2, true, removal("k")));
    forward(&mut gateway, link, &forwarded(2, now + 1, true, value("k", b"older")));
    assert_eq!(
        delivered(&mut gateway, follower),
        [("k".to_owned(), true, false), ("k".to_owned(), true, true)],
        "what a peer's store brings is news to subscribers, a removal too"
    );
    assert_eq!(gateway.node.gauges().retained, 0);
    forward(&mut gateway, link, &forwarded(5, now + 4, true, value("k", b"newer")));
    assert_eq!(gateway.node.gauges().retained, 1);
    assert_eq!(delivered(&mut gateway, follower).len(), 1);
    // A tombstone of what nobody here has seen is no news.
    forward(&mut gateway, link, &forwarded(6, now + 5, true, removal("other")));
    assert_eq!(delivered(&mut gateway, follower), []);
}

#[test]
fn a_new_peer_is_sent_tombstones_too() {
    let mut gateway = Gateway::new();
    let writer = publisher(&mut gateway, 1, "a");
    publish(&mut gateway, writer, 1, value("k", b"x"));
    publish(&mut gateway, writer, 2, v1::Message { payload: b"a farewell".to_vec().into(), ..removal("k") });
    publish(&mut gateway, writer, 3, v1::Message { time_to_live_ms: 1_000, ..value("l", b"x") });
    gateway.pass(1_000);
    let link = gateway.peer(9, "there");
    let sent: Vec<Deliver> = gateway.only(link, StreamKind::Event, kind::DELIVER);
    let sent: Vec<(u64, v1::Message)> =
        sent.into_iter().map(|deliver| (deliver.stamp >> 16, deliver.message.unwrap())).collect();
    let begun = 1u64 << 40;
    // Of a value that is over nothing is left, so that nobody with a slow clock shows it.
    let over = v1::Message { time_to_live_ms: 1_000, ..removal("l") };
    assert_eq!(sent, [(begun, removal("k")), (begun, over)]);
}

#[test]
fn a_large_store_is_sent_as_its_reader_reads() {
    let mut gateway = Gateway::new();
    let writer = publisher(&mut gateway, 1, "a.b");
    for sequence in 1..=100 {
        publish(&mut gateway, writer, sequence, value(&sequence.to_string(), &[0; 100_000]));
    }
    let reader = gateway.client(2, 1_000);
    // Directly, and through the whole store.
    for (number, pattern) in [(1, "a.b"), (2, "a.+"), (3, "#")] {
        follow(&mut gateway, reader, number, pattern);
    }
    let answers: Vec<v1::Acknowledged> = gateway.only(reader, StreamKind::Control, kind::ACKNOWLEDGED);
    assert!(answers.iter().all(|answer| answer.code() == Code::Ok));
    assert!(gateway.node.gauges().queued_bytes < 2 << 20, "{}", gateway.node.gauges().queued_bytes);
    publish(&mut gateway, writer, 101, value("50", b"newer"));
    publish(&mut gateway, writer, 102, removal("51"));
    let mut got = Vec::new();
    let mut credit = 1_000;
    while got.iter().filter(|frame: &&(u8, Vec<u8>)| frame.0 == kind::RETAINED_END).count() < 3 {
        credit += 500_000;
        assert!(credit < 60_000_000, "it comes to an end");
        gateway.credit(reader, Class::Event, credit);
        got.extend(gateway.frames(reader, StreamKind::Event));
        assert!(gateway.node.gauges().queued_bytes < 2 << 20, "{}", gateway.node.gauges().queued_bytes);
    }
    let delivers = got.iter().filter(|frame| frame.0 == kind::DELIVER);
    let delivers: Vec<Deliver> = delivers.map(|(_, body)| Deliver::decode(&body[..]).unwrap()).collect();
    for number in 1..=3u32 {
        let mut keys = std::collections::HashMap::new();
        for deliver in delivers.iter().filter(|deliver| deliver.subscriptions.contains(&number)) {
            let message = deliver.message.as_ref().unwrap();
            if !(deliver.retained && keys.contains_key(&message.key)) {
                keys.insert(message.key.clone(), message.payload.len());
                continue;
            }
            panic!("{number}: an older value of {} after a newer one", message.key);
        }
        assert_eq!((keys.len(), keys["50"], keys["51"], keys["52"]), (100, 5, 0, 100_000));
    }
}

#[test]
fn a_subscription_that_ends_is_sent_no_more_values() {
    let mut gateway = Gateway::new();
    let writer = publisher(&mut gateway, 1, "a");
    for sequence in 1..=40 {
        publish(&mut gateway, writer, sequence, value(&sequence.to_string(), &[0; 100_000]));
    }
    let reader = gateway.client(2, 1_000);
    follow(&mut gateway, reader, 1, "a");
    gateway.send(reader, kind::UNSUBSCRIBE, &v1::Unsubscribe { subscription: 1 });
    gateway.credit(reader, Class::Event, WINDOW);
    let frames = gateway.frames(reader, StreamKind::Event);
    let sent = frames.iter().filter(|frame| frame.0 == kind::DELIVER).count();
    assert!((5..20).contains(&sent), "{sent}");
    assert!(frames.iter().all(|frame| frame.0 != kind::RETAINED_END));
}

/// The node id of the gateway under test is 5, so that it asks peer 9 and is asked by peer 3.
#[test]
fn stores_that_differ_are_found_and_repaired() {
    let mut gateway = Gateway::new();
    let writer = publisher(&mut gateway, 1, "a");
    let [asked, asking] = [9, 3].map(|id| gateway.peer(id, "there"));
    for sequence in 1..=50 {
        publish(&mut gateway, writer, sequence, value(&sequence.to_string(), b"x"));
    }
    let digests = |gateway: &mut Gateway, link| -> Vec<v1::StoreDigest> {
        gateway.only(link, StreamKind::Control, kind::STORE_DIGEST)
    };
    gateway.pass(2_500);
    for link in [asked, asking] {
        gateway.send(link, kind::PONG, &v1::Pong::default());
    }
    gateway.pass(2_500);
    let [asks, none] = [asked, asking].map(|link| digests(&mut gateway, link));
    assert_eq!((asks.len(), asks[0].buckets.len(), none.len()), (1, 0, 0));

    // A peer with the same sum is left alone; another one is told the buckets.
    gateway.send(asking, kind::STORE_DIGEST, &v1::StoreDigest { sum: asks[0].sum, ..Default::default() });
    assert_eq!(digests(&mut gateway, asking), []);
    gateway.send(asking, kind::STORE_DIGEST, &v1::StoreDigest { sum: 1, ..Default::default() });
    let told = digests(&mut gateway, asking).remove(0);
    assert_eq!((told.sum, told.buckets.len()), (asks[0].sum, 256));

    // One bucket differs at the peer that was asked: it gets a list of this, and says what it has.
    let bucket = told.buckets.iter().position(|sum| *sum != 0).unwrap();
    let mut buckets = told.buckets.clone();
    buckets[bucket] = 1;
    gateway.send(asked, kind::STORE_DIGEST, &v1::StoreDigest { sum: 1, buckets });
    let lists: Vec<v1::StoreList> = gateway.only(asked, StreamKind::Control, kind::STORE_LIST);
    assert_eq!((lists.len(), &lists[0].buckets[..], lists[0].answer), (1, &[bucket as u8][..], false));
    assert!(!lists[0].hashes.is_empty());
    gateway.frames(asked, StreamKind::Event);
    let lacks_one = v1::StoreList {
        buckets: lists[0].buckets.clone(),
        hashes: lists[0].hashes[1..].to_vec(),
        answer: true,
    };
    gateway.send(asked, kind::STORE_LIST, &lacks_one);
    let sent: Vec<Deliver> = gateway.only(asked, StreamKind::Event, kind::DELIVER);
    assert_eq!((sent.len(), sent[0].retained), (1, true));
    assert_eq!(gateway.frames(asked, StreamKind::Control), [], "an answer is not answered");
    assert_eq!(gateway.node.counters().repaired, 1);

    // Who asks with a list gets one back.
    gateway.frames(asking, StreamKind::Event);
    gateway.send(asking, kind::STORE_LIST, &v1::StoreList { answer: false, ..lists[0].clone() });
    let lists: Vec<v1::StoreList> = gateway.only(asking, StreamKind::Control, kind::STORE_LIST);
    assert_eq!((lists.len(), lists[0].answer), (1, true));
    assert_eq!(gateway.frames(asking, StreamKind::Event), [], "it lacks nothing");
}

#[test]
fn removing_from_a_full_store_works_and_adding_is_refused() {
    let mut gateway = Gateway::new();
    let writer = publisher(&mut gateway, 1, "a");
    // 300 values of 900 kB are more than 256 MiB.
    for sequence in 1..=300 {
        publish(&mut gateway, writer, sequence, value(&sequence.to_string(), &[0; 900_000]));
    }
    let refused: Vec<v1::PublishRefused> = gateway.only(writer, StreamKind::Control, kind::PUBLISH_REFUSED);
    assert!(!refused.is_empty() && refused.iter().all(|refused| refused.code() == Code::ResourceExhausted));
    let kept = gateway.node.gauges().retained;
    assert_eq!(kept + refused.len(), 300);
    assert_eq!(gateway.node.counters().unkept, refused.len() as u64);
    for sequence in 301..=310 {
        publish(&mut gateway, writer, sequence, removal(&(sequence - 300).to_string()));
    }
    publish(&mut gateway, writer, 311, value("one more", &[0; 900_000]));
    assert_eq!(
        gateway.frames(writer, StreamKind::Control).iter().filter(|f| f.0 == kind::PUBLISH_REFUSED).count(),
        0
    );
    assert_eq!(gateway.node.gauges().retained, kept - 10 + 1);
    assert_eq!(gateway.closed(writer), None);
}

#[test]
fn a_link_that_comes_up_brings_the_whole_store_page_by_page() {
    let mut gateway = Gateway::new();
    let writer = publisher(&mut gateway, 1, "a");
    for sequence in 1..=50 {
        publish(&mut gateway, writer, sequence, value(&sequence.to_string(), &[0; 100_000]));
    }
    let windows = v1::Windows { rpc: 1_000, event: 1_000, telemetry: 1_000 };
    let link = gateway.linked(v1::LinkHello { windows: Some(windows), ..link_hello(9, "there") });
    assert!(gateway.node.gauges().queued_bytes < 2 << 20);
    gateway.credit(link, Class::Event, WINDOW);
    assert_eq!(gateway.sequences(link, StreamKind::Event), (1..=50).collect::<Vec<_>>());
    gateway.send(link, kind::ACK, &v1::Ack { position: 52 });
    assert_eq!(gateway.node.gauges().queued_bytes, 0);
}

/// Keys of the values that `$sys.retained` answers for a pattern, and how many parts it took.
fn last(
    gateway: &mut Gateway,
    client: ConnKey,
    number: u64,
    pattern: &str,
    credit: u64,
) -> (Vec<String>, usize) {
    let payload = pattern.as_bytes().to_vec().into();
    let call = v1::Call { payload, credit, ..common::call(number, "$sys.retained", 60_000) };
    gateway.send_on(client, StreamKind::Rpc, kind::CALL, &call);
    let (mut keys, mut parts, mut granted) = (Vec::new(), 0, credit);
    loop {
        let results: Vec<v1::CallResult> = gateway.only(client, StreamKind::Rpc, kind::CALL_RESULT);
        assert!(!results.is_empty(), "an answer comes for the credit that it needs");
        for result in results {
            let values = v1::RetainedValues::decode(&result.payload[..]).unwrap().values;
            assert!(result.payload.len() <= 64 << 10 || values.len() == 1);
            keys.extend(values.into_iter().map(|value| value.message.unwrap().key));
            parts += 1;
            granted += result.payload.len() as u64;
            if !result.more {
                return (keys, parts);
            }
        }
        gateway.send_on(
            client,
            StreamKind::Rpc,
            kind::CALL_CREDIT,
            &v1::CallCredit { call: number, total: granted },
        );
    }
}

#[test]
fn the_store_is_read_without_subscribing() {
    let mut gateway = Gateway::new();
    let writer = publisher(&mut gateway, 1, "a.b");
    let reader = gateway.client(2, WINDOW);
    assert_eq!(last(&mut gateway, reader, 1, "#", 1 << 20), (vec![], 1), "an empty store answers, too");
    for sequence in 1..=100 {
        publish(&mut gateway, writer, sequence, value(&sequence.to_string(), &[0; 5_000]));
    }
    publish(&mut gateway, writer, 101, removal("7"));
    let all: Vec<String> = (1..=100).filter(|key| *key != 7).map(|key: u32| key.to_string()).collect();
    // Through the whole store, and by the topic's name.
    for (number, pattern) in [(2, "#"), (3, "a.b"), (4, " a.*\n")] {
        let (keys, parts) = last(&mut gateway, reader, number, pattern, 1 << 20);
        assert_eq!((&keys, parts), (&all, 9), "{pattern}");
        let (keys, parts) = last(&mut gateway, reader, number + 10, pattern, 6_000);
        assert_eq!((&keys, parts), (&all, 99), "a part is never larger than the first credit");
    }
    assert_eq!(last(&mut gateway, reader, 5, "a.c", 1 << 20), (vec![], 1));
    let (keys, _) = last(&mut gateway, reader, 6, "+", 1 << 20);
    assert_eq!(keys, [""; 0]);
    assert_eq!(gateway.node.gauges().calls, 0);

    // A single result is enough for a few values, and not for many.
    let single = |number, pattern: &str| v1::Call {
        payload: pattern.as_bytes().to_vec().into(),
        ..common::call(number, "$sys.retained", 1_000)
    };
    gateway.send_on(reader, StreamKind::Rpc, kind::CALL, &single(7, "a.b"));
    let results: Vec<v1::CallResult> = gateway.only(reader, StreamKind::Rpc, kind::CALL_RESULT);
    assert_eq!(v1::RetainedValues::decode(&results[0].payload[..]).unwrap().values.len(), 99);
    for sequence in 102..=500 {
        publish(&mut gateway, writer, sequence, value(&sequence.to_string(), &[0; 5_000]));
    }
    gateway.send_on(reader, StreamKind::Rpc, kind::CALL, &single(8, "#"));
    gateway.send_on(reader, StreamKind::Rpc, kind::CALL, &single(9, "a..b"));
    let errors: Vec<v1::CallError> = gateway.only(reader, StreamKind::Rpc, kind::CALL_ERROR);
    let codes: Vec<(u64, Code)> = errors.iter().map(|error| (error.call, error.code())).collect();
    assert_eq!(codes, [(8, Code::InvalidArgument), (9, Code::InvalidArgument)]);
}

#[test]
fn what_the_store_of_a_peer_brings_is_marked_as_out_of_order() {
    let mut gateway = Gateway::new();
    let reader = gateway.client(1, WINDOW);
    gateway.send(reader, kind::SUBSCRIBE, &subscribe(1, "a"));
    let before = peer(&mut gateway, 9, "a");
    gateway.pass(3_000);
    let first = forwarded(3, stamp(&gateway), false, value("k", b"x"));
    forward(&mut gateway, before, &first);
    gateway.send(before, kind::MOVING, &v1::Moving::default());
    gateway.remove(before);
    let resent = |gateway: &mut Gateway| {
        let delivered: Vec<Deliver> = gateway.only(reader, StreamKind::Event, kind::DELIVER);
        delivered
            .iter()
            .map(|deliver| (deliver.sequence, deliver.retained, deliver.resent))
            .collect::<Vec<_>>()
    };
    assert_eq!(resent(&mut gateway), [(3, false, false)]);
    // Its publisher has sent it again to the next run of its gateway, whose store is here before its own event.
    let after = peer(&mut gateway, 8, "a");
    gateway.pass(1_000);
    let again = forwarded(3, stamp(&gateway), true, value("k", b"x"));
    forward(&mut gateway, after, &again);
    assert_eq!(resent(&mut gateway), [(3, true, true)]);
}

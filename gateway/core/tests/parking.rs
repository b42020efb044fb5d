//! Links whose connection is lost: what is held, and how the streams of both sides go on.

mod common;

use common::{Gateway, hello, link_hello, subscribe};
use macula_core::ConnKey;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{self, Continue, Gap, Received};
use macula_proto::wire;

const PEER: u8 = 9;

fn hello_of(epoch: u64) -> v1::LinkHello {
    v1::LinkHello { epoch, ..link_hello(PEER, "there") }
}

/// A peer whose link is up and that wants `a`.
fn peer(gateway: &mut Gateway) -> ConnKey {
    let conn = gateway.linked(hello_of(1));
    want_a(gateway, conn);
    gateway.frames(conn, StreamKind::Control);
    conn
}

/// The peer tells that it wants `a`.
fn want_a(gateway: &mut Gateway, conn: ConnKey) {
    let interests = vec![v1::Interest { pattern: "a".to_owned(), ..v1::Interest::default() }];
    let snapshot = v1::InterestSnapshot { version: 1, interests, offers: Vec::new() };
    gateway.send(conn, kind::INTEREST_SNAPSHOT, &snapshot);
}

/// The peer has connected again, as this run, and has said how far it had come; what it is told of the gateway's side.
fn back(gateway: &mut Gateway, epoch: u64, position: Option<u64>) -> (ConnKey, Option<u64>) {
    let conn = gateway.node.open_link(false);
    gateway.send(conn, kind::LINK_HELLO, &hello_of(epoch));
    let told = gateway.only::<Received>(conn, StreamKind::Control, kind::RECEIVED).remove(0);
    gateway.send(conn, kind::RECEIVED, &Received { position });
    (conn, told.position)
}

/// How the gateway's event stream begins, and the sequences of its deliveries.
fn begun(gateway: &mut Gateway, conn: ConnKey) -> (Continue, Vec<u64>) {
    use prost::Message;
    let frames = gateway.frames(conn, StreamKind::Event);
    assert_eq!(frames[0].0, kind::CONTINUE);
    let deliveries = frames[1..].iter().filter(|frame| frame.0 == kind::DELIVER);
    let sequences = deliveries.map(|frame| v1::Deliver::decode(&frame.1[..]).unwrap().sequence);
    (Continue::decode(&frames[0].1[..]).unwrap(), sequences.collect())
}

/// A client that publishes to `a` and is told what has settled.
fn publisher(gateway: &mut Gateway) -> ConnKey {
    let conn = gateway.node.open_session();
    gateway.send(conn, kind::HELLO, &v1::Hello { acknowledges: true, ..hello(1, 1 << 30) });
    gateway.alias(conn, StreamKind::Event, 1, "a");
    conn
}

fn publish(gateway: &mut Gateway, from: ConnKey, sequences: std::ops::RangeInclusive<u64>, payload: &[u8]) {
    sequences.for_each(|sequence| gateway.publish(from, StreamKind::Event, 1, sequence, payload));
}

fn settled(gateway: &mut Gateway, conn: ConnKey) -> Option<u64> {
    let told: Vec<v1::Settled> = gateway.only(conn, StreamKind::Control, kind::SETTLED);
    told.last().map(|settled| settled.sequence)
}

/// An event of a publisher that the peer calls 3, on the topic that it calls 5.
fn forward(gateway: &mut Gateway, from: ConnKey, sequence: u64) {
    let message = Some(v1::Message::default());
    let deliver = v1::Deliver { topic: 5, publisher: 3, sequence, message, ..v1::Deliver::default() };
    gateway.send_on(from, StreamKind::Event, kind::DELIVER, &deliver);
}

fn tell_aliases(gateway: &mut Gateway, from: ConnKey) {
    gateway.alias(from, StreamKind::Event, 5, "a");
    let told = v1::PublisherAlias { alias: 3, publisher: vec![66; 16].into(), epoch: 1 };
    gateway.send_on(from, StreamKind::Event, kind::PUBLISHER_ALIAS, &told);
}

fn gaps(gateway: &mut Gateway, conn: ConnKey) -> Vec<u64> {
    gateway.only::<Gap>(conn, StreamKind::Event, kind::GAP).iter().map(|gap| gap.count).collect()
}

#[test]
fn a_peer_that_comes_back_is_sent_what_it_has_not_received() {
    let mut gateway = Gateway::new();
    let there = peer(&mut gateway);
    let from = publisher(&mut gateway);
    publish(&mut gateway, from, 1..=3, b"x");
    // Two aliases and three deliveries are under way when the connection is lost. Later ones are held.
    assert_eq!(gateway.sequences(there, StreamKind::Event), [1, 2, 3]);
    gateway.remove(there);
    publish(&mut gateway, from, 4..=5, b"x");
    assert_eq!(settled(&mut gateway, from), None);
    assert_eq!(gateway.node.gauges().parked, 1);
    gateway.pass(30_000);
    let (there, _) = back(&mut gateway, 1, Some(4));
    let (begin, sequences) = begun(&mut gateway, there);
    assert_eq!(begin, Continue { position: Some(4), ..Continue::default() });
    assert_eq!(sequences, [3, 4, 5]);
    publish(&mut gateway, from, 6..=6, b"x");
    assert_eq!(gateway.sequences(there, StreamKind::Event), [6]);
    gateway.send(there, kind::ACK, &v1::Ack { position: 8 });
    assert_eq!(settled(&mut gateway, from), Some(6));
    let gauges = gateway.node.gauges();
    assert_eq!((gauges.parked, gauges.queued_bytes), (0, 0));
}

#[test]
fn the_stream_of_a_peer_goes_on_where_it_was() {
    let mut gateway = Gateway::new();
    let reader = gateway.node.open_session();
    gateway.send(reader, kind::HELLO, &v1::Hello { acknowledges: true, ..hello(2, 1 << 20) });
    gateway.send(reader, kind::SUBSCRIBE, &subscribe(1, "a"));
    let there = peer(&mut gateway);
    tell_aliases(&mut gateway, there);
    forward(&mut gateway, there, 1);
    // The beginning of a frame that the connection takes with it.
    gateway.bytes(there, StreamKind::Event, &[9, kind::DELIVER]);
    gateway.remove(there);
    gateway.send(reader, kind::ACK, &v1::Ack { position: 3 });
    let (there, position) = back(&mut gateway, 1, Some(0));
    assert_eq!(position, Some(3));
    gateway.send_on(there, StreamKind::Event, kind::CONTINUE, &Continue { position, ..Continue::default() });
    let acks: Vec<v1::Ack> = gateway.only(there, StreamKind::Control, kind::ACK);
    assert_eq!(acks, [v1::Ack { position: 3 }], "what has settled meanwhile");
    forward(&mut gateway, there, 2);
    let frames = gateway.frames(reader, StreamKind::Event);
    let deliveries = frames.iter().filter(|frame| frame.0 == kind::DELIVER).count();
    assert_eq!((deliveries, frames.iter().any(|frame| frame.0 == kind::GAP)), (2, false));
    // It dials anew, which it would not if it had not lost the link.
    let (there, position) = back(&mut gateway, 1, Some(0));
    assert_eq!(position, Some(4), "a connection that replaces another goes on with it, too");
    let wrong = Continue { position: Some(3), ..Continue::default() };
    gateway.send_on(there, StreamKind::Event, kind::CONTINUE, &wrong);
    assert!(gateway.closed(there).unwrap().1.contains("goes on at 3"));
}

#[test]
fn a_peer_that_has_forgotten_us_leaves_a_gap_on_both_sides() {
    let mut gateway = Gateway::new();
    let reader = gateway.client(2, 1 << 20);
    gateway.send(reader, kind::SUBSCRIBE, &subscribe(1, "a"));
    let there = peer(&mut gateway);
    let from = publisher(&mut gateway);
    publish(&mut gateway, from, 1..=3, b"x");
    gateway.remove(there);
    let (there, _) = back(&mut gateway, 1, None);
    gateway.send_on(there, StreamKind::Event, kind::CONTINUE, &Continue::default());
    assert_eq!(gateway.only::<Gap>(there, StreamKind::Event, kind::GAP), [Gap { count: 3 }]);
    assert_eq!(settled(&mut gateway, from), Some(3));
    assert_eq!(gaps(&mut gateway, reader), [0]);
}

#[test]
fn what_is_held_is_given_up_after_a_minute() {
    let mut gateway = Gateway::new();
    let reader = gateway.client(2, 1 << 20);
    gateway.send(reader, kind::SUBSCRIBE, &subscribe(1, "b"));
    let there = peer(&mut gateway);
    let from = publisher(&mut gateway);
    gateway.remove(there);
    publish(&mut gateway, from, 1..=3, b"x");
    gateway.pass(59_900);
    assert_eq!((settled(&mut gateway, from), gaps(&mut gateway, reader)), (None, vec![]));
    gateway.pass(100);
    assert_eq!((settled(&mut gateway, from), gaps(&mut gateway, reader)), (Some(3), vec![0]));
    assert_eq!(gateway.node.counters().lost, [3, 0]);
    assert_eq!(gateway.node.gauges().queued_bytes, 0);
    publish(&mut gateway, from, 4..=4, b"x");
    assert_eq!(gateway.node.counters().forwarded[0], 3, "nobody wants it any more");
}

#[test]
fn what_does_not_fit_is_a_gap_of_that_many() {
    let mut gateway = Gateway::new();
    let there = peer(&mut gateway);
    let from = publisher(&mut gateway);
    gateway.remove(there);
    let large = vec![0; 900_000];
    publish(&mut gateway, from, 1..=80, &large);
    let lost = gateway.node.counters().lost[0];
    assert!((6..=8).contains(&lost), "64 MiB are held: {lost}");
    let (there, _) = back(&mut gateway, 1, Some(0));
    gateway.credit(there, v1::Class::Event, 1 << 30);
    let (mut sequences, mut told, mut position) = (Vec::new(), Vec::new(), 0);
    loop {
        let frames = gateway.frames(there, StreamKind::Event);
        if frames.is_empty() {
            break;
        }
        for (kind, body) in frames {
            use prost::Message;
            position += u64::from(kind != kind::CONTINUE);
            match kind {
                kind::DELIVER => sequences.push(v1::Deliver::decode(&body[..]).unwrap().sequence),
                kind::GAP => told.push(Gap::decode(&body[..]).unwrap().count),
                _ => {}
            }
        }
        gateway.send(there, kind::ACK, &v1::Ack { position });
    }
    assert_eq!((sequences, told), ((1..=80 - lost).collect(), vec![lost]));
    assert_eq!(settled(&mut gateway, from), Some(80));
}

#[test]
fn a_later_run_is_sent_what_was_held_for_the_one_before() {
    let mut gateway = Gateway::new();
    let there = peer(&mut gateway);
    let from = publisher(&mut gateway);
    publish(&mut gateway, from, 1..=2, b"x");
    gateway.remove(there);
    publish(&mut gateway, from, 3..=3, b"x");
    let (there, position) = back(&mut gateway, 2, None);
    assert_eq!(position, None, "that run has sent nothing");
    let (begin, sequences) = begun(&mut gateway, there);
    assert_eq!(begin, Continue { position: None, held: 7, whole: true });
    assert_eq!(sequences, [1, 2, 3]);
    publish(&mut gateway, from, 4..=4, b"x");
    assert_eq!(gateway.sequences(there, StreamKind::Event), [4], "its clients may ask for it yet");
    // The connection is lost before any of it has come: it is still what was held.
    gateway.remove(there);
    let (there, _) = back(&mut gateway, 2, Some(0));
    let (begin, sequences) = begun(&mut gateway, there);
    assert_eq!(
        (begin, &sequences[..]),
        (Continue { position: Some(0), held: 7, whole: true }, &[1, 2, 3, 4][..])
    );
    gateway.send(there, kind::ACK, &v1::Ack { position: 8 });
    assert_eq!(settled(&mut gateway, from), Some(4));
    for _ in 0..4 {
        gateway.pass(3_000);
        gateway.send(there, kind::PING, &v1::Ping { nonce: 1 });
    }
    publish(&mut gateway, from, 5..=5, b"x");
    assert_eq!(gateway.sequences(there, StreamKind::Event), [0u64; 0], "they have had their time");
}

#[test]
fn what_peers_have_held_is_for_those_who_come_back() {
    let mut gateway = Gateway::new();
    let recovering = |number, pattern| v1::Subscribe { recover: true, ..subscribe(number, pattern) };
    let resume = v1::Resumption { session: 7, gateway_epoch: 0, position: 0 };
    let [early, late, fresh] = [2, 3, 4].map(|publisher| {
        let conn = gateway.node.open_session();
        gateway.send(conn, kind::HELLO, &v1::Hello { resume: Some(resume), ..hello(publisher, 1 << 20) });
        conn
    });
    gateway.send(early, kind::SUBSCRIBE, &recovering(1, "a"));
    gateway.send(fresh, kind::SUBSCRIBE, &subscribe(1, "a"));
    let there = gateway.node.open_link(false);
    gateway.send(there, kind::LINK_HELLO, &hello_of(1));
    gateway.send(there, kind::RECEIVED, &Received::default());
    let begin = Continue { position: None, held: 4, whole: true };
    gateway.send_on(there, StreamKind::Event, kind::CONTINUE, &begin);
    tell_aliases(&mut gateway, there);
    (1..=3).for_each(|sequence| forward(&mut gateway, there, sequence));
    gateway.send(late, kind::SUBSCRIBE, &recovering(1, "#"));
    gateway.pass(100);
    gateway.send(there, kind::PING, &v1::Ping { nonce: 1 });
    assert_eq!(gateway.sequences(early, StreamKind::Event), [1, 2, 3]);
    assert_eq!(gateway.sequences(late, StreamKind::Event), [1, 2, 3], "the third as any event");
    assert_eq!(gateway.sequences(fresh, StreamKind::Event), [3]);
    let settled = |gateway: &mut Gateway| {
        let acks: Vec<v1::Ack> = gateway.only(there, StreamKind::Control, kind::ACK);
        acks.last().map(|ack| ack.position)
    };
    assert_eq!(settled(&mut gateway), Some(2), "the aliases");
    gateway.pass(3_900);
    gateway.send(there, kind::PING, &v1::Ping { nonce: 1 });
    gateway.pass(3_900);
    gateway.send(there, kind::PING, &v1::Ping { nonce: 1 });
    gateway.pass(2_000);
    assert_eq!(settled(&mut gateway), None);
    gateway.pass(100);
    assert_eq!(settled(&mut gateway), Some(5), "they have had their time");
}

#[test]
fn those_who_come_back_are_told_when_a_peer_has_not_held_everything() {
    let mut gateway = Gateway::new();
    let resume = v1::Resumption { session: 7, gateway_epoch: 0, position: 0 };
    let [early, late] = [2, 3].map(|publisher| {
        let conn = gateway.node.open_session();
        gateway.send(conn, kind::HELLO, &v1::Hello { resume: Some(resume), ..hello(publisher, 1 << 20) });
        conn
    });
    gateway.send(early, kind::SUBSCRIBE, &v1::Subscribe { recover: true, ..subscribe(1, "a") });
    assert_eq!(gaps(&mut gateway, early), [0u64; 0]);
    gateway.linked(hello_of(1));
    gateway.send(late, kind::SUBSCRIBE, &v1::Subscribe { recover: true, ..subscribe(1, "a") });
    assert_eq!([early, late].map(|conn| gaps(&mut gateway, conn)), [[0], [0]]);
}

#[test]
fn a_peer_that_says_goodbye_leaves_no_gap() {
    let mut gateway = Gateway::new();
    let reader = gateway.client(2, 1 << 20);
    gateway.send(reader, kind::SUBSCRIBE, &subscribe(1, "a"));
    let there = peer(&mut gateway);
    let from = publisher(&mut gateway);
    publish(&mut gateway, from, 1..=1, b"x");
    gateway.send(there, kind::INTEREST_APPLIED, &v1::InterestApplied { version: 1 });
    gateway.send(there, kind::MOVING, &v1::Moving { retry_after_ms: 0 });
    publish(&mut gateway, from, 2..=2, b"x");
    gateway.sequences(reader, StreamKind::Event);
    gateway.node.finished(there, StreamKind::Event);
    gateway.remove(there);
    assert_eq!(gateway.node.gauges().parked, 0);
    gateway.pass(70_000);
    assert_eq!(gaps(&mut gateway, reader), [0u64; 0]);
    assert_eq!(settled(&mut gateway, from), Some(2));
}

#[test]
fn a_peer_that_says_goodbye_and_has_no_time_for_all_that_it_has_leaves_a_gap() {
    let mut gateway = Gateway::new();
    let reader = gateway.client(2, 1 << 20);
    gateway.send(reader, kind::SUBSCRIBE, &subscribe(1, "a"));
    let there = peer(&mut gateway);
    gateway.send(there, kind::MOVING, &v1::Moving { retry_after_ms: 0 });
    gateway.remove(there);
    assert_eq!(gaps(&mut gateway, reader), [0]);
}

#[test]
fn a_peer_that_says_goodbye_before_it_knows_what_is_wanted_here_leaves_a_gap() {
    let mut gateway = Gateway::new();
    let reader = gateway.client(2, 1 << 20);
    gateway.send(reader, kind::SUBSCRIBE, &subscribe(1, "a"));
    let there = peer(&mut gateway);
    gateway.send(there, kind::MOVING, &v1::Moving { retry_after_ms: 0 });
    gateway.node.finished(there, StreamKind::Event);
    gateway.remove(there);
    assert_eq!(gaps(&mut gateway, reader), [0]);
}

#[test]
fn a_peer_that_says_goodbye_and_stays_away_leaves_a_gap_when_it_is_back_as_another_run() {
    for (away_ms, expected) in [(5_000, vec![]), (10_000, vec![0])] {
        let mut gateway = Gateway::new();
        let reader = gateway.client(2, 1 << 20);
        gateway.send(reader, kind::SUBSCRIBE, &subscribe(1, "a"));
        let there = peer(&mut gateway);
        gateway.send(there, kind::INTEREST_APPLIED, &v1::InterestApplied { version: 1 });
        gateway.send(there, kind::MOVING, &v1::Moving { retry_after_ms: 0 });
        gateway.node.finished(there, StreamKind::Event);
        gateway.remove(there);
        gateway.pass(away_ms);
        assert_eq!(gaps(&mut gateway, reader), [0u64; 0]);
        back(&mut gateway, 2, None);
        assert_eq!(gaps(&mut gateway, reader), expected, "a run in between may have died with what it took");
    }
}

/// A peer with this id has connected, and wants `a`; the gaps that it is told.
fn told(gateway: &mut Gateway, id: u8, epoch: u64, position: Option<u64>) -> (ConnKey, Vec<u64>) {
    let conn = gateway.node.open_link(false);
    gateway.send(conn, kind::LINK_HELLO, &v1::LinkHello { epoch, ..link_hello(id, "there") });
    gateway.send(conn, kind::RECEIVED, &Received { position });
    want_a(gateway, conn);
    let told = gaps(gateway, conn);
    (conn, told)
}

#[test]
fn a_peer_that_is_met_after_events_were_published_is_told_a_gap_once() {
    let mut gateway = Gateway::new();
    let (early, none) = told(&mut gateway, 8, 1, None);
    let from = publisher(&mut gateway);
    publish(&mut gateway, from, 1..=1, b"x");
    assert_eq!((none, gaps(&mut gateway, early)), (vec![], vec![]));
    let (late, gap) = told(&mut gateway, 7, 1, None);
    assert_eq!(gap, [0], "its clients may have wanted what was said to an earlier run");
    gateway.remove(late);
    assert_eq!(told(&mut gateway, 7, 1, Some(1)).1, [0u64; 0]);
    // Nobody there wants anything yet: who comes back asks for what it missed, and is told then.
    let empty = gateway.peer(6, "empty");
    assert_eq!(gaps(&mut gateway, empty), [0u64; 0]);
}

#[test]
fn a_peer_that_was_given_up_is_told_a_gap_for_what_was_published_since() {
    for (during, since, expected) in [(0, 0, vec![]), (1, 0, vec![0]), (0, 1, vec![0])] {
        let mut gateway = Gateway::new();
        let (there, _) = told(&mut gateway, PEER, 1, None);
        let from = publisher(&mut gateway);
        publish(&mut gateway, from, 1..=1, b"x");
        gateway.frames(there, StreamKind::Event);
        gateway.send(there, kind::ACK, &v1::Ack { position: 3 });
        gateway.remove(there);
        publish(&mut gateway, from, 2..=1 + during, b"x");
        gateway.pass(60_000);
        publish(&mut gateway, from, 2 + during..=1 + during + since, b"x");
        assert_eq!(told(&mut gateway, PEER, 1, None).1, expected, "{during} held, {since} not");
    }
}

#[test]
fn a_peer_that_left_and_is_back_with_clients_is_told_a_gap_for_what_was_published_since() {
    for (since, expected) in [(0, vec![]), (1, vec![0])] {
        let mut gateway = Gateway::new();
        let (there, _) = told(&mut gateway, PEER, 1, None);
        let from = publisher(&mut gateway);
        publish(&mut gateway, from, 1..=1, b"x");
        gateway.frames(there, StreamKind::Event);
        gateway.send(there, kind::ACK, &v1::Ack { position: 3 });
        gateway.send(there, kind::MOVING, &v1::Moving { retry_after_ms: 0 });
        gateway.remove(there);
        publish(&mut gateway, from, 2..=1 + since, b"x");
        assert_eq!(told(&mut gateway, PEER, 2, None).1, expected);
    }
}

#[test]
fn values_for_a_peer_that_has_not_told_its_interest_come_in_the_order_of_their_publisher() {
    let mut gateway = Gateway::new();
    let from = gateway.node.open_session();
    let resume = Some(v1::Resumption { session: 7, gateway_epoch: 0, position: 0 });
    gateway.send(from, kind::HELLO, &v1::Hello { acknowledges: true, resume, ..hello(1, 1 << 30) });
    gateway.alias(from, StreamKind::Event, 1, "a");
    let (there, _) = back(&mut gateway, 1, None);
    for (sequence, retain) in [(1, true), (2, false), (3, true)] {
        let mut bytes = Vec::new();
        let mut message = wire::Message::new(b"x", "");
        message.retain = retain;
        wire::encode_publish(&mut bytes, 1, sequence, &message, false);
        gateway.bytes(from, StreamKind::Event, &bytes);
    }
    want_a(&mut gateway, there);
    assert_eq!(gateway.sequences(there, StreamKind::Event), [1, 2, 3]);
}

#[test]
fn what_waits_for_credit_is_not_all_that_there_is() {
    let mut gateway = Gateway::new();
    let reader = gateway.client(2, 100);
    gateway.send(reader, kind::SUBSCRIBE, &subscribe(1, "a"));
    let from = publisher(&mut gateway);
    publish(&mut gateway, from, 1..=1, &[0; 50]);
    assert!(!gateway.node.waits(reader, StreamKind::Event));
    publish(&mut gateway, from, 2..=2, &[0; 100]);
    assert!(gateway.node.waits(reader, StreamKind::Event));
    gateway.credit(reader, v1::Class::Event, 1_000);
    assert!(!gateway.node.waits(reader, StreamKind::Event));
}

#[test]
fn a_gateway_that_stops_says_goodbye() {
    let mut gateway = Gateway::new();
    let there = peer(&mut gateway);
    gateway.node.say_moving(0);
    gateway.pass(100);
    assert_eq!(gateway.only::<v1::Moving>(there, StreamKind::Control, kind::MOVING).len(), 1);
}

#[test]
fn telemetry_that_a_peer_misses_is_counted_and_told_when_it_is_back() {
    let mut gateway = Gateway::new();
    let there = peer(&mut gateway);
    let from = publisher(&mut gateway);
    gateway.alias(from, StreamKind::Telemetry, 1, "a");
    gateway.remove(there);
    (1..=5).for_each(|sequence| gateway.publish(from, StreamKind::Telemetry, 1, sequence, b"x"));
    let (there, _) = back(&mut gateway, 1, Some(0));
    let dropped: Vec<v1::Dropped> = gateway.only(there, StreamKind::Telemetry, kind::DROPPED);
    assert_eq!(dropped, [v1::Dropped { count: 5 }]);
}

#[test]
fn publishers_that_a_reader_here_holds_back_are_held_back_again() {
    let mut gateway = Gateway::new();
    let reader = gateway.client(2, 10);
    gateway.send(reader, kind::SUBSCRIBE, &subscribe(1, "a"));
    let there = peer(&mut gateway);
    tell_aliases(&mut gateway, there);
    let message = Some(v1::Message { payload: vec![0; 600_000].into(), ..v1::Message::default() });
    for sequence in 1..=3 {
        let message = message.clone();
        let deliver = v1::Deliver { topic: 5, publisher: 3, sequence, message, ..v1::Deliver::default() };
        gateway.send_on(there, StreamKind::Event, kind::DELIVER, &deliver);
    }
    assert_eq!(gateway.only::<v1::Pause>(there, StreamKind::Control, kind::PAUSE).len(), 1);
    gateway.remove(there);
    let conn = gateway.node.open_link(false);
    gateway.send(conn, kind::LINK_HELLO, &hello_of(1));
    let pauses: Vec<v1::Pause> = gateway.only(conn, StreamKind::Control, kind::PAUSE);
    assert_eq!(pauses.len(), 1);
    gateway.credit(reader, v1::Class::Event, 1 << 30);
    assert_eq!(gateway.only::<v1::Resume>(conn, StreamKind::Control, kind::RESUME).len(), 1);
}

#[test]
fn a_link_that_comes_after_its_clients_is_told_what_they_sent() {
    let mut gateway = Gateway::new();
    let from = gateway.node.open_session();
    let resume = Some(v1::Resumption { session: 7, gateway_epoch: 0, position: 0 });
    gateway.send(from, kind::HELLO, &v1::Hello { acknowledges: true, resume, ..hello(1, 1 << 30) });
    gateway.alias(from, StreamKind::Event, 1, "a");
    publish(&mut gateway, from, 1..=2, b"x");
    let there = peer(&mut gateway);
    publish(&mut gateway, from, 3..=3, b"x");
    assert_eq!(gateway.sequences(there, StreamKind::Event), [1, 2, 3]);
}

#[test]
fn a_link_whose_connection_is_replaced_before_it_has_told_its_interest_is_told_what_they_sent() {
    let mut gateway = Gateway::new();
    let from = gateway.node.open_session();
    let resume = Some(v1::Resumption { session: 7, gateway_epoch: 0, position: 0 });
    gateway.send(from, kind::HELLO, &v1::Hello { acknowledges: true, resume, ..hello(1, 1 << 30) });
    gateway.alias(from, StreamKind::Event, 1, "a");
    publish(&mut gateway, from, 1..=2, b"x");
    back(&mut gateway, 1, None);
    let (there, _) = back(&mut gateway, 1, None);
    publish(&mut gateway, from, 3..=3, b"x");
    want_a(&mut gateway, there);
    assert_eq!(gateway.sequences(there, StreamKind::Event), [1, 2, 3]);
    // What it has been sent is not sent again.
    gateway.remove(there);
    let (there, _) = back(&mut gateway, 1, Some(5));
    want_a(&mut gateway, there);
    publish(&mut gateway, from, 4..=4, b"x");
    assert_eq!(gateway.sequences(there, StreamKind::Event), [4]);
}

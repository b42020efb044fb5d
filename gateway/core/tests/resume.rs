//! Events until they are settled, and sessions that go on after their connection is lost.

mod common;

use common::{Gateway, hello, subscribe};
use macula_core::ConnKey;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{self, Class, Code, Hello, Overflow, Resumption, Welcome};
use macula_proto::wire;
use prost::Message as _;

/// A client that acknowledges and is kept for ten seconds.
fn steady(publisher: u8) -> Hello {
    Hello { acknowledges: true, resume_ms: 10_000, secret: vec![9; 16].into(), ..hello(publisher, 1 << 20) }
}

fn greet(gateway: &mut Gateway, hello: &Hello) -> (ConnKey, Welcome) {
    let conn = gateway.node.open_session();
    gateway.send(conn, kind::HELLO, hello);
    let frames = gateway.frames(conn, StreamKind::Control);
    assert_eq!(frames[0].0, kind::WELCOME, "{:?}", gateway.closed(conn));
    (conn, Welcome::decode(&frames[0].1[..]).unwrap())
}

fn resume(hello: &Hello, welcome: &Welcome, position: u64) -> Hello {
    let resume = Resumption { session: welcome.session, gateway_epoch: welcome.gateway_epoch, position };
    Hello { resume: Some(resume), ..hello.clone() }
}

fn publish(gateway: &mut Gateway, from: ConnKey, sequences: std::ops::RangeInclusive<u64>) {
    for sequence in sequences {
        gateway.publish(from, StreamKind::Event, 1, sequence, b"x");
    }
}

fn publisher(gateway: &mut Gateway, id: u8) -> ConnKey {
    let (conn, _) = greet(gateway, &steady(id));
    gateway.alias(conn, StreamKind::Event, 1, "a");
    conn
}

fn settled(gateway: &mut Gateway, conn: ConnKey) -> Option<u64> {
    gateway
        .only::<v1::Settled>(conn, StreamKind::Control, kind::SETTLED)
        .last()
        .map(|settled| settled.sequence)
}

fn ack(gateway: &mut Gateway, conn: ConnKey, position: u64) {
    gateway.send(conn, kind::ACK, &v1::Ack { position });
}

#[test]
fn an_event_is_settled_when_every_receiver_has_acknowledged_it() {
    let mut gateway = Gateway::new();
    let from = publisher(&mut gateway, 1);
    let readers = [2, 3].map(|id| greet(&mut gateway, &steady(id)).0);
    for reader in readers {
        gateway.send(reader, kind::SUBSCRIBE, &subscribe(1, "a"));
    }
    publish(&mut gateway, from, 1..=3);
    assert_eq!(settled(&mut gateway, from), None);
    // Two alias frames come before the deliveries.
    ack(&mut gateway, readers[0], 5);
    assert_eq!(settled(&mut gateway, from), None);
    ack(&mut gateway, readers[1], 4);
    assert_eq!(settled(&mut gateway, from), Some(2));
    gateway.remove(readers[1]);
    gateway.pass(11_000);
    assert_eq!(settled(&mut gateway, from), Some(3), "who left need not acknowledge");
}

#[test]
fn an_event_that_nobody_wants_is_settled_at_once() {
    let mut gateway = Gateway::new();
    let from = publisher(&mut gateway, 1);
    publish(&mut gateway, from, 1..=1);
    assert_eq!(settled(&mut gateway, from), Some(1));
}

#[test]
fn who_does_not_acknowledge_settles_by_being_sent() {
    let mut gateway = Gateway::new();
    let from = publisher(&mut gateway, 1);
    let reader = gateway.client(2, 1 << 20);
    gateway.send(reader, kind::SUBSCRIBE, &subscribe(1, "a"));
    publish(&mut gateway, from, 1..=1);
    assert_eq!(settled(&mut gateway, from), Some(1));
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_ends_the_session() {
    let mut gateway = Gateway::new();
    let (reader, _) = greet(&mut gateway, &steady(2));
    ack(&mut gateway, reader, 1);
    assert_eq!(gateway.closed(reader).map(|(code, _)| code), Some(Code::InvalidArgument));
}

#[test]
fn a_resumed_session_receives_exactly_what_it_missed() {
    let mut gateway = Gateway::new();
    let from = publisher(&mut gateway, 1);
    let (reader, welcome) = greet(&mut gateway, &steady(2));
    gateway.send(reader, kind::SUBSCRIBE, &subscribe(1, "a"));
    publish(&mut gateway, from, 1..=4);
    assert_eq!(gateway.sequences(reader, StreamKind::Event), [1, 2, 3, 4]);
    ack(&mut gateway, reader, 3);
    gateway.remove(reader);
    publish(&mut gateway, from, 5..=6);
    gateway.pass(5_000);
    // It had received the aliases and two of the messages, and the rest was lost with the connection.
    let (again, resumed) = greet(&mut gateway, &resume(&steady(2), &welcome, 4));
    assert!(resumed.resumed);
    assert_eq!(gateway.sequences(again, StreamKind::Event), [3, 4, 5, 6]);
    publish(&mut gateway, from, 7..=7);
    assert_eq!(gateway.sequences(again, StreamKind::Event), [7], "its subscription stands");
    ack(&mut gateway, again, 9);
    assert_eq!(settled(&mut gateway, from), Some(7));
}

#[test]
fn a_subscription_whose_answer_was_lost_is_asked_for_again_and_is_answered() {
    let mut gateway = Gateway::new();
    let from = publisher(&mut gateway, 1);
    let (reader, welcome) = greet(&mut gateway, &steady(2));
    gateway.send(reader, kind::SUBSCRIBE, &subscribe(1, "a"));
    gateway.remove(reader);
    publish(&mut gateway, from, 1..=1);
    let (again, _) = greet(&mut gateway, &resume(&steady(2), &welcome, 0));
    gateway.send(again, kind::SUBSCRIBE, &subscribe(1, "a"));
    let answers: Vec<v1::Acknowledged> = gateway.only(again, StreamKind::Control, kind::ACKNOWLEDGED);
    assert_eq!(answers.iter().map(v1::Acknowledged::code).collect::<Vec<_>>(), [Code::Ok]);
    publish(&mut gateway, from, 2..=2);
    assert_eq!(gateway.sequences(again, StreamKind::Event), [1, 2], "once, and none is missed");
}

#[test]
fn a_session_can_be_resumed_before_its_gateway_knows_that_the_connection_is_lost() {
    let mut gateway = Gateway::new();
    let from = publisher(&mut gateway, 1);
    let (reader, welcome) = greet(&mut gateway, &steady(2));
    gateway.send(reader, kind::SUBSCRIBE, &subscribe(1, "a"));
    publish(&mut gateway, from, 1..=2);
    let (again, resumed) = greet(&mut gateway, &resume(&steady(2), &welcome, 0));
    assert!(resumed.resumed);
    assert_eq!(gateway.closed(reader).map(|(code, _)| code), Some(Code::Aborted));
    assert_eq!(gateway.sequences(again, StreamKind::Event), [1, 2]);
    gateway.remove(reader);
    publish(&mut gateway, from, 3..=3);
    assert_eq!(gateway.sequences(again, StreamKind::Event), [3]);
}

#[test]
fn nobody_resumes_the_session_of_another() {
    let mut gateway = Gateway::new();
    let (reader, welcome) = greet(&mut gateway, &steady(2));
    gateway.remove(reader);
    let thief = Hello { secret: vec![8; 16].into(), ..steady(2) };
    let conn = gateway.node.open_session();
    gateway.send(conn, kind::HELLO, &resume(&thief, &welcome, 0));
    assert_eq!(gateway.closed(conn).unwrap().0, Code::PermissionDenied);
    let (_, welcome) = greet(&mut gateway, &resume(&steady(2), &welcome, 0));
    assert!(welcome.resumed, "its owner does");
}

#[test]
fn a_session_that_is_not_resumed_in_time_is_gone() {
    let mut gateway = Gateway::new();
    let from = publisher(&mut gateway, 1);
    let (reader, welcome) = greet(&mut gateway, &steady(2));
    gateway.send(reader, kind::SUBSCRIBE, &subscribe(1, "a"));
    gateway.remove(reader);
    publish(&mut gateway, from, 1..=1);
    assert_eq!((gateway.node.gauges().kept, settled(&mut gateway, from)), (1, None));
    gateway.pass(10_100);
    let gauges = gateway.node.gauges();
    assert_eq!((gauges.kept, gauges.subscriptions, gauges.queued_bytes), (0, 0, 0));
    assert_eq!(settled(&mut gateway, from), Some(1));
    let (again, welcome) = greet(&mut gateway, &resume(&steady(2), &welcome, 0));
    assert!(!welcome.resumed);
    gateway.send(again, kind::SUBSCRIBE, &v1::Subscribe { recover: true, ..subscribe(1, "a") });
    let gaps = gateway.only::<v1::Gap>(again, StreamKind::Event, kind::GAP);
    assert_eq!(gaps, [v1::Gap { count: 0 }], "events were lost, and nobody knows how many");
}

#[test]
fn a_client_that_says_goodbye_is_not_kept() {
    let mut gateway = Gateway::new();
    let (reader, _) = greet(&mut gateway, &steady(2));
    gateway.send(reader, kind::CLOSE, &v1::Close::default());
    gateway.remove(reader);
    assert_eq!((gateway.node.gauges().kept, gateway.node.gauges().sessions), (0, 0));
}

#[test]
fn telemetry_for_who_is_away_is_counted_and_told() {
    let mut gateway = Gateway::new();
    let from = publisher(&mut gateway, 1);
    gateway.alias(from, StreamKind::Telemetry, 1, "a");
    let (reader, welcome) = greet(&mut gateway, &steady(2));
    gateway.send(reader, kind::SUBSCRIBE, &subscribe(1, "a"));
    gateway.remove(reader);
    for sequence in 1..=3 {
        gateway.publish(from, StreamKind::Telemetry, 1, sequence, b"x");
    }
    let (again, _) = greet(&mut gateway, &resume(&steady(2), &welcome, 0));
    gateway.publish(from, StreamKind::Telemetry, 1, 4, b"x");
    let dropped = gateway.only::<v1::Dropped>(again, StreamKind::Telemetry, kind::DROPPED);
    assert_eq!(dropped, [v1::Dropped { count: 3 }]);
}

#[test]
fn who_is_away_holds_nobody_back_and_loses_only_what_does_not_fit() {
    let mut gateway = Gateway::new();
    let from = publisher(&mut gateway, 1);
    let (reader, welcome) = greet(&mut gateway, &steady(2));
    gateway.send(reader, kind::SUBSCRIBE, &subscribe(1, "a"));
    gateway.remove(reader);
    let payload = vec![7; 512 << 10];
    for sequence in 1..=80 {
        gateway.publish(from, StreamKind::Event, 1, sequence, &payload);
    }
    assert_eq!(gateway.node.counters().held, 0);
    let hello = Hello {
        windows: Some(v1::Windows { rpc: 1 << 30, event: 1 << 30, telemetry: 1 << 30 }),
        ..resume(&steady(2), &welcome, 0)
    };
    let (again, _) = greet(&mut gateway, &hello);
    let mut told = (0, 0, 0);
    for _ in 0..8 {
        for (kind, body) in gateway.frames(again, StreamKind::Event) {
            told.0 += 1;
            told.1 += u64::from(kind == kind::DELIVER);
            if kind == kind::GAP {
                told.2 += v1::Gap::decode(&body[..]).unwrap().count;
            }
        }
        // No more than a part of it is sent before it is acknowledged.
        ack(&mut gateway, again, told.0);
    }
    assert!(told.1 > 60, "{told:?}");
    assert_eq!(told.1 + told.2, 80);
}

#[test]
fn a_silent_session_that_owes_an_acknowledgement_is_asked_and_then_kept() {
    let mut gateway = Gateway::new();
    let from = publisher(&mut gateway, 1);
    let (reader, welcome) = greet(&mut gateway, &steady(2));
    gateway.send(reader, kind::SUBSCRIBE, &subscribe(1, "a"));
    gateway.pass(60_000);
    assert_eq!(gateway.closed(reader), None, "silence alone is no fault");
    publish(&mut gateway, from, 1..=1);
    gateway.pass(1_000);
    assert_eq!(gateway.only::<v1::Ping>(reader, StreamKind::Control, kind::PING).len(), 1);
    gateway.send(reader, kind::PONG, &v1::Pong::default());
    gateway.pass(2_500);
    assert_eq!(gateway.closed(reader), None, "it has answered");
    gateway.pass(4_000);
    assert_eq!(gateway.closed(reader).map(|(code, _)| code), Some(Code::Unavailable));
    gateway.remove(reader);
    let (again, resumed) = greet(&mut gateway, &resume(&steady(2), &welcome, 0));
    assert!(resumed.resumed);
    assert_eq!(gateway.sequences(again, StreamKind::Event), [1]);
}

#[test]
fn a_session_that_was_asked_long_ago_and_has_answered_is_not_lost() {
    let mut gateway = Gateway::new();
    let from = publisher(&mut gateway, 1);
    let (reader, _) = greet(&mut gateway, &steady(2));
    gateway.send(reader, kind::SUBSCRIBE, &subscribe(1, "a"));
    gateway.pass(5_000);
    publish(&mut gateway, from, 1..=1);
    gateway.pass(100);
    assert_eq!(gateway.only::<v1::Ping>(reader, StreamKind::Control, kind::PING).len(), 1);
    // Before the next tick, as on loopback.
    gateway.send(reader, kind::PONG, &v1::Pong::default());
    let position = gateway.frames(reader, StreamKind::Event).len() as u64;
    ack(&mut gateway, reader, position);
    gateway.pass(60_000);
    publish(&mut gateway, from, 2..=2);
    gateway.pass(1_000);
    assert_eq!(gateway.closed(reader), None, "it has had no time to answer again");
    assert_eq!(gateway.only::<v1::Ping>(reader, StreamKind::Control, kind::PING).len(), 1);
}

#[test]
fn another_process_takes_a_named_session_over_with_what_was_not_acknowledged() {
    let mut gateway = Gateway::new();
    let from = publisher(&mut gateway, 1);
    let named = |id| Hello { session_name: "projections".to_owned(), ..steady(id) };
    let (reader, _) = greet(&mut gateway, &named(2));
    gateway.send(reader, kind::SUBSCRIBE, &subscribe(7, "a"));
    publish(&mut gateway, from, 1..=2);
    ack(&mut gateway, reader, 3);
    gateway.remove(reader);
    publish(&mut gateway, from, 3..=3);
    let (heir, welcome) = greet(&mut gateway, &named(3));
    assert!(welcome.resumed);
    let inherited = v1::Inherited { subscription: 7, pattern: "a".to_owned(), group: String::new() };
    assert_eq!(welcome.inherited, [inherited]);
    let frames = gateway.frames(heir, StreamKind::Event);
    let kinds: Vec<u8> = frames.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds[..2], [kind::TOPIC_ALIAS, kind::PUBLISHER_ALIAS], "it knows no alias");
    let sequences: Vec<u64> = frames
        .iter()
        .filter(|(kind, _)| *kind == kind::DELIVER)
        .map(|(_, body)| v1::Deliver::decode(&body[..]).unwrap().sequence)
        .collect();
    assert_eq!(sequences, [2, 3]);
    gateway.send(heir, kind::SUBSCRIBE, &subscribe(7, "a"));
    let answers = gateway.only::<v1::Acknowledged>(heir, StreamKind::Control, kind::ACKNOWLEDGED);
    assert_eq!(answers[0].code(), Code::Ok);
    ack(&mut gateway, heir, frames.len() as u64);
    assert_eq!(settled(&mut gateway, from), Some(3));
}

#[test]
fn what_was_acknowledged_of_a_batch_is_not_handed_over() {
    let mut gateway = Gateway::new();
    let from = publisher(&mut gateway, 1);
    let named = |id| Hello { session_name: "projections".to_owned(), ..steady(id) };
    let (reader, _) = greet(&mut gateway, &named(2));
    gateway.send(reader, kind::SUBSCRIBE, &subscribe(7, "a"));
    let mut chunk = Vec::new();
    for sequence in 1..=4 {
        wire::encode_publish(&mut chunk, 1, sequence, &wire::Message::new(b"x", ""), false);
    }
    gateway.bytes(from, StreamKind::Event, &chunk);
    ack(&mut gateway, reader, 4);
    let (heir, _) = greet(&mut gateway, &named(3));
    assert_eq!(gateway.sequences(heir, StreamKind::Event), [3, 4]);
}

#[test]
fn a_live_session_is_taken_over_by_its_name_as_well() {
    let mut gateway = Gateway::new();
    let named = |id| Hello { session_name: "projections".to_owned(), ..steady(id) };
    let (reader, _) = greet(&mut gateway, &named(2));
    gateway.send(reader, kind::SUBSCRIBE, &subscribe(7, "a"));
    let (_, welcome) = greet(&mut gateway, &named(3));
    assert!(welcome.resumed && welcome.inherited.len() == 1);
    let (code, message) = gateway.closed(reader).expect("the one before is closed");
    assert_eq!((code, message), (Code::Aborted, "another process has taken the session over"));
    assert_eq!(gateway.node.gauges().sessions, 1);
}

#[test]
fn after_a_start_subscribers_recover_what_publishers_sent_again_before_they_came() {
    let mut gateway = Gateway::new();
    let before = Welcome { session: 1, gateway_epoch: 77, ..Welcome::default() };
    let (from, _) = greet(&mut gateway, &resume(&steady(1), &before, 0));
    gateway.alias(from, StreamKind::Event, 1, "a");
    gateway.send_on(from, StreamKind::Event, kind::RESENT, &v1::Resent { sequence: 2 });
    publish(&mut gateway, from, 1..=3);
    assert_eq!(settled(&mut gateway, from), None, "somebody may come back for it");
    let (reader, _) = greet(&mut gateway, &resume(&steady(2), &before, 5));
    gateway.send(reader, kind::SUBSCRIBE, &v1::Subscribe { recover: true, ..subscribe(1, "a") });
    publish(&mut gateway, from, 4..=4);
    gateway.pass(100);
    publish(&mut gateway, from, 5..=5);
    let deliveries = gateway.only::<v1::Deliver>(reader, StreamKind::Event, kind::DELIVER);
    let seen: Vec<(u64, bool)> =
        deliveries.iter().map(|deliver| (deliver.sequence, deliver.resent)).collect();
    assert_eq!(seen, [(1, true), (2, true), (3, true), (4, true), (5, false)]);
    ack(&mut gateway, reader, 7);
    gateway.pass(10_100);
    assert_eq!(settled(&mut gateway, from), Some(5));
}

#[test]
fn subscriptions_that_come_back_are_given_each_event_together_and_in_order() {
    let mut gateway = Gateway::new();
    let before = Welcome { session: 1, gateway_epoch: 77, ..Welcome::default() };
    let (from, _) = greet(&mut gateway, &resume(&steady(1), &before, 0));
    gateway.alias(from, StreamKind::Event, 1, "a");
    gateway.alias(from, StreamKind::Event, 2, "b");
    gateway.send_on(from, StreamKind::Event, kind::RESENT, &v1::Resent { sequence: 3 });
    gateway.publish(from, StreamKind::Event, 2, 1, b"only the second wants it");
    gateway.publish(from, StreamKind::Event, 1, 2, b"both want it");
    let (reader, _) = greet(&mut gateway, &resume(&steady(2), &before, 5));
    for (number, pattern) in [(1, "a"), (2, "#")] {
        let request = v1::Subscribe { recover: true, ..subscribe(number, pattern) };
        gateway.send(reader, kind::SUBSCRIBE, &request);
    }
    gateway.publish(from, StreamKind::Event, 1, 3, b"while they come back");
    gateway.pass(100);
    let deliveries = gateway.only::<v1::Deliver>(reader, StreamKind::Event, kind::DELIVER);
    let seen: Vec<(u64, Vec<u32>)> =
        deliveries.into_iter().map(|deliver| (deliver.sequence, deliver.subscriptions)).collect();
    assert_eq!(seen, [(1, vec![2]), (2, vec![1, 2]), (3, vec![1, 2])]);
}

#[test]
fn a_report_tells_how_many_receivers_matched() {
    let mut gateway = Gateway::new();
    let from = publisher(&mut gateway, 1);
    for id in [2, 3] {
        let (reader, _) = greet(&mut gateway, &steady(id));
        gateway.send(reader, kind::SUBSCRIBE, &subscribe(1, "#"));
    }
    let message = Some(v1::Message::default());
    let publish = v1::Publish { topic: 1, sequence: 1, message, report: true };
    gateway.frames(from, StreamKind::Control);
    gateway.send_on(from, StreamKind::Event, kind::PUBLISH, &publish);
    let told = gateway.only::<v1::Accepted>(from, StreamKind::Control, kind::ACCEPTED);
    assert_eq!(told, [v1::Accepted { sequence: 1, matches: Some(2) }]);
}

#[test]
fn a_message_whose_time_is_over_is_not_sent() {
    let mut gateway = Gateway::new();
    let from = publisher(&mut gateway, 1);
    let (reader, _) = greet(&mut gateway, &Hello { windows: Some(v1::Windows::default()), ..steady(2) });
    let lossless = v1::Subscribe { events: Overflow::Block.into(), ..subscribe(1, "a") };
    gateway.send(reader, kind::SUBSCRIBE, &lossless);
    for (sequence, time_to_live_ms) in [(1, 1_000), (2, 0), (3, 5_000)] {
        let message = v1::Message { time_to_live_ms, ..v1::Message::default() };
        let publish = v1::Publish { topic: 1, sequence, message: Some(message), report: false };
        gateway.send_on(from, StreamKind::Event, kind::PUBLISH, &publish);
    }
    gateway.pass(2_000);
    gateway.credit(reader, Class::Event, 1 << 20);
    let kinds: Vec<u8> = gateway.frames(reader, StreamKind::Event).iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds[2..], [kind::EXPIRED, kind::DELIVER, kind::DELIVER]);
    ack(&mut gateway, reader, 5);
    assert_eq!(settled(&mut gateway, from), Some(3));
    assert_eq!(gateway.node.counters().expired, 1);
}

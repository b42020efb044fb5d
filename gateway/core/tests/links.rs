//! Links between gateways, and calls over them.

mod common;

use common::{Gateway, call, link_hello, register, subscribe};
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{self, Acknowledged, CallError, Code, Scope};

#[test]
fn a_link_is_dead_after_four_silent_seconds() {
    let mut gateway = Gateway::new();
    let peer = gateway.peer(9, "there");
    gateway.pass(3_900);
    assert_eq!(gateway.closed(peer), None);
    let pings: Vec<v1::Ping> = gateway.only(peer, StreamKind::Control, kind::PING);
    assert_eq!(pings.len(), 3);
    gateway.send(peer, kind::PONG, &v1::Pong { nonce: pings[2].nonce });
    gateway.pass(3_900);
    assert_eq!(gateway.closed(peer), None, "it was heard meanwhile");
    gateway.pass(200);
    assert_eq!(gateway.closed(peer).unwrap().0, Code::Unavailable);
}

#[test]
fn a_long_pause_of_our_own_kills_no_link() {
    let mut gateway = Gateway::new();
    let peer = gateway.peer(9, "there");
    gateway.pass(1_000);
    gateway.jump(60_000);
    assert_eq!(gateway.closed(peer), None);
    gateway.pass(4_000);
    assert_eq!(gateway.closed(peer).unwrap().0, Code::Unavailable);
}

#[test]
fn a_mesh_subscription_is_acknowledged_when_every_peer_has_applied_it() {
    let mut gateway = Gateway::new();
    let client = gateway.client(1, 1 << 20);
    let peers = [(8, "one"), (9, "two")].map(|(id, name)| gateway.peer(id, name));
    gateway.send(
        client,
        kind::SUBSCRIBE,
        &v1::Subscribe { scope: Scope::Mesh.into(), ..subscribe(1, "a.*") },
    );
    for peer in peers {
        assert_eq!(gateway.only::<Acknowledged>(client, StreamKind::Control, kind::ACKNOWLEDGED), []);
        let deltas: Vec<v1::InterestDelta> = gateway.only(peer, StreamKind::Control, kind::INTEREST_DELTA);
        assert_eq!(deltas[0].added[0].pattern, "a.*");
        gateway.send(peer, kind::INTEREST_APPLIED, &v1::InterestApplied { version: deltas[0].version });
    }
    let answers: Vec<Acknowledged> = gateway.only(client, StreamKind::Control, kind::ACKNOWLEDGED);
    assert_eq!((answers.len(), answers[0].code(), answers[0].confirmed), (1, Code::Ok, 3));
    assert_eq!(answers[0].missing, [""; 0]);
}

#[test]
fn after_two_seconds_a_mesh_subscription_names_who_is_missing() {
    let mut gateway = Gateway::new();
    let client = gateway.client(1, 1 << 20);
    gateway.peer(9, "two");
    gateway.send(client, kind::SUBSCRIBE, &v1::Subscribe { scope: Scope::Mesh.into(), ..subscribe(1, "a") });
    gateway.pass(1_900);
    assert_eq!(gateway.only::<Acknowledged>(client, StreamKind::Control, kind::ACKNOWLEDGED), []);
    gateway.pass(100);
    let answers: Vec<Acknowledged> = gateway.only(client, StreamKind::Control, kind::ACKNOWLEDGED);
    assert_eq!((answers[0].confirmed, &answers[0].missing[..]), (1, &["two".to_owned()][..]));
}

#[test]
fn what_links_lose_is_told_to_those_who_subscribe_here() {
    let mut gateway = Gateway::new();
    let [subscriber, bystander] = [1, 2].map(|publisher| gateway.client(publisher, 1 << 20));
    gateway.send(subscriber, kind::SUBSCRIBE, &subscribe(1, "a"));
    let peer = gateway.peer(9, "there");
    gateway.send_on(peer, StreamKind::Event, kind::GAP, &v1::Gap { count: 3 });
    gateway.send_on(peer, StreamKind::Telemetry, kind::DROPPED, &v1::Dropped { count: 5 });
    assert_eq!(gateway.only::<v1::Gap>(subscriber, StreamKind::Event, kind::GAP), [v1::Gap { count: 3 }]);
    let dropped: Vec<v1::Dropped> = gateway.only(subscriber, StreamKind::Telemetry, kind::DROPPED);
    assert_eq!(dropped, [v1::Dropped { count: 5 }]);
    gateway.remove(peer);
    gateway.pass(59_900);
    assert_eq!(gateway.frames(subscriber, StreamKind::Event), [], "it may come back");
    gateway.pass(100);
    let lost: Vec<v1::Gap> = gateway.only(subscriber, StreamKind::Event, kind::GAP);
    assert_eq!(lost, [v1::Gap { count: 0 }], "nobody knows how many");
    assert_eq!(gateway.frames(bystander, StreamKind::Event), []);
    assert_eq!(gateway.node.gauges().queued_bytes, 0);
}

#[test]
fn a_link_for_another_realm_is_refused_with_both_names() {
    let mut gateway = Gateway::new();
    let link = gateway.node.open_link(false);
    let elsewhere = v1::LinkHello { realm: "elsewhere".to_owned(), ..link_hello(9, "there") };
    gateway.send(link, kind::LINK_HELLO, &elsewhere);
    let (_, text) = gateway.closed(link).unwrap();
    assert!(text.contains("`test`") && text.contains("`elsewhere`"), "{text}");
}

#[test]
fn calls_end_when_their_callee_their_link_or_their_time_ends() {
    let mut gateway = Gateway::new();
    let [caller, callee] = [1, 2].map(|publisher| gateway.client(publisher, 1 << 20));
    let peer = gateway.peer(9, "there");
    gateway.send(callee, kind::REGISTER, &register(1, "here"));
    let offer = v1::Offer { procedure: "there".to_owned(), ..v1::Offer::default() };
    let delta = v1::InterestDelta { version: 1, offered: vec![offer], ..v1::InterestDelta::default() };
    gateway.send(peer, kind::INTEREST_DELTA, &delta);

    for (number, procedure) in [(1, "here"), (2, "here"), (3, "there"), (4, "nowhere")] {
        let timeout = if number == 1 { 500 } else { 60_000 };
        gateway.send_on(caller, StreamKind::Rpc, kind::CALL, &call(number, procedure, timeout));
    }
    let ended = |gateway: &mut Gateway| -> Vec<(u64, Code)> {
        let errors: Vec<CallError> = gateway.only(caller, StreamKind::Rpc, kind::CALL_ERROR);
        errors.iter().map(|error| (error.call, error.code())).collect()
    };
    assert_eq!(ended(&mut gateway), [(4, Code::NotFound)]);
    gateway.pass(500);
    assert_eq!(ended(&mut gateway), [(1, Code::DeadlineExceeded)]);
    assert_eq!(gateway.only::<v1::CallCancel>(callee, StreamKind::Rpc, kind::CALL_CANCEL).len(), 1);
    gateway.remove(callee);
    assert_eq!(ended(&mut gateway), [(2, Code::Unavailable)]);
    gateway.remove(peer);
    assert_eq!(ended(&mut gateway), [(3, Code::Unavailable)]);
    assert_eq!(gateway.node.gauges().calls, 0);
}

#[test]
fn a_callee_that_does_not_read_gets_no_more_calls() {
    let mut gateway = Gateway::new();
    let [caller, callee] = [1, 2].map(|publisher| gateway.client(publisher, 1_000));
    gateway.send(callee, kind::REGISTER, &register(1, "p"));
    let large = v1::Call { payload: vec![0; 900_000].into(), ..call(0, "p", 1_000) };
    for number in 1..=80 {
        gateway.send_on(caller, StreamKind::Rpc, kind::CALL, &v1::Call { call: number, ..large.clone() });
    }
    assert!(gateway.node.gauges().queued_bytes < 36 << 20);
    gateway.credit(caller, v1::Class::Rpc, 1 << 30);
    let errors: Vec<CallError> = gateway.only(caller, StreamKind::Rpc, kind::CALL_ERROR);
    assert!(errors.iter().all(|error| error.code() == Code::ResourceExhausted) && !errors.is_empty());
}

#[test]
fn a_caller_that_does_not_read_gets_its_answers_without_what_they_say() {
    let mut gateway = Gateway::new();
    let [caller, callee] = [1, 2].map(|publisher| gateway.client(publisher, 1_000));
    gateway.credit(callee, v1::Class::Rpc, 1 << 30);
    gateway.send(callee, kind::REGISTER, &register(1, "p"));
    for number in 1..=80 {
        gateway.send_on(caller, StreamKind::Rpc, kind::CALL, &call(number, "p", 60_000));
    }
    let invoked: Vec<v1::Call> = gateway.only(callee, StreamKind::Rpc, kind::CALL);
    assert_eq!(invoked.len(), 80);
    for invoked in invoked {
        let result =
            v1::CallResult { call: invoked.call, payload: vec![0; 900_000].into(), ..Default::default() };
        gateway.send_on(callee, StreamKind::Rpc, kind::CALL_RESULT, &result);
    }
    assert!(gateway.node.gauges().queued_bytes < 33 << 20);
    gateway.credit(caller, v1::Class::Rpc, 1 << 30);
    let frames = gateway.frames(caller, StreamKind::Rpc);
    let errors = frames.iter().filter(|frame| frame.0 == kind::CALL_ERROR).count();
    assert!(frames.len() == 80 && errors > 20, "{errors} of {}", frames.len());
}

#[test]
fn a_topic_for_which_there_is_no_room_costs_messages_but_no_link_and_no_session() {
    let mut gateway = Gateway::new();
    let subscriber = gateway.client(200, 1 << 20);
    gateway.send(subscriber, kind::SUBSCRIBE, &subscribe(1, "late"));
    let crowd: Vec<_> = (1..=16).map(|publisher| gateway.client(publisher, 1 << 20)).collect();
    for (index, &client) in crowd.iter().enumerate() {
        (1..=4_096).for_each(|alias| {
            gateway.alias(client, StreamKind::Event, alias, &format!("t{index}.{alias}"));
        });
    }
    let peer = gateway.peer(9, "there");
    let told = v1::PublisherAlias { alias: 1, publisher: vec![7; 16].into(), epoch: 1 };
    gateway.send_on(peer, StreamKind::Event, kind::PUBLISHER_ALIAS, &told);
    gateway.alias(peer, StreamKind::Event, 1, "late");
    let forward = |gateway: &mut Gateway, sequence| {
        let message = Some(v1::Message::default());
        let deliver = v1::Deliver { topic: 1, publisher: 1, sequence, message, ..v1::Deliver::default() };
        gateway.send_on(peer, StreamKind::Event, kind::DELIVER, &deliver);
    };
    forward(&mut gateway, 1);
    assert_eq!(gateway.closed(peer), None);
    assert_eq!(gateway.node.counters().lost, [1, 0]);
    assert_eq!(gateway.only::<v1::Gap>(subscriber, StreamKind::Event, kind::GAP), [v1::Gap { count: 1 }]);
    // Who comes now has done nothing wrong, and may try again.
    let newcomer = gateway.client(100, 1 << 20);
    gateway.alias(newcomer, StreamKind::Event, 1, "late");
    gateway.publish(newcomer, StreamKind::Event, 1, 1, b"");
    let refused: Vec<v1::PublishRefused> = gateway.only(newcomer, StreamKind::Control, kind::PUBLISH_REFUSED);
    assert_eq!((refused[0].sequence, refused[0].code()), (1, Code::ResourceExhausted));
    gateway.remove(crowd[0]);
    gateway.node.tick(gateway.now);
    gateway.publish(newcomer, StreamKind::Event, 1, 2, b"");
    assert_eq!(gateway.sequences(subscriber, StreamKind::Event), [2]);
    forward(&mut gateway, 2);
    assert_eq!(gateway.sequences(subscriber, StreamKind::Event), [2], "there is room now");
}

/// The peer brings an event of publisher 66 on a topic.
fn forward(gateway: &mut Gateway, from: macula_core::ConnKey, topic: u32, sequence: u64) {
    let told = v1::PublisherAlias { alias: 3, publisher: vec![66; 16].into(), epoch: 1 };
    gateway.send_on(from, StreamKind::Event, kind::PUBLISHER_ALIAS, &told);
    gateway.alias(from, StreamKind::Event, 1, "a");
    gateway.alias(from, StreamKind::Event, 2, "b");
    let message = Some(v1::Message::default());
    let deliver = v1::Deliver { topic, publisher: 3, sequence, message, ..v1::Deliver::default() };
    gateway.send_on(from, StreamKind::Event, kind::DELIVER, &deliver);
}

#[test]
fn what_a_publisher_sends_again_from_here_reaches_those_who_have_not_had_it() {
    let mut gateway = Gateway::new();
    let reader = gateway.client(1, 1 << 20);
    gateway.send(reader, kind::SUBSCRIBE, &subscribe(1, "a"));
    let [old, other] = [(8, "old"), (9, "other")].map(|(id, name)| gateway.peer(id, name));
    let interest = v1::Interest { pattern: "#".to_owned(), ..v1::Interest::default() };
    let delta = v1::InterestDelta { version: 1, added: vec![interest], ..v1::InterestDelta::default() };
    gateway.send(other, kind::INTEREST_DELTA, &delta);
    // Nobody here wanted the second. The publisher moves before any of them has settled.
    forward(&mut gateway, old, 1, 1);
    forward(&mut gateway, old, 1, 3);
    assert_eq!(gateway.sequences(reader, StreamKind::Event), [1, 3]);
    let from = gateway.node.open_session();
    gateway.send(from, kind::HELLO, &v1::Hello { acknowledges: true, ..common::hello(66, 1 << 20) });
    let welcome: v1::Welcome = gateway.only(from, StreamKind::Control, kind::WELCOME).remove(0);
    assert_eq!((welcome.accepted, welcome.settled), (0, 0), "what a peer has accepted is not held here");
    gateway.send_on(from, StreamKind::Event, kind::RESENT, &v1::Resent { sequence: 3 });
    gateway.alias(from, StreamKind::Event, 1, "a");
    gateway.alias(from, StreamKind::Event, 2, "b");
    for (sequence, topic) in [(1, 1), (2, 2), (3, 1), (4, 1)] {
        gateway.publish(from, StreamKind::Event, topic, sequence, b"x");
    }
    assert_eq!(gateway.sequences(other, StreamKind::Event), [1, 2, 3, 4]);
    let again: Vec<v1::Deliver> = gateway.only(reader, StreamKind::Event, kind::DELIVER);
    let again: Vec<(u64, bool)> = again.iter().map(|deliver| (deliver.sequence, deliver.resent)).collect();
    assert_eq!(again, [(1, true), (3, true), (4, false)], "who has had it is told that it may have");
    forward(&mut gateway, old, 1, 4);
    assert_eq!(gateway.sequences(reader, StreamKind::Event), [0u64; 0], "it was here");
}

#[test]
fn an_event_that_is_overtaken_by_its_publisher_is_a_gap() {
    let mut gateway = Gateway::new();
    let reader = gateway.client(1, 1 << 20);
    gateway.send(reader, kind::SUBSCRIBE, &subscribe(1, "a"));
    let [old, new] = [(8, "old"), (9, "new")].map(|(id, name)| gateway.peer(id, name));
    forward(&mut gateway, old, 1, 1);
    forward(&mut gateway, new, 1, 5);
    forward(&mut gateway, old, 1, 2);
    forward(&mut gateway, old, 2, 3);
    forward(&mut gateway, new, 1, 6);
    let frames = gateway.frames(reader, StreamKind::Event);
    let kinds: Vec<u8> = frames.iter().map(|frame| frame.0).filter(|kind| *kind > kind::PUBLISH).collect();
    assert_eq!(kinds, [kind::DELIVER, kind::DELIVER, kind::GAP, kind::DELIVER]);
}

#[test]
fn a_picture_of_our_interest_that_is_not_right_is_found_and_replaced() {
    let mut gateway = Gateway::new();
    let client = gateway.client(1, 1 << 20);
    gateway.send(client, kind::SUBSCRIBE, &subscribe(1, "a"));
    let peer = gateway.peer(9, "there");
    gateway.pass(3_000);
    gateway.send(peer, kind::PING, &v1::Ping { nonce: 1 });
    gateway.pass(2_000);
    let told: Vec<v1::InterestDigest> = gateway.only(peer, StreamKind::Control, kind::INTEREST_DIGEST);
    assert_eq!((told.len(), told[0].version), (1, 1));
    // The other gateway has lost the pattern, and asks.
    gateway.send(peer, kind::INTEREST_WANTED, &v1::InterestWanted {});
    let told: Vec<v1::InterestSnapshot> = gateway.only(peer, StreamKind::Control, kind::INTEREST_SNAPSHOT);
    assert_eq!((told[0].version, &told[0].interests[0].pattern[..]), (1, "a"));
}

#[test]
fn a_picture_of_a_peers_interest_that_is_not_right_is_asked_for_again() {
    let mut gateway = Gateway::new();
    let peer = gateway.peer(9, "there");
    let wanted = |gateway: &mut Gateway, version, sum| {
        gateway.send(peer, kind::INTEREST_DIGEST, &v1::InterestDigest { version, sum });
        gateway.only::<v1::InterestWanted>(peer, StreamKind::Control, kind::INTEREST_WANTED).len()
    };
    assert_eq!(wanted(&mut gateway, 0, 0), 0, "nothing is wanted");
    assert_eq!(wanted(&mut gateway, 1, 0), 1, "a change is missing");
    let interest = v1::Interest { pattern: "a".to_owned(), ..v1::Interest::default() };
    let delta = v1::InterestDelta { version: 1, added: vec![interest], ..v1::InterestDelta::default() };
    gateway.send(peer, kind::INTEREST_DELTA, &delta);
    assert_eq!(wanted(&mut gateway, 1, 0), 1);
    let (version, sum) = gateway.node.interest_of(macula_core::NodeId([9; 16])).unwrap();
    assert_eq!(wanted(&mut gateway, version, sum), 0);
    assert_eq!(gateway.node.counters().resnapshots, 2);
}

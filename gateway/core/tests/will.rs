//! Last wills: published when a session ends by itself, and not when its client ends it.

mod common;

use common::{Gateway, hello, subscribe};
use macula_core::ConnKey;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{self, Class, Close, Code, Deliver, LastWill};

const WINDOW: u64 = 1 << 30;

fn will(retain: bool) -> LastWill {
    let message =
        v1::Message { payload: b"gone".to_vec().into(), key: "me".to_owned(), retain, ..Default::default() };
    LastWill {
        class: Class::Event.into(),
        topic: "presence".to_owned(),
        content_type: "text/plain".to_owned(),
        message: Some(message),
    }
}

/// A client with a last will, and with a secret and time to resume if `resume_ms` is not 0.
fn mortal(gateway: &mut Gateway, publisher: u8, epoch: u64, resume_ms: u32) -> ConnKey {
    let conn = gateway.node.open_session();
    let hello = v1::Hello {
        epoch,
        resume_ms,
        acknowledges: resume_ms > 0,
        secret: vec![publisher; 16].into(),
        last_will: Some(will(false)),
        ..hello(publisher, WINDOW)
    };
    gateway.send(conn, kind::HELLO, &hello);
    conn
}

fn mourner(gateway: &mut Gateway) -> ConnKey {
    let mourner = gateway.client(200, WINDOW);
    gateway.send(mourner, kind::SUBSCRIBE, &subscribe(1, "presence"));
    mourner
}

fn delivered(gateway: &mut Gateway, mourner: ConnKey) -> Vec<Deliver> {
    gateway.only(mourner, StreamKind::Event, kind::DELIVER)
}

/// Identity and run of the publishers that a stream was told.
fn publishers(gateway: &mut Gateway, mourner: ConnKey) -> (Vec<(u8, u64)>, usize) {
    let frames = gateway.frames(mourner, StreamKind::Event);
    let told = frames.iter().filter(|frame| frame.0 == kind::PUBLISHER_ALIAS).map(|(_, body)| {
        let told = <v1::PublisherAlias as prost::Message>::decode(&body[..]).unwrap();
        (told.publisher[0], told.epoch)
    });
    (told.collect(), frames.iter().filter(|frame| frame.0 == kind::DELIVER).count())
}

#[test]
fn a_lost_connection_publishes_the_will_and_close_does_not() {
    let mut gateway = Gateway::new();
    let mourner = mourner(&mut gateway);
    let (crashes, leaves) = (mortal(&mut gateway, 1, 7, 0), mortal(&mut gateway, 2, 7, 0));
    gateway.send(leaves, kind::CLOSE, &Close::default());
    gateway.remove(leaves);
    assert_eq!(delivered(&mut gateway, mourner), []);
    gateway.remove(crashes);
    let (publishers, count) = publishers(&mut gateway, mourner);
    assert_eq!((publishers, count), (vec![(1, 0)], 1), "under the client's identity, as no run of it");
    assert_eq!(gateway.node.counters().wills, 1);
    assert_eq!(gateway.node.gauges().queued_bytes, 0);
}

#[test]
fn a_session_that_breaks_the_protocol_leaves_its_will() {
    let mut gateway = Gateway::new();
    let mourner = mourner(&mut gateway);
    let broken = mortal(&mut gateway, 1, 7, 0);
    gateway.bytes(broken, StreamKind::Event, &[3, kind::PUBLISH, 0xff, 0xff]);
    assert!(gateway.closed(broken).is_some());
    gateway.remove(broken);
    assert_eq!(delivered(&mut gateway, mourner).len(), 1);
}

#[test]
fn a_kept_session_publishes_its_will_when_nobody_has_resumed_it() {
    let mut gateway = Gateway::new();
    let mourner = mourner(&mut gateway);
    let conn = mortal(&mut gateway, 1, 7, 10_000);
    gateway.remove(conn);
    gateway.pass(9_900);
    assert_eq!(delivered(&mut gateway, mourner), []);
    gateway.pass(200);
    assert_eq!(delivered(&mut gateway, mourner).len(), 1);
}

#[test]
fn a_client_that_resumes_in_time_has_not_died() {
    let mut gateway = Gateway::new();
    let mourner = mourner(&mut gateway);
    let conn = mortal(&mut gateway, 1, 7, 10_000);
    let welcome: Vec<v1::Welcome> = gateway.only(conn, StreamKind::Control, kind::WELCOME);
    gateway.remove(conn);
    gateway.pass(5_000);
    let again = gateway.node.open_session();
    let resume = v1::Resumption { session: welcome[0].session, gateway_epoch: 1, position: 0 };
    let hello = v1::Hello {
        epoch: 7,
        resume_ms: 10_000,
        acknowledges: true,
        secret: vec![1; 16].into(),
        last_will: Some(will(false)),
        resume: Some(resume),
        ..hello(1, WINDOW)
    };
    gateway.send(again, kind::HELLO, &hello);
    let welcome: Vec<v1::Welcome> = gateway.only(again, StreamKind::Control, kind::WELCOME);
    assert!(welcome[0].resumed);
    gateway.pass(30_000);
    assert_eq!(delivered(&mut gateway, mourner), []);
    gateway.remove(again);
    gateway.pass(10_100);
    assert_eq!(delivered(&mut gateway, mourner).len(), 1, "the will of the second Hello stands");
}

#[test]
fn a_new_run_of_a_client_speaks_the_will_of_the_old_one_and_the_same_run_does_not() {
    let mut gateway = Gateway::new();
    let mourner = mourner(&mut gateway);
    mortal(&mut gateway, 1, 7, 0);
    mortal(&mut gateway, 1, 7, 0);
    assert_eq!(delivered(&mut gateway, mourner), [], "the process is alive");
    mortal(&mut gateway, 1, 8, 0);
    assert_eq!(delivered(&mut gateway, mourner).len(), 1, "the process of epoch 7 has died");
}

#[test]
fn wills_take_no_sequence_of_the_client_and_rise_from_one_to_the_next() {
    let mut gateway = Gateway::new();
    let mourner = mourner(&mut gateway);
    let mut sequences = Vec::new();
    for round in 1..=3u64 {
        let conn = mortal(&mut gateway, 1, 7, 0);
        gateway.alias(conn, StreamKind::Event, 1, "presence");
        gateway.publish(conn, StreamKind::Event, 1, round, b"alive");
        gateway.remove(conn);
        let delivered = delivered(&mut gateway, mourner);
        assert_eq!((delivered.len(), delivered[0].sequence), (2, round), "what the client said came, too");
        sequences.push(delivered[1].sequence);
    }
    assert!(sequences[0] < sequences[1] && sequences[1] < sequences[2], "{sequences:?}");
    assert_eq!(gateway.node.counters().duplicates, [0, 0]);
}

#[test]
fn a_will_may_be_retained_and_may_remove_what_is() {
    let mut gateway = Gateway::new();
    let conn = gateway.node.open_session();
    gateway.send(conn, kind::HELLO, &v1::Hello { last_will: Some(will(true)), ..hello(1, WINDOW) });
    gateway.remove(conn);
    assert_eq!(gateway.node.gauges().retained, 1);
    let conn = gateway.node.open_session();
    let mut last = will(false);
    last.message.as_mut().unwrap().remove = true;
    gateway.send(conn, kind::HELLO, &v1::Hello { last_will: Some(last), ..hello(2, WINDOW) });
    gateway.remove(conn);
    assert_eq!((gateway.node.gauges().retained, gateway.node.gauges().tombstones), (0, 1));
}

#[test]
fn a_will_that_could_not_be_published_refuses_the_session() {
    let mut gateway = Gateway::new();
    let conn = gateway.node.open_session();
    let system = LastWill { topic: "$sys.session.left".to_owned(), ..will(false) };
    gateway.send(conn, kind::HELLO, &v1::Hello { last_will: Some(system), ..hello(1, WINDOW) });
    let (code, text) = gateway.closed(conn).unwrap();
    assert_eq!(code, Code::PermissionDenied);
    assert!(text.contains("last_will") && text.contains("$sys.session.left"), "{text}");
}

#[test]
fn a_will_crosses_links_under_an_alias_of_its_own() {
    let mut gateway = Gateway::new();
    let peer = gateway.peer(9, "there");
    let interest = v1::Interest { pattern: "presence".to_owned(), ..v1::Interest::default() };
    let delta = v1::InterestDelta { version: 1, added: vec![interest], ..v1::InterestDelta::default() };
    gateway.send(peer, kind::INTEREST_DELTA, &delta);
    let conn = mortal(&mut gateway, 1, 7, 0);
    gateway.remove(conn);
    assert_eq!(publishers(&mut gateway, peer), (vec![(1, 0)], 1));
}

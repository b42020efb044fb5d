//! What a session is told, frame by frame.

mod common;

use common::{Gateway, hello, register, subscribe};
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{self, Acknowledged, Code};
use prost::Message as _;

const WINDOW: u64 = 1 << 30;

#[test]
fn a_hello_for_another_realm_is_refused_with_both_names() {
    let mut gateway = Gateway::new();
    let conn = gateway.node.open_session();
    gateway.send(conn, kind::HELLO, &v1::Hello { realm: "elsewhere".to_owned(), ..hello(1, WINDOW) });
    let frames = gateway.frames(conn, StreamKind::Control);
    let refused = v1::Refused::decode(&frames[0].1[..]).unwrap();
    assert_eq!((frames.len(), frames[0].0, refused.code()), (1, kind::REFUSED, Code::InvalidArgument));
    assert!(
        refused.message.contains("`test`") && refused.message.contains("`elsewhere`"),
        "{}",
        refused.message
    );
    assert_eq!(gateway.closed(conn).unwrap().0, Code::InvalidArgument);
}

#[test]
fn a_subscription_number_in_use_ends_the_session() {
    let mut gateway = Gateway::new();
    let client = gateway.client(1, WINDOW);
    gateway.send(client, kind::SUBSCRIBE, &subscribe(7, "a"));
    gateway.send(client, kind::SUBSCRIBE, &subscribe(7, "b"));
    let (code, text) = gateway.closed(client).unwrap();
    assert_eq!(code, Code::InvalidArgument);
    assert!(text.contains("subscription 7 is in use"), "{text}");
}

#[test]
fn an_illegal_pattern_is_told_and_the_session_goes_on() {
    let mut gateway = Gateway::new();
    let client = gateway.client(1, WINDOW);
    gateway.send(client, kind::SUBSCRIBE, &subscribe(1, "a.#.b"));
    gateway.send(client, kind::SUBSCRIBE, &subscribe(1, "a.#"));
    let answers: Vec<Acknowledged> = gateway.only(client, StreamKind::Control, kind::ACKNOWLEDGED);
    assert_eq!(answers.iter().map(Acknowledged::code).collect::<Vec<_>>(), [Code::InvalidArgument, Code::Ok]);
    assert!(!answers[0].message.is_empty());
    assert_eq!(gateway.closed(client), None);
}

#[test]
fn a_publish_under_an_alias_that_was_never_told_ends_the_session() {
    let mut gateway = Gateway::new();
    let client = gateway.client(1, WINDOW);
    gateway.publish(client, StreamKind::Event, 3, 1, b"x");
    let (code, text) = gateway.closed(client).unwrap();
    assert_eq!(code, Code::InvalidArgument);
    assert!(text.contains("topic alias 3 was never told"), "{text}");
}

#[test]
fn more_bytes_than_were_granted_end_the_session() {
    let mut gateway = Gateway::new();
    let client = gateway.client(1, WINDOW);
    gateway.bytes(client, StreamKind::Telemetry, &vec![0xff; (1 << 20) + 1]);
    let (code, text) = gateway.closed(client).unwrap();
    assert_eq!(code, Code::ResourceExhausted);
    assert!(text.contains("credit"), "{text}");
}

#[test]
fn a_single_procedure_is_registered_once() {
    let mut gateway = Gateway::new();
    let [first, second] = [1, 2].map(|publisher| gateway.client(publisher, WINDOW));
    gateway.send(first, kind::REGISTER, &register(1, "p"));
    gateway.send(second, kind::REGISTER, &register(1, "p"));
    let answers: Vec<Acknowledged> = gateway.only(second, StreamKind::Control, kind::ACKNOWLEDGED);
    assert_eq!(answers[0].code(), Code::AlreadyExists);
    gateway.remove(first);
    gateway.send(second, kind::REGISTER, &register(1, "p"));
    let answers: Vec<Acknowledged> = gateway.only(second, StreamKind::Control, kind::ACKNOWLEDGED);
    assert_eq!(answers[0].code(), Code::Ok);
}

#[test]
fn a_client_that_connects_anew_replaces_its_ghost() {
    let mut gateway = Gateway::new();
    let ghost = gateway.client(1, WINDOW);
    gateway.send(ghost, kind::REGISTER, &register(1, "p"));
    gateway.alias(ghost, StreamKind::Event, 1, "a");
    gateway.publish(ghost, StreamKind::Event, 1, 4, b"x");
    let conn = gateway.node.open_session();
    gateway.send(conn, kind::HELLO, &hello(1, WINDOW));
    let welcome: Vec<v1::Welcome> = gateway.only(conn, StreamKind::Control, kind::WELCOME);
    assert_eq!(welcome[0].accepted, 4);
    assert_eq!(gateway.closed(ghost).unwrap().0, Code::Aborted);
    gateway.send(conn, kind::REGISTER, &register(1, "p"));
    let answers: Vec<Acknowledged> = gateway.only(conn, StreamKind::Control, kind::ACKNOWLEDGED);
    assert_eq!(answers[0].code(), Code::Ok, "the ghost's registration is gone");
    gateway.remove(ghost);
    assert_eq!(gateway.node.gauges().sessions, 1);
}

#[test]
fn events_sent_again_are_dropped_and_accepted_tells_how_far_they_came() {
    let mut gateway = Gateway::new();
    let [publisher, subscriber] = [1, 2].map(|publisher| gateway.client(publisher, WINDOW));
    gateway.send(subscriber, kind::SUBSCRIBE, &subscribe(1, "a"));
    gateway.alias(publisher, StreamKind::Event, 1, "a");
    for sequence in [1, 2, 1, 2, 3] {
        gateway.publish(publisher, StreamKind::Event, 1, sequence, b"x");
    }
    assert_eq!(gateway.sequences(subscriber, StreamKind::Event), [1, 2, 3]);
    assert_eq!(gateway.node.counters().duplicates, [2, 0]);
    let accepted: Vec<v1::Accepted> = gateway.only(publisher, StreamKind::Control, kind::ACCEPTED);
    assert_eq!(accepted.iter().map(|accepted| accepted.sequence).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn a_message_whose_frame_a_peer_could_not_take_is_refused() {
    let mut gateway = Gateway::new();
    let client = gateway.client(1, WINDOW);
    gateway.alias(client, StreamKind::Event, 1, "a");
    let header = v1::Header { name: "h".to_owned(), value: "v".repeat(9_000) };
    let message = v1::Message { headers: vec![header], ..v1::Message::default() };
    let publish = v1::Publish { topic: 1, sequence: 1, message: Some(message), report: false };
    gateway.send_on(client, StreamKind::Event, kind::PUBLISH, &publish);
    let refused: Vec<v1::PublishRefused> = gateway.only(client, StreamKind::Control, kind::PUBLISH_REFUSED);
    assert_eq!(refused[0].code(), Code::InvalidArgument);
    assert_eq!(gateway.closed(client), None);
}

#[test]
fn nobody_speaks_in_the_name_of_a_run_whose_secret_it_does_not_know() {
    let mut gateway = Gateway::new();
    let own = v1::Hello { secret: vec![7; 16].into(), ..hello(1, WINDOW) };
    let [first, other, again] = [own.clone(), hello(1, WINDOW), own].map(|hello| {
        let conn = gateway.node.open_session();
        gateway.send(conn, kind::HELLO, &hello);
        conn
    });
    assert_eq!(gateway.closed(other).unwrap().0, Code::PermissionDenied);
    assert_eq!(
        gateway.closed(first).unwrap().0,
        Code::Aborted,
        "by its own process, which has connected anew"
    );
    assert_eq!(gateway.closed(again), None);
}

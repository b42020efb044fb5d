//! A client of a later minor version: what it says beyond version 1 is passed over, and all goes on.

mod common;

use common::Gateway;
use macula_core::ConnKey;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{self, Code};
use prost::Message as _;
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../proto/vectors/next-minor.json")).unwrap()
}

fn stream(name: &Value) -> StreamKind {
    let named = |kind: &StreamKind| *name == format!("{kind:?}").to_lowercase();
    StreamKind::ALL.into_iter().find(named).expect("a stream of the protocol")
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Payloads of the messages that a stream delivered.
fn payloads(gateway: &mut Gateway, conn: ConnKey, stream: StreamKind) -> Vec<String> {
    let delivered: Vec<v1::Deliver> = gateway.only(conn, stream, kind::DELIVER);
    let payload = |deliver: v1::Deliver| deliver.message.unwrap().payload;
    delivered.into_iter().map(|deliver| String::from_utf8(payload(deliver).to_vec()).unwrap()).collect()
}

/// Plays the client in pieces of at most `piece` bytes.
fn play(piece: usize) {
    let vectors = vectors();
    let mut gateway = Gateway::new();
    let conn = gateway.node.open_session();
    for step in vectors["client"].as_array().unwrap() {
        for piece in bytes(&step["hex"]).chunks(piece) {
            gateway.bytes(conn, stream(&step["stream"]), piece);
        }
        assert_eq!(gateway.closed(conn), None, "{}", step["says"]);
    }
    let expects = &vectors["gateway_expects"];
    assert_eq!(payloads(&mut gateway, conn, StreamKind::Event), strings(&expects["events"]));
    assert_eq!(payloads(&mut gateway, conn, StreamKind::Telemetry), strings(&expects["telemetry"]));
    let errors: Vec<v1::CallError> = gateway.only(conn, StreamKind::Rpc, kind::CALL_ERROR);
    let failed = Code::from_str_name(expects["call_fails"].as_str().unwrap());
    assert_eq!(errors.iter().map(|error| Some(error.code())).collect::<Vec<_>>(), [failed]);

    let control = gateway.frames(conn, StreamKind::Control);
    let body = |kind| &control.iter().rfind(|frame| frame.0 == kind).expect("a frame of this kind").1[..];
    let version = v1::Welcome::decode(body(kind::WELCOME)).unwrap().version;
    assert_eq!(expects["version"], version);
    assert_eq!(v1::Acknowledged::decode(body(kind::ACKNOWLEDGED)).unwrap().code(), Code::Ok);
    assert_eq!(expects["accepted"], v1::Accepted::decode(body(kind::ACCEPTED)).unwrap().sequence);
    assert_eq!(expects["pong"], v1::Pong::decode(body(kind::PONG)).unwrap().nonce);
}

fn strings(array: &Value) -> Vec<String> {
    array.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_session_of_the_next_minor_version_goes_on() {
    for piece in [1, 7, 4096] {
        play(piece);
    }
}

#[test]
fn what_a_gateway_does_not_know_of_a_message_reaches_the_subscriber() {
    let vectors = vectors();
    let mut gateway = Gateway::new();
    let conn = gateway.node.open_session();
    for step in vectors["client"].as_array().unwrap() {
        gateway.bytes(conn, stream(&step["stream"]), &bytes(&step["hex"]));
    }
    let delivered: Vec<_> = gateway
        .frames(conn, StreamKind::Event)
        .into_iter()
        .filter(|frame| frame.0 == kind::DELIVER)
        .collect();
    assert_eq!(delivered.len(), 2);
    // Field 60 of the message, a text.
    let unknown = [&[0xe2, 0x03, 5][..], b"later"].concat();
    assert!(delivered.iter().all(|(_, body)| body.windows(unknown.len()).any(|part| part == unknown)));
}

#[test]
fn an_unknown_kind_below_0x80_ends_the_session() {
    let mut gateway = Gateway::new();
    let client = gateway.client(1, 1 << 20);
    gateway.bytes(client, StreamKind::Event, &[1, 0x7f]);
    let (code, text) = gateway.closed(client).unwrap();
    assert_eq!(code, Code::InvalidArgument);
    assert!(text.contains("0x7f"), "{text}");
}

//! Runs the byte-level vectors of frames and streams, which clients in other languages share.

use std::collections::BTreeSet;

use macula_proto::frame::{self, FrameError, Splitter};
use macula_proto::kind::{self, StreamKind};
use macula_proto::{limits, v1, wire};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage, ReflectMessage as _};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    #[serde(rename = "about")]
    _about: String,
    frames: Vec<Frame>,
    streams: Vec<Stream>,
    illegal: Vec<Illegal>,
}

#[derive(Deserialize)]
struct Frame {
    name: String,
    #[serde(flatten)]
    says: Says,
    hex: String,
    #[serde(default = "yes")]
    canonical: bool,
    #[serde(rename = "why")]
    _why: Option<String>,
}

#[derive(Deserialize)]
struct Says {
    kind: u8,
    message: String,
    fields: serde_json::Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stream {
    name: String,
    stream: String,
    sender: String,
    session: Option<u64>,
    hex: String,
    frames: Vec<Says>,
    #[serde(rename = "why")]
    _why: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Illegal {
    hex: String,
    reason: String,
    message: Option<String>,
    #[serde(rename = "why")]
    _why: String,
}

fn yes() -> bool {
    true
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../vectors/frames.json")).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}

/// The frames of a stream, which must end with the last of them.
fn split(stream: &[u8]) -> Result<Vec<(u8, Vec<u8>)>, FrameError> {
    let mut splitter = Splitter::new(limits::FRAME_BYTES);
    let mut frames = Vec::new();
    splitter.split(stream, |kind, body| {
        frames.push((kind, body.to_vec()));
        Ok::<(), FrameError>(())
    })?;
    assert_eq!(splitter.held(), 0, "bytes are left over");
    Ok(frames)
}

/// The `.proto` files, read anew: a second opinion beside the generated code.
fn pool() -> DescriptorPool {
    let files = ["types", "session", "message", "rpc", "mesh"].map(|name| format!("macula/v1/{name}.proto"));
    let descriptors = protox::compile(files, [env!("CARGO_MANIFEST_DIR")]).unwrap();
    DescriptorPool::from_file_descriptor_set(descriptors).unwrap()
}

fn expected(pool: &DescriptorPool, says: &Says) -> DynamicMessage {
    let descriptor = pool.get_message_by_name(&format!("macula.v1.{}", says.message)).unwrap();
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    DynamicMessage::deserialize_with_options(descriptor, &says.fields, &options).unwrap()
}

/// Decodes a body with the generated code and encodes it again.
fn again(kind: u8, body: &[u8]) -> Result<Vec<u8>, prost::DecodeError> {
    macro_rules! by_kind {
        ($($kind:ident $message:ident),* $(,)?) => {
            match kind {
                $(kind::$kind => Ok(v1::$message::decode(body)?.encode_to_vec()),)*
                other => panic!("no message for kind {other:#04x}"),
            }
        };
    }
    by_kind! {
        HELLO Hello, WELCOME Welcome, REFUSED Refused, SUBSCRIBE Subscribe, UNSUBSCRIBE Unsubscribe,
        REGISTER Register, UNREGISTER Unregister, ACKNOWLEDGED Acknowledged, ACCEPTED Accepted, CREDIT Credit,
        PING Ping, PONG Pong, MOVING Moving, CLOSE Close, PUBLISH_REFUSED PublishRefused,
        TOPIC_ALIAS TopicAlias, PUBLISHER_ALIAS PublisherAlias, PUBLISH Publish, DELIVER Deliver,
        DROPPED Dropped, GAP Gap, RETAINED_END RetainedEnd, EXPIRED Expired, SETTLED Settled, ACK Ack,
        RESENT Resent, CALL Call, CALL_RESULT CallResult, CALL_ERROR CallError, CALL_CANCEL CallCancel,
        CALL_END CallEnd, CALL_CREDIT CallCredit, LINK_HELLO LinkHello, INTEREST_SNAPSHOT InterestSnapshot,
        INTEREST_DELTA InterestDelta, INTEREST_APPLIED InterestApplied, PAUSE Pause, RESUME Resume,
        NOT_HERE NotHere, STORE_DIGEST StoreDigest, STORE_LIST StoreList,
        RECEIVED Received, CONTINUE Continue, INTEREST_DIGEST InterestDigest, INTEREST_WANTED InterestWanted,
    }
}

/// The hand-written views read what the generated code reads.
fn check_views(name: &str, kind: u8, body: &[u8]) {
    if kind == kind::PUBLISH {
        let (view, full) = (wire::Publish::decode(body).unwrap(), v1::Publish::decode(body).unwrap());
        assert_eq!(
            (view.topic, view.sequence, view.report),
            (full.topic, full.sequence, full.report),
            "{name}"
        );
        check_message(name, view.message, &full.message.unwrap());
    }
    if kind == kind::DELIVER {
        let (view, full) = (wire::Deliver::decode(body).unwrap(), v1::Deliver::decode(body).unwrap());
        assert_eq!(view.subscriptions().collect::<Vec<_>>(), full.subscriptions, "{name}");
        assert_eq!(view.members().collect::<Vec<_>>(), full.members, "{name}");
        assert_eq!((view.topic, view.publisher), (full.topic, full.publisher), "{name}");
        assert_eq!((view.sequence, view.stamp), (full.sequence, full.stamp), "{name}");
        assert_eq!((view.retained, view.resent), (full.retained, full.resent), "{name}");
        check_message(name, view.message, &full.message.unwrap());
    }
}

fn check_message(name: &str, encoded: &[u8], full: &v1::Message) {
    let view = wire::Message::decode(encoded).unwrap();
    assert_eq!((view.payload, view.key), (&full.payload[..], &full.key[..]), "{name}");
    assert_eq!(view.time_to_live_ms, full.time_to_live_ms, "{name}");
    assert_eq!((view.retain, view.remove), (full.retain, full.remove), "{name}");
    let headers: Vec<_> = full.headers.iter().map(|header| (&header.name[..], &header.value[..])).collect();
    assert_eq!(view.headers(), headers, "{name}");
}

#[test]
fn frames_decode_to_their_fields_and_encode_to_their_bytes() {
    let pool = pool();
    for Frame { name, says, hex, canonical, .. } in vectors().frames {
        let whole = bytes(&hex);
        let frames = split(&whole).unwrap();
        let [(kind, body)] = &frames[..] else { panic!("{name}: not one frame") };
        assert_eq!(*kind, says.kind, "{name}");
        let expected = expected(&pool, &says);
        // Unknown fields are kept by the dynamic message; without them, the two are the same.
        let seen = DynamicMessage::decode(expected.descriptor(), &body[..]).unwrap();
        assert_eq!(known(&seen), known(&expected), "{name}");
        check_views(&name, *kind, body);
        let through_generated = again(*kind, body).unwrap();
        let ours = if canonical { body.clone() } else { expected.encode_to_vec() };
        assert!(canonical || ours != *body, "{name}: is canonical after all");
        assert_eq!(through_generated, ours, "{name}: the generated code reads or writes it otherwise");
        assert_eq!(expected.encode_to_vec(), ours, "{name}");
        if canonical {
            let mut out = Vec::new();
            frame::put(&mut out, says.kind, &ours);
            assert_eq!(out, whole, "{name}");
        }
    }
}

fn known(message: &DynamicMessage) -> serde_json::Value {
    serde_json::to_value(message).unwrap()
}

#[test]
fn every_kind_has_a_vector() {
    let pool = pool();
    let mut seen = BTreeSet::new();
    for Frame { name, says, .. } in vectors().frames {
        let constant: String =
            says.message.chars().enumerate().fold(String::new(), |mut text, (at, letter)| {
                if at > 0 && letter.is_uppercase() {
                    text.push('_');
                }
                text.push(letter.to_ascii_uppercase());
                text
            });
        assert!(kind::ALL.contains(&(says.kind, &constant[..])), "{name}: {constant}");
        assert!(pool.get_message_by_name(&format!("macula.v1.{}", says.message)).is_some(), "{name}");
        seen.insert(says.kind);
    }
    let all: BTreeSet<u8> = kind::ALL.iter().map(|(byte, _)| *byte).collect();
    assert_eq!(seen, all);
    assert_eq!(all.len(), kind::ALL.len(), "two kinds share a byte");
}

#[test]
fn streams_begin_as_the_vectors_say() {
    let pool = pool();
    for Stream { name, stream, sender, session, hex, frames, .. } in vectors().streams {
        let whole = bytes(&hex);
        let mut rest = &whole[..];
        if let Some(session) = session {
            let prefix = prefix(&stream, session);
            rest = rest.strip_prefix(&prefix[..]).unwrap_or_else(|| panic!("{name}: no prefix"));
        }
        let answering = stream == "control" && sender == "gateway";
        if !answering {
            let kind = StreamKind::from_byte(rest[0]).unwrap();
            assert_eq!(format!("{kind:?}").to_lowercase(), stream, "{name}");
            rest = &rest[1..];
        }
        let seen = split(rest).unwrap();
        assert_eq!(seen.len(), frames.len(), "{name}");
        for ((kind, body), says) in seen.iter().zip(&frames) {
            assert_eq!(*kind, says.kind, "{name}");
            assert_eq!(*body, expected(&pool, says).encode_to_vec(), "{name}");
        }
    }
}

/// What WebTransport puts before the stream: its marker and the session, as integers of QUIC. Those of this test
/// have two bytes at most; `macula-transport` knows them all and reads the same vectors.
fn prefix(stream: &str, session: u64) -> Vec<u8> {
    let mut prefix = vec![0x40, if stream == "control" { 0x41 } else { 0x54 }];
    match u8::try_from(session) {
        Ok(short @ 0..0x40) => prefix.push(short),
        _ => prefix.extend_from_slice(&(session as u16 | 0x4000).to_be_bytes()),
    }
    prefix
}

#[test]
fn what_is_no_frame_is_refused() {
    for Illegal { hex, reason, message, .. } in vectors().illegal {
        let whole = bytes(&hex);
        let found = match split(&whole) {
            Err(FrameError::Empty) => "empty",
            Err(FrameError::TooLong { .. }) => "too_long",
            Err(FrameError::BadLength) => "bad_length",
            Ok(frames) => {
                let (kind, body) = &frames[0];
                assert!(again(*kind, body).is_err(), "{hex}: a {message:?} after all");
                assert!(*kind != kind::PUBLISH || wire::Publish::decode(body).is_err(), "{hex}");
                assert!(*kind != kind::DELIVER || wire::Deliver::decode(body).is_err(), "{hex}");
                "malformed"
            }
        };
        assert_eq!(found, reason, "{hex}");
    }
}

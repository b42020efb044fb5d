//! A gateway of a later minor version: what it says beyond version 1 is passed over, and all goes on.

use super::*;
use crate::builder::Builder;
use crate::connection::greeting;
use crate::inbox::Inbox;
use crate::lane::Source as _;
use crate::subscription::Notification;
use macula_proto::frame::FrameError;
use serde_json::Value;
use std::collections::VecDeque;
use std::task::Poll;

fn bytes(step: &Value) -> Bytes {
    let hex = step["hex"].as_str().unwrap();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Everything that waits for a subscription.
fn read(inbox: &Inbox) -> Vec<Notification> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut all = Vec::new();
    let mut blocks = VecDeque::new();
    while let Poll::Ready(true) = inbox.poll_swap(&mut blocks, &mut None, &mut context) {
        all.extend(blocks.drain(..).flatten());
    }
    all
}

/// Plays the gateway in pieces of at most `piece` bytes.
fn play(piece: usize) {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../../proto/vectors/next-minor.json")).unwrap();
    let core = Core::new(Builder::default().check().unwrap());
    let moving = Moving::default();
    let subscribed =
        core.subscribe(v1::Subscribe { pattern: "news.*".into(), ..Default::default() }, false).unwrap();
    let mut answer = subscribed.answer;
    let mut control = Splitter::new(limits::FRAME_BYTES);
    for step in vectors["gateway"].as_array().unwrap() {
        let (bytes, stream) = (bytes(step), step["stream"].as_str().unwrap());
        for at in (0..bytes.len()).step_by(piece) {
            let piece = bytes.slice(at..bytes.len().min(at + piece));
            let taken = match stream {
                "control" => control.split(&piece, |kind, body| match kind {
                    kind::WELCOME => {
                        let welcome = v1::Welcome::decode(body)?;
                        greeting::check_version(welcome.version).unwrap();
                        core.open(&welcome);
                        Ok(())
                    }
                    kind => control_frame(&core, &moving, kind, body),
                }),
                "event" => take_in(&core, Class::Event, &mut [piece]),
                "telemetry" => take_in(&core, Class::Telemetry, &mut [piece]),
                other => panic!("no stream of the gateway: {other}"),
            };
            taken.unwrap_or_else(|error| panic!("{}: {error}", step["says"]));
        }
    }
    assert!(answer.try_recv().unwrap().is_ok(), "the subscription was acknowledged");

    let (mut texts, mut gaps) = ([vec![], vec![]], vec![]);
    for notification in read(&subscribed.inbox) {
        match notification {
            Notification::Message(message) => {
                texts[message.class() as usize].push(Value::from(String::from_utf8_lossy(message.payload())));
            }
            Notification::Gap(count) => gaps.push(Value::from(count)),
            other => panic!("not in the vectors: {other:?}"),
        }
    }
    let expects = &vectors["client_expects"];
    let [events, telemetry] = texts.map(Value::Array);
    assert_eq!((&events, &telemetry), (&expects["events"], &expects["telemetry"]));
    assert_eq!(Value::Array(gaps), expects["gaps"]);
    assert_eq!(expects["position"], core.acks.received());
    let mut pongs = Vec::new();
    while let Some(written) = core.control.take() {
        let split = Splitter::new(limits::FRAME_BYTES).split(&written, |kind, body| {
            if kind == kind::PONG {
                pongs.push(v1::Pong::decode(body).unwrap().nonce);
            }
            Ok::<(), FrameError>(())
        });
        split.unwrap();
    }
    assert_eq!(expects["pong"], pongs[0]);
}

#[test]
fn a_session_of_the_next_minor_version_goes_on() {
    for piece in [1, 7, 4096] {
        play(piece);
    }
}

#[test]
fn a_welcome_of_another_major_version_is_none() {
    assert!(greeting::check_version(2).unwrap_err().to_string().contains("version 2"));
}

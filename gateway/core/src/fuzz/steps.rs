//! One step of a sequence: who connects or leaves, what is said, how much time passes.

use super::Gateway;
use crate::ConnKey;
use macula_proto::fuzz::Choices;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1;

/// Few names, so that they meet.
const TOPICS: [&str; 6] = ["a", "a.b", "a.c", "b", "$sys.retained", "no topic"];
const PATTERNS: [&str; 7] = ["a", "a.*", "a.b", "#", "+", "$sys.#", "a..b"];
const KEYS: [&str; 3] = ["", "k", "another key"];
/// The connections of one input; more would only make it slow.
const CONNS: usize = 6;

pub(super) fn step(gateway: &mut Gateway, choices: &mut Choices<'_>) {
    let conn = match &gateway.conns[..] {
        [] => gateway.session(1),
        conns => conns[choices.below(conns.len())],
    };
    match choices.below(16) {
        0 if gateway.conns.len() < CONNS => {
            let publisher = choices.below(4) as u8;
            gateway.session(publisher);
        }
        1 if gateway.conns.len() < CONNS => {
            let node = choices.below(8) as u8;
            let (epoch, received) = (1 + choices.below(2) as u64, choices.below(3) as u64);
            let conn = gateway.link(node, epoch, received.checked_sub(1));
            let continues = choices.below(4) as u64;
            let (held, whole) = (choices.number().min(4), continues == 3);
            let begin =
                v1::Continue { position: (1..3).contains(&continues).then(|| continues - 1), held, whole };
            gateway.send(conn, StreamKind::Event, kind::CONTINUE, &begin);
        }
        2 if gateway.conns.len() < CONNS => {
            let conn = gateway.node.open_session();
            gateway.conns.push(conn);
            hello(gateway, conn, choices);
        }
        3 => gateway.remove(conn),
        4 => gateway.pass(100 * choices.number().min(600)),
        5 => {
            let stream = choices.pick(&StreamKind::ALL);
            let length = choices.below(32);
            gateway.receive(conn, stream, choices.bytes(length));
        }
        6..=8 => control(gateway, conn, choices),
        9 => link_control(gateway, conn, choices),
        10..=13 => message(gateway, conn, choices),
        _ => rpc(gateway, conn, choices),
    }
}

fn id(choices: &mut Choices<'_>) -> Vec<u8> {
    vec![choices.below(4) as u8; 16]
}

fn window(choices: &mut Choices<'_>) -> u64 {
    choices.pick(&[0, 10, 1_000, 1 << 20, u64::MAX])
}

fn windows(choices: &mut Choices<'_>) -> Option<v1::Windows> {
    Some(v1::Windows { rpc: window(choices), event: window(choices), telemetry: window(choices) })
}

fn class(choices: &mut Choices<'_>) -> i32 {
    choices.below(5) as i32
}

fn text(choices: &mut Choices<'_>, from: &[&str]) -> String {
    choices.pick(from).to_owned()
}

fn hello(gateway: &mut Gateway, conn: ConnKey, choices: &mut Choices<'_>) {
    let flags = choices.byte();
    let hello = v1::Hello {
        versions: vec![1, 2],
        realm: "test".to_owned(),
        publisher: id(choices).into(),
        epoch: choices.number().min(3),
        secret: vec![choices.below(2) as u8; 16].into(),
        windows: windows(choices),
        session_name: if flags & 1 > 0 { "name".to_owned() } else { String::new() },
        resume_ms: if flags & 2 > 0 { 30_000 } else { 0 },
        acknowledges: flags & 16 == 0,
        resume: (flags & 4 > 0).then(|| v1::Resumption {
            session: if gateway.sessions.is_empty() { 0 } else { choices.pick(&gateway.sessions) },
            gateway_epoch: choices.pick(&[1, 1, 1, 2]),
            position: choices.number(),
        }),
        last_will: (flags & 8 > 0).then(|| v1::LastWill {
            class: class(choices),
            topic: text(choices, &TOPICS),
            message: Some(body(choices)),
            ..v1::LastWill::default()
        }),
        ..v1::Hello::default()
    };
    gateway.send(conn, StreamKind::Control, kind::HELLO, &hello);
}

fn control(gateway: &mut Gateway, conn: ConnKey, choices: &mut Choices<'_>) {
    let number = choices.below(4) as u32;
    let mut send = |kind, message: &dyn Encoded| message.send(gateway, conn, StreamKind::Control, kind);
    match choices.below(12) {
        0..=2 => {
            let flags = choices.byte();
            let subscribe = v1::Subscribe {
                subscription: number,
                pattern: text(choices, &PATTERNS),
                retained: flags & 1 > 0,
                echo: flags & 2 > 0,
                recover: flags & 4 > 0,
                scope: i32::from(flags & 8 > 0),
                group: if flags & 16 > 0 { "group".to_owned() } else { String::new() },
                share: choices.below(4) as i32,
                events: choices.below(7) as i32,
                telemetry: choices.below(7) as i32,
                block_ms: choices.number() as u32,
            };
            send(kind::SUBSCRIBE, &subscribe);
        }
        3 => send(kind::UNSUBSCRIBE, &v1::Unsubscribe { subscription: number }),
        4 | 5 => {
            let register = v1::Register {
                registration: number,
                procedure: text(choices, &PATTERNS),
                policy: choices.below(7) as i32,
                scope: choices.below(2) as i32,
            };
            send(kind::REGISTER, &register);
        }
        6 => send(kind::UNREGISTER, &v1::Unregister { registration: number }),
        7 => send(kind::CREDIT, &v1::Credit { class: class(choices), total: window(choices) }),
        8 | 9 => send(kind::ACK, &v1::Ack { position: choices.number() }),
        10 => send(kind::PING, &v1::Ping { nonce: 1 }),
        _ => send(kind::CLOSE, &v1::Close { code: choices.below(17) as i32, message: String::new() }),
    }
}

fn link_control(gateway: &mut Gateway, conn: ConnKey, choices: &mut Choices<'_>) {
    let interest = |choices: &mut Choices<'_>| v1::Interest {
        pattern: text(choices, &PATTERNS),
        telemetry: choices.below(7) as i32,
        group: text(choices, &["", "group"]),
        share: choices.below(4) as i32,
        members: (0..choices.below(3)).map(|_| choices.number()).collect(),
    };
    let offer = |choices: &mut Choices<'_>| v1::Offer {
        procedure: text(choices, &PATTERNS),
        policy: choices.below(7) as i32,
        since: choices.number(),
        publisher: id(choices).into(),
    };
    let mut send = |kind, message: &dyn Encoded| message.send(gateway, conn, StreamKind::Control, kind);
    match choices.below(10) {
        0 => {
            let snapshot = v1::InterestSnapshot {
                version: choices.number(),
                interests: (0..choices.below(3)).map(|_| interest(choices)).collect(),
                offers: (0..choices.below(3)).map(|_| offer(choices)).collect(),
            };
            send(kind::INTEREST_SNAPSHOT, &snapshot);
        }
        1 => {
            let delta = v1::InterestDelta {
                version: choices.number(),
                added: (0..choices.below(3)).map(|_| interest(choices)).collect(),
                removed: (0..choices.below(2)).map(|_| text(choices, &PATTERNS)).collect(),
                offered: (0..choices.below(3)).map(|_| offer(choices)).collect(),
                withdrawn: (0..choices.below(2)).map(|_| text(choices, &PATTERNS)).collect(),
            };
            send(kind::INTEREST_DELTA, &delta);
        }
        2 => send(kind::INTEREST_APPLIED, &v1::InterestApplied { version: choices.number() }),
        3 => {
            let (class, publisher, epoch) = (class(choices), id(choices).into(), choices.number().min(2));
            send(kind::PAUSE, &v1::Pause { class, publisher, epoch });
        }
        4 => {
            let (class, publisher, epoch) = (class(choices), id(choices).into(), choices.number().min(2));
            send(kind::RESUME, &v1::Resume { class, publisher, epoch });
        }
        5 => send(kind::RECEIVED, &v1::Received { position: Some(choices.number()) }),
        6 => send(kind::MOVING, &v1::Moving { retry_after_ms: 0 }),
        7 if choices.below(2) > 0 => {
            let (version, sum) = (choices.number(), choices.below(2) as u64);
            send(kind::INTEREST_DIGEST, &v1::InterestDigest { version, sum });
        }
        7 => send(kind::INTEREST_WANTED, &v1::InterestWanted {}),
        8 => send(kind::PING, &v1::Ping { nonce: 1 }),
        _ => send(kind::PONG, &v1::Pong { nonce: choices.number() }),
    }
}

fn body(choices: &mut Choices<'_>) -> v1::Message {
    let flags = choices.byte();
    // Now and then large ones, for queues that fill up.
    let length = if flags & 0xe0 == 0xe0 { 200_000 } else { choices.below(8) };
    v1::Message {
        payload: vec![b'x'; length].into(),
        key: text(choices, &KEYS),
        retain: flags & 1 > 0,
        remove: flags & 2 > 0,
        time_to_live_ms: if flags & 4 > 0 { choices.number() as u32 } else { 0 },
        headers: vec![v1::Header::default(); usize::from(flags & 8 > 0)],
    }
}

fn message(gateway: &mut Gateway, conn: ConnKey, choices: &mut Choices<'_>) {
    let stream = choices.pick(&[StreamKind::Event, StreamKind::Telemetry]);
    let (topic, publisher) = (choices.below(4) as u32, choices.below(3) as u32);
    let deliver = |choices: &mut Choices<'_>| {
        let flags = choices.byte();
        v1::Deliver {
            subscriptions: Vec::new(),
            topic,
            publisher,
            sequence: choices.number(),
            retained: flags & 1 > 0,
            resent: flags & 2 > 0,
            stamp: if flags & 4 > 0 { choices.number() << 16 } else { 0 },
            message: Some(body(choices)),
            members: (0..choices.below(2)).map(|_| choices.number()).collect(),
            redirected: flags & 8 > 0,
        }
    };
    let mut send = |kind, message: &dyn Encoded| message.send(gateway, conn, stream, kind);
    match choices.below(16) {
        0..=2 => {
            let (topic_text, content_type) = (text(choices, &TOPICS), text(choices, &["", "text/plain"]));
            send(kind::TOPIC_ALIAS, &v1::TopicAlias { alias: topic, topic: topic_text, content_type });
        }
        3 => {
            let (id, epoch) = (id(choices).into(), choices.number().min(2));
            send(kind::PUBLISHER_ALIAS, &v1::PublisherAlias { alias: publisher, publisher: id, epoch });
        }
        4..=8 => {
            let (sequence, report) = (choices.number(), choices.below(2) > 0);
            send(kind::PUBLISH, &v1::Publish { topic, sequence, message: Some(body(choices)), report });
        }
        9..=11 => send(kind::DELIVER, &deliver(choices)),
        12 => send(kind::GAP, &v1::Gap { count: choices.number() }),
        13 => send(kind::DROPPED, &v1::Dropped { count: choices.number() }),
        14 => send(kind::RESENT, &v1::Resent { sequence: choices.number() }),
        _ => match choices.below(2) {
            0 => send(kind::EXPIRED, &v1::Expired {}),
            _ => {
                let (pattern, group) = (text(choices, &PATTERNS), "group".to_owned());
                send(kind::NOT_HERE, &v1::NotHere { pattern, group, deliver: Some(deliver(choices)) });
            }
        },
    }
}

fn rpc(gateway: &mut Gateway, conn: ConnKey, choices: &mut Choices<'_>) {
    let own = choices.below(3) as u64;
    let given = gateway.calls.get(&conn).and_then(|calls| {
        let recent = &calls[calls.len().saturating_sub(4)..];
        (!recent.is_empty()).then(|| recent[choices.below(recent.len())])
    });
    let answered = given.unwrap_or(own);
    let flags = choices.byte();
    let payload = vec![b'x'; if flags & 0xe0 == 0xe0 { 300_000 } else { choices.below(8) }];
    let provider = if flags & 2 > 0 { id(choices) } else { Vec::new() };
    let mut send = |kind, message: &dyn Encoded| message.send(gateway, conn, StreamKind::Rpc, kind);
    match choices.below(10) {
        0..=3 => {
            let call = v1::Call {
                call: own,
                procedure: text(choices, &TOPICS),
                timeout_ms: (choices.number() as u32).saturating_mul(10),
                payload: payload.into(),
                registration: choices.below(3) as u32,
                all: flags & 4 > 0,
                credit: if flags & 8 > 0 { window(choices) } else { 0 },
                ..v1::Call::default()
            };
            send(kind::CALL, &call);
        }
        4..=6 => {
            let more = flags & 1 > 0;
            let result = v1::CallResult {
                call: answered,
                payload: payload.into(),
                more,
                provider: provider.into(),
                ..v1::CallResult::default()
            };
            send(kind::CALL_RESULT, &result);
        }
        7 => {
            let error = v1::CallError {
                call: answered,
                code: choices.below(17) as i32,
                provider: provider.into(),
                ..v1::CallError::default()
            };
            send(kind::CALL_ERROR, &error);
        }
        8 => send(kind::CALL_CANCEL, &v1::CallCancel { call: own }),
        _ if flags & 1 > 0 => {
            send(kind::CALL_END, &v1::CallEnd { call: answered, answers: choices.byte().into() });
        }
        _ => send(kind::CALL_CREDIT, &v1::CallCredit { call: own, total: window(choices) }),
    }
}

/// A message of any type, so that one closure sends them all.
trait Encoded {
    fn send(&self, gateway: &mut Gateway, conn: ConnKey, stream: StreamKind, kind: u8);
}

impl<T: prost::Message> Encoded for T {
    fn send(&self, gateway: &mut Gateway, conn: ConnKey, stream: StreamKind, kind: u8) {
        gateway.send(conn, stream, kind, self);
    }
}

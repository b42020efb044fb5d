//! A scripted client: speaks the frames itself, grants credit soon or late, writes down what it gets.

use bytes::Bytes;
use macula_proto::frame::{self, FrameError, Splitter};
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{self, Class, Code, Scope, Windows};
use macula_proto::{Pattern, Topic, wire};
use prost::Message as _;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

pub(crate) const REALM: &str = "simulated";

/// What a client is told to do.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Subscribe(Subscribing),
    Publish(Publishing),
    Register { procedure: Pattern, policy: v1::CallPolicy },
    Call { procedure: Topic, timeout_ms: u32, credit: u64, all: bool },
}

/// A subscription to make.
#[derive(Clone, Debug)]
pub(crate) struct Subscribing {
    pub(crate) pattern: Pattern,
    /// Empty for none.
    pub(crate) group: &'static str,
    pub(crate) echo: bool,
    pub(crate) retained: bool,
    pub(crate) events: v1::Overflow,
    pub(crate) telemetry: v1::Overflow,
}

/// A message to publish.
#[derive(Clone, Debug)]
pub(crate) struct Publishing {
    pub(crate) class: Class,
    pub(crate) topic: Topic,
    pub(crate) key: &'static str,
    pub(crate) size: usize,
    pub(crate) keep: Keep,
    pub(crate) content_type: &'static str,
    /// 0 for ever.
    pub(crate) time_to_live_ms: u32,
}

/// What a message does to the retained value of its topic and key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    Nothing,
    Retain,
    Remove,
}

#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) pattern: Pattern,
    pub(crate) group: &'static str,
    pub(crate) echo: bool,
    pub(crate) request: v1::Subscribe,
    pub(crate) acknowledged: bool,
    pub(crate) gone: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Registration {
    pub(crate) procedure: Pattern,
    pub(crate) request: v1::Register,
    pub(crate) code: Option<Code>,
}

/// A message as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) session: u32,
    pub(crate) class: Class,
    pub(crate) topic: String,
    pub(crate) key: String,
    pub(crate) publisher: Vec<u8>,
    pub(crate) sequence: u64,
    pub(crate) subscriptions: Vec<u32>,
    pub(crate) retained: bool,
    pub(crate) stamp: u64,
    pub(crate) keep: Keep,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The index of the client that answered.
    Result(usize),
    Error(Code),
    /// All that had to answer have.
    All,
    /// The caller's session was lost first.
    Abandoned,
}

#[derive(Clone, Debug)]
pub(crate) struct CallRecord {
    pub(crate) procedure: Topic,
    pub(crate) all: bool,
    /// Bytes of results that it lets come, and has got.
    granted: u64,
    taken: u64,
    parts: u8,
    /// Of a call of all: who answered, and what.
    pub(crate) answers: Vec<(Vec<u8>, Outcome)>,
    pub(crate) outcome: Option<Outcome>,
}

/// An answer that is under way.
struct Stream {
    credit: u64,
    sent: u64,
    next: u8,
}

/// What a streamed answer consists of; more than a window of the caller.
const PARTS: u8 = 7;
const PART_BYTES: usize = 100;

/// An event that its publisher keeps until it is settled.
struct Unsettled {
    sequence: u64,
    message: Publishing,
}

/// State of one class stream from the gateway.
#[derive(Default)]
struct Incoming {
    topics: HashMap<u32, String>,
    publishers: HashMap<u32, Vec<u8>>,
}

pub(crate) struct Client {
    pub(crate) index: usize,
    pub(crate) gateway: usize,
    pub(crate) pipe: Option<usize>,
    pub(crate) plan: VecDeque<Op>,
    pub(crate) welcomed: bool,
    /// Which of its sessions this is.
    pub(crate) session: u32,
    /// Grants credit only when it is its turn.
    pub(crate) slow: bool,
    /// Grants nothing at all.
    pub(crate) asleep: bool,
    pub(crate) window: u64,
    pub(crate) subscriptions: BTreeMap<u32, Subscription>,
    pub(crate) registrations: BTreeMap<u32, Registration>,
    pub(crate) received: Vec<Received>,
    /// As the SDK has it: the highest sequence of each publisher's events, and what groups have been given, one by one.
    highest: HashMap<Vec<u8>, u64>,
    shares: HashSet<(u32, Vec<u8>, u64)>,
    /// Losses told, by class: events, telemetry.
    pub(crate) losses: [u64; 2],
    /// Gaps of which nobody knows how large they are, and when the last of them was told.
    pub(crate) gaps: u64,
    pub(crate) told_ms: u64,
    /// Messages that came too late to be of use.
    pub(crate) expired: u64,
    pub(crate) ends: Vec<(Class, u32)>,
    pub(crate) calls: BTreeMap<u64, CallRecord>,
    pub(crate) accepted: u64,
    pub(crate) settled: u64,
    /// Keeps its events until they are settled, and sends them again; asks for what was held for its subscriptions.
    pub(crate) keeps: bool,
    unsettled: VecDeque<Unsettled>,
    /// Publishes nothing, offers nothing, and calls nobody.
    pub(crate) mute: bool,
    /// Its gateway has asked it to go.
    pub(crate) moving: bool,
    /// How long its sessions are kept.
    pub(crate) resume_ms: u32,
    /// Session and run of the gateway that it was connected to last.
    last: Option<(u64, u64)>,
    /// Name of that gateway.
    name: Option<String>,
    /// Sessions that went on after their connection was lost.
    pub(crate) resumed: u32,
    /// Frames of the event stream, and how many of them were acknowledged.
    position: u64,
    acknowledged: u64,
    /// What came on class streams before Welcome.
    early: Vec<(StreamKind, Vec<u8>)>,
    pub(crate) closed: Option<(Code, String)>,
    /// Calls to answer later.
    later: Vec<u64>,
    streams: BTreeMap<u64, Stream>,
    pub(crate) sequences: [u64; 2],
    next_number: u32,
    next_call: u64,
    splitters: Vec<Splitter>,
    incoming: [Incoming; 2],
    /// Bytes received, and bytes that the gateway may send, by stream.
    got: [u64; 4],
    granted: [u64; 4],
    /// What waits for credit of the gateway.
    out: [Vec<u8>; 4],
    sent: [u64; 4],
    credit: [u64; 4],
    aliases: [HashMap<(Topic, &'static str), u32>; 2],
}

impl Client {
    pub(crate) fn new(index: usize, gateway: usize, window: u64, slow: bool) -> Self {
        Self {
            index,
            gateway,
            pipe: None,
            plan: VecDeque::new(),
            welcomed: false,
            session: 0,
            slow,
            asleep: false,
            window,
            subscriptions: BTreeMap::new(),
            registrations: BTreeMap::new(),
            received: Vec::new(),
            highest: HashMap::new(),
            shares: HashSet::new(),
            losses: [0; 2],
            gaps: 0,
            told_ms: 0,
            expired: 0,
            ends: Vec::new(),
            calls: BTreeMap::new(),
            accepted: 0,
            settled: 0,
            keeps: false,
            unsettled: VecDeque::new(),
            mute: false,
            moving: false,
            resume_ms: 0,
            last: None,
            name: None,
            resumed: 0,
            position: 0,
            acknowledged: 0,
            early: Vec::new(),
            closed: None,
            later: Vec::new(),
            streams: BTreeMap::new(),
            sequences: [0; 2],
            next_number: 1,
            next_call: 1,
            splitters: Vec::new(),
            incoming: Default::default(),
            got: [0; 4],
            granted: [0; 4],
            out: Default::default(),
            sent: [0; 4],
            credit: [0; 4],
            aliases: Default::default(),
        }
    }

    pub(crate) fn publisher(&self) -> Vec<u8> {
        publisher(self.index)
    }

    /// Begins a session over a fresh connection.
    pub(crate) fn connect(&mut self, pipe: usize, gateway: usize) {
        self.pipe = Some(pipe);
        self.gateway = gateway;
        self.session += 1;
        self.closed = None;
        self.moving = false;
        self.splitters = (0..4).map(|_| Splitter::new(1 << 20)).collect();
        self.incoming[1] = Incoming::default();
        self.early.clear();
        self.got = [0; 4];
        self.granted = [u64::MAX, self.window, self.window, self.window];
        self.sent = [0; 4];
        self.credit = [u64::MAX, 0, 0, 0];
        let windows = Windows { rpc: self.window, event: self.window, telemetry: self.window };
        let hello = v1::Hello {
            versions: vec![1],
            realm: REALM.to_owned(),
            client: format!("client {}", self.index),
            publisher: self.publisher().into(),
            epoch: 1,
            windows: Some(windows),
            acknowledges: true,
            secret: vec![0x5e; 16].into(),
            resume_ms: self.resume_ms,
            resume: self.last.filter(|_| self.resume_ms > 0 || self.keeps).map(|(session, gateway_epoch)| {
                v1::Resumption { session, gateway_epoch, position: self.position }
            }),
            ..v1::Hello::default()
        };
        self.control(kind::HELLO, &hello);
    }

    /// The next connection is to another gateway.
    pub(crate) fn move_to(&mut self, gateway: usize) {
        self.gateway = gateway;
    }

    /// The connection is gone.
    pub(crate) fn disconnect(&mut self) {
        self.pipe = None;
        self.welcomed = false;
        self.out = Default::default();
        self.aliases = Default::default();
        self.later.clear();
        self.streams.clear();
        for call in self.calls.values_mut().filter(|call| call.outcome.is_none()) {
            call.outcome = Some(Outcome::Abandoned);
        }
        self.subscriptions.retain(|_, subscription| !subscription.gone);
        self.registrations.values_mut().for_each(|registration| registration.code = None);
    }

    /// Nothing of what it asked for is open.
    pub(crate) fn is_idle(&self) -> bool {
        self.pipe.is_some()
            && self.welcomed
            && self.plan.is_empty()
            && self.out.iter().all(Vec::is_empty)
            && self.subscriptions.values().all(|subscription| subscription.acknowledged || subscription.gone)
            && self.registrations.values().all(|registration| registration.code.is_some())
            && self.calls.values().all(|call| call.outcome.is_some())
            && self.later.is_empty()
            && self.streams.is_empty()
    }

    /// It has not acknowledged all that it has got.
    pub(crate) fn owes(&self) -> bool {
        self.position > self.acknowledged
    }

    /// Does one thing of its plan; what it published, if it did.
    pub(crate) fn act(&mut self) -> Option<Op> {
        if !self.welcomed {
            return None;
        }
        if !self.asleep {
            self.grant(true);
        }
        for call in std::mem::take(&mut self.later) {
            self.answer(call);
        }
        self.advance_streams();
        let op = self.plan.pop_front()?;
        match op.clone() {
            Op::Subscribe(Subscribing { pattern, group, echo, retained, events, telemetry }) => {
                let number = self.number();
                let request = v1::Subscribe {
                    subscription: number,
                    pattern: pattern.to_string(),
                    group: group.to_owned(),
                    retained,
                    echo,
                    events: events.into(),
                    telemetry: telemetry.into(),
                    scope: Scope::Mesh.into(),
                    ..v1::Subscribe::default()
                };
                self.control(kind::SUBSCRIBE, &request);
                let subscription =
                    Subscription { pattern, group, echo, request, acknowledged: false, gone: false };
                self.subscriptions.insert(number, subscription);
            }
            Op::Publish(message) => {
                let sequence = &mut self.sequences[slot(message.class)];
                *sequence += 1;
                let sequence = *sequence;
                self.publish(&message, sequence);
                if self.keeps && message.class == Class::Event {
                    self.unsettled.push_back(Unsettled { sequence, message });
                }
            }
            Op::Register { procedure, policy } => {
                let registration = self.number();
                let request = v1::Register {
                    registration,
                    procedure: procedure.to_string(),
                    policy: policy.into(),
                    scope: Scope::Mesh.into(),
                };
                self.control(kind::REGISTER, &request);
                self.registrations.insert(registration, Registration { procedure, request, code: None });
            }
            Op::Call { procedure, timeout_ms, credit, all } => {
                let call = self.next_call;
                self.next_call += 1;
                let request = v1::Call {
                    call,
                    procedure: procedure.to_string(),
                    timeout_ms,
                    credit,
                    all,
                    ..v1::Call::default()
                };
                self.rpc(kind::CALL, &request);
                let record = CallRecord {
                    procedure,
                    all,
                    granted: credit,
                    taken: 0,
                    parts: 0,
                    answers: Vec::new(),
                    outcome: None,
                };
                self.calls.insert(call, record);
            }
        }
        Some(op)
    }

    fn publish(&mut self, message: &Publishing, sequence: u64) {
        let Publishing { class, topic, key, size, keep, content_type, time_to_live_ms } = message;
        let stream = StreamKind::of(*class).expect("a message class") as usize;
        let aliases = &mut self.aliases[slot(*class)];
        let next = aliases.len() as u32 + 1;
        let alias = *aliases.entry((topic.clone(), content_type)).or_insert(next);
        if alias == next {
            let (topic, content_type) = (topic.to_string(), (*content_type).to_owned());
            let told = v1::TopicAlias { alias, topic, content_type };
            frame::put_message(&mut self.out[stream], kind::TOPIC_ALIAS, &told);
        }
        let payload = vec![0; *size];
        let mut message = wire::Message::new(&payload, key);
        message.retain = *keep == Keep::Retain;
        message.remove = *keep == Keep::Remove;
        message.time_to_live_ms = *time_to_live_ms;
        wire::encode_publish(&mut self.out[stream], alias, sequence, &message, false);
    }

    /// Sends again what the gateway has not taken, or may have lost with its last run.
    fn publish_again(&mut self, accepted: u64, anew: bool) {
        if !self.keeps {
            return;
        }
        if anew && self.sequences[0] > 0 {
            let resent = v1::Resent { sequence: self.sequences[0] };
            frame::put_message(&mut self.out[StreamKind::Event as usize], kind::RESENT, &resent);
        }
        let unsettled = std::mem::take(&mut self.unsettled);
        for Unsettled { sequence, message } in unsettled.iter().filter(|event| event.sequence > accepted) {
            self.publish(message, *sequence);
        }
        self.unsettled = unsettled;
    }

    /// What may be sent now.
    pub(crate) fn flush(&mut self) -> Vec<(StreamKind, Bytes)> {
        let mut ready = Vec::new();
        for stream in StreamKind::ALL {
            let index = stream as usize;
            if index > 0 && !self.welcomed {
                continue;
            }
            let allowed = usize::try_from(self.credit[index] - self.sent[index]).unwrap_or(usize::MAX);
            let length = self.out[index].len().min(allowed);
            if length > 0 {
                let rest = self.out[index].split_off(length);
                let bytes = std::mem::replace(&mut self.out[index], rest);
                self.sent[index] += bytes.len() as u64;
                ready.push((stream, Bytes::from(bytes)));
            }
        }
        ready
    }

    /// Grants credit when enough of the window is used.
    pub(crate) fn grant(&mut self, now: bool) {
        if self.asleep || (self.slow && !now) {
            return;
        }
        if self.position > self.acknowledged && self.welcomed {
            self.acknowledged = self.position;
            self.control(kind::ACK, &v1::Ack { position: self.position });
        }
        for stream in [StreamKind::Rpc, StreamKind::Event, StreamKind::Telemetry] {
            let index = stream as usize;
            let total = self.got[index] + self.window;
            if total - self.granted[index] >= self.window / 2 {
                self.granted[index] = total;
                let class = stream.class().expect("a class stream");
                self.control(kind::CREDIT, &v1::Credit { class: class.into(), total });
            }
        }
    }

    pub(crate) fn receive(&mut self, stream: StreamKind, bytes: &[u8]) {
        if !self.welcomed && stream != StreamKind::Control {
            return self.early.push((stream, bytes.to_vec()));
        }
        let index = stream as usize;
        self.got[index] += bytes.len() as u64;
        assert!(
            self.got[index] <= self.granted[index],
            "the gateway sent more on {stream:?} than it had credit for"
        );
        let mut splitter = std::mem::replace(&mut self.splitters[index], Splitter::new(0));
        splitter
            .split(bytes, |kind, body| {
                self.on_frame(stream, kind, body);
                Ok::<(), FrameError>(())
            })
            .expect("the gateway sends frames");
        self.splitters[index] = splitter;
        for (stream, bytes) in std::mem::take(&mut self.early) {
            self.receive(stream, &bytes);
        }
        self.grant(false);
    }

    fn on_frame(&mut self, stream: StreamKind, kind: u8, body: &[u8]) {
        match (stream, kind) {
            (StreamKind::Control, _) => self.on_control(kind, body),
            (StreamKind::Rpc, _) => self.on_rpc(kind, body),
            (StreamKind::Event, _) => {
                self.position += 1;
                self.on_message(Class::Event, kind, body);
            }
            (_, _) => self.on_message(stream.class().expect("a class stream"), kind, body),
        }
    }

    fn on_control(&mut self, kind: u8, body: &[u8]) {
        match kind {
            kind::WELCOME => self.on_welcome(&v1::Welcome::decode(body).expect("a Welcome")),
            kind::ACKNOWLEDGED => {
                self.on_acknowledged(v1::Acknowledged::decode(body).expect("an Acknowledged"))
            }
            kind::ACCEPTED => {
                let accepted = v1::Accepted::decode(body).expect("an Accepted").sequence;
                assert!(
                    accepted > self.accepted && accepted <= self.sequences[0],
                    "Accepted goes up to what was sent"
                );
                self.accepted = accepted;
            }
            kind::SETTLED => {
                let settled = v1::Settled::decode(body).expect("a Settled").sequence;
                // The next run of a gateway begins anew with what it is sent again.
                assert!(
                    (settled > self.settled || self.keeps) && settled <= self.sequences[0],
                    "Settled goes up to what was sent"
                );
                self.settled = self.settled.max(settled);
                self.unsettled.retain(|event| event.sequence > settled);
            }
            kind::MOVING => self.moving = true,
            kind::PING => {
                let nonce = v1::Ping::decode(body).expect("a Ping").nonce;
                self.control(kind::PONG, &v1::Pong { nonce });
            }
            kind::CREDIT => {
                let credit = v1::Credit::decode(body).expect("a Credit");
                let index = StreamKind::of(credit.class()).expect("credit names a class") as usize;
                self.credit[index] = self.credit[index].max(credit.total);
            }
            kind::CLOSE => {
                let close = v1::Close::decode(body).expect("a Close");
                self.closed = Some((close.code(), close.message));
            }
            other => panic!("client {}: unexpected control frame {other:#04x}", self.index),
        }
    }

    fn on_welcome(&mut self, welcome: &v1::Welcome) {
        assert!(!self.welcomed, "one Welcome");
        self.welcomed = true;
        self.accepted = welcome.accepted;
        self.settled = if self.keeps { self.settled.max(welcome.settled) } else { welcome.settled };
        let before = self.last.replace((welcome.session, welcome.gateway_epoch));
        // Nobody holds for it here what it missed elsewhere, as the SDK tells each subscription.
        let left = self.name.replace(welcome.gateway.clone()).filter(|left| *left != welcome.gateway);
        self.gaps += u64::from(left.is_some());
        if welcome.resumed {
            self.resumed += 1;
            // It is the session of before.
            self.session -= 1;
        } else {
            self.incoming[0] = Incoming::default();
            self.position = 0;
            self.subscriptions.values_mut().for_each(|subscription| subscription.acknowledged = false);
        }
        // What was said last may have been lost.
        self.acknowledged = 0;
        let windows = welcome.windows.expect("Welcome grants credit");
        self.credit = [u64::MAX, windows.rpc, windows.event, windows.telemetry];
        self.publish_again(welcome.accepted, before.is_some_and(|(_, epoch)| epoch != welcome.gateway_epoch));
        let recover = self.keeps && before.is_some();
        let again: Vec<v1::Subscribe> = self
            .subscriptions
            .values()
            .filter(|subscription| !subscription.acknowledged)
            .map(|subscription| v1::Subscribe { recover, ..subscription.request.clone() })
            .collect();
        again.iter().for_each(|request| self.control(kind::SUBSCRIBE, request));
        let again: Vec<v1::Register> = self.registrations.values().map(|r| r.request.clone()).collect();
        again.iter().for_each(|request| self.control(kind::REGISTER, request));
    }

    fn on_acknowledged(&mut self, acknowledged: v1::Acknowledged) {
        let code = acknowledged.code();
        match acknowledged.request.expect("names its request") {
            v1::acknowledged::Request::Subscription(number) => {
                assert_eq!(code, Code::Ok, "{}", acknowledged.message);
                let subscription = self.subscriptions.get_mut(&number).expect("it was asked for");
                assert!(!subscription.acknowledged, "acknowledged once");
                subscription.acknowledged = true;
            }
            v1::acknowledged::Request::Registration(number) => {
                let registration = self.registrations.get_mut(&number).expect("it was asked for");
                match code {
                    Code::Ok | Code::AlreadyExists => {
                        assert_eq!(registration.code, None, "acknowledged once")
                    }
                    Code::Aborted => assert!(
                        matches!(registration.code, None | Some(Code::Ok)),
                        "only what stood is withdrawn"
                    ),
                    _ => panic!("{}", acknowledged.message),
                }
                registration.code = Some(code);
            }
        }
    }

    fn on_rpc(&mut self, kind: u8, body: &[u8]) {
        match kind {
            kind::CALL => {
                let call = v1::Call::decode(body).expect("a Call");
                assert!(self.registrations.contains_key(&call.registration), "a call names a registration");
                match call.procedure.split('.').nth(1) {
                    Some("late") => self.later.push(call.call),
                    Some("fail") => {
                        let code = Code::Aborted.into();
                        self.rpc(
                            kind::CALL_ERROR,
                            &v1::CallError { call: call.call, code, ..Default::default() },
                        );
                    }
                    Some("silent") => {}
                    Some("stream") if call.credit > 0 => {
                        self.streams.insert(call.call, Stream { credit: call.credit, sent: 0, next: 0 });
                    }
                    _ => self.answer(call.call),
                }
            }
            kind::CALL_RESULT => self.on_result(&v1::CallResult::decode(body).expect("a CallResult")),
            kind::CALL_ERROR => {
                let error = v1::CallError::decode(body).expect("a CallError");
                let outcome = Outcome::Error(error.code());
                if error.provider.is_empty() {
                    self.end_call(error.call, outcome);
                } else {
                    self.open_call(error.call).answers.push((error.provider.to_vec(), outcome));
                }
            }
            kind::CALL_END => {
                let end = v1::CallEnd::decode(body).expect("a CallEnd");
                assert_eq!(self.open_call(end.call).answers.len(), end.answers as usize, "none is missing");
                self.end_call(end.call, Outcome::All);
            }
            kind::CALL_CREDIT => {
                let credit = v1::CallCredit::decode(body).expect("a CallCredit");
                if let Some(stream) = self.streams.get_mut(&credit.call) {
                    assert!(credit.total > stream.credit, "credit only grows");
                    stream.credit = credit.total;
                }
            }
            kind::CALL_CANCEL => {
                let cancel = v1::CallCancel::decode(body).expect("a CallCancel");
                self.later.retain(|call| *call != cancel.call);
                self.streams.remove(&cancel.call);
            }
            other => panic!("client {}: unexpected rpc frame {other:#04x}", self.index),
        }
    }

    fn on_result(&mut self, result: &v1::CallResult) {
        let by = Outcome::Result(usize::from(result.payload[0]));
        let record = self.open_call(result.call);
        if record.all {
            assert!(result.more && !result.provider.is_empty(), "the end is told by itself");
            return record.answers.push((result.provider.to_vec(), by));
        }
        assert!(result.provider.is_empty());
        if record.granted > 0 {
            record.taken += result.payload.len() as u64;
            assert!(record.taken <= record.granted, "more came than was granted");
            let single = !result.more && record.parts == 0;
            assert!(single || result.payload[1] == record.parts, "parts come in order");
            record.parts += 1;
            assert!(single || result.more == (record.parts < PARTS), "all parts come");
        }
        if !result.more {
            self.end_call(result.call, by);
        }
    }

    /// Takes what came of streams, and sends a part of each that may go on.
    fn advance_streams(&mut self) {
        let mut frames = Vec::new();
        for (call, record) in self.calls.iter_mut().filter(|(_, record)| record.outcome.is_none()) {
            let total = record.taken + PART_BYTES as u64 * 2;
            if record.granted > 0 && total > record.granted {
                record.granted = total;
                frame::put_message(&mut frames, kind::CALL_CREDIT, &v1::CallCredit { call: *call, total });
            }
        }
        let index = self.index as u8;
        self.streams.retain(|call, stream| {
            if stream.sent + PART_BYTES as u64 > stream.credit {
                return true;
            }
            let mut payload = vec![stream.next; PART_BYTES];
            payload[0] = index;
            stream.next += 1;
            stream.sent += PART_BYTES as u64;
            let more = stream.next < PARTS;
            let result = v1::CallResult { call: *call, payload: payload.into(), more, ..Default::default() };
            frame::put_message(&mut frames, kind::CALL_RESULT, &result);
            more
        });
        self.out[StreamKind::Rpc as usize].extend(frames);
    }

    fn open_call(&mut self, call: u64) -> &mut CallRecord {
        let record = self.calls.get_mut(&call).expect("a call of ours");
        assert_eq!(record.outcome, None, "call {call} of client {} has ended", self.index);
        record
    }

    fn end_call(&mut self, call: u64, outcome: Outcome) {
        self.open_call(call).outcome = Some(outcome);
    }

    fn answer(&mut self, call: u64) {
        let result = v1::CallResult { call, payload: vec![self.index as u8].into(), ..Default::default() };
        self.rpc(kind::CALL_RESULT, &result);
    }

    fn rpc(&mut self, kind: u8, message: &impl prost::Message) {
        frame::put_message(&mut self.out[StreamKind::Rpc as usize], kind, message);
    }

    fn on_message(&mut self, class: Class, kind: u8, body: &[u8]) {
        let incoming = &mut self.incoming[slot(class)];
        match kind {
            kind::TOPIC_ALIAS => {
                let told = v1::TopicAlias::decode(body).expect("a TopicAlias");
                incoming.topics.insert(told.alias, told.topic);
            }
            kind::PUBLISHER_ALIAS => {
                let told = v1::PublisherAlias::decode(body).expect("a PublisherAlias");
                incoming.publishers.insert(told.alias, told.publisher.to_vec());
            }
            kind::DELIVER => {
                let deliver = v1::Deliver::decode(body).expect("a Deliver");
                let message = deliver.message.expect("a message");
                let publisher = incoming.publishers.get(&deliver.publisher).expect("the alias was told");
                if class == Class::Event && deliver.retained && deliver.resent {
                    if deliver.sequence <= self.highest.get(publisher).copied().unwrap_or(0) {
                        return;
                    }
                } else if class == Class::Event && !deliver.retained {
                    let shared = deliver.subscriptions.first().filter(|number| {
                        self.subscriptions.get(number).is_some_and(|known| !known.group.is_empty())
                    });
                    let fresh = match shared {
                        Some(number) => self.shares.insert((*number, publisher.clone(), deliver.sequence)),
                        None => {
                            let highest = self.highest.entry(publisher.clone()).or_insert(0);
                            deliver.sequence > std::mem::replace(highest, deliver.sequence.max(*highest))
                        }
                    };
                    if deliver.resent && !fresh {
                        return;
                    }
                }
                self.received.push(Received {
                    session: self.session,
                    class,
                    topic: incoming.topics.get(&deliver.topic).expect("the topic alias was told").clone(),
                    key: message.key,
                    publisher: publisher.clone(),
                    sequence: deliver.sequence,
                    subscriptions: deliver.subscriptions,
                    retained: deliver.retained,
                    stamp: deliver.stamp,
                    keep: match (message.retain, message.remove) {
                        (_, true) => Keep::Remove,
                        (true, false) => Keep::Retain,
                        (false, false) => Keep::Nothing,
                    },
                });
            }
            kind::DROPPED => {
                assert_eq!(class, Class::Telemetry, "only telemetry is Dropped");
                self.losses[1] += v1::Dropped::decode(body).expect("a Dropped").count;
            }
            kind::GAP => {
                assert_eq!(class, Class::Event, "only events have a Gap");
                let count = v1::Gap::decode(body).expect("a Gap").count;
                self.losses[0] += count;
                self.gaps += u64::from(count == 0);
            }
            kind::EXPIRED => self.expired += 1,
            kind::RETAINED_END => {
                let end = v1::RetainedEnd::decode(body).expect("a RetainedEnd");
                self.ends.push((class, end.subscription));
            }
            other => panic!("client {}: unexpected frame {other:#04x} on {class:?}", self.index),
        }
    }

    fn control(&mut self, kind: u8, message: &impl prost::Message) {
        frame::put_message(&mut self.out[0], kind, message);
    }

    fn number(&mut self) -> u32 {
        self.next_number += 1;
        self.next_number - 1
    }
}

/// The publisher id of the client with this index.
pub(crate) fn publisher(index: usize) -> Vec<u8> {
    let mut id = vec![0x50; 16];
    id[12..].copy_from_slice(&(index as u32).to_be_bytes());
    id
}

/// Gateways publish, too, under `$sys`.
pub(crate) fn is_client(publisher: &[u8]) -> bool {
    publisher[..12] == [0x50; 12]
}

/// The index of the client with this publisher id.
pub(crate) fn index_of(publisher: &[u8]) -> usize {
    u32::from_be_bytes(publisher[12..].try_into().expect("four bytes")) as usize
}

/// The place of a message class in a pair.
pub(crate) fn slot(class: Class) -> usize {
    match class {
        Class::Event => 0,
        Class::Telemetry => 1,
        _ => panic!("{class:?} carries no messages"),
    }
}

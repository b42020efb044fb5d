//! Gateways, links and clients in simulated time: everything that happens is an event with a time, and the seed says when.
//!
//! A gateway here is the core and what its shell does: it takes what streams have to send, dials members without a
//! link, closes what it is told to close. What a message is to be is for [`crate::model`] and [`crate::check`].

use crate::agenda::Agenda;
use crate::client::{Client, Op, REALM};
use crate::links::Dials;
use crate::model::Model;
use crate::paths::Paths;
use crate::pipe::{End, Pipe};
use crate::rng::Rng;
use crate::tap::Taps;
use crate::watch::Watch;
use bytes::Bytes;
use macula_core::{ConnKey, Identity, Node, NodeId, Notice, Now};
use macula_proto::kind::StreamKind;
use macula_proto::limits;
use macula_proto::v1::Code;
use std::collections::BTreeMap;

/// A gateway and what its shell would hold.
pub(crate) struct Gateway {
    pub(crate) node: Node,
    pub(crate) epoch: u64,
    /// The process runs.
    pub(crate) up: bool,
    pub(crate) started_ms: u64,
    /// Its clock is off by so many milliseconds.
    skew_ms: u64,
    /// What happened to it while its process was stopped; nothing when it is not.
    asleep: Option<Vec<Event>>,
    /// Streams that it named and that have not been taken from.
    ready: Vec<(ConnKey, StreamKind)>,
    taking: bool,
    pub(crate) conns: BTreeMap<ConnKey, (usize, usize)>,
    /// Links that are up, by peer.
    pub(crate) links: BTreeMap<usize, ConnKey>,
    pub(crate) dials: Dials,
    pub(crate) sent: Traffic,
}

/// What a gateway has sent to others.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) batches: u64,
    pub(crate) datagrams: u64,
    pub(crate) bytes: u64,
}

pub(crate) struct Network {
    pub(crate) rng: Rng,
    pub(crate) now_ms: u64,
    pub(crate) paths: Paths,
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) model: Model,
    pub(crate) pipes: Vec<Pipe>,
    /// What links carry; none where there are too many.
    pub(crate) taps: Option<Taps>,
    pub(crate) watch: Watch,
    /// Links break and clients are sent away here; otherwise nothing may be closed but the spare link of a pair.
    pub(crate) stormy: bool,
    /// How long messages may live that do not for ever.
    pub(crate) lives_ms: &'static [u32],
    /// How often gateways are ticked, and look whom to dial.
    pub(crate) tick_ms: u64,
    agenda: Agenda<Event>,
    /// What waits for paths to heal.
    held: Vec<Event>,
}

#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A gateway in this run is ticked.
    Tick {
        gateway: usize,
        epoch: u64,
    },
    /// A gateway's shell sends what there is to send.
    Take {
        gateway: usize,
    },
    /// The next bytes that this end of a pipe has sent on a stream arrive.
    Arrive {
        pipe: usize,
        end: usize,
        stream: usize,
    },
    /// A datagram that this end has sent arrives.
    Datagram {
        pipe: usize,
        end: usize,
        bytes: Bytes,
    },
    /// A dial succeeds if its goal can still be reached, or fails.
    Dialled {
        from: usize,
        to: usize,
        epochs: (u64, u64),
    },
    DialFailed {
        from: usize,
        to: usize,
        epoch: u64,
    },
    /// This end closes its connection.
    Close {
        pipe: usize,
        end: usize,
    },
    /// This end learns that its connection is gone.
    Closed {
        pipe: usize,
        end: usize,
    },
    /// A client does something.
    Act {
        client: usize,
    },
    /// A client connects to its gateway.
    Connect {
        client: usize,
    },
    /// A gateway that stops has had its time to say so.
    Leave {
        gateway: usize,
    },
    Gone {
        gateway: usize,
    },
}

impl Network {
    /// `count` gateways that start within a second, of which each knows the address of the first.
    pub(crate) fn new(mut rng: Rng, count: usize, paths: Paths) -> Self {
        macula_core::fix_hashes();
        let mut gateways: Vec<Gateway> =
            (0..count).map(|index| Gateway::new(index, 1, 0, rng.below(800) as u64)).collect();
        if count > 1 {
            gateways.iter_mut().for_each(|gateway| gateway.node.expect_peers());
        }
        let mut network = Self {
            rng,
            now_ms: 0,
            paths,
            gateways,
            model: Model::default(),
            pipes: Vec::new(),
            taps: Some(Taps::default()),
            watch: Watch::default(),
            stormy: false,
            lives_ms: &[],
            tick_ms: 100,
            agenda: Agenda::new(),
            held: Vec::new(),
        };
        for gateway in 0..count {
            let in_ms = network.rng.below(1_000) as u64;
            network.after(in_ms, Event::Tick { gateway, epoch: 1 });
        }
        network
    }

    /// Adds a client that connects soon.
    pub(crate) fn add_client(&mut self, gateway: usize, window: u64, slow: bool) -> usize {
        let client = self.model.clients.len();
        self.model.clients.push(Client::new(client, gateway, window, slow));
        let in_ms = self.rng.below(20) as u64;
        self.after(in_ms, Event::Connect { client });
        client
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while let Some((at_ms, event)) = self.agenda.next(end) {
            self.now_ms = at_ms;
            self.happen(event);
        }
        self.now_ms = end;
    }

    /// Lets time pass until `so`, and not longer than `at_most_ms`; how long it took.
    pub(crate) fn until(&mut self, at_most_ms: u64, so: impl Fn(&Self) -> bool) -> Option<u64> {
        let begun = self.now_ms;
        while !so(self) {
            if self.now_ms - begun >= at_most_ms {
                return None;
            }
            self.pass(100);
        }
        Some(self.now_ms - begun)
    }

    /// Kills a gateway's process without a word.
    pub(crate) fn kill(&mut self, gateway: usize) {
        self.gateways[gateway].up = false;
        self.gateways[gateway].asleep = None;
        let ends = std::mem::take(&mut self.gateways[gateway].conns);
        for (pipe, end) in ends.into_values() {
            self.pipes[pipe].alive = false;
            self.pipes[pipe].attached[end] = false;
            self.pipes[pipe].clear();
            if !self.pipes[pipe].is_link() {
                // Links find out by themselves, clients by a rule of theirs.
                let in_ms = self.rng.between(10, 3_000) as u64;
                self.after(in_ms, Event::Closed { pipe, end: 1 - end });
            }
        }
    }

    /// Stops a gateway as SIGTERM does.
    pub(crate) fn stop(&mut self, gateway: usize) {
        self.gateways[gateway].node.say_moving(0);
        self.drain(gateway);
        let in_ms = self.rng.between(50, 500) as u64;
        self.after(in_ms, Event::Leave { gateway });
    }

    /// Starts a gateway's process again: it knows nothing but the first gateway.
    pub(crate) fn start(&mut self, gateway: usize) {
        let Gateway { epoch, skew_ms, sent, .. } = self.gateways[gateway];
        self.gateways[gateway] = Gateway::new(gateway, epoch + 1, self.now_ms, skew_ms);
        self.gateways[gateway].sent = sent;
        if self.gateways.len() > 1 {
            self.gateways[gateway].node.expect_peers();
        }
        self.after(1, Event::Tick { gateway, epoch: epoch + 1 });
    }

    /// Stops a gateway's process for a while, as SIGSTOP does.
    pub(crate) fn pause(&mut self, gateway: usize) {
        if self.gateways[gateway].up {
            self.gateways[gateway].asleep.get_or_insert_default();
        }
    }

    /// A process that was stopped goes on.
    pub(crate) fn go_on(&mut self, gateway: usize) {
        for event in self.gateways[gateway].asleep.take().unwrap_or_default() {
            self.after(0, event);
        }
    }

    pub(crate) fn is_asleep(&self, gateway: usize) -> bool {
        self.gateways[gateway].asleep.is_some()
    }

    /// Everything passes again, what has waited soon.
    pub(crate) fn heal(&mut self) {
        self.paths.heal();
        for event in std::mem::take(&mut self.held) {
            let in_ms = self.rng.between(0, 1_000) as u64;
            self.after(in_ms, event);
        }
    }

    /// A connection breaks; its ends learn of it at once, or by waiting.
    pub(crate) fn break_pipe(&mut self, pipe: usize, silently: bool) {
        self.pipes[pipe].alive = false;
        self.pipes[pipe].clear();
        for end in (0..2).filter(|_| !silently) {
            let in_ms = self.rng.between(0, 50) as u64;
            self.after(in_ms, Event::Closed { pipe, end });
        }
    }

    pub(crate) fn after(&mut self, in_ms: u64, event: Event) {
        self.agenda.put(self.now_ms + in_ms, event);
    }

    fn happen(&mut self, event: Event) {
        if let Some(gateway) = self.taker(&event)
            && let Some(waiting) = &mut self.gateways[gateway].asleep
        {
            // What arrives waits in the socket's buffer; datagrams that would fill it are dropped.
            if !matches!(event, Event::Datagram { .. }) {
                waiting.push(event);
            }
            return;
        }
        match event {
            Event::Tick { gateway, epoch } => self.tick(gateway, epoch),
            Event::Take { gateway } => self.take(gateway),
            Event::Arrive { pipe, end, stream } => self.arrive(pipe, end, stream),
            Event::Datagram { pipe, end, bytes } => {
                if let (true, Some((index, conn))) = (self.is_open(pipe), self.pipes[pipe].gateway(1 - end)) {
                    self.gateways[index].node.receive_datagram(conn, &bytes);
                    self.drain(index);
                }
            }
            Event::Dialled { from, to, epochs } => self.dialled(from, to, epochs),
            Event::DialFailed { from, to, epoch } => self.dial_failed(from, to, epoch),
            Event::Close { pipe, end } => {
                self.pipes[pipe].alive = false;
                self.detach(pipe, end);
                // Behind what is under way.
                let last_ms = self.pipes[pipe].fifos[end].iter().map(|fifo| fifo.last_ms).max().unwrap_or(0);
                let in_ms = last_ms.saturating_sub(self.now_ms) + self.way(pipe);
                self.after(in_ms, Event::Closed { pipe, end: 1 - end });
            }
            Event::Closed { pipe, end } if self.is_cut(pipe) => self.held.push(Event::Closed { pipe, end }),
            Event::Closed { pipe, end } => {
                self.pipes[pipe].alive = false;
                let finished = self.pipes[pipe].has_finished(1 - end) && self.pipes[pipe].attached[end];
                if let Some((index, conn)) = self.pipes[pipe].gateway(end).filter(|_| finished) {
                    self.gateways[index].node.finished(conn, StreamKind::Event);
                }
                self.detach(pipe, end);
            }
            Event::Act { client } => self.act(client),
            Event::Connect { client } => self.connect(client),
            Event::Leave { gateway } => {
                let now = self.now(gateway);
                self.gateways[gateway].node.leave(now);
                self.drain(gateway);
                let in_ms = self.rng.between(20, 100) as u64;
                self.after(in_ms, Event::Gone { gateway });
            }
            Event::Gone { gateway } => {
                self.take(gateway);
                self.gateways[gateway].up = false;
                for (conn, (pipe, end)) in self.gateways[gateway].conns.clone() {
                    let waits = self.gateways[gateway].node.waits(conn, StreamKind::Event);
                    self.pipes[pipe].finished[end] = !waits;
                    self.happen(Event::Close { pipe, end });
                }
            }
        }
    }

    /// The gateway that an event happens to.
    fn taker(&self, event: &Event) -> Option<usize> {
        match *event {
            Event::Tick { gateway, .. } | Event::Take { gateway } => Some(gateway),
            Event::Leave { gateway } | Event::Gone { gateway } => Some(gateway),
            Event::Arrive { pipe, end, .. } | Event::Datagram { pipe, end, .. } => {
                self.pipes[pipe].gateway(1 - end).map(|(index, _)| index)
            }
            Event::Close { pipe, end } | Event::Closed { pipe, end } => {
                self.pipes[pipe].gateway(end).map(|(index, _)| index)
            }
            Event::Dialled { .. } | Event::DialFailed { .. } | Event::Act { .. } | Event::Connect { .. } => {
                None
            }
        }
    }

    fn tick(&mut self, gateway: usize, epoch: u64) {
        if !self.gateways[gateway].up || self.gateways[gateway].epoch != epoch {
            return;
        }
        let now = self.now(gateway);
        self.gateways[gateway].node.tick(now);
        self.drain(gateway);
        if self.now_ms % 1_000 < self.tick_ms {
            self.watch.bounds(&self.gateways[gateway]);
        }
        self.dial(gateway);
        self.after(self.tick_ms, Event::Tick { gateway, epoch });
    }

    /// The next bytes of a stream arrive.
    fn arrive(&mut self, pipe: usize, end: usize, stream: usize) {
        if self.is_cut(pipe) {
            return self.held.push(Event::Arrive { pipe, end, stream });
        }
        let limit = if self.paths.shredded { self.rng.pick(&[7, 100, 64 << 10]) } else { usize::MAX };
        if !self.pipes[pipe].attached[1 - end] {
            // This end has let go of the connection, and its process may be another by now.
            return;
        }
        let fifo = &mut self.pipes[pipe].fifos[end][stream];
        let Some(bytes) = fifo.pop(limit) else { return };
        if bytes.len() == limit {
            // There may be more of this piece.
            self.after(1, Event::Arrive { pipe, end, stream });
        }
        let kind = StreamKind::ALL[stream];
        if let (Some(taps), Some(pair)) = (&mut self.taps, self.pipes[pipe].pair()) {
            let between = if end == 0 { pair } else { (pair.1, pair.0) };
            taps.listen((pipe, end), between, kind, &bytes, &self.model);
        }
        match self.pipes[pipe].ends[1 - end] {
            End::Client(client) => {
                let gaps = self.model.clients[client].gaps;
                self.model.clients[client].receive(kind, &bytes);
                if self.model.clients[client].gaps > gaps {
                    self.model.clients[client].told_ms = self.now_ms;
                }
                self.watch.client(&self.model, client, self.now_ms);
                let known = &self.model.clients[client];
                assert!(
                    self.stormy || known.closed.is_none(),
                    "client {client} was sent away: {:?}",
                    known.closed
                );
                if known.moving && self.pipes[pipe].alive {
                    self.break_pipe(pipe, false);
                }
                self.flush(client);
            }
            End::Gateway { index, conn } => {
                let now = self.now(index);
                self.gateways[index].node.receive(conn, kind, &bytes, now);
                self.drain(index);
            }
        }
    }

    /// A gateway's shell sends what there is, one stream after the other in any order.
    fn take(&mut self, index: usize) {
        self.gateways[index].taking = false;
        while !self.gateways[index].ready.is_empty() {
            let place = self.rng.below(self.gateways[index].ready.len());
            let (conn, stream) = self.gateways[index].ready.swap_remove(place);
            let now = self.now(index);
            while let Some(bytes) = self.gateways[index].node.take(conn, stream, now) {
                assert!(bytes.len() <= limits::FRAME_BYTES + (64 << 10), "batches are of moderate size");
                if let Some(&(pipe, end)) = self.gateways[index].conns.get(&conn) {
                    self.send(pipe, end, stream, bytes);
                }
            }
            self.drain(index);
        }
    }

    fn send(&mut self, pipe: usize, end: usize, stream: StreamKind, bytes: Bytes) {
        if !self.pipes[pipe].alive || bytes.is_empty() {
            return;
        }
        if let (true, Some((index, _))) = (self.pipes[pipe].is_link(), self.pipes[pipe].gateway(end)) {
            let sent = &mut self.gateways[index].sent;
            (sent.batches, sent.bytes) = (sent.batches + 1, sent.bytes + bytes.len() as u64);
        }
        let at_ms = self.now_ms + self.way(pipe);
        let stream = stream as usize;
        let fifo = &mut self.pipes[pipe].fifos[end][stream];
        fifo.last_ms = fifo.last_ms.max(at_ms);
        fifo.push(bytes);
        let in_ms = fifo.last_ms - self.now_ms;
        self.after(in_ms, Event::Arrive { pipe, end, stream });
    }

    /// How long a packet of a stream takes on this connection.
    fn way(&mut self, pipe: usize) -> u64 {
        match self.pipes[pipe].pair() {
            Some((a, b)) => self.paths.reliable(a, b, &mut self.rng),
            None => self.rng.between(0, self.paths.idle_ms.min(3) as usize) as u64,
        }
    }

    fn act(&mut self, index: usize) {
        let client = &mut self.model.clients[index];
        if let Some(Op::Publish(message)) = client.act() {
            self.model.publish(index, message, self.now_ms);
        }
        self.flush(index);
        let client = &self.model.clients[index];
        if client.pipe.is_some() {
            let busy = !client.plan.is_empty() || !client.is_idle() || client.owes();
            let longest = if busy { self.paths.idle_ms } else { 200 };
            let in_ms = self.rng.between(1, longest.max(1) as usize) as u64;
            self.after(in_ms, Event::Act { client: index });
        }
    }

    fn flush(&mut self, client: usize) {
        let Some(pipe) = self.model.clients[client].pipe else { return };
        for (stream, bytes) in self.model.clients[client].flush() {
            self.send(pipe, 1, stream, bytes);
        }
    }

    fn connect(&mut self, client: usize) {
        let index = self.model.clients[client].gateway;
        if self.model.clients[client].pipe.is_some() {
            return;
        }
        if !self.is_ready(index) {
            return self.after(100, Event::Connect { client });
        }
        let conn = self.gateways[index].node.open_session();
        let pipe = self.attach([End::Gateway { index, conn }, End::Client(client)]);
        self.model.clients[client].connect(pipe, index);
        self.flush(client);
        self.after(1, Event::Act { client });
    }

    /// A gateway takes clients once those that it can reach have told what they want, or after five seconds.
    fn is_ready(&self, index: usize) -> bool {
        let gateway = &self.gateways[index];
        if !gateway.up || gateway.asleep.is_some() {
            return false;
        }
        let waited = self.now_ms - gateway.started_ms >= 5_000;
        let others =
            (0..self.gateways.len()).filter(|other| *other != index && self.is_reachable(index, *other));
        waited || {
            let peers = gateway.node.peers();
            others.into_iter().all(|other| peers.iter().any(|peer| peer.node == id(other) && peer.synced))
        }
    }

    pub(crate) fn attach(&mut self, ends: [End; 2]) -> usize {
        let pipe = self.pipes.len();
        self.pipes.push(Pipe::new(ends));
        for (side, end) in ends.iter().enumerate() {
            if let End::Gateway { index, conn } = *end {
                self.gateways[index].conns.insert(conn, (pipe, side));
                self.drain(index);
            }
        }
        pipe
    }

    fn detach(&mut self, pipe: usize, end: usize) {
        if !std::mem::take(&mut self.pipes[pipe].attached[end]) {
            return;
        }
        match self.pipes[pipe].ends[end] {
            End::Gateway { index, conn } => {
                let now = self.now(index);
                self.gateways[index].node.remove(conn, now);
                self.gateways[index].conns.remove(&conn);
                self.gateways[index].links.retain(|_, link| *link != conn);
                self.drain(index);
                if let (0, Some((_, peer))) = (end, self.pipes[pipe].pair()) {
                    self.put_off(index, peer);
                }
            }
            End::Client(client) if self.model.clients[client].pipe == Some(pipe) => {
                self.model.clients[client].disconnect();
                let in_ms = self.rng.between(20, 500) as u64;
                self.after(in_ms, Event::Connect { client });
            }
            End::Client(_) => {}
        }
        if let (true, Some(taps)) = (self.pipes[pipe].attached == [false; 2], &mut self.taps) {
            self.pipes[pipe].clear();
            taps.forget(pipe);
        }
    }

    pub(crate) fn now(&self, gateway: usize) -> Now {
        let Gateway { skew_ms, started_ms, .. } = self.gateways[gateway];
        Now { elapsed_ms: self.now_ms - started_ms, unix_ms: 1_700_000_000_000 + self.now_ms + skew_ms }
    }

    /// Takes notice of what a gateway wants after it was driven.
    pub(crate) fn drain(&mut self, index: usize) {
        let gateway = &mut self.gateways[index];
        while let Some(ready) = gateway.node.poll_ready() {
            gateway.ready.push(ready);
        }
        if !gateway.ready.is_empty() && !std::mem::replace(&mut gateway.taking, true) {
            let in_ms = self.rng.between(0, self.paths.idle_ms as usize) as u64;
            self.after(in_ms, Event::Take { gateway: index });
        }
        while let Some((conn, bytes)) = self.gateways[index].node.poll_datagram() {
            self.send_datagram(index, conn, bytes);
        }
        while let Some(notice) = self.gateways[index].node.poll_notice() {
            match notice {
                Notice::LinkUp { conn, node, .. } => {
                    self.gateways[index].links.insert(index_of(node), conn);
                    self.gateways[index].dials.remove(&index_of(node));
                }
                Notice::Close { conn, code, message, .. } => {
                    let spare = message.contains("another link of this pair")
                        || message.contains("the other has started later");
                    assert!(spare || self.stormy, "gateway {index} closes a connection: {message}");
                    let broken =
                        matches!(code, Code::InvalidArgument | Code::ResourceExhausted | Code::Internal);
                    assert!(!broken, "gateway {index} is told nonsense: {message}");
                    if let Some(&(pipe, end)) = self.gateways[index].conns.get(&conn)
                        && !std::mem::replace(&mut self.pipes[pipe].closing[end], true)
                    {
                        // Once the shell has sent what the control stream holds.
                        let in_ms = self.paths.idle_ms + self.rng.between(1, 20) as u64;
                        self.after(in_ms, Event::Close { pipe, end });
                    }
                }
                _ => {}
            }
        }
    }

    fn send_datagram(&mut self, index: usize, conn: ConnKey, bytes: Vec<u8>) {
        let Some(&(pipe, end)) = self.gateways[index].conns.get(&conn) else { return };
        let sent = &mut self.gateways[index].sent;
        (sent.datagrams, sent.bytes) = (sent.datagrams + 1, sent.bytes + bytes.len() as u64);
        let (a, b) = self.pipes[pipe].pair().expect("a link");
        let bytes = Bytes::from(bytes);
        for in_ms in self.paths.datagram(a, b, &mut self.rng) {
            self.after(in_ms, Event::Datagram { pipe, end, bytes: bytes.clone() });
        }
    }

    fn is_open(&self, pipe: usize) -> bool {
        self.pipes[pipe].alive && !self.is_cut(pipe)
    }

    fn is_cut(&self, pipe: usize) -> bool {
        self.pipes[pipe].pair().is_some_and(|(a, b)| self.paths.are_cut(a, b))
    }

    /// Both run, and packets pass between them.
    pub(crate) fn is_reachable(&self, a: usize, b: usize) -> bool {
        let awake = |index: usize| self.gateways[index].up && self.gateways[index].asleep.is_none();
        awake(a) && awake(b) && !self.paths.are_cut(a, b)
    }
}

impl Gateway {
    fn new(index: usize, epoch: u64, started_ms: u64, skew_ms: u64) -> Self {
        let identity = Identity {
            node: id(index),
            name: format!("gateway-{index}"),
            realm: REALM.to_owned(),
            // A run of one gateway has no number of another's.
            epoch: epoch * 10_000 + index as u64,
            advertise: vec![format!("gateway-{index}.example.org:9443")],
        };
        Self {
            node: Node::new(identity),
            epoch,
            up: true,
            started_ms,
            skew_ms,
            asleep: None,
            ready: Vec::new(),
            taking: false,
            conns: BTreeMap::new(),
            links: BTreeMap::new(),
            dials: Dials::default(),
            sent: Traffic::default(),
        }
    }
}

/// The id of a gateway: its number, with the order of ids being none of the order of numbers.
pub(crate) fn id(gateway: usize) -> NodeId {
    let mut bytes = [0; 16];
    bytes[0] = (gateway as u8).wrapping_mul(151);
    bytes[8..].copy_from_slice(&(gateway as u64).to_be_bytes());
    NodeId(bytes)
}

pub(crate) fn index_of(node: NodeId) -> usize {
    u64::from_be_bytes(node.0[8..].try_into().expect("eight bytes")) as usize
}

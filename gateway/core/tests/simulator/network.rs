//! Gateways, links and clients, and a scheduler that lets one small thing happen at a time, in random order.

use crate::client::{Client, Keep, Op, REALM, slot};
use crate::pipe::{End, Pipe};
use crate::rng::Rng;
use bytes::Bytes;
use macula_core::{ConnKey, Identity, Node, NodeId, Notice, Now};
use macula_proto::frame::{FrameError, Splitter};
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{self, Class};
use macula_proto::{Topic, limits};
use prost::Message as _;
use std::collections::{BTreeSet, HashMap};

/// A gateway and what its shell would hold.
pub(crate) struct Gateway {
    pub(crate) node: Node,
    epoch: u64,
    /// Its clock is off by so many milliseconds.
    skew_ms: u64,
    /// Streams that it named and that have not been taken from.
    ready: Vec<(ConnKey, StreamKind)>,
    conns: HashMap<ConnKey, (usize, usize)>,
}

/// A message as its client published it.
pub(crate) struct Published {
    pub(crate) client: usize,
    pub(crate) gateway: usize,
    pub(crate) class: Class,
    pub(crate) sequence: u64,
    pub(crate) topic: Topic,
    pub(crate) key: String,
    pub(crate) keep: Keep,
}

/// What a wiretap on one stream of a link knows.
struct Tap {
    splitter: Splitter,
    publishers: HashMap<u32, Vec<u8>>,
}

/// Client, class, sequence.
pub(crate) type MessageId = (usize, usize, u64);

pub(crate) struct Network {
    pub(crate) rng: Rng,
    now_ms: u64,
    ticked_ms: u64,
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) clients: Vec<Client>,
    pub(crate) pipes: Vec<Pipe>,
    /// Streams that hold bytes: pipe, sending end, stream.
    busy: Vec<(usize, usize, usize)>,
    /// Ends that will learn that their connection is gone.
    removals: Vec<(usize, usize)>,
    closings: Vec<(usize, usize)>,
    /// Pairs that cannot reach each other.
    pub(crate) cut: BTreeSet<(usize, usize)>,
    pub(crate) published: Vec<Published>,
    pub(crate) index: HashMap<MessageId, usize>,
    taps: HashMap<(usize, usize, usize), Tap>,
    /// Publishers that the event stream from one gateway to another has told, over all connections.
    told: HashMap<(usize, usize), HashMap<u32, Vec<u8>>>,
    /// Connections on which live forwards were seen, by message and receiving gateway.
    pub(crate) crossed: HashMap<(MessageId, usize), Vec<usize>>,
    /// Losses told on links, by sender, receiver and class.
    pub(crate) link_losses: HashMap<(usize, usize, usize), u64>,
    /// Links break here; otherwise nothing may be closed but the spare link of a pair.
    pub(crate) stormy: bool,
}

impl Network {
    pub(crate) fn new(mut rng: Rng, gateways: usize) -> Self {
        let gateways = (0..gateways).map(|index| Gateway::new(index, 1, rng.below(800) as u64)).collect();
        Self {
            rng,
            now_ms: 1_000,
            ticked_ms: 1_000,
            gateways,
            clients: Vec::new(),
            pipes: Vec::new(),
            busy: Vec::new(),
            removals: Vec::new(),
            closings: Vec::new(),
            cut: BTreeSet::new(),
            published: Vec::new(),
            index: HashMap::new(),
            taps: HashMap::new(),
            told: HashMap::new(),
            crossed: HashMap::new(),
            link_losses: HashMap::new(),
            stormy: false,
        }
    }

    pub(crate) fn open_link(&mut self, dialler: usize, listener: usize) {
        let ends = [(dialler, true), (listener, false)].map(|(index, dialled)| End::Gateway {
            index,
            conn: self.gateways[index].node.open_link(dialled),
        });
        self.attach(ends);
    }

    /// Adds a client that is not connected yet.
    pub(crate) fn add_client(&mut self, gateway: usize, window: u64, slow: bool) -> usize {
        self.clients.push(Client::new(self.clients.len(), gateway, window, slow));
        self.clients.len() - 1
    }

    pub(crate) fn connect(&mut self, client: usize, gateway: usize) {
        let conn = self.gateways[gateway].node.open_session();
        let pipe = self.attach([End::Gateway { index: gateway, conn }, End::Client(client)]);
        self.clients[client].connect(pipe, gateway);
        self.flush(client);
    }

    fn attach(&mut self, ends: [End; 2]) -> usize {
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

    /// The connection breaks; its ends learn of it one by one, later. Of a silent break nobody learns but by
    /// waiting.
    pub(crate) fn break_pipe(&mut self, pipe: usize, silently: bool) {
        self.pipes[pipe].alive = false;
        self.pipes[pipe].fifos = Default::default();
        self.busy.retain(|(busy, ..)| *busy != pipe);
        if !silently {
            let attached = self.pipes[pipe].attached;
            self.removals.extend((0..2).filter(|end| attached[*end]).map(|end| (pipe, end)));
        }
    }

    /// The gateway's process is killed and starts again, knowing nothing.
    pub(crate) fn restart(&mut self, gateway: usize) {
        for pipe in 0..self.pipes.len() {
            for end in 0..2 {
                if self.pipes[pipe].gateway(end).is_some_and(|(index, _)| index == gateway)
                    && self.pipes[pipe].attached[end]
                {
                    self.pipes[pipe].attached[end] = false;
                    self.break_pipe(pipe, false);
                }
            }
        }
        let Gateway { epoch, skew_ms, .. } = self.gateways[gateway];
        self.gateways[gateway] = Gateway::new(gateway, epoch + 1, skew_ms);
    }

    /// One small thing happens.
    pub(crate) fn step(&mut self) {
        match self.rng.below(100) {
            0..45 => self.transport(),
            45..75 => self.take(),
            75..95 => self.act(),
            95..97 => self.learn(),
            _ => {
                let passed = self.rng.between(0, 4) as u64;
                self.advance(passed);
            }
        }
    }

    /// Steps until every plan is done.
    pub(crate) fn run(&mut self) {
        for _ in 0..10_000_000 {
            if self.clients.iter().all(|client| client.plan.is_empty() || client.asleep) {
                return;
            }
            self.step();
            if self.stormy {
                self.repair();
            }
        }
        panic!("the plans do not end");
    }

    /// Steps until nothing moves any more and everybody has got an answer.
    pub(crate) fn rest(&mut self) {
        let mut quiet = 0;
        for _ in 0..5_000_000 {
            if !self.busy.is_empty()
                || !self.removals.is_empty()
                || !self.closings.is_empty()
                || self.any_ready()
            {
                self.step();
                continue;
            }
            self.repair();
            (0..self.clients.len()).for_each(|client| self.act_with(client));
            if self.busy.is_empty() {
                let gauges = self.gateways.iter().map(|gateway| gateway.node.gauges());
                let kept = gauges.into_iter().any(|gauges| gauges.kept > 0 || gauges.recoverable > 0);
                let settled = self.clients.iter().all(Client::is_idle) && self.links_settled() && !kept;
                quiet = if settled { quiet + 1 } else { 0 };
                // Longer than a second, so that pings, too, have come and gone.
                if quiet > 12 {
                    return;
                }
                self.advance(100);
            }
        }
        panic!("the network does not come to rest");
    }

    /// Dials the pairs that have no link, and connects the clients that are without.
    fn repair(&mut self) {
        for (a, b) in self.pairs() {
            let linked = self
                .pipes
                .iter()
                .any(|pipe| pipe.alive && pipe.pair().is_some_and(|p| p == (a, b) || p == (b, a)));
            if !linked && !self.cut.contains(&(a, b)) && self.rng.percent(20) {
                let (dialler, listener) = if self.rng.percent(50) { (a, b) } else { (b, a) };
                self.open_link(dialler, listener);
            }
        }
        for client in 0..self.clients.len() {
            if self.clients[client].pipe.is_none() && self.rng.percent(20) {
                let home = self.clients[client].gateway;
                let gateway = if self.rng.percent(50) { home } else { self.rng.below(self.gateways.len()) };
                self.connect(client, gateway);
            }
        }
    }

    pub(crate) fn pairs(&self) -> Vec<(usize, usize)> {
        let count = self.gateways.len();
        (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b))).collect()
    }

    /// Both ends of every pair that is not cut know of the same one link.
    pub(crate) fn links_settled(&self) -> bool {
        // Nobody still believes in a connection that broke silently.
        let ghosts = self.pipes.iter().any(|pipe| !pipe.alive && pipe.attached != [false; 2]);
        !ghosts
            && self.pairs().iter().filter(|pair| !self.cut.contains(pair)).all(|&(a, b)| {
                let seen = |at: usize, other: usize| -> Vec<bool> {
                    let peers = self.gateways[at].node.peers().into_iter();
                    peers
                        .filter(|peer| peer.node == id(other) && peer.synced)
                        .map(|peer| peer.dialled)
                        .collect()
                };
                match (&seen(a, b)[..], &seen(b, a)[..]) {
                    ([one], [other]) => one != other,
                    _ => false,
                }
            })
    }

    fn any_ready(&self) -> bool {
        self.gateways.iter().any(|gateway| !gateway.ready.is_empty())
    }

    /// Some bytes of some stream arrive.
    fn transport(&mut self) {
        if self.busy.is_empty() {
            return;
        }
        let place = self.rng.below(self.busy.len());
        let (pipe, end, stream) = self.busy[place];
        let limit = match self.rng.below(4) {
            0 => self.rng.between(1, 16),
            1 => self.rng.between(1, 1_000),
            _ => 64 << 10,
        };
        let fifo = &mut self.pipes[pipe].fifos[end][stream];
        let bytes = fifo.pop(limit).expect("a busy stream has bytes");
        if fifo.is_empty() {
            self.busy.swap_remove(place);
        }
        let kind = StreamKind::ALL[stream];
        if self.pipes[pipe].is_link() {
            self.listen(pipe, end, kind, &bytes);
        }
        match self.pipes[pipe].ends[1 - end] {
            End::Client(client) => {
                self.clients[client].receive(kind, &bytes);
                if !self.stormy {
                    assert_eq!(self.clients[client].closed, None, "client {client} was sent away");
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

    /// Some gateway's shell takes some bytes of some stream.
    fn take(&mut self) {
        let index = self.rng.below(self.gateways.len());
        let count = self.gateways[index].ready.len();
        if count == 0 {
            return;
        }
        let place = self.rng.below(count);
        let (conn, stream) = self.gateways[index].ready[place];
        let now = self.now(index);
        match self.gateways[index].node.take(conn, stream, now) {
            Some(bytes) => {
                assert!(bytes.len() <= limits::FRAME_BYTES + (64 << 10), "batches are of moderate size");
                if let Some(&(pipe, end)) = self.gateways[index].conns.get(&conn) {
                    self.send(pipe, end, stream, bytes);
                }
            }
            None => {
                self.gateways[index].ready.swap_remove(place);
            }
        }
        self.drain(index);
    }

    fn send(&mut self, pipe: usize, end: usize, stream: StreamKind, bytes: Bytes) {
        if !self.pipes[pipe].alive || bytes.is_empty() {
            return;
        }
        let fifo = &mut self.pipes[pipe].fifos[end][stream as usize];
        if fifo.is_empty() {
            self.busy.push((pipe, end, stream as usize));
        }
        fifo.push(bytes);
    }

    fn act(&mut self) {
        if !self.clients.is_empty() {
            let client = self.rng.below(self.clients.len());
            self.act_with(client);
        }
    }

    fn act_with(&mut self, index: usize) {
        let client = &mut self.clients[index];
        if let Some(Op::Publish { class, topic, key, keep, .. }) = client.act() {
            let sequence = client.sequences[slot(class)];
            self.index.insert((index, slot(class), sequence), self.published.len());
            let gateway = client.gateway;
            self.published.push(Published { client: index, gateway, class, sequence, topic, key, keep });
        }
        self.flush(index);
    }

    fn flush(&mut self, client: usize) {
        let Some(pipe) = self.clients[client].pipe else { return };
        for (stream, bytes) in self.clients[client].flush() {
            self.send(pipe, 1, stream, bytes);
        }
    }

    /// Some end learns that its connection is gone; some connection that was to be closed is.
    fn learn(&mut self) {
        if !self.closings.is_empty() {
            let place = self.rng.below(self.closings.len());
            let (pipe, end) = self.closings[place];
            let (index, conn) = self.pipes[pipe].gateway(end).expect("gateways close");
            let unsent = self.gateways[index].ready.contains(&(conn, StreamKind::Control));
            if !unsent && self.pipes[pipe].fifos[end][0].is_empty() {
                self.closings.swap_remove(place);
                if self.pipes[pipe].alive {
                    self.break_pipe(pipe, false);
                } else {
                    self.removals.push((pipe, end));
                }
            }
        }
        if !self.removals.is_empty() {
            let place = self.rng.below(self.removals.len());
            let (pipe, end) = self.removals.swap_remove(place);
            self.detach(pipe, end);
        }
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
                self.drain(index);
            }
            End::Client(client) if self.clients[client].pipe == Some(pipe) => {
                self.clients[client].disconnect()
            }
            End::Client(_) => {}
        }
    }

    /// Time passes; gateways tick when it is due.
    pub(crate) fn advance(&mut self, ms: u64) {
        self.now_ms += ms;
        while self.ticked_ms + 100 <= self.now_ms {
            self.ticked_ms += 100;
            for index in 0..self.gateways.len() {
                let now = self.now(index);
                self.gateways[index].node.tick(now);
                self.drain(index);
            }
        }
    }

    fn now(&self, gateway: usize) -> Now {
        let unix_ms = 1_700_000_000_000 + self.now_ms + self.gateways[gateway].skew_ms;
        Now { elapsed_ms: self.now_ms, unix_ms }
    }

    /// Takes notice of what a gateway wants after it was driven.
    fn drain(&mut self, index: usize) {
        let gateway = &mut self.gateways[index];
        while let Some(ready) = gateway.node.poll_ready() {
            assert!(!gateway.ready.contains(&ready), "a stream is named once");
            gateway.ready.push(ready);
        }
        let gauges = gateway.node.gauges();
        let bound = (gateway.conns.len() + gauges.kept + gauges.parked) * (8 << 20);
        assert!(gauges.queued_bytes <= bound, "queues stay bounded: {gauges:?}");
        while let Some(notice) = gateway.node.poll_notice() {
            let Notice::Close { conn, message, .. } = notice else { continue };
            let expected = message.contains("another link of this pair")
                || message.contains("the other has started later")
                || self.stormy
                    && (message.contains("has said nothing") || message.contains("connected anew"));
            assert!(expected, "gateway {index} closes a connection: {message}");
            if let Some(&(pipe, end)) = gateway.conns.get(&conn)
                && !std::mem::replace(&mut self.pipes[pipe].closing[end], true)
            {
                self.closings.push((pipe, end));
            }
        }
    }

    /// Listens to what a link carries: every live message passes one link at most, from its first gateway.
    fn listen(&mut self, pipe: usize, end: usize, stream: StreamKind, bytes: &[u8]) {
        let Some(class) = stream.class().filter(|class| *class != Class::Rpc) else { return };
        let (dialler, listener) = self.pipes[pipe].pair().expect("a link");
        let (from, to) = if end == 0 { (dialler, listener) } else { (listener, dialler) };
        let tap = self.taps.entry((pipe, end, stream as usize)).or_insert_with(|| Tap {
            splitter: Splitter::new(limits::FRAME_BYTES),
            publishers: HashMap::new(),
        });
        let Tap { splitter, publishers } = tap;
        let told = self.told.entry((from, to)).or_default();
        let split = splitter.split(bytes, |kind, body| {
            match kind {
                kind::PUBLISHER_ALIAS => {
                    let told = v1::PublisherAlias::decode(body).expect("a PublisherAlias");
                    publishers.insert(told.alias, told.publisher.to_vec());
                }
                kind::CONTINUE => {
                    let begin = v1::Continue::decode(body).expect("a Continue");
                    if begin.position.is_none() {
                        told.clear();
                    }
                    publishers.clone_from(told);
                }
                kind::DROPPED => {
                    let count = v1::Dropped::decode(body).expect("a Dropped").count;
                    *self.link_losses.entry((from, to, 1)).or_default() += count;
                }
                kind::GAP => {
                    let count = v1::Gap::decode(body).expect("a Gap").count;
                    *self.link_losses.entry((from, to, 0)).or_default() += count;
                }
                kind::DELIVER => {
                    let deliver = v1::Deliver::decode(body).expect("a Deliver");
                    if deliver.retained {
                        return Ok(());
                    }
                    let client = usize::from(publishers[&deliver.publisher][15]);
                    let message = (client, slot(class), deliver.sequence);
                    let published = &self.published[self.index[&message]];
                    assert_eq!(
                        published.gateway, from,
                        "a message passes one link, from where it was published"
                    );
                    let pipes = self.crossed.entry((message, to)).or_default();
                    let once = !pipes.contains(&pipe) || deliver.resent;
                    assert!(once, "a message passes a connection once");
                    pipes.push(pipe);
                }
                _ => {}
            }
            Ok::<(), FrameError>(())
        });
        split.expect("gateways send frames");
        if stream == StreamKind::Event {
            told.extend(publishers.iter().map(|(alias, id)| (*alias, id.clone())));
        }
    }
}

impl Gateway {
    fn new(index: usize, epoch: u64, skew_ms: u64) -> Self {
        let identity = Identity {
            node: id(index),
            name: format!("gateway-{index}"),
            realm: REALM.to_owned(),
            epoch,
            advertise: Vec::new(),
        };
        Self { node: Node::new(identity), epoch, skew_ms, ready: Vec::new(), conns: HashMap::new() }
    }
}

fn id(gateway: usize) -> NodeId {
    NodeId([gateway as u8 + 1; 16])
}

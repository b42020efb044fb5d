//! Gateways that know each other by membership alone: links are dialled, lost and noticed as the shell does it, and
//! carry nothing but datagrams, which are late or lost.

use crate::agenda::Agenda;
use macula_core::membership::{Member, MemberState, Membership, Run};
use macula_core::{NodeId, patience_ms};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

/// How often gateways are ticked, and look whom to dial.
const TICK_MS: u64 = 100;
/// A link notices after this time that nothing comes.
const SILENCE_MS: u64 = 4_000;
/// A dial that nobody answers is given up after this time.
const DIAL_MS: u64 = 3_000;
/// Pauses between dials of one address.
const FIRST_PAUSE_MS: u64 = 100;
const LONGEST_PAUSE_MS: u64 = 3_000;

/// What the paths are like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paths {
    pub(crate) delay_ms: u64,
    pub(crate) jitter_ms: u64,
    pub(crate) loss: f64,
}

pub(crate) struct Network {
    pub(crate) now_ms: u64,
    pub(crate) nodes: Vec<Node>,
    paths: Paths,
    rng: SmallRng,
    agenda: Agenda<Event>,
    linked: u64,
    /// Pairs between which nothing passes.
    cut: BTreeSet<(usize, usize)>,
    /// Who did not agree when it was asked last; it is asked first the next time.
    dissenter: Cell<usize>,
}

pub(crate) struct Node {
    pub(crate) membership: Membership,
    epoch: u64,
    /// The process runs.
    pub(crate) up: bool,
    /// Time that this process has been awake for.
    awake_ms: u64,
    asleep: bool,
    /// Peers, and the link that leads to each.
    pub(crate) links: BTreeMap<usize, u64>,
    /// The only gateway that it is told of.
    start: usize,
    dials: BTreeMap<usize, Dial>,
    pub(crate) sent: u64,
    pub(crate) sent_bytes: u64,
}

/// Dialling of one peer that there is no link to.
#[derive(Default)]
struct Dial {
    next_ms: u64,
    pause_ms: u64,
    under_way: bool,
}

enum Event {
    Tick(usize),
    Datagram { from: usize, to: usize, link: u64, bytes: Vec<u8> },
    Dialled { from: usize, to: usize, epochs: (u64, u64) },
    Failed { from: usize, to: usize, epoch: u64 },
    Silence { at: usize, peer: usize, link: u64 },
}

impl Network {
    /// `count` gateways, all started within a second, of which each knows the address of the first.
    pub(crate) fn new(count: usize, paths: Paths, seed: u64) -> Self {
        let mut network = Self {
            now_ms: 0,
            nodes: Vec::new(),
            paths,
            rng: SmallRng::seed_from_u64(seed),
            agenda: Agenda::new(),
            linked: 0,
            cut: BTreeSet::new(),
            dissenter: Cell::new(0),
        };
        for index in 0..count {
            let epoch = 1;
            let node = Node::new(index, epoch, network.rng.random());
            network.nodes.push(node);
            let at = network.rng.random_range(0..1_000);
            network.at(at, Event::Tick(index));
        }
        network
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

    /// Lets time pass until `so`; how long it took, in milliseconds, and nothing when it takes longer than `at_most_ms`.
    pub(crate) fn until(&mut self, at_most_ms: u64, so: impl Fn(&Self) -> bool) -> Option<u64> {
        let begun = self.now_ms;
        while !so(self) {
            if self.now_ms - begun >= at_most_ms {
                return None;
            }
            self.pass(TICK_MS);
        }
        Some(self.now_ms - begun)
    }

    /// Kills the process without a word.
    pub(crate) fn kill(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.up = false;
        let peers: Vec<(usize, u64)> = std::mem::take(&mut node.links).into_iter().collect();
        self.silence(index, peers);
    }

    /// Starts the process again: it knows nothing but the first gateway.
    pub(crate) fn start(&mut self, index: usize) {
        let epoch = self.nodes[index].epoch + 1;
        let (sent, sent_bytes) = (self.nodes[index].sent, self.nodes[index].sent_bytes);
        self.nodes[index] = Node::new(index, epoch, self.rng.random());
        (self.nodes[index].sent, self.nodes[index].sent_bytes) = (sent, sent_bytes);
        self.at(TICK_MS, Event::Tick(index));
    }

    /// Stops the process for a while, as SIGSTOP does, or wakes it up.
    pub(crate) fn sleep(&mut self, index: usize, asleep: bool) {
        self.nodes[index].asleep = asleep;
        if asleep {
            let peers: Vec<(usize, u64)> = self.nodes[index].links.iter().map(|(p, l)| (*p, *l)).collect();
            self.silence(index, peers);
        } else {
            // What its links lead to is gone, as it finds out at once.
            let gone: Vec<usize> = self.nodes[index]
                .links
                .iter()
                .filter(|(peer, link)| self.nodes[**peer].links.get(&index) != Some(link))
                .map(|(peer, _)| *peer)
                .collect();
            gone.into_iter().for_each(|peer| self.lose(index, peer));
        }
    }

    /// Says goodbye, and ends.
    pub(crate) fn leave(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.membership.leave(node.awake_ms);
        self.send(index);
        let peers: Vec<(usize, u64)> = std::mem::take(&mut self.nodes[index].links).into_iter().collect();
        self.nodes[index].up = false;
        // Links close in order; datagrams that are under way arrive before.
        for (peer, link) in peers {
            self.at(
                2 * self.paths.delay_ms + self.paths.jitter_ms,
                Event::Silence { at: peer, peer: index, link },
            );
        }
    }

    /// From now on nothing passes between these.
    pub(crate) fn cut(&mut self, a: usize, b: usize) {
        self.cut.insert((a.min(b), a.max(b)));
        for (at, peer) in [(a, b), (b, a)] {
            if let Some(&link) = self.nodes[at].links.get(&peer) {
                self.at(SILENCE_MS, Event::Silence { at, peer, link });
            }
        }
    }

    /// Everything passes again.
    pub(crate) fn heal(&mut self) {
        self.cut.clear();
    }

    /// Everybody who runs says of everybody else who runs: alive, in its run of today, and linked.
    pub(crate) fn agrees(&self) -> bool {
        let up: Vec<usize> = (0..self.nodes.len()).filter(|index| self.nodes[*index].up).collect();
        let last = self.dissenter.get();
        let begin_with = up.contains(&last).then_some(&last);
        let dissenter = begin_with.into_iter().chain(&up).find(|at| !self.sees_all(**at, &up));
        self.dissenter.set(*dissenter.unwrap_or(&0));
        dissenter.is_none()
    }

    fn sees_all(&self, at: usize, up: &[usize]) -> bool {
        let node = &self.nodes[at];
        let today = |member: &Member| {
            let peer = &self.nodes[index_of(member.run.node)];
            member.state == MemberState::Alive && peer.up && peer.epoch == member.run.epoch
        };
        let linked = |peer: usize| {
            self.is_cut(at, peer)
                || (node.links.contains_key(&peer) && self.nodes[peer].links.contains_key(&at))
        };
        up.iter().all(|&peer| peer == at || linked(peer))
            && node.membership.members().filter(today).count() == up.len() - 1
    }

    /// What everybody who runs says of this one, where all say the same.
    pub(crate) fn all_say(&self, index: usize, state: MemberState) -> bool {
        let mut others = self.nodes.iter().enumerate().filter(|(at, node)| *at != index && node.up);
        others.all(|(_, node)| node.membership.member(id(index)).is_some_and(|member| member.state == state))
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Tick(index) => self.tick(index),
            Event::Datagram { from, to, link, bytes } => {
                let is_cut = self.is_cut(from, to);
                let node = &mut self.nodes[to];
                if node.up && !node.asleep && !is_cut && node.links.get(&from) == Some(&link) {
                    let taken = node.membership.receive(id(from), &bytes, node.awake_ms);
                    taken.expect("gateways send what gateways take");
                    self.send(to);
                }
            }
            Event::Dialled { from, to, epochs } => {
                let as_before = (self.nodes[from].epoch, self.nodes[to].epoch) == epochs;
                if !as_before || !self.reachable(from, to) {
                    return self.fail(from, to);
                }
                if self.nodes[from].links.contains_key(&to) || self.nodes[to].links.contains_key(&from) {
                    // They have crossed, or the other end has not noticed yet that the old one is gone.
                    return self.fail(from, to);
                }
                self.linked += 1;
                let link = self.linked;
                for (at, peer) in [(from, to), (to, from)] {
                    let run = self.nodes[peer].run(peer);
                    let node = &mut self.nodes[at];
                    node.links.insert(peer, link);
                    node.dials.remove(&peer);
                    node.membership.link_up(&run, node.awake_ms);
                    self.send(at);
                }
            }
            Event::Failed { from, to, epoch } => {
                if self.nodes[from].epoch == epoch {
                    self.fail(from, to);
                }
            }
            Event::Silence { at, peer, link } => {
                let heard = self.nodes[peer].links.get(&at) == Some(&link)
                    && !self.nodes[peer].asleep
                    && !self.is_cut(at, peer);
                if self.nodes[at].links.get(&peer) == Some(&link) && !heard && !self.nodes[at].asleep {
                    self.lose(at, peer);
                }
            }
        }
    }

    fn tick(&mut self, index: usize) {
        let now_ms = self.now_ms;
        let node = &mut self.nodes[index];
        if !node.up {
            return;
        }
        if !node.asleep {
            node.awake_ms += TICK_MS;
            node.membership.tick(node.awake_ms);
            node.membership.changes(node.awake_ms);
            self.send(index);
            self.dial(index, now_ms);
        }
        self.at(TICK_MS, Event::Tick(index));
    }

    fn dial(&mut self, index: usize, now_ms: u64) {
        let node = &self.nodes[index];
        let mut wanted: BTreeSet<usize> = node.membership.to_dial().map(|run| index_of(run.node)).collect();
        if index != node.start && !node.links.contains_key(&node.start) {
            wanted.insert(node.start);
        }
        let node = &mut self.nodes[index];
        node.dials.retain(|peer, dial| wanted.contains(peer) || dial.under_way);
        for peer in wanted {
            let node = &mut self.nodes[index];
            let dial = node.dials.entry(peer).or_insert_with(|| {
                let patience = if peer == node.start { 0 } else { patience_ms(id(index), id(peer)) };
                Dial { next_ms: now_ms + patience, ..Dial::default() }
            });
            if dial.under_way || dial.next_ms > now_ms {
                continue;
            }
            dial.under_way = true;
            let epoch = node.epoch;
            if self.reachable(index, peer) {
                let trips = 3 * self.paths.delay_ms;
                let late = if self.rng.random_bool(self.paths.loss) { 1_000 } else { 0 };
                let epochs = (epoch, self.nodes[peer].epoch);
                self.at(trips + late, Event::Dialled { from: index, to: peer, epochs });
            } else {
                self.at(DIAL_MS, Event::Failed { from: index, to: peer, epoch });
            }
        }
    }

    fn fail(&mut self, from: usize, to: usize) {
        let now_ms = self.now_ms;
        let jitter = self.rng.random_range(0.5..1.0);
        if let Some(dial) = self.nodes[from].dials.get_mut(&to) {
            dial.under_way = false;
            dial.pause_ms = (dial.pause_ms * 2).clamp(FIRST_PAUSE_MS, LONGEST_PAUSE_MS);
            dial.next_ms = now_ms + (dial.pause_ms as f64 * jitter) as u64;
        }
    }

    fn lose(&mut self, at: usize, peer: usize) {
        let node = &mut self.nodes[at];
        node.links.remove(&peer);
        node.membership.link_down(id(peer));
    }

    fn silence(&mut self, index: usize, peers: Vec<(usize, u64)>) {
        for (peer, link) in peers {
            self.at(SILENCE_MS, Event::Silence { at: peer, peer: index, link });
        }
    }

    fn send(&mut self, from: usize) {
        while let Some((node, bytes)) = self.nodes[from].membership.poll_datagram() {
            let to = index_of(node);
            let Some(&link) = self.nodes[from].links.get(&to) else { continue };
            self.nodes[from].sent += 1;
            self.nodes[from].sent_bytes += bytes.len() as u64;
            if self.rng.random_bool(self.paths.loss) {
                continue;
            }
            let delay = self.paths.delay_ms + self.rng.random_range(0..=self.paths.jitter_ms);
            self.at(delay, Event::Datagram { from, to, link, bytes });
        }
    }

    fn reachable(&self, a: usize, b: usize) -> bool {
        let awake = |index: usize| self.nodes[index].up && !self.nodes[index].asleep;
        awake(a) && awake(b) && !self.is_cut(a, b)
    }

    fn is_cut(&self, a: usize, b: usize) -> bool {
        self.cut.contains(&(a.min(b), a.max(b)))
    }

    fn at(&mut self, in_ms: u64, event: Event) {
        self.agenda.put(self.now_ms + in_ms, event);
    }
}

impl Node {
    fn new(index: usize, epoch: u64, seed: u64) -> Self {
        let run = Run::new(id(index), epoch, &name(index), &[address(index)]);
        Self {
            membership: Membership::new(run, seed),
            epoch,
            up: true,
            awake_ms: 0,
            asleep: false,
            links: BTreeMap::new(),
            start: 0,
            dials: BTreeMap::new(),
            sent: 0,
            sent_bytes: 0,
        }
    }

    fn run(&self, index: usize) -> Run {
        Run::new(id(index), self.epoch, &name(index), &[address(index)])
    }
}

/// The id of a gateway: its number, with the order of ids being none of the order of numbers.
pub(crate) fn id(index: usize) -> NodeId {
    let mut bytes = [0; 16];
    bytes[0] = (index as u8).wrapping_mul(151);
    bytes[8..].copy_from_slice(&(index as u64).to_be_bytes());
    NodeId(bytes)
}

fn index_of(node: NodeId) -> usize {
    u64::from_be_bytes(node.0[8..].try_into().expect("eight bytes")) as usize
}

fn name(index: usize) -> String {
    format!("gateway-{index}")
}

fn address(index: usize) -> String {
    format!("gateway-{index}.example.org:9443")
}

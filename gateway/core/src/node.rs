//! One gateway's routing: connections in, connections out.

mod absent;
mod announce;
mod answers;
mod body;
mod groups;
mod keep;
mod link;
mod members;
mod messages;
mod offers;
mod own;
mod parking;
mod recovery;
mod repair;
mod retained;
mod rpc;
mod session;
mod settle;
mod system;
mod values;
mod wanted;

use crate::bitset::BitSet;
use crate::calls::Calls;
use crate::conn::{Conn, Conns, Link, Role, Session};
use crate::counters::{Counters, Traffic};
use crate::groups::Groups;
use crate::hash::HashMap;
use crate::interest::InterestLog;
use crate::key::{ConnKey, MessageClass, NodeId, SubscriptionKey};
use crate::membership::{Change, Membership, Run};
use crate::origins::{Mark, Origins, Whose};
use crate::procedures::Procedures;
use crate::publishers::Publishers;
use crate::queue::Queue;
use crate::retained::Retained;
use crate::routes::Routes;
use crate::time::{AttentiveClock, HybridClock, Now};
use crate::topics::Topics;
use body::Body;
use bytes::Bytes;
pub(crate) use groups::Parked;
use macula_proto::frame::FrameError;
use macula_proto::kind::{self, StreamKind};
use macula_proto::limits;
use macula_proto::v1::{Close, Code, Credit, InterestDelta, Moving, Refused};
use macula_proto::wire::Malformed;
use recovery::Recovery;
use std::cell::LazyCell;
use std::collections::VecDeque;

/// The two machines of a gateway, with one data thread: what is wanted and offered, and what moves.
///
/// How it is driven: [`Node::open_session`] or [`Node::open_link`] for a new connection;
/// [`Node::receive`] for what its streams bring; [`Node::tick`] ten times a second. After any of these, drain
/// [`Node::poll_ready`] and send what [`Node::take`] gives for each stream named, and drain
/// [`Node::poll_notice`]. [`Node::remove`] ends a connection. Bytes of a stream must come in order.
#[derive(Debug)]
pub struct Node {
    identity: Identity,
    clock: HybridClock,
    attentive: AttentiveClock,
    conns: Conns,
    topics: Topics,
    publishers: Publishers,
    routes: Routes,
    interest: InterestLog,
    groups: Groups,
    procedures: Procedures,
    calls: Calls,
    system: system::Streams,
    retained: Retained,
    readings: retained::Readings,
    repaired_ms: u64,
    membership: Membership,
    announcements: announce::Announcements,
    /// Links that are up.
    links: Vec<ConnKey>,
    /// The same by peer.
    linked: HashMap<NodeId, ConnKey>,
    /// Links whose connection is lost, by peer.
    parked: HashMap<NodeId, ConnKey>,
    /// Events that have come from clients here.
    events: u64,
    /// Peers for which nothing is held any more.
    parted: HashMap<NodeId, parking::Parted>,
    /// Sessions by publisher.
    sessions: HashMap<[u8; 16], ConnKey>,
    /// Sessions by the name under which another process may take them over.
    named: HashMap<String, ConnKey>,
    origins: Origins,
    /// Segment of the events that are being received, and the last of them.
    segment: (Mark, u64),
    recovery: Option<Recovery>,
    /// There was a recovery: there is one after a start.
    recovered: bool,
    /// Subscriptions that were made again since the start.
    claims: Vec<SubscriptionKey>,
    /// A peer has not held everything for those who come back.
    unheld: bool,
    /// Sessions that were told so while peers did not know yet what they want.
    unsure: Vec<recovery::Unsure>,
    barriers: Vec<Barrier>,
    ready: Vec<(ConnKey, StreamKind)>,
    notices: VecDeque<Notice>,
    /// Bytes in all queues.
    queued: usize,
    counters: Counters,
    /// Largest payload that sessions may send.
    payload_bytes: usize,
    /// Bytes of frames that have begun to arrive, on all connections.
    unfinished: usize,
    /// Of the message under way.
    body: Body,
}

/// Who a gateway is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Stable across restarts.
    pub node: NodeId,
    /// For people.
    pub name: String,
    /// Namespace that sessions and peers must name too.
    pub realm: String,
    /// Run of this process; higher is newer.
    pub epoch: u64,
    /// Addresses that peers dial, host:port.
    pub advertise: Vec<String>,
}

/// Something that the shell does or tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A session said Hello and was welcomed.
    SessionJoined {
        /// Its connection.
        conn: ConnKey,
        /// Name and version of the client.
        client: String,
    },
    /// A session ended.
    SessionLeft {
        /// Its connection.
        conn: ConnKey,
    },
    /// A link is up and carries interest.
    LinkUp {
        /// Its connection.
        conn: ConnKey,
        /// The peer.
        node: NodeId,
        /// The peer's name.
        name: String,
    },
    /// A link that was up is gone.
    LinkDown {
        /// The peer.
        node: NodeId,
        /// The peer's name.
        name: String,
    },
    /// What is known of a member of the mesh has changed.
    Member(Change),
    /// Send what the control stream holds, then close the connection with this code and text.
    Close {
        /// The connection.
        conn: ConnKey,
        /// Why.
        code: Code,
        /// Why, for people.
        message: String,
        /// The link led to this gateway itself: do not dial that address again.
        own_address: bool,
        /// The gateway at the other end of a link, if it has said who it is.
        node: Option<NodeId>,
    },
}

/// Answer to a subscription or registration that waits for peers.
#[derive(Debug)]
struct Barrier {
    conn: ConnKey,
    request: macula_proto::v1::acknowledged::Request,
    version: u64,
    deadline_ms: u64,
    /// Place of a link whose peer had not applied it at the last look: the next look begins there.
    next: usize,
}

/// A connection breaks the protocol; it is closed with this code and text.
#[derive(Debug)]
struct Violation {
    code: Code,
    message: String,
}

impl Node {
    /// Bytes in all queues together; over it, policies act as if every queue with more than a
    /// small share of them were full.
    const QUEUED_LIMIT: usize = 256 << 20;
    /// Bytes of frames that have begun to arrive; over it, a connection with a large one among them is closed.
    const UNFINISHED_LIMIT: usize = 256 << 20;
    /// What a frame that has begun to arrive may take even then: all connections together take little so.
    const UNFINISHED_SHARE: usize = 64 << 10;

    /// A gateway without connections.
    pub fn new(identity: Identity) -> Self {
        let Identity { node, epoch, name, advertise, .. } = &identity;
        let membership = Membership::new(Run::new(*node, *epoch, name, advertise), node.seed() ^ epoch);
        Self {
            identity,
            clock: HybridClock::default(),
            attentive: AttentiveClock::default(),
            conns: Conns::with_key(),
            topics: Topics::default(),
            publishers: Publishers::default(),
            routes: Routes::new(),
            interest: InterestLog::default(),
            groups: Groups::default(),
            procedures: Procedures::new(),
            calls: Calls::default(),
            system: system::Streams::default(),
            retained: Retained::default(),
            readings: retained::Readings::default(),
            repaired_ms: 0,
            membership,
            announcements: announce::Announcements::default(),
            links: Vec::new(),
            linked: HashMap::default(),
            parked: HashMap::default(),
            events: 0,
            parted: HashMap::default(),
            sessions: HashMap::default(),
            named: HashMap::default(),
            origins: Origins::default(),
            segment: (Mark::default(), 0),
            recovery: None,
            recovered: false,
            claims: Vec::new(),
            unheld: false,
            unsure: Vec::new(),
            barriers: Vec::new(),
            ready: Vec::new(),
            notices: VecDeque::new(),
            queued: 0,
            counters: Counters::default(),
            payload_bytes: limits::PAYLOAD_BYTES,
            unfinished: 0,
            body: Body::default(),
        }
    }

    /// Sessions may send payloads of so many bytes, and no more than [`limits::PAYLOAD_BYTES`].
    pub fn limit_payload(&mut self, bytes: usize) {
        self.payload_bytes = bytes.min(limits::PAYLOAD_BYTES);
    }

    /// Who this is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// A client has connected; its Hello comes first.
    pub fn open_session(&mut self) -> ConnKey {
        let heard = self.attentive.read();
        self.conns.insert(Conn::new(Role::Session(Session::default()), heard))
    }

    /// A gateway has connected or was dialled; both sides say LinkHello first, the one that accepts begins.
    pub fn open_link(&mut self, dialled: bool) -> ConnKey {
        let heard = self.attentive.read();
        let key = self.conns.insert(Conn::new(Role::Link(Link::new(dialled)), heard));
        let origin = self.origins.add(Whose::Link(key), 0);
        if let Some(link) = self.link_mut(key) {
            link.origin = origin;
        }
        if !dialled {
            self.send_control(key, kind::LINK_HELLO, &self.link_hello());
        }
        key
    }

    /// Takes the next bytes of a stream.
    #[inline]
    pub fn receive(&mut self, key: ConnKey, stream: StreamKind, bytes: &[u8], now: Now) {
        let heard = self.attentive.read();
        let Some(conn) = self.conns.get_mut(key) else { return };
        if conn.closing || conn.is_away() {
            return;
        }
        conn.heard_ms = heard;
        let link = conn.is_link();
        conn.traffic.bytes_in += bytes.len() as u64;
        let inbound = conn.inbound(stream);
        inbound.received += bytes.len() as u64;
        if inbound.window > 0 && inbound.received > inbound.granted {
            let message = format!("{stream:?} stream: more bytes than credit was granted for");
            return self.fail(key, Code::ResourceExhausted, message);
        }
        self.counters.bytes_in += bytes.len() as u64;
        let mut splitter = std::mem::replace(&mut inbound.splitter, macula_proto::frame::Splitter::new(0));
        self.unfinished -= splitter.held();
        let (mut frames, mut held) = (inbound.position, inbound.held);
        let peer_events = link && stream == StreamKind::Event;
        let mut continued = !peer_events || conn.link().is_some_and(|link| link.continued);
        if peer_events {
            self.begin_segment(key);
        }
        let result = splitter.split(bytes, |kind, body| {
            if !continued {
                (continued, (frames, held)) = (true, self.first_frame(key, kind, body, frames, now)?);
                return Ok(());
            }
            frames += 1;
            match stream {
                StreamKind::Event if frames <= held => self.held_frame(key, kind, body, now),
                StreamKind::Control if link => self.link_control(key, kind, body, now),
                StreamKind::Control => self.session_control(key, kind, body, now),
                StreamKind::Rpc => self.rpc_frame(key, kind, body, now),
                StreamKind::Event => self.message_frame(key, link, MessageClass::Event, kind, body, now),
                StreamKind::Telemetry => {
                    self.message_frame(key, link, MessageClass::Telemetry, kind, body, now)
                }
            }
        });
        self.end_segment(link.then_some(frames));
        if let Err(violation) = result {
            if let Some(link) = self.link_mut(key) {
                link.broken = true;
            }
            let live = self.conns.get(key).is_some_and(Conn::live);
            let text =
                if live { format!("{stream:?} stream: {}", violation.message) } else { violation.message };
            return self.fail(key, violation.code, text);
        }
        if let Some(conn) = self.conns.get_mut(key) {
            let inbound = conn.inbound(stream);
            self.unfinished += splitter.held();
            let crowded =
                self.unfinished > Self::UNFINISHED_LIMIT && splitter.held() > Self::UNFINISHED_SHARE;
            (inbound.splitter, inbound.position) = (splitter, frames);
            if crowded {
                let text = format!("{stream:?} stream: large frames arrive on too many connections at once");
                return self.fail(key, Code::ResourceExhausted, text);
            }
            self.grant(key, stream);
            if stream == StreamKind::Event && !link {
                self.tell_accepted(key);
            }
        }
        self.tell_settled();
    }

    /// The next stream that has something to send; each is named once until [`Node::take`] has given all.
    pub fn poll_ready(&mut self) -> Option<(ConnKey, StreamKind)> {
        self.ready.pop()
    }

    /// The next notice.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// The next bytes to send on a stream; at `None` the stream waits to be named again.
    pub fn take(&mut self, key: ConnKey, stream: StreamKind, now: Now) -> Option<Bytes> {
        let conn = self.conns.get_mut(key)?;
        let Some(queue) = conn.queue(stream) else {
            let batch = conn.take_control();
            conn.control_announced = batch.is_some();
            return batch;
        };
        let before = queue.weight();
        let batch = queue.take(now.elapsed_ms, &mut self.origins);
        queue.announced = batch.is_some();
        self.queued = self.queued + queue.weight() - before;
        self.counters.expired += queue.take_expired();
        let bytes = batch.as_ref().map_or(0, |batch| batch.len() as u64);
        self.counters.bytes_out += bytes;
        conn.traffic.bytes_out += bytes;
        self.release(key, stream, now);
        if let Some(batch) = &batch {
            self.refill(key, stream, batch.len(), now);
        }
        self.tell_settled();
        batch
    }

    /// True when something waits to be sent on a class stream, now or when the receiver has granted credit for it.
    pub fn waits(&mut self, key: ConnKey, stream: StreamKind) -> bool {
        self.conns.get_mut(key).and_then(|conn| conn.queue(stream)).is_some_and(|queue| queue.waits())
    }

    /// The other end has finished a class stream: it had nothing more to send.
    pub fn finished(&mut self, key: ConnKey, stream: StreamKind) {
        if stream == StreamKind::Event
            && let Some(link) = self.link_mut(key)
        {
            link.finished = true;
        }
    }

    /// Does what is due: deadlines, pings, publishers that have waited long enough, forgotten aliases.
    pub fn tick(&mut self, now: Now) {
        let attentive = self.attentive.advance(now);
        self.fail_overdue_calls(now);
        self.pump_all();
        self.answer_barriers(now);
        self.tick_retained(now);
        self.compare_stores(now);
        let keys: Vec<ConnKey> = self.conns.keys().collect();
        for key in keys {
            self.release(key, StreamKind::Event, now);
            self.release(key, StreamKind::Telemetry, now);
            self.check_link(key, attentive, now);
            self.check_session(key, attentive, now);
        }
        self.lift_all_fences(now);
        self.check_recovery(now);
        self.tick_membership(attentive);
        self.publish_news(now);
        self.tell_settled();
        self.sweep(now);
    }

    /// The connection is gone. A session that its client may resume stays for a while, and what a peer has to receive.
    pub fn remove(&mut self, key: ConnKey, now: Now) {
        if !self.keep_session(key, now) {
            self.park_link(key, now);
            self.detach(key, now);
            self.conns.remove(key);
        }
        self.tell_settled();
    }

    /// Ends a connection with a code and a text that its other end is told.
    pub fn fail(&mut self, key: ConnKey, code: Code, message: String) {
        self.fail_with(key, code, message, false);
    }

    /// Tells all sessions to go elsewhere, and peers that nothing is to be held for this gateway once it is gone.
    pub fn say_moving(&mut self, retry_after_ms: u32) {
        let sessions: Vec<ConnKey> = self.sessions.values().copied().collect();
        for key in sessions.into_iter().chain(self.links.clone()) {
            self.send_control(key, kind::MOVING, &Moving { retry_after_ms });
        }
    }

    /// Totals since the start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// How much there is of everything now.
    pub fn gauges(&self) -> Gauges {
        Gauges {
            sessions: self.sessions.len(),
            kept: self.conns.values().filter(|conn| !conn.is_link() && conn.is_away()).count(),
            links: self.links.len(),
            parked: self.parked.len(),
            parked_bytes: self
                .parked
                .values()
                .filter_map(|key| self.conns.get(*key))
                .flat_map(Conn::weights)
                .sum(),
            subscriptions: self.routes.subscriptions().count(),
            registrations: self.procedures.providers().filter(|provider| !provider.link).count(),
            topics: self.topics.len(),
            retained: self.retained.len(),
            retained_bytes: self.retained.bytes(),
            tombstones: self.retained.tombstones(),
            queued_bytes: self.queued,
            calls: self.calls.len(),
            groups: self.groups.len(),
            recoverable: self.recovery.as_ref().map_or(0, Recovery::len),
        }
    }

    /// Version of what peers are told of this gateway's interest, and what it comes to.
    pub fn interest(&self) -> (u64, u64) {
        (self.interest.version(), self.interest.sum())
    }

    /// The same of a peer's interest as it is known here; when both are quiet it is what the peer itself says.
    pub fn interest_of(&self, node: NodeId) -> Option<(u64, u64)> {
        let key = self.link_to(node)?;
        Some((self.conns.get(key)?.link()?.version, self.sum_of(key)))
    }

    /// Peers whose link is up.
    pub fn peers(&self) -> Vec<Peer> {
        let peer = |key: &ConnKey| {
            let conn = self.conns.get(*key)?;
            let link = conn.link()?;
            Some(Peer {
                conn: *key,
                node: link.node,
                name: link.name.clone(),
                epoch: link.epoch,
                dialled: link.dialled,
                synced: link.snapshot,
                round_trip_ms: link.round_trip_ms,
                up_ms: link.up_ms,
                traffic: conn.traffic,
                queued: conn.weights(),
            })
        };
        self.links.iter().filter_map(peer).collect()
    }

    /// The peer of a link that is up.
    pub fn peer(&self, key: ConnKey) -> Option<NodeId> {
        let link = self.conns.get(key)?.link()?;
        link.live.then_some(link.node)
    }

    fn fail_with(&mut self, key: ConnKey, code: Code, message: String, own_address: bool) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        if conn.closing {
            return;
        }
        conn.closing = true;
        if conn.live() || conn.is_link() {
            conn.control(kind::CLOSE, &Close { code: code.into(), message: message.clone() });
        } else {
            let refused = Refused { code: code.into(), message: message.clone(), retry_after_ms: 0 };
            conn.control(kind::REFUSED, &refused);
        }
        let node = conn.link().filter(|link| !link.name.is_empty()).map(|link| link.node);
        self.announce_control(key);
        self.notices.push_back(Notice::Close { conn: key, code, message, own_address, node });
    }

    /// Takes a connection out of all tables; does nothing the second time.
    fn detach(&mut self, key: ConnKey, now: Now) {
        let orphaned = self.orphaned_shares(key, None);
        let Some(conn) = self.conns.get_mut(key) else { return };
        conn.closing = true;
        let mut released = Vec::new();
        for (index, queue) in conn.queues().enumerate() {
            self.queued -= queue.weight();
            queue.discard(&mut self.origins);
            let class = if index == 1 { MessageClass::Event } else { MessageClass::Telemetry };
            released.extend(queue.abandon().into_iter().map(|publisher| (publisher, class)));
            *queue = Queue::new(class.wire(), 0);
        }
        self.unfinished -= conn.drop_unfinished();
        self.forget_inbound(key, now);
        for (publisher, class) in released {
            self.unhold(publisher, class);
        }
        self.abandon_readings(key);
        self.detach_session(key, now);
        self.detach_link(key, now);
        self.share_again(orphaned, now);
        self.fail_orphaned_calls(key);
        self.barriers.retain(|barrier| barrier.conn != key);
    }

    fn send_control(&mut self, key: ConnKey, kind: u8, message: &impl prost::Message) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        if conn.closing || conn.is_away() {
            return;
        }
        if !conn.control(kind, message) {
            let message = "the control stream is not read".to_owned();
            return self.fail(key, Code::ResourceExhausted, message);
        }
        self.announce_control(key);
    }

    fn announce_control(&mut self, key: ConnKey) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        if conn.has_control() && !conn.control_announced {
            conn.control_announced = true;
            self.ready.push((key, StreamKind::Control));
        }
    }

    fn announce(&mut self, key: ConnKey, stream: StreamKind) {
        let Some(queue) = self.conns.get_mut(key).and_then(|conn| conn.queue(stream)) else { return };
        if !queue.announced && queue.has_sendable() {
            queue.announced = true;
            self.ready.push((key, stream));
        }
    }

    /// Grants credit for what was received, unless the session's publisher has to wait.
    #[inline]
    fn grant(&mut self, key: ConnKey, stream: StreamKind) {
        let Some(class) = stream.class() else { return };
        let Some(conn) = self.conns.get_mut(key) else { return };
        let inbound = conn.inbound(stream);
        let total = inbound.received + inbound.window;
        if total - inbound.granted < inbound.window / 4 {
            return;
        }
        if let (Some(session), Some(class)) = (conn.session(), MessageClass::of(class))
            && session.live
            && self.publishers.get(session.publisher).held[class as usize] > 0
        {
            return;
        }
        conn.inbound(stream).granted = total;
        self.send_control(key, kind::CREDIT, &Credit { class: class.into(), total });
    }

    /// Takes a Credit of the other end.
    fn on_credit(&mut self, key: ConnKey, credit: Credit) -> Result<(), Violation> {
        let stream =
            StreamKind::of(credit.class()).ok_or_else(|| Violation::invalid("credit for no class"))?;
        if let Some(queue) = self.conns.get_mut(key).and_then(|conn| conn.queue(stream)) {
            queue.grant(credit.total);
        }
        self.announce(key, stream);
        Ok(())
    }

    /// Tells all peers of a change of interest.
    fn announce_interest(&mut self, delta: Option<InterestDelta>) {
        let Some(delta) = delta else { return };
        for index in 0..self.links.len() {
            self.send_control(self.links[index], kind::INTEREST_DELTA, &delta);
        }
    }

    /// Forgets topics and publishers that nobody refers to, everywhere.
    fn sweep(&mut self, now: Now) {
        // A queued frame names only what its stream was told, and that while it was queued.
        let queued = |told: fn(&Queue) -> &BitSet| {
            let conns = &self.conns;
            LazyCell::new(move || {
                let mut queued = BitSet::default();
                conns.values().flat_map(Conn::backlogged).for_each(|queue| queued.extend(told(queue)));
                queued
            })
        };
        let (topics, publishers) =
            (queued(|queue| &queue.told_topics), queued(|queue| &queue.told_publishers));
        let publishers =
            self.publishers.sweep(now.elapsed_ms, |alias| publishers.contains(alias), &mut self.origins);
        let crowded = self.topics.len() > Topics::LIMIT / 2;
        let topics = if crowded { self.topics.sweep(|alias| topics.contains(alias)) } else { Vec::new() };
        if publishers.is_empty() && topics.is_empty() {
            return;
        }
        for queue in self.conns.values_mut().flat_map(Conn::queues) {
            topics.iter().for_each(|alias| queue.told_topics.remove(*alias));
            publishers.iter().for_each(|alias| queue.told_publishers.remove(*alias));
        }
    }
}

/// How much there is of everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Sessions that were welcomed.
    pub sessions: usize,
    /// Those of them whose connection is lost and that may be resumed.
    pub kept: usize,
    /// Links that are up.
    pub links: usize,
    /// Peers whose connection is lost and for which events are held.
    pub parked: usize,
    /// Bytes of those events.
    pub parked_bytes: usize,
    /// Subscriptions of local sessions.
    pub subscriptions: usize,
    /// Registrations of local sessions.
    pub registrations: usize,
    /// Topics with an alias.
    pub topics: usize,
    /// Retained values.
    pub retained: usize,
    /// Bytes of retained values, tombstones included.
    pub retained_bytes: usize,
    /// Retained values that were removed or are over, and are remembered as that.
    pub tombstones: usize,
    /// Bytes that wait to be sent, or to be acknowledged.
    pub queued_bytes: usize,
    /// Calls without an answer yet.
    pub calls: usize,
    /// Groups with members anywhere in the mesh.
    pub groups: usize,
    /// Events held for clients that come back after a start.
    pub recoverable: usize,
}

/// A peer whose link is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The link.
    pub conn: ConnKey,
    /// Its id.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Run of its process.
    pub epoch: u64,
    /// This gateway dialled the link.
    pub dialled: bool,
    /// Its interest is known here.
    pub synced: bool,
    /// Milliseconds from ping to pong.
    pub round_trip_ms: u64,
    /// When the link came up, in milliseconds since the gateway started.
    pub up_ms: u64,
    /// What it has carried.
    pub traffic: Traffic,
    /// Bytes that wait to be sent or acknowledged: rpc, events, telemetry.
    pub queued: [usize; 3],
}

impl Violation {
    fn invalid(message: impl Into<String>) -> Self {
        Self { code: Code::InvalidArgument, message: message.into() }
    }
}

impl From<FrameError> for Violation {
    fn from(error: FrameError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<Malformed> for Violation {
    fn from(error: Malformed) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<prost::DecodeError> for Violation {
    fn from(error: prost::DecodeError) -> Self {
        Self::invalid(error.to_string())
    }
}

/// What to do with a frame whose kind is not known here.
fn unknown(kind: u8) -> Result<(), Violation> {
    if kind >= kind::FIRST_SKIPPABLE {
        return Ok(());
    }
    Err(Violation::invalid(format!("a frame of kind {kind:#04x} has no place on this stream")))
}

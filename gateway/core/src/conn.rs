//! State of one connection: a client's session or a link to another gateway.

use crate::counters::Traffic;
use crate::hash::{HashMap, HashSet};
use crate::key::{ConnKey, MessageClass, NodeId, OriginKey, ProviderKey, SubscriptionKey};
use crate::pair::Candidate;
use crate::queue::Queue;
use crate::summed::Summed;
use crate::will::Will;
use bytes::Bytes;
use macula_proto::frame::{self, Splitter};
use macula_proto::kind::StreamKind;
use macula_proto::v1::{Class, Overflow, TopicAlias, Windows};
use macula_proto::{Pattern, limits};

/// One connection, whoever is at its other end.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) role: Role,
    /// Frames for the control stream. Not bounded by credit, but by [`Conn::CONTROL_LIMIT`].
    control: Vec<u8>,
    pub(crate) control_announced: bool,
    /// For rpc, events and telemetry.
    queues: [Queue; 3],
    inbound: [Inbound; 4],
    /// Its end has been decided; nothing more is taken from it.
    pub(crate) closing: bool,
    /// Attentive time at which it was last heard.
    pub(crate) heard_ms: u64,
    pub(crate) traffic: Traffic,
}

#[derive(Debug)]
pub(crate) enum Role {
    Session(Session),
    Link(Link),
}

/// What the other end is, once its first frame said so.
#[derive(Debug, Default)]
pub(crate) struct Session {
    pub(crate) live: bool,
    pub(crate) publisher: u32,
    pub(crate) client: String,
    pub(crate) subscriptions: HashMap<u32, SubscriptionKey>,
    pub(crate) registrations: HashMap<u32, ProviderKey>,
    /// Calls that it waits for.
    pub(crate) calls: usize,
    /// Last sequence that [`macula_proto::v1::Accepted`] named.
    pub(crate) accepted: u64,
    /// Last sequence that [`macula_proto::v1::Settled`] named.
    pub(crate) settled: u64,
    /// What its process shows to resume it.
    pub(crate) secret: Bytes,
    /// Name under which another process may take it over; empty for none.
    pub(crate) name: String,
    /// How long it is kept once its connection is lost.
    pub(crate) resume_ms: u32,
    /// Its connection is lost; it ends at this time unless it is resumed.
    pub(crate) kept_until_ms: Option<u64>,
    /// When it was asked for a sign of life, in attentive time.
    pub(crate) asked_ms: Option<u64>,
    /// What is published if it ends in any other way than by Close.
    pub(crate) will: Option<Box<Will>>,
    /// Subscriptions of the process before that this one has not claimed.
    pub(crate) unconfirmed: HashSet<u32>,
}

/// A link to a peer.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) live: bool,
    /// This gateway dialled it.
    pub(crate) dialled: bool,
    pub(crate) node: NodeId,
    pub(crate) name: String,
    pub(crate) epoch: u64,
    /// Name of the gateway in the peer's certificate, where one was checked.
    pub(crate) certified: Option<Box<str>>,
    /// It was dialled to reach this gateway and no other.
    pub(crate) expected: Option<NodeId>,
    /// When it came up, in milliseconds since the start.
    pub(crate) up_ms: u64,
    /// The peer's interest, and the version of it that we know.
    pub(crate) interest: Box<Summed>,
    pub(crate) offers: HashMap<Pattern, ProviderKey>,
    /// What an earlier run of the peer wanted and this one has not asked for yet, and until when that holds.
    pub(crate) inherited: HashMap<Pattern, Overflow>,
    pub(crate) inherited_until_ms: u64,
    /// Members of groups that an earlier run of the peer had and this one has not named yet; until then, too.
    pub(crate) awaited: HashSet<u64>,
    /// Events that had been logged for those who come back when it came up.
    pub(crate) logged: u64,
    /// Pattern and name of the groups that have members behind it.
    pub(crate) groups: HashSet<(String, String)>,
    pub(crate) snapshot: bool,
    /// The peer's run has told its interest on a connection before.
    pub(crate) told_before: bool,
    /// Nothing was held for the peer, and it has not told its interest since: up to which of the events of clients here it
    /// has been sent what it wants.
    pub(crate) sent_up_to: Option<u64>,
    /// The peer had not been sent everything: until then its clients may not have heard of that.
    pub(crate) missed_until_ms: u64,
    /// Version of the peer's interest that is known here.
    pub(crate) version: u64,
    /// Version of our interest that the peer has in its routes.
    pub(crate) applied: u64,
    /// Publishers that the peer has paused.
    pub(crate) paused: HashSet<(u32, MessageClass)>,
    pub(crate) pinged_ms: u64,
    pub(crate) round_trip_ms: u64,
    /// What settles the events that come from it.
    pub(crate) origin: OriginKey,
    /// Its connection is lost; what is held for the peer is given up at this time unless it comes back.
    pub(crate) parked_until_ms: Option<u64>,
    /// The peer has said that it stops: nothing is held for it once it is gone.
    pub(crate) leaving: bool,
    /// The peer has broken the protocol: its stream must not go on where it was.
    pub(crate) broken: bool,
    /// It goes on where another connection to this run of the peer ended, in both directions.
    pub(crate) resumed: bool,
    /// Events may have been sent to this run of the peer on a connection before.
    pub(crate) sent_before: bool,
    /// Events to the peer up to this position were held for its earlier run.
    pub(crate) held: u64,
    /// Nothing of what its earlier run wanted has been lost.
    pub(crate) whole: bool,
    /// The peer has said how far it has received our events, which may be sent since.
    pub(crate) begun: bool,
    /// Credit for events, until then.
    pub(crate) event_window: u64,
    /// The peer's event stream has begun, and has ended in order.
    pub(crate) continued: bool,
    pub(crate) finished: bool,
}

/// What comes in on one stream.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) splitter: Splitter,
    pub(crate) received: u64,
    /// Frames so far.
    pub(crate) position: u64,
    /// Publishes up to and with this sequence were sent before on another session.
    pub(crate) resent: u64,
    /// Frames up to this position were held for an earlier run of this gateway.
    pub(crate) held: u64,
    pub(crate) granted: u64,
    pub(crate) window: u64,
    /// Our aliases by the sender's.
    pub(crate) topics: Vec<Option<u32>>,
    pub(crate) publishers: Vec<Option<u32>>,
    /// Topics of a peer for which there was no room here, by its aliases.
    pub(crate) unplaced: HashMap<u32, TopicAlias>,
}

/// What an incoming stream has told that outlives its connection.
#[derive(Debug)]
pub(crate) struct Told {
    position: u64,
    held: u64,
    pub(crate) topics: Vec<Option<u32>>,
    pub(crate) publishers: Vec<Option<u32>>,
    unplaced: HashMap<u32, TopicAlias>,
}

/// Credit that a gateway grants, and that QUIC's windows lie above: see `macula-transport`.
pub(crate) const WINDOWS: Windows =
    Windows { rpc: limits::WINDOW_BYTES, event: limits::WINDOW_BYTES, telemetry: limits::WINDOW_BYTES };

impl Conn {
    /// Bytes of control frames that may wait: snapshots of a large mesh fit, a peer that never reads does not.
    pub(crate) const CONTROL_LIMIT: usize = 64 << 20;

    pub(crate) fn new(role: Role, heard_ms: u64) -> Self {
        // Control frames of a link hold the interest of a whole gateway.
        let control = match role {
            Role::Session(_) => limits::CONTROL_FRAME_BYTES,
            Role::Link(_) => limits::FRAME_BYTES,
        };
        let inbound = |window| Inbound {
            splitter: Splitter::new(if window == 0 { control } else { limits::FRAME_BYTES }),
            received: 0,
            position: 0,
            resent: 0,
            held: 0,
            granted: window,
            window,
            topics: Vec::new(),
            publishers: Vec::new(),
            unplaced: HashMap::default(),
        };
        Self {
            role,
            control: Vec::new(),
            control_announced: false,
            queues: [Class::Rpc, Class::Event, Class::Telemetry].map(|class| Queue::new(class, 0)),
            inbound: [0, WINDOWS.rpc, WINDOWS.event, WINDOWS.telemetry].map(inbound),
            closing: false,
            heard_ms,
            traffic: Traffic::default(),
        }
    }

    pub(crate) fn live(&self) -> bool {
        match &self.role {
            Role::Session(session) => session.live,
            Role::Link(link) => link.live,
        }
    }

    pub(crate) fn is_link(&self) -> bool {
        matches!(self.role, Role::Link(_))
    }

    pub(crate) fn session(&self) -> Option<&Session> {
        match &self.role {
            Role::Session(session) => Some(session),
            Role::Link(_) => None,
        }
    }

    pub(crate) fn session_mut(&mut self) -> Option<&mut Session> {
        match &mut self.role {
            Role::Session(session) => Some(session),
            Role::Link(_) => None,
        }
    }

    pub(crate) fn link(&self) -> Option<&Link> {
        match &self.role {
            Role::Link(link) => Some(link),
            Role::Session(_) => None,
        }
    }

    pub(crate) fn link_mut(&mut self) -> Option<&mut Link> {
        match &mut self.role {
            Role::Link(link) => Some(link),
            Role::Session(_) => None,
        }
    }

    /// The other end acknowledges events.
    pub(crate) fn keep_events(&mut self) {
        self.messages(MessageClass::Event).keeps = true;
    }

    /// The other end's first credit.
    pub(crate) fn open_windows(&mut self, windows: Windows) {
        let events = match &mut self.role {
            // Events wait until the peer has said where they begin.
            Role::Link(link) => {
                link.event_window = windows.event;
                0
            }
            Role::Session(_) => windows.event,
        };
        for (queue, total) in self.queues.iter_mut().zip([windows.rpc, events, windows.telemetry]) {
            queue.grant(total);
        }
    }

    /// True of a session that waits for its client to come back, or of a link that waits for its peer.
    pub(crate) fn is_away(&self) -> bool {
        match &self.role {
            Role::Session(session) => session.kept_until_ms.is_some(),
            Role::Link(link) => link.parked_until_ms.is_some(),
        }
    }

    pub(crate) fn queues(&mut self) -> impl Iterator<Item = &mut Queue> {
        self.queues.iter_mut()
    }

    /// Bytes that wait or were not acknowledged: rpc, events, telemetry.
    pub(crate) fn weights(&self) -> [usize; 3] {
        self.queues.each_ref().map(Queue::weight)
    }

    /// Queues that hold frames.
    pub(crate) fn backlogged(&self) -> impl Iterator<Item = &Queue> {
        self.queues.iter().filter(|queue| queue.weight() > 0)
    }

    /// The queue of a class stream; the control stream has none.
    #[inline]
    pub(crate) fn queue(&mut self, stream: StreamKind) -> Option<&mut Queue> {
        (stream as usize).checked_sub(1).map(|index| &mut self.queues[index])
    }

    pub(crate) fn events(&self) -> &Queue {
        &self.queues[MessageClass::Event as usize + 1]
    }

    #[inline]
    pub(crate) fn messages(&mut self, class: MessageClass) -> &mut Queue {
        &mut self.queues[class as usize + 1]
    }

    pub(crate) fn take_queue(&mut self, class: MessageClass) -> Queue {
        std::mem::replace(self.messages(class), Queue::new(class.wire(), 0))
    }

    pub(crate) fn put_queue(&mut self, class: MessageClass, queue: Queue) {
        *self.messages(class) = queue;
    }

    /// Forgets frames that have begun to arrive; how many bytes they were.
    pub(crate) fn drop_unfinished(&mut self) -> usize {
        self.inbound
            .iter_mut()
            .map(|inbound| std::mem::replace(&mut inbound.splitter, Splitter::new(0)).held())
            .sum()
    }

    /// Forgets what a stream has told, for one that goes on with it or begins anew.
    pub(crate) fn take_told(&mut self, stream: StreamKind) -> Told {
        let inbound = self.inbound(stream);
        Told {
            position: std::mem::take(&mut inbound.position),
            held: std::mem::take(&mut inbound.held),
            topics: std::mem::take(&mut inbound.topics),
            publishers: std::mem::take(&mut inbound.publishers),
            unplaced: std::mem::take(&mut inbound.unplaced),
        }
    }

    /// A stream goes on with what another has told.
    pub(crate) fn put_told(&mut self, stream: StreamKind, told: Told) {
        let inbound = self.inbound(stream);
        (inbound.position, inbound.held) = (told.position, told.held);
        (inbound.topics, inbound.publishers) = (told.topics, told.publishers);
        inbound.unplaced = told.unplaced;
    }

    /// Forgets the calls and answers that wait; how many bytes they were.
    pub(crate) fn reset_rpc(&mut self) -> usize {
        std::mem::replace(&mut self.queues[0], Queue::new(Class::Rpc, 0)).weight()
    }

    #[inline]
    pub(crate) fn inbound(&mut self, stream: StreamKind) -> &mut Inbound {
        &mut self.inbound[stream as usize]
    }

    /// Forgets the control frames that wait.
    pub(crate) fn clear_control(&mut self) {
        self.control.clear();
        self.control_announced = false;
    }

    /// Adds a control frame; false when the other end has let too many pile up.
    pub(crate) fn control(&mut self, kind: u8, message: &impl prost::Message) -> bool {
        frame::put_message(&mut self.control, kind, message);
        self.control.len() <= Self::CONTROL_LIMIT
    }

    pub(crate) fn has_control(&self) -> bool {
        !self.control.is_empty()
    }

    pub(crate) fn take_control(&mut self) -> Option<Bytes> {
        self.has_control().then(|| Bytes::from(std::mem::take(&mut self.control)))
    }
}

impl Inbound {
    /// Our alias for the sender's alias.
    #[inline]
    pub(crate) fn topic(&self, alias: u32) -> Option<u32> {
        self.topics.get(alias as usize).copied().flatten()
    }

    /// Our alias for the sender's alias.
    #[inline]
    pub(crate) fn publisher(&self, alias: u32) -> Option<u32> {
        self.publishers.get(alias as usize).copied().flatten()
    }
}

impl Link {
    pub(crate) fn new(dialled: bool) -> Self {
        Self {
            live: false,
            dialled,
            node: NodeId([0; 16]),
            name: String::new(),
            epoch: 0,
            certified: None,
            expected: None,
            up_ms: 0,
            interest: Box::default(),
            inherited: HashMap::default(),
            inherited_until_ms: 0,
            awaited: HashSet::default(),
            logged: 0,
            offers: HashMap::default(),
            groups: HashSet::default(),
            snapshot: false,
            told_before: false,
            missed_until_ms: 0,
            sent_up_to: None,
            version: 0,
            applied: 0,
            paused: HashSet::default(),
            pinged_ms: 0,
            round_trip_ms: 0,
            origin: OriginKey::default(),
            parked_until_ms: None,
            leaving: false,
            broken: false,
            resumed: false,
            sent_before: false,
            held: 0,
            whole: false,
            begun: false,
            event_window: 0,
            continued: false,
            finished: false,
        }
    }

    /// The peer will tell its interest for the first time, and nothing is held for it under that of an earlier run.
    pub(crate) fn is_fresh(&self) -> bool {
        !self.told_before && !self.snapshot && self.inherited.is_empty()
    }

    /// What decides which of two links of a pair stays.
    pub(crate) fn candidate(&self, own: NodeId) -> Candidate {
        let by_smaller = if self.dialled { own < self.node } else { self.node < own };
        Candidate { epoch: self.epoch, by_smaller }
    }
}

/// Puts `value` at `index`, growing the table; the old value there. `None` when the index is over `limit`.
pub(crate) fn assign(
    table: &mut Vec<Option<u32>>,
    index: u32,
    value: u32,
    limit: usize,
) -> Result<Option<u32>, ()> {
    let index = index as usize;
    if index >= limit {
        return Err(());
    }
    if index >= table.len() {
        table.resize(index + 1, None);
    }
    Ok(table[index].replace(value))
}

/// A connection whose key is known to be live or on its way out.
pub(crate) type Conns = slotmap::SlotMap<ConnKey, Conn>;

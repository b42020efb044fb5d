//! The time after a start in which clients of the run before come back: publishers send again what was not settled,
//! and subscribers ask for it, in whatever order they come.

use super::absent::Absent;
use super::messages::{Moving, tell_aliases};
use super::{Node, Parked, Violation};
use crate::hash::HashSet;
use crate::key::{ConnKey, GroupKey, MessageClass, NodeId, SubscriptionKey};
use crate::membership::{Member, MemberState};
use crate::origins::Mark;
use crate::queue::{Entry, Shared};
use crate::seen::Met;
use crate::time::Now;
use macula_proto::{Pattern, kind, wire};
use std::collections::VecDeque;

/// How long after its start a gateway takes clients for those of its run before. Longer than they take to reconnect,
/// with their longest wait between attempts.
const START_MS: u64 = 60_000;
/// How long events are held for subscribers that come back, from the first client on that does.
const WINDOW_MS: u64 = 10_000;
/// Bytes of events that are held; the oldest leave first. As much as four publishers keep by default.
const LOG_BYTES: usize = 64 << 20;
/// A group whose members come back gets nothing until none has come for so long: then a slot's events meet the member
/// that had them before, and knows which it has done. A guess, not measured: clients that lost the same gateway come back
/// within a second of each other, unless they were waiting between two attempts.
const QUIET_MS: u64 = 2_000;
/// How long no new member was heard of, when a gateway takes those that it knows for all. A guess: joining tells a newcomer
/// of others within some tenths of a second.
const NEWS_MS: u64 = 1_000;
/// A session that comes back is sent nothing of the log until it has made no subscription again for so long. For then all of
/// them are given each event together and in order: one after the other, the first would have the client take for known
/// what the second has not had. A tick; clients subscribe anew in one go.
const COMING_BACK_MS: u64 = 100;

/// Events held for subscribers that come back.
#[derive(Debug)]
pub(super) struct Recovery {
    until_ms: u64,
    log: VecDeque<Logged>,
    /// Events that had come from clients here when it began.
    before: u64,
    /// How many have left the log, and so the number of its first.
    left: u64,
    bytes: usize,
    /// Groups whose members come back.
    groups: Vec<Gathering>,
    /// Events for members that are not back.
    pub(super) absent: Vec<Absent>,
    /// Sessions that make their subscriptions again.
    sessions: Vec<Returning>,
    /// Since when all members that are known are linked.
    met_ms: Option<u64>,
}

/// A session that is given nothing yet.
#[derive(Debug)]
struct Returning {
    conn: ConnKey,
    /// When the last subscription was made again.
    since_ms: u64,
    /// Its subscriptions, and the number in the log of the first event that each gets.
    subscriptions: Vec<(SubscriptionKey, u64)>,
}

/// A group that is given nothing yet.
#[derive(Debug)]
struct Gathering {
    group: GroupKey,
    /// When the last member came.
    since_ms: u64,
    /// Number in the log of the first event that the group gets.
    from: u64,
}

impl Recovery {
    fn new(until_ms: u64, before: u64) -> Self {
        let (log, groups, absent, sessions) = (VecDeque::new(), Vec::new(), Vec::new(), Vec::new());
        Self { until_ms, log, before, left: 0, bytes: 0, groups, absent, sessions, met_ms: None }
    }

    /// How many events had come from clients here before those that are held, if all since it began are.
    pub(super) fn first(&self) -> Option<u64> {
        (self.left == 0).then_some(self.before)
    }

    /// Events that are held.
    pub(super) fn len(&self) -> usize {
        self.log.len()
    }

    /// How many were logged so far.
    pub(super) fn logged(&self) -> u64 {
        self.left + self.log.len() as u64
    }

    /// True when sessions are given their events later, from the log.
    pub(super) fn awaits_sessions(&self) -> bool {
        !self.sessions.is_empty()
    }

    /// True when this session is.
    pub(super) fn awaits(&self, conn: ConnKey) -> bool {
        self.sessions.iter().any(|known| known.conn == conn)
    }

    /// True when this group is given its events later, from the log.
    pub(super) fn gathers(&self, group: GroupKey) -> bool {
        self.groups.iter().any(|known| known.group == group)
    }
}

/// A session that was told a gap for what it missed before it came back. Peers learn a little later what it wants: when the
/// last of them has, there is another gap, for what they have not sent until then.
#[derive(Debug)]
pub(super) struct Unsure {
    conn: ConnKey,
    /// Of our interest.
    version: u64,
    peers: HashSet<NodeId>,
}

#[derive(Debug)]
struct Logged {
    topic: u32,
    publisher: u32,
    sequence: u64,
    stamp: u64,
    retained: bool,
    key: Box<str>,
    expires_ms: u64,
    message: Box<[u8]>,
    mark: Mark,
    /// It entered the mesh here.
    local: bool,
}

impl Node {
    /// A peer sends what it has held for an earlier run of this gateway.
    pub(super) fn open_recovery(&mut self, now: Now) {
        let until_ms = now.elapsed_ms + WINDOW_MS;
        self.recovered = true;
        self.recovery.get_or_insert_with(|| Recovery::new(until_ms, self.events)).until_ms = until_ms;
    }

    /// A peer has not held everything that an earlier run wanted: those who have come back are told, and those who will.
    pub(super) fn miss_held(&mut self, now: Now) {
        if now.elapsed_ms >= START_MS || std::mem::replace(&mut self.unheld, true) {
            return;
        }
        let claims = self.claims.iter().filter_map(|key| self.routes.subscription(*key));
        let mut conns: Vec<ConnKey> = claims.map(|subscription| subscription.conn).collect();
        conns.sort_unstable();
        conns.dedup();
        for key in conns {
            let Some(conn) = self.conns.get_mut(key) else { continue };
            conn.messages(MessageClass::Event).note_loss(None);
            self.announce(key, MessageClass::Event.stream());
            self.await_peers(key);
        }
    }

    /// There are other gateways, which this one has not met yet. Until it has, or ten seconds are over, nothing that it takes is
    /// settled: if it dies before, nobody may ever have known of it.
    pub fn expect_peers(&mut self) {
        self.recovery = Some(Recovery::new(WINDOW_MS, self.events));
    }

    /// True while what this gateway takes is not settled because it has not met the others.
    pub fn is_meeting(&self) -> bool {
        self.recovery.is_some() && !self.recovered
    }

    /// A client has come that was connected elsewhere, or to an earlier run of this gateway.
    pub(super) fn begin_recovery(&mut self, now: Now) {
        if !self.recovered && now.elapsed_ms < START_MS {
            self.recovered = true;
            let until_ms = now.elapsed_ms + WINDOW_MS;
            self.recovery.get_or_insert_with(|| Recovery::new(until_ms, self.events)).until_ms = until_ms;
        }
    }

    /// Holds an event that is under way for those who come back. It is settled when they have had their time.
    #[cold]
    pub(super) fn log(&mut self, moving: Moving<'_>, local: bool, now: Now) {
        let Some(recovery) = &mut self.recovery else { return };
        self.topics.refer_again(moving.topic);
        self.publishers.refer_again(moving.publisher);
        self.origins.refer(moving.mark);
        recovery.bytes += moving.message.len() + size_of::<Logged>();
        recovery.log.push_back(Logged {
            topic: moving.topic,
            publisher: moving.publisher,
            sequence: moving.sequence,
            stamp: moving.stamp,
            retained: moving.retained,
            key: moving.key.into(),
            expires_ms: moving.expires_ms,
            message: moving.message.into(),
            mark: moving.mark,
            local,
        });
        if recovery.bytes > LOG_BYTES {
            // Groups get what leaves, whoever of their members is there, and sessions.
            self.give_gathered(true, now);
            self.give_returned(true, now);
        }
        while let Some(recovery) = &mut self.recovery
            && recovery.bytes > LOG_BYTES
            && let Some(logged) = recovery.log.pop_front()
        {
            recovery.bytes -= logged.message.len() + size_of::<Logged>();
            recovery.left += 1;
            self.topics.release(logged.topic);
            self.publishers.release(logged.publisher, now.elapsed_ms);
            self.origins.release(logged.mark);
        }
    }

    /// Ends the time in which clients come back, and peers are met, when it is over.
    pub(super) fn check_recovery(&mut self, now: Now) {
        let Some(recovery) = &self.recovery else { return };
        let over = now.elapsed_ms >= recovery.until_ms || !self.recovered && self.has_met_all(now);
        self.give_gathered(over, now);
        self.give_returned(over, now);
        let Some(recovery) = self.recovery.take_if(|_| over) else { return };
        if now.elapsed_ms >= START_MS {
            self.claims = Vec::new();
        }
        recovery.absent.into_iter().for_each(|absent| self.give_back(absent, now));
        for logged in recovery.log {
            self.topics.release(logged.topic);
            self.publishers.release(logged.publisher, now.elapsed_ms);
            self.origins.release(logged.mark);
        }
    }

    /// Whether all members have told what they want, and nobody new was heard of for a while.
    fn has_met_all(&mut self, now: Now) -> bool {
        let there = |member: &Member| matches!(member.state, MemberState::Alive | MemberState::Suspect);
        let members = self.membership.members().filter(there).count();
        let met = self
            .links
            .iter()
            .filter_map(|key| self.link(*key))
            .filter(|link| link.snapshot || link.told_before)
            .count();
        let Some(recovery) = &mut self.recovery else { return true };
        recovery.met_ms = (0 < members && members <= met).then(|| recovery.met_ms.unwrap_or(now.elapsed_ms));
        recovery.met_ms.is_some_and(|since| now.elapsed_ms >= since + NEWS_MS)
    }

    /// A member has joined a group: while clients come back, a new group waits for the others. With `recover` it had
    /// members before, and gets what was published since the first client came back.
    pub(super) fn gather(&mut self, group: GroupKey, new: bool, recover: bool, now: Now) {
        let Some(recovery) = self.recovery.as_mut().filter(|_| self.recovered) else { return };
        let from = if recover { 0 } else { recovery.logged() };
        match recovery.groups.iter_mut().find(|known| known.group == group) {
            Some(known) => {
                known.since_ms = now.elapsed_ms;
                known.from = known.from.min(from);
            }
            None if new => recovery.groups.push(Gathering { group, since_ms: now.elapsed_ms, from }),
            None => {}
        }
    }

    /// Gives groups whose members have come back, or all groups, what has waited for them.
    fn give_gathered(&mut self, all: bool, now: Now) {
        let Some(recovery) = &mut self.recovery else { return };
        let due = |gathering: &mut Gathering| all || now.elapsed_ms >= gathering.since_ms + QUIET_MS;
        let due: Vec<Gathering> = recovery.groups.extract_if(.., due).collect();
        for Gathering { group, from, .. } in due {
            let Some(pattern) = self.groups.get(group).map(|group| group.name.pattern.clone()) else {
                continue;
            };
            let Some(recovery) = &self.recovery else { return };
            let first = usize::try_from(from.saturating_sub(recovery.left)).unwrap_or(usize::MAX);
            let waiting: Vec<Parked> = recovery
                .log
                .iter()
                .skip(first)
                // For others the gateway where they came in has chosen.
                .filter(|logged| logged.local && !logged.is_over(now))
                .filter(|logged| pattern.matches(&self.topics.get(logged.topic).topic))
                .map(|logged| Parked::copy(logged.moving()))
                .collect();
            for parked in waiting {
                self.refer(&parked);
                self.redirect(group, parked, None, now);
            }
        }
    }

    /// A frame that a peer has held for an earlier run: its events are for those who come back.
    #[cold]
    pub(super) fn held_frame(
        &mut self,
        from: ConnKey,
        kind: u8,
        body: &[u8],
        now: Now,
    ) -> Result<(), Violation> {
        match kind {
            kind::DELIVER => {
                let forward = wire::Deliver::decode(body)?;
                if forward.retained {
                    return self.on_forward(from, MessageClass::Event, body, now);
                }
                let Some(moving) = self.arriving(from, MessageClass::Event, &forward, now)? else {
                    return Ok(());
                };
                let moving = Moving { resent: true, ..moving };
                if !forward.redirected {
                    self.hold_again(from, moving, now);
                }
                let members: Vec<u64> = forward.members().collect();
                self.give_members(from, &members, moving, now);
                Ok(())
            }
            // That run had chosen the member; its publisher sends the event again.
            kind::NOT_HERE => Ok(()),
            _ => self.message_frame(from, true, MessageClass::Event, kind, body, now),
        }
    }

    fn hold_again(&mut self, from: ConnKey, moving: Moving<'_>, now: Now) {
        if moving.stamp != 0 {
            self.clock.see(moving.stamp, now);
            self.keep(moving, now);
        }
        match self.publishers.get_mut(moving.publisher).seen.meet(from, moving.sequence) {
            Met::New | Met::Ahead => {}
            Met::Again => return self.counters.duplicates[MessageClass::Event as usize] += 1,
            Met::Late => return self.tell_late(moving),
        }
        self.log(moving, false, now);
        let Some(recovery) = self.recovery.take() else { return };
        self.claims.retain(|key| self.routes.subscription(*key).is_some());
        let mut back: Vec<(ConnKey, SubscriptionKey)> = self
            .claims
            .iter()
            .filter_map(|key| Some((self.routes.subscription(*key)?.conn, *key)))
            .filter(|(conn, _)| !recovery.awaits(*conn))
            .collect();
        back.sort_unstable();
        if let Some(logged) = recovery.log.back() {
            for same in back.chunk_by(|one, other| one.0 == other.0) {
                self.offer_again(same[0].0, same.iter().map(|(_, key)| *key), logged, now);
            }
        }
        self.recovery = Some(recovery);
    }

    /// A subscription that was made again will be sent what was published before it came back, or is told that nobody knows
    /// what that was.
    pub(super) fn recover(&mut self, to: ConnKey, key: SubscriptionKey, now: Now) {
        let held = self.recovery.as_ref().is_some_and(|recovery| recovery.left == 0) && !self.unheld;
        if !held && let Some(conn) = self.conns.get_mut(to) {
            conn.messages(MessageClass::Event).note_loss(None);
            self.await_peers(to);
        }
        if now.elapsed_ms < START_MS + WINDOW_MS {
            self.claims.push(key);
        }
        self.announce(to, MessageClass::Event.stream());
    }

    fn await_peers(&mut self, conn: ConnKey) {
        let version = self.interest.version();
        let links = self.links.iter().filter_map(|key| self.link(*key));
        let behind = links.filter(|link| link.applied < version).map(|link| link.node);
        let peers: HashSet<NodeId> = behind.chain(self.parked.keys().copied()).collect();
        self.unsure.retain(|unsure| unsure.conn != conn);
        if !peers.is_empty() {
            self.unsure.push(Unsure { conn, version, peers });
        }
    }

    /// A peer knows our interest up to this version, or nothing is held for us there.
    pub(super) fn peer_knows(&mut self, peer: NodeId, version: u64) {
        let sure = |unsure: &mut Unsure| {
            version >= unsure.version && unsure.peers.remove(&peer) && unsure.peers.is_empty()
        };
        let sure: Vec<Unsure> = self.unsure.extract_if(.., sure).collect();
        for Unsure { conn: key, .. } in sure {
            let Some(conn) = self.conns.get_mut(key) else { continue };
            conn.messages(MessageClass::Event).note_loss(None);
            self.announce(key, MessageClass::Event.stream());
        }
    }

    /// A session goes on with another connection.
    pub(super) fn rehome_recovery(&mut self, from: ConnKey, to: ConnKey) {
        self.unsure.iter_mut().filter(|known| known.conn == from).for_each(|known| known.conn = to);
        if let Some(recovery) = &mut self.recovery {
            recovery.sessions.iter_mut().filter(|known| known.conn == from).for_each(|known| known.conn = to);
        }
    }

    /// A session has made a subscription, of those that it had before or another one. While they come back, all of them wait.
    pub(super) fn await_session(&mut self, conn: ConnKey, key: SubscriptionKey, recover: bool, now: Now) {
        let Some(recovery) = &mut self.recovery else { return };
        let next = recovery.logged();
        let from = if recover { 0 } else { next };
        if let Some(known) = recovery.sessions.iter_mut().find(|known| known.conn == conn) {
            known.since_ms = now.elapsed_ms;
            known.subscriptions.push((key, from));
        } else if recover && let Some(session) = self.conns.get(conn).and_then(|conn| conn.session()) {
            let others = session.subscriptions.values().filter(|other| **other != key);
            let mut subscriptions: Vec<(SubscriptionKey, u64)> = others.map(|other| (*other, next)).collect();
            subscriptions.push((key, from));
            recovery.sessions.push(Returning { conn, since_ms: now.elapsed_ms, subscriptions });
        }
    }

    /// Sends sessions that have come back, or all, what has waited for them.
    fn give_returned(&mut self, all: bool, now: Now) {
        let Some(recovery) = &mut self.recovery else { return };
        let due = |known: &mut Returning| all || now.elapsed_ms >= known.since_ms + COMING_BACK_MS;
        let due: Vec<Returning> = recovery.sessions.extract_if(.., due).collect();
        let Some(recovery) = self.recovery.take_if(|_| !due.is_empty()) else { return };
        for Returning { conn, subscriptions, .. } in due {
            for (number, logged) in (recovery.left..).zip(&recovery.log) {
                let wanted = subscriptions.iter().filter(|(_, from)| number >= *from).map(|(key, _)| *key);
                self.offer_again(conn, wanted, logged, now);
            }
        }
        self.recovery = Some(recovery);
    }

    /// Sends a peer what came from clients here, of what is held, and matches one of these patterns.
    pub(super) fn send_logged(&mut self, to: ConnKey, patterns: &[Pattern], now: Now) {
        let (Some(recovery), Some(conn)) = (&self.recovery, self.conns.get_mut(to)) else { return };
        // Values to keep go to every peer, those from before the link was up with the store.
        let stored = conn.link().map_or(0, |link| link.logged);
        let queue = conn.messages(MessageClass::Event);
        let before = queue.weight();
        let wanted = |(number, logged): &(u64, &Logged)| {
            let topic = &self.topics.get(logged.topic).topic;
            let matches = |pattern: &Pattern| pattern.matches(topic);
            let kept = logged.stamp != 0 && *number >= stored;
            logged.local && !logged.is_over(now) && (kept || patterns.iter().any(matches))
        };
        for (_, logged) in (recovery.left..).zip(&recovery.log).filter(wanted) {
            let moving = logged.moving();
            self.body.encode(moving);
            tell_aliases(queue, &self.topics, &self.publishers, moving);
            queue.append(logged.entry(&[], self.body.shared()), &mut self.origins);
        }
        self.queued = self.queued + queue.weight() - before;
        self.announce(to, MessageClass::Event.stream());
    }

    /// Queues an event for those of these subscriptions of a session that want it, each by itself.
    fn offer_again(
        &mut self,
        to: ConnKey,
        subscriptions: impl Iterator<Item = SubscriptionKey>,
        logged: &Logged,
        now: Now,
    ) {
        if logged.is_over(now) {
            return;
        }
        let topic = &self.topics.get(logged.topic).topic;
        let own = self.publishers.get(logged.publisher).home == Some(to);
        let wanting = subscriptions
            .filter_map(|key| self.routes.subscription(key))
            .filter(|known| known.group.is_empty() && known.pattern.matches(topic) && (!own || known.echo));
        let mut numbers: Vec<u32> = wanting.map(|known| known.number).collect();
        if numbers.is_empty() {
            return;
        }
        numbers.sort_unstable();
        let mut subscriptions = Vec::new();
        wire::encode_subscriptions(&mut subscriptions, &numbers);
        let Some(conn) = self.conns.get_mut(to) else { return };
        let queue = conn.messages(MessageClass::Event);
        let before = queue.weight();
        let moving = logged.moving();
        self.body.encode(moving);
        tell_aliases(queue, &self.topics, &self.publishers, moving);
        queue.append(logged.entry(&subscriptions, self.body.shared()), &mut self.origins);
        self.queued = self.queued + queue.weight() - before;
        self.announce(to, MessageClass::Event.stream());
    }
}

impl Logged {
    fn is_over(&self, now: Now) -> bool {
        self.expires_ms > 0 && self.expires_ms <= now.elapsed_ms
    }

    /// On its way into a queue, with what was encoded for it.
    fn entry<'a>(&'a self, subscriptions: &'a [u8], shared: Shared<'a>) -> Entry<'a> {
        let Self { topic, ref key, mark, expires_ms, .. } = *self;
        Entry { subscriptions, shared, topic, key, mark, expires_ms }
    }

    /// It may have been delivered before.
    fn moving(&self) -> Moving<'_> {
        Moving {
            class: MessageClass::Event,
            topic: self.topic,
            publisher: self.publisher,
            sequence: self.sequence,
            stamp: self.stamp,
            retained: self.retained,
            resent: true,
            redirected: false,
            key: &self.key,
            message: &self.message,
            mark: self.mark,
            expires_ms: self.expires_ms,
        }
    }
}

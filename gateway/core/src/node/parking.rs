//! Links whose connection is lost: what is held for the peer until it comes back, and how its streams go on.
//!
//! A parked link is a connection that the shell does not know. It keeps what outlives connections: the event queue with
//! all that the peer has not acknowledged, the interest and the groups that feed it, and how far the peer's own events
//! were received. Calls, offers and telemetry end with the connection.

use super::announce::News;
use super::messages::describe;
use super::{Node, Notice, Violation};
use crate::conn::{Conn, Link, Role};
use crate::hash::HashMap;
use crate::key::{ConnKey, MessageClass, NodeId, PublisherId};
use crate::origins::Whose;
use crate::queue::{PEER_AWAY_BYTES, Queue};
use crate::time::Now;
use macula_proto::Pattern;
use macula_proto::frame;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{Ack, Class, Continue, Overflow, Pause, Received};
use prost::Message as _;

/// What is held for a peer is given up after this time. Longer than a process takes to be started anew elsewhere.
const PARKED_MS: u64 = 60_000;
/// What an earlier run of a peer wanted is sent to the next one for so long after it has come: the ten seconds in which its
/// clients come back to it, and two for the way.
const INHERITED_MS: u64 = 12_000;
/// How long the clients of a peer take to come back and to hear of a loss, with room: longer than the longest wait between
/// their attempts, and than what a session is kept that does not acknowledge.
pub(super) const TOLD_MS: u64 = 30_000;
/// A gateway that is away for so long may have run meanwhile where it did not reach us, and died with what it took there. A
/// guess, not measured: who stops in order to start again is back earlier.
const RESTART_MS: u64 = 10_000;

/// A peer for which nothing is held.
#[derive(Debug)]
pub(super) struct Parted {
    epoch: u64,
    /// When its connection was lost.
    since_ms: u64,
    /// Up to which of the events of clients here it has been sent what it wanted.
    sent_up_to: u64,
}

impl Node {
    /// Holds what a link whose connection is lost leaves, for the peer to come back. Nothing is held for a peer that has
    /// said goodbye or broken the protocol.
    pub(super) fn park_link(&mut self, key: ConnKey, now: Now) {
        let heard = self.attentive.read();
        let Some(link) = self.link_mut(key).filter(|link| link.live) else { return };
        let (node, dialled) = (link.node, link.dialled);
        if link.leaving || link.broken {
            return self.part(key, now);
        }
        let parked = self.conns.insert(Conn::new(Role::Link(Link::new(dialled)), heard));
        self.move_link(key, parked);
        let Some(conn) = self.conns.get_mut(parked) else { return };
        conn.messages(MessageClass::Telemetry).suspend(0, &mut self.origins);
        if let Some(link) = conn.link_mut() {
            link.parked_until_ms = Some(now.elapsed_ms + PARKED_MS);
        }
        self.parked.insert(node, parked);
    }

    /// Nothing is held any longer for the peer of this link.
    fn part(&mut self, key: ConnKey, now: Now) {
        let Some(conn) = self.conns.get(key) else { return };
        let Some(link) = conn.link() else { return };
        let queue = conn.events();
        let whole = queue.weight() == 0 && queue.is_whole();
        let sent_up_to = if whole { link.sent_up_to.unwrap_or(self.events) } else { 0 };
        let since_ms = link.parked_until_ms.map_or(now.elapsed_ms, |until_ms| until_ms - PARKED_MS);
        let (node, epoch) = (link.node, link.epoch);
        self.parted.insert(node, Parted { epoch, since_ms, sent_up_to });
        self.peer_knows(node, u64::MAX);
    }

    /// There is a link to this run of a peer: if nothing is held for it, up to which of the events of clients here it has been
    /// sent what it wants.
    pub(super) fn meet(&mut self, node: NodeId, epoch: u64, now: Now) -> Option<u64> {
        if self.parked.contains_key(&node) {
            return None;
        }
        let Some(before) = self.parted.remove(&node) else { return Some(0) };
        if before.epoch < epoch && now.elapsed_ms - before.since_ms >= RESTART_MS {
            self.tell_loss(MessageClass::Event, None);
        }
        Some(before.sent_up_to)
    }

    /// Moves what outlives a connection to another of the same peer. The publishers that the peer has to pause.
    fn move_link(&mut self, from: ConnKey, to: ConnKey) -> Vec<(PublisherId, MessageClass)> {
        let paused = self.publishers.rehome(from, to);
        if self.links.contains(&from) {
            self.tell_link_down(from);
        }
        let Some(conn) = self.conns.get_mut(from) else { return paused };
        let (mut events, mut telemetry) =
            (conn.take_queue(MessageClass::Event), conn.take_queue(MessageClass::Telemetry));
        let before = events.weight() + telemetry.weight();
        events.suspend(PEER_AWAY_BYTES, &mut self.origins);
        let lost = telemetry.give_up(&mut self.origins);
        self.queued = self.queued + events.weight() - before;
        let waiting =
            [(events.abandon(), MessageClass::Event), (telemetry.abandon(), MessageClass::Telemetry)];
        let told = conn.take_told(StreamKind::Event);
        let Some(link) = conn.link_mut() else { return paused };
        link.live = false;
        let moved = std::mem::replace(link, Link::new(link.dialled));
        (link.paused, link.offers) = (moved.paused, moved.offers);
        self.origins.rehome(moved.origin, Whose::Link(to));
        let inherited = moved.inherited.iter().map(|(pattern, telemetry)| (pattern, *telemetry));
        for (pattern, telemetry) in moved.interest.iter().chain(inherited) {
            self.routes.remove_interest(from, pattern, telemetry);
            self.routes.add_interest(to, pattern, telemetry);
        }
        self.groups.rehome(from, to);
        self.rehome_absent(from, to);
        let Some(conn) = self.conns.get_mut(to) else { return paused };
        conn.put_queue(MessageClass::Event, events);
        conn.put_told(StreamKind::Event, told);
        if lost > 0 {
            conn.messages(MessageClass::Telemetry).note_loss(Some(lost));
        }
        if let Some(link) = conn.link_mut() {
            self.origins.remove(std::mem::replace(&mut link.origin, moved.origin));
            (link.node, link.name, link.epoch) = (moved.node, moved.name, moved.epoch);
            (link.interest, link.groups, link.resumed) = (moved.interest, moved.groups, true);
            (link.inherited, link.inherited_until_ms) = (moved.inherited, moved.inherited_until_ms);
            link.awaited = moved.awaited;
            link.sent_before = moved.sent_before || moved.begun;
            link.told_before = moved.told_before || moved.snapshot;
            (link.sent_up_to, link.missed_until_ms) = (moved.sent_up_to, moved.missed_until_ms);
            (link.held, link.whole) = (moved.held, moved.whole);
        }
        for (publishers, class) in waiting {
            publishers.into_iter().for_each(|publisher| self.unhold(publisher, class));
        }
        paused
    }

    pub(super) fn tell_link_down(&mut self, key: ConnKey) {
        self.tell_link(News::LinkDown, key);
        self.links.retain(|link| *link != key);
        if let Some(link) = self.link_mut(key) {
            let (node, name) = (link.node, link.name.clone());
            self.linked.remove(&node);
            self.notices.push_back(Notice::LinkDown { node, name });
            self.membership.link_down(node);
        }
    }

    /// A peer has come whose last link may be parked. The same run of it goes on where that ended; a later one is sent what
    /// was held. The publishers that it has to pause.
    pub(super) fn rejoin(&mut self, to: ConnKey, now: Now) -> Vec<(PublisherId, MessageClass)> {
        let Some(link) = self.link_mut(to) else { return Vec::new() };
        let (node, epoch) = (link.node, link.epoch);
        let Some(parked) = self.parked.remove(&node) else { return Vec::new() };
        let mut paused = Vec::new();
        if self.link_mut(parked).is_some_and(|link| link.epoch == epoch) {
            paused = self.move_link(parked, to);
            self.detach(parked, now);
        } else {
            self.hand_on(parked, to, now);
        }
        self.conns.remove(parked);
        paused
    }

    /// The peer runs anew: what was held, and what is published from now on, is for those who come back to it.
    fn hand_on(&mut self, parked: ConnKey, to: ConnKey, now: Now) {
        let Some(conn) = self.conns.get_mut(parked) else { return };
        let mut events = conn.take_queue(MessageClass::Event);
        let before = events.weight();
        // Before a peer has told what it wants, nothing is queued for it. And what its clients were told of a loss may have died
        // with it.
        let (sent_up_to, missed_until_ms) =
            conn.link().map_or((None, 0), |link| (link.sent_up_to, link.missed_until_ms));
        let sent = sent_up_to.is_none_or(|sent_up_to| sent_up_to == self.events);
        let whole = events.is_whole() && sent && missed_until_ms <= now.elapsed_ms;
        events.hand_over(|alias, out| describe(alias, &self.topics, &self.publishers, out));
        self.queued = self.queued + events.weight() - before;
        let held = events.position();
        let (interest, earlier) = conn.link_mut().map_or_else(Default::default, |link| {
            (std::mem::take(&mut link.interest), std::mem::take(&mut link.inherited))
        });
        let inherited: HashMap<Pattern, Overflow> =
            earlier.into_iter().chain(interest.into_policies()).collect();
        for (pattern, telemetry) in &inherited {
            self.routes.remove_interest(parked, pattern, *telemetry);
            self.routes.add_interest(to, pattern, *telemetry);
        }
        if let Some(conn) = self.conns.get_mut(to) {
            conn.put_queue(MessageClass::Event, events);
            if let Some(link) = conn.link_mut() {
                (link.held, link.whole, link.sent_up_to) = (held, whole, sent_up_to);
                link.missed_until_ms = missed_until_ms;
                (link.inherited, link.inherited_until_ms) = (inherited, now.elapsed_ms + INHERITED_MS);
            }
        }
        self.await_members(parked, to, held);
        self.rehome_absent(parked, to);
        self.detach(parked, now);
        // It may have accepted events that nobody else has, of publishers that do not send them again.
        self.tell_loss(MessageClass::Event, None);
    }

    /// Gives up a parked link when it is time.
    pub(super) fn check_parked(&mut self, key: ConnKey, now: Now) {
        let Some(link) = self.link_mut(key) else { return };
        if link.parked_until_ms.is_none_or(|until| now.elapsed_ms < until) {
            return;
        }
        let node = link.node;
        self.part(key, now);
        let orphaned = self.orphaned_shares(key, None);
        if let Some(conn) = self.conns.get_mut(key) {
            let queue = conn.messages(MessageClass::Event);
            self.queued -= queue.weight();
            let lost = queue.give_up(&mut self.origins);
            self.counters.lost[MessageClass::Event as usize] += lost.saturating_sub(orphaned.len() as u64);
        }
        self.detach(key, now);
        self.conns.remove(key);
        self.parked.remove(&node);
        self.share_again(orphaned, now);
        // What the peer publishes, if it lives, is not held for us any longer.
        self.tell_loss(MessageClass::Event, None);
    }

    /// The first frames on a link that is up: how far we have received the peer's events, and whom it has to pause.
    pub(super) fn greet(&mut self, to: ConnKey, paused: Vec<(PublisherId, MessageClass)>) {
        let Some(conn) = self.conns.get_mut(to) else { return };
        let resumed = conn.link().is_some_and(|link| link.resumed);
        let position = resumed.then_some(conn.inbound(StreamKind::Event).position);
        self.send_control(to, kind::RECEIVED, &Received { position });
        for (PublisherId { id, epoch }, class) in paused {
            let pause = Pause { class: class.wire().into(), publisher: id.to_vec().into(), epoch };
            self.send_control(to, kind::PAUSE, &pause);
        }
    }

    /// The peer says how far it has received our events: they begin there.
    pub(super) fn on_received(&mut self, from: ConnKey, told: Received) -> Result<(), Violation> {
        let Some(conn) = self.conns.get_mut(from) else { return Ok(()) };
        let Some(link) = conn.link_mut() else { return Ok(()) };
        if std::mem::replace(&mut link.begun, true) {
            return Err(Violation::invalid("Received is said once"));
        }
        // A peer that knows nothing of us is no loss if it cannot have received anything.
        let resumed = link.resumed && (told.position.is_some() || link.sent_before);
        let window = link.event_window;
        let (mut held, mut whole) = (link.held, link.whole);
        let queue = conn.messages(MessageClass::Event);
        let before = queue.weight();
        let position = told.position.filter(|position| resumed && queue.rewind(*position, &mut self.origins));
        if resumed && position.is_none() {
            // It has given up what it knew of us.
            let lost = queue.give_up(&mut self.origins);
            self.counters.lost[MessageClass::Event as usize] += lost;
            *queue = Queue::new(Class::Event, 0);
            queue.keeps = true;
            if lost > 0 {
                queue.note_loss(Some(lost));
            }
            (held, whole) = (0, false);
        }
        let begin = Continue { position, held, whole };
        let mut first = Vec::new();
        frame::put_message(&mut first, kind::CONTINUE, &begin);
        queue.begin_with(first);
        queue.come_back(window);
        self.queued = self.queued + queue.weight() - before;
        if let Some(link) = conn.link_mut() {
            (link.held, link.whole) = (held, whole);
        }
        self.announce(from, StreamKind::Event);
        Ok(())
    }

    /// The peer's event stream begins, of which `position` frames have come on connections before; where
    /// it stands now, and up to where it was held for an earlier run.
    #[cold]
    pub(super) fn first_frame(
        &mut self,
        from: ConnKey,
        kind: u8,
        body: &[u8],
        position: u64,
        now: Now,
    ) -> Result<(u64, u64), Violation> {
        if kind != kind::CONTINUE {
            return Err(Violation::invalid("the first frame is Continue"));
        }
        let told = Continue::decode(body)?;
        let Some(link) = self.link_mut(from).filter(|link| link.live) else {
            return Err(Violation::invalid("events come after LinkHello and Received"));
        };
        link.continued = true;
        let resumed = link.resumed;
        let start = match told.position {
            Some(theirs) if resumed && theirs == position => theirs,
            Some(theirs) => {
                let text =
                    format!("the event stream goes on at {theirs}, and {position} frames were received");
                return Err(Violation::invalid(text));
            }
            None => {
                if resumed {
                    self.begin_anew(from, now);
                }
                0
            }
        };
        if let Some(conn) = self.conns.get_mut(from) {
            conn.inbound(StreamKind::Event).held = told.held;
        }
        if start < told.held || start == 0 && told.whole {
            self.open_recovery(now);
        }
        if start == 0 && !told.whole {
            self.miss_held(now);
        }
        // What has settled meanwhile could not be told.
        let settled =
            self.link_mut(from).map(|link| link.origin).map_or(0, |origin| self.origins.settled(origin));
        if settled > 0 {
            self.send_control(from, kind::ACK, &Ack { position: settled });
        }
        Ok((start, told.held))
    }

    /// The peer has given up what it had sent on connections before: nobody knows what of it is missing.
    fn begin_anew(&mut self, from: ConnKey, now: Now) {
        self.end_segment(Some(0));
        let Some(conn) = self.conns.get_mut(from) else { return };
        let told = conn.take_told(StreamKind::Event);
        self.forget_told(told, now);
        let origin = self.origins.add(Whose::Link(from), 0);
        if let Some(link) = self.link_mut(from) {
            let before = std::mem::replace(&mut link.origin, origin);
            self.origins.remove(before);
        }
        self.begin_segment(from);
        self.tell_loss(MessageClass::Event, None);
    }
}

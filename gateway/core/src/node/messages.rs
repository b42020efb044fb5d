//! The message path: publishes of sessions and forwards of peers to everyone who wants them.

use super::groups::Target;
use super::recovery::Recovery;
use super::{Node, Violation, unknown};
use crate::conn::{Link, assign};
use crate::key::{ConnKey, MessageClass, PublisherId};
use crate::origins::Mark;
use crate::publishers::Publishers;
use crate::queue::{Alias, Entry, Pushed, Queue, Terms};
use crate::retained::Kept;
use crate::routes::{DEFAULT_BLOCK_MS, Route, stronger};
use crate::seen::Met;
use crate::time::Now;
use crate::topics::Topics;
use crate::will::check_size;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{
    Accepted, Code, Dropped, Expired, Gap, NotHere, Overflow, Pause, PublishRefused, PublisherAlias, Resent,
    Resume, TopicAlias,
};
use macula_proto::{Topic, frame, limits, wire};
use prost::Message as _;

/// A message under way.
#[derive(Clone, Copy)]
pub(super) struct Moving<'a> {
    pub(super) class: MessageClass,
    pub(super) topic: u32,
    pub(super) publisher: u32,
    pub(super) sequence: u64,
    pub(super) stamp: u64,
    pub(super) retained: bool,
    pub(super) resent: bool,
    pub(super) redirected: bool,
    pub(super) key: &'a str,
    pub(super) message: &'a [u8],
    /// Segment of its origin.
    pub(super) mark: Mark,
    /// When it is of no use any more, 0 for never.
    pub(super) expires_ms: u64,
}

impl Node {
    /// A frame on an event or telemetry stream.
    #[inline]
    pub(super) fn message_frame(
        &mut self,
        from: ConnKey,
        link: bool,
        class: MessageClass,
        kind: u8,
        body: &[u8],
        now: Now,
    ) -> Result<(), Violation> {
        match kind {
            kind::PUBLISH if !link => self.on_publish(from, class, body, now),
            kind::DELIVER if link => self.on_forward(from, class, body, now),
            kind::NOT_HERE if link => self.on_not_here(from, class, NotHere::decode(body)?, now),
            kind::RESENT if !link && class == MessageClass::Event => {
                let Resent { sequence } = Resent::decode(body)?;
                if let Some(conn) = self.conns.get_mut(from) {
                    conn.inbound(class.stream()).resent = sequence;
                }
                Ok(())
            }
            kind::TOPIC_ALIAS => self.on_topic_alias(from, link, class, &TopicAlias::decode(body)?),
            // A message that waited too long at the peer.
            kind::EXPIRED if link => {
                Expired::decode(body)?;
                Ok(())
            }
            kind::PUBLISHER_ALIAS if link => {
                self.on_publisher_alias(from, class, &PublisherAlias::decode(body)?, now)
            }
            // A peer lost messages on their way here; its own counters tell how many.
            kind::DROPPED if link => {
                self.tell_loss(class, Some(Dropped::decode(body)?.count));
                Ok(())
            }
            kind::GAP if link => {
                let Gap { count } = Gap::decode(body)?;
                self.tell_loss(class, Some(count).filter(|count| *count > 0));
                Ok(())
            }
            other => unknown(other),
        }
    }

    /// An event has come after newer ones of its publisher, which has moved and did not wait. It would break their order,
    /// so it is a loss to those who want it.
    #[cold]
    pub(super) fn tell_late(&mut self, moving: Moving<'_>) {
        let (routes, _) = self.routes.find(&self.topics.get(moving.topic).topic);
        let home = self.publishers.get(moving.publisher).home;
        let wanting = |route: &&Route| !route.link && (Some(route.conn) != home || !route.echo.is_empty());
        for route in routes.iter().filter(wanting) {
            self.counters.lost[moving.class as usize] += 1;
            if let Some(conn) = self.conns.get_mut(route.conn) {
                conn.messages(moving.class).note_loss_of(Some(1), moving.mark, &mut self.origins);
            }
            self.announce(route.conn, moving.class.stream());
        }
    }

    /// Messages of peers were lost on their way here, `None` when nobody knows how many: whoever subscribes here
    /// may have wanted them.
    pub(super) fn tell_loss(&mut self, class: MessageClass, count: Option<u64>) {
        let sessions: Vec<ConnKey> = self.sessions.values().copied().collect();
        for key in sessions {
            let Some(conn) = self.conns.get_mut(key) else { continue };
            if conn.closing || conn.session().is_none_or(|session| session.subscriptions.is_empty()) {
                continue;
            }
            conn.messages(class).note_loss_of(count, self.segment.0, &mut self.origins);
            self.announce(key, class.stream());
        }
    }

    fn on_topic_alias(
        &mut self,
        from: ConnKey,
        link: bool,
        class: MessageClass,
        told: &TopicAlias,
    ) -> Result<(), Violation> {
        let topic: Topic = told.topic.parse().map_err(|error| Violation::invalid(format!("{error}")))?;
        if told.content_type.len() > limits::CONTENT_TYPE_BYTES {
            let text = format!("a content type has at most {} bytes", limits::CONTENT_TYPE_BYTES);
            return Err(Violation::invalid(text));
        }
        let limit = if link { Topics::LIMIT } else { limits::ALIASES_PER_SESSION + 1 };
        if told.alias as usize >= limit {
            let message = format!("topic alias {} is over the limit of {}", told.alias, limit - 1);
            return Err(Violation { code: Code::ResourceExhausted, message });
        }
        let Some(alias) = self.topics.refer(&topic, &told.content_type) else {
            self.leave_unplaced(from, class, told);
            return Ok(());
        };
        let Some(conn) = self.conns.get_mut(from) else { return Ok(()) };
        let inbound = conn.inbound(class.stream());
        inbound.unplaced.remove(&told.alias);
        match assign(&mut inbound.topics, told.alias, alias, limit) {
            Ok(old) => old.into_iter().for_each(|old| self.topics.release(old)),
            Err(()) => self.topics.release(alias),
        }
        Ok(())
    }

    /// There is no room for a topic, because of whomsoever: a whole session or link is worth more than what comes under it.
    fn leave_unplaced(&mut self, from: ConnKey, class: MessageClass, told: &TopicAlias) {
        let Some(conn) = self.conns.get_mut(from) else { return };
        let inbound = conn.inbound(class.stream());
        inbound.unplaced.insert(told.alias, told.clone());
        if let Some(old) = inbound.topics.get_mut(told.alias as usize).and_then(Option::take) {
            self.topics.release(old);
        }
    }

    /// Tries again to find room for a topic whose alias this is; `None` when there still is none.
    #[cold]
    fn place(
        &mut self,
        from: ConnKey,
        link: bool,
        class: MessageClass,
        alias: u32,
    ) -> Result<Option<u32>, Violation> {
        let Some(conn) = self.conns.get_mut(from) else { return Ok(None) };
        let Some(told) = conn.inbound(class.stream()).unplaced.get(&alias).cloned() else {
            return Err(Violation::invalid(format!("topic alias {alias} was never told")));
        };
        self.on_topic_alias(from, link, class, &told)?;
        Ok(self.conns.get_mut(from).and_then(|conn| conn.inbound(class.stream()).topic(alias)))
    }

    fn on_publisher_alias(
        &mut self,
        from: ConnKey,
        class: MessageClass,
        told: &PublisherAlias,
        now: Now,
    ) -> Result<(), Violation> {
        let id =
            told.publisher[..].try_into().map_err(|_| Violation::invalid("a publisher id has 16 bytes"))?;
        let alias = self.publishers.refer(PublisherId { id, epoch: told.epoch });
        let known = self.publishers.get_mut(alias);
        known.origin = known.home.or(Some(from));
        let Some(conn) = self.conns.get_mut(from) else { return Ok(()) };
        match assign(&mut conn.inbound(class.stream()).publishers, told.alias, alias, 1 << 20) {
            Ok(old) => old.into_iter().for_each(|old| self.publishers.release(old, now.elapsed_ms)),
            Err(()) => {
                self.publishers.release(alias, now.elapsed_ms);
                return Err(Violation::invalid("publisher alias over the limit"));
            }
        }
        Ok(())
    }

    #[inline]
    fn on_publish(
        &mut self,
        from: ConnKey,
        class: MessageClass,
        body: &[u8],
        now: Now,
    ) -> Result<(), Violation> {
        let publish = wire::Publish::decode(body)?;
        let message = wire::Message::decode(publish.message)?;
        let Some(conn) = self.conns.get_mut(from) else { return Ok(()) };
        let Some(publisher) = conn.session().filter(|session| session.live).map(|session| session.publisher)
        else {
            return Err(Violation::invalid("a publish before Welcome"));
        };
        let inbound = conn.inbound(class.stream());
        let mut resent = publish.sequence <= inbound.resent;
        let mut topic = inbound.topic(publish.topic);
        if topic.is_none() {
            topic = self.place(from, false, class, publish.topic)?;
        }
        self.counters.published[class as usize] += 1;
        let mark = self.mark_of_publisher(publisher, class, publish.sequence);
        let known = self.publishers.get_mut(publisher);
        if !known.accept(class, publish.sequence) {
            self.counters.duplicates[class as usize] += 1;
            return Ok(());
        }
        // It may have come over a link before, to those here who wanted it then.
        resent |= class == MessageClass::Event && known.seen.meet(from, publish.sequence) != Met::New;
        if let Err(text) = check_size(&message, publish.message.len(), self.payload_bytes) {
            self.refuse_publish(from, class, publish.sequence, Code::InvalidArgument, text);
            return Ok(());
        }
        let Some(topic) = topic else {
            let text =
                format!("this gateway knows {} topics already, and has no room for another", Topics::LIMIT);
            self.refuse_publish(from, class, publish.sequence, Code::ResourceExhausted, text);
            return Ok(());
        };
        let name = &self.topics.get(topic).topic;
        if name.is_system() {
            let text = format!("`{name}` belongs to the gateways: publish to a name without `$`");
            self.refuse_publish(from, class, publish.sequence, Code::PermissionDenied, text);
            return Ok(());
        }
        let keeps = message.retain || message.remove;
        let stamp = if keeps { self.clock.stamp(now) } else { 0 };
        let moving = Moving {
            class,
            topic,
            publisher,
            sequence: publish.sequence,
            stamp,
            retained: false,
            resent,
            redirected: false,
            key: message.key,
            message: publish.message,
            mark,
            expires_ms: expires_ms(message.time_to_live_ms, now),
        };
        if keeps && self.keep(moving, now) == Kept::Full {
            let text = "the gateway holds as many retained values as it can".to_owned();
            self.refuse_publish(from, class, publish.sequence, Code::ResourceExhausted, text);
            return Ok(());
        }
        let matches = self.deliver(false, moving, now);
        if publish.report && class == MessageClass::Event {
            self.report_accepted(from, publish.sequence, matches);
        }
        Ok(())
    }

    #[inline]
    pub(super) fn on_forward(
        &mut self,
        from: ConnKey,
        class: MessageClass,
        body: &[u8],
        now: Now,
    ) -> Result<(), Violation> {
        let forward = wire::Deliver::decode(body)?;
        let Some(moving) = self.arriving(from, class, &forward, now)? else { return Ok(()) };
        let members: Vec<u64> = forward.members().collect();
        if forward.redirected {
            self.give_members(from, &members, moving, now);
            return Ok(());
        }
        if forward.retained {
            // A peer's store: news only where ours is older.
            self.clock.see(forward.stamp, now);
            if matches!(self.keep(moving, now), Kept::Stored { news: true, .. }) {
                if class == MessageClass::Event {
                    self.publishers.get_mut(moving.publisher).seen.come_ahead(moving.sequence);
                }
                // Out of the order of its publisher: it says nothing of what came before it, nor that it is news.
                self.deliver(true, Moving { retained: true, resent: true, ..moving }, now);
            }
            return Ok(());
        }
        // Telemetry is never sent again, and conflation on the way may have put a newer message before an older one.
        let met = match class {
            MessageClass::Event => {
                self.publishers.get_mut(moving.publisher).seen.meet(from, forward.sequence)
            }
            MessageClass::Telemetry => Met::New,
        };
        let mut fresh = met == Met::New;
        if forward.stamp != 0 {
            self.clock.see(forward.stamp, now);
            // What another peer's store has brought here already was delivered then. Of events it is known one by one.
            let same = self.keep(moving, now) == Kept::Same;
            fresh &= !same || class == MessageClass::Event;
        }
        if met == Met::Late {
            self.tell_late(moving);
        } else if fresh || forward.resent {
            // One that is sent again goes on to the receivers, who know what they had: so it settles behind the first.
            self.deliver(true, moving, now);
        }
        if !fresh {
            self.counters.duplicates[class as usize] += u64::from(met != Met::Late);
            if met == Met::Again && !forward.resent {
                return Ok(());
            }
        }
        if !members.is_empty() {
            self.give_members(from, &members, moving, now);
        }
        Ok(())
    }

    /// A forward of a peer, under the names that things have here; `None` when there is no room for its topic.
    #[inline]
    pub(super) fn arriving<'a>(
        &mut self,
        from: ConnKey,
        class: MessageClass,
        forward: &wire::Deliver<'a>,
        now: Now,
    ) -> Result<Option<Moving<'a>>, Violation> {
        let message = wire::Message::decode(forward.message)?;
        let Some(conn) = self.conns.get_mut(from) else { return Ok(None) };
        conn.traffic.received[class as usize] += 1;
        let inbound = conn.inbound(class.stream());
        let (topic, publisher) = (inbound.topic(forward.topic), inbound.publisher(forward.publisher));
        let publisher = publisher.ok_or_else(never_told)?;
        self.counters.received[class as usize] += 1;
        let topic = match topic {
            Some(topic) => topic,
            None => match self.place(from, true, class, forward.topic)? {
                Some(topic) => topic,
                None => {
                    self.counters.lost[class as usize] += 1;
                    if !forward.retained {
                        self.tell_loss(class, Some(1));
                    }
                    return Ok(None);
                }
            },
        };
        let known = self.publishers.get_mut(publisher);
        known.origin = known.home.or(Some(from));
        Ok(Some(Moving {
            class,
            topic,
            publisher,
            sequence: forward.sequence,
            stamp: forward.stamp,
            retained: false,
            resent: forward.resent,
            redirected: false,
            key: message.key,
            message: forward.message,
            mark: if class == MessageClass::Event { self.segment.0 } else { Mark::default() },
            expires_ms: expires_ms(message.time_to_live_ms, now),
        }))
    }

    fn refuse_publish(
        &mut self,
        to: ConnKey,
        class: MessageClass,
        sequence: u64,
        code: Code,
        message: String,
    ) {
        self.counters.refused += 1;
        let refused = PublishRefused { class: class.wire().into(), sequence, code: code.into(), message };
        self.send_control(to, kind::PUBLISH_REFUSED, &refused);
    }

    /// Queues a message for everyone who wants it; how many receivers that are.
    #[inline]
    pub(super) fn deliver(&mut self, from_link: bool, moving: Moving<'_>, now: Now) -> u32 {
        if moving.class == MessageClass::Event {
            self.events += u64::from(!from_link);
            if self.recovery.is_some() {
                self.log(moving, !from_link, now);
            }
        }
        let generation = self.routes.generation();
        let entry = self.topics.get_mut(moving.topic);
        if entry.generation != generation {
            (entry.routes, entry.groups) = self.routes.find(&entry.topic);
            entry.generation = generation;
        }
        let (routes, groups) = (std::mem::take(&mut entry.routes), std::mem::take(&mut entry.groups));
        let (mut matches, mut targets) = (0, Vec::new());
        if !groups.is_empty() && !from_link {
            matches += self.share_out(&groups, moving, &mut targets, now);
        }
        self.body.encode(moving);
        let waiting = moving.class == MessageClass::Event
            && self.recovery.as_ref().is_some_and(Recovery::awaits_sessions);
        // What a publisher said elsewhere before it came here is its own, too.
        let home = self.publishers.get(moving.publisher).home;
        for route in &routes {
            let own = Some(route.conn) == home;
            if (route.link && from_link) || (own && route.echo.is_empty()) {
                continue;
            }
            matches += 1;
            if waiting && self.recovery.as_ref().is_some_and(|recovery| recovery.awaits(route.conn)) {
                continue;
            }
            if route.link && !targets.is_empty() && self.push_with_members(route, &mut targets, moving, now) {
                continue;
            }
            let subscriptions = if own { &route.echo } else { &route.subscriptions };
            self.push(route, subscriptions, moving, now);
        }
        for Target { link, members, telemetry } in targets.drain(..) {
            self.give_peer(link, &members, telemetry, moving, now);
        }
        if moving.stamp != 0 && !from_link {
            self.forward_retained(&routes, moving, now);
        }
        let entry = self.topics.get_mut(moving.topic);
        (entry.routes, entry.groups) = (routes, groups);
        matches
    }

    /// Queues a message for a peer that wants it for itself and for members of groups; false when it has none.
    #[cold]
    fn push_with_members(
        &mut self,
        route: &Route,
        targets: &mut Vec<Target>,
        moving: Moving<'_>,
        now: Now,
    ) -> bool {
        let Some(index) = targets.iter().position(|target| target.link == route.conn) else { return false };
        let Target { members, telemetry, .. } = targets.swap_remove(index);
        let mut field = Vec::new();
        wire::encode_members(&mut field, &members);
        let telemetry = stronger(route.policy[MessageClass::Telemetry as usize], telemetry);
        self.push(&Route::to_peer(route.conn, telemetry), &field, moving, now);
        true
    }

    /// Retained values belong to the whole mesh: peers without interest get them too. A peer that will be sent what is logged
    /// gets them then, so that they come in order.
    fn forward_retained(&mut self, routes: &[Route], moving: Moving<'_>, now: Now) {
        let logged = moving.class == MessageClass::Event && self.recovery.is_some();
        for index in 0..self.links.len() {
            let conn = self.links[index];
            let fresh = |conn: ConnKey| self.link(conn).is_some_and(Link::is_fresh);
            if routes.iter().any(|route| route.conn == conn) || logged && fresh(conn) {
                continue;
            }
            let policy = [Overflow::Block; 2];
            let route = Route {
                conn,
                link: true,
                policy,
                block_ms: DEFAULT_BLOCK_MS,
                subscriptions: Box::default(),
                echo: Box::default(),
            };
            self.push(&route, &[], moving, now);
        }
    }

    /// Queues the message whose body is encoded for one receiver.
    #[inline]
    pub(super) fn push(&mut self, route: &Route, subscriptions: &[u8], moving: Moving<'_>, now: Now) {
        let class = moving.class;
        let Some(conn) = self.conns.get_mut(route.conn) else { return };
        // A retained value that a link dropped would be missing in the peer's store for good.
        let keeps = route.link && moving.stamp != 0;
        if keeps {
            conn.traffic.values += 1;
        } else {
            conn.traffic.sent[class as usize] += 1;
        }
        let queue = conn.messages(class);
        let before = queue.weight();
        let entry = Entry {
            subscriptions,
            shared: self.body.shared(),
            topic: moving.topic,
            key: moving.key,
            mark: moving.mark,
            expires_ms: moving.expires_ms,
        };
        let terms = Terms {
            policy: if keeps { Overflow::Block } else { route.policy[class as usize] },
            block_ms: route.block_ms,
            full: self.queued > Self::QUEUED_LIMIT,
            now_ms: now.elapsed_ms,
        };
        // A message that is not taken needs no alias.
        if !queue.refuses(entry, terms) {
            tell_aliases(queue, &self.topics, &self.publishers, moving);
        }
        let pushed = queue.push(entry, terms, &mut self.origins);
        self.queued = self.queued + queue.weight() - before;
        if !queue.announced && queue.has_sendable() {
            queue.announced = true;
            self.ready.push((route.conn, class.stream()));
        }
        let count = if route.link { &mut self.counters.forwarded } else { &mut self.counters.delivered };
        count[class as usize] += 1;
        match pushed {
            Pushed::Queued => {}
            Pushed::Full => {
                if queue.wait(moving.publisher, route.block_ms, now.elapsed_ms) {
                    self.hold(moving.publisher, class);
                    self.tell_slow(route.conn, class, false, now);
                }
            }
            Pushed::Lost => {
                self.counters.lost[class as usize] += 1;
                if let Some(conn) = self.conns.get_mut(route.conn) {
                    conn.traffic.lost[class as usize] += 1;
                }
            }
            Pushed::Disconnect => {
                let message = "the subscriber is too slow and asked to be disconnected then".to_owned();
                self.fail(route.conn, Code::ResourceExhausted, message);
            }
        }
    }

    /// One more queue makes this publisher wait.
    pub(super) fn hold(&mut self, publisher: u32, class: MessageClass) {
        self.counters.held += 1;
        let known = self.publishers.get_mut(publisher);
        known.held[class as usize] += 1;
        if known.held[class as usize] == 1
            && let Some(link) = known.origin.filter(|origin| self.links.contains(origin))
        {
            known.paused[class as usize] = Some(link);
            let pause = Pause {
                class: class.wire().into(),
                publisher: known.id.id.to_vec().into(),
                epoch: known.id.epoch,
            };
            self.send_control(link, kind::PAUSE, &pause);
        }
    }

    /// One queue less makes this publisher wait.
    pub(super) fn unhold(&mut self, publisher: u32, class: MessageClass) {
        let known = self.publishers.get_mut(publisher);
        known.held[class as usize] -= 1;
        if known.held[class as usize] > 0 {
            return;
        }
        let (id, origin) = (known.id, known.origin);
        // The publisher may have moved since; who was told to pause it is told to go on.
        if let Some(link) = known.paused[class as usize].take().filter(|link| self.links.contains(link)) {
            let resume =
                Resume { class: class.wire().into(), publisher: id.id.to_vec().into(), epoch: id.epoch };
            self.send_control(link, kind::RESUME, &resume);
        }
        if let Some(session) = origin.filter(|origin| !self.links.contains(origin)) {
            self.grant(session, class.stream());
        }
    }

    /// Lets publishers go on that need wait no longer for this queue.
    pub(super) fn release(&mut self, key: ConnKey, stream: StreamKind, now: Now) {
        let Some(class) = stream.class().and_then(MessageClass::of) else { return };
        let Some(conn) = self.conns.get_mut(key) else { return };
        let queue = conn.messages(class);
        let released = queue.release(now.elapsed_ms);
        if queue.is_overtaken() && !released.is_empty() {
            self.tell_slow(key, class, true, now);
        }
        for publisher in released {
            self.unhold(publisher, class);
        }
    }

    /// Tells a session how far its events are accepted.
    pub(super) fn tell_accepted(&mut self, key: ConnKey) {
        let Some(session) = self.conns.get_mut(key).and_then(|conn| conn.session_mut()) else { return };
        if !session.live {
            return;
        }
        let sequence = self.publishers.get(session.publisher).accepted(MessageClass::Event);
        if sequence > session.accepted {
            session.accepted = sequence;
            self.send_control(key, kind::ACCEPTED, &Accepted { sequence, matches: None });
        }
    }

    /// Tells a session at once that an event is accepted, and by how many receivers it is wanted.
    fn report_accepted(&mut self, key: ConnKey, sequence: u64, matches: u32) {
        if let Some(session) = self.conns.get_mut(key).and_then(|conn| conn.session_mut()) {
            session.accepted = session.accepted.max(sequence);
        }
        self.send_control(key, kind::ACCEPTED, &Accepted { sequence, matches: Some(matches) });
    }

    /// The segment that an event of a session belongs to, which begins with the first of what has come together.
    #[inline]
    fn mark_of_publisher(&mut self, publisher: u32, class: MessageClass, sequence: u64) -> Mark {
        if class == MessageClass::Telemetry {
            return Mark::default();
        }
        if self.segment.0.is_nothing()
            && let Some(origin) = self.publishers.get(publisher).settling
        {
            self.segment.0 = self.origins.open(origin);
        }
        self.segment.1 = sequence;
        self.segment.0
    }

    /// Events of a peer begin to arrive; whatever they are, it is told when they are dealt with.
    pub(super) fn begin_segment(&mut self, from: ConnKey) {
        if let Some(link) = self.conns.get(from).and_then(|conn| conn.link()) {
            self.segment.0 = self.origins.open(link.origin);
        }
    }

    /// All that has come together is queued.
    pub(super) fn end_segment(&mut self, position: Option<u64>) {
        let (mark, last) = std::mem::take(&mut self.segment);
        if !mark.is_nothing() {
            self.origins.close(mark, position.unwrap_or(last));
        }
    }

    /// Adds a frame that nothing may drop to a queue.
    pub(super) fn append(&mut self, to: ConnKey, stream: StreamKind, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(queue) = self.conns.get_mut(to).and_then(|conn| conn.queue(stream)) else { return };
        let before = queue.weight();
        queue.append_frame(write);
        self.queued += queue.weight() - before;
        self.announce(to, stream);
    }
}

/// When a message that has come now is of no use any more, 0 for never.
#[inline]
pub(super) fn expires_ms(time_to_live_ms: u32, now: Now) -> u64 {
    match time_to_live_ms {
        0 => 0,
        ttl => now.elapsed_ms + u64::from(ttl),
    }
}

fn never_told() -> Violation {
    Violation::invalid("a forward names an alias that was never told")
}

/// Tells a stream the aliases that the message uses, if it has not been told.
#[inline]
pub(super) fn tell_aliases(queue: &mut Queue, topics: &Topics, publishers: &Publishers, moving: Moving<'_>) {
    if queue.told_topics.insert(moving.topic) {
        queue.append_frame(|out| describe(Alias::Topic(moving.topic), topics, publishers, out));
    }
    if queue.told_publishers.insert(moving.publisher) {
        queue.append_frame(|out| describe(Alias::Publisher(moving.publisher), topics, publishers, out));
    }
}

/// Writes the frame that tells an alias.
pub(super) fn describe(alias: Alias, topics: &Topics, publishers: &Publishers, out: &mut Vec<u8>) {
    match alias {
        Alias::Topic(alias) => {
            let entry = topics.get(alias);
            let (topic, content_type) = (entry.topic.to_string(), entry.content_type.to_string());
            frame::put_message(out, kind::TOPIC_ALIAS, &TopicAlias { alias, topic, content_type });
        }
        Alias::Publisher(alias) => {
            let id = publishers.get(alias).id;
            let told = PublisherAlias { alias, publisher: id.id.to_vec().into(), epoch: id.epoch };
            frame::put_message(out, kind::PUBLISHER_ALIAS, &told);
        }
    }
}

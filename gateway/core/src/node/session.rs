//! The control stream of a client's session.

use super::announce::News;
use super::keep::LONGEST_RESUME_MS;
use super::{Barrier, Node, Notice, Violation, unknown};
use crate::conn::WINDOWS;
use crate::groups::Name;
use crate::key::{ConnKey, MessageClass, PublisherId};
use crate::origins::Whose;
use crate::routes::{DEFAULT_BLOCK_MS, LONGEST_BLOCK_MS, Subscription};
use crate::time::Now;
use crate::will::Will;
use macula_proto::kind::StreamKind;
use macula_proto::v1::acknowledged::Request;
use macula_proto::v1::{
    Ack, Acknowledged, Close, Code, Credit, Hello, Limits, Overflow, Ping, Pong, Register, Scope, Subscribe,
    Unregister, Unsubscribe, Welcome,
};
use macula_proto::{Pattern, kind, limits};
use prost::Message as _;

/// The protocol version that this gateway speaks.
pub(super) const VERSION: u32 = 1;
/// How long a subscription of scope `mesh` waits for peers.
const BARRIER_MS: u64 = 2_000;

impl Node {
    pub(super) fn session_control(
        &mut self,
        from: ConnKey,
        kind: u8,
        body: &[u8],
        now: Now,
    ) -> Result<(), Violation> {
        let live = self.conns.get(from).is_some_and(|conn| conn.live());
        if !live {
            return match kind {
                kind::HELLO => self.on_hello(from, Hello::decode(body)?, now),
                _ => Err(Violation::invalid("the first frame of a session is Hello")),
            };
        }
        match kind {
            kind::SUBSCRIBE => self.on_subscribe(from, &Subscribe::decode(body)?, now),
            kind::UNSUBSCRIBE => {
                self.on_unsubscribe(from, Unsubscribe::decode(body)?.subscription, now);
                Ok(())
            }
            kind::REGISTER => self.on_register(from, &Register::decode(body)?, now),
            kind::UNREGISTER => {
                self.on_unregister(from, Unregister::decode(body)?.registration);
                Ok(())
            }
            kind::CREDIT => self.on_credit(from, Credit::decode(body)?),
            kind::ACK => self.on_ack(from, Ack::decode(body)?, now),
            kind::PING => {
                let Ping { nonce } = Ping::decode(body)?;
                self.send_control(from, kind::PONG, &Pong { nonce });
                Ok(())
            }
            kind::PONG => Ok(()),
            kind::CLOSE => {
                let close = Close::decode(body)?;
                if let Some(session) = self.conns.get_mut(from).and_then(|conn| conn.session_mut()) {
                    session.will = None;
                }
                self.fail(from, close.code(), close.message);
                Ok(())
            }
            other => unknown(other),
        }
    }

    fn on_hello(&mut self, from: ConnKey, hello: Hello, now: Now) -> Result<(), Violation> {
        if !hello.versions.contains(&VERSION) {
            let text = format!("this gateway speaks version {VERSION}, the client {:?}", hello.versions);
            return Err(Violation::invalid(text));
        }
        if hello.realm != self.identity.realm {
            let text = format!(
                "this gateway serves realm `{}`, the client asks for `{}`",
                self.identity.realm, hello.realm
            );
            return Err(Violation { code: Code::InvalidArgument, message: text });
        }
        let id: [u8; 16] =
            hello.publisher[..].try_into().map_err(|_| Violation::invalid("Hello.publisher has 16 bytes"))?;
        let will = hello.last_will.clone().map(|told| Will::read(told, hello.epoch)).transpose();
        let will = will.map_err(|(code, message)| Violation { code, message })?;
        if hello.resume.is_some_and(|resume| resume.gateway_epoch != self.identity.epoch) {
            self.begin_recovery(now);
        }
        // Before anything is moved to this connection, which a refusal would lose.
        if self.sessions.get(&id).is_some_and(|&ghost| self.run_of(ghost) > hello.epoch) {
            let text = "a newer run of this publisher is connected".to_owned();
            return Err(Violation { code: Code::Aborted, message: text });
        }
        if self.sessions.get(&id).is_some_and(|&ghost| self.is_of_another(ghost, &hello)) {
            let message =
                "this run of the publisher is another process's: take an epoch of your own".to_owned();
            return Err(Violation { code: Code::PermissionDenied, message });
        }
        let resumed = self.resume_session(from, &hello, now);
        if let Some(&ghost) = self.sessions.get(&id) {
            let alive = self.run_of(ghost) == hello.epoch;
            self.replace_ghost(ghost, alive, now);
        }
        let publisher = self.publishers.refer(PublisherId { id, epoch: hello.epoch });
        let known = self.publishers.get_mut(publisher);
        (known.origin, known.home) = (Some(from), Some(from));
        let accepted = self.publishers.get(publisher).accepted(MessageClass::Event);
        let settled = self.settled(publisher, accepted);
        let resume_ms = if hello.acknowledges { hello.resume_ms.min(LONGEST_RESUME_MS) } else { 0 };
        let Some(conn) = self.conns.get_mut(from) else { return Ok(()) };
        if hello.acknowledges {
            conn.keep_events();
        }
        conn.open_windows(hello.windows.unwrap_or_default());
        if let Some(session) = conn.session_mut() {
            session.live = true;
            session.publisher = publisher;
            session.accepted = accepted;
            session.settled = settled;
            session.client.clone_from(&hello.client);
            session.name.clone_from(&hello.session_name);
            session.secret.clone_from(&hello.secret);
            session.resume_ms = resume_ms;
            session.will = will.map(Box::new);
        }
        if !hello.session_name.is_empty() {
            self.named.insert(hello.session_name, from);
        }
        self.sessions.insert(id, from);
        let welcome = Welcome {
            version: VERSION,
            session: slotmap::Key::data(&from).as_ffi(),
            gateway: self.identity.name.clone(),
            gateway_epoch: self.identity.epoch,
            limits: Some(Limits {
                frame_bytes: limits::FRAME_BYTES as u32,
                payload_bytes: self.payload_bytes as u32,
                subscriptions: limits::SUBSCRIPTIONS_PER_SESSION as u32,
                registrations: limits::REGISTRATIONS_PER_SESSION as u32,
                aliases: limits::ALIASES_PER_SESSION as u32,
                calls_in_flight: limits::CALLS_IN_FLIGHT as u32,
            }),
            resumed: resumed.is_some(),
            windows: Some(WINDOWS),
            accepted,
            settled,
            resume_ms,
            inherited: resumed.map_or(Vec::new(), |resumed| resumed.inherited),
        };
        self.send_control(from, kind::WELCOME, &welcome);
        self.announce(from, StreamKind::Event);
        self.announce(from, StreamKind::Telemetry);
        self.notices.push_back(Notice::SessionJoined { conn: from, client: hello.client });
        self.tell_session(News::SessionJoined, from);
        Ok(())
    }

    fn on_subscribe(&mut self, from: ConnKey, subscribe: &Subscribe, now: Now) -> Result<(), Violation> {
        let request = Request::Subscription(subscribe.subscription);
        let pattern: Pattern = match subscribe.pattern.parse() {
            Ok(pattern) => pattern,
            Err(error) => {
                self.acknowledge(from, request, Code::InvalidArgument, format!("{error}"));
                return Ok(());
            }
        };
        let Some(session) = self.conns.get(from).and_then(|conn| conn.session()) else { return Ok(()) };
        // Taken over, or made before on a connection that was lost before the answer came.
        let stands = session.subscriptions.contains_key(&subscribe.subscription);
        if !stands && session.subscriptions.len() >= limits::SUBSCRIPTIONS_PER_SESSION {
            let text = format!("a session has at most {} subscriptions", limits::SUBSCRIPTIONS_PER_SESSION);
            self.acknowledge(from, request, Code::ResourceExhausted, text);
            return Ok(());
        }
        let events = match subscribe.events() {
            Overflow::Default => Overflow::Block,
            chosen => chosen,
        };
        let subscription = Subscription {
            conn: from,
            number: subscribe.subscription,
            pattern: pattern.clone(),
            echo: subscribe.echo,
            events,
            telemetry: subscribe.telemetry(),
            block_ms: match subscribe.block_ms {
                0 => DEFAULT_BLOCK_MS,
                chosen => chosen.min(LONGEST_BLOCK_MS),
            },
            group: subscribe.group.clone(),
            member: self.member_number(from, subscribe.subscription),
        };
        if stands {
            return self.confirm(from, subscribe, subscription, now);
        }
        let group = (!subscription.group.is_empty())
            .then(|| Name { pattern: pattern.clone(), group: subscription.group.clone() });
        let key = self.routes.subscribe(subscription);
        let mut first = true;
        if let Some(name) = &group {
            match self.join_group(key, name, subscribe.share(), subscribe.recover, now) {
                Ok(new) => first = new,
                Err((code, text)) => {
                    self.routes.unsubscribe(key);
                    self.acknowledge(from, request, code, text);
                    return Ok(());
                }
            }
        }
        if let Some(session) = self.conns.get_mut(from).and_then(|conn| conn.session_mut()) {
            session.subscriptions.insert(subscribe.subscription, key);
        }
        if group.is_none() {
            let delta = self.interest.want(&pattern, subscribe.telemetry());
            self.announce_interest(delta);
        }
        self.acknowledge_when_known(from, request, subscribe.scope(), now);
        if group.is_some() {
            self.give_absent(key, now);
        }
        // A group gets retained messages, and is told of a loss, once: with its first member.
        if subscribe.recover && first {
            self.recover(from, key, now);
        }
        if group.is_none() {
            self.await_session(from, key, subscribe.recover, now);
        }
        if subscribe.retained {
            self.send_retained(from, subscribe.subscription, first.then_some(&pattern), now);
        }
        Ok(())
    }

    /// The number of a subscription in its group, which no other member in the mesh has, but by chance: FNV-1a of the client
    /// and its own number. So the slots that it owns are the same when it comes back to a new run of its gateway.
    fn member_number(&self, conn: ConnKey, number: u32) -> u64 {
        let session = self.conns.get(conn).and_then(|conn| conn.session());
        let client = session.map_or([0; 16], |session| self.publishers.get(session.publisher).id.id);
        client.iter().chain(&number.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }

    /// A client claims a subscription that stands: of the session that it has taken over, or of its own.
    fn confirm(
        &mut self,
        from: ConnKey,
        subscribe: &Subscribe,
        subscription: Subscription,
        now: Now,
    ) -> Result<(), Violation> {
        let Some(session) = self.conns.get_mut(from).and_then(|conn| conn.session_mut()) else {
            return Ok(());
        };
        let number = subscribe.subscription;
        let Some(&key) = session.subscriptions.get(&number) else { return Ok(()) };
        let known = self.routes.subscription(key);
        if known
            .is_none_or(|known| known.pattern != subscription.pattern || known.group != subscription.group)
        {
            let text = format!("subscription {number} is in use, with another pattern or group");
            return Err(Violation::invalid(text));
        }
        session.unconfirmed.remove(&number);
        let (pattern, telemetry) = (subscription.pattern.clone(), subscription.telemetry);
        let shared = !subscription.group.is_empty();
        if let Some(before) = self.routes.renew(key, subscription) {
            if !shared {
                let wanted = self.interest.want(&pattern, telemetry);
                let unwanted = self.interest.unwant(&pattern, before.telemetry);
                self.announce_interest(wanted);
                self.announce_interest(unwanted);
            } else if before.telemetry != telemetry {
                let name = Name { pattern: pattern.clone(), group: before.group };
                let share =
                    self.groups.find(&name).and_then(|key| self.groups.get(key)).map(|group| group.share);
                share.into_iter().for_each(|share| self.announce_group(&name, share));
            }
        }
        self.acknowledge_when_known(from, Request::Subscription(number), subscribe.scope(), now);
        if subscribe.retained {
            self.send_retained(from, number, (!shared).then_some(&pattern), now);
        }
        Ok(())
    }

    /// The run of a session's publisher.
    fn run_of(&self, key: ConnKey) -> u64 {
        let session = self.conns.get(key).and_then(|conn| conn.session());
        session.map_or(0, |session| self.publishers.get(session.publisher).id.epoch)
    }

    /// True when a session is of the run that this Hello names, which is not the process that says so: anybody may have seen
    /// a publisher's id, and none but its process knows its secret.
    fn is_of_another(&self, key: ConnKey, hello: &Hello) -> bool {
        let session = self.conns.get(key).and_then(|conn| conn.session());
        session.is_some_and(|session| session.secret != hello.secret) && self.run_of(key) == hello.epoch
    }

    /// Ends a session whose client has connected anew without resuming it. Its will is that of a process that has died,
    /// or of one that is `alive` and speaks for itself.
    fn replace_ghost(&mut self, ghost: ConnKey, alive: bool, now: Now) {
        if let Some(session) = self.conns.get_mut(ghost).and_then(|conn| conn.session_mut())
            && alive
        {
            session.will = None;
        }
        let away = self.conns.get(ghost).is_some_and(|conn| conn.is_away());
        if !away {
            self.fail(ghost, Code::Aborted, "the client has connected anew".to_owned());
        }
        self.detach(ghost, now);
        if away {
            self.conns.remove(ghost);
        }
    }

    /// How far a publisher's events are settled. What was accepted of one that is met for the first time is nobody's.
    fn settled(&mut self, publisher: u32, accepted: u64) -> u64 {
        let known = self.publishers.get_mut(publisher);
        let origin =
            *known.settling.get_or_insert_with(|| self.origins.add(Whose::Publisher(publisher), accepted));
        self.origins.settled(origin)
    }

    fn on_unsubscribe(&mut self, from: ConnKey, number: u32, now: Now) {
        let orphaned = self.orphaned_shares(from, Some(number));
        let session = self.conns.get_mut(from).and_then(|conn| conn.session_mut());
        let Some(key) = session.and_then(|session| session.subscriptions.remove(&number)) else { return };
        self.stop_reading(from, number);
        self.unsubscribe(key, now);
        self.share_again(orphaned, now);
    }

    fn unsubscribe(&mut self, key: crate::key::SubscriptionKey, now: Now) {
        let Some(subscription) = self.routes.unsubscribe(key) else { return };
        if subscription.group.is_empty() {
            let delta = self.interest.unwant(&subscription.pattern, subscription.telemetry);
            self.announce_interest(delta);
        } else {
            let name = Name { pattern: subscription.pattern, group: subscription.group };
            self.leave_group(key, subscription.member, &name, now);
        }
    }

    pub(super) fn acknowledge(&mut self, to: ConnKey, request: Request, code: Code, message: String) {
        let acknowledged = Acknowledged {
            request: Some(request),
            code: code.into(),
            message,
            confirmed: 0,
            missing: Vec::new(),
        };
        self.send_control(to, kind::ACKNOWLEDGED, &acknowledged);
    }

    pub(super) fn acknowledge_when_known(&mut self, to: ConnKey, request: Request, scope: Scope, now: Now) {
        let deadline_ms = match scope {
            Scope::Local => now.elapsed_ms,
            Scope::Mesh => now.elapsed_ms + BARRIER_MS,
        };
        let barrier = Barrier { conn: to, request, version: self.interest.version(), deadline_ms, next: 0 };
        if scope == Scope::Local {
            let acknowledged =
                Acknowledged { request: Some(barrier.request), confirmed: 1, ..Acknowledged::default() };
            return self.send_control(to, kind::ACKNOWLEDGED, &acknowledged);
        }
        self.barriers.push(barrier);
        self.answer_barriers(now);
    }

    /// Answers the requests that all peers know by now, or that have waited long enough.
    pub(super) fn answer_barriers(&mut self, now: Now) {
        let mut answers = Vec::new();
        let (conns, links) = (&self.conns, &self.links);
        self.barriers.retain_mut(|barrier| {
            let lacks = |link: &ConnKey| {
                let link = conns.get(*link).and_then(|conn| conn.link());
                link.filter(|link| link.applied < barrier.version)
            };
            // Of a thousand peers that answer one after the other, all are asked once or twice and not a thousand times.
            let places = (0..links.len()).map(|step| (barrier.next + step) % links.len());
            let missing = places.into_iter().find(|place| lacks(&links[*place]).is_some());
            if let Some(missing) = missing.filter(|_| now.elapsed_ms < barrier.deadline_ms) {
                barrier.next = missing;
                return true;
            }
            let missing: Vec<String> =
                links.iter().filter_map(|link| Some(lacks(link)?.name.clone())).collect();
            let confirmed = (1 + links.len() - missing.len()) as u32;
            let acknowledged = Acknowledged {
                request: Some(barrier.request),
                confirmed,
                missing,
                ..Acknowledged::default()
            };
            answers.push((barrier.conn, acknowledged));
            false
        });
        for (to, acknowledged) in answers {
            self.send_control(to, kind::ACKNOWLEDGED, &acknowledged);
        }
    }

    /// Takes a session out of all tables.
    pub(super) fn detach_session(&mut self, key: ConnKey, now: Now) {
        if self.conns.get(key).is_some_and(|conn| conn.session().is_some_and(|session| session.live)) {
            self.tell_session(News::SessionLeft, key);
        }
        let Some(session) = self.conns.get_mut(key).and_then(|conn| conn.session_mut()) else { return };
        if !std::mem::take(&mut session.live) {
            return;
        }
        let publisher = session.publisher;
        let will = session.will.take();
        let name = std::mem::take(&mut session.name);
        let subscriptions = std::mem::take(&mut session.subscriptions);
        let registrations = std::mem::take(&mut session.registrations);
        subscriptions.into_values().for_each(|key| self.unsubscribe(key, now));
        registrations.into_values().for_each(|key| self.unregister(key));
        let known = self.publishers.get_mut(publisher);
        if known.origin == Some(key) {
            known.origin = None;
        }
        if known.home == Some(key) {
            known.home = None;
        }
        let id = known.id.id;
        if let Some(will) = will {
            self.publish_will(publisher, &will, now);
        }
        self.publishers.release(publisher, now.elapsed_ms);
        if self.named.get(&name) == Some(&key) {
            self.named.remove(&name);
        }
        if self.sessions.get(&id) == Some(&key) {
            self.sessions.remove(&id);
        }
        self.notices.push_back(Notice::SessionLeft { conn: key });
    }
}

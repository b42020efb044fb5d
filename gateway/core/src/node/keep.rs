//! Sessions whose connection is lost: kept for a while, resumed by their client, or taken over by name.

use super::announce::News;
use super::messages::describe;
use super::{Node, Notice};
use crate::conn::Told;
use crate::hash::HashSet;
use crate::key::{ConnKey, MessageClass};
use crate::queue::CLIENT_AWAY_BYTES;
use crate::time::Now;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{Close, Code, Hello, Inherited, Ping, Resumption};

/// Longest time that a session is kept.
pub(super) const LONGEST_RESUME_MS: u32 = 30_000;
/// A session that owes an acknowledgement and has been silent for this long is asked for a sign of life.
const ASK_MS: u64 = 2_000;
/// A session that was asked and is silent for this long has lost its connection, whatever QUIC still hopes. Together
/// less than the time after which `block` overtakes it.
const LOST_MS: u64 = 3_000;

/// What a session brings to its next connection.
pub(super) struct Resumed {
    pub(super) inherited: Vec<Inherited>,
}

impl Node {
    /// Keeps a session whose connection is lost; false when there is none to be kept.
    pub(super) fn keep_session(&mut self, key: ConnKey, now: Now) -> bool {
        let Some(conn) = self.conns.get_mut(key) else { return false };
        if conn.closing {
            return false;
        }
        let Some(session) = conn.session_mut().filter(|session| session.live && session.resume_ms > 0) else {
            return false;
        };
        if session.kept_until_ms.is_some() {
            return true;
        }
        session.kept_until_ms = Some(now.elapsed_ms + u64::from(session.resume_ms));
        let registrations = std::mem::take(&mut session.registrations);
        conn.clear_control();
        self.unfinished -= conn.drop_unfinished();
        self.forget_inbound(key, now);
        self.fail_orphaned_calls(key);
        registrations.into_values().for_each(|provider| self.unregister(provider));
        self.barriers.retain(|barrier| barrier.conn != key);
        let Some(conn) = self.conns.get_mut(key) else { return false };
        let mut released = Vec::new();
        for class in [MessageClass::Event, MessageClass::Telemetry] {
            let queue = conn.messages(class);
            let before = queue.weight();
            queue.suspend(CLIENT_AWAY_BYTES, &mut self.origins);
            self.queued = self.queued + queue.weight() - before;
            released.extend(queue.abandon().into_iter().map(|publisher| (publisher, class)));
        }
        self.queued -= conn.reset_rpc();
        for (publisher, class) in released {
            self.unhold(publisher, class);
        }
        true
    }

    /// Looks for the session that this Hello goes on with and moves it to the new connection.
    pub(super) fn resume_session(&mut self, to: ConnKey, hello: &Hello, now: Now) -> Option<Resumed> {
        let by_number = hello.resume.and_then(|resume| self.resumable(hello, &resume));
        if let Some(old) = by_number {
            let position = hello.resume.map_or(0, |resume| resume.position);
            let queue = self.conns.get_mut(old)?.messages(MessageClass::Event);
            let before = queue.weight();
            let whole = queue.rewind(position, &mut self.origins);
            self.queued = self.queued + queue.weight() - before;
            if whole {
                self.move_session(old, to, HashSet::default(), "the client has connected anew", now);
                return Some(Resumed { inherited: Vec::new() });
            }
        }
        if hello.session_name.is_empty() || !hello.acknowledges {
            return None;
        }
        let old = *self.named.get(&hello.session_name)?;
        if by_number == Some(old) {
            // It is this very client, which has not received what is no longer there.
            return None;
        }
        let inherited = self.inheritance(old);
        let (topics, publishers) = (&self.topics, &self.publishers);
        let queue = self.conns.get_mut(old)?.messages(MessageClass::Event);
        let before = queue.weight();
        queue.hand_over(|alias, out| describe(alias, topics, publishers, out));
        self.queued = self.queued + queue.weight() - before;
        let numbers = inherited.iter().map(|inherited| inherited.subscription).collect();
        self.move_session(old, to, numbers, "another process has taken the session over", now);
        Some(Resumed { inherited })
    }

    /// The session that this client had, if it is there and the client has proved that it is its own.
    fn resumable(&self, hello: &Hello, resume: &Resumption) -> Option<ConnKey> {
        if resume.gateway_epoch != self.identity.epoch {
            return None;
        }
        let old = ConnKey::from(slotmap::KeyData::from_ffi(resume.session));
        let session = self.conns.get(old)?.session().filter(|session| session.live)?;
        let id = self.publishers.get(session.publisher).id;
        let own = id.id[..] == hello.publisher[..] && id.epoch == hello.epoch;
        (own && !session.secret.is_empty() && session.secret == hello.secret).then_some(old)
    }

    fn inheritance(&self, old: ConnKey) -> Vec<Inherited> {
        let Some(session) = self.conns.get(old).and_then(|conn| conn.session()) else { return Vec::new() };
        let mut inherited: Vec<Inherited> = session
            .subscriptions
            .iter()
            .filter_map(|(&number, &key)| {
                let subscription = self.routes.subscription(key)?;
                let (pattern, group) = (subscription.pattern.to_string(), subscription.group.clone());
                Some(Inherited { subscription: number, pattern, group })
            })
            .collect();
        inherited.sort_by_key(|inherited| inherited.subscription);
        inherited
    }

    /// Moves what a session has to another connection. Its old connection, if it is still there, is told and closed.
    fn move_session(&mut self, old: ConnKey, to: ConnKey, inherited: HashSet<u32>, reason: &str, now: Now) {
        let Some(away) = self.conns.get(old).map(|conn| conn.is_away()) else { return };
        if !away {
            // Before the session is taken out, since it counts its calls.
            self.fail_orphaned_calls(old);
        }
        self.tell_session(News::SessionLeft, old);
        let Some(conn) = self.conns.get_mut(old) else { return };
        let mut events = conn.take_queue(MessageClass::Event);
        let mut telemetry = conn.take_queue(MessageClass::Telemetry);
        let waiting = telemetry.abandon();
        self.queued -= telemetry.weight();
        let lost = telemetry.give_up(&mut self.origins);
        let Some(session) = conn.session_mut() else { return };
        let moved = std::mem::take(session);
        events.come_back(0);
        for publisher in waiting {
            self.unhold(publisher, MessageClass::Telemetry);
        }
        if !away {
            if let Some(conn) = self.conns.get_mut(old) {
                self.unfinished -= conn.drop_unfinished();
            }
            moved.registrations.values().for_each(|provider| self.unregister(*provider));
            self.forget_inbound(old, now);
            self.barriers.retain(|barrier| barrier.conn != old);
        }
        let known = self.publishers.get_mut(moved.publisher);
        (known.origin, known.home) = (None, None);
        let id = known.id.id;
        self.publishers.release(moved.publisher, now.elapsed_ms);
        self.sessions.remove(&id);
        self.named.remove(&moved.name);
        for key in moved.subscriptions.values() {
            self.routes.rehome(*key, to);
        }
        self.move_readings(old, to);
        self.rehome_recovery(old, to);
        let Some(conn) = self.conns.get_mut(to) else { return };
        conn.put_queue(MessageClass::Event, events);
        conn.messages(MessageClass::Telemetry).note_loss(Some(lost));
        if let Some(session) = conn.session_mut() {
            session.subscriptions = moved.subscriptions;
            session.unconfirmed = inherited;
        }
        if away {
            self.conns.remove(old);
            return;
        }
        if let Some(conn) = self.conns.get_mut(old) {
            conn.closing = true;
            let (code, message) = (Code::Aborted, reason.to_owned());
            conn.control(kind::CLOSE, &Close { code: code.into(), message: message.clone() });
            self.announce_control(old);
            self.notices.push_back(Notice::Close {
                conn: old,
                code,
                message,
                own_address: false,
                node: None,
            });
        }
    }

    /// Ends a session that nobody resumed in time, and looks after one that is silent though it has to acknowledge.
    pub(super) fn check_session(&mut self, key: ConnKey, attentive_ms: u64, now: Now) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        let heard = conn.heard_ms;
        let silent = attentive_ms.saturating_sub(heard);
        if conn.closing || silent < ASK_MS {
            return;
        }
        let owes = conn.messages(MessageClass::Event).weight() > 0;
        let Some(session) = conn.session_mut().filter(|session| session.live) else { return };
        if let Some(until) = session.kept_until_ms {
            if now.elapsed_ms >= until {
                self.detach(key, now);
                self.conns.remove(key);
            }
            return;
        }
        if !owes || session.resume_ms == 0 {
            return;
        }
        match session.asked_ms.filter(|asked| *asked > heard) {
            Some(asked) if attentive_ms - asked >= LOST_MS => self.lose_connection(key, silent, now),
            Some(_) => {}
            None => {
                session.asked_ms = Some(attentive_ms);
                self.send_control(key, kind::PING, &Ping { nonce: now.elapsed_ms });
            }
        }
    }

    /// Takes a connection for lost that QUIC still waits for.
    fn lose_connection(&mut self, key: ConnKey, silent: u64, now: Now) {
        if self.keep_session(key, now) {
            let message = format!("the client has said nothing for {silent} ms and may resume");
            self.notices.push_back(Notice::Close {
                conn: key,
                code: Code::Unavailable,
                message,
                own_address: false,
                node: None,
            });
        }
    }

    /// Gives back the aliases that the other end has told.
    pub(super) fn forget_inbound(&mut self, key: ConnKey, now: Now) {
        for stream in [StreamKind::Event, StreamKind::Telemetry] {
            let Some(conn) = self.conns.get_mut(key) else { return };
            let told = conn.take_told(stream);
            self.forget_told(told, now);
        }
    }

    pub(super) fn forget_told(&mut self, told: Told, now: Now) {
        told.topics.into_iter().flatten().for_each(|alias| self.topics.release(alias));
        for alias in told.publishers.into_iter().flatten() {
            self.publishers.release(alias, now.elapsed_ms);
        }
    }
}

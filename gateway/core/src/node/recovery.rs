//! The time after a start in which clients of the run before come back: publishers send again what was not settled,
//! and subscribers ask for it, in whatever order they come.

use super::Node;
use super::messages::{Moving, encode_shared, tell_aliases};
use crate::key::{ConnKey, MessageClass, SubscriptionKey};
use crate::origins::Mark;
use crate::queue::Entry;
use crate::time::Now;
use macula_proto::wire;
use std::collections::VecDeque;

/// How long after its start a gateway takes clients for those of its run before. Longer than they take to reconnect,
/// with their longest wait between attempts.
const START_MS: u64 = 60_000;
/// How long events are held for subscribers that come back, from the first client on that does.
const WINDOW_MS: u64 = 10_000;
/// Bytes of events that are held; the oldest leave first. As much as four publishers keep by default.
const LOG_BYTES: usize = 64 << 20;

/// Events held for subscribers that come back.
#[derive(Debug)]
pub(super) struct Recovery {
    until_ms: u64,
    log: VecDeque<Logged>,
    bytes: usize,
    /// Some have left.
    overflowed: bool,
}

impl Recovery {
    /// Events that are held.
    pub(super) fn len(&self) -> usize {
        self.log.len()
    }
}

#[derive(Debug)]
struct Logged {
    topic: u32,
    publisher: u32,
    sequence: u64,
    stamp: u64,
    key: Box<str>,
    expires_ms: u64,
    message: Box<[u8]>,
    mark: Mark,
}

impl Node {
    /// A client has come that was connected elsewhere, or to an earlier run of this gateway.
    pub(super) fn begin_recovery(&mut self, now: Now) {
        if self.recovery.is_none() && !self.recovered && now.elapsed_ms < START_MS {
            self.recovered = true;
            self.recovery = Some(Recovery {
                until_ms: now.elapsed_ms + WINDOW_MS,
                log: VecDeque::new(),
                bytes: 0,
                overflowed: false,
            });
        }
    }

    /// Holds an event that is under way for those who come back. It is settled when they have had their time.
    #[cold]
    pub(super) fn log(&mut self, moving: Moving<'_>, now: Now) {
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
            key: moving.key.into(),
            expires_ms: moving.expires_ms,
            message: moving.message.into(),
            mark: moving.mark,
        });
        while recovery.bytes > LOG_BYTES
            && let Some(logged) = recovery.log.pop_front()
        {
            recovery.bytes -= logged.message.len() + size_of::<Logged>();
            recovery.overflowed = true;
            self.topics.release(logged.topic);
            self.publishers.release(logged.publisher, now.elapsed_ms);
            self.origins.release(logged.mark);
        }
    }

    /// Ends the time in which clients come back, when it is over.
    pub(super) fn check_recovery(&mut self, now: Now) {
        let Some(recovery) = self.recovery.take_if(|recovery| now.elapsed_ms >= recovery.until_ms) else {
            return;
        };
        for logged in recovery.log {
            self.topics.release(logged.topic);
            self.publishers.release(logged.publisher, now.elapsed_ms);
            self.origins.release(logged.mark);
        }
    }

    /// Sends a subscription that was made again what was published before it came back, or tells that nobody knows.
    pub(super) fn recover(&mut self, to: ConnKey, key: SubscriptionKey, now: Now) {
        let held = self.recovery.as_ref().is_some_and(|recovery| !recovery.overflowed);
        let Some(conn) = self.conns.get_mut(to) else { return };
        let queue = conn.messages(MessageClass::Event);
        if !held {
            queue.note_loss(None);
        }
        let (Some(recovery), Some(subscription)) = (&self.recovery, self.routes.subscription(key)) else {
            return self.announce(to, MessageClass::Event.stream());
        };
        let mut subscriptions = Vec::new();
        wire::encode_subscriptions(&mut subscriptions, &[subscription.number]);
        let before = queue.weight();
        for logged in &recovery.log {
            let own = self.publishers.get(logged.publisher).home == Some(to);
            let wanted = subscription.pattern.matches(&self.topics.get(logged.topic).topic);
            let over = logged.expires_ms > 0 && logged.expires_ms <= now.elapsed_ms;
            if !wanted || over || (own && !subscription.echo) {
                continue;
            }
            let moving = Moving {
                class: MessageClass::Event,
                topic: logged.topic,
                publisher: logged.publisher,
                sequence: logged.sequence,
                stamp: logged.stamp,
                retained: false,
                resent: true,
                redirected: false,
                key: &logged.key,
                message: &logged.message,
                mark: logged.mark,
                expires_ms: logged.expires_ms,
            };
            encode_shared(&mut self.shared, moving);
            tell_aliases(queue, &self.topics, &self.publishers, moving);
            let entry = Entry {
                subscriptions: &subscriptions,
                shared: &self.shared,
                topic: logged.topic,
                key: &logged.key,
                mark: logged.mark,
                expires_ms: logged.expires_ms,
            };
            queue.append(entry, &mut self.origins);
        }
        self.queued = self.queued + queue.weight() - before;
        self.announce(to, MessageClass::Event.stream());
    }
}

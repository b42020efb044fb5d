//! Messages that nobody sent: the gateway publishes them, for a client that has died or for itself.

use super::Node;
use super::messages::Moving;
use crate::key::{MessageClass, PublisherId};
use crate::origins::Mark;
use crate::retained::Kept;
use crate::time::Now;
use crate::will::Will;
use macula_proto::{Topic, wire};

/// The epoch of last wills. No run of a client has it, so what the gateway says for it takes no sequence that the client
/// may use yet: it may be alive and come back.
const WILL_EPOCH: u64 = 0;

/// A message of the gateway.
pub(super) struct Own<'a> {
    pub(super) publisher: PublisherId,
    pub(super) sequence: u64,
    pub(super) class: MessageClass,
    pub(super) topic: &'a Topic,
    pub(super) content_type: &'a str,
    /// Encoded.
    pub(super) message: &'a [u8],
}

impl Node {
    /// Publishes the last will of a client under its identity. Sequences are milliseconds since 1970, or one more than
    /// the last: they rise from one will to the next, at whichever gateway the client dies.
    pub(super) fn publish_will(&mut self, publisher: u32, will: &Will, now: Now) {
        let publisher = PublisherId { id: self.publishers.get(publisher).id.id, epoch: WILL_EPOCH };
        let alias = self.publishers.refer(publisher);
        let known = self.publishers.get_mut(alias);
        let sequence = now.unix_ms.max(known.accepted(will.class).max(known.seen.last()) + 1);
        known.accept(will.class, sequence);
        self.publishers.release(alias, now.elapsed_ms);
        self.counters.wills += 1;
        self.publish_own(
            Own {
                publisher,
                sequence,
                class: will.class,
                topic: &will.topic,
                content_type: &will.content_type,
                message: &will.message,
            },
            now,
        );
    }

    /// Publishes a message to everyone who wants it. Where there is no room for its topic or value it is lost, and counted.
    pub(super) fn publish_own(&mut self, own: Own<'_>, now: Now) {
        let Ok(message) = wire::Message::decode(own.message) else { return };
        let Some(topic) = self.topics.refer(own.topic, own.content_type) else {
            self.counters.lost[own.class as usize] += 1;
            return;
        };
        let publisher = self.publishers.refer(own.publisher);
        let keeps = message.retain || message.remove;
        let moving = Moving {
            class: own.class,
            topic,
            publisher,
            sequence: own.sequence,
            stamp: if keeps { self.clock.stamp(now) } else { 0 },
            retained: false,
            resent: false,
            redirected: false,
            key: message.key,
            message: own.message,
            mark: Mark::default(),
            expires_ms: super::messages::expires_ms(message.time_to_live_ms, now),
        };
        if !(keeps && self.keep(moving, now) == Kept::Full) {
            self.deliver(false, moving, now);
        }
        self.topics.release(topic);
        self.publishers.release(publisher, now.elapsed_ms);
    }
}

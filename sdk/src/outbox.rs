//! What this client publishes in one class: sequences, aliases, and the events that may have to be sent again.
//!
//! An event stays here, encoded, until it is settled: acknowledged by all its receivers, or these were told their loss.
//! After a reconnect the same bytes are sent again, in order and with their sequences, behind the aliases that they use:
//! to the same run of the gateway what it has not accepted, to any other everything. When the outbox is full, the oldest
//! events that the gateway has accepted leave early; what it has not accepted never does.

mod waiters;

use crate::aliases::{Aliases, Name, Remembered, Touched};
use crate::batches::{Batch, Batches, Taken};
use crate::error::PublishError;
use crate::message::Class;
use crate::publish::Receipt;
use bytes::Bytes;
use macula_proto::v1::{Code, Resent, Welcome};
use macula_proto::{frame, kind, limits, wire};
use std::collections::VecDeque;
use tokio::sync::oneshot;
use waiters::Waiters;

/// Bytes that may wait for credit while connected. As much as a default window: the gateway never has to wait for
/// a sender to wake.
const UNSENT_BYTES: usize = 1 << 20;

/// The messages of one class on their way out.
#[derive(Debug)]
pub(crate) struct Outbox {
    class: Class,
    batches: Batches,
    /// Sent, and not settled: events only.
    kept: VecDeque<Batch>,
    kept_bytes: usize,
    /// Most bytes of events that are held in all.
    limit: usize,
    sequence: u64,
    /// Some gateway has answered every event up to this one.
    accepted: u64,
    /// The gateway of now has.
    accepted_here: u64,
    settled: u64,
    /// Up to this one, nothing is held any more.
    left: u64,
    /// Run of the gateway that was published to last.
    gateway_epoch: Option<u64>,
    aliases: Aliases,
    waiters: Waiters,
    link: Link,
    /// The gateway is about to leave: nothing more is sent to it.
    held: bool,
    /// Somebody waits for space.
    crowded: bool,
    payload_limit: usize,
    counts: Counts,
    failures: Failures,
}

/// What has happened to messages besides being sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) dropped: u64,
    pub(crate) refused: u64,
    /// Sent again.
    pub(crate) resent: u64,
    /// Left the outbox before they were settled, because it was full.
    pub(crate) unsettled: u64,
}

/// What nobody who published has been told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failures {
    /// How many were refused, and code and text of the first.
    pub(crate) refused: Option<(u64, Code, String)>,
    /// How many answers were lost with a connection: each was accepted or refused.
    pub(crate) unanswered: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Down,
    Up,
    Closed,
}

/// Answer to a publisher.
pub(crate) type Answer = Result<Receipt, PublishError>;

/// A message was taken over.
#[derive(Debug)]
pub(crate) struct Pushed {
    pub(crate) sequence: u64,
    pub(crate) remembered: Option<Remembered>,
    /// The writer has to be woken.
    pub(crate) wake: bool,
}

/// A message was not taken over.
#[derive(Debug)]
pub(crate) enum NotPushed {
    Full,
    Failed(PublishError),
}

impl Outbox {
    pub(crate) fn new(class: Class, limit: usize) -> Self {
        Self {
            class,
            batches: Batches::default(),
            kept: VecDeque::new(),
            kept_bytes: 0,
            limit,
            sequence: 0,
            accepted: 0,
            accepted_here: 0,
            settled: 0,
            left: 0,
            gateway_epoch: None,
            aliases: Aliases::default(),
            waiters: Waiters::default(),
            link: Link::Down,
            held: false,
            crowded: false,
            payload_limit: limits::PAYLOAD_BYTES,
            counts: Counts::default(),
            failures: Failures::default(),
        }
    }

    /// Takes over a message; with `report` the gateway is asked how many receivers it has. Telemetry without a
    /// connection is dropped and counted.
    #[inline]
    pub(crate) fn push(
        &mut self,
        name: &Name,
        remembered: Option<Remembered>,
        message: &wire::Message<'_>,
        report: bool,
    ) -> Result<Pushed, NotPushed> {
        if message.payload.len() > self.payload_limit {
            let (bytes, limit) = (message.payload.len(), self.payload_limit);
            return Err(NotPushed::Failed(PublishError::TooLarge { what: "payload", bytes, limit }));
        }
        match self.link {
            Link::Closed => return Err(NotPushed::Failed(PublishError::Closed)),
            Link::Down if self.class == Class::Telemetry => {
                self.counts.dropped += 1;
                return Ok(Pushed { sequence: 0, remembered, wake: false });
            }
            Link::Down | Link::Up => {}
        }
        if self.is_full() {
            self.crowded = true;
            return Err(NotPushed::Full);
        }
        let next = self.sequence + 1;
        let (remembered, Touched { alias, told }) =
            match remembered.and_then(|known| Some((known, self.aliases.touch(known, next)?))) {
                Some(touched) => touched,
                None => self.look_up(name, next)?,
            };
        self.sequence = next;
        self.counts.sent += 1;
        let wake = self.batches.append(Some(next), |out| {
            if !told {
                frame::put_message(out, kind::TOPIC_ALIAS, &self.aliases.frame(alias));
            }
            wire::encode_publish(out, alias, next, message, report);
        });
        Ok(Pushed { sequence: next, remembered: Some(remembered), wake })
    }

    /// The next bytes to write.
    pub(crate) fn take(&mut self) -> Option<Bytes> {
        let taken = if self.held { self.batches.take_rest() } else { self.batches.take() };
        let Taken { bytes, finished } = taken?;
        if self.class == Class::Event
            && let Some(batch) = finished
        {
            self.keep(batch);
        }
        Some(bytes)
    }

    /// Whether those who wait for space may go on: the buffer is half empty. Asked after something has left.
    pub(crate) fn has_room(&mut self) -> bool {
        self.crowded
            && (self.link != Link::Up || self.batches.unsent() <= UNSENT_BYTES / 2)
            && (self.class == Class::Telemetry || self.is_below(self.limit - self.limit / 4))
            && std::mem::take(&mut self.crowded)
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// True when nothing waits to be written.
    pub(crate) fn is_drained(&self) -> bool {
        self.batches.unsent() == 0
    }

    /// True when every message that was sent is settled.
    pub(crate) fn is_quiet(&self) -> bool {
        self.settled >= self.batches.started()
    }

    /// The gateway is about to leave: what it has not been sent waits for the next one.
    pub(crate) fn hold(&mut self) {
        self.held = true;
    }

    pub(crate) fn grant(&mut self, total: u64) -> bool {
        self.batches.grant(total)
    }

    /// The gateway holds every event up to this one; `matches` tells how many receivers this one has.
    pub(crate) fn accept(&mut self, sequence: u64, matches: Option<u32>) {
        self.accepted_here = self.accepted_here.max(sequence.min(self.sequence));
        self.accepted = self.accepted.max(self.accepted_here);
        self.waiters.accept(self.accepted, matches.map(|matches| (sequence, matches)));
    }

    /// All receivers of the events up to this one have acknowledged them, were told their loss, or left.
    pub(crate) fn settle(&mut self, sequence: u64) {
        self.settled = self.settled.max(sequence.min(self.sequence));
        while self.kept.front().is_some_and(|batch| batch.last <= self.settled) {
            self.drop_oldest();
        }
        self.waiters.settle(self.settled);
    }

    /// The gateway refused this message. False when nobody waits for its answer.
    pub(crate) fn refuse(&mut self, sequence: u64, code: Code, message: String) -> bool {
        self.counts.refused += 1;
        if let Some(waiter) = self.waiters.take_own(sequence) {
            return waiter.send(Err(PublishError::Refused { code, message })).is_ok();
        }
        match &mut self.failures.refused {
            Some((count, ..)) => *count += 1,
            none => *none = Some((1, code, message)),
        }
        false
    }

    /// What has failed since the last time without anybody waiting for it.
    pub(crate) fn failures(&mut self) -> Failures {
        std::mem::take(&mut self.failures)
    }

    /// Resolves when message `sequence` is answered.
    pub(crate) fn wait_for(&mut self, sequence: u64) -> oneshot::Receiver<Answer> {
        if self.link == Link::Closed {
            return waiters::answered(Err(PublishError::Closed));
        }
        self.waiters.add(sequence, true, self.accepted)
    }

    /// Resolves when everything so far is answered.
    pub(crate) fn wait_for_all(&mut self) -> oneshot::Receiver<Answer> {
        if self.link == Link::Closed {
            return waiters::answered(Err(PublishError::Closed));
        }
        self.waiters.add(self.sequence, false, self.accepted)
    }

    /// Resolves when everything so far is settled.
    pub(crate) fn wait_for_settled(&mut self) -> oneshot::Receiver<Answer> {
        if self.link == Link::Closed {
            return waiters::answered(Err(PublishError::Closed));
        }
        self.waiters.add_settled(self.sequence, self.settled)
    }

    /// Begins a connection: what this gateway does not hold goes out again, first the aliases that it uses.
    pub(crate) fn open(&mut self, credit: u64, welcome: &Welcome) {
        if self.link == Link::Closed {
            return;
        }
        self.link = Link::Up;
        self.held = false;
        let limits = welcome.limits.unwrap_or_default();
        if limits.payload_bytes > 0 {
            self.payload_limit = limits.payload_bytes as usize;
        }
        let unsent = self.batches.drain();
        let mut head = Vec::new();
        let from = match self.class {
            Class::Event => self.first_again(welcome, &mut head),
            Class::Telemetry => self.sequence,
        };
        let alias_limit = if limits.aliases == 0 { usize::MAX } else { limits.aliases as usize };
        head.extend(self.aliases.restart(from, alias_limit.min(limits::ALIASES_PER_SESSION)));
        self.batches.restart(credit);
        if !head.is_empty() {
            self.batches.push(Batch::plain(head));
        }
        let kept = std::mem::take(&mut self.kept);
        self.kept_bytes = 0;
        for batch in kept.into_iter().chain(unsent) {
            if batch.last > from {
                self.send_again(batch, from);
            } else {
                self.keep(batch);
            }
        }
    }

    /// Ends the connection. Telemetry that was not sent is dropped.
    pub(crate) fn lose(&mut self) {
        if self.link == Link::Up {
            self.link = Link::Down;
        }
        if self.class == Class::Telemetry {
            self.counts.dropped += self.batches.drain().iter().map(|batch| batch.messages).sum::<u64>();
        }
    }

    /// Ends everything.
    pub(crate) fn close(&mut self) {
        self.lose();
        self.link = Link::Closed;
        self.waiters.close();
        self.kept.clear();
        self.batches.drain();
    }

    /// The event after which everything is to be sent to this gateway; writes what it has to know before.
    fn first_again(&mut self, welcome: &Welcome, head: &mut Vec<u8>) -> u64 {
        let before = self.accepted;
        let same = self.gateway_epoch.replace(welcome.gateway_epoch) == Some(welcome.gateway_epoch);
        let known = if same { self.accepted_here } else { 0 };
        self.accepted_here = known.max(welcome.accepted.min(self.sequence));
        // Their answers were lost with the connection: each was accepted or refused.
        self.failures.unanswered += self.waiters.lose_answers(before, self.accepted_here);
        self.accept(self.accepted_here, None);
        self.settle(welcome.settled);
        if same {
            return self.accepted_here;
        }
        let (from, sent) = (self.settled.max(self.accepted_here), self.batches.started());
        if sent > from {
            frame::put_message(head, kind::RESENT, &Resent { sequence: sent });
        }
        from
    }

    /// Queues what follows `from`, and keeps what does not.
    fn send_again(&mut self, batch: Batch, from: u64) {
        let [before, after] = batch.split(from);
        self.keep(before);
        if after.last <= self.batches.started() {
            self.counts.resent += after.messages;
        }
        self.batches.push(after);
    }

    /// Keeps a batch that was sent until it is settled.
    fn keep(&mut self, batch: Batch) {
        if batch.last > self.settled {
            self.kept_bytes += batch.bytes.len();
            self.kept.push_back(batch);
        } else {
            self.left = self.left.max(batch.last);
        }
    }

    fn is_full(&mut self) -> bool {
        let unsent = self.batches.unsent();
        (self.link == Link::Up && unsent >= UNSENT_BYTES)
            || (self.class == Class::Event && !self.is_below(self.limit))
    }

    /// Whether fewer bytes are held, once what may leave early has left.
    fn is_below(&mut self, bytes: usize) -> bool {
        while self.batches.unsent() + self.kept_bytes >= bytes {
            if !self.leave_early() {
                return false;
            }
        }
        true
    }

    /// Lets the oldest events go that the gateway has accepted; false when there are none.
    fn leave_early(&mut self) -> bool {
        let accepted = self.kept.front().is_some_and(|batch| batch.last <= self.accepted_here);
        if accepted {
            self.counts.unsettled += self.kept.front().map_or(0, |batch| batch.messages);
            self.drop_oldest();
        }
        accepted
    }

    fn drop_oldest(&mut self) {
        if let Some(batch) = self.kept.pop_front() {
            self.kept_bytes -= batch.bytes.len();
            self.left = self.left.max(batch.last);
        }
    }

    #[cold]
    fn look_up(&mut self, name: &Name, next: u64) -> Result<(Remembered, Touched), NotPushed> {
        loop {
            let left = if self.class == Class::Event { self.left } else { u64::MAX };
            let found = self
                .aliases
                .find(name, left)
                .and_then(|found| Some((found, self.aliases.touch(found, next)?)));
            match found {
                Some(found) => return Ok(found),
                // An alias is in use as long as an event that uses it may be sent again.
                None if self.leave_early() => {}
                None => {
                    self.crowded = true;
                    return Err(NotPushed::Full);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;

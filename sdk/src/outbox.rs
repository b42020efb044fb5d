//! What this client publishes in one class: sequences, aliases, and the events that no gateway has accepted yet.
//!
//! An event stays here, encoded, until the gateway accepts it. After a reconnect the same bytes are sent again,
//! in order and with their sequences, behind the aliases that they use.

use crate::aliases::{Aliases, Name, Remembered};
use crate::batches::{Batch, Batches, Taken};
use crate::error::PublishError;
use crate::message::Class;
use bytes::Bytes;
use macula_proto::v1::{Code, Welcome};
use macula_proto::{frame, kind, limits, varint, wire};
use std::collections::VecDeque;
use tokio::sync::oneshot;

/// Bytes that may wait for credit while connected. As much as a default window: the gateway never has to wait for
/// a sender to wake.
const UNSENT_BYTES: usize = 1 << 20;

/// The messages of one class on their way out.
#[derive(Debug)]
pub(crate) struct Outbox {
    class: Class,
    batches: Batches,
    /// Sent, and not accepted: events only.
    kept: VecDeque<Batch>,
    kept_bytes: usize,
    /// Most bytes of events that are held in all.
    limit: usize,
    sequence: u64,
    accepted: u64,
    aliases: Aliases,
    waiters: VecDeque<Waiter>,
    link: Link,
    /// Somebody waits for space.
    crowded: bool,
    payload_limit: usize,
    counts: Counts,
    refusal: Option<(u64, Code, String)>,
}

/// What has happened to messages besides being sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) dropped: u64,
    pub(crate) refused: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Down,
    Up,
    Closed,
}

/// Somebody who waits for the acceptance of everything up to a sequence.
#[derive(Debug)]
struct Waiter {
    sequence: u64,
    /// Waits for this one message and so hears of its refusal.
    own: bool,
    answer: oneshot::Sender<Result<(), PublishError>>,
}

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
            aliases: Aliases::default(),
            waiters: VecDeque::new(),
            link: Link::Down,
            crowded: false,
            payload_limit: limits::PAYLOAD_BYTES,
            counts: Counts::default(),
            refusal: None,
        }
    }

    /// Takes over a message. Telemetry without a connection is dropped and counted.
    #[inline]
    pub(crate) fn push(
        &mut self,
        name: &Name,
        remembered: Option<Remembered>,
        message: &wire::Message<'_>,
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
            _ if self.is_full() => {
                self.crowded = true;
                return Err(NotPushed::Full);
            }
            _ => {}
        }
        let next = self.sequence + 1;
        let (remembered, (alias, untold)) =
            match remembered.and_then(|known| Some((known, self.aliases.touch(known, next)?))) {
                Some(touched) => touched,
                None => self.look_up(name, next)?,
            };
        self.sequence = next;
        self.counts.sent += 1;
        let wake = self.batches.append(Some(next), |out| {
            if let Some(untold) = untold {
                frame::put_message(out, kind::TOPIC_ALIAS, &untold);
            }
            wire::encode_publish(out, alias, next, message, false);
        });
        Ok(Pushed { sequence: next, remembered: Some(remembered), wake })
    }

    /// The next bytes to write.
    pub(crate) fn take(&mut self) -> Option<Bytes> {
        let Taken { bytes, finished } = self.batches.take()?;
        if let Some(batch) = finished.filter(|batch| self.class == Class::Event && batch.last > self.accepted)
        {
            self.kept_bytes += batch.bytes.len();
            self.kept.push_back(batch);
        }
        Some(bytes)
    }

    /// Whether those who wait for space may go on: the buffer is half empty. Asked after something has left.
    pub(crate) fn has_room(&mut self) -> bool {
        let held = self.kept_bytes + self.batches.unsent();
        self.crowded
            && (self.link != Link::Up || self.batches.unsent() <= UNSENT_BYTES / 2)
            && (self.class == Class::Telemetry || held <= self.limit - self.limit / 4)
            && std::mem::take(&mut self.crowded)
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// True when nothing waits to be written.
    pub(crate) fn is_drained(&self) -> bool {
        self.batches.unsent() == 0
    }

    /// True when every message has been accepted.
    pub(crate) fn is_settled(&self) -> bool {
        self.accepted == self.sequence
    }

    pub(crate) fn grant(&mut self, total: u64) -> bool {
        self.batches.grant(total)
    }

    /// The gateway holds every event up to this one.
    pub(crate) fn accept(&mut self, sequence: u64) {
        self.accepted = self.accepted.max(sequence.min(self.sequence));
        while self.kept.front().is_some_and(|batch| batch.last <= self.accepted) {
            self.kept_bytes -= self.kept.pop_front().map_or(0, |batch| batch.bytes.len());
        }
        while self.waiters.front().is_some_and(|waiter| waiter.sequence <= self.accepted) {
            if let Some(waiter) = self.waiters.pop_front() {
                let _ = waiter.answer.send(Ok(()));
            }
        }
    }

    /// The gateway refused this message. False when nobody waits for its answer.
    pub(crate) fn refuse(&mut self, sequence: u64, code: Code, message: String) -> bool {
        self.counts.refused += 1;
        let first = self.waiters.partition_point(|waiter| waiter.sequence < sequence);
        let own = (first..self.waiters.len())
            .take_while(|&at| self.waiters[at].sequence == sequence)
            .find(|&at| self.waiters[at].own);
        if let Some(waiter) = own.and_then(|at| self.waiters.remove(at)) {
            return waiter.answer.send(Err(PublishError::Refused { code, message })).is_ok();
        }
        match &mut self.refusal {
            Some((count, ..)) => *count += 1,
            none => *none = Some((1, code, message)),
        }
        false
    }

    /// Refusals since the last time that nobody waited for.
    pub(crate) fn refusal(&mut self) -> Option<(u64, Code, String)> {
        self.refusal.take()
    }

    /// Resolves when message `sequence` is answered.
    pub(crate) fn wait_for(&mut self, sequence: u64) -> oneshot::Receiver<Result<(), PublishError>> {
        self.wait(sequence, true)
    }

    /// Resolves when everything so far is answered.
    pub(crate) fn wait_for_all(&mut self) -> oneshot::Receiver<Result<(), PublishError>> {
        self.wait(self.sequence, false)
    }

    /// Begins a connection: what is not accepted goes out again, first the aliases that it uses.
    pub(crate) fn open(&mut self, credit: u64, welcome: &Welcome) {
        if self.link == Link::Closed {
            return;
        }
        self.link = Link::Up;
        let limits = welcome.limits.unwrap_or_default();
        if limits.payload_bytes > 0 {
            self.payload_limit = limits.payload_bytes as usize;
        }
        let unsent = self.batches.drain();
        let settled = match self.class {
            Class::Event => {
                self.accept(welcome.accepted);
                self.accepted
            }
            Class::Telemetry => self.sequence,
        };
        let alias_limit = if limits.aliases == 0 { usize::MAX } else { limits.aliases as usize };
        let told = self.aliases.restart(settled, alias_limit.min(limits::ALIASES_PER_SESSION));
        self.batches.restart(credit);
        if !told.is_empty() {
            self.batches.push(Batch::plain(told));
        }
        self.kept_bytes = 0;
        let again = std::mem::take(&mut self.kept).into_iter().chain(unsent);
        for mut batch in again.filter(|batch| batch.last > settled) {
            batch.bytes = after(&batch.bytes, settled);
            self.batches.push(batch);
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
        for waiter in self.waiters.drain(..) {
            let _ = waiter.answer.send(Err(PublishError::Closed));
        }
        self.kept.clear();
        self.batches.drain();
    }

    fn is_full(&self) -> bool {
        let unsent = self.batches.unsent();
        (self.link == Link::Up && unsent >= UNSENT_BYTES)
            || (self.class == Class::Event && unsent + self.kept_bytes >= self.limit)
    }

    #[cold]
    fn look_up(&mut self, name: &Name, next: u64) -> Result<(Remembered, Touched), NotPushed> {
        let settled = if self.class == Class::Event { self.accepted } else { u64::MAX };
        let found = self
            .aliases
            .find(name, settled)
            .and_then(|found| Some((found, self.aliases.touch(found, next)?)));
        found.ok_or_else(|| {
            self.crowded = true;
            NotPushed::Full
        })
    }

    fn wait(&mut self, sequence: u64, own: bool) -> oneshot::Receiver<Result<(), PublishError>> {
        let (answer, receiver) = oneshot::channel();
        if self.link == Link::Closed {
            let _ = answer.send(Err(PublishError::Closed));
        } else if sequence <= self.accepted {
            let _ = answer.send(Ok(()));
        } else {
            let at = self.waiters.partition_point(|waiter| waiter.sequence <= sequence);
            self.waiters.insert(at, Waiter { sequence, own, answer });
        }
        receiver
    }
}

type Touched = (u32, Option<macula_proto::v1::TopicAlias>);

/// The rest of a batch from its first message after `settled` on.
fn after(batch: &Bytes, settled: u64) -> Bytes {
    let mut at = 0;
    while let Ok(Some((length, taken))) = varint::get(&batch[at..]) {
        let end = at + taken + length as usize;
        let (kind, body) = (batch[at + taken], &batch[at + taken + 1..end]);
        if kind == kind::PUBLISH
            && wire::Publish::decode(body).is_ok_and(|publish| publish.sequence > settled)
        {
            break;
        }
        at = end;
    }
    batch.slice(at..)
}

#[cfg(test)]
mod tests;

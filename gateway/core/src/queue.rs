//! What waits to be sent on one class stream of one session or link.
//!
//! The usual case is one append to the open batch: encoded frames lie side by side and leave as whole
//! buffers. Only when the receiver falls behind do messages whose policy may drop them wait one by one in
//! `held`, where they can still be replaced or removed.

mod held;

use crate::bitset::BitSet;
use bytes::Bytes;
use held::Held;
use macula_proto::v1::{Class, Dropped, Gap, Overflow};
use macula_proto::{frame, kind, varint};
use std::collections::VecDeque;

/// A batch is sealed at this size: large enough that a write costs little per message, small enough to stay
/// in the cache. 16 to 64 KiB measured alike on loopback.
const BATCH_BYTES: usize = 32 << 10;
/// Backlog from which droppable telemetry is conflated or dropped. Two windows of a default client.
const SOFT_BYTES: usize = 512 << 10;
/// Backlog from which `block` withholds publishers' credit.
const HIGH_BYTES: usize = 1 << 20;
/// Backlog at which withheld publishers go on: half, so that they do not stop and go for each message.
const LOW_BYTES: usize = HIGH_BYTES / 2;
/// Backlog that nothing passes. Publishers overshoot `HIGH_BYTES` by what is under way: a window each, and a
/// link's queue.
const HARD_BYTES: usize = 64 << 20;
/// Backlog that each queue may have even when the whole gateway holds too much: who reads in time loses nothing
/// because of others. Two batches.
const SHARE_BYTES: usize = 2 * BATCH_BYTES;

/// The queue of one class stream.
#[derive(Debug)]
pub(crate) struct Queue {
    class: Class,
    sealed: VecDeque<Bytes>,
    open: Vec<u8>,
    /// Bytes in `sealed` and `open`.
    batched: usize,
    held: Held,
    /// Bytes that the receiver lets us send in all, and that we have handed out.
    credit: u64,
    sent: u64,
    /// Messages lost here that the receiver has not been told of.
    lost: u64,
    /// Nobody knows how many more were lost on their way here; the receiver has not been told.
    unknown: bool,
    /// Publishers that wait for this queue, and since when.
    waiting: Vec<u32>,
    waiting_since_ms: u64,
    wait_ms: u64,
    /// `block` has waited long enough: drop until the backlog is low.
    overtaken: bool,
    pub(crate) told_topics: BitSet,
    pub(crate) told_publishers: BitSet,
    /// The shell knows that there is something to take.
    pub(crate) announced: bool,
}

/// One message on its way into a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    /// Encoded subscriptions field, own to the receiver; empty on links.
    pub(crate) subscriptions: &'a [u8],
    /// The rest of the frame's body, the same for all receivers.
    pub(crate) shared: &'a [u8],
    /// Conflation key: topic alias and record key.
    pub(crate) topic: u32,
    pub(crate) key: &'a str,
}

/// What became of a pushed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It will be sent.
    Queued,
    /// It will be sent, and its publisher has to wait: the queue is full and its subscriber said `block`.
    Full,
    /// It, or an older one in its place, was dropped.
    Lost,
    /// The subscriber wants to be disconnected rather than miss a message.
    Disconnect,
}

impl Queue {
    pub(crate) fn new(class: Class, credit: u64) -> Self {
        Self {
            class,
            sealed: VecDeque::new(),
            open: Vec::new(),
            batched: 0,
            held: Held::default(),
            credit,
            sent: 0,
            lost: 0,
            unknown: false,
            waiting: Vec::new(),
            waiting_since_ms: 0,
            wait_ms: 0,
            overtaken: false,
            told_topics: BitSet::default(),
            told_publishers: BitSet::default(),
            announced: false,
        }
    }

    /// Bytes that wait.
    pub(crate) fn backlog(&self) -> usize {
        self.batched + self.held.bytes()
    }

    /// Adds a message under `policy`; `full` when the whole gateway holds too much.
    #[inline]
    pub(crate) fn push(&mut self, entry: Entry<'_>, policy: Overflow, full: bool) -> Pushed {
        let full = full && self.backlog() > SHARE_BYTES;
        let backlog = self.backlog() + entry.subscriptions.len() + entry.shared.len();
        if backlog <= SOFT_BYTES && self.held.is_empty() && !full {
            self.append(entry);
            return Pushed::Queued;
        }
        self.push_behind(entry, policy, backlog, full)
    }

    /// True when [`Queue::push`] would not take this message, whatever it may drop for it.
    #[inline]
    pub(crate) fn refuses(&self, entry: Entry<'_>, policy: Overflow, full: bool) -> bool {
        let full = full && self.backlog() > SHARE_BYTES;
        let backlog = self.backlog() + entry.subscriptions.len() + entry.shared.len();
        (backlog > SOFT_BYTES || full) && self.refuses_behind(policy, backlog, full)
    }

    #[cold]
    fn refuses_behind(&self, policy: Overflow, backlog: usize, full: bool) -> bool {
        match policy {
            Overflow::Block => backlog > HARD_BYTES || full || (self.overtaken && backlog > HIGH_BYTES),
            Overflow::Disconnect => backlog > HIGH_BYTES || full,
            Overflow::DropNewest => backlog > SOFT_BYTES || full,
            Overflow::Conflate | Overflow::DropOldest | Overflow::Default => false,
        }
    }

    #[cold]
    fn push_behind(&mut self, entry: Entry<'_>, policy: Overflow, backlog: usize, full: bool) -> Pushed {
        let policy = match policy {
            Overflow::Default if entry.key.is_empty() => Overflow::DropOldest,
            Overflow::Default => Overflow::Conflate,
            chosen => chosen,
        };
        if self.refuses_behind(policy, backlog, full) {
            return if policy == Overflow::Disconnect { Pushed::Disconnect } else { self.lose(1) };
        }
        match policy {
            Overflow::Block => {
                if self.held.is_empty() {
                    self.append(entry);
                } else {
                    self.held.push_pinned(encode(entry));
                }
                if backlog > HIGH_BYTES && !self.overtaken { Pushed::Full } else { Pushed::Queued }
            }
            Overflow::Disconnect | Overflow::DropNewest => {
                self.held.push_pinned(encode(entry));
                Pushed::Queued
            }
            Overflow::Conflate if self.held.replace(entry.topic, entry.key, || encode(entry)) => self.lose(1),
            Overflow::Conflate => {
                self.held.push_keyed(entry.topic, entry.key, encode(entry));
                self.shed(full)
            }
            Overflow::DropOldest | Overflow::Default => {
                self.held.push(encode(entry));
                self.shed(full)
            }
        }
    }

    /// Drops the oldest droppable messages until the backlog fits.
    fn shed(&mut self, full: bool) -> Pushed {
        let mut shed = 0;
        while (self.held.bytes() > HIGH_BYTES || (full && self.backlog() > SHARE_BYTES))
            && self.held.pop_droppable()
        {
            shed += 1;
        }
        if shed == 0 { Pushed::Queued } else { self.lose(shed) }
    }

    fn lose(&mut self, count: u64) -> Pushed {
        self.note_loss(Some(count));
        Pushed::Lost
    }

    /// Messages for this receiver were lost, here or on their way here; `None` when nobody knows how many.
    pub(crate) fn note_loss(&mut self, count: Option<u64>) {
        match count {
            Some(count) => self.lost = self.lost.saturating_add(count),
            None => self.unknown = true,
        }
    }

    fn owes_loss(&self) -> bool {
        self.lost > 0 || self.unknown
    }

    /// Adds frames that nothing may drop: aliases, retained values, calls.
    pub(crate) fn append_frames(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.open.len();
        write(&mut self.open);
        self.batched += self.open.len() - before;
        self.seal_when_large();
    }

    /// Adds a message that nothing may drop.
    #[inline]
    pub(crate) fn append(&mut self, entry: Entry<'_>) {
        if self.owes_loss() {
            self.tell_loss();
        }
        let before = self.open.len();
        write(&mut self.open, entry);
        self.batched += self.open.len() - before;
        self.seal_when_large();
    }

    #[inline]
    fn seal_when_large(&mut self) {
        if self.open.len() >= BATCH_BYTES {
            self.seal();
        }
    }

    fn seal(&mut self) {
        let batch = std::mem::replace(&mut self.open, Vec::with_capacity(BATCH_BYTES + BATCH_BYTES / 8));
        self.sealed.push_back(Bytes::from(batch));
    }

    fn tell_loss(&mut self) {
        let before = self.open.len();
        let lost = std::mem::take(&mut self.lost);
        let count = if std::mem::take(&mut self.unknown) { 0 } else { lost };
        match self.class {
            Class::Event => frame::put_message(&mut self.open, kind::GAP, &Gap { count }),
            _ => frame::put_message(&mut self.open, kind::DROPPED, &Dropped { count }),
        }
        self.batched += self.open.len() - before;
    }

    /// True when [`Queue::take`] would give something.
    pub(crate) fn has_sendable(&self) -> bool {
        self.sent < self.credit && (self.batched > 0 || !self.held.is_empty() || self.owes_loss())
    }

    /// The next bytes to send, within the receiver's credit.
    pub(crate) fn take(&mut self) -> Option<Bytes> {
        let allowed = usize::try_from(self.credit - self.sent).unwrap_or(usize::MAX);
        if allowed == 0 {
            return None;
        }
        if self.sealed.is_empty() {
            if self.open.is_empty() {
                self.fill_from_held();
            }
            if !self.open.is_empty() {
                // An almost empty batch is copied, so that its large buffer can be filled on.
                if self.open.len() < BATCH_BYTES / 16 {
                    self.sealed.push_back(Bytes::copy_from_slice(&self.open));
                    self.open.clear();
                } else {
                    self.seal();
                }
            }
        }
        let front = self.sealed.front_mut()?;
        let batch = if front.len() <= allowed {
            self.sealed.pop_front().expect("there is a front")
        } else {
            front.split_to(allowed)
        };
        self.sent += batch.len() as u64;
        self.batched -= batch.len();
        Some(batch)
    }

    fn fill_from_held(&mut self) {
        if self.owes_loss() {
            self.tell_loss();
        }
        while self.open.len() < BATCH_BYTES {
            let Some(frame) = self.held.pop_front() else { break };
            self.open.extend_from_slice(&frame);
            self.batched += frame.len();
        }
    }

    /// The receiver grants `total` bytes since the stream began; less than before is ignored.
    pub(crate) fn grant(&mut self, total: u64) {
        self.credit = self.credit.max(total);
    }

    /// Notes that this publisher waits here; false when it did already.
    pub(crate) fn wait(&mut self, publisher: u32, now_ms: u64, wait_ms: u64) -> bool {
        if self.waiting.contains(&publisher) {
            return false;
        }
        if self.waiting.is_empty() {
            self.waiting_since_ms = now_ms;
            self.wait_ms = wait_ms;
        }
        self.waiting.push(publisher);
        true
    }

    /// The publishers that need wait no longer, when the backlog is low or they have waited long enough.
    pub(crate) fn release(&mut self, now_ms: u64) -> Vec<u32> {
        if self.backlog() < LOW_BYTES {
            self.overtaken = false;
            return std::mem::take(&mut self.waiting);
        }
        if !self.waiting.is_empty() && now_ms.saturating_sub(self.waiting_since_ms) >= self.wait_ms {
            self.overtaken = true;
            return std::mem::take(&mut self.waiting);
        }
        Vec::new()
    }

    /// All publishers that wait here: the receiver is gone.
    pub(crate) fn abandon(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.waiting)
    }
}

#[inline]
fn write(out: &mut Vec<u8>, entry: Entry<'_>) {
    let length = 1 + entry.subscriptions.len() + entry.shared.len();
    out.reserve(length + varint::MAX_BYTES);
    varint::put(out, length as u64);
    out.push(kind::DELIVER);
    out.extend_from_slice(entry.subscriptions);
    out.extend_from_slice(entry.shared);
}

fn encode(entry: Entry<'_>) -> Vec<u8> {
    let mut frame = Vec::new();
    write(&mut frame, entry);
    frame
}

#[cfg(test)]
mod tests;

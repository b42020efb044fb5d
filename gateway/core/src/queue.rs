//! What waits to be sent on one class stream of one session or link.
//!
//! The usual case is one append to the open batch: encoded frames lie side by side and leave as whole
//! buffers. Only when the receiver falls behind do messages whose policy may drop them wait one by one in
//! `held`, where they can still be replaced or removed.

mod batch;
mod held;
mod losses;
mod replay;
mod wait;

use crate::bitset::BitSet;
use crate::origins::{Mark, Origins};
use batch::{BATCH_BYTES, Batch, Open};
use bytes::Bytes;
use held::{Frame, Held};
use losses::Losses;
use macula_proto::v1::{Class, Overflow};
use macula_proto::{frame, kind, varint};
pub(crate) use replay::Alias;
use std::collections::VecDeque;
use wait::Wait;

/// Backlog from which droppable telemetry is conflated or dropped. A quarter of the window of a default client.
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

/// Backlog of a queue in which, for a large message, nothing waits: the aliases that it names.
const ALONE_BYTES: usize = 4 << 10;
/// Events that were sent and not acknowledged; over it, nothing more is sent. What an application that acknowledges by
/// itself may take at a time. A guess, not measured.
const KEPT_BYTES: usize = 16 << 20;
/// Events that wait for a client that is away, and that it had not acknowledged. Half a minute of five thousand small
/// events a second.
pub(crate) const CLIENT_AWAY_BYTES: usize = 32 << 20;
/// The same of a peer, which stands for many clients.
pub(crate) const PEER_AWAY_BYTES: usize = 64 << 20;

/// The queue of one class stream.
#[derive(Debug)]
pub(crate) struct Queue {
    class: Class,
    sealed: VecDeque<Batch>,
    /// Bytes of the first in `sealed` that have been handed out.
    front_sent: usize,
    open: Open,
    /// Bytes in `sealed` and `open` that have not been handed out.
    unsent: usize,
    /// Batches of events that have been handed out and were not acknowledged.
    kept: VecDeque<Batch>,
    kept_bytes: usize,
    /// The receiver acknowledges; what it has not acknowledged is kept.
    pub(crate) keeps: bool,
    held: Held,
    /// Frames of the stream so far, those in `open` included.
    position: u64,
    /// Frames that the receiver has dealt with.
    acknowledged: u64,
    /// The receiver is away.
    away: bool,
    /// Bytes that may wait for it while it is.
    away_bytes: usize,
    /// Backlog from which a policy decides.
    soft: usize,
    /// Messages whose time to live ended here.
    expired: u64,
    /// Bytes that the receiver lets us send in all, and that we have handed out.
    credit: u64,
    sent: u64,
    losses: Losses,
    wait: Wait,
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
    pub(crate) shared: Shared<'a>,
    /// Conflation key: topic alias and record key.
    pub(crate) topic: u32,
    pub(crate) key: &'a str,
    /// Segment to be settled; nothing for telemetry.
    pub(crate) mark: Mark,
    /// When the message is of no use any more, 0 for never.
    pub(crate) expires_ms: u64,
}

/// The part of a message that is the same for all receivers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shared<'a> {
    /// Copied into every queue.
    Copied(&'a [u8]),
    /// So large that the queues share its memory.
    Kept(&'a Bytes),
}

/// What holds for one message in a queue that is behind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) policy: Overflow,
    /// How long `block` holds its publisher back.
    pub(crate) block_ms: u32,
    /// The whole gateway holds too much.
    pub(crate) full: bool,
    pub(crate) now_ms: u64,
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
            front_sent: 0,
            open: Open::default(),
            unsent: 0,
            kept: VecDeque::new(),
            kept_bytes: 0,
            keeps: false,
            held: Held::default(),
            position: 0,
            acknowledged: 0,
            away: false,
            away_bytes: 0,
            soft: SOFT_BYTES,
            expired: 0,
            credit,
            sent: 0,
            losses: Losses::default(),
            wait: Wait::default(),
            told_topics: BitSet::default(),
            told_publishers: BitSet::default(),
            announced: false,
        }
    }

    /// Bytes that wait.
    #[inline]
    pub(crate) fn backlog(&self) -> usize {
        self.unsent + self.held.bytes()
    }

    /// Bytes that wait or were not acknowledged.
    #[inline]
    pub(crate) fn weight(&self) -> usize {
        self.backlog() + self.kept_bytes
    }

    /// Frames of the stream so far.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Frames that the receiver has dealt with.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// True when the receiver has not acknowledged everything.
    pub(crate) fn owes_acknowledgement(&self) -> bool {
        self.weight() > 0
    }

    /// Messages whose time to live ended here since the last look.
    pub(crate) fn take_expired(&mut self) -> u64 {
        std::mem::take(&mut self.expired)
    }

    /// Adds a message.
    #[inline]
    pub(crate) fn push(&mut self, entry: Entry<'_>, terms: Terms, origins: &mut Origins) -> Pushed {
        let full = terms.full && self.weight() > SHARE_BYTES;
        let backlog = self.backlog() + entry.subscriptions.len() + entry.shared.len();
        if (backlog <= self.soft || self.takes_alone()) && self.held.is_empty() && !full {
            self.append(entry, origins);
            return Pushed::Queued;
        }
        self.push_behind(entry, Terms { full, ..terms }, backlog, origins)
    }

    /// True when [`Queue::push`] would not take this message, whatever it may drop for it.
    #[inline]
    pub(crate) fn refuses(&self, entry: Entry<'_>, terms: Terms) -> bool {
        let full = terms.full && self.weight() > SHARE_BYTES;
        let backlog = self.backlog() + entry.subscriptions.len() + entry.shared.len();
        (full || backlog > self.soft && !self.takes_alone())
            && self.refuses_behind(Terms { full, ..terms }, backlog)
    }

    /// True when next to nothing waits and the receiver is there: then a message may be larger than what may wait.
    fn takes_alone(&self) -> bool {
        self.backlog() < ALONE_BYTES && !self.away
    }

    #[cold]
    fn refuses_behind(&self, Terms { policy, block_ms, full, now_ms }: Terms, backlog: usize) -> bool {
        if self.away {
            return self.class == Class::Telemetry || full || backlog + self.kept_bytes > self.away_bytes;
        }
        match policy {
            Overflow::Block => {
                backlog > HARD_BYTES || full || backlog > HIGH_BYTES && self.wait.is_over(block_ms, now_ms)
            }
            Overflow::Disconnect => backlog > HIGH_BYTES || full,
            Overflow::DropNewest => backlog > SOFT_BYTES || full,
            Overflow::Conflate | Overflow::DropOldest | Overflow::Default => false,
        }
    }

    #[cold]
    fn push_behind(
        &mut self,
        entry: Entry<'_>,
        terms: Terms,
        backlog: usize,
        origins: &mut Origins,
    ) -> Pushed {
        let policy = match terms.policy {
            Overflow::Disconnect if self.away => Overflow::Block,
            Overflow::Default if entry.key.is_empty() => Overflow::DropOldest,
            Overflow::Default => Overflow::Conflate,
            chosen => chosen,
        };
        if self.refuses_behind(Terms { policy, ..terms }, backlog) {
            if policy == Overflow::Disconnect {
                return Pushed::Disconnect;
            }
            origins.refer(entry.mark);
            return self.lose(entry.mark, origins);
        }
        match policy {
            Overflow::Block => {
                if self.held.is_empty() {
                    self.append(entry, origins);
                } else {
                    self.held.push_pinned(encode(entry, origins));
                }
                if backlog > HIGH_BYTES && !self.away {
                    self.wait.begin(terms.now_ms);
                    Pushed::Full
                } else {
                    Pushed::Queued
                }
            }
            Overflow::Disconnect | Overflow::DropNewest => {
                self.held.push_pinned(encode(entry, origins));
                Pushed::Queued
            }
            Overflow::Conflate => {
                match self.held.replace(entry.topic, entry.key, || encode(entry, origins)) {
                    Some(older) => self.lose(older, origins),
                    None => {
                        self.held.push_keyed(entry.topic, entry.key, encode(entry, origins));
                        self.shed(terms.full, origins)
                    }
                }
            }
            Overflow::DropOldest | Overflow::Default => {
                self.held.push(encode(entry, origins));
                self.shed(terms.full, origins)
            }
        }
    }

    /// Drops the oldest droppable messages until the backlog fits.
    fn shed(&mut self, full: bool, origins: &mut Origins) -> Pushed {
        let mut pushed = Pushed::Queued;
        while (self.held.bytes() > HIGH_BYTES || (full && self.weight() > SHARE_BYTES))
            && (full || self.held.len() > 1)
            && let Some(oldest) = self.held.pop_droppable()
        {
            pushed = self.lose(oldest, origins);
        }
        pushed
    }

    /// A message is lost here, whose reference to its segment is ours now.
    fn lose(&mut self, mark: Mark, origins: &mut Origins) -> Pushed {
        self.losses.note(Some(1));
        self.losses.keep(mark, origins);
        Pushed::Lost
    }

    /// Adds one frame that nothing may drop: an alias, a call.
    pub(crate) fn append_frame(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.open.bytes.len();
        write(&mut self.open.bytes);
        self.count_plain(before);
        self.seal_when_large();
    }

    fn count_plain(&mut self, before: usize) {
        self.unsent += self.open.bytes.len() - before;
        self.open.count_plain();
        self.position += 1;
    }

    /// Adds a message that nothing may drop.
    #[inline]
    pub(crate) fn append(&mut self, entry: Entry<'_>, origins: &mut Origins) {
        if self.losses.any() {
            self.tell_loss();
        }
        if let Shared::Kept(body) = entry.shared {
            return self.append_large(entry, body, origins);
        }
        let before = self.open.bytes.len();
        write(&mut self.open.bytes, entry);
        self.unsent += self.open.bytes.len() - before;
        self.open.count(entry.mark, entry.expires_ms, origins);
        self.position += 1;
        self.seal_when_large();
    }

    /// A batch of its own, with the body that the other queues have, too.
    fn append_large(&mut self, entry: Entry<'_>, body: &Bytes, origins: &mut Origins) {
        if !self.open.bytes.is_empty() {
            self.seal();
        }
        write_head(&mut self.open.bytes, entry);
        self.unsent += self.open.bytes.len() + body.len();
        self.open.count(entry.mark, entry.expires_ms, origins);
        self.position += 1;
        self.sealed.push_back(self.open.seal_with(body.clone(), self.position));
    }

    #[inline]
    fn seal_when_large(&mut self) {
        if self.open.bytes.len() >= BATCH_BYTES {
            self.seal();
        }
    }

    fn seal(&mut self) {
        self.sealed.push_back(self.open.seal(self.position));
    }

    fn tell_loss(&mut self) {
        let before = self.open.bytes.len();
        self.losses.tell(self.class, &mut self.open);
        self.count_plain(before);
    }

    /// True when [`Queue::take`] would give something.
    pub(crate) fn has_sendable(&self) -> bool {
        self.sent < self.credit && self.kept_bytes < KEPT_BYTES && self.waits()
    }

    /// True when something waits to be sent, though the receiver may grant nothing for it yet.
    pub(crate) fn waits(&self) -> bool {
        self.unsent > 0 || !self.held.is_empty() || self.losses.any()
    }

    /// The next bytes to send, within the receiver's credit.
    pub(crate) fn take(&mut self, now_ms: u64, origins: &mut Origins) -> Option<Bytes> {
        let allowed = usize::try_from(self.credit.saturating_sub(self.sent)).unwrap_or(usize::MAX);
        if allowed == 0 || self.kept_bytes >= KEPT_BYTES {
            return None;
        }
        if self.sealed.is_empty() {
            if self.open.bytes.is_empty() {
                self.fill_from_held(now_ms, origins);
            }
            if !self.open.bytes.is_empty() {
                self.seal();
            }
        }
        let front = self.sealed.front_mut()?;
        if self.front_sent == 0 {
            let before = front.len();
            self.expired += front.expire(now_ms);
            self.unsent = self.unsent + front.len() - before;
        }
        let piece = front.piece_len(self.front_sent);
        let bytes = if piece <= allowed && self.front_sent + piece == front.len() {
            self.take_front(origins)
        } else {
            let part = front.piece(self.front_sent).split_to(piece.min(allowed));
            self.front_sent += part.len();
            part
        };
        self.sent += bytes.len() as u64;
        self.unsent -= bytes.len();
        Some(bytes)
    }

    /// Hands out the rest of the first batch; events stay until they are acknowledged.
    fn take_front(&mut self, origins: &mut Origins) -> Bytes {
        let batch = self.sealed.pop_front().expect("the caller has looked at it");
        let sent = std::mem::take(&mut self.front_sent);
        // What has no position is never asked for again.
        if !self.keeps || batch.frames == 0 {
            batch.release(origins);
            return batch.into_piece(sent);
        }
        let bytes = batch.piece(sent);
        self.kept_bytes += batch.len();
        self.kept.push_back(batch);
        bytes
    }

    fn fill_from_held(&mut self, now_ms: u64, origins: &mut Origins) {
        if self.losses.any() {
            self.tell_loss();
        }
        while self.open.bytes.len() < BATCH_BYTES {
            let Some(Frame { bytes, mark, expires_ms }) = self.held.pop_front() else { break };
            let before = self.open.bytes.len();
            if expires_ms > 0 && expires_ms <= now_ms {
                frame::put(&mut self.open.bytes, kind::EXPIRED, &[]);
                self.open.count(mark, 0, origins);
                self.expired += 1;
            } else {
                self.open.bytes.extend_from_slice(&bytes);
                self.open.count(mark, expires_ms, origins);
            }
            self.unsent += self.open.bytes.len() - before;
            self.position += 1;
            origins.release(mark);
        }
    }

    /// The receiver, which was away, has a stream again and grants it so many bytes.
    pub(crate) fn come_back(&mut self, credit: u64) {
        self.away = false;
        self.soft = SOFT_BYTES;
        self.credit = credit;
    }

    /// The receiver grants `total` bytes since the stream began; less than before is ignored.
    pub(crate) fn grant(&mut self, total: u64) {
        self.credit = self.credit.max(total);
    }
}

#[inline]
fn write(out: &mut Vec<u8>, entry: Entry<'_>) {
    out.reserve(1 + entry.subscriptions.len() + entry.shared.len() + varint::MAX_BYTES);
    write_head(out, entry);
    out.extend_from_slice(entry.shared.bytes());
}

/// All of the frame but its shared part.
#[inline]
fn write_head(out: &mut Vec<u8>, entry: Entry<'_>) {
    let length = 1 + entry.subscriptions.len() + entry.shared.len();
    varint::put(out, length as u64);
    out.push(kind::DELIVER);
    out.extend_from_slice(entry.subscriptions);
}

impl Shared<'_> {
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Kept(bytes) => bytes,
        }
    }

    #[inline]
    fn len(&self) -> usize {
        self.bytes().len()
    }
}

fn encode(entry: Entry<'_>, origins: &mut Origins) -> Frame {
    let mut bytes = Vec::new();
    write(&mut bytes, entry);
    origins.refer(entry.mark);
    Frame { bytes, mark: entry.mark, expires_ms: entry.expires_ms }
}

#[cfg(test)]
mod tests;

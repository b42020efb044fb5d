//! What happens to a queue of events when its receiver comes back, is replaced, or is gone for good.

use super::Queue;
use super::batch::{Batch, expiry, for_each_frame};
use crate::bitset::BitSet;
use crate::origins::{Mark, Origins};
use macula_proto::v1::Class;
use macula_proto::{kind, wire};
use std::collections::BTreeSet;

/// An alias that a stream has to be told before a frame that names it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Alias {
    Topic(u32),
    Publisher(u32),
}

impl Queue {
    /// The receiver has dealt with everything up to this position; false when there is no such position.
    pub(crate) fn acknowledge(&mut self, position: u64, origins: &mut Origins) -> bool {
        if position > self.position {
            return false;
        }
        while let Some(front) = self.kept.front().filter(|front| front.end <= position) {
            front.release(origins);
            self.kept_bytes -= front.len();
            self.kept.pop_front();
        }
        self.acknowledged = self.acknowledged.max(position);
        true
    }

    /// The receiver is away and may come back: nothing is sent, up to `bytes` of events are kept, and little of what may
    /// be dropped.
    pub(crate) fn suspend(&mut self, bytes: usize, origins: &mut Origins) {
        self.away = true;
        self.away_bytes = bytes;
        self.soft = 0;
        self.wait.pause();
        self.announced = false;
        self.credit = self.sent;
        if self.class == Class::Telemetry {
            let lost = self.give_up(origins);
            self.note_loss(Some(lost));
        }
    }

    /// The receiver is back, on a new stream, and has received everything up to this position. What it has received and not
    /// acknowledged is not sent again, and is kept: it may die with it. False when what it has not received is no longer there.
    pub(crate) fn rewind(&mut self, position: u64, origins: &mut Origins) -> bool {
        if position < self.acknowledged || position > self.position {
            return false;
        }
        self.unsend();
        self.skip_acknowledged();
        while let Some(mut front) = self.sealed.pop_front_if(|front| front.start() < position) {
            if front.end > position {
                let received = front.split_to(position, origins);
                self.sealed.push_front(std::mem::replace(&mut front, received));
            }
            self.unsent -= front.len();
            if self.keeps {
                self.kept_bytes += front.len();
                self.kept.push_back(front);
            } else {
                front.release(origins);
            }
        }
        true
    }

    /// Puts a frame in front of all that is sent from now on; it has no position.
    pub(crate) fn begin_with(&mut self, frame: Vec<u8>) {
        self.unsent += frame.len();
        let start = match self.sealed.front() {
            Some(front) => front.start(),
            None => self.position - u64::from(self.open.frames()),
        };
        self.sealed.push_front(Batch::plain(frame, 0, start));
    }

    /// Takes the frames that were acknowledged off the first batch, which is settled as a whole.
    fn skip_acknowledged(&mut self) {
        let position = self.acknowledged;
        if let Some(front) = self.sealed.front_mut().filter(|front| front.start() < position) {
            let before = front.len();
            front.skip_to(position);
            self.unsent -= before - front.len();
        }
    }

    /// Another process takes the receiver's place: what was not acknowledged comes first on its stream, behind the
    /// aliases that it names, and positions begin anew.
    pub(crate) fn hand_over(&mut self, describe: impl Fn(Alias, &mut Vec<u8>)) {
        self.unsend();
        self.skip_acknowledged();
        let mut named = (BTreeSet::new(), BTreeSet::new());
        let mut note = |kind, body: &[u8]| {
            if kind == kind::DELIVER
                && let Ok(deliver) = wire::Deliver::decode(body)
            {
                named.0.insert(deliver.topic);
                named.1.insert(deliver.publisher);
            }
        };
        self.sealed.iter().for_each(|batch| batch.for_each_frame(&mut note));
        self.held.frames().for_each(|frame| for_each_frame(&frame.bytes, &mut note));
        let mut aliases = Vec::new();
        (self.told_topics, self.told_publishers) = (BitSet::default(), BitSet::default());
        for &topic in &named.0 {
            self.told_topics.insert(topic);
            describe(Alias::Topic(topic), &mut aliases);
        }
        for &publisher in &named.1 {
            self.told_publishers.insert(publisher);
            describe(Alias::Publisher(publisher), &mut aliases);
        }
        let mut end = (named.0.len() + named.1.len()) as u64;
        if end > 0 {
            self.unsent += aliases.len();
            self.sealed.push_front(Batch::plain(aliases, end as u32, end));
        }
        for batch in self.sealed.iter_mut().skip(usize::from(end > 0)) {
            end += u64::from(batch.frames);
            batch.end = end;
        }
        self.position = end;
        self.acknowledged = 0;
    }

    /// Calls `each` with every delivery that was not acknowledged: its body, the segments that its neighbours and itself
    /// are of, and when it is of no use any more (0 for never).
    pub(crate) fn unacknowledged(&self, mut each: impl FnMut(&[u8], &[Mark], u64)) {
        for batch in self.kept.iter().chain(&self.sealed) {
            let mut index = 0;
            batch.for_each_frame(|kind, body| {
                let position = batch.start() + u64::from(index) + 1;
                if kind == kind::DELIVER && position > self.acknowledged {
                    each(body, &batch.marks, expiry(&batch.expiring, index));
                }
                index += 1;
            });
        }
        let mut index = 0;
        for_each_frame(&self.open.bytes, |kind, body| {
            if kind == kind::DELIVER {
                each(body, &self.open.marks, expiry(&self.open.expiring, index));
            }
            index += 1;
        });
        for frame in self.held.frames() {
            let marks = std::slice::from_ref(&frame.mark);
            for_each_frame(&frame.bytes, |_, body| each(body, marks, frame.expires_ms));
        }
    }

    /// Forgets everything that waits or was not acknowledged.
    pub(crate) fn discard(&mut self, origins: &mut Origins) {
        self.unsend();
        self.sealed.drain(..).for_each(|batch| batch.release(origins));
        self.held.clear(origins);
        self.losses.forget(origins);
        self.unsent = 0;
    }

    /// Forgets everything; how many messages of it were lost.
    pub(crate) fn give_up(&mut self, origins: &mut Origins) -> u64 {
        self.unsend();
        self.skip_acknowledged();
        let lost = self.messages() + self.losses.count();
        self.discard(origins);
        lost
    }

    /// Messages that wait.
    pub(crate) fn messages(&self) -> u64 {
        let mut messages = self.held.len() as u64;
        let mut count = |kind, _: &[u8]| messages += u64::from(kind == kind::DELIVER);
        self.sealed.iter().for_each(|batch| batch.for_each_frame(&mut count));
        for_each_frame(&self.open.bytes, &mut count);
        messages
    }

    /// Takes back everything that was not acknowledged, as if none of it had been sent.
    fn unsend(&mut self) {
        if !self.open.bytes.is_empty() {
            self.seal();
        }
        let mut all = std::mem::take(&mut self.kept);
        all.append(&mut self.sealed);
        all.retain(|batch| batch.frames > 0);
        self.sealed = all;
        (self.kept_bytes, self.front_sent) = (0, 0);
        self.unsent = self.sealed.iter().map(|batch| batch.len()).sum();
        (self.sent, self.credit) = (0, 0);
        self.announced = false;
    }
}

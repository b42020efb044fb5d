//! Messages that wait one by one: in order, findable by topic and key, droppable.

use crate::hash::HashMap;
use crate::origins::{Mark, Origins};
use hashbrown::Equivalent;
use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(super) struct Held {
    waiting: VecDeque<Waiting>,
    /// Position of the first in `waiting`, counted since the beginning.
    first: u64,
    /// Position of the waiting message of a topic and key.
    by_key: HashMap<Key, u64>,
    bytes: usize,
    /// How many in `waiting` are [`Waiting::Gone`].
    gone: usize,
    /// Position before which nothing may be dropped.
    scanned: u64,
}

#[derive(Debug)]
enum Waiting {
    /// May be replaced by a newer one of its key.
    Keyed(Key, Frame),
    /// May be dropped.
    Plain(Frame),
    /// Stays; only its place in the order keeps it here.
    Pinned(Frame),
    /// Was dropped.
    Gone,
}

/// An encoded message. It refers to its segment until it is given away or dropped.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) bytes: Vec<u8>,
    pub(super) mark: Mark,
    /// When it is of no use any more, 0 for never.
    pub(super) expires_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key(u32, Box<str>);

#[derive(Hash)]
struct KeyRef<'a>(u32, &'a str);

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.0 == key.0 && *self.1 == *key.1
    }
}

impl Held {
    /// So many of those that were dropped may lie between others before they are cleared away.
    const GONE_LIMIT: usize = 64;

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What waits, in order.
    pub(super) fn frames(&self) -> impl Iterator<Item = &Frame> {
        self.waiting.iter().filter_map(Waiting::frame)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len() - self.gone
    }

    pub(super) fn push(&mut self, frame: Frame) {
        self.add(Waiting::Plain(frame));
    }

    pub(super) fn push_pinned(&mut self, frame: Frame) {
        self.add(Waiting::Pinned(frame));
    }

    pub(super) fn push_keyed(&mut self, topic: u32, key: &str, frame: Frame) {
        let key = Key(topic, key.into());
        self.by_key.insert(key.clone(), self.first + self.waiting.len() as u64);
        self.add(Waiting::Keyed(key, frame));
    }

    fn add(&mut self, waiting: Waiting) {
        self.bytes += waiting.len();
        self.waiting.push_back(waiting);
    }

    /// Puts a newer frame in the place of the one that waits under this key, if one does; the older one's mark, still
    /// referred to.
    pub(super) fn replace(&mut self, topic: u32, key: &str, frame: impl FnOnce() -> Frame) -> Option<Mark> {
        let &position = self.by_key.get(&KeyRef(topic, key))?;
        let index = (position - self.first) as usize;
        let Some(Waiting::Keyed(_, old)) = self.waiting.get_mut(index) else { return None };
        let older = std::mem::replace(old, frame());
        self.bytes = self.bytes + old.bytes.len() - older.bytes.len();
        Some(older.mark)
    }

    pub(super) fn pop_front(&mut self) -> Option<Frame> {
        let waiting = self.waiting.pop_front()?;
        self.first += 1;
        self.bytes -= waiting.len();
        self.trim();
        match waiting {
            Waiting::Keyed(key, frame) => {
                self.by_key.remove(&key);
                Some(frame)
            }
            Waiting::Plain(frame) | Waiting::Pinned(frame) => Some(frame),
            Waiting::Gone => unreachable!("those at the front are trimmed"),
        }
    }

    /// Drops the oldest message that may be dropped; its mark, still referred to, or `None` when there is none.
    pub(super) fn pop_droppable(&mut self) -> Option<Mark> {
        let start = self.scanned.saturating_sub(self.first) as usize;
        let oldest = |w: &Waiting| matches!(w, Waiting::Keyed(..) | Waiting::Plain(_));
        let Some(index) = self.waiting.range(start..).position(oldest).map(|index| start + index) else {
            self.scanned = self.first + self.waiting.len() as u64;
            return None;
        };
        let dropped = std::mem::replace(&mut self.waiting[index], Waiting::Gone);
        self.scanned = self.first + index as u64 + 1;
        self.bytes -= dropped.len();
        let mark = dropped.frame().map(|frame| frame.mark);
        self.gone += 1;
        if let Waiting::Keyed(key, _) = &dropped {
            self.by_key.remove(key);
        }
        self.trim();
        if self.gone > Self::GONE_LIMIT && self.gone > self.waiting.len() / 2 {
            self.compact();
        }
        mark
    }

    /// Drops everything.
    pub(super) fn clear(&mut self, origins: &mut Origins) {
        let dropped = std::mem::take(self);
        dropped.waiting.iter().filter_map(Waiting::frame).for_each(|frame| origins.release(frame.mark));
    }

    /// Takes those that were dropped off the front.
    fn trim(&mut self) {
        while matches!(self.waiting.front(), Some(Waiting::Gone)) {
            self.waiting.pop_front();
            self.first += 1;
            self.gone -= 1;
        }
    }

    /// Takes those that were dropped out from between the others, which get new positions.
    fn compact(&mut self) {
        self.waiting.retain(|waiting| !matches!(waiting, Waiting::Gone));
        self.gone = 0;
        self.scanned = self.first;
        for (position, waiting) in (self.first..).zip(&self.waiting) {
            if let Waiting::Keyed(key, _) = waiting
                && let Some(known) = self.by_key.get_mut(key)
            {
                *known = position;
            }
        }
    }
}

impl Waiting {
    fn frame(&self) -> Option<&Frame> {
        match self {
            Waiting::Keyed(_, frame) | Waiting::Plain(frame) | Waiting::Pinned(frame) => Some(frame),
            Waiting::Gone => None,
        }
    }

    fn len(&self) -> usize {
        self.frame().map_or(0, |frame| frame.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(bytes: &[u8]) -> Frame {
        Frame { bytes: bytes.to_vec(), ..Frame::default() }
    }

    #[test]
    fn dropping_behind_a_pinned_message_leaves_nothing_behind() {
        let mut held = Held::default();
        held.push_pinned(frame(&[0]));
        for round in 0..100_000u32 {
            held.push(frame(&[1]));
            held.push_keyed(round, "k", frame(&[2]));
            assert!(held.pop_droppable().is_some());
            if round >= 10 {
                assert!(held.pop_droppable().is_some());
            }
            assert!(held.waiting.len() <= 2 * Held::GONE_LIMIT + 32, "{}", held.waiting.len());
        }
        assert_eq!(held.bytes(), 11);
        let newest = 99_999;
        assert!(held.replace(newest, "k", || frame(&[3, 3])).is_some(), "positions are right after all that");
        assert_eq!(held.pop_front(), Some(frame(&[0])));
        let rest: Vec<Frame> = std::iter::from_fn(|| held.pop_front()).collect();
        assert_eq!((rest.len(), rest.last()), (10, Some(&frame(&[3, 3]))));
        assert!(held.is_empty() && held.bytes() == 0 && held.gone == 0 && held.by_key.is_empty());
    }

    #[test]
    fn many_pinned_messages_are_not_searched_again_and_again() {
        let mut held = Held::default();
        (0..100_000).for_each(|_| held.push_pinned(frame(&[0])));
        for _ in 0..100_000 {
            held.push(frame(&[1]));
            assert!(held.pop_droppable().is_some());
        }
        assert_eq!(held.pop_droppable(), None);
    }
}

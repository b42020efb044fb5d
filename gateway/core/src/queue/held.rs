//! Messages that wait one by one: in order, findable by topic and key, droppable.

use hashbrown::{Equivalent, HashMap};
use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(super) struct Held {
    waiting: VecDeque<Waiting>,
    /// Position of the first in `waiting`, counted since the beginning.
    first: u64,
    /// Position of the waiting message of a topic and key.
    by_key: HashMap<Key, u64>,
    bytes: usize,
}

#[derive(Debug)]
enum Waiting {
    /// May be replaced by a newer one of its key.
    Keyed(Key, Vec<u8>),
    /// May be dropped.
    Plain(Vec<u8>),
    /// Stays; only its place in the order keeps it here.
    Pinned(Vec<u8>),
    /// Was dropped.
    Gone,
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
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, frame: Vec<u8>) {
        self.add(Waiting::Plain(frame));
    }

    pub(super) fn push_pinned(&mut self, frame: Vec<u8>) {
        self.add(Waiting::Pinned(frame));
    }

    pub(super) fn push_keyed(&mut self, topic: u32, key: &str, frame: Vec<u8>) {
        let key = Key(topic, key.into());
        self.by_key.insert(key.clone(), self.first + self.waiting.len() as u64);
        self.add(Waiting::Keyed(key, frame));
    }

    fn add(&mut self, waiting: Waiting) {
        self.bytes += waiting.len();
        self.waiting.push_back(waiting);
    }

    /// Puts a newer frame in the place of the one that waits under this key; false when none does.
    pub(super) fn replace(&mut self, topic: u32, key: &str, frame: impl FnOnce() -> Vec<u8>) -> bool {
        let Some(&position) = self.by_key.get(&KeyRef(topic, key)) else { return false };
        let index = (position - self.first) as usize;
        let Some(Waiting::Keyed(_, old)) = self.waiting.get_mut(index) else { return false };
        self.bytes -= old.len();
        *old = frame();
        self.bytes += old.len();
        true
    }

    pub(super) fn pop_front(&mut self) -> Option<Vec<u8>> {
        loop {
            let waiting = self.waiting.pop_front()?;
            self.first += 1;
            self.bytes -= waiting.len();
            match waiting {
                Waiting::Keyed(key, frame) => {
                    self.by_key.remove(&key);
                    return Some(frame);
                }
                Waiting::Plain(frame) | Waiting::Pinned(frame) => return Some(frame),
                Waiting::Gone => {}
            }
        }
    }

    /// Drops the oldest message that may be dropped; false when there is none.
    pub(super) fn pop_droppable(&mut self) -> bool {
        let oldest = |w: &Waiting| matches!(w, Waiting::Keyed(..) | Waiting::Plain(_));
        let Some(index) = self.waiting.iter().position(oldest) else { return false };
        let dropped = std::mem::replace(&mut self.waiting[index], Waiting::Gone);
        self.bytes -= dropped.len();
        if let Waiting::Keyed(key, _) = &dropped {
            self.by_key.remove(key);
        }
        while matches!(self.waiting.front(), Some(Waiting::Gone)) {
            self.waiting.pop_front();
            self.first += 1;
        }
        true
    }
}

impl Waiting {
    fn len(&self) -> usize {
        match self {
            Waiting::Keyed(_, frame) | Waiting::Plain(frame) | Waiting::Pinned(frame) => frame.len(),
            Waiting::Gone => 0,
        }
    }
}

//! The last value of each topic and key, for those who come later, and the tombstones of values that are gone.
//!
//! A removal, or the end of a value's time to live, leaves a tombstone: the value's rank without its payload. It wins
//! against older values that come late, from a gateway that was cut off for instance, until it is forgotten.

mod digest;

use crate::hash::HashMap;
use crate::key::{MessageClass, PublisherId};
use crate::topics::Topics;
use digest::{Digest, Mark};
use macula_proto::{Topic, wire};
use std::collections::{BTreeMap, BTreeSet};

/// Values by topic and key: by the topic's name, since its alias differs with the content type. The aliases that
/// values name are kept alive by the caller's references.
#[derive(Debug, Default)]
pub(crate) struct Retained {
    /// By order of arrival here, so that a reader can stop and go on.
    values: BTreeMap<u64, Value>,
    /// Arrival of the value of each topic and key.
    places: HashMap<Topic, HashMap<Box<str>, u64>>,
    arrivals: u64,
    /// Arrivals of the values that time changes, by when it does.
    due: BTreeSet<(u64, u64)>,
    bytes: usize,
    tombstones: usize,
    /// How many values name each topic alias.
    aliases: HashMap<u32, u32>,
    digest: Digest,
}

/// A value, or the tombstone of one.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) class: MessageClass,
    pub(crate) stamp: u64,
    /// Topic and content type.
    pub(crate) topic: u32,
    pub(crate) publisher: u32,
    /// Who that is, everywhere; decides between equal stamps.
    pub(crate) id: PublisherId,
    pub(crate) sequence: u64,
    /// Encoded message, key and all; of a tombstone the key only.
    pub(crate) message: Vec<u8>,
    /// This is a tombstone.
    pub(crate) gone: bool,
    pub(crate) mark: Mark,
    /// When time changes it next, in milliseconds since 1970.
    due_ms: u64,
}

/// What makes every gateway choose the same of two values, in whatever order they come.
type Rank = (u64, [u8; 16], u64, u64);

/// A message that is to be kept, or that removes what is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offered<'a> {
    pub(crate) class: MessageClass,
    pub(crate) stamp: u64,
    pub(crate) topic: u32,
    pub(crate) publisher: u32,
    pub(crate) id: PublisherId,
    pub(crate) sequence: u64,
    /// Encoded.
    pub(crate) message: &'a [u8],
}

/// What became of a value that was to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It is in the store now.
    Stored {
        /// Aliases of topic and publisher that the store names once less.
        freed: Option<(u32, u32)>,
        /// It changes what those see who read the store.
        news: bool,
    },
    /// It is there already.
    Same,
    /// The one that is there is newer, or its time was over long ago.
    Older,
    /// There is no room.
    Full,
}

/// How long a removal, or the end of a value, is remembered: longer than a gateway is cut off that comes back with what
/// it knew. From the design.
const TOMBSTONE_MS: u64 = 3_600_000;

impl Retained {
    /// Bytes of messages and keys at most: what a gateway's container of 512 MiB can spare.
    const LIMIT_BYTES: usize = 256 << 20;
    /// Tombstones of what was not there at most, so that nobody fills the store by removing.
    const TOMBSTONES: usize = 1 << 18;
    /// Topics and content types that values name at most: half of what the gateway knows, so that the other half
    /// is left for topics that come and go.
    const TOPICS: usize = Topics::LIMIT / 2;
    /// What an entry takes beside its message and key.
    const ENTRY_BYTES: usize = 192;

    /// Keeps a value unless a newer one is there.
    pub(crate) fn keep(&mut self, topic: &Topic, offered: Offered<'_>, unix_ms: u64) -> Kept {
        let Ok(message) = wire::Message::decode(offered.message) else { return Kept::Older };
        let life = Life::of(offered.stamp, &message);
        if unix_ms >= life.forgotten_ms {
            return Kept::Older;
        }
        let gone = unix_ms >= life.over_ms;
        let rank = offered.rank();
        let place = self.places.get(topic).and_then(|places| places.get(message.key)).copied();
        let old = place.and_then(|place| self.values.get(&place));
        match old.map(|old| rank.cmp(&old.rank())) {
            Some(std::cmp::Ordering::Less) => return Kept::Older,
            Some(std::cmp::Ordering::Equal) => return Kept::Same,
            Some(std::cmp::Ordering::Greater) | None => {}
        }
        let length = if gone { tombstone_len(&message) } else { offered.message.len() };
        // A value may always go, or become smaller.
        let shrinks = old.is_some_and(|old| gone || length <= old.message.len());
        let size = if old.is_some() { length } else { Self::ENTRY_BYTES + message.key.len() + length };
        let bytes = self.bytes + size - old.map_or(0, |old| old.message.len());
        let crowded = self.aliases.len() >= Self::TOPICS && !self.aliases.contains_key(&offered.topic);
        let full = bytes > Self::LIMIT_BYTES && !shrinks
            || crowded && !(gone && old.is_some())
            || gone && old.is_none() && self.tombstones >= Self::TOMBSTONES;
        if full {
            return Kept::Full;
        }
        let news = old.is_some_and(|old| !old.gone) || !gone;
        let former = place.map(|place| self.take(place));
        // A tombstone stays under the alias of its value: what is gone has no content type.
        let alias = former.as_ref().filter(|_| gone).map_or(offered.topic, |former| former.topic);
        let freed =
            former.as_ref().map(|former| (if gone { offered.topic } else { former.topic }, former.publisher));
        let mut buffer = former.map(|former| former.message).unwrap_or_default();
        fill(&mut buffer, &message, offered.message, gone);
        self.bytes = bytes;
        self.put(
            topic,
            message.key,
            Value {
                class: offered.class,
                stamp: offered.stamp,
                topic: alias,
                publisher: offered.publisher,
                id: offered.id,
                sequence: offered.sequence,
                message: buffer,
                gone,
                mark: Mark::new(topic.as_bytes(), message.key, rank),
                due_ms: if gone { life.forgotten_ms } else { life.over_ms },
            },
        );
        Kept::Stored { freed, news }
    }

    /// Lets time pass: values whose time to live is over become tombstones, and tombstones are forgotten. Gives the
    /// aliases of topics and publishers that the store names no more, once for each name.
    pub(crate) fn pass(&mut self, topics: &Topics, unix_ms: u64) -> Vec<(u32, u32)> {
        let mut freed = Vec::new();
        while let Some(&(due_ms, place)) = self.due.first().filter(|(due_ms, _)| *due_ms <= unix_ms) {
            self.due.remove(&(due_ms, place));
            let Some(value) = self.values.get_mut(&place) else { continue };
            let before = value.message.len();
            let encoded = std::mem::take(&mut value.message);
            let Ok(message) = wire::Message::decode(&encoded) else { continue };
            if value.gone {
                let topic = topics.get(value.topic).topic.clone();
                self.bytes -= Self::ENTRY_BYTES + message.key.len() + before;
                freed.push((value.topic, value.publisher));
                self.forget(&topic, message.key, place);
                continue;
            }
            value.gone = true;
            value.due_ms = due_ms + TOMBSTONE_MS;
            fill(&mut value.message, &message, &encoded, true);
            self.bytes -= before - value.message.len();
            self.due.insert((value.due_ms, place));
            self.tombstones += 1;
        }
        freed
    }

    /// The values and tombstones that arrived from `from` on, with their arrivals, in that order.
    pub(crate) fn since(&self, from: u64) -> impl Iterator<Item = (u64, &Value)> {
        self.values.range(from..).map(|(arrival, value)| (*arrival, value))
    }

    /// The values and tombstones of one topic, in the order of arrival; `None` if they have more than `limit` bytes.
    pub(crate) fn of_topic(&self, topic: &Topic, limit: usize) -> Option<Vec<&Value>> {
        let keys = self.places.get(topic).into_iter().flat_map(HashMap::values);
        let mut bytes = 0;
        let mut values = Vec::new();
        for place in keys {
            let value = &self.values[place];
            bytes += Self::ENTRY_BYTES + value.message.len();
            if bytes > limit {
                return None;
            }
            values.push((place, value));
        }
        values.sort_unstable_by_key(|(place, _)| **place);
        Some(values.into_iter().map(|(_, value)| value).collect())
    }

    /// Arrivals so far: what comes later has a higher one.
    pub(crate) fn arrivals(&self) -> u64 {
        self.arrivals
    }

    pub(crate) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// How many values there are, tombstones not counted.
    pub(crate) fn len(&self) -> usize {
        self.values.len() - self.tombstones
    }

    pub(crate) fn tombstones(&self) -> usize {
        self.tombstones
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn put(&mut self, topic: &Topic, key: &str, value: Value) {
        self.arrivals += 1;
        self.digest.add(value.mark);
        self.tombstones += usize::from(value.gone);
        *self.aliases.entry(value.topic).or_default() += 1;
        if value.due_ms != u64::MAX {
            self.due.insert((value.due_ms, self.arrivals));
        }
        self.values.insert(self.arrivals, value);
        let places = self.places.entry_ref(topic).or_default();
        match places.get_mut(key) {
            Some(place) => *place = self.arrivals,
            None => {
                places.insert(key.into(), self.arrivals);
            }
        }
    }

    /// Takes a value out from everywhere but its place by name.
    fn take(&mut self, place: u64) -> Value {
        let value = self.values.remove(&place).expect("names lead to values");
        self.digest.subtract(value.mark);
        self.due.remove(&(value.due_ms, place));
        self.tombstones -= usize::from(value.gone);
        if let hashbrown::hash_map::Entry::Occupied(mut named) = self.aliases.entry(value.topic) {
            *named.get_mut() -= 1;
            if *named.get() == 0 {
                named.remove();
            }
        }
        value
    }

    fn forget(&mut self, topic: &Topic, key: &str, place: u64) {
        self.take(place);
        let Some(keys) = self.places.get_mut(topic) else { return };
        keys.remove(key);
        if keys.is_empty() {
            self.places.remove(topic);
        }
    }
}

impl Value {
    /// When its time to live is over, in milliseconds since 1970, if it has one.
    pub(crate) fn over_ms(&self) -> Option<u64> {
        (!self.gone && self.due_ms != u64::MAX).then_some(self.due_ms)
    }

    fn rank(&self) -> Rank {
        (self.stamp, self.id.id, self.id.epoch, self.sequence)
    }
}

impl Offered<'_> {
    fn rank(&self) -> Rank {
        (self.stamp, self.id.id, self.id.epoch, self.sequence)
    }
}

/// When a value ends, in milliseconds since 1970, by the clock of the gateway that stamped it.
struct Life {
    /// From here on it is a tombstone.
    over_ms: u64,
    /// From here on nobody need know of it.
    forgotten_ms: u64,
}

impl Life {
    fn of(stamp: u64, message: &wire::Message<'_>) -> Self {
        let since_ms = stamp >> 16;
        let lived_ms = since_ms + u64::from(message.time_to_live_ms);
        if message.remove {
            return Self { over_ms: 0, forgotten_ms: lived_ms + TOMBSTONE_MS };
        }
        match message.time_to_live_ms {
            0 => Self { over_ms: u64::MAX, forgotten_ms: u64::MAX },
            _ => Self { over_ms: lived_ms, forgotten_ms: lived_ms + TOMBSTONE_MS },
        }
    }
}

/// What is left of a message in a tombstone. The time to live stays, since it says when all gateways forget.
fn tombstone<'a>(message: &wire::Message<'a>) -> wire::Message<'a> {
    let mut left = wire::Message::new(&[], message.key);
    left.time_to_live_ms = message.time_to_live_ms;
    left.remove = true;
    left
}

fn tombstone_len(message: &wire::Message<'_>) -> usize {
    tombstone(message).encoded_len()
}

/// Writes what is kept of a message.
fn fill(buffer: &mut Vec<u8>, message: &wire::Message<'_>, encoded: &[u8], gone: bool) {
    buffer.clear();
    if gone {
        tombstone(message).encode(buffer);
    } else {
        buffer.extend_from_slice(encoded);
    }
    // The limit counts what is in buffers, not what they could hold.
    buffer.shrink_to(buffer.len() + buffer.len() / 4);
}

#[cfg(test)]
mod tests;

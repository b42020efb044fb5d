//! The last value of each topic and key, for those who come later.

use crate::key::{ConnKey, MessageClass, PublisherId};
use crate::topics::Topics;
use hashbrown::HashMap;
use macula_proto::Topic;

/// Values by topic and key: by the topic's name, since its alias differs with the content type. The aliases that
/// values name are kept alive by the caller's references.
#[derive(Debug, Default)]
pub(crate) struct Retained {
    topics: HashMap<Topic, HashMap<Box<str>, Value>>,
    bytes: usize,
    /// How many values name each topic alias.
    aliases: HashMap<u32, u32>,
}

#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) class: MessageClass,
    /// The session or link that brought it.
    pub(crate) from: ConnKey,
    pub(crate) stamp: u64,
    /// Topic and content type.
    pub(crate) topic: u32,
    pub(crate) publisher: u32,
    /// Who that is, everywhere; decides between equal stamps.
    pub(crate) id: PublisherId,
    pub(crate) sequence: u64,
    /// Encoded message, key and all.
    pub(crate) message: Vec<u8>,
}

impl Value {
    /// What makes every gateway choose the same of two values, in whatever order they come.
    fn rank(&self) -> (u64, [u8; 16], u64, u64) {
        (self.stamp, self.id.id, self.id.epoch, self.sequence)
    }
}

/// What became of a value that was to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It is the first of its topic and key.
    Added,
    /// It took the place of an older one, of this topic alias and publisher.
    Replaced {
        /// Topic alias of the older one.
        topic: u32,
        /// Publisher alias of the older one.
        publisher: u32,
    },
    /// It is there already.
    Same,
    /// The one that is there is newer.
    Older,
    /// There is no room.
    Full,
}

impl Retained {
    /// Bytes of messages and keys at most: what a gateway's container of 512 MiB can spare.
    const LIMIT_BYTES: usize = 256 << 20;
    /// Topics and content types that values name at most: half of what the gateway knows, so that the other half
    /// is left for topics that come and go.
    const TOPICS: usize = Topics::LIMIT / 2;
    /// What an entry takes beside its message and key.
    const ENTRY_BYTES: usize = 128;

    /// Keeps a value unless a newer one is there.
    pub(crate) fn keep(&mut self, topic: &Topic, key: &str, value: &Value, message: &[u8]) -> Kept {
        let crowded = self.aliases.len() >= Self::TOPICS && !self.aliases.contains_key(&value.topic);
        if let Some(old) = self.topics.get_mut(topic).and_then(|values| values.get_mut(key)) {
            match value.rank().cmp(&old.rank()) {
                std::cmp::Ordering::Less => return Kept::Older,
                std::cmp::Ordering::Equal => return Kept::Same,
                std::cmp::Ordering::Greater => {}
            }
            let before = Kept::Replaced { topic: old.topic, publisher: old.publisher };
            let bytes = self.bytes - old.message.len() + message.len();
            if crowded || (bytes > Self::LIMIT_BYTES && message.len() > old.message.len()) {
                return Kept::Full;
            }
            self.bytes = bytes;
            let mut buffer = std::mem::take(&mut old.message);
            buffer.clear();
            buffer.extend_from_slice(message);
            // The limit counts what is in buffers, not what they could hold.
            buffer.shrink_to(message.len() + message.len() / 4);
            let former = old.topic;
            *old = Value { message: buffer, ..value.clone() };
            if former != value.topic {
                self.name(value.topic);
                self.unname(former);
            }
            return before;
        }
        let size = Self::ENTRY_BYTES + key.len() + message.len();
        if crowded || self.bytes + size > Self::LIMIT_BYTES {
            return Kept::Full;
        }
        self.bytes += size;
        let value = Value { message: message.to_vec(), ..value.clone() };
        self.name(value.topic);
        self.topics.entry_ref(topic).or_default().insert(key.into(), value);
        Kept::Added
    }

    fn name(&mut self, alias: u32) {
        *self.aliases.entry(alias).or_default() += 1;
    }

    fn unname(&mut self, alias: u32) {
        if let hashbrown::hash_map::Entry::Occupied(mut named) = self.aliases.entry(alias) {
            *named.get_mut() -= 1;
            if *named.get() == 0 {
                named.remove();
            }
        }
    }

    /// The values that are wanted, the oldest first.
    pub(crate) fn select(&self, wanted: impl Fn(&Value) -> bool) -> Vec<&Value> {
        let mut values: Vec<&Value> =
            self.topics.values().flat_map(HashMap::values).filter(|value| wanted(value)).collect();
        values.sort_unstable_by_key(|value| value.rank());
        values
    }

    pub(crate) fn len(&self) -> usize {
        self.topics.values().map(HashMap::len).sum()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(topic: u32, stamp: u64) -> Value {
        Value {
            class: MessageClass::Event,
            from: ConnKey::default(),
            stamp,
            topic,
            publisher: 0,
            id: PublisherId { id: [0; 16], epoch: 1 },
            sequence: stamp,
            message: Vec::new(),
        }
    }

    #[test]
    fn replacing_keeps_the_limit_and_gives_room_back() {
        let mut retained = Retained::default();
        let topic = Topic::from_static("a");
        let large = vec![0; 1 << 20];
        assert_eq!(retained.keep(&topic, "large", &value(1, 1), &large), Kept::Added);
        assert_eq!(retained.keep(&topic, "small", &value(1, 1), b"x"), Kept::Added);
        retained.bytes += Retained::LIMIT_BYTES - retained.bytes;
        assert_eq!(retained.keep(&topic, "small", &value(1, 2), &large), Kept::Full);
        let replaced = Kept::Replaced { topic: 1, publisher: 0 };
        assert_eq!(retained.keep(&topic, "large", &value(1, 2), b"x"), replaced);
        assert!(retained.topics[&topic]["large"].message.capacity() < 100);
        assert_eq!(retained.keep(&topic, "small", &value(1, 2), b"xy"), replaced);
    }

    #[test]
    fn values_take_at_most_half_of_the_topics() {
        let mut retained = Retained::default();
        let topic = Topic::from_static("a");
        for alias in 0..Retained::TOPICS as u32 {
            assert_eq!(retained.keep(&topic, &alias.to_string(), &value(alias, 1), b""), Kept::Added);
        }
        let more = Retained::TOPICS as u32;
        assert_eq!(retained.keep(&topic, "more", &value(more, 1), b""), Kept::Full);
        assert_eq!(retained.keep(&topic, "0", &value(more, 2), b""), Kept::Full);
        assert_eq!(retained.keep(&topic, "more", &value(1, 1), b""), Kept::Added);
        assert_eq!(retained.keep(&topic, "0", &value(1, 2), b""), Kept::Replaced { topic: 0, publisher: 0 });
        assert_eq!(retained.keep(&topic, "again", &value(more, 1), b""), Kept::Added);
    }
}

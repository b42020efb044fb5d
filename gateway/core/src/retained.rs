//! The last value of each topic and key, for those who come later.

use crate::key::{ConnKey, MessageClass, PublisherId};
use hashbrown::HashMap;
use macula_proto::Topic;

/// Values by topic and key: by the topic's name, since its alias differs with the content type. The aliases that
/// values name are kept alive by the caller's references.
#[derive(Debug, Default)]
pub(crate) struct Retained {
    topics: HashMap<Topic, HashMap<Box<str>, Value>>,
    bytes: usize,
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
    /// What an entry takes beside its message and key.
    const ENTRY_BYTES: usize = 128;

    /// Keeps a value unless a newer one is there.
    pub(crate) fn keep(&mut self, topic: &Topic, key: &str, value: &Value, message: &[u8]) -> Kept {
        if let Some(old) = self.topics.get_mut(topic).and_then(|values| values.get_mut(key)) {
            match value.rank().cmp(&old.rank()) {
                std::cmp::Ordering::Less => return Kept::Older,
                std::cmp::Ordering::Equal => return Kept::Same,
                std::cmp::Ordering::Greater => {}
            }
            let before = Kept::Replaced { topic: old.topic, publisher: old.publisher };
            self.bytes = self.bytes - old.message.len() + message.len();
            let mut buffer = std::mem::take(&mut old.message);
            buffer.clear();
            buffer.extend_from_slice(message);
            *old = Value { message: buffer, ..value.clone() };
            return before;
        }
        let size = Self::ENTRY_BYTES + key.len() + message.len();
        if self.bytes + size > Self::LIMIT_BYTES {
            return Kept::Full;
        }
        self.bytes += size;
        let value = Value { message: message.to_vec(), ..value.clone() };
        self.topics.entry_ref(topic).or_default().insert(key.into(), value);
        Kept::Added
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

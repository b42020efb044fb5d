//! The last value of each topic and key, for those who come later.

use crate::key::MessageClass;
use hashbrown::HashMap;

/// Values by topic alias and key. The aliases they name are kept alive by the caller's references.
#[derive(Debug, Default)]
pub(crate) struct Retained {
    topics: HashMap<u32, HashMap<Box<str>, Value>>,
    bytes: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) class: MessageClass,
    pub(crate) stamp: u64,
    pub(crate) publisher: u32,
    pub(crate) sequence: u64,
    /// Encoded message, key and all.
    pub(crate) message: Vec<u8>,
}

/// What became of a value that was to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It is the first of its topic and key.
    Added,
    /// It took the place of an older one, of this publisher.
    Replaced(u32),
    /// The one that is there is as new or newer.
    Older,
    /// There is no room.
    Full,
}

impl Retained {
    /// Bytes of messages and keys at most: what a gateway's container of 512 MiB can spare.
    const LIMIT_BYTES: usize = 256 << 20;
    /// What an entry takes beside its message and key.
    const ENTRY_BYTES: usize = 128;

    /// Keeps a value unless a newer one is there. Of equal stamps the higher publisher alias would be chance,
    /// so the one that is there stays.
    pub(crate) fn keep(&mut self, topic: u32, key: &str, value: &Value, message: &[u8]) -> Kept {
        let values = self.topics.entry(topic).or_default();
        if let Some(old) = values.get_mut(key) {
            if old.stamp >= value.stamp {
                return Kept::Older;
            }
            let before = old.publisher;
            self.bytes = self.bytes - old.message.len() + message.len();
            let mut buffer = std::mem::take(&mut old.message);
            buffer.clear();
            buffer.extend_from_slice(message);
            *old = Value { message: buffer, ..value.clone() };
            return Kept::Replaced(before);
        }
        let size = Self::ENTRY_BYTES + key.len() + message.len();
        if self.bytes + size > Self::LIMIT_BYTES {
            return Kept::Full;
        }
        self.bytes += size;
        values.insert(key.into(), Value { message: message.to_vec(), ..value.clone() });
        Kept::Added
    }

    /// Topics that have values.
    pub(crate) fn topics(&self) -> impl Iterator<Item = u32> {
        self.topics.keys().copied()
    }

    /// Values of a topic, in no order.
    pub(crate) fn values(&self, topic: u32) -> impl Iterator<Item = &Value> {
        self.topics.get(&topic).into_iter().flat_map(|values| values.values())
    }

    pub(crate) fn len(&self) -> usize {
        self.topics.values().map(HashMap::len).sum()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

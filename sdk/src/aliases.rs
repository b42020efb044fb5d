//! The numbers by which this client names topics on one of its streams.

use macula_proto::limits::ALIASES_PER_SESSION;
use macula_proto::{Topic, frame, kind, v1};
use std::collections::HashMap;
use std::sync::Arc;

/// Aliases of one class stream. They outlive connections, and each connection is told them anew.
#[derive(Debug)]
pub(crate) struct Aliases {
    by_name: HashMap<Name, u32>,
    entries: Vec<Entry>,
    limit: usize,
    /// Where the search for an alias to reuse goes on.
    hand: usize,
}

/// Topic and content type: what an alias stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    pub(crate) topic: Topic,
    pub(crate) content_type: Arc<str>,
}

/// An alias as a publisher remembers it; it may have been given to another name since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    alias: u32,
    uses: u32,
}

/// An alias that a message uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Touched {
    pub(crate) alias: u32,
    /// The stream has been told it before.
    pub(crate) told: bool,
}

#[derive(Debug)]
struct Entry {
    name: Name,
    told: bool,
    /// Sequence of the last message that used it.
    last: u64,
    /// How many names have had this alias.
    uses: u32,
}

impl Default for Aliases {
    fn default() -> Self {
        Self { by_name: HashMap::new(), entries: Vec::new(), limit: ALIASES_PER_SESSION, hand: 0 }
    }
}

impl Aliases {
    /// The alias of `name`, assigned if there is none. An alias is given to another name only once all messages
    /// up to its last one are in `settled`; `None` when there is no such alias.
    pub(crate) fn find(&mut self, name: &Name, settled: u64) -> Option<Remembered> {
        if let Some(&alias) = self.by_name.get(name) {
            return Some(Remembered { alias, uses: self.entries[alias as usize].uses });
        }
        let index = if self.entries.len() < self.limit {
            self.entries.push(Entry { name: name.clone(), told: false, last: 0, uses: 0 });
            self.entries.len() - 1
        } else {
            self.reuse(name, settled)?
        };
        let alias = index as u32;
        self.by_name.insert(name.clone(), alias);
        Some(Remembered { alias, uses: self.entries[index].uses })
    }

    /// Notes that message `sequence` uses the alias, and whether the stream has been told it; `None` when the alias means
    /// something else by now.
    #[inline]
    pub(crate) fn touch(&mut self, remembered: Remembered, sequence: u64) -> Option<Touched> {
        let entry = self.entries.get_mut(remembered.alias as usize)?;
        if entry.uses != remembered.uses {
            return None;
        }
        entry.last = sequence;
        let told = std::mem::replace(&mut entry.told, true);
        Some(Touched { alias: remembered.alias, told })
    }

    /// What the stream has to be told of an alias.
    pub(crate) fn frame(&self, alias: u32) -> v1::TopicAlias {
        self.entries[alias as usize].frame(alias)
    }

    /// A new connection has been told nothing. Writes the aliases that messages after `settled` use, which may be
    /// sent again without being encoded again.
    pub(crate) fn restart(&mut self, settled: u64, limit: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for (alias, entry) in self.entries.iter_mut().enumerate() {
            entry.told = entry.last > settled;
            if entry.told {
                frame::put_message(&mut out, kind::TOPIC_ALIAS, &entry.frame(alias as u32));
            }
        }
        self.limit = limit.max(1);
        out
    }

    fn reuse(&mut self, name: &Name, settled: u64) -> Option<usize> {
        let count = self.entries.len();
        let index =
            (0..count).map(|step| (self.hand + step) % count).find(|&at| self.entries[at].last <= settled)?;
        self.hand = index + 1;
        let entry = &mut self.entries[index];
        self.by_name.remove(&entry.name);
        *entry = Entry { name: name.clone(), told: false, last: 0, uses: entry.uses.wrapping_add(1) };
        Some(index)
    }
}

impl Entry {
    fn frame(&self, alias: u32) -> v1::TopicAlias {
        v1::TopicAlias {
            alias,
            topic: self.name.topic.to_string(),
            content_type: self.name.content_type.to_string(),
        }
    }
}

impl Remembered {
    /// Both numbers in one, for an atomic.
    pub(crate) fn pack(self) -> u64 {
        u64::from(self.uses) << 32 | u64::from(self.alias)
    }

    pub(crate) fn unpack(packed: u64) -> Self {
        Self { alias: packed as u32, uses: (packed >> 32) as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(topic: &'static str) -> Name {
        Name { topic: Topic::from_static(topic), content_type: "".into() }
    }

    #[test]
    fn a_stream_is_told_an_alias_once() {
        let mut aliases = Aliases::default();
        let first = aliases.find(&name("a"), 0).unwrap();
        assert_eq!(aliases.touch(first, 1), Some(Touched { alias: 0, told: false }));
        assert_eq!(aliases.frame(0).topic, "a");
        assert_eq!(aliases.touch(first, 2), Some(Touched { alias: 0, told: true }));
        assert_eq!(aliases.find(&name("a"), 0), Some(first));
    }

    #[test]
    fn an_alias_is_reused_only_when_its_messages_are_settled() {
        let mut aliases = Aliases::default();
        aliases.restart(0, 1);
        let first = aliases.find(&name("a"), 0).unwrap();
        aliases.touch(first, 5);
        assert_eq!(aliases.find(&name("b"), 4), None);
        let second = aliases.find(&name("b"), 5).unwrap();
        assert_eq!(aliases.touch(first, 6), None, "it is b's now");
        let Touched { alias, told } = aliases.touch(second, 6).unwrap();
        assert_eq!((aliases.frame(alias).topic.as_str(), told), ("b", false));
    }

    #[test]
    fn a_new_connection_is_told_what_unsettled_messages_use() {
        let mut aliases = Aliases::default();
        let [a, b] = ["a", "b"].map(|topic| aliases.find(&name(topic), 0).unwrap());
        aliases.touch(a, 1);
        aliases.touch(b, 2);
        let told = aliases.restart(1, 10);
        let mut expected = Vec::new();
        frame::put_message(
            &mut expected,
            kind::TOPIC_ALIAS,
            &v1::TopicAlias { alias: 1, topic: "b".into(), ..Default::default() },
        );
        assert_eq!(told, expected);
        assert!(aliases.touch(b, 3).unwrap().told);
        assert!(!aliases.touch(a, 4).unwrap().told);
    }
}

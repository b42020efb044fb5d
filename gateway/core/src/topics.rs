//! Topics that are in use, each with a gateway-wide alias and its cached routes.

use crate::hash::HashMap;
use crate::key::GroupKey;
use crate::routes::Route;
use hashbrown::Equivalent;
use macula_proto::Topic;

/// Topics and content types under aliases. An entry lives as long as somebody refers to it.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    entries: Vec<Entry>,
    free: Vec<u32>,
    by_name: HashMap<Name, u32>,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) topic: Topic,
    pub(crate) content_type: Box<str>,
    /// Aliases of sessions and links, and retained values.
    references: u32,
    /// Generation of the routes that `routes` was made from.
    pub(crate) generation: u64,
    pub(crate) routes: Box<[Route]>,
    pub(crate) groups: Box<[GroupKey]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Name(Topic, Box<str>);

#[derive(Hash)]
struct NameRef<'a>(&'a Topic, &'a str);

impl Equivalent<Name> for NameRef<'_> {
    fn equivalent(&self, name: &Name) -> bool {
        *self.0 == name.0 && *self.1 == *name.1
    }
}

impl Topics {
    /// Distinct topics and content types at most; each takes some hundred bytes, and an alias bit per stream.
    pub(crate) const LIMIT: usize = 1 << 16;

    /// The alias of this name, one more reference to it; `None` when the table is full.
    pub(crate) fn refer(&mut self, topic: &Topic, content_type: &str) -> Option<u32> {
        if let Some(&alias) = self.by_name.get(&NameRef(topic, content_type)) {
            self.entries[alias as usize].references += 1;
            return Some(alias);
        }
        if self.by_name.len() >= Self::LIMIT {
            return None;
        }
        let topic = topic.detached();
        let entry = Entry {
            topic: topic.clone(),
            content_type: content_type.into(),
            references: 1,
            generation: 0,
            routes: Box::default(),
            groups: Box::default(),
        };
        let alias = match self.free.pop() {
            Some(alias) => {
                self.entries[alias as usize] = entry;
                alias
            }
            None => {
                self.entries.push(entry);
                self.entries.len() as u32 - 1
            }
        };
        self.by_name.insert(Name(topic, content_type.into()), alias);
        Some(alias)
    }

    pub(crate) fn refer_again(&mut self, alias: u32) {
        self.entries[alias as usize].references += 1;
    }

    /// Gives a reference back. The alias is free for another topic only after [`Topics::sweep`].
    pub(crate) fn release(&mut self, alias: u32) {
        self.entries[alias as usize].references -= 1;
    }

    /// Frees the aliases that nobody refers to and that are not queued: that no queue holds a frame of that names
    /// them. The caller makes every stream forget them.
    pub(crate) fn sweep(&mut self, queued: impl Fn(u32) -> bool) -> Vec<u32> {
        let mut freed = Vec::new();
        self.by_name.retain(|_, alias| {
            let keep = self.entries[*alias as usize].references > 0 || queued(*alias);
            if !keep {
                freed.push(*alias);
            }
            keep
        });
        for &alias in &freed {
            self.entries[alias as usize].routes = Box::default();
            self.entries[alias as usize].groups = Box::default();
            self.entries[alias as usize].generation = 0;
        }
        self.free.extend(&freed);
        freed
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(crate) fn get(&self, alias: u32) -> &Entry {
        &self.entries[alias as usize]
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, alias: u32) -> &mut Entry {
        &mut self.entries[alias as usize]
    }
}

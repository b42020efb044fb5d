//! Publishers that are known here, each with a gateway-wide alias, what was last seen of it, and who makes it
//! wait.

use crate::hash::HashMap;
use crate::key::{ConnKey, MessageClass, OriginKey, PublisherId};
use crate::origins::Origins;
use crate::seen::Seen;

/// Publishers under aliases. An entry outlives its connection, so that what is sent again after a reconnect is
/// known as such.
#[derive(Debug, Default)]
pub(crate) struct Publishers {
    entries: Vec<Publisher>,
    free: Vec<u32>,
    by_id: HashMap<PublisherId, u32>,
}

#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) id: PublisherId,
    /// Highest sequence that its own sessions here have sent, per class.
    accepted: [u64; 2],
    /// Its events that have come here, in whatever way.
    pub(crate) seen: Seen,
    /// Queues, here or behind a link, that make it wait, per class.
    pub(crate) held: [u32; 2],
    /// Where its messages come from now.
    pub(crate) origin: Option<ConnKey>,
    /// Its session, if it has one here.
    pub(crate) home: Option<ConnKey>,
    /// The link that was told to pause it, per class.
    pub(crate) paused: [Option<ConnKey>; 2],
    /// What settles its events, once it has had a session here.
    pub(crate) settling: Option<OriginKey>,
    references: u32,
    released_ms: u64,
}

impl Publishers {
    /// How long a departed publisher is remembered: longer than a client takes to reconnect.
    const MEMORY_MS: u64 = 60_000;

    /// The alias of this publisher, one more reference to it.
    pub(crate) fn refer(&mut self, id: PublisherId) -> u32 {
        if let Some(&alias) = self.by_id.get(&id) {
            self.entries[alias as usize].references += 1;
            return alias;
        }
        let entry = Publisher {
            id,
            accepted: [0; 2],
            seen: Seen::default(),
            held: [0; 2],
            origin: None,
            home: None,
            paused: [None; 2],
            settling: None,
            references: 1,
            released_ms: 0,
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
        self.by_id.insert(id, alias);
        alias
    }

    pub(crate) fn refer_again(&mut self, alias: u32) {
        self.entries[alias as usize].references += 1;
    }

    pub(crate) fn release(&mut self, alias: u32, now_ms: u64) {
        let entry = &mut self.entries[alias as usize];
        entry.references -= 1;
        entry.released_ms = now_ms;
    }

    pub(crate) fn find(&self, id: &PublisherId) -> Option<u32> {
        self.by_id.get(id).copied()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, alias: u32) -> &mut Publisher {
        &mut self.entries[alias as usize]
    }

    pub(crate) fn get(&self, alias: u32) -> &Publisher {
        &self.entries[alias as usize]
    }

    /// What came from one link comes from another from now on; those that it was told to pause and that have to wait
    /// still, by class.
    pub(crate) fn rehome(&mut self, from: ConnKey, to: ConnKey) -> Vec<(PublisherId, MessageClass)> {
        let mut waiting = Vec::new();
        for entry in &mut self.entries {
            if entry.origin == Some(from) {
                entry.origin = Some(to);
            }
            for class in [MessageClass::Event, MessageClass::Telemetry] {
                let paused = &mut entry.paused[class as usize];
                if *paused == Some(from) {
                    *paused = Some(to);
                    waiting.push((entry.id, class));
                }
            }
        }
        waiting
    }

    /// Forgets publishers that left a while ago; the same conditions as for [`crate::topics::Topics::sweep`].
    pub(crate) fn sweep(
        &mut self,
        now_ms: u64,
        queued: impl Fn(u32) -> bool,
        origins: &mut Origins,
    ) -> Vec<u32> {
        let mut freed = Vec::new();
        self.by_id.retain(|_, alias| {
            let entry = &self.entries[*alias as usize];
            let keep = entry.references > 0
                || entry.held != [0; 2]
                || now_ms.saturating_sub(entry.released_ms) < Self::MEMORY_MS
                || queued(*alias);
            if !keep {
                freed.push(*alias);
                entry.settling.into_iter().for_each(|origin| origins.remove(origin));
            }
            keep
        });
        self.free.extend(&freed);
        freed
    }
}

impl Publisher {
    /// Takes notice of a message of its own session here; false when it or a later one was sent before.
    #[inline]
    pub(crate) fn accept(&mut self, class: MessageClass, sequence: u64) -> bool {
        let accepted = &mut self.accepted[class as usize];
        let fresh = sequence > *accepted;
        if fresh {
            *accepted = sequence;
        }
        fresh
    }

    /// How far its own sessions here have sent. What came over links is not theirs: a gateway has it only as far as it
    /// is wanted there.
    pub(crate) fn accepted(&self, class: MessageClass) -> u64 {
        self.accepted[class as usize]
    }
}

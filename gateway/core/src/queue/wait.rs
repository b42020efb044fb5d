//! Publishers that wait for a queue: those owed to subscriptions that say `block`, each for as long as the subscription says.

use super::{LOW_BYTES, Queue};

#[derive(Debug, Default)]
pub(super) struct Wait {
    /// Since when the queue is full.
    since_ms: Option<u64>,
    waiting: Vec<Waiting>,
    /// Somebody has waited long enough since.
    overtaken: bool,
}

#[derive(Debug)]
struct Waiting {
    publisher: u32,
    until_ms: u64,
}

impl Wait {
    /// The queue is full.
    pub(super) fn begin(&mut self, now_ms: u64) {
        self.since_ms.get_or_insert(now_ms);
    }

    /// True when the queue has been full for so long, and has not been low since.
    pub(super) fn is_over(&self, block_ms: u32, now_ms: u64) -> bool {
        self.since_ms.is_some_and(|since| now_ms >= since + u64::from(block_ms))
    }

    /// The receiver is away, and nobody waits for it. When it is back it has its time anew, unless that was over.
    pub(super) fn pause(&mut self) {
        if !self.overtaken {
            self.since_ms = None;
        }
    }
}

impl Queue {
    /// Notes that this publisher waits here, as long as the subscription that it has written for says; false when it did
    /// already.
    pub(crate) fn wait(&mut self, publisher: u32, block_ms: u32, now_ms: u64) -> bool {
        let until_ms = self.wait.since_ms.unwrap_or(now_ms) + u64::from(block_ms);
        match self.wait.waiting.iter_mut().find(|waiting| waiting.publisher == publisher) {
            Some(known) => known.until_ms = known.until_ms.max(until_ms),
            None => {
                self.wait.waiting.push(Waiting { publisher, until_ms });
                return true;
            }
        }
        false
    }

    /// The publishers that need wait no longer, when the backlog is low or they have waited long enough.
    pub(crate) fn release(&mut self, now_ms: u64) -> Vec<u32> {
        if self.backlog() < LOW_BYTES {
            (self.wait.since_ms, self.wait.overtaken) = (None, false);
            return self.abandon();
        }
        let over = self.wait.waiting.extract_if(.., |waiting| waiting.until_ms <= now_ms);
        let released: Vec<u32> = over.map(|waiting| waiting.publisher).collect();
        self.wait.overtaken |= !released.is_empty();
        released
    }

    /// True once somebody has waited long enough, until the backlog is low.
    pub(crate) fn is_overtaken(&self) -> bool {
        self.wait.overtaken
    }

    /// All publishers that wait here: the receiver is gone.
    pub(crate) fn abandon(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.wait.waiting).into_iter().map(|waiting| waiting.publisher).collect()
    }
}

//! What is to happen in a simulation, in the order of its time; at one time in the order in which it was put down.

use std::collections::BTreeMap;

pub(crate) struct Agenda<E> {
    events: BTreeMap<(u64, u64), E>,
    numbered: u64,
}

impl<E> Agenda<E> {
    pub(crate) fn new() -> Self {
        Self { events: BTreeMap::new(), numbered: 0 }
    }

    pub(crate) fn put(&mut self, at_ms: u64, event: E) {
        self.numbered += 1;
        self.events.insert((at_ms, self.numbered), event);
    }

    /// The next event up to this time, and when it is due.
    pub(crate) fn next(&mut self, until_ms: u64) -> Option<(u64, E)> {
        let first = self.events.first_entry().filter(|first| first.key().0 <= until_ms)?;
        let ((at_ms, _), event) = first.remove_entry();
        Some((at_ms, event))
    }
}

//! Which events of groups have been handed over, so that one that is sent again is handed over once.
//!
//! A member of a group sees a part of its publisher's events, and after a failure it may be given some that were another's
//! before: newer ones tell nothing of older ones. So each event is remembered by itself.

use crate::message::PublisherRun;
use std::collections::{HashMap, VecDeque};

/// Events of one publisher, counted by its sequences, that are remembered: as many small ones as a publisher keeps.
const SPAN: u64 = 1 << 16;
/// Publishers, for each subscription, that are remembered; together at most 32 MiB. A guess, not measured.
const WINDOWS: usize = 4_096;

/// The events of each subscription and publisher.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    windows: HashMap<(u32, PublisherRun), Window>,
    /// Counts events, as a clock.
    clock: u64,
}

/// Events of one publisher.
#[derive(Debug, Default)]
struct Window {
    /// A bit for each sequence, from `first * 64` on.
    words: VecDeque<u64>,
    first: u64,
    used: u64,
}

impl Shares {
    /// Takes notice of an event; false when it is known to have been handed over.
    pub(crate) fn admit(&mut self, subscription: u32, run: PublisherRun, sequence: u64) -> bool {
        self.clock += 1;
        if self.windows.len() >= WINDOWS && !self.windows.contains_key(&(subscription, run)) {
            self.make_room();
        }
        let window = self.windows.entry((subscription, run)).or_default();
        window.used = self.clock;
        window.admit(sequence)
    }

    /// Forgets the half that was heard of longest ago.
    fn make_room(&mut self) {
        let mut times: Vec<u64> = self.windows.values().map(|window| window.used).collect();
        times.sort_unstable();
        let median = times[times.len() / 2];
        self.windows.retain(|_, window| window.used > median);
    }
}

impl Window {
    fn admit(&mut self, sequence: u64) -> bool {
        let word = sequence / 64;
        if self.words.is_empty() {
            self.first = word;
        }
        while word < self.first && self.words.len() < (SPAN / 64) as usize {
            self.words.push_front(0);
            self.first -= 1;
        }
        if word < self.first {
            // Too old to be remembered.
            return true;
        }
        if word >= self.first + 2 * SPAN / 64 {
            self.words.clear();
            self.first = word;
        }
        while word >= self.first + self.words.len() as u64 {
            self.words.push_back(0);
        }
        while self.words.len() as u64 > SPAN / 64 {
            self.words.pop_front();
            self.first += 1;
        }
        let (place, bit) = (&mut self.words[(word - self.first) as usize], 1 << (sequence % 64));
        let fresh = *place & bit == 0;
        *place |= bit;
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::PublisherId;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn run(number: u64) -> PublisherRun {
        PublisherRun { id: PublisherId([7; 16]), epoch: number }
    }

    proptest! {
        #[test]
        fn within_the_span_each_is_admitted_once_as_by_a_set(
            start in 0..u64::MAX - SPAN,
            offsets in prop::collection::vec(0..SPAN - 64, 1..300),
        ) {
            let (mut window, mut set) = (Window::default(), BTreeSet::new());
            for offset in offsets {
                prop_assert_eq!(window.admit(start + offset), set.insert(start + offset));
            }
            prop_assert!(window.words.len() as u64 <= SPAN / 64);
        }
    }

    #[test]
    fn what_is_too_old_is_handed_over_rather_than_lost() {
        let mut window = Window::default();
        assert!(window.admit(1) && !window.admit(1));
        assert!(window.admit(2 + SPAN) && window.admit(1));
        assert!(window.admit(1 << 60) && window.admit(2 + SPAN), "a jump takes no memory");
        assert!(window.words.len() as u64 <= SPAN / 64);
    }

    #[test]
    fn those_heard_of_longest_ago_are_forgotten_when_there_are_too_many() {
        let mut shares = Shares::default();
        for number in 0..=WINDOWS as u64 {
            assert!(shares.admit(1, run(number), 5));
        }
        assert!(shares.admit(1, run(0), 5), "forgotten");
        assert!(!shares.admit(1, run(WINDOWS as u64), 5) && shares.admit(2, run(WINDOWS as u64), 5));
        assert!(shares.windows.len() < WINDOWS);
    }
}

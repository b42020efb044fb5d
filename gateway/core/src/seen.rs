//! Which events of a publisher a gateway has met already.
//!
//! A connection brings a publisher's events in order, but not all of them: those that nobody here wants are left out. So
//! what one connection brings covers all sequences from its first to its last. A publisher that moves sends what was not
//! settled again from its new place, and the same events may still be under way from the old one. Which of the two
//! brings them first is chance, and a highest sequence alone would take the rest of the older ones for duplicates.

use crate::key::ConnKey;
use std::collections::VecDeque;

/// The sequences that connections have covered.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The connection that brought the newest.
    source: ConnKey,
    first: u64,
    last: u64,
    /// What others covered before, the oldest first.
    earlier: Vec<(u64, u64)>,
    /// Events that the store of a peer has brought before their own connection, the first first.
    ahead: VecDeque<u64>,
}

/// What an event is to a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// News.
    New,
    /// It was here before, or nobody here wanted it then.
    Again,
    /// It was not here, and newer ones of its publisher were.
    Late,
    /// The store of a peer has brought it, for all but groups.
    Ahead,
}

impl Seen {
    /// Stretches that are remembered; more moves within the life of one event would be strange. Of older ones, what lies
    /// between counts as covered.
    const EARLIER: usize = 8;
    /// Events that are known to have come ahead of their connection. Values that a publisher keeps changing while a link to
    /// it is lost and another is not; of more, the oldest may be delivered twice. A guess, not measured.
    const AHEAD: usize = 256;

    /// Takes notice of an event that this connection brings.
    #[inline]
    pub(crate) fn meet(&mut self, source: ConnKey, sequence: u64) -> Met {
        if sequence <= self.last {
            return self.look_back(sequence);
        }
        if source != self.source {
            self.turn(source, sequence);
        }
        self.last = sequence;
        if self.ahead.is_empty() { Met::New } else { self.catch_up(sequence) }
    }

    /// The store of a peer has brought an event, and subscribers here are sent it.
    pub(crate) fn come_ahead(&mut self, sequence: u64) {
        if sequence <= self.last {
            return;
        }
        if self.ahead.len() == Self::AHEAD {
            self.ahead.pop_front();
        }
        self.ahead.push_back(sequence);
    }

    /// The connection has come to where some events had come before it.
    #[cold]
    fn catch_up(&mut self, sequence: u64) -> Met {
        let known = self.ahead.contains(&sequence);
        self.ahead.retain(|ahead| *ahead > sequence);
        if known { Met::Ahead } else { Met::New }
    }

    /// The newest sequence, 0 for none.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Another connection goes on with this sequence.
    #[cold]
    fn turn(&mut self, source: ConnKey, sequence: u64) {
        self.source = source;
        if sequence == self.last + 1 && self.first > 0 {
            return;
        }
        if self.first > 0 {
            self.remember((self.first, self.last));
        }
        self.first = sequence;
    }

    #[cold]
    fn look_back(&mut self, sequence: u64) -> Met {
        let covers = |(first, last): &(u64, u64)| (*first..=*last).contains(&sequence);
        if covers(&(self.first, self.last)) || self.earlier.iter().any(covers) {
            return Met::Again;
        }
        self.remember((sequence, sequence));
        Met::Late
    }

    fn remember(&mut self, stretch: (u64, u64)) {
        match self.earlier.last_mut() {
            Some(newest) if stretch.0 == newest.1 + 1 => newest.1 = stretch.1,
            _ => self.earlier.push(stretch),
        }
        if self.earlier.len() > Self::EARLIER {
            self.earlier.sort_unstable();
            let oldest = self.earlier.remove(0);
            self.earlier[0].0 = oldest.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slotmap::KeyData;

    fn source(number: u64) -> ConnKey {
        KeyData::from_ffi(number << 32 | number).into()
    }

    #[test]
    fn what_one_connection_has_passed_over_does_not_come_again() {
        let mut seen = Seen::default();
        assert_eq!([2, 5, 9].map(|sequence| seen.meet(source(1), sequence)), [Met::New; 3]);
        assert_eq!([2, 3, 9].map(|sequence| seen.meet(source(2), sequence)), [Met::Again; 3]);
        assert_eq!(seen.meet(source(2), 10), Met::New);
    }

    #[test]
    fn what_comes_after_the_publisher_has_moved_is_late_once() {
        let mut seen = Seen::default();
        assert_eq!([1, 2].map(|sequence| seen.meet(source(1), sequence)), [Met::New; 2]);
        assert_eq!([6, 7].map(|sequence| seen.meet(source(2), sequence)), [Met::New; 2]);
        assert_eq!(
            [3, 4, 2].map(|sequence| seen.meet(source(1), sequence)),
            [Met::Late, Met::Late, Met::Again]
        );
        assert_eq!(seen.meet(source(1), 4), Met::Again, "it was told");
        assert_eq!(seen.meet(source(1), 5), Met::Late);
    }

    #[test]
    fn a_publisher_that_sends_again_from_its_new_place_covers_what_it_sends() {
        let mut seen = Seen::default();
        (1..=3).for_each(|sequence| assert_eq!(seen.meet(source(1), sequence), Met::New));
        assert_eq!(
            [2, 3, 4, 5].map(|s| seen.meet(source(2), s)),
            [Met::Again, Met::Again, Met::New, Met::New]
        );
        assert_eq!(seen.meet(source(1), 4), Met::Again);
    }

    #[test]
    fn what_a_store_has_brought_is_not_news_when_it_comes_by_itself() {
        let mut seen = Seen::default();
        assert_eq!(seen.meet(source(1), 1), Met::New);
        [5, 3].into_iter().for_each(|sequence| seen.come_ahead(sequence));
        let met = [2, 3, 4, 5, 6].map(|sequence| seen.meet(source(1), sequence));
        assert_eq!(met, [Met::New, Met::Ahead, Met::New, Met::Ahead, Met::New]);
        assert!(seen.ahead.is_empty());
    }

    #[test]
    fn restless_publishers_are_remembered_in_little_room() {
        let mut seen = Seen::default();
        for sequence in 1..10_000 {
            assert_eq!(seen.meet(source(sequence % 7 + 1), sequence * 3), Met::New);
        }
        assert!(seen.earlier.len() <= Seen::EARLIER);
        assert_eq!(seen.meet(source(1), 4), Met::Again, "nobody knows any more");
    }
}

//! How far what somebody sent is settled: acknowledged by everyone it was queued for.
//!
//! An origin is a publisher of this gateway, measured in its sequences, or a link, measured in frames. What it sends is
//! cut into segments, one for each chunk received. Every batch of a queue that holds events of a segment refers to it; a
//! segment without references is settled, and the origin is settled up to its first segment that is not. So the
//! message path counts once for each chunk and receiver, not once for each message.

use crate::key::{ConnKey, OriginKey};
use slotmap::SlotMap;
use std::collections::VecDeque;

/// All origins whose events may be under way.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    entries: SlotMap<OriginKey, Origin>,
    /// Those that have settled further since the last look.
    advanced: Vec<OriginKey>,
}

#[derive(Debug)]
struct Origin {
    whose: Whose,
    /// In the order of their numbers. One without references that is not the first settles with the one before it, and may
    /// be missing.
    segments: VecDeque<Segment>,
    /// Number of the segment that comes next.
    next: u64,
    /// How many are referred to.
    live: usize,
    settled: u64,
    /// It stands in `advanced`.
    noted: bool,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    references: u32,
    /// Sequence or position of its last event.
    end: u64,
}

/// Who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// A publisher with a session here, by its alias.
    Publisher(u32),
    /// A link.
    Link(ConnKey),
}

/// A segment of an origin; the default marks nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    origin: OriginKey,
    segment: u64,
}

impl Mark {
    /// True of the mark of telemetry, which is never acknowledged.
    #[inline]
    pub(crate) fn is_nothing(self) -> bool {
        self == Self::default()
    }

    /// True when both are segments of one origin.
    pub(crate) fn same_origin(self, other: Self) -> bool {
        self.origin == other.origin
    }

    /// True when this is the earlier segment of their origin, or the same.
    pub(crate) fn is_before(self, other: Self) -> bool {
        self.segment <= other.segment
    }

    /// True of a segment of this origin.
    pub(crate) fn is_of(self, origin: Option<OriginKey>) -> bool {
        origin == Some(self.origin)
    }
}

impl Origins {
    /// An origin is another's from now on.
    pub(crate) fn rehome(&mut self, key: OriginKey, whose: Whose) {
        if let Some(origin) = self.entries.get_mut(key) {
            origin.whose = whose;
        }
    }

    /// A new origin that is settled up to `settled`.
    pub(crate) fn add(&mut self, whose: Whose, settled: u64) -> OriginKey {
        let segments = VecDeque::new();
        self.entries.insert(Origin { whose, segments, next: 1, live: 0, settled, noted: false })
    }

    /// Forgets an origin; marks of it are of no effect from now on.
    pub(crate) fn remove(&mut self, key: OriginKey) {
        self.entries.remove(key);
    }

    /// Begins a segment, which is under way until [`Origins::close`].
    pub(crate) fn open(&mut self, key: OriginKey) -> Mark {
        let Some(origin) = self.entries.get_mut(key) else { return Mark::default() };
        origin.compact();
        let number = origin.next;
        origin.segments.push_back(Segment { number, references: 1, end: 0 });
        origin.next += 1;
        origin.live += 1;
        Mark { origin: key, segment: number }
    }

    /// All of a segment has been queued, its last event being `end`.
    pub(crate) fn close(&mut self, mark: Mark, end: u64) {
        if let Some(segment) = self.segment(mark) {
            segment.end = end;
        }
        self.release(mark);
    }

    /// One batch more holds events of this segment.
    #[inline]
    pub(crate) fn refer(&mut self, mark: Mark) {
        if let Some(segment) = self.segment(mark) {
            segment.references += 1;
        }
    }

    /// One batch less.
    pub(crate) fn release(&mut self, mark: Mark) {
        let Some(segment) = self.segment(mark) else { return };
        segment.references -= 1;
        if segment.references > 0 {
            return;
        }
        let Some(origin) = self.entries.get_mut(mark.origin) else { return };
        origin.live -= 1;
        let before = origin.settled;
        while let Some(front) = origin.segments.front().filter(|front| front.references == 0) {
            origin.settled = origin.settled.max(front.end);
            origin.segments.pop_front();
        }
        if origin.settled > before && !std::mem::replace(&mut origin.noted, true) {
            self.advanced.push(mark.origin);
        }
    }

    /// How far an origin is settled.
    pub(crate) fn settled(&self, key: OriginKey) -> u64 {
        self.entries.get(key).map_or(0, |origin| origin.settled)
    }

    /// The next origin that has settled further, and how far.
    pub(crate) fn advanced(&mut self) -> Option<(Whose, u64)> {
        loop {
            let key = self.advanced.pop()?;
            if let Some(origin) = self.entries.get_mut(key) {
                origin.noted = false;
                return Some((origin.whose, origin.settled));
            }
        }
    }

    #[inline]
    fn segment(&mut self, mark: Mark) -> Option<&mut Segment> {
        let segments = &mut self.entries.get_mut(mark.origin)?.segments;
        // Numbers have no holes, as a rule.
        let guess = usize::try_from(mark.segment.checked_sub(segments.front()?.number)?).ok()?;
        if segments.get(guess).is_some_and(|segment| segment.number == mark.segment) {
            return segments.get_mut(guess);
        }
        let index = segments.binary_search_by_key(&mark.segment, |segment| segment.number).ok()?;
        segments.get_mut(index)
    }
}

impl Origin {
    /// Segments that are kept although nobody refers to them.
    const SPARE: usize = 64;

    /// Lets the segments that nobody refers to go with those before them: behind one that a reader does not acknowledge, they
    /// would become ever more.
    fn compact(&mut self) {
        if self.segments.len() < 2 * self.live + Self::SPARE {
            return;
        }
        let mut kept: VecDeque<Segment> = VecDeque::with_capacity(self.live + 1);
        for segment in self.segments.drain(..) {
            match kept.back_mut().filter(|_| segment.references == 0) {
                Some(before) => before.end = before.end.max(segment.end),
                None => kept.push_back(segment),
            }
        }
        self.segments = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settled_is_what_all_receivers_have_and_everything_before_it() {
        let mut origins = Origins::default();
        let key = origins.add(Whose::Publisher(7), 0);
        let first = origins.open(key);
        origins.refer(first);
        origins.refer(first);
        origins.close(first, 10);
        let second = origins.open(key);
        origins.refer(second);
        origins.close(second, 20);
        origins.release(second);
        assert_eq!(origins.advanced(), None, "the first segment is under way");
        origins.release(first);
        assert_eq!(origins.advanced(), None);
        origins.release(first);
        assert_eq!(origins.advanced(), Some((Whose::Publisher(7), 20)));
        assert_eq!((origins.advanced(), origins.settled(key)), (None, 20));
    }

    #[test]
    fn what_nobody_wants_is_settled_when_it_has_come() {
        let mut origins = Origins::default();
        let key = origins.add(Whose::Publisher(7), 5);
        let mark = origins.open(key);
        assert_eq!(origins.settled(key), 5);
        origins.close(mark, 6);
        assert_eq!(origins.advanced(), Some((Whose::Publisher(7), 6)));
    }

    #[test]
    fn a_reader_that_acknowledges_nothing_does_not_make_it_grow() {
        let mut origins = Origins::default();
        let key = origins.add(Whose::Publisher(7), 0);
        let stuck = origins.open(key);
        origins.refer(stuck);
        origins.close(stuck, 1);
        let mut others = VecDeque::new();
        for event in 2..=10_000 {
            let mark = origins.open(key);
            origins.refer(mark);
            origins.close(mark, event);
            others.push_back(mark);
            if others.len() > 10 {
                origins.release(others.pop_front().unwrap());
            }
            assert!(origins.entries[key].segments.len() <= 2 * 12 + Origin::SPARE);
        }
        assert_eq!(origins.settled(key), 0);
        origins.release(stuck);
        assert_eq!(origins.settled(key), 9_990);
        others.into_iter().for_each(|mark| origins.release(mark));
        assert_eq!(origins.settled(key), 10_000);
    }

    #[test]
    fn marks_of_an_origin_that_is_gone_mean_nothing() {
        let mut origins = Origins::default();
        let key = origins.add(Whose::Publisher(7), 0);
        let mark = origins.open(key);
        origins.remove(key);
        origins.refer(mark);
        origins.release(mark);
        origins.close(mark, 3);
        assert_eq!((origins.advanced(), origins.settled(key)), (None, 0));
        assert!(Mark::default().is_nothing() && !mark.is_nothing());
    }
}

//! How far the events of each publisher have been seen, so that one that is sent again is not handed over again.

use crate::message::PublisherRun;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Publishers without an alias that are remembered. A guess, not measured: ten times the homes of a large region.
const RUNS: usize = 10_000;
/// How long one is remembered: longer than any gateway takes to come back and be sent everything again.
const MEMORY: Duration = Duration::from_secs(600);

/// The publishers that have no alias now.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    runs: HashMap<PublisherRun, Highest>,
}

#[derive(Clone, Copy, Debug)]
struct Highest {
    sequence: u64,
    at: Instant,
}

impl Seen {
    /// Remembers the highest sequence of a publisher, last heard of at this time.
    pub(crate) fn put(&mut self, run: PublisherRun, sequence: u64, at: Instant) {
        if sequence == 0 {
            return;
        }
        if self.runs.len() >= RUNS {
            self.make_room(at);
        }
        let highest = self.runs.entry(run).or_insert(Highest { sequence, at });
        *highest = Highest { sequence: highest.sequence.max(sequence), at };
    }

    /// The highest sequence of a publisher, 0 for none; it is the caller's from now on.
    pub(crate) fn take(&mut self, run: &PublisherRun) -> u64 {
        self.runs.remove(run).map_or(0, |highest| highest.sequence)
    }

    /// Forgets who has been silent for long, and the older half if that is nobody.
    fn make_room(&mut self, now: Instant) {
        self.runs.retain(|_, highest| now.duration_since(highest.at) < MEMORY);
        if self.runs.len() >= RUNS {
            let mut times: Vec<Instant> = self.runs.values().map(|highest| highest.at).collect();
            times.sort_unstable();
            let median = times[times.len() / 2];
            let mut left = self.runs.len() / 2;
            self.runs.retain(|_, highest| {
                let goes = left > 0 && highest.at <= median;
                left -= usize::from(goes);
                !goes
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::PublisherId;

    fn run(number: u64) -> PublisherRun {
        PublisherRun { id: PublisherId([7; 16]), epoch: number }
    }

    #[test]
    fn the_oldest_are_forgotten_when_there_are_too_many() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        for number in 0..RUNS as u64 {
            seen.put(run(number), 5, start + Duration::from_millis(number));
        }
        seen.put(run(u64::MAX), 9, start + Duration::from_secs(20));
        assert_eq!((seen.take(&run(0)), seen.take(&run(RUNS as u64 - 1))), (0, 5));
        assert_eq!((seen.take(&run(u64::MAX)), seen.take(&run(u64::MAX))), (9, 0), "taken once");
        assert!(seen.runs.len() >= RUNS / 2 - 2);
    }

    #[test]
    fn who_was_silent_for_ten_minutes_goes_first() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        for number in 0..RUNS as u64 {
            seen.put(run(number), 5, if number == 3 { start } else { start + MEMORY });
        }
        seen.put(run(u64::MAX), 9, start + MEMORY);
        assert_eq!(seen.take(&run(3)), 0);
        assert_eq!(seen.runs.len(), RUNS);
    }
}

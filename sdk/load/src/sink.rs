//! Takes the messages of one subscriber, and checks and times them.

use crate::payload::{Head, Sizes};
use crate::report::Part;
use hdrhistogram::Histogram;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a subscriber must get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// Every message once and in order.
    Complete,
    /// Messages in order; what is missing is counted, and has to have been told.
    Told,
}

/// One subscriber's messages.
#[derive(Debug)]
pub struct Sink {
    expected: u64,
    strictness: Strictness,
    next: Vec<u32>,
    sizes: Sizes,
    every: u64,
    seen: Arc<AtomicU64>,
    noted: u64,
    rest: Duration,
    part: Part,
    latency: Histogram<u64>,
}

/// Faults that are kept in words.
const FAULTS: usize = 5;
/// Where messages come as fast as they can, latency is that of queues, and every 16th tells it.
const SAMPLE: u64 = 16;
/// Significant digits of latencies. With three each of a thousand subscribers would fill 100 KB.
const DIGITS: u8 = 2;

impl Sink {
    /// For this many messages of publishers numbered below `publishers`.
    pub fn new(
        expected: u64,
        publishers: usize,
        sizes: Sizes,
        paced: bool,
        strictness: Strictness,
        seen: Arc<AtomicU64>,
    ) -> Self {
        Self {
            expected,
            strictness,
            next: vec![0; publishers],
            sizes,
            every: if paced { 1 } else { SAMPLE },
            seen,
            noted: 0,
            rest: Duration::ZERO,
            part: Part::default(),
            latency: Histogram::new(DIGITS).expect("so many digits are allowed"),
        }
    }

    /// Makes it the sink of a slow reader, which rests after each message.
    pub fn slow(self, rest: Duration) -> Self {
        Self { rest, ..self }
    }

    /// How long a slow reader rests after so many messages.
    pub fn rest(&self, messages: u64) -> Option<Duration> {
        (!self.rest.is_zero()).then(|| self.rest * u32::try_from(messages).unwrap_or(u32::MAX))
    }

    /// How many messages have come.
    pub fn received(&self) -> u64 {
        self.part.received
    }

    /// A message.
    #[inline]
    pub fn take(&mut self, payload: &[u8]) {
        let Some(head) = Head::read(payload) else {
            return self.fault(format!("a payload of {} bytes", payload.len()));
        };
        if payload.len() != self.sizes.of(head.sequence) {
            return self.fault(format!("message {} has {} bytes", head.sequence, payload.len()));
        }
        match self.next.get_mut(head.publisher as usize) {
            Some(next) if *next == head.sequence => *next += 1,
            Some(next) if *next < head.sequence && self.strictness == Strictness::Told => {
                self.part.missing += u64::from(head.sequence - *next);
                *next = head.sequence + 1;
            }
            expected => {
                let fault = format!(
                    "message {} of publisher {}, expected {expected:?}",
                    head.sequence, head.publisher
                );
                return self.fault(fault);
            }
        }
        self.part.received += 1;
        if self.part.received.is_multiple_of(self.every) {
            let _ = self.latency.record(crate::now().saturating_sub(head.due) / 1000);
        }
        if self.part.received - self.noted == 64 {
            self.note();
        }
    }

    /// The subscriber was told that messages are lost.
    pub fn told(&mut self, lost: u64) {
        match self.strictness {
            Strictness::Complete => self.fault(format!("{lost} messages are lost, it was told")),
            Strictness::Told => self.part.told += lost,
        }
    }

    /// Something is wrong.
    #[cold]
    pub fn fault(&mut self, fault: String) {
        self.part.faulty += 1;
        if self.part.faults.len() < FAULTS {
            self.part.faults.push(fault);
        }
    }

    /// Whether everything has come, or something is wrong that makes the run invalid.
    #[inline]
    pub fn is_done(&self) -> bool {
        self.part.received + self.part.told.max(self.part.missing) >= self.expected || self.part.faulty > 0
    }

    /// What has come.
    pub fn finish(mut self) -> Part {
        self.part.last = crate::now();
        self.note();
        self.part.latency = crate::Latency::from(&self.latency);
        self.part
    }

    fn note(&mut self) {
        self.seen.fetch_add(self.part.received - self.noted, Ordering::Relaxed);
        self.noted = self.part.received;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink(strictness: Strictness) -> Sink {
        Sink::new(3, 1, "20".parse().unwrap(), true, strictness, Arc::default())
    }

    fn message(sequence: u32) -> [u8; 20] {
        let mut payload = [0; 20];
        Head { publisher: 0, sequence, due: crate::now() }.write(&mut payload);
        payload
    }

    #[test]
    fn a_hole_a_double_and_a_wrong_size_are_faults() {
        for (sequences, faulty) in [(vec![0, 1, 2], 0), (vec![0, 2], 1), (vec![0, 0], 1)] {
            let mut sink = sink(Strictness::Complete);
            sequences.iter().for_each(|&sequence| sink.take(&message(sequence)));
            assert_eq!(sink.part.faulty, faulty, "{sequences:?}");
        }
        let mut sink = sink(Strictness::Complete);
        sink.take(&[0; 21]);
        assert!(sink.is_done() && sink.part.faulty == 1);
    }

    #[test]
    fn a_hole_that_was_told_is_counted() {
        let mut sink = sink(Strictness::Told);
        sink.take(&message(0));
        sink.told(1);
        sink.take(&message(2));
        assert!(sink.is_done());
        let part = sink.finish();
        assert_eq!((part.received, part.missing, part.told, part.faulty), (2, 1, 1, 0));
    }
}

//! What two gateways compare to find out whether their stores agree: sums over buckets of entries.

use super::Rank;
use crate::hash::{FNV_BASIS, fnv, scramble};

/// Entries are compared in so many groups: few enough to tell in one frame, many enough that one difference does not
/// make gateways list much. A guess, not measured.
pub(crate) const BUCKETS: usize = 256;

/// Sums of the marks of all entries, by bucket. The order in which entries came makes no difference.
#[derive(Debug)]
pub(crate) struct Digest {
    sums: Box<[u64; BUCKETS]>,
    counts: Box<[u32; BUCKETS]>,
}

/// Where an entry counts, and as what: the same on every gateway, whatever its build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) bucket: u8,
    pub(crate) hash: u64,
}

impl Default for Digest {
    fn default() -> Self {
        Self { sums: Box::new([0; BUCKETS]), counts: Box::new([0; BUCKETS]) }
    }
}

impl Mark {
    pub(super) fn new(topic: &[u8], key: &str, rank: Rank) -> Self {
        let name = fnv(fnv(fnv(FNV_BASIS, topic), &[0]), key.as_bytes());
        let (stamp, id, epoch, sequence) = rank;
        let numbers = [stamp, epoch, sequence];
        let hash = numbers.iter().fold(fnv(name, &id), |hash, number| fnv(hash, &number.to_le_bytes()));
        Self { bucket: scramble(name) as u8, hash: scramble(hash) }
    }
}

impl Digest {
    pub(super) fn add(&mut self, mark: Mark) {
        let sum = &mut self.sums[usize::from(mark.bucket)];
        *sum = sum.wrapping_add(mark.hash);
        self.counts[usize::from(mark.bucket)] += 1;
    }

    pub(super) fn subtract(&mut self, mark: Mark) {
        let sum = &mut self.sums[usize::from(mark.bucket)];
        *sum = sum.wrapping_sub(mark.hash);
        self.counts[usize::from(mark.bucket)] -= 1;
    }

    /// One number for all of the store.
    pub(crate) fn sum(&self) -> u64 {
        self.sums.iter().fold(0, |sum, bucket| scramble(sum ^ bucket))
    }

    pub(crate) fn buckets(&self) -> &[u64] {
        &self.sums[..]
    }

    /// The buckets whose sums differ from these, as many as hold `limit` entries, and one at least.
    pub(crate) fn differing(&self, others: &[u64], limit: usize) -> Vec<u8> {
        let differing =
            |bucket: &u8| others.get(usize::from(*bucket)) != Some(&self.sums[usize::from(*bucket)]);
        let mut entries = 0;
        let mut buckets: Vec<u8> = Vec::new();
        for bucket in (0..=u8::MAX).filter(differing) {
            entries += self.counts[usize::from(bucket)] as usize;
            if entries > limit && !buckets.is_empty() {
                break;
            }
            buckets.push(bucket);
        }
        buckets
    }
}

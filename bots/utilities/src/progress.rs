//! What the providers did, for whoever watches them.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one process of providers. They belong to the present run and begin anew with each.
#[derive(Debug, Default)]
pub struct Progress {
    offered: AtomicU64,
    confirmed: AtomicU64,
    rejected: AtomicU64,
}

impl Progress {
    /// Offers that were published.
    pub fn offered(&self) -> u64 {
        self.offered.load(Ordering::Relaxed)
    }

    /// Acceptances that were confirmed, each counted once however often it came.
    pub fn confirmed(&self) -> u64 {
        self.confirmed.load(Ordering::Relaxed)
    }

    /// Acceptances that were refused.
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    pub(crate) fn begin(&self) {
        for counter in [&self.offered, &self.confirmed, &self.rejected] {
            counter.store(0, Ordering::Relaxed);
        }
    }

    pub(crate) fn offers(&self, count: u64) {
        self.offered.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn one_confirmed(&self) {
        self.confirmed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn one_rejected(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }
}

//! What the providers did, for whoever watches them.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use cortexiq_shell::{Health, Metrics, Presence};
use macula_sdk::Client;

/// Counters of one process of providers. They belong to the present run and begin anew with each.
#[derive(Debug, Default)]
pub struct Progress {
    presence: Presence,
    offered: AtomicU64,
    confirmed: AtomicU64,
    rejected: AtomicU64,
    lag: AtomicI64,
    customers: AtomicU64,
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

    /// Simulated seconds by which the next offer is late: its day has no prices yet.
    pub fn lag(&self) -> i64 {
        self.lag.load(Ordering::Relaxed)
    }

    pub(crate) fn reached(&self, lag: i64, customers: usize) {
        self.lag.store(lag, Ordering::Relaxed);
        self.customers.store(customers as u64, Ordering::Relaxed);
    }

    pub(crate) fn joined(&self, client: &Client) {
        self.presence.joined(client);
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

impl Health for Progress {
    const PREFIX: &'static str = "cortexiq_utilities";

    fn ready(&self) -> Result<(), String> {
        self.presence.ready()
    }

    fn metrics(&self, metrics: &mut Metrics) {
        metrics.counter("offered_total", "Offers published in this run.", self.offered());
        metrics.counter("confirmed_total", "Acceptances confirmed in this run.", self.confirmed());
        metrics.counter("rejected_total", "Acceptances refused in this run.", self.rejected());
        metrics.gauge("lag_seconds", "Simulated seconds by which the next offer is late.", self.lag());
        metrics.gauge("customers", "Homes with a contract.", self.customers.load(Ordering::Relaxed));
    }
}

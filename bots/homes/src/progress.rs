//! How far the homes are, for whoever watches them.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use cortexiq_shell::{Health, Metrics, Presence};
use macula_sdk::Client;

/// Counters of one process of homes. They belong to the present run and begin anew with each.
#[derive(Debug, Default)]
pub struct Progress {
    presence: Presence,
    run: AtomicU64,
    homes: AtomicU64,
    connected: AtomicBool,
    computed_until: AtomicI64,
    lag: AtomicI64,
    waiting: AtomicU64,
    asking: AtomicU64,
    measured: AtomicU64,
    traded: AtomicU64,
    contracts: AtomicU64,
}

/// A look at a [`Progress`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// The run; 0 before the first tick.
    pub run: u64,
    /// How many homes there are.
    pub homes: u64,
    /// Whether they are connected to their gateway.
    pub connected: bool,
    /// The first simulated instant that not every home has computed and handed over.
    pub computed_until: i64,
    /// Simulated seconds that the slowest home is behind the newest tick.
    pub lag: i64,
    /// Homes that wait for prices or answers.
    pub waiting: u64,
    /// Acceptances without an answer.
    pub asking: u64,
    /// Quarter-hours that were handed over.
    pub measured: u64,
    /// Hours that were handed over.
    pub traded: u64,
    /// Contracts that were signed or switched.
    pub contracts: u64,
}

impl Progress {
    /// All of it, now.
    pub fn seen(&self) -> Seen {
        Seen {
            run: self.run.load(Ordering::Acquire),
            homes: self.homes.load(Ordering::Relaxed),
            connected: self.connected.load(Ordering::Relaxed),
            computed_until: self.computed_until.load(Ordering::Acquire),
            lag: self.lag.load(Ordering::Relaxed),
            waiting: self.waiting.load(Ordering::Relaxed),
            asking: self.asking.load(Ordering::Relaxed),
            measured: self.measured.load(Ordering::Relaxed),
            traded: self.traded.load(Ordering::Relaxed),
            contracts: self.contracts.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn joined(&self, client: &Client) {
        self.presence.joined(client);
    }

    pub(crate) fn begin(&self, run: u64, homes: usize, computed_until: i64) {
        for counter in [&self.waiting, &self.asking, &self.measured, &self.traded, &self.contracts] {
            counter.store(0, Ordering::Relaxed);
        }
        self.homes.store(homes as u64, Ordering::Relaxed);
        self.computed_until.store(computed_until, Ordering::Relaxed);
        self.run.store(run, Ordering::Release);
    }

    pub(crate) fn connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Relaxed);
    }

    pub(crate) fn asking(&self, asking: usize) {
        self.asking.store(asking as u64, Ordering::Relaxed);
    }

    /// What has been handed over since the last time.
    pub(crate) fn handed_over(&self, measured: u64, traded: u64, contracts: u64) {
        self.measured.fetch_add(measured, Ordering::Relaxed);
        self.traded.fetch_add(traded, Ordering::Relaxed);
        self.contracts.fetch_add(contracts, Ordering::Relaxed);
    }

    /// Where the slowest home is. Told after its last quarter-hour was handed over.
    pub(crate) fn reached(&self, computed_until: i64, lag: i64, waiting: usize) {
        self.lag.store(lag, Ordering::Relaxed);
        self.waiting.store(waiting as u64, Ordering::Relaxed);
        self.computed_until.store(computed_until, Ordering::Release);
    }
}

impl Health for Progress {
    const PREFIX: &'static str = "cortexiq_homes";

    fn ready(&self) -> Result<(), String> {
        self.presence.ready()
    }

    fn metrics(&self, metrics: &mut Metrics) {
        let seen = self.seen();
        metrics.gauge("homes", "Homes of this process.", seen.homes);
        metrics.gauge("lag_seconds", "Simulated seconds that the slowest home is behind.", seen.lag);
        metrics.gauge("waiting", "Homes that wait for prices or answers.", seen.waiting);
        metrics.gauge("asking", "Acceptances without an answer.", seen.asking);
        metrics.counter("measured_total", "Quarter-hours handed over in this run.", seen.measured);
        metrics.counter("traded_total", "Hours handed over in this run.", seen.traded);
        metrics.counter("contracts_total", "Contracts signed or switched in this run.", seen.contracts);
    }
}

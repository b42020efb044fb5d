//! What the admin port shows: counted in the loop, read from anywhere.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use cortexiq_shell::{Health, Metrics};

/// Counters since the start.
#[derive(Debug, Default)]
pub struct Gauges {
    messages: AtomicU64,
    measurements: AtomicU64,
    trades: AtomicU64,
    batches: AtomicU64,
    rejected: AtomicU64,
    dropped: AtomicU64,
    gaps: AtomicU64,
    failures: AtomicU64,
    expired: AtomicU64,
    removed: AtomicU64,
    waiting: AtomicU64,
    subscribed: AtomicBool,
    /// Whether the database takes rows, or why not; none before it has been reached.
    database: Mutex<Option<Result<(), String>>>,
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident, $count:ident;)*) => {
        impl Gauges {
            $(
                $(#[$doc])*
                pub fn $name(&self) -> u64 {
                    self.$name.load(Ordering::Relaxed)
                }

                pub(crate) fn $count(&self, count: u64) {
                    self.$name.fetch_add(count, Ordering::Relaxed);
                }
            )*
        }
    };
}

counters! {
    /// Messages that came.
    messages, count_messages;
    /// Quarter-hours that were added to the database.
    measurements, count_measurements;
    /// Hours that were added to the database.
    trades, count_trades;
    /// Transactions that were committed.
    batches, count_batches;
    /// Messages that could not be stored.
    rejected, count_rejected;
    /// Telemetry messages that were dropped on their way here.
    dropped, count_dropped;
    /// Times at which events were lost on their way here.
    gaps, count_gaps;
    /// Transactions that failed and were tried again.
    failures, count_failures;
    /// Rows that were not added, since what they are of was removed before they came.
    expired, count_expired;
    /// Months and runs that were removed.
    removed, count_removed;
}

impl Gauges {
    /// Rows that wait to be committed.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(crate) fn set_waiting(&self, rows: usize) {
        self.waiting.store(rows as u64, Ordering::Relaxed);
    }

    pub(crate) fn set_subscribed(&self, subscribed: bool) {
        self.subscribed.store(subscribed, Ordering::Relaxed);
    }

    pub(crate) fn set_database(&self, taken: Result<(), String>) {
        *self.database.lock().unwrap_or_else(PoisonError::into_inner) = Some(taken);
    }
}

impl Health for Gauges {
    const PREFIX: &'static str = "cortexiq_projections";

    /// Whether messages come and are committed.
    fn ready(&self) -> Result<(), String> {
        let database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        database.clone().unwrap_or_else(|| Err("the database has not been reached yet".to_owned()))?;
        match self.subscribed.load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err("not subscribed yet".to_owned()),
        }
    }

    fn metrics(&self, metrics: &mut Metrics) {
        metrics.counter("messages_total", "Messages that came.", self.messages());
        metrics.counter("measurements_total", "Quarter-hours added to the database.", self.measurements());
        metrics.counter("trades_total", "Hours added to the database.", self.trades());
        metrics.counter("batches_total", "Transactions committed.", self.batches());
        metrics.counter("rejected_total", "Messages that could not be stored.", self.rejected());
        metrics.counter("dropped_total", "Telemetry dropped on its way here.", self.dropped());
        metrics.counter("gaps_total", "Times at which events were lost on their way here.", self.gaps());
        metrics.counter("failures_total", "Transactions that failed and were tried again.", self.failures());
        metrics.counter(
            "expired_total",
            "Rows that came after what they are of was removed.",
            self.expired(),
        );
        metrics.counter("removed_total", "Months and runs removed by retention.", self.removed());
        metrics.gauge("waiting_rows", "Rows that wait to be committed.", self.waiting());
    }
}

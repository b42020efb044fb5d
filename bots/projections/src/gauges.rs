//! What the admin port shows: counted in the loop, read from anywhere.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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
    waiting: AtomicU64,
    subscribed: AtomicBool,
    database: AtomicBool,
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
}

impl Gauges {
    /// Rows that wait to be committed.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether messages come and are committed; else why not.
    pub fn ready(&self) -> Result<(), &'static str> {
        match (self.subscribed.load(Ordering::Relaxed), self.database.load(Ordering::Relaxed)) {
            (_, false) => Err("the database cannot be reached"),
            (false, true) => Err("not subscribed yet"),
            (true, true) => Ok(()),
        }
    }

    pub(crate) fn set_waiting(&self, rows: usize) {
        self.waiting.store(rows as u64, Ordering::Relaxed);
    }

    pub(crate) fn set_subscribed(&self, subscribed: bool) {
        self.subscribed.store(subscribed, Ordering::Relaxed);
    }

    pub(crate) fn set_database(&self, reached: bool) {
        self.database.store(reached, Ordering::Relaxed);
    }

    /// All of them as Prometheus reads them.
    pub(crate) fn exposition(&self) -> String {
        let mut text = String::new();
        let mut show = |name: &str, kind: &str, help: &str, value: u64| {
            let name = format!("cortexiq_projections_{name}");
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        };
        show("messages_total", "counter", "Messages that came.", self.messages());
        show("measurements_total", "counter", "Quarter-hours added to the database.", self.measurements());
        show("trades_total", "counter", "Hours added to the database.", self.trades());
        show("batches_total", "counter", "Transactions committed.", self.batches());
        show("rejected_total", "counter", "Messages that could not be stored.", self.rejected());
        show("dropped_total", "counter", "Telemetry dropped on its way here.", self.dropped());
        show("gaps_total", "counter", "Times at which events were lost on their way here.", self.gaps());
        show("failures_total", "counter", "Transactions that failed and were tried again.", self.failures());
        show("waiting_rows", "gauge", "Rows that wait to be committed.", self.waiting());
        show("ready", "gauge", "Whether messages come and are committed.", self.ready().is_ok().into());
        text
    }
}

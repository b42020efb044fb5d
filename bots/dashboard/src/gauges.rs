//! What the admin port shows: counted where requests are answered, read from anywhere.

use std::sync::atomic::{AtomicU64, Ordering};

use cortexiq_shell::{Health, Metrics, Presence};

/// Counters since the start.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) presence: Presence,
    answered: AtomicU64,
    refused: AtomicU64,
    feeds: AtomicU64,
}

/// One event stream, as long as it lives.
#[derive(Debug)]
pub(crate) struct Feed(std::sync::Arc<Gauges>);

impl Gauges {
    pub(crate) fn count<T, E>(&self, answer: &Result<T, E>) {
        let counter = if answer.is_ok() { &self.answered } else { &self.refused };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn feed(self: &std::sync::Arc<Self>) -> Feed {
        self.feeds.fetch_add(1, Ordering::Relaxed);
        Feed(self.clone())
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.0.feeds.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Health for Gauges {
    const PREFIX: &'static str = "cortexiq_dashboard";

    fn ready(&self) -> Result<(), String> {
        self.presence.ready()
    }

    fn metrics(&self, metrics: &mut Metrics) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        metrics.counter("answered_total", "Requests of the API that were answered.", read(&self.answered));
        metrics.counter("refused_total", "Requests of the API that ended in an error.", read(&self.refused));
        metrics.gauge("feeds", "Pages that get live data from here, not from a gateway.", read(&self.feeds));
    }
}

//! What the admin port shows: counted where questions are answered, read from anywhere.

use std::sync::atomic::{AtomicU64, Ordering};

use cortexiq_shell::{Health, Metrics, Presence};

/// Counters since the start.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) presence: Presence,
    answered: AtomicU64,
    refused: AtomicU64,
}

impl Gauges {
    pub(crate) fn count<T, E>(&self, answer: &Result<T, E>) {
        let counter = if answer.is_ok() { &self.answered } else { &self.refused };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Health for Gauges {
    const PREFIX: &'static str = "cortexiq_queries";

    /// Whether questions come. A database that is away is told to whoever asks, which is better than silence.
    fn ready(&self) -> Result<(), String> {
        self.presence.ready()
    }

    fn metrics(&self, metrics: &mut Metrics) {
        let answered = self.answered.load(Ordering::Relaxed);
        metrics.counter("answered_total", "Questions that were answered.", answered);
        let refused = self.refused.load(Ordering::Relaxed);
        metrics.counter("refused_total", "Questions that ended in an error, which was told.", refused);
    }
}

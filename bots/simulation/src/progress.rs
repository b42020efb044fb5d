//! How the clock goes, for whoever watches it.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use cortexiq_proto::TimeAdvanced;
use cortexiq_shell::{Health, Metrics, Presence};
use macula_sdk::Client;

/// The newest tick.
#[derive(Debug, Default)]
pub struct Progress {
    presence: Presence,
    run: AtomicU64,
    ticks: AtomicU64,
    time: AtomicI64,
    speed: AtomicU64,
    paused: AtomicBool,
}

impl Progress {
    pub(crate) fn joined(&self, client: &Client) {
        self.presence.joined(client);
    }

    pub(crate) fn ticked(&self, tick: &TimeAdvanced) {
        self.run.store(tick.run, Ordering::Relaxed);
        self.ticks.fetch_add(1, Ordering::Relaxed);
        self.time.store(tick.simulation_time, Ordering::Relaxed);
        self.speed.store(tick.speed.into(), Ordering::Relaxed);
        self.paused.store(tick.paused, Ordering::Relaxed);
    }
}

impl Health for Progress {
    const PREFIX: &'static str = "cortexiq_simulation";

    fn ready(&self) -> Result<(), String> {
        self.presence.ready()
    }

    fn metrics(&self, metrics: &mut Metrics) {
        metrics.counter("ticks_total", "Ticks published.", self.ticks.load(Ordering::Relaxed));
        metrics.gauge(
            "time_seconds",
            "Simulated time, seconds since 1970.",
            self.time.load(Ordering::Relaxed),
        );
        metrics.gauge("speed", "Simulated seconds per real second.", self.speed.load(Ordering::Relaxed));
        metrics.gauge(
            "paused",
            "Whether the clock is paused.",
            u8::from(self.paused.load(Ordering::Relaxed)),
        );
        metrics.gauge("run", "Number of the run.", self.run.load(Ordering::Relaxed));
    }
}

//! What is measured, and what has to be reached.

use macula_load::{pubsub, rpc, storm};

/// A kind of work, and what is asked of it.
pub struct Row {
    /// Short name, for `--rows`.
    pub name: &'static str,
    /// What it is, in words.
    pub title: &'static str,
    /// What clients do.
    pub work: Work,
    /// What Macula has to reach.
    pub targets: &'static [Target],
    /// Whether it is asked of zenohd, too.
    pub zenoh: bool,
}

/// What clients do.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub enum Work {
    /// Publish and subscribe.
    PubSub(pubsub::Work),
    /// Call.
    Rpc(rpc::Work),
    /// Connect, and rest.
    Storm(storm::Work),
}

impl Work {
    /// Deliveries, answers or connections that there must be.
    pub fn expected(&self) -> u64 {
        match self {
            Self::PubSub(work) => work.expected(),
            Self::Rpc(work) => work.callers as u64 * u64::from(work.calls),
            Self::Storm(work) => work.clients as u64,
        }
    }
}

/// A figure of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Deliveries or answers a second.
    Rate,
    /// CPU time of the server for each, in microseconds.
    Cpu,
    /// Median of latency, in microseconds.
    Median,
    /// 99th percentile of latency, in microseconds.
    P99,
    /// Cores that the server was busy with.
    Cores,
    /// Memory of the server, in bytes.
    Memory,
    /// Memory of the server before anybody came, in bytes.
    Idle,
    /// Memory of the server for each client that rests, in bytes.
    Session,
}

impl Measure {
    /// What it is, in words.
    pub fn title(self) -> &'static str {
        match self {
            Self::Rate => "a second",
            Self::Cpu => "server CPU each",
            Self::Median => "p50",
            Self::P99 => "p99",
            Self::Cores => "server cores",
            Self::Memory => "server memory",
            Self::Idle => "idle server",
            Self::Session => "memory a session",
        }
    }

    /// A value with its unit.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Rate if value >= 1e6 => format!("{:.2} M/s", value / 1e6),
            Self::Rate if value >= 1e5 => format!("{:.0} k/s", value / 1e3),
            Self::Rate => format!("{:.1} k/s", value / 1e3),
            Self::Cpu => format!("{value:.2} µs"),
            Self::Median | Self::P99 if value >= 10_000.0 => format!("{:.1} ms", value / 1e3),
            Self::Median | Self::P99 => format!("{value:.0} µs"),
            Self::Cores => format!("{value:.2}"),
            Self::Memory | Self::Idle => format!("{:.1} MB", value / 1e6),
            Self::Session => format!("{:.1} KB", value / 1e3),
        }
    }
}

/// What a figure is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// The better of nats-server and zenohd in the same run.
    Peer,
    /// nats-server in the same run.
    Nats,
    /// The relay in the same run.
    Relay,
    /// Nothing: the target is the figure itself.
    Itself,
}

impl Against {
    /// What it is, in words.
    pub fn title(self) -> &'static str {
        match self {
            Self::Peer => "the better peer",
            Self::Nats => "nats-server",
            Self::Relay => "the bare relay",
            Self::Itself => "",
        }
    }
}

/// What has to be reached, as a ratio, and what would be good.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Of what.
    pub measure: Measure,
    /// Against what.
    pub against: Against,
    /// Reached or not done.
    pub must: f64,
    /// Wished for.
    pub aim: f64,
}

impl Target {
    /// Whether a ratio is as good as this.
    pub fn is_met(&self, ratio: f64, wanted: f64) -> bool {
        if self.measure == Measure::Rate { ratio >= wanted } else { ratio <= wanted }
    }
}

const fn target(measure: Measure, against: Against, must: f64, aim: f64) -> Target {
    Target { measure, against, must, aim }
}

/// Share of the bare relay.
const SHARE: Target = target(Measure::Rate, Against::Relay, 0.55, 0.8);
const NARROW: &[Target] =
    &[target(Measure::Rate, Against::Peer, 3.0, 4.0), target(Measure::Cpu, Against::Peer, 0.4, 0.3), SHARE];
const WIDE: &[Target] =
    &[target(Measure::Rate, Against::Peer, 1.8, 3.0), target(Measure::Cpu, Against::Peer, 0.9, 0.6), SHARE];
const PAIRWISE: &[Target] =
    &[target(Measure::Rate, Against::Peer, 1.7, 2.0), target(Measure::Cpu, Against::Peer, 0.9, 0.6), SHARE];
const LARGE: &[Target] =
    &[target(Measure::Rate, Against::Peer, 0.9, 1.1), target(Measure::Cpu, Against::Peer, 0.9, 0.6), SHARE];
const ONE_CALLER: &[Target] = &[target(Measure::Median, Against::Nats, 0.8, 0.6)];
const FIFTY: &[Target] = &[target(Measure::Rate, Against::Nats, 1.5, 2.5)];
const PAIRS: &[Target] = &[
    target(Measure::Cores, Against::Nats, 1.1, 0.7),
    target(Measure::Memory, Against::Nats, 1.1, 0.7),
    target(Measure::P99, Against::Nats, 1.5, 0.7),
];
const IDLE: &[Target] = &[
    target(Measure::Idle, Against::Itself, 20e6, 12e6),
    target(Measure::Session, Against::Itself, 80e3, 50e3),
];

/// All rows.
pub fn rows() -> Vec<Row> {
    let pubsub = |pubs, subs, topics, size: &str, messages| {
        Work::PubSub(pubsub::Work {
            pubs,
            subs,
            topics,
            size: size.parse().expect("a size in this file"),
            idle_subs: 0,
            messages,
            rate: None,
            slow: 0,
            slow_us: 0,
            patience: 60,
        })
    };
    let calls = |in_flight, calls| {
        let size = "128".parse().expect("a size in this file");
        Work::Rpc(rpc::Work { callers: 1, callees: 1, in_flight, size, calls })
    };
    let paced = match pubsub(1000, 1000, 1000, "128", 100) {
        Work::PubSub(work) => Work::PubSub(pubsub::Work { rate: Some(20.0), ..work }),
        other => other,
    };
    let storm = Work::Storm(storm::Work { clients: 500, at_once: 16, stay: 2, server: None });
    let row = |name, title, work, targets| Row { name, title, work, targets, zenoh: true };
    vec![
        row("1-1", "1→1, 128 B", pubsub(1, 1, 1, "128", 1_000_000), NARROW),
        row("1-4", "1→4, 128 B", pubsub(1, 4, 1, "128", 400_000), NARROW),
        row("1-16", "1→16, 128 B", pubsub(1, 16, 1, "128", 100_000), WIDE),
        row("16-16", "16→16, 128 B", pubsub(16, 16, 16, "128", 50_000), PAIRWISE),
        row("4-4-1k", "4→4, 1 KiB", pubsub(4, 4, 4, "1024", 80_000), PAIRWISE),
        row("1-4-16k", "1→4, 16 KiB", pubsub(1, 4, 1, "16384", 20_000), LARGE),
        row("rpc-1", "RPC, one caller", calls(1, 5_000), ONE_CALLER),
        row("rpc-50", "RPC, fifty in flight", calls(50, 60_000), FIFTY),
        Row {
            name: "pairs",
            title: "1,000 pairs at 20,000 msg/s",
            work: paced,
            targets: PAIRS,
            zenoh: false,
        },
        row("idle", "idle", storm, IDLE),
    ]
}

//! A mesh in one process, without sockets and in simulated time: random topologies, paths, traffic and faults from a seed.
//!
//! What has to hold is looked at after each step ([`watch`], [`tap`]) and once everything has come to rest ([`check`]);
//! faults are data ([`scenario`]). A seed that fails tells its story and the command that replays it.
//!
//! `SIMULATION_SEEDS=2000 SIMULATION_NODES=4,32,100,320,1000 cargo test --release -p macula-core --test simulator -- --nocapture`
//! runs that many seeds of each test, and meshes of so many gateways, whose figures ([`figures`]) go to `target/simulator.csv`.
//! A thousand take 6.4 GB and more than a quarter of an hour, 320 two minutes.

#[path = "../common/agenda.rs"]
mod agenda;
mod check;
mod client;
mod figures;
mod links;
mod model;
mod network;
mod paths;
mod pipe;
mod proofs;
mod rng;
mod scenario;
mod stories;
mod tap;
mod watch;

use client::{Keep, Op, Publishing, Subscribing};
use macula_proto::v1::{CallPolicy, Class, Overflow};
use macula_proto::{Pattern, Topic};
use network::Network;
use paths::Paths;
use rng::Rng;
use scenario::{Kind, Step};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

const DEFAULT_SEEDS: u64 = 200;
/// So many failing seeds tell enough.
const MOST_FAILING: usize = 20;

fn for_each_seed(test: &str, run: impl Fn(Rng) + std::panic::RefUnwindSafe) {
    for_some_seeds(test, 1, run);
}

/// For one in `share` of the seeds.
fn for_some_seeds(test: &str, share: u64, run: impl Fn(Rng) + std::panic::RefUnwindSafe) {
    let number = |name| std::env::var(name).ok().map(|text: String| text.parse::<u64>().expect("a number"));
    let seeds = match number("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIMULATION_SEEDS").unwrap_or(DEFAULT_SEEDS).div_ceil(share),
    };
    let mut failing = Vec::new();
    for seed in seeds {
        if catch_unwind(|| run(Rng::new(seed))).is_err() {
            failing.push(seed);
            eprintln!(
                "seed {seed} fails; replay it with SIMULATION_SEED={seed} cargo test -p macula-core --test simulator {test}"
            );
        }
        if failing.len() == MOST_FAILING {
            break;
        }
    }
    assert!(failing.is_empty(), "`{test}` fails with seeds {failing:?}");
}

/// Without faults everything arrives, once, in order, at those who asked.
#[test]
fn calm() {
    for_each_seed("calm", |rng| {
        let mut network = linked(rng);
        let bystanders = network.rng.between(0, 4);
        network.watch.ordered = true;
        populate(&mut network, 2 + bystanders, |_| (Overflow::Default, Overflow::Block));
        network.rest();
        group(&mut network);
        // Long enough for anything that is under way.
        network.lives_ms = &[30_000];
        plan_registrations(&mut network);
        network.rest();
        let heavy = network.rng.percent(25);
        // Readers that are in no danger of being overtaken.
        for client in network.model.clients.iter_mut().filter(|_| heavy) {
            (client.slow, client.window) = (false, 1 << 20);
        }
        plan_messages(&mut network, 60, if heavy { 100_000 } else { 2_000 });
        plan_calls(&mut network);
        network.run();
        network.rest();
        check::deliveries(&network, 0);
        check::groups(&network, Kind::Gentle);
        check::calls(&network);
        check::single_is_single(&network);
        check::nothing_waits(&network);
        check::retained(&mut network);
    });
}

/// Readers that fall asleep lose by policy what does not fit, and are told how much.
#[test]
fn slow_readers() {
    for_each_seed("slow_readers", |rng| {
        let mut network = linked(rng);
        let policies = [
            Overflow::Default,
            Overflow::Conflate,
            Overflow::DropOldest,
            Overflow::DropNewest,
            Overflow::Block,
        ];
        populate(&mut network, 3, |rng| (rng.pick(&policies[1..]), rng.pick(&policies)));
        network.rest();
        let sleeper = network.rng.below(network.model.clients.len());
        network.model.clients[sleeper].asleep = true;
        plan_messages(&mut network, 60, 120_000);
        network.model.clients[sleeper].plan.clear();
        network.run();
        network.model.clients[sleeper].asleep = false;
        network.rest();
        check::losses(&network);
        check::nothing_waits(&network);
    });
}

/// Links break, cross, go silent and heal, the mesh falls apart and comes together, processes are stopped and go on: every
/// event reaches everyone who wants it, once and in order, and nobody is told of a gap.
#[test]
fn faults() {
    for_each_seed("faults", |rng| suffer(rng, Kind::Gentle));
}

/// Gateways die, too, and start again: who misses something was told.
#[test]
fn deaths() {
    for_each_seed("deaths", |rng| suffer(rng, Kind::Harsh));
}

/// And clients go from one gateway to another. Afterwards everything is as without the storm.
#[test]
fn storms() {
    for_each_seed("storms", |rng| suffer(rng, Kind::Stormy));
}

fn suffer(rng: Rng, kind: Kind) {
    let mut network = linked(rng);
    let (gateways, clients) = (network.gateways.len(), network.rng.between(2, 4));
    let story = scenario::story(&mut network.rng, kind, gateways, clients);
    live_through(network, kind, clients, &story);
}

/// A mesh with so many clients lives through this, and what has to hold afterwards does.
fn live_through(mut network: Network, kind: Kind, clients: usize, story: &[Step]) {
    populate(&mut network, clients, |_| (Overflow::Default, Overflow::Block));
    for client in &mut network.model.clients {
        (client.keeps, client.resume_ms) = (true, 30_000);
    }
    network.rest();
    group(&mut network);
    network.lives_ms = &[100, 2_000];
    plan_registrations(&mut network);
    network.rest();
    network.stormy = true;
    let moving = kind == Kind::Stormy;
    (network.watch.ordered, network.watch.moving) = (true, moving);
    network.watch.deadly = kind != Kind::Gentle;
    network.taps.as_mut().expect("links are listened to").moving = moving;
    for (done, step) in story.iter().enumerate() {
        tell(story, done, || network.perform(*step));
    }
    tell(story, story.len(), || {
        network.run();
        network.rest();
        check::no_event_is_missing(&network, kind);
        check::groups(&network, kind);
        check::nothing_waits(&network);
        network.model.clients.iter_mut().for_each(|client| (client.losses, client.gaps) = ([0; 2], 0));
        let mark = network.model.published.len();
        network.lives_ms = &[];
        network.model.clients.iter_mut().for_each(|client| client.calls.clear());
        plan_messages(&mut network, 10, 500);
        plan_calls(&mut network);
        network.run();
        network.rest();
        check::calls(&network);
        check::single_is_single(&network);
        check::deliveries(&network, mark);
        check::nothing_waits(&network);
        check::retained(&mut network);
    });
}

/// Does the next step of a story; where that goes wrong, the story is told up to there.
fn tell(story: &[Step], done: usize, mut step: impl FnMut()) {
    let Err(panic) = catch_unwind(AssertUnwindSafe(&mut step)) else { return };
    for (number, step) in story.iter().enumerate().take(done + 1) {
        eprintln!("{:>3}. {step}", number + 1);
    }
    if done == story.len() {
        eprintln!("     and then everything comes to rest");
    }
    resume_unwind(panic);
}

/// Gateways that have found each other.
fn linked(mut rng: Rng) -> Network {
    let count = rng.between(1, 4);
    let paths = Paths::random(&mut rng);
    let mut network = Network::new(rng, count, paths);
    // Some begin by dialling each other at once.
    for _ in 0..network.rng.below(3) {
        let (a, b) = (network.rng.below(count), network.rng.below(count));
        if a != b {
            network.try_link(a, b);
            network.try_link(b, a);
        }
    }
    network.rest();
    network
}

/// Clients with random subscriptions; `policies` says what they want of events and telemetry.
fn populate(network: &mut Network, count: usize, policies: impl Fn(&mut Rng) -> (Overflow, Overflow)) {
    for _ in 0..count {
        let gateway = network.rng.below(network.gateways.len());
        let window = network.rng.pick(&[5_000, 50_000, 1 << 20]);
        let slow = network.rng.percent(40);
        let client = network.add_client(gateway, window, slow);
        // One policy for all subscriptions of a client: the strongest would win, and the model stays plain.
        let (events, telemetry) = policies(&mut network.rng);
        for _ in 0..network.rng.between(0, 4) {
            let pattern = pattern(&mut network.rng);
            let echo = network.rng.percent(30);
            let subscribing = Subscribing { pattern, group: "", echo, retained: false, events, telemetry };
            network.model.clients[client].plan.push_back(Op::Subscribe(subscribing));
        }
    }
}

/// Members of a group, who do nothing else.
fn group(network: &mut Network) {
    for _ in 0..network.rng.below(4) {
        let gateway = network.rng.below(network.gateways.len());
        let client = network.add_client(gateway, 50_000, false);
        let subscribing = Subscribing {
            pattern: "a.#".parse().expect("a pattern"),
            group: "workers",
            echo: false,
            retained: false,
            events: Overflow::Default,
            telemetry: Overflow::Block,
        };
        let known = &mut network.model.clients[client];
        (known.keeps, known.resume_ms, known.mute) = (true, 30_000, true);
        known.plan.push_back(Op::Subscribe(subscribing));
    }
}

fn plan_messages(network: &mut Network, count: usize, size: usize) {
    for client in 0..network.model.clients.len() {
        if network.model.clients[client].mute {
            continue;
        }
        for _ in 0..network.rng.between(0, count) {
            let rng = &mut network.rng;
            let class = rng.pick(&[Class::Event, Class::Telemetry]);
            let key = rng.pick(&["", "k", "l"]);
            let content_type = rng.pick(&["application/json", "text/plain"]);
            let (topic, size) = (topic(rng), rng.between(0, size));
            let keep = match rng.below(100) {
                0..15 => Keep::Retain,
                15..20 => Keep::Remove,
                _ => Keep::Nothing,
            };
            let mortal = keep == Keep::Nothing && rng.percent(10);
            let time_to_live_ms = match network.lives_ms {
                lives if mortal && !lives.is_empty() => network.rng.pick(lives),
                _ => 0,
            };
            let publishing = Publishing { class, topic, key, size, keep, content_type, time_to_live_ms };
            network.model.clients[client].plan.push_back(Op::Publish(publishing));
        }
    }
}

fn plan_registrations(network: &mut Network) {
    for client in 0..network.model.clients.len() {
        if network.model.clients[client].mute {
            continue;
        }
        for _ in 0..network.rng.below(3) {
            let rng = &mut network.rng;
            let procedure = rng.pick(&[
                "p.ok.a",
                "p.ok.b",
                "p.ok.*",
                "p.late.a",
                "p.late.+",
                "p.fail.a",
                "p.silent.a",
                "p.stream.a",
            ]);
            let procedure = procedure.parse().expect("a pattern");
            let policy = rng.pick(&[
                CallPolicy::Single,
                CallPolicy::RoundRobin,
                CallPolicy::Random,
                CallPolicy::First,
                CallPolicy::Last,
                CallPolicy::LeastLoaded,
            ]);
            network.model.clients[client].plan.push_back(Op::Register { procedure, policy });
        }
    }
}

fn plan_calls(network: &mut Network) {
    for client in 0..network.model.clients.len() {
        if network.model.clients[client].mute {
            continue;
        }
        for _ in 0..network.rng.below(8) {
            let rng = &mut network.rng;
            let procedure = rng.pick(&[
                "p.ok.a",
                "p.ok.b",
                "p.ok.c",
                "p.late.a",
                "p.fail.a",
                "p.silent.a",
                "p.stream.a",
                "p.none.a",
            ]);
            let timeout_ms = if procedure == "p.silent.a" { 500 } else { 3_600_000 };
            let (credit, all) = rng.pick(&[(0, false), (0, false), (150, false), (0, true)]);
            let op = Op::Call { procedure: Topic::from_static(procedure), timeout_ms, credit, all };
            // Between the messages.
            let plan = &mut network.model.clients[client].plan;
            let place = rng.between(0, plan.len());
            plan.insert(place, op);
        }
    }
}

fn topic(rng: &mut Rng) -> Topic {
    let segments: Vec<&str> = (0..rng.between(1, 3)).map(|_| rng.pick(&["a", "b", "c"])).collect();
    segments.join(".").parse().expect("a topic")
}

fn pattern(rng: &mut Rng) -> Pattern {
    let mut segments: Vec<&str> =
        (0..rng.between(1, 3)).map(|_| rng.pick(&["a", "b", "c", "+", "*"])).collect();
    if rng.percent(30) {
        segments.push("#");
    }
    segments.join(".").parse().expect("a pattern")
}

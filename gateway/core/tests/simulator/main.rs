//! Several gateways in one process, without sockets: random topologies, traffic and mishaps from a seed.
//!
//! `SIMULATION_SEEDS=2000` runs more seeds than the default; `SIMULATION_SEED=17` replays one.

mod check;
mod client;
mod network;
mod pipe;
mod rng;

use client::{Keep, Op};
use macula_proto::v1::{CallPolicy, Class, Overflow};
use macula_proto::{Pattern, Topic};
use network::Network;
use rng::Rng;

const DEFAULT_SEEDS: u64 = 50;

fn for_each_seed(test: &str, run: fn(Rng)) {
    let number = |name| std::env::var(name).ok().map(|text: String| text.parse::<u64>().expect("a number"));
    let seeds = match number("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIMULATION_SEEDS").unwrap_or(DEFAULT_SEEDS),
    };
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| run(Rng::new(seed)));
        assert!(
            outcome.is_ok(),
            "seed {seed} fails; replay it with SIMULATION_SEED={seed} cargo test -p macula-core --test simulator {test}"
        );
    }
}

/// Without cuts everything arrives, once, in order, at those who asked.
#[test]
fn calm() {
    for_each_seed("calm", |rng| {
        let mut network = linked(rng);
        let bystanders = network.rng.between(0, 4);
        populate(&mut network, 2 + bystanders, |_| (Overflow::Default, Overflow::Block));
        plan_registrations(&mut network);
        network.rest();
        let heavy = network.rng.percent(25);
        // Readers that are in no danger of being overtaken.
        network.clients.iter_mut().filter(|_| heavy).for_each(|client| client.slow = false);
        plan_messages(&mut network, 60, if heavy { 100_000 } else { 2_000 });
        plan_calls(&mut network);
        network.run();
        network.rest();
        check::deliveries(&network, 0);
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
        let sleeper = network.rng.below(network.clients.len());
        network.clients[sleeper].asleep = true;
        plan_messages(&mut network, 60, 120_000);
        network.clients[sleeper].plan.clear();
        network.run();
        network.clients[sleeper].asleep = false;
        network.rest();
        check::losses(&network);
        check::nothing_waits(&network);
    });
}

/// Links break and heal, gateways restart, clients move: nothing comes twice or to those who did not ask, and
/// afterwards everything is as without the storm.
#[test]
fn storms() {
    for_each_seed("storms", |rng| {
        let mut network = linked(rng);
        populate(&mut network, 3, |_| (Overflow::Default, Overflow::Block));
        plan_registrations(&mut network);
        for client in network.clients.iter_mut().step_by(2) {
            client.resume_ms = 5_000;
        }
        network.rest();
        network.stormy = true;
        for _ in 0..network.rng.between(1, 5) {
            plan_messages(&mut network, 20, 2_000);
            plan_calls(&mut network);
            for _ in 0..network.rng.between(0, 400) {
                network.step();
            }
            mishap(&mut network);
            network.run();
        }
        check::nothing_strange(&network);
        network.cut.clear();
        network.rest();
        check::nothing_strange(&network);
        // Telemetry is not kept for clients and gateways that are away, and events of clients that moved before theirs
        // had settled come too late: they were told.
        network.clients.iter_mut().for_each(|client| client.losses = [0; 2]);
        let mark = network.published.len();
        network.clients.iter_mut().for_each(|client| client.calls.clear());
        plan_messages(&mut network, 20, 500);
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

/// Gateways, each pair linked, dialled by one side or by both at once.
fn linked(mut rng: Rng) -> Network {
    let count = rng.between(1, 4);
    let mut network = Network::new(rng, count);
    for (a, b) in network.pairs() {
        match network.rng.below(3) {
            0 => network.open_link(a, b),
            1 => network.open_link(b, a),
            _ => {
                network.open_link(a, b);
                network.open_link(b, a);
            }
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
            network.clients[client].plan.push_back(Op::Subscribe {
                pattern,
                echo,
                retained: false,
                events,
                telemetry,
            });
        }
        network.connect(client, gateway);
    }
}

fn plan_messages(network: &mut Network, count: usize, size: usize) {
    for client in 0..network.clients.len() {
        for _ in 0..network.rng.between(0, count) {
            let rng = &mut network.rng;
            let class = rng.pick(&[Class::Event, Class::Telemetry]);
            let key = rng.pick(&["", "k", "l"]).to_owned();
            let content_type = rng.pick(&["application/json", "text/plain"]);
            let (topic, size) = (topic(rng), rng.between(0, size));
            let keep = match rng.below(100) {
                0..15 => Keep::Retain,
                15..20 => Keep::Remove,
                _ => Keep::Nothing,
            };
            let op = Op::Publish { class, topic, key, size, keep, content_type };
            network.clients[client].plan.push_back(op);
        }
    }
}

fn plan_registrations(network: &mut Network) {
    for client in 0..network.clients.len() {
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
            network.clients[client].plan.push_back(Op::Register { procedure, policy });
        }
    }
}

fn plan_calls(network: &mut Network) {
    for client in 0..network.clients.len() {
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
            let plan = &mut network.clients[client].plan;
            let place = rng.between(0, plan.len());
            plan.insert(place, op);
        }
    }
}

fn mishap(network: &mut Network) {
    let living: Vec<usize> = (0..network.pipes.len()).filter(|pipe| network.pipes[*pipe].alive).collect();
    match network.rng.below(4) {
        0 => {
            let gateway = network.rng.below(network.gateways.len());
            network.restart(gateway);
        }
        _ if living.is_empty() => {}
        _ => {
            let pipe = network.rng.pick(&living);
            if let Some((a, b)) = network.pipes[pipe].pair()
                && network.rng.percent(70)
            {
                network.cut.insert((a.min(b), a.max(b)));
            }
            let silently = network.pipes[pipe].is_link() && network.rng.percent(50);
            network.break_pipe(pipe, silently);
        }
    }
    if network.rng.percent(30) {
        network.cut.clear();
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

//! What a mesh of so many gateways takes: seconds until all agree, and what each gateway sends for it.
//!
//! Links, interest, retained values, messages and membership over the paths of half of Europe. Every gateway of small meshes
//! has a client, and a hundred of a large one. Each wants what its neighbour publishes, and news that everybody does.

use crate::check;
use crate::client::{Keep, Op, Publishing, Subscribing};
use crate::network::{Network, id};
use crate::paths::Paths;
use crate::rng::Rng;
use crate::scenario::Kind;
use macula_proto::v1::{Class, Overflow};
use std::cell::Cell;
use std::collections::BTreeSet;

/// Nothing takes longer.
const LONG_MS: u64 = 180_000;
const CLIENTS: usize = 100;
/// The largest mesh whose links are listened to.
const TAPPED: usize = 32;
/// Gateways of larger ones are ticked twice a second, and not ten times: most of the time goes by in ticks otherwise.
const QUICK: usize = 320;

#[test]
fn figures() {
    let counts = std::env::var("SIMULATION_NODES").unwrap_or_else(|_| "4,16".to_owned());
    let mut table = String::from("gateways,what,seconds,batches,bytes\n");
    for count in counts.split(',').map(|count| count.parse().expect("SIMULATION_NODES is a list of numbers"))
    {
        measure(count, &mut table);
    }
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("../simulator.csv");
    std::fs::write(path, table).expect("the target directory is writable");
}

fn measure(count: usize, table: &mut String) {
    let mut network = Network::new(Rng::new(1), count, Paths::continental());
    network.taps.take_if(|_| count > TAPPED);
    network.watch.ordered = true;
    if count > QUICK {
        network.tick_ms = 500;
    }
    let mut row = |network: &mut Network, what: &str, so: &dyn Fn(&Network) -> bool| {
        let sent = |network: &Network| {
            let sent = network.gateways.iter().map(|gateway| gateway.sent);
            sent.fold((0, 0), |sum, sent| (sum.0 + sent.batches + sent.datagrams, sum.1 + sent.bytes))
        };
        let before = sent(network);
        let ms = network.until(LONG_MS, so).unwrap_or_else(|| panic!("{count} gateways, {what}: no end"));
        let after = sent(network);
        let each = |total: u64| total / count as u64;
        let row = format!(
            "{count},{what},{:.1},{},{}\n",
            ms as f64 / 1_000.0,
            each(after.0 - before.0),
            each(after.1 - before.1)
        );
        print!("{row}");
        table.push_str(&row);
    };
    let dissenter = Cell::new(0);
    let whole = |network: &Network| is_whole(network, &dissenter);
    row(&mut network, "join", &whole);
    let clients = count.min(CLIENTS);
    for client in 0..clients {
        let gateway = client * count / clients;
        network.add_client(gateway, 1 << 20, false);
        let topics = ["news.*".to_owned(), format!("of.{}", (client + 1) % clients)];
        let subscribe = topics.into_iter().map(|topic| {
            Op::Subscribe(Subscribing {
                pattern: topic.parse().expect("a pattern"),
                group: "",
                echo: false,
                retained: false,
                events: Overflow::Default,
                telemetry: Overflow::Block,
            })
        });
        let known = &mut network.model.clients[client];
        (known.keeps, known.resume_ms) = (true, 30_000);
        known.plan.extend(subscribe);
    }
    row(&mut network, "subscribe", &settled);
    network.pass(5_000);
    let end = network.now_ms + 10_000;
    row(&mut network, "quiet", &|network| network.now_ms >= end);
    publish(&mut network, 10);
    row(&mut network, "publish", &settled);
    network.stormy = true;
    network.paths.split(count / 2);
    network.watch.hindered_ms = 10_000;
    publish(&mut network, 5);
    network.pass(10_000);
    network.heal();
    row(&mut network, "heal", &|network| whole(network) && settled(network));
    check::no_event_is_missing(&network, Kind::Gentle);
}

/// One for everybody, and the others for one client.
fn publish(network: &mut Network, count: usize) {
    for client in 0..network.model.clients.len() {
        for number in 0..count {
            let topic = if number == 0 { "news.x".to_owned() } else { format!("of.{client}") };
            let publishing = Publishing {
                class: Class::Event,
                topic: topic.parse().expect("a topic"),
                key: "",
                size: 128,
                keep: Keep::Nothing,
                content_type: "text/plain",
                time_to_live_ms: 0,
            };
            network.model.clients[client].plan.push_back(Op::Publish(publishing));
        }
    }
}

/// All clients have done what they were to, and their events have settled.
fn settled(network: &Network) -> bool {
    let done = |client: &crate::client::Client| client.is_idle() && client.settled == client.sequences[0];
    network.model.clients.iter().all(done)
}

/// Everybody has a link to everybody else, and knows what it wants.
fn is_whole(network: &Network, dissenter: &Cell<usize>) -> bool {
    let all = 0..network.gateways.len();
    let missing = std::iter::once(dissenter.get()).chain(all).find(|at| !sees_all(network, *at));
    dissenter.set(missing.unwrap_or(0));
    missing.is_none()
}

fn sees_all(network: &Network, at: usize) -> bool {
    let gateway = &network.gateways[at];
    if gateway.links.len() < network.gateways.len() - 1 {
        return false;
    }
    let peers = gateway.node.peers();
    let synced: BTreeSet<_> = peers.iter().filter(|peer| peer.synced).map(|peer| peer.node).collect();
    (0..network.gateways.len()).all(|other| other == at || synced.contains(&id(other)))
}

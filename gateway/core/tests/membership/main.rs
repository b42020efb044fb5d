//! Membership over a network of paths that are slow and lose datagrams: everybody learns everybody from one address, and
//! sees who dies, leaves, comes back, or is cut off.
//!
//! `cargo test` has up to 32 gateways. The figures of ARCHITECTURE.md:
//! `MEMBERSHIP=4,10,32,100,320 cargo test --release -p macula-core --test membership -- --nocapture figures`
//! prints the table, and writes it to `target/membership.csv`, which `gateway/docs/plot.py` draws. Any numbers will do;
//! the first four faults of a thousand take seven minutes of a core.

#[path = "../common/agenda.rs"]
mod agenda;
mod network;

use macula_core::membership::MemberState;
use network::{Network, Paths, id};

/// Half of Europe, and a line that is not good.
const PATHS: Paths = Paths { delay_ms: 50, jitter_ms: 10, loss: 0.01 };
/// Nothing takes longer.
const LONG_MS: u64 = 60_000;

/// A mesh in which everybody knows everybody.
fn mesh(count: usize, seed: u64) -> Network {
    let mut network = Network::new(count, PATHS, seed);
    let joined = network.until(LONG_MS, Network::agrees);
    assert!(joined.is_some(), "seed {seed}: {count} gateways do not find each other");
    network
}

#[test]
fn one_address_is_enough_to_learn_all() {
    for (count, seeds) in [(2, 20), (4, 20), (8, 10), (30, 3)] {
        for seed in 0..seeds {
            mesh(count, seed);
        }
    }
}

#[test]
fn who_dies_is_down_for_all_and_comes_back_in_its_next_run() {
    for seed in 0..20 {
        let mut network = mesh(5, seed);
        let dead = seed as usize % 5;
        network.kill(dead);
        let down = network.until(LONG_MS, |network| network.all_say(dead, MemberState::Down));
        assert!(down.is_some_and(|ms| ms < 15_000), "seed {seed}: {down:?}");
        network.start(dead);
        let back = network.until(LONG_MS, Network::agrees);
        assert!(back.is_some_and(|ms| ms < 10_000), "seed {seed}: {back:?}");
    }
}

#[test]
fn who_starts_again_before_it_is_missed_is_known_in_its_new_run() {
    for seed in 0..20 {
        let mut network = mesh(5, seed);
        let index = seed as usize % 5;
        network.kill(index);
        network.pass(500);
        network.start(index);
        let back = network.until(LONG_MS, Network::agrees);
        assert!(back.is_some_and(|ms| ms < 15_000), "seed {seed}: {back:?}");
    }
}

#[test]
fn who_leaves_is_not_taken_for_dead_and_nobody_dials_it() {
    for seed in 0..20 {
        let mut network = mesh(5, seed);
        network.leave(3);
        let left = network.until(LONG_MS, |network| network.all_say(3, MemberState::Left));
        assert!(left.is_some_and(|ms| ms < 5_000), "seed {seed}: {left:?}");
        network.pass(1_000);
        assert!(network.nodes[0].membership.to_dial().all(|run| run.node != id(3)), "seed {seed}");
    }
}

#[test]
fn two_halves_go_on_and_find_each_other_again() {
    for seed in 0..20 {
        let mut network = mesh(6, seed);
        for (a, b) in halves(6) {
            network.cut(a, b);
        }
        network.pass(20_000);
        assert!(network.nodes[0].membership.members().any(|member| member.state == MemberState::Down));
        network.heal();
        let whole = network.until(LONG_MS, Network::agrees);
        assert!(whole.is_some_and(|ms| ms < 10_000), "seed {seed}: {whole:?}");
    }
}

#[test]
fn a_process_that_was_stopped_for_a_while_comes_back_and_blames_nobody() {
    for seed in 0..20 {
        let mut network = mesh(4, seed);
        network.sleep(2, true);
        network.pass(10_000);
        network.sleep(2, false);
        network.pass(300);
        let blamed = network.nodes[2].membership.members().find(|member| member.state == MemberState::Down);
        assert!(blamed.is_none(), "seed {seed}: {blamed:?}");
        let whole = network.until(LONG_MS, Network::agrees);
        assert!(whole.is_some_and(|ms| ms < 10_000), "seed {seed}: {whole:?}");
    }
}

#[test]
fn a_pair_that_is_cut_stays_alive_while_others_reach_both() {
    for seed in 0..20 {
        let mut network = mesh(4, seed);
        network.cut(1, 2);
        for _ in 0..600 {
            network.pass(100);
            let member = network.nodes[1].membership.member(id(2)).expect("it is known");
            assert_ne!(member.state, MemberState::Down, "seed {seed}");
        }
        assert!(!network.nodes[1].links.contains_key(&2));
        assert!(network.nodes[1].membership.to_dial().any(|run| run.node == id(2)), "and is dialled");
        network.heal();
        assert!(network.until(LONG_MS, Network::agrees).is_some(), "seed {seed}");
    }
}

#[test]
fn the_dead_are_forgotten_after_ten_minutes_and_stay_so() {
    let mut network = mesh(4, 1);
    network.kill(3);
    network.pass(590_000);
    assert!(network.all_say(3, MemberState::Down));
    network.pass(30_000);
    assert!((0..3).all(|index| network.nodes[index].membership.member(id(3)).is_none()));
    network.pass(60_000);
    assert!((0..3).all(|index| network.nodes[index].membership.member(id(3)).is_none()));
}

#[test]
fn a_quiet_mesh_says_little_and_forgets_nobody() {
    let mut network = mesh(16, 7);
    network.pass(60_000);
    let before: u64 = network.nodes.iter().map(|node| node.sent).sum();
    network.pass(60_000);
    let sent = network.nodes.iter().map(|node| node.sent).sum::<u64>() - before;
    assert!(network.agrees());
    assert!(sent < 16 * 60 * 6, "{sent} datagrams of 16 gateways in a minute");
}

/// Every pair of which one is in the first half, and the other is not.
fn halves(count: usize) -> Vec<(usize, usize)> {
    (0..count / 2).flat_map(|a| (count / 2..count).map(move |b| (a, b))).collect()
}

#[test]
fn figures() {
    let counts = std::env::var("MEMBERSHIP").unwrap_or_else(|_| "4,32".to_owned());
    let mut table = String::from("gateways,what,seconds,datagrams,bytes\n");
    for count in counts.split(',').map(|count| count.parse().expect("MEMBERSHIP is a list of numbers")) {
        measure(count, &mut table);
    }
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("../membership.csv");
    std::fs::write(path, table).expect("the target directory is writable");
}

/// One row for each fault: how long until all agree, and what one gateway has sent for it on average.
fn measure(count: usize, table: &mut String) {
    let mut network = Network::new(count, PATHS, 1);
    let mut row = |network: &mut Network, fault: &str, so: &dyn Fn(&Network) -> bool| {
        let sent = |network: &Network| {
            let nodes = network.nodes.iter();
            nodes.fold((0, 0), |sum, node| (sum.0 + node.sent, sum.1 + node.sent_bytes))
        };
        let before = sent(network);
        let ms = network.until(LONG_MS, so).unwrap_or_else(|| panic!("{count} gateways, {fault}: no end"));
        let after = sent(network);
        let each = |total: u64| total / count as u64;
        let (seconds, datagrams, bytes) =
            (ms as f64 / 1_000.0, each(after.0 - before.0), each(after.1 - before.1));
        let row = format!("{count},{fault},{seconds:.1},{datagrams},{bytes}\n");
        print!("{row}");
        table.push_str(&row);
    };
    row(&mut network, "join", &Network::agrees);
    network.pass(20_000);
    let end = network.now_ms + 10_000;
    row(&mut network, "quiet", &|network| network.now_ms >= end);
    let last = count - 1;
    network.kill(last);
    row(&mut network, "death", &|network| network.all_say(last, MemberState::Down));
    network.pass(5_000);
    network.start(last);
    row(&mut network, "restart", &Network::agrees);
    network.pass(5_000);
    for (a, b) in halves(count) {
        network.cut(a, b);
    }
    network.pass(20_000);
    network.heal();
    row(&mut network, "heal", &Network::agrees);
}

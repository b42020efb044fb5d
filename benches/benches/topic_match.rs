//! Matching a topic against many patterns, without a cache in front.
//!
//! The topics of each row are visited in an order that no processor cache foresees, so that at a million patterns most
//! steps of a match wait for main memory, as they do for a gateway that meets a topic the first time. Before each size,
//! the memory of the trie is told in bytes a pattern.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use macula_core::Trie;
use macula_proto::{Pattern, Topic};

/// Like the keys of the gateway's own tables, eight bytes.
type Value = u64;

fn uncached_match(c: &mut Criterion) {
    for size in [1_000, 100_000, 1_000_000] {
        let trie = trie(size);
        println!("{size} patterns: {} bytes a pattern", trie.memory() / trie.len());
        let mut group = c.benchmark_group(format!("uncached match/{size} patterns"));
        group.throughput(Throughput::Elements(1));
        for (name, matches, topic) in ROWS {
            let topics = topics(size, topic);
            for topic in &topics {
                let mut found = 0;
                trie.for_each_match(topic, |_| found += 1);
                assert_eq!(found, matches, "{topic}");
            }
            let mut next = topics.iter().cycle();
            group.bench_function(name, |b| {
                b.iter(|| {
                    let topic = next.next().expect("a cycle has no end");
                    trie.for_each_match(topic, |value| {
                        black_box(value);
                    });
                });
            });
        }
        group.finish();
    }
}

fn churn(c: &mut Criterion) {
    let size = 1_000_000;
    let mut trie = trie(size);
    let patterns: Vec<_> = shuffled(size).map(|id| pattern(id + size)).collect();
    let mut next = patterns.iter().cycle();
    c.bench_function("insert and remove/1000000 patterns", |b| {
        b.iter(|| {
            let pattern = next.next().expect("a cycle has no end");
            trie.insert(pattern, 1);
            assert!(trie.remove(pattern, 1));
        });
    });
}

/// A row's name, how many patterns match each of its topics, and the topic of a number.
type Row = (&'static str, usize, fn(usize) -> String);

const ROWS: [Row; 6] = [
    ("0 matches, unknown name", 0, |id| format!("be.cortexiq.home.stranger-{id:07}.measured")),
    ("0 matches, known name", 0, |id| format!("be.cortexiq.home.home-{:07}.silent", id / 10 * 10)),
    ("1 match, literal", 1, |id| format!("be.cortexiq.home.home-{:07}.measured", id / 10 * 10)),
    ("1 match, wildcard", 1, |id| format!("be.cortexiq.home.home-{:07}.battery.charged", id / 10 * 10 + 7)),
    ("1 match, eleven deep", 1, |id| {
        format!(
            "be.cortexiq.energy.grid.feeder-4.transformer-{:07}.phase.1.voltage.mean.minute",
            id / 10 * 10 + 9
        )
    }),
    ("10 matches", 10, |id| format!("be.cortexiq.market.area-{:07}.cleared", id / 100 * 100)),
];

/// Seven of ten are literal; every hundredth number is a market area with ten patterns, six of them its own.
fn trie(size: usize) -> Trie<Value> {
    let mut trie = Trie::new();
    let mut add = |text: &str| {
        let pattern = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        trie.insert(&pattern, text.len() as Value);
    };
    for shared in [
        "be.cortexiq.market.#",
        "be.cortexiq.market.*",
        "be.cortexiq.market.+.cleared",
        "be.+.market.*.cleared",
    ] {
        add(shared);
    }
    for id in 0..size {
        if id % 100 == 0 {
            let area = format!("area-{id:07}");
            add(&format!("be.cortexiq.market.{area}.cleared"));
            add(&format!("be.cortexiq.market.{area}.#"));
            add(&format!("be.cortexiq.market.{area}.*"));
            add(&format!("be.cortexiq.market.{area}.+"));
            add(&format!("be.cortexiq.+.{area}.cleared"));
            add(&format!("+.cortexiq.market.{area}.#"));
        } else {
            add(&pattern_text(id));
        }
    }
    trie
}

fn pattern(id: usize) -> Pattern {
    pattern_text(id).parse().expect("the names above are legal")
}

fn pattern_text(id: usize) -> String {
    let ten = id / 10 * 10;
    match id % 10 {
        0 => format!("be.cortexiq.home.home-{id:07}.measured"),
        1 | 2 => format!("be.cortexiq.home.home-{id:07}.measured"),
        3 | 4 => format!("be.cortexiq.provider.provider-{id:07}.contract.offered"),
        5 => {
            format!("be.cortexiq.energy.grid.feeder-{}.transformer-{id:07}.phase.{}.voltage", id % 7, id % 3)
        }
        6 => format!("be.cortexiq.home.home-{id:07}.device.heat-pump.compressor.speed"),
        7 => format!("be.cortexiq.home.home-{id:07}.*"),
        8 => format!("be.cortexiq.+.home-{ten:07}.contract.signed"),
        _ => format!("be.cortexiq.energy.grid.+.transformer-{id:07}.phase.*.voltage.#"),
    }
}

/// The topics of the row, each number of the trie once, those of a market area excepted where they would differ.
fn topics(size: usize, topic: fn(usize) -> String) -> Vec<Topic> {
    let market = topic(0).contains("market");
    shuffled(size)
        .filter(|id| market == (id % 100 == 0) && (market || id % 100 >= 10))
        .map(|id| topic(id).parse().expect("the names above are legal"))
        .collect()
}

/// The numbers below the size in an order that jumps about.
fn shuffled(size: usize) -> impl Iterator<Item = usize> {
    const STRIDE: usize = 2_654_435_761;
    (0..size).map(move |step| step * STRIDE % size)
}

criterion_group!(benches, uncached_match, churn);
criterion_main!(benches);

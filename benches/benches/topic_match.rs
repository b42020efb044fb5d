//! Matching a topic against many patterns, without a cache in front.
//!
//! The topics of each row are visited in an order that no processor cache foresees, so that at a million patterns most
//! steps of a match wait for main memory, as they do for a gateway that meets a topic the first time. Before each size,
//! the memory of the trie is told in bytes a pattern.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use macula_benches::patterns::{ROWS, pattern, shuffled, topics, trie};

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

criterion_group!(benches, uncached_match, churn);
criterion_main!(benches);

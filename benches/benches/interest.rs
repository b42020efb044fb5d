//! What a gateway's interest costs, by how many patterns it has: the digest that peers compare every five seconds, on both
//! sides, and telling of one subscription more and less.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use macula_benches::driver::{Driver, ENDLESS};
use macula_benches::patterns::pattern_text;
use macula_core::NodeId;
use macula_proto::kind;
use macula_proto::limits::{INTEREST_PER_LINK, SUBSCRIPTIONS_PER_SESSION};
use macula_proto::v1::Unsubscribe;
use std::hint::black_box;

const SIZES: [usize; 3] = [1_000, 100_000, INTEREST_PER_LINK];

fn own(c: &mut Criterion) {
    let mut group = c.benchmark_group("interest, own");
    for size in SIZES {
        let mut core = Driver::new(1);
        let peer = core.peer(2, []);
        let mut guest = peer;
        for first in (0..size).step_by(SUBSCRIPTIONS_PER_SESSION) {
            guest = core.client(first as u128 + 10, ENDLESS);
            // One less, for the guest.
            for id in first + 1..size.min(first + SUBSCRIPTIONS_PER_SESSION) {
                core.subscribe(guest, (id - first) as u32 + 1, &pattern_text(id));
            }
            core.drain();
        }
        group.throughput(Throughput::Elements(size as u64));
        group
            .bench_function(BenchmarkId::new("digest", size), |b| b.iter(|| black_box(core.node.interest())));
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("subscribe, tell a peer, leave, tell it", size), |b| {
            b.iter(|| {
                core.subscribe(guest, 1, "bench.guest");
                core.control(guest, kind::UNSUBSCRIBE, &Unsubscribe { subscription: 1 });
                core.drain()
            });
        });
    }
    group.finish();
}

fn of_a_peer(c: &mut Criterion) {
    let mut group = c.benchmark_group("interest, of a peer");
    for size in SIZES {
        let mut core = Driver::new(1);
        core.peer(2, (0..size).map(pattern_text));
        let known = core.node.interest_of(NodeId([2; 16]));
        assert!(known.is_some_and(|(_, sum)| sum != 0), "the peer's interest is known");
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(BenchmarkId::new("digest", size), |b| {
            b.iter(|| black_box(core.node.interest_of(NodeId([2; 16]))));
        });
    }
    group.finish();
}

criterion_group!(benches, own, of_a_peer);
criterion_main!(benches);

//! Finding who wants a message, in a core that knows so many subscriptions.
//!
//! Each topic keeps its receivers until a subscription is made or ended anywhere. *cached* is the usual case, *churn* has one
//! subscription come and go before every batch, so that each message of it is matched anew. Topics are visited in an
//! order that no processor cache foresees. What is timed is all that a gateway does for a message that one session wants:
//! reading it, finding the receiver, encoding it for that. `topic_match` times the trie alone.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use macula_benches::driver::{BATCH, Driver, ENDLESS};
use macula_benches::patterns::{pattern_text, shuffled};
use macula_core::ConnKey;
use macula_proto::kind::{self, StreamKind};
use macula_proto::limits::SUBSCRIPTIONS_PER_SESSION;
use macula_proto::v1::Unsubscribe;
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Topics that the publisher has a name for.
const TOPICS: usize = 4_000;

fn routes(c: &mut Criterion) {
    for size in [1_000, 100_000, 1_000_000] {
        let before = ALLOCATOR.current_usage();
        let mut world = World::new(size);
        let each = (ALLOCATOR.current_usage() - before) / size;
        println!("{size} subscriptions: {each} bytes each, with the log of what peers are told");
        world.use_topics(size);
        let mut group = c.benchmark_group("route and deliver");
        group.throughput(Throughput::Elements(BATCH as u64));
        group.bench_function(BenchmarkId::new("cached", size), |b| b.iter(|| world.publish()));
        group.bench_function(BenchmarkId::new("churn", size), |b| {
            b.iter(|| {
                world.subscribe_and_leave();
                world.publish();
            });
        });
        group.bench_function(BenchmarkId::new("subscribe and leave", size), |b| {
            b.iter(|| world.subscribe_and_leave());
        });
        group.finish();
    }
}

struct World {
    core: Driver,
    publisher: ConnKey,
    /// Who comes and goes.
    guest: ConnKey,
    next: usize,
}

impl World {
    fn new(size: usize) -> Self {
        let mut core = Driver::new(1);
        for first in (0..size).step_by(SUBSCRIPTIONS_PER_SESSION) {
            let conn = core.client(first as u128 + 10, ENDLESS);
            for id in first..size.min(first + SUBSCRIPTIONS_PER_SESSION) {
                core.subscribe(conn, (id - first) as u32 + 1, &pattern_text(id));
            }
            core.drain();
        }
        let (publisher, guest) = (core.client(1, ENDLESS), core.client(2, ENDLESS));
        Self { core, publisher, guest, next: 0 }
    }

    /// Topics that one literal pattern wants.
    fn use_topics(&mut self, size: usize) {
        let numbers = shuffled(size).filter(|id| id % 10 < 2).take(TOPICS);
        let topics: Vec<_> = numbers.map(pattern_text).collect();
        for alias in 0..TOPICS {
            self.core.alias(
                self.publisher,
                StreamKind::Event,
                alias as u32 + 1,
                &topics[alias % topics.len()],
            );
        }
        for _ in 0..TOPICS / BATCH {
            self.publish();
        }
    }

    fn publish(&mut self) {
        let next = self.next;
        self.core.publish(self.publisher, StreamKind::Event, |place| {
            (((next + place) * 997 % TOPICS) as u32 + 1, "")
        });
        self.next += BATCH;
        assert!(self.core.drain() > 128 * BATCH, "everything is wanted");
    }

    fn subscribe_and_leave(&mut self) {
        self.core.subscribe(self.guest, 1, "bench.guest");
        self.core.control(self.guest, kind::UNSUBSCRIBE, &Unsubscribe { subscription: 1 });
        self.core.drain();
    }
}

criterion_group!(benches, routes);
criterion_main!(benches);

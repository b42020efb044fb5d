//! What a message costs the core when its subscriber is behind, by overflow policy.
//!
//! *keeps up*: nothing waits. *behind*: 768 KiB wait, and each batch that comes lets one go. *full*: the subscriber
//! takes nothing, and for each message that comes one is dropped, and told when there is credit again.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use macula_benches::driver::{BATCH, Driver, ENDLESS};
use macula_core::ConnKey;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{Class, Credit, Overflow, Subscribe};

/// Messages that wait for a subscriber that is behind: between where policies begin and where `block` holds publishers.
const BACKLOG: usize = (768 << 10) / 160;
/// Keys of conflated messages; more than ever wait, or ever the same few.
const MANY: usize = 1 << 20;
const FEW: usize = 100;

fn policies(c: &mut Criterion) {
    let mut group = c.benchmark_group("telemetry of 128 B");
    group.throughput(Throughput::Elements(BATCH as u64));
    let rows = [
        ("block", Overflow::Block, 0),
        ("drop oldest", Overflow::DropOldest, 0),
        ("drop newest", Overflow::DropNewest, 0),
        ("conflate, new keys", Overflow::Conflate, MANY),
        ("conflate, 100 keys", Overflow::Conflate, FEW),
    ];
    group.bench_function("keeps up", |b| {
        let mut reader = Reader::new(Overflow::Default, 0, ENDLESS);
        b.iter(|| reader.publish_and_take());
    });
    for (name, policy, keys) in rows {
        group.bench_function(format!("behind, {name}"), |b| {
            let mut reader = Reader::new(policy, keys, 0);
            reader.fall_behind(BACKLOG);
            b.iter(|| {
                reader.publish();
                reader.grant((BATCH * 150) as u64);
                reader.core.drain();
            });
        });
    }
    for (name, policy, keys) in rows.into_iter().skip(1) {
        group.bench_function(format!("full, {name}"), |b| {
            let mut reader = Reader::new(policy, keys, 0);
            reader.fall_behind(4 * BACKLOG);
            b.iter(|| {
                reader.publish();
                reader.core.drain();
            });
            let lost: u64 = reader.core.node.counters().lost.iter().sum();
            assert!(lost > 0, "what does not fit is lost");
        });
    }
    group.finish();
}

struct Reader {
    core: Driver,
    publisher: ConnKey,
    subscriber: ConnKey,
    granted: u64,
    /// Names of keys; none for messages without.
    keys: Vec<String>,
    next: usize,
}

impl Reader {
    fn new(telemetry: Overflow, keys: usize, window: u64) -> Self {
        let mut core = Driver::new(1);
        let subscriber = core.client(1, window);
        let subscribe = Subscribe {
            subscription: 1,
            pattern: "bench.policies".to_owned(),
            telemetry: telemetry.into(),
            ..Subscribe::default()
        };
        core.control(subscriber, kind::SUBSCRIBE, &subscribe);
        let publisher = core.client(2, ENDLESS);
        core.alias(publisher, StreamKind::Telemetry, 1, "bench.policies");
        core.drain();
        let keys = (0..keys).map(|key| format!("home-{key:07}")).collect();
        Self { core, publisher, subscriber, granted: 0, keys, next: 0 }
    }

    fn publish(&mut self) {
        let Self { keys, next, .. } = self;
        let key = |place: usize| if keys.is_empty() { "" } else { &keys[(*next + place) % keys.len()][..] };
        self.core.publish(self.publisher, StreamKind::Telemetry, |place| (1, key(place)));
        self.next += BATCH;
    }

    fn publish_and_take(&mut self) {
        self.publish();
        assert!(self.core.drain() > 128 * BATCH, "it keeps up");
    }

    fn fall_behind(&mut self, messages: usize) {
        for _ in 0..messages / BATCH {
            self.publish();
            self.core.drain();
        }
    }

    fn grant(&mut self, bytes: u64) {
        self.granted += bytes;
        let credit = Credit { class: Class::Telemetry.into(), total: self.granted };
        self.core.control(self.subscriber, kind::CREDIT, &credit);
    }
}

criterion_group!(benches, policies);
criterion_main!(benches);

//! What a mesh costs the core: a publish beside so many peers that want it or do not, and one hop more.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use macula_benches::driver::{BATCH, Driver, ENDLESS};
use macula_core::ConnKey;
use macula_proto::frame::{FrameError, Splitter};
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::Ack;

/// An event of 128 bytes enters a gateway with so many links. The peers acknowledge what they get.
fn peers(c: &mut Criterion) {
    for (name, pattern) in
        [("publish, peers do not want it", "other.#"), ("publish, peers want it", "bench.#")]
    {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(BATCH as u64));
        for count in [1, 4, 16, 64] {
            group.bench_function(BenchmarkId::from_parameter(count), |b| {
                let mut gateway = Gateway::new(1);
                let links: Vec<ConnKey> = (0..count).map(|peer| gateway.peer(100 + peer, pattern)).collect();
                let publisher = gateway.publisher();
                b.iter(|| {
                    gateway.publish(publisher);
                    let sent = gateway.drain(|_| {});
                    for link in &links {
                        gateway.acknowledge(*link);
                    }
                    sent
                });
            });
        }
        group.finish();
    }
}

/// An event of 128 bytes from a client to another: of the same gateway, and of another one.
fn hop(c: &mut Criterion) {
    let mut group = c.benchmark_group("one to one");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("through one gateway", |b| {
        let mut gateway = Gateway::new(1);
        gateway.subscriber();
        let publisher = gateway.publisher();
        b.iter(|| {
            gateway.publish(publisher);
            gateway.drain(|_| {})
        });
    });
    group.bench_function("through two gateways", |b| {
        let (mut near, mut far) = (Gateway::new(1), Gateway::new(2));
        let to = near.peer(2, "bench.#");
        let from = far.peer(1, "other");
        far.subscriber();
        let publisher = near.publisher();
        b.iter(|| {
            near.publish(publisher);
            let mut crossed = Vec::new();
            near.drain(|bytes| crossed.extend_from_slice(bytes));
            far.core.node.receive(from, StreamKind::Event, &crossed, far.core.now);
            let sent = far.drain(|_| {});
            near.acknowledge(to);
            sent
        });
    });
    group.finish();
}

struct Gateway {
    core: Driver,
    /// Frames of each event stream to a peer so far.
    positions: Vec<(ConnKey, u64)>,
}

impl Gateway {
    fn new(id: u8) -> Self {
        Self { core: Driver::new(id), positions: Vec::new() }
    }

    fn peer(&mut self, id: u8, pattern: &str) -> ConnKey {
        let key = self.core.peer(id, [pattern.to_owned()]);
        self.positions.push((key, 0));
        key
    }

    fn subscriber(&mut self) {
        let conn = self.core.client(1, ENDLESS);
        self.core.subscribe(conn, 1, "bench.*");
        self.drain(|_| {});
    }

    fn publisher(&mut self) -> ConnKey {
        let conn = self.core.client(2, ENDLESS);
        self.core.alias(conn, StreamKind::Event, 1, "bench.mesh");
        self.drain(|_| {});
        conn
    }

    fn publish(&mut self, publisher: ConnKey) {
        self.core.publish(publisher, StreamKind::Event, |_| (1, ""));
    }

    /// Takes what there is to send; the events of links are shown to `events`.
    fn drain(&mut self, mut events: impl FnMut(&[u8])) -> usize {
        let positions = &mut self.positions;
        self.core.drain_into(|conn, stream, bytes| {
            if stream != StreamKind::Event {
                return;
            }
            if let Some((_, position)) = positions.iter_mut().find(|(link, _)| *link == conn) {
                // The first has aliases before the events. Counting them all would be most of what is measured.
                *position += if *position == 0 { frames(bytes) } else { BATCH as u64 };
                events(bytes);
            }
        })
    }

    /// The peer has dealt with everything.
    fn acknowledge(&mut self, link: ConnKey) {
        let Some(&(_, position)) = self.positions.iter().find(|(key, _)| *key == link) else { return };
        if position > 0 {
            self.core.control(link, kind::ACK, &Ack { position });
        }
    }
}

fn frames(bytes: &[u8]) -> u64 {
    let mut count = 0;
    let split = Splitter::new(1 << 20).split(bytes, |kind, _| {
        count += u64::from(kind != kind::CONTINUE);
        Ok::<(), FrameError>(())
    });
    split.expect("gateways send frames");
    count
}

criterion_group!(benches, peers, hop);
criterion_main!(benches);

//! One publish through the core to 1, 10, 100 and 1000 subscribers: bytes in, bytes out, no network.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use macula_core::{ConnKey, Identity, Node, NodeId, Now};
use macula_proto::frame::put_message;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{Hello, Subscribe, TopicAlias, Windows};
use macula_proto::wire::{self, Message};

/// Messages in one batch: what a busy publisher's packet carries.
const BATCH: usize = 40;
/// Credit that never ends.
const ENDLESS: u64 = u64::MAX / 2;

fn fan_out(c: &mut Criterion) {
    let mut group = c.benchmark_group("fan out");
    for subscribers in [1, 10, 100, 1000] {
        group.throughput(Throughput::Elements((BATCH * subscribers) as u64));
        group.bench_function(format!("128 B to {subscribers}"), |b| {
            let mut world = World::new(subscribers);
            b.iter(|| world.publish());
        });
    }
    group.finish();
}

struct World {
    node: Node,
    publisher: ConnKey,
    sequence: u64,
    batch: Vec<u8>,
    now: Now,
}

impl World {
    fn new(subscribers: usize) -> Self {
        let identity = Identity {
            node: NodeId([1; 16]),
            name: "bench".to_owned(),
            realm: "bench".to_owned(),
            epoch: 1,
            advertise: Vec::new(),
        };
        let now = Now { elapsed_ms: 1, unix_ms: 1 };
        let mut node = Node::new(identity);
        for id in 1..=subscribers {
            let key = open(&mut node, id as u128, now);
            let subscribe =
                Subscribe { subscription: 1, pattern: "bench.*".to_owned(), ..Subscribe::default() };
            let mut frame = Vec::new();
            put_message(&mut frame, kind::SUBSCRIBE, &subscribe);
            node.receive(key, StreamKind::Control, &frame, now);
        }
        let publisher = open(&mut node, 0, now);
        let mut frame = Vec::new();
        let alias = TopicAlias { alias: 1, topic: "bench.fan.out".to_owned(), content_type: String::new() };
        put_message(&mut frame, kind::TOPIC_ALIAS, &alias);
        node.receive(publisher, StreamKind::Event, &frame, now);
        Self { node, publisher, sequence: 0, batch: Vec::new(), now }
    }

    fn publish(&mut self) -> usize {
        self.batch.clear();
        for _ in 0..BATCH {
            self.sequence += 1;
            wire::encode_publish(&mut self.batch, 1, self.sequence, &Message::new(&[7; 128], ""), false);
        }
        self.node.receive(self.publisher, StreamKind::Event, &self.batch, self.now);
        let mut sent = 0;
        while let Some((key, stream)) = self.node.poll_ready() {
            while let Some(bytes) = self.node.take(key, stream, self.now) {
                sent += bytes.len();
            }
        }
        sent
    }
}

fn open(node: &mut Node, id: u128, now: Now) -> ConnKey {
    let key = node.open_session();
    let hello = Hello {
        versions: vec![1],
        realm: "bench".to_owned(),
        publisher: id.to_be_bytes().to_vec().into(),
        epoch: 1,
        windows: Some(Windows { rpc: ENDLESS, event: ENDLESS, telemetry: ENDLESS }),
        ..Hello::default()
    };
    let mut frame = Vec::new();
    put_message(&mut frame, kind::HELLO, &hello);
    node.receive(key, StreamKind::Control, &frame, now);
    key
}

criterion_group!(benches, fan_out);
criterion_main!(benches);

//! What a mesh costs the core: a publish beside so many peers that want it or do not, and one hop more.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use macula_core::{ConnKey, Identity, Node, NodeId, Now};
use macula_proto::frame::{FrameError, Splitter, put_message};
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{
    Ack, Continue, Hello, Interest, InterestSnapshot, LinkHello, Received, Subscribe, TopicAlias, Windows,
};
use macula_proto::wire::{self, Message};

/// Messages in one batch: what a busy publisher's packet carries.
const BATCH: usize = 40;
/// Credit that never ends.
const ENDLESS: u64 = u64::MAX / 2;
const NOW: Now = Now { elapsed_ms: 1, unix_ms: 1 };

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
            far.node.receive(from, StreamKind::Event, &crossed, NOW);
            let sent = far.drain(|_| {});
            near.acknowledge(to);
            sent
        });
    });
    group.finish();
}

struct Gateway {
    node: Node,
    sequence: u64,
    batch: Vec<u8>,
    /// Frames of each event stream to a peer so far.
    positions: Vec<(ConnKey, u64)>,
}

impl Gateway {
    fn new(id: u8) -> Self {
        let identity = Identity {
            node: NodeId([id; 16]),
            name: format!("gateway-{id}"),
            realm: "bench".to_owned(),
            epoch: 1,
            advertise: Vec::new(),
        };
        Self { node: Node::new(identity), sequence: 0, batch: Vec::new(), positions: Vec::new() }
    }

    fn control(&mut self, key: ConnKey, kind: u8, message: &impl prost::Message) {
        self.frame(key, StreamKind::Control, kind, message);
    }

    fn frame(&mut self, key: ConnKey, stream: StreamKind, kind: u8, message: &impl prost::Message) {
        let mut frame = Vec::new();
        put_message(&mut frame, kind, message);
        self.node.receive(key, stream, &frame, NOW);
    }

    /// A link that is up, to a peer that wants this.
    fn peer(&mut self, id: u8, pattern: &str) -> ConnKey {
        let key = self.node.open_link(false);
        let hello = LinkHello {
            versions: vec![1],
            realm: "bench".to_owned(),
            node: vec![id; 16].into(),
            name: format!("gateway-{id}"),
            epoch: 1,
            windows: Some(windows()),
            ..LinkHello::default()
        };
        self.control(key, kind::LINK_HELLO, &hello);
        self.control(key, kind::RECEIVED, &Received::default());
        let interests = vec![Interest { pattern: pattern.to_owned(), ..Interest::default() }];
        self.control(
            key,
            kind::INTEREST_SNAPSHOT,
            &InterestSnapshot { version: 1, interests, offers: vec![] },
        );
        self.frame(key, StreamKind::Event, kind::CONTINUE, &Continue::default());
        self.drain(|_| {});
        self.positions.push((key, 0));
        key
    }

    fn client(&mut self, id: u8) -> ConnKey {
        let key = self.node.open_session();
        let hello = Hello {
            versions: vec![1],
            realm: "bench".to_owned(),
            publisher: vec![id; 16].into(),
            epoch: 1,
            windows: Some(windows()),
            ..Hello::default()
        };
        self.control(key, kind::HELLO, &hello);
        key
    }

    fn subscriber(&mut self) {
        let key = self.client(1);
        self.control(
            key,
            kind::SUBSCRIBE,
            &Subscribe { subscription: 1, pattern: "bench.*".to_owned(), ..Subscribe::default() },
        );
        self.drain(|_| {});
    }

    fn publisher(&mut self) -> ConnKey {
        let key = self.client(2);
        let alias = TopicAlias { alias: 1, topic: "bench.mesh".to_owned(), content_type: String::new() };
        self.frame(key, StreamKind::Event, kind::TOPIC_ALIAS, &alias);
        self.drain(|_| {});
        key
    }

    fn publish(&mut self, publisher: ConnKey) {
        self.batch.clear();
        for _ in 0..BATCH {
            self.sequence += 1;
            wire::encode_publish(&mut self.batch, 1, self.sequence, &Message::new(&[7; 128], ""), false);
        }
        self.node.receive(publisher, StreamKind::Event, &self.batch, NOW);
    }

    /// Takes what there is to send; the events of links are shown to `events`.
    fn drain(&mut self, mut events: impl FnMut(&[u8])) -> usize {
        let mut sent = 0;
        while let Some((key, stream)) = self.node.poll_ready() {
            while let Some(bytes) = self.node.take(key, stream, NOW) {
                sent += bytes.len();
                if stream != StreamKind::Event {
                    continue;
                }
                if let Some((_, position)) = self.positions.iter_mut().find(|(link, _)| *link == key) {
                    // The first has aliases before the events. Counting them all would be most of what is measured.
                    *position += if *position == 0 { frames(&bytes) } else { BATCH as u64 };
                    events(&bytes);
                }
            }
        }
        sent
    }

    /// The peer has dealt with everything.
    fn acknowledge(&mut self, link: ConnKey) {
        let Some(&(_, position)) = self.positions.iter().find(|(key, _)| *key == link) else { return };
        if position > 0 {
            self.control(link, kind::ACK, &Ack { position });
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

fn windows() -> Windows {
    Windows { rpc: ENDLESS, event: ENDLESS, telemetry: ENDLESS }
}

criterion_group!(benches, peers, hop);
criterion_main!(benches);

//! One publish through the core to 1, 10, 100 and 1000 subscribers: bytes in, bytes out, no network.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use macula_benches::driver::{BATCH, Driver, ENDLESS};
use macula_proto::kind::StreamKind;

fn fan_out(c: &mut Criterion) {
    let mut group = c.benchmark_group("fan out");
    for subscribers in [1, 10, 100, 1000] {
        group.throughput(Throughput::Elements((BATCH * subscribers) as u64));
        group.bench_function(format!("128 B to {subscribers}"), |b| {
            let mut core = Driver::new(1);
            for id in 1..=subscribers {
                let conn = core.client(id as u128, ENDLESS);
                core.subscribe(conn, 1, "bench.*");
            }
            let publisher = core.client(0, ENDLESS);
            core.alias(publisher, StreamKind::Event, 1, "bench.fan.out");
            core.drain();
            b.iter(|| {
                core.publish(publisher, StreamKind::Event, |_| (1, ""));
                let sent = core.drain();
                assert!(sent > 128 * BATCH * subscribers, "everybody gets everything");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, fan_out);
criterion_main!(benches);

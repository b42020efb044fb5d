//! Encoding and decoding of the frames on the message path, beside prost's.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use macula_proto::frame::{FrameError, Splitter};
use macula_proto::wire::{self, Deliver, Message};
use macula_proto::{kind, v1};
use prost::Message as _;
use std::hint::black_box;

fn codec(c: &mut Criterion) {
    let payload = [7; 128];
    let message = Message::new(&payload, "ant_001");
    let mut encoded = Vec::new();
    message.encode(&mut encoded);
    let shared =
        Deliver { topic: 7, publisher: 3, sequence: 123_456, message: &encoded, ..Deliver::default() };
    let mut deliver = Vec::new();
    wire::encode_subscriptions(&mut deliver, &[1]);
    shared.encode_shared(&mut deliver);

    let mut group = c.benchmark_group("codec");
    group.throughput(Throughput::Elements(1));
    group.bench_function("publish/encode", |b| {
        let mut out = Vec::with_capacity(256);
        b.iter(|| {
            out.clear();
            wire::encode_publish(&mut out, 7, black_box(123_456), &message, false);
            out.len()
        });
    });
    group.bench_function("deliver/decode", |b| {
        b.iter(|| {
            let deliver = Deliver::decode(black_box(&deliver)).expect("legal");
            (deliver.sequence, Message::decode(deliver.message).expect("legal").payload.len())
        });
    });
    group.bench_function("deliver/decode by prost", |b| {
        b.iter(|| v1::Deliver::decode(black_box(&deliver[..])).expect("legal").sequence);
    });
    group.finish();

    let mut stream = Vec::new();
    for _ in 0..1000 {
        macula_proto::frame::put(&mut stream, kind::DELIVER, &deliver);
    }
    let mut group = c.benchmark_group("splitter");
    group.throughput(Throughput::Elements(1000));
    for chunk in [1_452, 6_500] {
        group.bench_function(format!("1000 frames in chunks of {chunk}"), |b| {
            let mut splitter = Splitter::new(1 << 20);
            b.iter(|| {
                let mut count = 0;
                for chunk in stream.chunks(chunk) {
                    let each = |_, body: &[u8]| {
                        count += body.len();
                        Ok::<(), FrameError>(())
                    };
                    splitter.split(black_box(chunk), each).expect("legal");
                }
                count
            });
        });
    }
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);

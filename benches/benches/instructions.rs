//! Instructions of the hottest paths, which valgrind counts and a busy machine does not change: matching a topic, decoding,
//! encoding, one message to many sessions, a call and its answer. Each does a thousand of what it is named after.
//!
//! `benches/instructions` runs this and compares it with what was counted before.

#![allow(missing_docs, reason = "the attributes make items that cannot be documented")]

use gungraun::{library_benchmark, library_benchmark_group, main};
use macula_benches::driver::{BATCH, Driver, ENDLESS};
use macula_benches::patterns::{ROWS, Value, topics, trie};
use macula_benches::rpc::Calls;
use macula_core::{ConnKey, Trie, fix_hashes};
use macula_proto::frame::{self, FrameError, Splitter};
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{CallPolicy, Unsubscribe};
use macula_proto::wire::{self, Deliver, Message, Publish};
use macula_proto::{Topic, limits};
use std::hint::black_box;

/// Batches in which a thousand come.
const BATCHES: usize = 1000 / BATCH;
/// Patterns in the trie.
const PATTERNS: usize = 10_000;

#[library_benchmark]
#[bench::uncached(patterns())]
fn trie_match((trie, topics): (Trie<Value>, Vec<Topic>)) -> (Trie<Value>, Vec<Topic>) {
    for topic in &topics {
        trie.for_each_match(black_box(topic), |value| {
            black_box(value);
        });
    }
    (trie, topics)
}

/// A thousand topics of all kinds.
fn patterns() -> (Trie<Value>, Vec<Topic>) {
    fix_hashes();
    let mut mix: Vec<_> =
        ROWS.into_iter().flat_map(|(_, _, row)| topics(PATTERNS, row).into_iter().take(180)).collect();
    mix.truncate(1000);
    assert_eq!(mix.len(), 1000);
    (trie(PATTERNS), mix)
}

// From the bytes of a publisher's packets to the bytes for each session.
#[library_benchmark]
#[bench::to_1(sessions(1))]
#[bench::to_16(sessions(16))]
#[bench::to_100(sessions(100))]
fn publish_cached((mut core, publisher, guest): World) -> World {
    for _ in 0..BATCHES {
        core.publish(publisher, StreamKind::Event, |_| (1, ""));
        black_box(core.drain());
    }
    (core, publisher, guest)
}

// The same, where a subscription comes and goes before each message.
#[library_benchmark]
#[bench::to_1(sessions(1))]
fn publish_matched_anew((mut core, publisher, guest): World) -> World {
    for _ in 0..BATCHES {
        core.subscribe(guest, 2, "bench.guest");
        core.control(guest, kind::UNSUBSCRIBE, &Unsubscribe { subscription: 2 });
        // Forty topics, so that each message of the batch is matched.
        core.publish(publisher, StreamKind::Event, |place| (place as u32 + 1, ""));
        black_box(core.drain());
    }
    (core, publisher, guest)
}

type World = (Driver, ConnKey, ConnKey);

fn sessions(count: usize) -> World {
    fix_hashes();
    let mut core = Driver::new(1);
    for id in 1..=count {
        let conn = core.client(id as u128, ENDLESS);
        core.subscribe(conn, 1, "bench.*");
    }
    let (publisher, guest) = (core.client(1000, ENDLESS), core.client(1001, ENDLESS));
    for alias in 1..=BATCH {
        core.alias(publisher, StreamKind::Event, alias as u32, &format!("bench.topic-{alias}"));
    }
    for _ in 0..3 {
        core.publish(publisher, StreamKind::Event, |place| (place as u32 + 1, ""));
        assert!(core.drain() > 128 * BATCH * count);
    }
    (core, publisher, guest)
}

#[library_benchmark]
#[bench::publishes(encoded(publish))]
fn decode(stream: Vec<u8>) -> Vec<u8> {
    let mut count = 0;
    split(&stream, |body| {
        let publish = Publish::decode(body).expect("legal");
        count += Message::decode(publish.message).expect("legal").payload.len();
    });
    black_box(count);
    stream
}

#[library_benchmark]
#[bench::deliveries(encoded(deliver))]
fn decode_deliveries(stream: Vec<u8>) -> Vec<u8> {
    let mut count = 0;
    split(&stream, |body| {
        let deliver = Deliver::decode(body).expect("legal");
        count +=
            deliver.subscriptions().count() + Message::decode(deliver.message).expect("legal").payload.len();
    });
    black_box(count);
    stream
}

#[library_benchmark]
#[bench::publishes(Vec::with_capacity(1 << 20), publish)]
#[bench::deliveries(Vec::with_capacity(1 << 20), deliver)]
fn encode(mut out: Vec<u8>, put: fn(&mut Vec<u8>, u64)) -> Vec<u8> {
    for sequence in 1..=1000 {
        put(&mut out, black_box(sequence));
    }
    out
}

fn encoded(put: fn(&mut Vec<u8>, u64)) -> Vec<u8> {
    let mut out = Vec::new();
    (1..=1000).for_each(|sequence| put(&mut out, sequence));
    out
}

fn publish(out: &mut Vec<u8>, sequence: u64) {
    wire::encode_publish(out, 7, sequence, &Message::new(&[7; 128], "ant_001"), false);
}

fn deliver(out: &mut Vec<u8>, sequence: u64) {
    let mut message = Vec::with_capacity(160);
    Message::new(&[7; 128], "ant_001").encode(&mut message);
    let mut body = Vec::with_capacity(200);
    wire::encode_subscriptions(&mut body, &[1]);
    Deliver { topic: 7, publisher: 3, sequence, message: &message, ..Deliver::default() }
        .encode_shared(&mut body);
    frame::put(out, kind::DELIVER, &body);
}

fn split(stream: &[u8], mut each: impl FnMut(&[u8])) {
    let mut splitter = Splitter::new(limits::FRAME_BYTES);
    for chunk in stream.chunks(6_500) {
        let result = splitter.split(black_box(chunk), |_, body| {
            each(body);
            Ok::<(), FrameError>(())
        });
        result.expect("whole frames");
    }
}

#[library_benchmark]
#[bench::call_and_answer(calls())]
fn rpc(mut calls: Calls) -> Calls {
    for _ in 0..BATCHES {
        calls.call_and_answer();
    }
    calls
}

fn calls() -> Calls {
    fix_hashes();
    let mut calls = Calls::new(1000, 1, CallPolicy::Single);
    calls.call_and_answer();
    calls
}

library_benchmark_group!(
    name = hottest,
    benchmarks = [trie_match, publish_cached, publish_matched_anew, decode, decode_deliveries, encode, rpc]
);
main!(library_benchmark_groups = hottest);

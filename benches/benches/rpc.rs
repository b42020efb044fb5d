//! A call through the core: from the caller to a provider, and its answer back.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use macula_benches::driver::BATCH;
use macula_benches::rpc::Calls;
use macula_proto::v1::CallPolicy;

/// Providers with a procedure each.
fn procedures(c: &mut Criterion) {
    let mut group = c.benchmark_group("call and answer/procedures");
    group.throughput(Throughput::Elements(BATCH as u64));
    for count in [1, 1_000, 100_000] {
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            let mut calls = Calls::new(count, 1, CallPolicy::Single);
            b.iter(|| calls.call_and_answer());
        });
    }
    group.finish();
}

/// Providers that share a procedure.
fn policies(c: &mut Criterion) {
    let mut group = c.benchmark_group("call and answer/100 providers of one procedure");
    group.throughput(Throughput::Elements(BATCH as u64));
    for policy in [CallPolicy::First, CallPolicy::RoundRobin, CallPolicy::Random, CallPolicy::LeastLoaded] {
        group.bench_function(policy.as_str_name().to_lowercase(), |b| {
            let mut calls = Calls::new(1, 100, policy);
            b.iter(|| calls.call_and_answer());
        });
    }
    group.finish();
}

criterion_group!(benches, procedures, policies);
criterion_main!(benches);

//! A population that lives: time of a home's step, and memory of a home.
//!
//! Homes have lived for forty days first, so that they have contracts, a trailing year and carried remainders. What is
//! measured is `HomeAgent::advance` as bots drive it, over a whole day, with the day's sun and weather shared by the
//! homes of a municipality: computing them is part of it, and so small a part as a population of this size has. Memory
//! is what homes with their contracts and trailing years have asked the allocator for; names and addresses are grown anew
//! when homes introduce themselves.

use cortexiq_domain::agent::{HomeAgent, HomeEvent, Shared};
use cortexiq_domain::home_file;
use cortexiq_domain::market::MarketAgent;
use cortexiq_domain::population::grow;
use cortexiq_domain::provider::roster;
use cortexiq_domain::provider_agent::ProviderAgent;
use cortexiq_domain::region::Region;
use cortexiq_domain::time::Day;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use peak_alloc::PeakAlloc;

const SEED: u64 = 7;
const RUN: u64 = 1;
/// Days that the homes have lived before.
const LIVED: i64 = 40;

fn step(c: &mut Criterion) {
    let mut world = World::new(HOMES_STEPPED);
    world.live_until(LIVED);
    let mut group = c.benchmark_group("population");
    group.throughput(Throughput::Elements(HOMES_STEPPED as u64 * 96)).sample_size(20);
    let [begin, end] = [LIVED + 1, LIVED + 2].map(|day| first().plus(day).start().time());
    group.bench_function("steps of a day", |b| {
        b.iter_batched(
            || {
                // What is computed once a year or for the day before has been.
                let (mut agents, mut shared) = (world.agents.clone(), world.shared());
                agents.iter_mut().for_each(|agent| {
                    agent.advance(begin, &mut shared, &mut |_| {});
                });
                (agents, shared)
            },
            |(mut agents, mut shared)| {
                let mut imported = 0_u64;
                for agent in &mut agents {
                    agent.advance(end, &mut shared, &mut |event| {
                        if let HomeEvent::Measured(reading) = event {
                            imported += u64::from(reading.flows.import);
                        }
                    });
                }
                assert!(agents.iter().all(|agent| agent.next().time() == end), "everyone has lived the day");
                (imported, agents)
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

/// Not timed: told once, and checked against what is promised.
fn memory(_: &mut Criterion) {
    let mut world = World::new(HOMES_HELD);
    world.live_until(LIVED);
    let contracts: usize = world.agents.iter().map(|agent| agent.contracts().signed().len()).sum();
    assert!(contracts >= HOMES_HELD, "every home has signed");
    let held = ALLOCATOR.current_usage();
    drop(std::mem::take(&mut world.agents));
    let each = (held - ALLOCATOR.current_usage()) / HOMES_HELD;
    println!("{HOMES_HELD} homes with {contracts} contracts: {each} bytes a home");
}

struct World {
    agents: Vec<HomeAgent>,
    shared: Shared,
    market: MarketAgent,
    providers: Vec<ProviderAgent>,
    said: Vec<HomeEvent>,
}

impl World {
    fn new(homes: usize) -> Self {
        let start = first().start().time();
        let region = Region::Antwerp;
        let file = home_file::parse(region.name(), home_file::builtin(region)).expect("a right file");
        let agents = grow(&file, homes, SEED).map(|home| HomeAgent::new(&home, SEED, RUN, start)).collect();
        let providers =
            roster(region, 5).into_iter().map(|provider| ProviderAgent::new(provider, RUN, start)).collect();
        let market = MarketAgent::new(SEED, RUN, start);
        let mut world = Self { agents, shared: Shared::new(SEED), market, providers, said: Vec::new() };
        world.hear(LIVED + 2);
        world
    }

    /// Prices and offers of the first days.
    fn hear(&mut self, days: i64) {
        let time = first().plus(days).start().time();
        for prices in self.market.advance(time) {
            self.shared.on_prices(&prices).expect("the market fills its days");
            self.providers
                .iter_mut()
                .for_each(|provider| provider.on_prices(&prices).expect("the market fills its days"));
        }
        for offer in self.providers.iter_mut().flat_map(|provider| provider.advance(time)) {
            self.shared.on_offer(offer);
        }
    }

    /// The same world for a batch, its prices and offers heard anew.
    fn shared(&self) -> Shared {
        let mut world = Self::new(0);
        std::mem::replace(&mut world.shared, Shared::new(SEED))
    }

    fn live_until(&mut self, days: i64) {
        for day in 1..=days {
            let end = first().plus(day).start().time();
            for agent in &mut self.agents {
                let said = &mut self.said;
                agent.advance(end, &mut self.shared, &mut |event| {
                    if let HomeEvent::Accept { .. } = &event {
                        said.push(event);
                    }
                });
                for event in self.said.drain(..) {
                    let HomeEvent::Accept { provider_id, request, .. } = event else { continue };
                    let provider =
                        self.providers.iter_mut().find(|provider| provider.provider().id == provider_id);
                    let answer = provider.expect("homes ask whom they know").accept(&request);
                    agent.on_accept_answer(&answer.result, &mut self.shared, &mut |_| {});
                }
            }
        }
    }
}

fn first() -> Day {
    "2025-05-01".parse().expect("a day")
}

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const HOMES_STEPPED: usize = 2000;
const HOMES_HELD: usize = 100_000;

criterion_group!(benches, memory, step);
criterion_main!(benches);

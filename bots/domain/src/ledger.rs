//! The whole market without a network: the same agents that live bots drive, in simulated-time order.
//!
//! Day by day: providers offer, homes live the day, providers answer what homes accepted, the market publishes. Homes
//! are divided among threads; nothing depends on how, because within a day no home depends on another.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::thread;

use cortexiq_proto::accept_offer_result::Answer;
use cortexiq_proto::{
    AcceptOfferRequest, ContractConfirmed, ContractSwitched, RegionBalanced, SpotPriceUpdated,
};
use serde::Serialize;

use crate::agent::{HomeAgent, HomeEvent, Shared, Wait};
use crate::balance::Balancer;
use crate::home::Home;
use crate::market::MarketAgent;
use crate::provider::Provider;
use crate::provider_agent::ProviderAgent;
use crate::region::Region;
use crate::time::{Day, Quarter};
use crate::totals::RegionTotals;
use crate::trade::Trade;

/// What to compute.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Seed of all random numbers.
    pub seed: u64,
    /// First instant.
    pub start_time: i64,
    /// First instant after it.
    pub end_time: i64,
    /// Everyone who consumes.
    pub homes: Vec<Home>,
    /// Everyone who offers.
    pub providers: Vec<Provider>,
    /// On how many threads; changes nothing but the time it takes.
    pub threads: usize,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ledger {
    /// The seed.
    pub seed: u64,
    /// How many homes.
    pub homes: usize,
    /// Quarter-hours of homes.
    pub measured: u64,
    /// Energy and money by region and in all.
    pub totals: RegionTotals,
    /// Confirmed contracts.
    pub contracts: usize,
    /// Those with a provider of another region.
    pub cross_region_contracts: usize,
    /// Days with prices.
    pub priced_days: usize,
    /// Mean spot price, micro-euro per kWh.
    pub mean_spot_price: i64,
    /// Quarter-hours with a negative spot price.
    pub negative_quarter_hours: usize,
    /// A number that differs when any measurement, trade, price or contract differs.
    pub fingerprint: String,
    /// The decisions of the run, as `verify` takes them.
    #[serde(skip)]
    pub prices: Vec<SpotPriceUpdated>,
    /// The decisions of the run, as `verify` takes them.
    #[serde(skip)]
    pub confirmed: Vec<ContractConfirmed>,
}

/// Sees every event of every home, in order within a home: for tests and tools that store them.
pub type Observer<'a> = dyn Fn(&Home, &HomeEvent) + Sync + 'a;

/// The run that ledgers belong to.
pub const RUN: u64 = 1;

/// Computes a run from beginning to end.
pub fn ledger(plan: &Plan) -> Ledger {
    observed(plan, &|_, _| {})
}

/// As [`ledger`], showing every event of a home to an observer.
pub fn observed(plan: &Plan, observer: &Observer<'_>) -> Ledger {
    let mut market = MarketAgent::new(plan.seed, RUN, plan.start_time);
    let mut providers: BTreeMap<String, ProviderAgent> = plan
        .providers
        .iter()
        .map(|provider| (provider.id.clone(), ProviderAgent::new(provider.clone(), RUN, plan.start_time)))
        .collect();
    let mut crowds = crowds(plan);
    let (mut prices, mut confirmed, mut fingerprint) = (Vec::new(), Vec::new(), 0_u64);

    let mut day = Day::containing(plan.start_time);
    loop {
        let begin = day.start().time().max(plan.start_time);
        let end = day.end().time().min(plan.end_time);
        let mut publish =
            |time: i64, providers: &mut BTreeMap<String, ProviderAgent>, crowds: &mut [Crowd<'_>]| {
                for published in market.advance(time) {
                    for provider in providers.values_mut() {
                        provider.on_prices(&published).expect("the market fills its days");
                    }
                    for crowd in crowds.iter_mut() {
                        crowd.shared.on_prices(&published).expect("the market fills its days");
                    }
                    published.prices.iter().for_each(|price| mix(&mut fingerprint, *price as u64));
                    prices.push(published);
                }
            };
        publish(begin, &mut providers, &mut crowds);
        for provider in providers.values_mut() {
            for offer in provider.advance(begin) {
                crowds.iter_mut().for_each(|crowd| crowd.shared.on_offer(offer.clone()));
            }
        }
        // At 13:00 the market knows the balances of the day before.
        publish(end - 1, &mut providers, &mut crowds);
        live_until(&mut crowds, end, observer);
        answer(&mut crowds, &mut providers, &mut confirmed, observer);
        for balanced in balanced(&mut crowds) {
            market.on_region_balanced(&balanced);
        }
        if end >= plan.end_time {
            break;
        }
        day = day.next();
        crowds.iter_mut().for_each(|crowd| crowd.shared.forget_before(day));
    }
    finish(plan, crowds, prices, confirmed, fingerprint)
}

/// The homes of one thread.
struct Crowd<'a> {
    homes: &'a [Home],
    agents: Vec<HomeAgent>,
    shared: Shared,
    tally: Tally,
}

/// What they said.
#[derive(Default)]
struct Tally {
    totals: RegionTotals,
    balancers: BTreeMap<Region, Balancer>,
    balanced: Vec<RegionBalanced>,
    accepts: Vec<(usize, String, AcceptOfferRequest)>,
    switched: Vec<ContractSwitched>,
    fingerprints: Vec<u64>,
    measured: u64,
}

fn crowds(plan: &Plan) -> Vec<Crowd<'_>> {
    let size = plan.homes.len().div_ceil(plan.threads.max(1)).max(1);
    plan.homes
        .chunks(size)
        .map(|homes| Crowd {
            homes,
            agents: homes.iter().map(|home| HomeAgent::new(home, plan.seed, RUN, plan.start_time)).collect(),
            shared: Shared::new(plan.seed),
            tally: Tally {
                balancers: balancers(homes),
                fingerprints: vec![0; homes.len()],
                ..Tally::default()
            },
        })
        .collect()
}

fn balancers(homes: &[Home]) -> BTreeMap<Region, Balancer> {
    let mut counts = BTreeMap::new();
    homes.iter().for_each(|home| *counts.entry(home.address.region).or_default() += 1);
    counts.into_iter().map(|(region, count)| (region, Balancer::new(RUN, region, count))).collect()
}

/// The regions' days, added up over the threads.
fn balanced(crowds: &mut [Crowd<'_>]) -> Vec<RegionBalanced> {
    let mut sums: BTreeMap<(String, String), RegionBalanced> = BTreeMap::new();
    for part in crowds.iter_mut().flat_map(|crowd| crowd.tally.balanced.drain(..)) {
        match sums.entry((part.day.clone(), part.region.clone())) {
            Entry::Vacant(first) => {
                first.insert(part);
            }
            Entry::Occupied(mut sum) => {
                let sum = sum.get_mut();
                sum.homes += part.homes;
                sum.net_demand_wh.iter_mut().zip(&part.net_demand_wh).for_each(|(sum, part)| *sum += part);
            }
        }
    }
    sums.into_values().collect()
}

fn live_until(crowds: &mut [Crowd<'_>], end: i64, observer: &Observer<'_>) {
    thread::scope(|scope| {
        let (last, others) = crowds.split_last_mut().expect("there is at least one home");
        let running: Vec<_> =
            others.iter_mut().map(|crowd| scope.spawn(move || crowd.live_until(end, observer))).collect();
        last.live_until(end, observer);
        running.into_iter().for_each(|thread| thread.join().expect("homes do not panic"));
    });
}

impl Crowd<'_> {
    fn live_until(&mut self, end: i64, observer: &Observer<'_>) {
        for (index, (agent, home)) in self.agents.iter_mut().zip(self.homes).enumerate() {
            let mut emit = |event| self.tally.count(index, home, event, observer);
            let wait = agent.advance(end, &mut self.shared, &mut emit);
            debug_assert_eq!(wait, Wait::Time, "{}", home.id);
        }
    }
}

impl Tally {
    fn count(&mut self, index: usize, home: &Home, event: HomeEvent, observer: &Observer<'_>) {
        observer(home, &event);
        let region = home.address.region;
        let fingerprint = &mut self.fingerprints[index];
        match event {
            HomeEvent::Measured(reading) => {
                self.measured += 1;
                self.totals.region(region).measure(&reading);
                let flows = reading.flows;
                for energy in
                    [flows.pv, flows.load, flows.import, flows.export, flows.charge, flows.discharge]
                {
                    mix(fingerprint, energy.into());
                }
                let balancer = self.balancers.get_mut(&region).expect("made for the regions of its homes");
                self.balanced.extend(balancer.on_reading(&reading));
            }
            HomeEvent::Traded(Trade { hour, .. }) => {
                self.totals.region(region).trade(hour.cost, hour.revenue);
                mix(fingerprint, hour.cost as u64);
                mix(fingerprint, hour.revenue as u64);
            }
            HomeEvent::Accept { provider_id, request, .. } => {
                self.accepts.push((index, provider_id, request));
            }
            HomeEvent::Switched(switched) => self.switched.push(switched),
            HomeEvent::Signed(_) | HomeEvent::Expired(_) | HomeEvent::Held(_) => {}
        }
    }
}

/// Answers what was accepted during the day, in the order of homes, until nobody asks any more.
fn answer(
    crowds: &mut [Crowd<'_>],
    providers: &mut BTreeMap<String, ProviderAgent>,
    confirmed: &mut Vec<ContractConfirmed>,
    observer: &Observer<'_>,
) {
    for Crowd { homes, agents, shared, tally } in crowds.iter_mut() {
        while !tally.accepts.is_empty() {
            for (index, provider_id, request) in std::mem::take(&mut tally.accepts) {
                let (agent, home) = (&mut agents[index], &homes[index]);
                let mut emit = |event| tally.count(index, home, event, observer);
                match providers.get_mut(&provider_id) {
                    Some(provider) => {
                        let acceptance = provider.accept(&request);
                        if let (Some(Answer::Confirmed(contract)), false) =
                            (&acceptance.result.answer, acceptance.repeated)
                        {
                            confirmed.push(contract.clone());
                        }
                        agent.on_accept_answer(&acceptance.result, shared, &mut emit);
                    }
                    None => agent.on_refused(&request.offer_id, shared, &mut emit),
                }
            }
        }
        for switched in tally.switched.drain(..) {
            if let Some(provider) = providers.get_mut(&switched.from_provider_id) {
                provider.on_switched(&switched);
            }
        }
    }
}

fn finish(
    plan: &Plan,
    crowds: Vec<Crowd<'_>>,
    prices: Vec<SpotPriceUpdated>,
    confirmed: Vec<ContractConfirmed>,
    mut fingerprint: u64,
) -> Ledger {
    let mut totals = RegionTotals::default();
    let mut measured = 0;
    for Crowd { tally, .. } in crowds {
        totals += tally.totals;
        measured += tally.measured;
        tally.fingerprints.into_iter().for_each(|home| mix(&mut fingerprint, home));
    }
    for contract in &confirmed {
        mix(&mut fingerprint, crate::random::of_name(&contract.contract_id));
    }
    let all: Vec<i64> = prices.iter().flat_map(|day| &day.prices).copied().collect();
    let within_hours = |day: &SpotPriceUpdated| {
        day.prices.iter().filter(|price| **price < 0).count() * day.step_minutes as usize / 15
    };
    Ledger {
        seed: plan.seed,
        homes: plan.homes.len(),
        measured,
        totals,
        contracts: confirmed.len(),
        cross_region_contracts: confirmed
            .iter()
            .filter(|contract| contract.home_region != contract.provider_region)
            .count(),
        priced_days: prices.len(),
        mean_spot_price: all.iter().sum::<i64>() / all.len().max(1) as i64,
        negative_quarter_hours: prices.iter().map(within_hours).sum(),
        fingerprint: format!("{fingerprint:016x}"),
        prices,
        confirmed,
    }
}

/// How many quarter-hours a home has between two instants: those that begin and end within.
pub fn quarters_between(start_time: i64, end_time: i64) -> u64 {
    Quarter::containing(end_time).since(Quarter::from(start_time)).max(0) as u64
}

fn mix(fingerprint: &mut u64, value: u64) {
    *fingerprint = (*fingerprint ^ value).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
}

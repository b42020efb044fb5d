//! All homes of a region in one run, without a network: what comes for them goes in, what they say comes out.
//!
//! Drive it so: hand in what arrives; call `on_time` with every tick; then call [`Crowd::slice`] and publish what it
//! gives until it gives nothing more. A slice is an hour of each home at most, so that what waits to be published stays
//! small however far the homes are behind.
//!
//! A restarted crowd begins with [`Crowd::restore`]. Its homes live again from their last midnight: trades and contracts
//! may have been on their way and are said again, as the same rows; quarter-hours that the mesh holds are not. A midnight is
//! told when the region's day is: a crowd that died in between lives the whole day again, and the market misses nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use cortexiq_domain::agent::{HomeAgent, HomeEvent, Shared, Wait};
use cortexiq_domain::balance::Balancer;
use cortexiq_domain::home::Home;
use cortexiq_domain::population::grow;
use cortexiq_domain::prices::BadPrices;
use cortexiq_domain::region::Region;
use cortexiq_domain::time::{Day, QUARTER_SECONDS, Quarter};
use cortexiq_proto::{
    AcceptOfferRequest, AcceptOfferResult, ContractConfirmed, ContractExpired, ContractOffered,
    ContractSigned, ContractSwitched, ContractsHeld, HomeCheckpointed, HomeInitialized, HomeMeasured,
    HomeTraded, RegionBalanced, SpotPriceUpdated, TimeAdvanced,
};

/// What homes say, in the order of each home.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// A quarter-hour.
    Measured(HomeMeasured),
    /// An hour in money.
    Traded(HomeTraded),
    /// A first contract.
    Signed(ContractSigned),
    /// A change of contract.
    Switched(ContractSwitched),
    /// The end of a contract.
    Expired(ContractExpired),
    /// What a home has decided.
    Held(ContractsHeld),
    /// Where it stands at midnight.
    Checkpointed(HomeCheckpointed),
    /// A day of the region.
    Balanced(RegionBalanced),
    /// To be asked of a provider; the answer goes to [`Crowd::on_answer`] or [`Crowd::on_refused`].
    Accept(Accept),
}

/// A home wants an offer.
#[derive(Debug, Clone, PartialEq)]
pub struct Accept {
    /// Whom to ask.
    pub provider_id: String,
    /// What.
    pub request: AcceptOfferRequest,
    /// To be published before, so that a restart repeats the acceptance and does not choose again.
    pub held: ContractsHeld,
}

/// What the mesh remembers of homes that were there before.
#[derive(Debug, Clone, Default)]
pub struct Remembered {
    /// Their last quarter-hours.
    pub measured: Vec<HomeMeasured>,
    /// Where they stood at midnight.
    pub checkpoints: Vec<HomeCheckpointed>,
    /// What they had decided.
    pub held: Vec<ContractsHeld>,
}

/// The homes of one region in one run.
#[derive(Debug)]
pub struct Crowd {
    run: u64,
    start_time: i64,
    /// From which, with the seed, the homes are grown when they introduce themselves.
    homes: Arc<[Home]>,
    seed: u64,
    agents: Vec<HomeAgent>,
    /// The first instant of each of them that has not been measured, by this process or by the one before.
    unmeasured: Vec<i64>,
    /// Places of the agents in the order of their ids.
    by_id: Vec<u32>,
    shared: Shared,
    balancer: Balancer,
    /// Where homes stood at the end of days of which the region's balance is still to be told.
    midnights: BTreeMap<Day, Vec<HomeCheckpointed>>,
    /// The newest tick's time.
    time: i64,
    /// How far homes that wait for nothing have been taken.
    front: i64,
    /// The last slice found something to do, or something has come since.
    restless: bool,
    /// Prices of days before this one have been let go.
    kept_from: Day,
    waits: Waits,
}

/// How far the homes are, and what the slowest wait for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waits {
    /// Homes that wait for prices.
    pub prices: usize,
    /// Homes that wait for a provider's answer.
    pub answers: usize,
    /// What the first of them waits for, for people.
    pub example: Option<String>,
}

impl Crowd {
    /// The homes of a region at the beginning of the run that a tick belongs to. `count` homes are grown from these with
    /// the run's seed.
    ///
    /// # Panics
    /// When `homes` is empty.
    pub fn new(tick: &TimeAdvanced, region: Region, homes: &Arc<[Home]>, count: usize) -> Self {
        let (run, start_time, seed) = (tick.run, tick.start_time, tick.seed);
        let agents: Vec<_> =
            grow(homes, count, seed).map(|home| HomeAgent::new(&home, seed, run, start_time)).collect();
        let mut by_id: Vec<_> = (0..agents.len() as u32).collect();
        by_id.sort_unstable_by_key(|index| agents[*index as usize].id());
        Self {
            run,
            start_time,
            homes: Arc::clone(homes),
            seed,
            balancer: Balancer::new(run, region, agents.len() as u32),
            unmeasured: vec![start_time; agents.len()],
            agents,
            by_id,
            midnights: BTreeMap::new(),
            shared: Shared::new(seed),
            time: tick.simulation_time,
            front: start_time,
            restless: true,
            kept_from: Day::containing(start_time),
            waits: Waits::default(),
        }
    }

    /// The run.
    pub fn run(&self) -> u64 {
        self.run
    }

    /// The run's first instant.
    pub fn start_time(&self) -> i64 {
        self.start_time
    }

    /// How many homes there are.
    pub fn homes(&self) -> usize {
        self.agents.len()
    }

    /// How the homes introduce themselves.
    pub fn introductions(&self) -> impl Iterator<Item = HomeInitialized> {
        grow(&self.homes, self.agents.len(), self.seed)
            .map(|home| home.initialized(self.run, self.start_time))
    }

    fn index(&self, home_id: &str) -> Option<usize> {
        let found = self.by_id.binary_search_by(|index| (**self.agents[*index as usize].id()).cmp(home_id));
        found.ok().map(|place| self.by_id[place] as usize)
    }

    /// Takes homes up where they were before this process began; `out` gets the acceptances to repeat. Returns how many.
    pub fn restore(&mut self, remembered: &Remembered, out: &mut Vec<Output>) -> usize {
        for checkpoint in &remembered.checkpoints {
            if let Some(index) = self.index(&checkpoint.home_id) {
                self.agents[index].restore_checkpoint(checkpoint);
            }
        }
        for last in remembered.measured.iter().filter(|last| last.run == self.run && !last.provisional) {
            let Some(index) = self.index(&last.home_id) else { continue };
            let agent = &mut self.agents[index];
            let day_ended = agent.next().day().end().time();
            if last.time >= day_ended.saturating_add(LOST_CHECKPOINT_SECONDS) {
                // Better a few trades that were on their way than days computed again without what was decided.
                tracing::warn!(
                    home = last.home_id,
                    "its last midnight is not known; it goes on from its meter alone"
                );
                agent.restore(last);
            }
            self.unmeasured[index] = last.time + QUARTER_SECONDS;
        }
        for held in &remembered.held {
            if let Some(index) = self.index(&held.home_id) {
                let asking = self.agents[index].restore_held(held, &mut self.shared);
                asking.into_iter().for_each(|event| say(event, out));
            }
        }
        let begun = |(agent, unmeasured): &(&HomeAgent, &i64)| {
            agent.next().time().max(**unmeasured) > self.start_time
        };
        let restored = self.agents.iter().zip(&self.unmeasured).filter(begun).count();
        if restored > 0 {
            self.balancer.begin(self.first_whole_day());
        }
        self.front = self.slowest().time();
        restored
    }

    /// The first day that all homes will have lived in this process.
    fn first_whole_day(&self) -> Day {
        let whole = |agent: &HomeAgent| {
            let next = agent.next();
            let day = next.day();
            if next == day.start() || next.time() == self.start_time { day } else { day.next() }
        };
        self.agents.iter().map(whole).max().expect("a region has at least one home")
    }

    /// A tick of this run.
    pub fn on_time(&mut self, time: i64) {
        self.restless |= time > self.time;
        self.time = self.time.max(time);
    }

    /// The prices of a day.
    pub fn on_prices(&mut self, event: &SpotPriceUpdated) -> Result<(), BadPrices> {
        if event.run == self.run {
            self.restless |= self.shared.on_prices(event)?.is_some();
        }
        Ok(())
    }

    /// A provider's offer.
    pub fn on_offer(&mut self, offer: ContractOffered) {
        if offer.run == self.run {
            self.shared.on_offer(offer);
        }
    }

    /// A confirmation that a provider published, perhaps before the answer to the home's own call.
    pub fn on_confirmed(&mut self, confirmed: &ContractConfirmed, out: &mut Vec<Output>) {
        if let Some(index) = self.index(&confirmed.home_id) {
            let say = &mut |event| say(event, out);
            self.restless |= self.agents[index].on_confirmed(confirmed, &mut self.shared, say);
        }
    }

    /// A provider's answer.
    pub fn on_answer(&mut self, home_id: &str, result: &AcceptOfferResult, out: &mut Vec<Output>) {
        if let Some(index) = self.index(home_id) {
            self.agents[index].on_accept_answer(result, &mut self.shared, &mut |event| say(event, out));
            self.restless = true;
        }
    }

    /// A provider that certainly never heard of the acceptance.
    pub fn on_refused(&mut self, home_id: &str, offer_id: &str, out: &mut Vec<Output>) {
        if let Some(index) = self.index(home_id) {
            self.agents[index].on_refused(offer_id, &mut self.shared, &mut |event| say(event, out));
            self.restless = true;
        }
    }

    /// Whether a slice would find something to do.
    pub fn is_restless(&self) -> bool {
        self.restless
    }

    /// Takes every home on by an hour at most, and all that wait for nothing by the same quarter-hour.
    pub fn slice(&mut self, out: &mut Vec<Output>) {
        let begun = out.len();
        self.front = (self.front + QUARTER_SECONDS).min(self.time);
        let mut waits = Waits::default();
        for (agent, unmeasured) in self.agents.iter_mut().zip(&mut self.unmeasured) {
            let day = agent.next().day();
            let midnight = day.end();
            let goal = self.front.min(agent.next().time() + CATCH_UP_SECONDS).min(midnight.time());
            let (run, balancer) = (self.run, &mut self.balancer);
            let id = Arc::clone(agent.id());
            let (mut last, mut balanced) = (None, None);
            let wait = agent.advance(goal, &mut self.shared, &mut |event| match event {
                HomeEvent::Measured(reading) => {
                    let next = reading.quarter.next();
                    if next == midnight {
                        last = Some(reading.measured(run, &id));
                    }
                    if next.time() > *unmeasured {
                        out.push(Output::Measured(reading.measured(run, &id)));
                        *unmeasured = next.time();
                    }
                    balanced = balanced.take().or(balancer.on_reading(&reading));
                }
                HomeEvent::Traded(trade) => out.push(Output::Traded(trade.traded(run, &id))),
                event => say(event, out),
            });
            if let Some(last) = last {
                self.midnights.entry(day).or_default().push(agent.checkpoint(last));
            }
            if balanced.is_some() || (self.midnights.contains_key(&day) && !self.balancer.covers(day)) {
                out.extend(balanced.map(Output::Balanced));
                let told = self.midnights.remove(&day).unwrap_or_default();
                out.extend(told.into_iter().map(Output::Checkpointed));
            }
            waits.add(&id, wait);
        }
        while self.midnights.len() > MOST_MIDNIGHTS {
            let oldest = self.midnights.pop_first().map(|(_, midnights)| midnights);
            out.extend(oldest.into_iter().flatten().map(Output::Checkpointed));
        }
        self.waits = waits;
        self.restless = out.len() > begun || self.front < self.time;
        self.forget();
    }

    /// The running quarter-hour of every home that has computed all that has passed.
    pub fn provisional(&mut self) -> Vec<HomeMeasured> {
        let (time, shared) = (self.time, &mut self.shared);
        let current = self.agents.iter().filter(|agent| agent.next().next().time() > time);
        current.filter_map(|agent| agent.provisional(shared)).collect()
    }

    /// Simulated seconds from the end of the slowest home's last quarter-hour to the newest tick.
    pub fn lag(&self) -> i64 {
        (self.time - self.slowest().time()).max(0)
    }

    /// The first instant that not every home has computed.
    pub fn computed_until(&self) -> i64 {
        self.slowest().time()
    }

    /// What homes waited for in the last slice.
    pub fn waits(&self) -> &Waits {
        &self.waits
    }

    fn slowest(&self) -> Quarter {
        let next = self.agents.iter().map(HomeAgent::next);
        next.min().expect("a region has at least one home")
    }

    fn forget(&mut self) {
        if self.front >= self.kept_from.end().time() {
            let day = self.slowest().day();
            if day > self.kept_from {
                self.shared.forget_before(day);
                self.kept_from = day;
            }
        }
    }
}

impl Waits {
    fn add(&mut self, home: &str, wait: Wait) {
        match &wait {
            Wait::Time => return,
            Wait::Prices(_) => self.prices += 1,
            Wait::Answer { .. } => self.answers += 1,
        }
        self.example.get_or_insert_with(|| match wait {
            Wait::Time => format!("{home} waits for nothing"),
            Wait::Prices(day) => format!("{home} waits for the prices of {day}"),
            Wait::Answer { provider_id, offer_id } => {
                format!("{home} waits for the answer of {provider_id} about {offer_id}")
            }
        });
    }
}

fn say(event: HomeEvent, out: &mut Vec<Output>) {
    out.push(match event {
        HomeEvent::Signed(signed) => Output::Signed(signed),
        HomeEvent::Switched(switched) => Output::Switched(switched),
        HomeEvent::Expired(expired) => Output::Expired(expired),
        HomeEvent::Held(held) => Output::Held(held),
        HomeEvent::Accept { provider_id, request, held } => {
            Output::Accept(Accept { provider_id, request, held })
        }
        HomeEvent::Measured(_) | HomeEvent::Traded(_) => {
            unreachable!("only `advance` measures and trades, and `slice` takes both")
        }
    });
}

/// Measurements come by another way than checkpoints and may be ahead of them by what passes in a second or two at full
/// speed.
const LOST_CHECKPOINT_SECONDS: i64 = 7 * 86_400;
/// Days that homes may be ahead of one that waits for an answer before their midnights are told without the region's day.
const MOST_MIDNIGHTS: usize = 3;
/// Four times the pace of homes that wait for nothing.
const CATCH_UP_SECONDS: i64 = 4 * QUARTER_SECONDS;

#[cfg(test)]
mod tests;

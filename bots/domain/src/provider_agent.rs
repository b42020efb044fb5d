//! One provider over time: it re-prices daily and accepts customers.
//!
//! Drive it so: hand in prices and what homes announce as it comes, call `advance` with the newest tick's time and publish
//! what it returns, and answer every `accept_offer` by `accept`, publishing the result unless it is a repetition.

use std::collections::{BTreeMap, HashMap, VecDeque};

use cortexiq_proto::accept_offer_result::Answer;
use cortexiq_proto::{
    AcceptOfferRequest, AcceptOfferResult, ContractConfirmed, ContractExpired, ContractOffered,
    ContractReason, ContractRejected, ContractSwitched, ContractType, ContractsHeld, ProviderInitialized,
    RejectReason, SpotPriceUpdated,
};

use crate::contract::{begins, contract_id, terms_of};
use crate::market::expected_price;
use crate::offer::is_valid;
use crate::prices::{BadPrices, DayPrices};
use crate::provider::{Provider, Strategy};
use crate::time::Day;

/// A provider over time.
#[derive(Debug, Clone)]
pub struct ProviderAgent {
    provider: Provider,
    run: u64,
    start_time: i64,
    costs: Costs,
    /// What market share makes of the margin, micro-euro per kWh.
    level: i64,
    /// The first day without an offer.
    next: Day,
    offers: VecDeque<ContractOffered>,
    /// Offers from before a restart are not all known.
    restarted: bool,
    customers: BTreeMap<String, Customer>,
    /// Homes that came less those that left, by the day of the decision; those of long ago together.
    moves: BTreeMap<Day, i64>,
    settled: i64,
    answers: HashMap<(String, String), AcceptOfferResult>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Customer {
    contract_id: String,
    start_time: i64,
    end_time: i64,
}

/// An answer to `accept_offer`.
#[derive(Debug, Clone, PartialEq)]
pub struct Acceptance {
    /// What to answer, and to publish as `confirmed` or `rejected`.
    pub result: AcceptOfferResult,
    /// The same acceptance was answered before: answer again, publish nothing.
    pub repeated: bool,
}

/// What energy will cost, micro-euro per kWh: in T1, in T2, and at noon when the sun feeds in. The expected year, moved by
/// what the last weeks cost more or less than was expected of them.
#[derive(Debug, Clone, Default)]
struct Costs {
    expected: Option<[i64; 3]>,
    /// By day, the newest; prices may come in any order after a restart.
    days: BTreeMap<Day, Known>,
}

/// What a day's prices tell.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    surprise: [i64; 3],
    /// How many homes there are.
    homes: u32,
}

impl ProviderAgent {
    /// A provider at the beginning of a run.
    pub fn new(provider: Provider, run: u64, start_time: i64) -> Self {
        Self {
            provider,
            run,
            start_time,
            costs: Costs::default(),
            level: 0,
            next: Day::containing(start_time),
            offers: VecDeque::new(),
            restarted: false,
            customers: BTreeMap::new(),
            moves: BTreeMap::new(),
            settled: 0,
            answers: HashMap::new(),
        }
    }

    /// Who it is.
    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// The event by which it introduces itself.
    pub fn initialized(&self) -> ProviderInitialized {
        self.provider.initialized(self.run, self.start_time)
    }

    /// How many homes have a contract that has not ended.
    pub fn customers(&self) -> usize {
        self.customers.len()
    }

    /// Takes a day's prices.
    pub fn on_prices(&mut self, event: &SpotPriceUpdated) -> Result<(), BadPrices> {
        let prices = DayPrices::read(event)?;
        if event.run == self.run {
            self.costs.add(&prices, Day::containing(self.start_time));
        }
        Ok(())
    }

    /// A home leaves one contract for another, perhaps one of ours for someone else's.
    pub fn on_switched(&mut self, event: &ContractSwitched) {
        self.release(&event.home_id, &event.from_contract_id, event.time);
    }

    /// A contract ran out, perhaps one of ours.
    pub fn on_expired(&mut self, event: &ContractExpired) {
        self.release(&event.home_id, &event.contract_id, event.time);
    }

    fn release(&mut self, home_id: &str, contract_id: &str, time: i64) {
        if self.customers.get(home_id).is_some_and(|customer| customer.contract_id == contract_id) {
            self.customers.remove(home_id);
            self.moved(time, -1);
        }
    }

    fn moved(&mut self, time: i64, homes: i64) {
        *self.moves.entry(Day::containing(time)).or_default() += homes;
    }

    /// Takes up a restarted provider: an offer it has published, with those before it.
    pub fn restore_offer(&mut self, offer: &ContractOffered) {
        if offer.run == self.run && offer.provider_id == self.provider.id {
            offer.earlier.iter().for_each(|earlier| self.restore_offer(earlier));
            let until = Day::containing(offer.valid_until);
            if until > self.next {
                (self.next, self.level) = (until, offer.margin_level);
            }
            self.restarted = true;
            self.offers.push_back(ContractOffered { earlier: Vec::new(), ..offer.clone() });
        }
    }

    /// Takes up a restarted provider: a contract it has confirmed, in any order and however often. What homes had decided
    /// comes first: there contracts are in order, so that it is known since when a home has been a customer.
    pub fn restore_contract(&mut self, contract: &ContractConfirmed) {
        if contract.run != self.run || contract.provider_id != self.provider.id {
            return;
        }
        let newer = |known: &Customer| known.start_time > contract.start_time;
        if !self.customers.get(&contract.home_id).is_some_and(newer) {
            self.remember(contract);
        }
        let result = AcceptOfferResult { answer: Some(Answer::Confirmed(contract.clone())) };
        self.answers.insert((contract.home_id.clone(), contract.offer_id.clone()), result);
    }

    /// Takes up a restarted provider: what a home had decided, perhaps for it or against it.
    pub fn restore_held(&mut self, held: &ContractsHeld) {
        let run = self.run;
        for contract in held.contracts.iter().filter(|contract| contract.run == run) {
            self.restore_contract(contract);
            let left = |known: &Customer| known.start_time < contract.start_time;
            if contract.provider_id != self.provider.id && self.customers.get(&held.home_id).is_some_and(left)
            {
                self.customers.remove(&held.home_id);
                self.moved(contract.accepted_time, -1);
            }
        }
    }

    /// Every offer that is due: at the start one for the first two days, then at each midnight one for the day after, when
    /// that midnight's day has prices.
    ///
    /// An offer depends on what was decided by simulated time, never on what has been heard: on prices up to the day it is
    /// made, and on customers who had decided before the day before. So a run gives the same offers however fast messages are.
    pub fn advance(&mut self, time: i64) -> Vec<ContractOffered> {
        let mut due = Vec::new();
        let first = Day::containing(self.start_time);
        while time >= self.due() {
            let begins_now = self.next == first;
            let valid_from = if begins_now { self.start_time } else { self.next.start().time() };
            let until = if begins_now { self.next.plus(2) } else { self.next.next() };
            if !self.costs.days.contains_key(&self.made_on()) {
                if time < until.plus(PATIENCE_DAYS).start().time() {
                    break;
                }
                // It was away for long: nobody could accept that any more.
                self.next = until;
                continue;
            }
            self.end_contracts(self.made_on().start().time());
            self.follow_share();
            let mut offer = self.price(self.due(), valid_from, until.start().time());
            self.offers.push_back(offer.clone());
            if self.offers.len() > KEPT_OFFERS {
                self.offers.pop_front();
            }
            let before = self.offers.len() - 1;
            offer.earlier = self.offers.range(before.saturating_sub(EARLIER)..before).cloned().collect();
            due.push(offer);
            self.next = until;
        }
        due
    }

    /// Simulated seconds that the next offer is overdue.
    pub fn lag(&self, time: i64) -> i64 {
        (time - self.due()).max(0)
    }

    /// The day on which the next offer is made.
    fn made_on(&self) -> Day {
        let first = Day::containing(self.start_time);
        if self.next == first { first } else { self.next.previous() }
    }

    /// When the next offer is made.
    fn due(&self) -> i64 {
        self.made_on().start().time().max(self.start_time)
    }

    fn end_contracts(&mut self, now: i64) {
        let ended = |(home, customer): (&String, &Customer)| {
            (customer.end_time != 0 && customer.end_time <= now).then(|| (home.clone(), customer.end_time))
        };
        for (home, time) in self.customers.iter().filter_map(ended).collect::<Vec<_>>() {
            self.customers.remove(&home);
            self.moved(time, -1);
        }
    }

    /// Answers an acceptance. The same home and offer always get the same answer.
    pub fn accept(&mut self, request: &AcceptOfferRequest) -> Acceptance {
        let key = (request.home_id.clone(), request.offer_id.clone());
        if let Some(result) = self.answers.get(&key) {
            return Acceptance { result: result.clone(), repeated: true };
        }
        let answer = match self.refusal(request) {
            Some((reason, detail)) => Answer::Rejected(ContractRejected {
                run: self.run,
                home_id: request.home_id.clone(),
                provider_id: self.provider.id.clone(),
                offer_id: request.offer_id.clone(),
                time: request.time,
                reason: reason.into(),
                detail,
            }),
            None => Answer::Confirmed(self.confirm(request)),
        };
        let result = AcceptOfferResult { answer: Some(answer) };
        self.answers.insert(key, result.clone());
        Acceptance { result, repeated: false }
    }

    fn refusal(&self, request: &AcceptOfferRequest) -> Option<(RejectReason, String)> {
        let Some(offer) = self.offers.iter().find(|offer| offer.offer_id == request.offer_id) else {
            let made = if self.restarted {
                "remembers no such offer since its restart:"
            } else {
                "has made no offer"
            };
            let detail = format!("{} {made} {}.", self.provider.id, request.offer_id);
            return Some((RejectReason::UnknownOffer, detail));
        };
        if request.run != self.run || !is_valid(offer, request.time) {
            let detail = format!("{} is not valid at that time.", offer.offer_id);
            return Some((RejectReason::OfferNotValid, detail));
        }
        if request.reason() == ContractReason::Switch && self.is_customer(&request.home_id, request.time) {
            let detail = format!("{} is a customer of {} already.", request.home_id, self.provider.id);
            return Some((RejectReason::AlreadyCustomer, detail));
        }
        None
    }

    fn is_customer(&self, home_id: &str, time: i64) -> bool {
        let customer = self.customers.get(home_id);
        customer.is_some_and(|customer| customer.end_time == 0 || customer.end_time > time)
    }

    fn confirm(&mut self, request: &AcceptOfferRequest) -> ContractConfirmed {
        let offer = self.offers.iter().find(|offer| offer.offer_id == request.offer_id);
        let mut terms = terms_of(offer.expect("`refusal` has found the offer"));
        if self.is_customer(&request.home_id, request.time) {
            // Whoever stays comes from nobody else.
            terms.switching_discount = 0;
        }
        let start = Day::containing(begins(request.time));
        let end_time = match terms.duration_months {
            0 => 0,
            months => start.plus_months(months).start().time(),
        };
        let contract = ContractConfirmed {
            run: self.run,
            contract_id: contract_id(&request.offer_id, &request.home_id),
            home_id: request.home_id.clone(),
            home_region: request.home_region.clone(),
            provider_id: self.provider.id.clone(),
            provider_region: self.provider.region.name().into(),
            offer_id: request.offer_id.clone(),
            reason: request.reason,
            accepted_time: request.time,
            start_time: start.start().time(),
            end_time,
            terms: Some(terms),
        };
        self.remember(&contract);
        contract
    }

    fn remember(&mut self, contract: &ContractConfirmed) {
        let customer = Customer {
            contract_id: contract.contract_id.clone(),
            start_time: contract.start_time,
            end_time: contract.end_time,
        };
        if self.customers.insert(contract.home_id.clone(), customer).is_none() {
            self.moved(contract.accepted_time, 1);
        }
    }

    /// Below its share it gets cheaper, above it dearer.
    fn follow_share(&mut self) {
        let today = self.made_on();
        let open = self.moves.split_off(&today.previous());
        self.settled += std::mem::replace(&mut self.moves, open).into_values().sum::<i64>();
        let homes = self.costs.homes(today);
        if homes == 0 {
            return;
        }
        let share = self.settled as f64 / f64::from(homes) * 100.0;
        let lowest = micro(self.provider.margin_floor) - micro(self.provider.margin);
        let step = if share < self.provider.market_share_target_pct { -LEVEL_STEP } else { LEVEL_STEP };
        self.level = (self.level + step).clamp(lowest, HIGHEST_LEVEL);
    }

    fn price(&self, time: i64, valid_from: i64, valid_until: i64) -> ContractOffered {
        let [day, night, noon] = self.costs.mean(self.made_on());
        let margin = micro(self.provider.margin) + self.level;
        let mut offer = ContractOffered {
            run: self.run,
            time,
            offer_id: format!("{}_{}", self.provider.id, Day::containing(valid_from)),
            provider_id: self.provider.id.clone(),
            provider_region: self.provider.region.name().into(),
            contract_type: ContractType::Fixed.into(),
            yearly_fee: nano(self.provider.yearly_fee),
            minimum_monthly_kwh: self.provider.minimum_monthly_kwh,
            switching_discount: nano(self.provider.switching_discount),
            duration_months: self.provider.duration_months,
            valid_from,
            valid_until,
            margin_level: self.level,
            ..ContractOffered::default()
        };
        let fixed = |offer: &mut ContractOffered, day: i64, night: i64, feed_in: i64| {
            offer.day_price = rounded(day);
            offer.night_price = rounded(night);
            offer.feed_in_day = rounded(feed_in.max(0));
            offer.feed_in_night = rounded(feed_in.max(0));
        };
        match self.provider.strategy {
            Strategy::Steady => fixed(&mut offer, day + margin, night + margin, noon - margin),
            Strategy::Night => fixed(&mut offer, day + margin * 2, night + margin / 4, noon - margin),
            Strategy::Solar => {
                fixed(&mut offer, day + margin * 3 / 2, night + margin * 3 / 2, noon - margin / 4)
            }
            Strategy::Peak | Strategy::Discount => {
                offer.contract_type = ContractType::Dynamic.into();
                offer.markup = rounded(margin);
                offer.markdown = rounded(margin * 2 / 3);
            }
        }
        offer
    }
}

impl Costs {
    fn add(&mut self, prices: &DayPrices, first: Day) {
        let mut surprise = Kinds::default();
        for (index, price) in prices.quarters.iter().enumerate() {
            let wall = prices.day.wall_quarter(index);
            surprise.add(wall, price - expected_price(prices.day, wall));
        }
        self.days.insert(prices.day, Known { surprise: surprise.means(), homes: prices.homes });
        if self.days.len() > KEPT_DAYS {
            self.days.pop_first();
        }
        self.expected.get_or_insert_with(|| expected_year(first));
    }

    fn homes(&self, today: Day) -> u32 {
        self.days.get(&today).map_or(0, |day| day.homes)
    }

    fn mean(&self, today: Day) -> [i64; 3] {
        let lately = || self.days.range(..=today).rev().take(COST_DAYS).map(|(_, day)| day.surprise);
        let days = lately().count().max(1) as i64;
        let expected = self.expected.unwrap_or_default();
        [0, 1, 2].map(|kind| expected[kind] + lately().map(|day| day[kind]).sum::<i64>() / days)
    }
}

/// Sums of prices in T1, in T2, and at noon.
#[derive(Debug, Default)]
struct Kinds([(i64, i64); 3]);

impl Kinds {
    fn add(&mut self, wall_quarter: usize, price: i64) {
        // By the clock alone, though weekends have no T1 in Flanders: so every day has all kinds.
        let by_day = (28..88).contains(&wall_quarter);
        let noon = (44..64).contains(&wall_quarter);
        for kind in [Some(usize::from(!by_day)), noon.then_some(2)].into_iter().flatten() {
            self.0[kind].0 += price;
            self.0[kind].1 += 1;
        }
    }

    fn means(&self) -> [i64; 3] {
        self.0.map(|(sum, count)| sum / count.max(1))
    }
}

/// What the coming year is expected to cost, from every fifth day; noon from the sunny half of the year.
fn expected_year(first: Day) -> [i64; 3] {
    let (mut year, mut sunny) = (Kinds::default(), Kinds::default());
    for day in (0..73).map(|step| first.plus(step * 5)) {
        for wall in 0..96 {
            let price = expected_price(day, wall);
            year.add(wall, price);
            if (4..10).contains(&day.month().month) {
                sunny.add(wall, price);
            }
        }
    }
    let ([day, night, _], [.., noon]) = (year.means(), sunny.means());
    [day, night, noon]
}

fn micro(euro: f64) -> i64 {
    libm::round(euro * 1e6) as i64
}

fn nano(euro: f64) -> i64 {
    libm::round(euro * 1e9) as i64
}

/// To a hundredth of a cent per kWh.
fn rounded(price: i64) -> i64 {
    price.div_euclid(100) * 100
}

/// Days whose spot prices make the cost.
const COST_DAYS: usize = 28;
/// Days whose prices are kept, for a provider that is some days behind.
const KEPT_DAYS: usize = COST_DAYS + 14;
/// Days after which an offer that waited for prices is not worth making.
const PATIENCE_DAYS: i64 = 2;
/// Offers before it that an offer carries: those of today and yesterday when tomorrow's is made.
const EARLIER: usize = 2;
/// A twentieth of a cent a day, micro-euro per kWh.
const LEVEL_STEP: i64 = 500;
/// Two cents above the aim, micro-euro per kWh.
const HIGHEST_LEVEL: i64 = 20_000;
/// Days of offers that acceptances of homes that lag may still name.
const KEPT_OFFERS: usize = 64;

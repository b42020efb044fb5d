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

use crate::contract::{begins, terms_of};
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
    homes: u32,
    /// The first day without an offer.
    next: Day,
    offers: VecDeque<ContractOffered>,
    /// Offers from before a restart are not all known.
    restarted: bool,
    customers: BTreeMap<String, Customer>,
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
    surprises: BTreeMap<Day, [i64; 3]>,
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
            homes: 0,
            next: Day::containing(start_time),
            offers: VecDeque::new(),
            restarted: false,
            customers: BTreeMap::new(),
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
            self.homes = self.homes.max(prices.homes);
        }
        Ok(())
    }

    /// A home leaves one contract for another, perhaps one of ours for someone else's.
    pub fn on_switched(&mut self, event: &ContractSwitched) {
        self.release(&event.home_id, &event.from_contract_id);
    }

    /// A contract ran out, perhaps one of ours.
    pub fn on_expired(&mut self, event: &ContractExpired) {
        self.release(&event.home_id, &event.contract_id);
    }

    fn release(&mut self, home_id: &str, contract_id: &str) {
        if self.customers.get(home_id).is_some_and(|customer| customer.contract_id == contract_id) {
            self.customers.remove(home_id);
        }
    }

    /// Takes up a restarted provider: an offer it has published.
    pub fn restore_offer(&mut self, offer: &ContractOffered) {
        if offer.run == self.run && offer.provider_id == self.provider.id {
            let until = Day::containing(offer.valid_until);
            if until > self.next {
                (self.next, self.level) = (until, offer.margin_level);
            }
            self.restarted = true;
            self.offers.push_back(offer.clone());
        }
    }

    /// Takes up a restarted provider: a contract it has confirmed, in any order and however often. Whoever is a customer
    /// no more leaves with the contract that came after.
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
        held.contracts.iter().for_each(|contract| self.restore_contract(contract));
        let newest = held.contracts.last();
        if newest.is_some_and(|newest| newest.run == self.run && newest.provider_id != self.provider.id) {
            self.customers.remove(&held.home_id);
        }
    }

    /// Every offer that is due: at the start one for the first two days, then at each midnight one for the day after.
    /// Nothing before the first prices are known.
    pub fn advance(&mut self, time: i64) -> Vec<ContractOffered> {
        let mut due = Vec::new();
        if !self.costs.is_known() || time < self.start_time {
            return due;
        }
        let first = Day::containing(self.start_time);
        while self.next == first || self.next.previous().start().time() <= time {
            let begins_now = self.next == first;
            let valid_from = if begins_now { self.start_time } else { self.next.start().time() };
            let until = if begins_now { self.next.plus(2) } else { self.next.next() };
            let published = if begins_now { self.start_time } else { self.next.previous().start().time() };
            self.follow_share();
            let offer = self.price(published, valid_from, until.start().time());
            self.offers.push_back(offer.clone());
            if self.offers.len() > KEPT_OFFERS {
                self.offers.pop_front();
            }
            due.push(offer);
            self.next = until;
        }
        let now = Day::containing(time).start().time();
        self.customers.retain(|_, customer| customer.end_time == 0 || customer.end_time > now);
        due
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
        let known = self.customers.get(&request.home_id);
        if request.reason() == ContractReason::Switch
            && known.is_some_and(|known| known.end_time > request.time)
        {
            let detail = format!("{} is a customer of {} already.", request.home_id, self.provider.id);
            return Some((RejectReason::AlreadyCustomer, detail));
        }
        None
    }

    fn confirm(&mut self, request: &AcceptOfferRequest) -> ContractConfirmed {
        let offer = self.offers.iter().find(|offer| offer.offer_id == request.offer_id);
        let terms = terms_of(offer.expect("`refusal` has found the offer"));
        let start = Day::containing(begins(request.time));
        let end_time = match terms.duration_months {
            0 => 0,
            months => start.plus_months(months).start().time(),
        };
        let contract = ContractConfirmed {
            run: self.run,
            contract_id: format!("{}_{}", request.offer_id, request.home_id),
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
        self.customers.insert(contract.home_id.clone(), customer);
    }

    /// Below its share it gets cheaper, above it dearer.
    fn follow_share(&mut self) {
        if self.homes == 0 {
            return;
        }
        let share = self.customers.len() as f64 / f64::from(self.homes) * 100.0;
        let lowest = micro(self.provider.margin_floor) - micro(self.provider.margin);
        let step = if share < self.provider.market_share_target_pct { -LEVEL_STEP } else { LEVEL_STEP };
        self.level = (self.level + step).clamp(lowest, HIGHEST_LEVEL);
    }

    fn price(&self, time: i64, valid_from: i64, valid_until: i64) -> ContractOffered {
        let [day, night, noon] = self.costs.mean();
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
        self.surprises.insert(prices.day, surprise.means());
        if self.surprises.len() > COST_DAYS {
            self.surprises.pop_first();
        }
        self.expected.get_or_insert_with(|| expected_year(first));
    }

    fn is_known(&self) -> bool {
        self.expected.is_some()
    }

    fn mean(&self) -> [i64; 3] {
        let days = self.surprises.len().max(1) as i64;
        let expected = self.expected.unwrap_or_default();
        [0, 1, 2]
            .map(|kind| expected[kind] + self.surprises.values().map(|day| day[kind]).sum::<i64>() / days)
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

/// To a tenth of a cent per kWh's hundredth: 0.0001 €.
fn rounded(price: i64) -> i64 {
    price.div_euclid(100) * 100
}

/// Days whose spot prices make the cost.
const COST_DAYS: usize = 28;
/// A twentieth of a cent a day, micro-euro per kWh.
const LEVEL_STEP: i64 = 500;
/// Two cents above the aim, micro-euro per kWh.
const HIGHEST_LEVEL: i64 = 20_000;
/// Days of offers that acceptances of homes that lag may still name.
const KEPT_OFFERS: usize = 64;

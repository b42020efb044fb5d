//! One home over time: it measures, trades, looks at offers and signs contracts.
//!
//! Drive it so: hand what arrives for all homes to [`Shared`] and what concerns this home to `on_accept_answer` and
//! `on_confirmed`; then call `advance` with the newest tick's time, handle what it emits in order, and call it again when
//! what it waits for has come. It computes a quarter-hour only when that day's prices are held and any acceptance that
//! starts by then has been answered, so nothing it does depends on how fast messages are.

use std::sync::Arc;

use cortexiq_proto::accept_offer_result::Answer;
use cortexiq_proto::{
    AcceptOfferRequest, AcceptOfferResult, ContractConfirmed, ContractExpired, ContractOffered,
    ContractReason, ContractSigned, ContractSwitched, ContractType, ContractsHeld, HomeCheckpointed,
    HomeMeasured, SpotPriceUpdated,
};

use crate::bill::discount_left;
use crate::contract::{Contract, Contracts, Deals, InForce, begins, prices, spot_terms};
use crate::environment::{Environment, PlaceDay};
use crate::home::Home;
use crate::offer::{Chooser, OfferBook, SWITCH_PAUSE_DAYS, SWITCH_THRESHOLD, best};
use crate::prices::{BadPrices, DayPrices, PriceBook};
use crate::profile::Profile;
use crate::region::Region;
use crate::state::{Dynamic, HomeState, Inputs, Model, Reading};
use crate::time::{Day, Quarter};
use crate::trade::Trade;

/// What all homes of a thread share.
#[derive(Debug)]
pub struct Shared {
    environment: Environment,
    /// For expectations: weather of no run.
    average: Environment,
    prices: PriceBook,
    offers: OfferBook,
    deals: Deals,
}

impl Shared {
    /// The world of a seed, without prices and offers.
    pub fn new(seed: u64) -> Self {
        Self {
            environment: Environment::new(seed),
            average: Environment::new(AVERAGE_SEED),
            prices: PriceBook::default(),
            offers: OfferBook::default(),
            deals: Deals::default(),
        }
    }

    /// Takes a day's prices; says which day when they were new.
    pub fn on_prices(&mut self, event: &SpotPriceUpdated) -> Result<Option<Day>, BadPrices> {
        self.prices.on_prices(event)
    }

    /// Takes an offer.
    pub fn on_offer(&mut self, offer: ContractOffered) {
        self.offers.on_offer(offer);
    }

    /// Lets go of prices of days that every home has left behind.
    pub fn forget_before(&mut self, day: Day) {
        self.prices.forget_before(day);
    }

    /// The newest day with prices.
    pub fn newest_prices(&self) -> Option<Day> {
        self.prices.newest()
    }
}

/// What a home wants its shell to do.
#[derive(Debug, Clone, PartialEq)]
pub enum HomeEvent {
    /// Publish `reading.measured(run, home_id)` on `home.measured`.
    Measured(Reading),
    /// Publish `trade.traded(run, home_id)` on `home.traded`.
    Traded(Trade),
    /// Publish `held`; when the mesh has it, call the provider's `accept_offer` and hand the answer to
    /// `on_accept_answer`. Call again while the answer is unknown: it is the same for every repetition.
    Accept {
        /// Whom to call.
        provider_id: String,
        /// With what.
        request: AcceptOfferRequest,
        /// What a home that restarts before the answer has to know.
        held: ContractsHeld,
    },
    /// Publish on `home.contract.held`.
    Held(ContractsHeld),
    /// Publish on `home.contract.signed`.
    Signed(ContractSigned),
    /// Publish on `home.contract.switched`.
    Switched(ContractSwitched),
    /// Publish on `home.contract.expired`.
    Expired(ContractExpired),
}

/// Why a home has stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait {
    /// Everything that has passed is computed.
    Time,
    /// The prices of this day are missing.
    Prices(Day),
    /// A provider has not answered.
    Answer {
        /// The provider.
        provider_id: String,
        /// The offer that was accepted.
        offer_id: String,
    },
}

/// A home over time. Name, meters and address are nothing to it: there are many homes, and each is a few hundred bytes.
#[derive(Debug, Clone)]
pub struct HomeAgent {
    id: Arc<str>,
    model: Model,
    run: u64,
    next: Quarter,
    /// The run's first day.
    first: Day,
    state: HomeState,
    contracts: Contracts,
    profile: Option<Profile>,
    in_force: Option<InForce>,
    today: Option<Today>,
    pending: Option<Box<Pending>>,
    /// The day of the last look, and the providers that refused since.
    looked: Option<Day>,
    refused: Vec<String>,
}

#[derive(Debug, Clone)]
struct Today {
    place: Arc<PlaceDay>,
    prices: Arc<DayPrices>,
}

#[derive(Debug, Clone)]
struct Pending {
    request: AcceptOfferRequest,
    provider_id: String,
    start_time: i64,
    saving: i64,
}

impl HomeAgent {
    /// A home at the beginning of a run.
    pub fn new(home: &Home, seed: u64, run: u64, start_time: i64) -> Self {
        let model = Model::new(home, seed);
        let next = Quarter::from(start_time);
        Self {
            id: home.id.as_str().into(),
            state: model.initial(next.day().month()),
            contracts: Contracts::new(home.address.region, start_time),
            model,
            run,
            next,
            first: Day::containing(start_time),
            profile: None,
            in_force: None,
            today: None,
            pending: None,
            looked: None,
            refused: Vec::new(),
        }
    }

    /// Takes up a restarted home after a measured quarter-hour. Its contracts follow by `restore_contract`.
    pub fn restore(&mut self, last: &HomeMeasured) {
        if last.run == self.run && !last.provisional && last.time >= self.next.time() {
            self.next = Quarter::containing(last.time).next();
            self.state = HomeState::restore(last);
            (self.today, self.in_force) = (None, None);
        }
    }

    /// Takes up a restarted home where it stood at midnight. Its decisions follow by `restore_held`.
    pub fn restore_checkpoint(&mut self, checkpoint: &HomeCheckpointed) {
        let Some(last) = checkpoint.measured.as_ref().filter(|_| checkpoint.run == self.run) else { return };
        self.restore(last);
        if self.next.time() == checkpoint.time {
            // The running month is that of the last quarter-hour; the next one may begin another.
            let month = Quarter::containing(last.time).day().month();
            self.profile = Profile::restore(checkpoint, month);
        }
    }

    /// Takes up what a restarted home had decided; gives the acceptance that it has to repeat.
    pub fn restore_held(&mut self, held: &ContractsHeld, shared: &mut Shared) -> Option<HomeEvent> {
        if held.run != self.run || *held.home_id != *self.id {
            return None;
        }
        held.contracts.iter().for_each(|contract| self.restore_contract(contract, shared));
        self.looked = Some(Day::containing(held.time));
        let request = held.asking.clone()?;
        let provider_id = held.asking_provider_id.clone();
        self.pending = Some(Box::new(Pending {
            start_time: begins(request.time),
            request: request.clone(),
            provider_id: provider_id.clone(),
            saving: held.projected_savings,
        }));
        Some(HomeEvent::Accept { provider_id, request, held: held.clone() })
    }

    /// Adds a contract from before a restart, without telling anyone again.
    pub fn restore_contract(&mut self, confirmed: &ContractConfirmed, shared: &mut Shared) {
        if let Some(contract) = shared.deals.contract(confirmed) {
            self.contracts.add(contract);
            self.in_force = None;
        }
    }

    /// What a restarted home needs, at midnight after the day's last quarter-hour.
    pub fn checkpoint(&self, last: HomeMeasured) -> HomeCheckpointed {
        let mut checkpoint = HomeCheckpointed {
            run: self.run,
            home_id: self.id.to_string(),
            time: self.next.time(),
            measured: Some(last),
            ..HomeCheckpointed::default()
        };
        if let Some(profile) = &self.profile {
            profile.save(&mut checkpoint);
        }
        checkpoint
    }

    fn held(&self, time: i64) -> ContractsHeld {
        ContractsHeld {
            run: self.run,
            home_id: self.id.to_string(),
            time,
            contracts: self
                .contracts
                .recent(self.next.time())
                .iter()
                .map(|known| self.confirmed(known))
                .collect(),
            asking: self.pending.as_ref().map(|pending| pending.request.clone()),
            asking_provider_id: self
                .pending
                .as_ref()
                .map_or_else(String::new, |pending| pending.provider_id.clone()),
            projected_savings: self.pending.as_ref().map_or(0, |pending| pending.saving),
        }
    }

    fn confirmed(&self, contract: &Contract) -> ContractConfirmed {
        contract.confirmed(self.run, &self.id, self.region())
    }

    fn region(&self) -> Region {
        self.model.place().region()
    }

    /// Who it is.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// The first quarter-hour that is not computed.
    pub fn next(&self) -> Quarter {
        self.next
    }

    /// Its contracts.
    pub fn contracts(&self) -> &Contracts {
        &self.contracts
    }

    /// Its state after the last computed quarter-hour.
    pub fn state(&self) -> &HomeState {
        &self.state
    }

    /// Computes every quarter-hour that has ended by `time`, as far as prices and answers allow.
    pub fn advance(&mut self, time: i64, shared: &mut Shared, emit: &mut impl FnMut(HomeEvent)) -> Wait {
        while self.next.next().time() <= time {
            if let Some(wait) = self.missing(shared) {
                return wait;
            }
            self.look(shared, emit);
            self.refresh_contract(emit);
            let reading = self.compute();
            self.finish(reading, emit);
        }
        Wait::Time
    }

    /// The running quarter-hour as it will be, for display; nothing advances.
    pub fn provisional(&self, shared: &mut Shared) -> Option<HomeMeasured> {
        let mut ahead = self.clone();
        if ahead.missing(shared).is_some() {
            return None;
        }
        ahead.refresh_contract(&mut |_| {});
        let mut measured = ahead.compute().measured(self.run, &self.id);
        let now = self.state.registers();
        (measured.import_t1_wh, measured.import_t2_wh) = (now.import_wh[0], now.import_wh[1]);
        (measured.export_t1_wh, measured.export_t2_wh) = (now.export_wh[0], now.export_wh[1]);
        (measured.production_wh, measured.consumption_wh) = (now.production_wh, now.consumption_wh);
        measured.provisional = true;
        Some(measured)
    }

    /// The provider's answer to an `Accept`.
    pub fn on_accept_answer(
        &mut self,
        result: &AcceptOfferResult,
        shared: &mut Shared,
        emit: &mut impl FnMut(HomeEvent),
    ) {
        match &result.answer {
            Some(Answer::Confirmed(confirmed)) => {
                self.on_confirmed(confirmed, shared, emit);
            }
            Some(Answer::Rejected(rejected)) => self.on_refused(&rejected.offer_id, shared, emit),
            None => {}
        }
    }

    /// The provider refused, or certainly never heard of the acceptance: the next best offer is tried.
    pub fn on_refused(&mut self, offer_id: &str, shared: &mut Shared, emit: &mut impl FnMut(HomeEvent)) {
        if let Some(pending) = self.pending.take_if(|pending| pending.request.offer_id == offer_id) {
            self.refused.push(pending.provider_id);
            if self.refused.len() < TRIES_A_DAY {
                self.choose(shared, emit);
            }
            if self.pending.is_none() {
                emit(HomeEvent::Held(self.held(pending.request.time)));
            }
        }
    }

    /// A confirmation, by answer or by event; only the first of a contract counts. False when nothing has changed: the
    /// contract is known, without terms, of another home or run, or would begin before what is computed already.
    pub fn on_confirmed(
        &mut self,
        confirmed: &ContractConfirmed,
        shared: &mut Shared,
        emit: &mut impl FnMut(HomeEvent),
    ) -> bool {
        let ours = confirmed.run == self.run && *confirmed.home_id == *self.id;
        if !ours || confirmed.start_time < self.next.time() {
            return false;
        }
        let before = self.contracts.at(confirmed.start_time - 1).contract;
        let Some(contract) = shared.deals.contract(confirmed) else { return false };
        if !self.contracts.add(contract) {
            return false;
        }
        self.contracts.forget_before(self.next.time());
        self.in_force = None;
        let pending = self.pending.take_if(|pending| pending.request.offer_id == confirmed.offer_id);
        let saving = pending.map_or(0, |pending| pending.saving);
        emit(self.announcement(confirmed, &before, saving));
        emit(HomeEvent::Held(self.held(confirmed.accepted_time)));
        true
    }

    fn announcement(&self, to: &ContractConfirmed, from: &Contract, saving: i64) -> HomeEvent {
        if to.reason() == ContractReason::New {
            return HomeEvent::Signed(ContractSigned {
                run: self.run,
                time: to.accepted_time,
                home_id: self.id.to_string(),
                contract_id: to.contract_id.clone(),
                provider_id: to.provider_id.clone(),
                offer_id: to.offer_id.clone(),
                start_time: to.start_time,
                end_time: to.end_time,
                terms: to.terms,
            });
        }
        HomeEvent::Switched(ContractSwitched {
            run: self.run,
            time: to.accepted_time,
            home_id: self.id.to_string(),
            from_contract_id: from.deal.contract_id(&self.id),
            from_provider_id: from.deal.provider_id.clone(),
            to_contract_id: to.contract_id.clone(),
            to_provider_id: to.provider_id.clone(),
            offer_id: to.offer_id.clone(),
            start_time: to.start_time,
            projected_savings: saving,
            switching_discount: to.terms.as_ref().map_or(0, |terms| terms.switching_discount),
            days_before_expiry: ((from.end_time - to.start_time).max(0) / 86_400) as u32,
            reason: to.reason,
        })
    }

    /// What stands between the home and its next quarter-hour.
    fn missing(&mut self, shared: &mut Shared) -> Option<Wait> {
        if let Some(pending) = &self.pending
            && pending.start_time <= self.next.time()
        {
            let (provider_id, offer_id) = (pending.provider_id.clone(), pending.request.offer_id.clone());
            return Some(Wait::Answer { provider_id, offer_id });
        }
        if self.today.as_ref().is_none_or(|today| today.place.index(self.next).is_none()) {
            let day = self.next.day();
            let Some(prices) = shared.prices.day(day) else { return Some(Wait::Prices(day)) };
            let place = shared.environment.day(self.model.place(), day);
            self.today = Some(Today { place, prices: Arc::clone(prices) });
        }
        None
    }

    fn today(&self) -> (&Today, usize) {
        let today = self.today.as_ref().expect("`missing` has found the day");
        (today, today.place.index(self.next).expect("`missing` has found the day"))
    }

    /// Once a day, at the home's own hour, from the second day on.
    fn look(&mut self, shared: &mut Shared, emit: &mut impl FnMut(HomeEvent)) {
        let (today, index) = self.today();
        let day = today.place.day;
        let own_quarter = FIRST_LOOK + (self.model.key() % LOOK_QUARTERS) as usize;
        if self.looked == Some(day) || usize::from(today.place.quarters[index].wall_quarter) < own_quarter {
            return;
        }
        if day == self.first {
            // Offers of the first day may still be on their way.
            return;
        }
        self.looked = Some(day);
        self.refused.clear();
        if self.pending.is_none() {
            self.choose(shared, emit);
        }
    }

    fn choose(&mut self, shared: &mut Shared, emit: &mut impl FnMut(HomeEvent)) {
        let time = self.next.time();
        let day = self.next.day();
        let start_time = begins(time);
        let newest = self.contracts.newest();
        if newest.start_time > time {
            return;
        }
        let reason = match self.contracts.last_acceptance() {
            None => ContractReason::New,
            Some(_) if newest.end_time != 0 && newest.end_time <= start_time => ContractReason::Renewal,
            Some(last) if day.since(Day::containing(last)) >= SWITCH_PAUSE_DAYS => ContractReason::Switch,
            Some(_) => return,
        };
        if self.profile.is_none() {
            self.profile = Some(Profile::expected(&self.model, day, &mut shared.average));
        }
        let year = self.profile.as_ref().expect("made above").year();
        let terms = &newest.deal.terms;
        let stays_at = match reason {
            ContractReason::Switch => {
                year.cost(terms) - discount_left(terms, newest.start_time, Day::containing(start_time))
            }
            // A contract that has run to its end leaves only the spot tariff to compare with.
            _ => year.cost(&spot_terms()),
        };
        let stays = (reason == ContractReason::Switch).then_some(&newest.deal.provider_id);
        let offers = shared
            .offers
            .valid_at(time)
            .filter(|offer| stays != Some(&offer.provider_id) && !self.refused.contains(&offer.provider_id));
        let chooser = Chooser {
            home: self.model.key(),
            is_flexible: self.model.is_flexible(),
            year: &year,
            stays_at,
            customer_of: if reason == ContractReason::Renewal { &newest.deal.provider_id } else { "" },
        };
        let Some(choice) = best(chooser, offers) else { return };
        let least = match reason {
            // The spot tariff is nobody's choice.
            ContractReason::New => i64::MIN,
            ContractReason::Switch => SWITCH_THRESHOLD,
            _ => 0,
        };
        if choice.saving <= least {
            return;
        }
        let request = AcceptOfferRequest {
            run: self.run,
            home_id: self.id.to_string(),
            home_region: self.region().name().into(),
            offer_id: choice.offer.offer_id.clone(),
            time,
            reason: reason.into(),
        };
        let provider_id = choice.offer.provider_id.clone();
        self.pending = Some(Box::new(Pending {
            request: request.clone(),
            provider_id: provider_id.clone(),
            start_time,
            saving: choice.saving,
        }));
        emit(HomeEvent::Accept { provider_id, request, held: self.held(time) });
    }

    fn refresh_contract(&mut self, emit: &mut impl FnMut(HomeEvent)) {
        let time = self.next.time();
        if self.in_force.as_ref().is_some_and(|held| time < held.until) {
            return;
        }
        let ended = self.in_force.take().map(|held| held.contract);
        let now = self.contracts.at(time);
        if let Some(ended) = ended
            && ended.end_time == time
        {
            emit(HomeEvent::Expired(ContractExpired {
                run: self.run,
                time,
                home_id: self.id.to_string(),
                contract_id: ended.deal.contract_id(&self.id),
                provider_id: ended.deal.provider_id.clone(),
                start_time: ended.start_time,
                end_time: ended.end_time,
            }));
        }
        self.in_force = Some(now);
    }

    fn compute(&mut self) -> Reading {
        let today = self.today.as_ref().expect("`missing` has found the day");
        let held = self.in_force.as_ref().expect("`refresh_contract` has found the contract");
        quarter_hour(&self.model, &mut self.state, self.next, &today.place, &today.prices, held)
    }

    fn finish(&mut self, reading: Reading, emit: &mut impl FnMut(HomeEvent)) {
        let (today, index) = self.today();
        let (month, spot) = (today.place.month, today.prices.quarters[index]);
        if let Some(profile) = &mut self.profile {
            profile.add(&reading, month, spot);
        }
        emit(HomeEvent::Measured(reading));
        if self.next.ends_hour() {
            let held = self.in_force.as_ref().expect("`refresh_contract` has found the contract");
            emit(HomeEvent::Traded(held.trade(self.next.hour_time(), reading.hour)));
        }
        self.next = self.next.next();
    }
}

/// One quarter-hour of a home under the contract in force: what agents compute and `verify` computes again.
pub(crate) fn quarter_hour(
    model: &Model,
    state: &mut HomeState,
    quarter: Quarter,
    place: &PlaceDay,
    day: &DayPrices,
    held: &InForce,
) -> Reading {
    let index = place.index(quarter).expect("the place's day is the quarter-hour's");
    let conditions = &place.quarters[index];
    let spot = day.quarters[index];
    let terms = &held.contract.deal.terms;
    let inputs = Inputs {
        quarter,
        month: place.month,
        conditions,
        prices: prices(terms, conditions.tariff, spot),
        left: held.left.as_ref().map(|left| prices(&left.terms, conditions.tariff, spot)),
        dynamic: (terms.contract_type() == ContractType::Dynamic).then(|| Dynamic {
            mode: day.plan[index],
            day: &day.quarters,
            index,
        }),
    };
    state.step(model, &inputs)
}

/// Homes look between 06:00 and 22:00.
const FIRST_LOOK: usize = 24;
const LOOK_QUARTERS: u64 = 64;
/// A home that was refused so often waits for the next day.
const TRIES_A_DAY: usize = 3;
/// Of the weather that expectations are made with; any number does.
const AVERAGE_SEED: u64 = 0x00a5_e4a6;

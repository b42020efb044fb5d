//! The providers of a region in one run, without a network.

use cortexiq_domain::prices::BadPrices;
use cortexiq_domain::provider::Provider;
use cortexiq_domain::provider_agent::{Acceptance, ProviderAgent};
use cortexiq_proto::{
    AcceptOfferRequest, ContractConfirmed, ContractExpired, ContractOffered, ContractSwitched, ContractsHeld,
    ProviderInitialized, SpotPriceUpdated, TimeAdvanced,
};

/// The providers of a region in one run.
#[derive(Debug)]
pub struct Book {
    run: u64,
    time: i64,
    agents: Vec<ProviderAgent>,
}

/// The run that an acceptance belongs to has not begun here: its caller asks again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("run {asked} has not begun here; the present run is {present}")]
pub struct NotYet {
    /// The run of the acceptance.
    pub asked: u64,
    /// The run of this book.
    pub present: u64,
}

impl Book {
    /// The providers at the beginning of the run that a tick belongs to.
    pub fn new(tick: &TimeAdvanced, providers: &[Provider]) -> Self {
        let agent = |provider: &Provider| ProviderAgent::new(provider.clone(), tick.run, tick.start_time);
        Self { run: tick.run, time: tick.simulation_time, agents: providers.iter().map(agent).collect() }
    }

    /// The run.
    pub fn run(&self) -> u64 {
        self.run
    }

    /// How the providers introduce themselves.
    pub fn introductions(&self) -> impl Iterator<Item = ProviderInitialized> {
        self.agents.iter().map(ProviderAgent::initialized)
    }

    /// Takes up a provider that has published this offer before this process began.
    pub fn restore(&mut self, offer: &ContractOffered) {
        self.agents.iter_mut().for_each(|agent| agent.restore_offer(offer));
    }

    /// A tick of this run.
    pub fn on_time(&mut self, time: i64) {
        self.time = self.time.max(time);
    }

    /// The prices of a day.
    pub fn on_prices(&mut self, event: &SpotPriceUpdated) -> Result<(), BadPrices> {
        self.agents.iter_mut().try_for_each(|agent| agent.on_prices(event))
    }

    /// Takes up providers that have confirmed this contract before this process began.
    pub fn restore_confirmed(&mut self, contract: &ContractConfirmed) {
        self.agents.iter_mut().for_each(|agent| agent.restore_contract(contract));
    }

    /// Takes up providers with what a home had decided before this process began.
    pub fn restore_held(&mut self, held: &ContractsHeld) {
        if held.run == self.run {
            self.agents.iter_mut().for_each(|agent| agent.restore_held(held));
        }
    }

    /// A home has left one contract for another.
    pub fn on_switched(&mut self, event: &ContractSwitched) {
        if event.run == self.run {
            self.agents.iter_mut().for_each(|agent| agent.on_switched(event));
        }
    }

    /// A home's contract ran out.
    pub fn on_expired(&mut self, event: &ContractExpired) {
        if event.run == self.run {
            self.agents.iter_mut().for_each(|agent| agent.on_expired(event));
        }
    }

    /// Every offer that is due by the newest tick.
    pub fn due(&mut self) -> Vec<ContractOffered> {
        let time = self.time;
        self.agents.iter_mut().flat_map(|agent| agent.advance(time)).collect()
    }

    /// Simulated seconds by which the slowest provider's next offer is late: it waits for prices.
    pub fn lag(&self) -> i64 {
        self.agents.iter().map(|agent| agent.lag(self.time)).max().unwrap_or(0)
    }

    /// Answers an acceptance for the provider at `index`.
    pub fn accept(&mut self, index: usize, request: &AcceptOfferRequest) -> Result<Acceptance, NotYet> {
        if request.run > self.run {
            return Err(NotYet { asked: request.run, present: self.run });
        }
        Ok(self.agents[index].accept(request))
    }

    /// Homes with a contract of one of these providers.
    pub fn customers(&self) -> usize {
        self.agents.iter().map(ProviderAgent::customers).sum()
    }
}

#[cfg(test)]
mod tests {
    use cortexiq_domain::market::MarketAgent;
    use cortexiq_domain::provider::roster;
    use cortexiq_domain::region::Region;
    use cortexiq_domain::time::Day;
    use cortexiq_proto::ContractReason;
    use cortexiq_proto::accept_offer_result::Answer;

    use super::*;

    fn start() -> i64 {
        "2025-01-01".parse::<Day>().expect("a day").start().time()
    }

    fn book() -> Book {
        let tick =
            TimeAdvanced { run: 7, simulation_time: start(), start_time: start(), ..Default::default() };
        Book::new(&tick, &roster(Region::Brabant, 5))
    }

    fn priced() -> Book {
        let mut book = book();
        for prices in MarketAgent::new(1, 7, start()).advance(start()) {
            book.on_prices(&prices).expect("the market fills its days");
        }
        book
    }

    fn acceptance(offer: &ContractOffered) -> AcceptOfferRequest {
        AcceptOfferRequest {
            run: 7,
            home_id: "ant_001".into(),
            home_region: "antwerp".into(),
            offer_id: offer.offer_id.clone(),
            time: start() + 8 * 3600,
            reason: ContractReason::New.into(),
        }
    }

    #[test]
    fn offers_wait_for_prices_and_come_a_day_ahead() {
        assert!(book().due().is_empty());
        let mut book = priced();
        assert_eq!(book.due().len(), 5);
        assert!(book.due().is_empty(), "once each");
        book.on_time(start() + 86_400 + 60);
        assert!(book.due().is_empty());
        assert_eq!(book.lag(), 60, "offers wait for the prices of the day they are made on");
        let mut market = MarketAgent::new(1, 7, start());
        market.advance(start() + 86_400).iter().for_each(|prices| book.on_prices(prices).expect("right"));
        let next = book.due();
        assert_eq!((next.len(), book.lag()), (5, 0));
        assert!(next.iter().all(|offer| offer.earlier.len() == 1));
        assert!(next.iter().all(|offer| offer.valid_from == start() + 2 * 86_400));
    }

    #[test]
    fn providers_that_come_late_leave_out_what_nobody_can_accept() {
        let mut book = book();
        let days = 100;
        let mut market = MarketAgent::new(1, 7, start());
        let prices = market.advance(start() + days * 86_400);
        prices.iter().for_each(|prices| book.on_prices(prices).expect("right"));
        book.on_time(start() + days * 86_400);
        let offers = book.due();
        // Summer time has begun meanwhile.
        assert!(offers.len() < 5 * 60, "{}", offers.len());
        assert_eq!(
            offers.iter().map(|offer| offer.valid_until).max(),
            Some(start() + (days + 2) * 86_400 - 3600)
        );
        assert_eq!(book.lag(), 0);
    }

    #[test]
    fn an_acceptance_is_answered_alike_however_often_it_comes() {
        let mut book = priced();
        let offers = book.due();
        let first = book.accept(1, &acceptance(&offers[1])).expect("the run is on");
        assert!(matches!(first.result.answer, Some(Answer::Confirmed(_))) && !first.repeated);
        let again = book.accept(1, &acceptance(&offers[1])).expect("the run is on");
        assert_eq!((again.result, again.repeated), (first.result, true));
        assert_eq!(book.customers(), 1);
    }

    #[test]
    fn an_acceptance_of_a_run_that_has_not_begun_is_no_refusal() {
        let mut book = priced();
        let offer = book.due().remove(0);
        let request = AcceptOfferRequest { run: 8, ..acceptance(&offer) };
        assert_eq!(book.accept(0, &request), Err(NotYet { asked: 8, present: 7 }));
    }
}

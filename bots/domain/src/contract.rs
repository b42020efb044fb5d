//! Contracts of one home: what they cost, when they hold, and which one was left for which.
//!
//! Homes that took the same offer share its terms by [`Deals`], so that a contract is a few numbers.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use cortexiq_proto::{ContractConfirmed, ContractOffered, ContractReason, ContractType, Terms};

use crate::region::Region;
use crate::tariff::Tariff;
use crate::time::Day;
use crate::trade::{Hour, Trade};

/// Prices of a quarter-hour, micro-euro per kWh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prices {
    /// For import.
    pub import: i64,
    /// For export; negative when feeding in costs money.
    pub export: i64,
}

/// Prices of a quarter-hour under terms, in a tariff and at a spot price.
pub fn prices(terms: &Terms, tariff: Tariff, spot: i64) -> Prices {
    match (terms.contract_type(), tariff) {
        (ContractType::Fixed, Tariff::T1) => Prices { import: terms.day_price, export: terms.feed_in_day },
        (ContractType::Fixed, Tariff::T2) => {
            Prices { import: terms.night_price, export: terms.feed_in_night }
        }
        _ => Prices { import: spot + terms.markup, export: spot - terms.markdown },
    }
}

/// When a contract begins that is accepted at an instant: 00:00 of the second day after.
pub fn begins(accepted: i64) -> i64 {
    Day::containing(accepted).plus(2).start().time()
}

/// The terms of an offer.
pub fn terms_of(offer: &ContractOffered) -> Terms {
    Terms {
        contract_type: offer.contract_type,
        day_price: offer.day_price,
        night_price: offer.night_price,
        feed_in_day: offer.feed_in_day,
        feed_in_night: offer.feed_in_night,
        markup: offer.markup,
        markdown: offer.markdown,
        yearly_fee: offer.yearly_fee,
        minimum_monthly_kwh: offer.minimum_monthly_kwh,
        switching_discount: offer.switching_discount,
        duration_months: offer.duration_months,
    }
}

/// The terms of a region's spot tariff: what a home pays while it has nothing better.
pub fn spot_terms() -> Terms {
    Terms {
        contract_type: ContractType::Dynamic.into(),
        markup: 45_000,
        markdown: 25_000,
        yearly_fee: 60_000_000_000,
        ..Default::default()
    }
}

/// How a contract is named: after its offer and its home. The spot tariff has no offer.
pub fn contract_id(offer_id: &str, home_id: &str) -> String {
    if offer_id.is_empty() { format!("{home_id}_spot") } else { format!("{offer_id}_{home_id}") }
}

/// What a provider agreed with all homes that took one offer on the same terms.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Deal {
    /// The offer; empty for the spot tariff.
    pub offer_id: String,
    /// Who sells.
    pub provider_id: String,
    /// Where it is at home.
    pub provider_region: String,
    /// What everything costs.
    pub terms: Terms,
    /// A name that is not [`contract_id`]'s.
    contract_id: Option<String>,
}

impl Deal {
    /// The spot tariff of a region, served by its first provider.
    pub fn spot(region: Region) -> &'static Arc<Self> {
        static SPOT: LazyLock<[Arc<Deal>; Region::ALL.len()]> = LazyLock::new(|| {
            Region::ALL.map(|region| {
                Arc::new(Deal {
                    offer_id: String::new(),
                    provider_id: format!("{}_p01", region.prefix()),
                    provider_region: region.name().into(),
                    terms: spot_terms(),
                    contract_id: None,
                })
            })
        });
        &SPOT[region as usize]
    }

    /// The name of a home's contract.
    pub fn contract_id(&self, home_id: &str) -> String {
        self.contract_id.clone().unwrap_or_else(|| contract_id(&self.offer_id, home_id))
    }
}

/// The deals that homes of a thread have made, each held once.
#[derive(Debug, Default)]
pub struct Deals {
    known: HashSet<Arc<Deal>>,
    /// How many there may be before those that no home holds any more are let go.
    most: usize,
}

impl Deals {
    /// A confirmed contract; none when it has come without terms.
    pub fn contract(&mut self, confirmed: &ContractConfirmed) -> Option<Contract> {
        let usual = contract_id(&confirmed.offer_id, &confirmed.home_id);
        let deal = Deal {
            offer_id: confirmed.offer_id.clone(),
            provider_id: confirmed.provider_id.clone(),
            provider_region: confirmed.provider_region.clone(),
            terms: confirmed.terms?,
            contract_id: (confirmed.contract_id != usual).then(|| confirmed.contract_id.clone()),
        };
        Some(Contract {
            deal: self.share(deal),
            reason: confirmed.reason(),
            accepted_time: confirmed.accepted_time,
            start_time: confirmed.start_time,
            end_time: confirmed.end_time,
        })
    }

    fn share(&mut self, deal: Deal) -> Arc<Deal> {
        if let Some(known) = self.known.get(&deal) {
            return Arc::clone(known);
        }
        if self.known.len() >= self.most {
            self.known.retain(|deal| Arc::strong_count(deal) > 1);
            self.most = (2 * self.known.len()).max(LEAST_DEALS);
        }
        let deal = Arc::new(deal);
        self.known.insert(Arc::clone(&deal));
        deal
    }
}

/// A contract of a home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contract {
    /// With whom, and on which terms.
    pub deal: Arc<Deal>,
    /// Why the home took it.
    pub reason: ContractReason,
    /// When the home accepted.
    pub accepted_time: i64,
    /// First instant.
    pub start_time: i64,
    /// First instant after it; 0 when open.
    pub end_time: i64,
}

impl Contract {
    /// The spot tariff from an instant on.
    pub fn spot(region: Region, start_time: i64) -> Self {
        let deal = Arc::clone(Deal::spot(region));
        Self { deal, reason: ContractReason::Spot, accepted_time: start_time, start_time, end_time: 0 }
    }

    /// The contract as providers confirm it.
    pub fn confirmed(&self, run: u64, home_id: &str, region: Region) -> ContractConfirmed {
        ContractConfirmed {
            run,
            contract_id: self.deal.contract_id(home_id),
            home_id: home_id.to_owned(),
            home_region: region.name().into(),
            provider_id: self.deal.provider_id.clone(),
            provider_region: self.deal.provider_region.clone(),
            offer_id: self.deal.offer_id.clone(),
            reason: self.reason.into(),
            accepted_time: self.accepted_time,
            start_time: self.start_time,
            end_time: self.end_time,
            terms: Some(self.deal.terms),
        }
    }

    fn is_called_as(&self, other: &Self) -> bool {
        let (deal, other) = (&self.deal, &other.deal);
        deal.offer_id == other.offer_id && deal.contract_id == other.contract_id
    }
}

/// The contracts of a home in order. Periods never overlap: a contract ends where a later one begins, and where none is
/// in force the spot tariff is.
#[derive(Debug, Clone)]
pub struct Contracts {
    spot: Contract,
    signed: Vec<Contract>,
}

/// What holds at an instant.
#[derive(Debug, Clone)]
pub struct InForce {
    /// The contract.
    pub contract: Contract,
    /// What was left for it; none before the first switch.
    pub left: Option<Arc<Deal>>,
    /// First instant at which something else holds; `i64::MAX` when nothing else is known.
    pub until: i64,
}

impl InForce {
    /// What was traded in a finished hour.
    pub fn trade(&self, time: i64, hour: Hour) -> Trade {
        Trade { time, hour, deal: Arc::clone(&self.contract.deal), left: self.left.clone() }
    }
}

impl Contracts {
    /// Only the spot tariff, from the beginning.
    pub fn new(region: Region, start_time: i64) -> Self {
        Self { spot: Contract::spot(region, start_time), signed: Vec::new() }
    }

    /// Adds a confirmed contract; one that is known already changes nothing. Returns whether it was new.
    pub fn add(&mut self, contract: Contract) -> bool {
        if self.signed.iter().any(|known| known.is_called_as(&contract)) {
            return false;
        }
        let order = |contract: &Contract| (contract.start_time, contract.accepted_time);
        let place = self.signed.partition_point(|known| order(known) <= order(&contract));
        // One is added in weeks: there is no need for room in advance.
        self.signed.reserve_exact(1);
        self.signed.insert(place, contract);
        true
    }

    /// What holds at an instant.
    pub fn at(&self, time: i64) -> InForce {
        let begun = self.begun(time);
        let next = self.signed.get(begun).map_or(i64::MAX, |contract| contract.start_time);
        let Some(last) = begun.checked_sub(1) else {
            return InForce { contract: self.spot.clone(), left: None, until: next };
        };
        let contract = self.signed[last].clone();
        if contract.end_time != 0 && contract.end_time <= time {
            return InForce { contract: self.spot.clone(), left: Some(contract.deal), until: next };
        }
        let before = last.checked_sub(1).map(|before| &self.signed[before]);
        let left = match before {
            Some(before) if before.end_time == 0 || before.end_time >= contract.start_time => before,
            _ => &self.spot,
        };
        let left = Some(Arc::clone(&left.deal));
        let end = if contract.end_time == 0 { i64::MAX } else { contract.end_time };
        InForce { contract, left, until: next.min(end) }
    }

    fn begun(&self, time: i64) -> usize {
        self.signed.partition_point(|contract| contract.start_time <= time)
    }

    /// The contract that begins latest, also when it has not begun; the spot tariff when there is none.
    pub fn newest(&self) -> &Contract {
        self.signed.last().unwrap_or(&self.spot)
    }

    /// When the newest contract was accepted; none before the first.
    pub fn last_acceptance(&self) -> Option<i64> {
        self.signed.iter().map(|contract| contract.accepted_time).max()
    }

    /// What matters at an instant or after it: the contract in force, the two before it and all that will begin.
    pub fn recent(&self, time: i64) -> &[Contract] {
        &self.signed[self.begun(time).saturating_sub(RECENT)..]
    }

    /// Lets go of what does not matter any more: all but [`Self::recent`].
    pub fn forget_before(&mut self, time: i64) {
        self.signed.drain(..self.begun(time).saturating_sub(RECENT));
        self.signed.shrink_to_fit();
    }

    /// All but the spot tariff, in order of their beginning.
    pub fn signed(&self) -> &[Contract] {
        &self.signed
    }
}

/// The contract in force and the two before it.
const RECENT: usize = 3;
/// A day's offers of the three regions' providers are fewer.
const LEAST_DEALS: usize = 64;

#[cfg(test)]
mod tests {
    use cortexiq_proto::{ContractConfirmed, Terms};

    use super::{Contracts, Deals};
    use crate::region::Region;

    fn confirmed(id: &str, start_time: i64, end_time: i64) -> ContractConfirmed {
        ContractConfirmed {
            contract_id: id.into(),
            start_time,
            end_time,
            terms: Some(Terms::default()),
            ..Default::default()
        }
    }

    #[test]
    fn exactly_one_contract_holds_at_any_time() {
        let mut deals = Deals::default();
        let mut contracts = Contracts::new(Region::Antwerp, 0);
        let mut add = |contracts: &mut Contracts, id, start, end| {
            contracts.add(deals.contract(&confirmed(id, start, end)).expect("it has terms"))
        };
        assert!(add(&mut contracts, "b", 200, 300));
        assert!(add(&mut contracts, "a", 100, 250));
        assert!(!add(&mut contracts, "b", 200, 300), "a confirmation that comes twice");
        let holds = |contracts: &Contracts, time| {
            let held = contracts.at(time);
            let name = |deal: &super::Deal| deal.contract_id("ant_001");
            (name(&held.contract.deal), held.left.map(|left| name(&left)), held.until)
        };
        let spot = "ant_001_spot".to_string();
        assert_eq!(holds(&contracts, 99), (spot.clone(), None, 100));
        assert_eq!(holds(&contracts, 100), ("a".into(), Some(spot.clone()), 200));
        assert_eq!(holds(&contracts, 200), ("b".into(), Some("a".into()), 300));
        assert_eq!(holds(&contracts, 300), (spot, Some("b".into()), i64::MAX));
        // What is forgotten was not needed.
        assert!(add(&mut contracts, "c", 400, 0) && add(&mut contracts, "d", 500, 0));
        let before = [500, 600].map(|time| holds(&contracts, time));
        contracts.forget_before(550);
        assert_eq!(contracts.signed().len(), 3);
        assert_eq!([500, 600].map(|time| holds(&contracts, time)), before);
    }

    #[test]
    fn homes_of_an_offer_share_its_terms_and_nobody_keeps_what_is_over() {
        let mut deals = Deals::default();
        let of = |home: &str, offer: &str| ContractConfirmed {
            contract_id: super::contract_id(offer, home),
            home_id: home.into(),
            offer_id: offer.into(),
            ..confirmed("", 100, 0)
        };
        let [one, other] = ["ant_001", "ant_002"].map(|home| deals.contract(&of(home, "o")).expect("terms"));
        assert!(std::sync::Arc::ptr_eq(&one.deal, &other.deal));
        assert_eq!(other.confirmed(0, "ant_002", Region::Antwerp).contract_id, "o_ant_002");
        // A provider that calls its contracts otherwise is taken at its word.
        let foreign = confirmed("mine", 100, 0);
        let contract = deals.contract(&foreign).expect("it has terms");
        let again = contract.confirmed(0, "", Region::Antwerp);
        assert_eq!(ContractConfirmed { home_region: String::new(), ..again }, foreign);
        for number in 0..1000 {
            deals.contract(&of("ant_003", &number.to_string()));
        }
        assert!(deals.known.len() <= super::LEAST_DEALS, "{}", deals.known.len());
        assert!(deals.known.contains(&one.deal));
        assert_eq!(deals.contract(&ContractConfirmed::default()), None, "no terms");
    }
}

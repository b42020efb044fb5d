//! Contracts of one home: what they cost, when they hold, and which one was left for which.

use std::sync::Arc;

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

/// The spot tariff of a home from the beginning, served by the first provider of its region.
pub fn spot_contract(run: u64, home_id: &str, region: Region, start_time: i64) -> ContractConfirmed {
    let provider = format!("{}_p01", region.prefix());
    ContractConfirmed {
        run,
        contract_id: format!("{home_id}_spot"),
        home_id: home_id.to_owned(),
        home_region: region.name().into(),
        provider_id: provider,
        provider_region: region.name().into(),
        offer_id: String::new(),
        reason: ContractReason::Spot.into(),
        accepted_time: start_time,
        start_time,
        end_time: 0,
        terms: Some(spot_terms()),
    }
}

/// The contracts of a home in order. Periods never overlap: a contract ends where a later one begins, and where none is
/// in force the spot tariff is.
#[derive(Debug, Clone)]
pub struct Contracts {
    spot: Arc<ContractConfirmed>,
    signed: Vec<Arc<ContractConfirmed>>,
}

/// What holds at an instant.
#[derive(Debug, Clone)]
pub struct InForce {
    /// The contract.
    pub contract: Arc<ContractConfirmed>,
    /// The contract that was left for it; none before the first switch.
    pub left: Option<Arc<ContractConfirmed>>,
    /// First instant at which something else holds; `i64::MAX` when nothing else is known.
    pub until: i64,
}

impl InForce {
    /// What was traded in a finished hour.
    pub fn trade(&self, time: i64, hour: Hour) -> Trade {
        Trade { time, hour, contract: Arc::clone(&self.contract), left: self.left.clone() }
    }
}

impl Contracts {
    /// Only the spot tariff, from the beginning.
    pub fn new(run: u64, home_id: &str, region: Region, start_time: i64) -> Self {
        Self { spot: Arc::new(spot_contract(run, home_id, region, start_time)), signed: Vec::new() }
    }

    /// Adds a confirmed contract; one that is known already changes nothing. Returns whether it was new.
    pub fn add(&mut self, contract: ContractConfirmed) -> bool {
        if self.signed.iter().any(|known| known.contract_id == contract.contract_id) {
            return false;
        }
        let order = |contract: &ContractConfirmed| (contract.start_time, contract.accepted_time);
        let place = self.signed.partition_point(|known| order(known) <= order(&contract));
        self.signed.insert(place, Arc::new(contract));
        true
    }

    /// What holds at an instant.
    pub fn at(&self, time: i64) -> InForce {
        let begun = self.signed.partition_point(|contract| contract.start_time <= time);
        let next = self.signed.get(begun).map_or(i64::MAX, |contract| contract.start_time);
        let Some(last) = begun.checked_sub(1) else {
            return InForce { contract: Arc::clone(&self.spot), left: None, until: next };
        };
        let contract = &self.signed[last];
        if contract.end_time != 0 && contract.end_time <= time {
            return InForce {
                contract: Arc::clone(&self.spot),
                left: Some(Arc::clone(contract)),
                until: next,
            };
        }
        let before = last.checked_sub(1).map(|before| &self.signed[before]);
        let left = match before {
            Some(before) if before.end_time == 0 || before.end_time >= contract.start_time => before,
            _ => &self.spot,
        };
        let end = if contract.end_time == 0 { i64::MAX } else { contract.end_time };
        InForce { contract: Arc::clone(contract), left: Some(Arc::clone(left)), until: next.min(end) }
    }

    /// The contract that begins latest, also when it has not begun; the spot tariff when there is none.
    pub fn newest(&self) -> &Arc<ContractConfirmed> {
        self.signed.last().unwrap_or(&self.spot)
    }

    /// When the newest contract was accepted; none before the first.
    pub fn last_acceptance(&self) -> Option<i64> {
        self.signed.iter().map(|contract| contract.accepted_time).max()
    }

    /// What matters at an instant or after it: the contract in force, the two before it and all that will begin.
    pub fn recent(&self, time: i64) -> impl Iterator<Item = &ContractConfirmed> {
        let begun = self.signed.partition_point(|contract| contract.start_time <= time);
        self.signed[begun.saturating_sub(3)..].iter().map(|contract| &**contract)
    }

    /// All but the spot tariff, in order of their beginning.
    pub fn signed(&self) -> impl Iterator<Item = &ContractConfirmed> {
        self.signed.iter().map(|contract| &**contract)
    }
}

#[cfg(test)]
mod tests {
    use super::{ContractConfirmed, Contracts};
    use crate::region::Region;

    fn contract(id: &str, start_time: i64, end_time: i64) -> ContractConfirmed {
        ContractConfirmed { contract_id: id.into(), start_time, end_time, ..Default::default() }
    }

    #[test]
    fn exactly_one_contract_holds_at_any_time() {
        let mut contracts = Contracts::new(1, "ant_001", Region::Antwerp, 0);
        assert!(contracts.add(contract("b", 200, 300)));
        assert!(contracts.add(contract("a", 100, 250)));
        assert!(!contracts.add(contract("b", 200, 300)), "a confirmation that comes twice");
        let holds = |time| {
            let held = contracts.at(time);
            (held.contract.contract_id.clone(), held.left.map(|left| left.contract_id.clone()), held.until)
        };
        let spot = "ant_001_spot".to_string();
        assert_eq!(holds(99), (spot.clone(), None, 100));
        assert_eq!(holds(100), ("a".into(), Some(spot.clone()), 200));
        assert_eq!(holds(200), ("b".into(), Some("a".into()), 300));
        assert_eq!(holds(300), (spot, Some("b".into()), i64::MAX));
    }
}

//! What a contract costs in a month besides its energy, and how savings are settled: the one place where either side of a
//! contract learns it.

use cortexiq_proto::{BillLine, ContractConfirmed, ContractType, Terms};

use crate::time::{Day, Month};

/// What a home traded in a month under one contract.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MonthTraded {
    /// Import, Wh.
    pub import_wh: u64,
    /// Export, Wh.
    pub export_wh: u64,
    /// Nano-euro for import.
    pub cost: i64,
    /// Nano-euro for export.
    pub revenue: i64,
}

/// A contract's line on a month's bill, when it held on `days` days of the month so far. Fee, minimum and discount count
/// those days. The minimum is owed when the month is over, at its mean spot price; none before.
pub fn line(
    contract: &ContractConfirmed,
    month: Month,
    days: u32,
    traded: MonthTraded,
    mean_spot: Option<i64>,
) -> BillLine {
    let terms = contract.terms.unwrap_or_default();
    let minimum = Terms { minimum_monthly_kwh: terms.minimum_monthly_kwh * days / month.days(), ..terms };
    BillLine {
        contract_id: contract.contract_id.clone(),
        provider_id: contract.provider_id.clone(),
        import_wh: traded.import_wh,
        export_wh: traded.export_wh,
        cost: traded.cost,
        revenue: traded.revenue,
        fee: fee(&terms, month, days),
        minimum_charge: mean_spot
            .map_or(0, |mean_spot| minimum_charge(&minimum, traded.import_wh, mean_spot)),
        discount: discount(contract, month, days),
    }
}

/// The switching discount's part for `days` days of a month, nano-euro, rounded down: it is granted evenly over the first
/// year, so that nobody gains by leaving again.
fn discount(contract: &ContractConfirmed, month: Month, days: u32) -> i64 {
    let start = Day::containing(contract.start_time);
    let end = start.plus_months(12);
    let left = end.since(start.max(month.first_day())).max(0);
    let terms = contract.terms.unwrap_or_default();
    terms.switching_discount * i64::from(days).min(left) / end.since(start)
}

/// What is left of a contract's switching discount on a day, nano-euro.
pub fn discount_left(terms: &Terms, start_time: i64, day: Day) -> i64 {
    let start = Day::containing(start_time);
    let end = start.plus_months(12);
    terms.switching_discount * end.since(day.max(start)).max(0) / end.since(start)
}

/// The yearly fee's part for `days` days of a month, nano-euro, rounded down.
fn fee(terms: &Terms, month: Month, days: u32) -> i64 {
    let year = crate::time::days_of_year(month.year).count() as i64;
    terms.yearly_fee * i64::from(days) / year
}

/// What a month with less import than the contract's minimum costs on top, nano-euro: what is missing, at the night price
/// of a fixed contract or the month's mean spot price with the markup of a dynamic one.
pub fn minimum_charge(terms: &Terms, import_wh: u64, mean_spot: i64) -> i64 {
    let missing = (u64::from(terms.minimum_monthly_kwh) * 1000).saturating_sub(import_wh) as i64;
    let price = match terms.contract_type() {
        ContractType::Fixed => terms.night_price,
        _ => mean_spot + terms.markup,
    };
    missing * price.max(0)
}

/// CortexIQ's part of a month's saving, nano-euro: a fifth of what is positive, rounded down.
pub fn commission(saving: i64) -> i64 {
    saving.max(0) / 5
}

#[cfg(test)]
mod tests {
    use cortexiq_proto::{ContractConfirmed, ContractType, Terms};

    use super::{MonthTraded, commission, discount_left, line};
    use crate::time::{Day, Month};

    #[test]
    fn fee_minimum_and_discount_are_billed() {
        let start: Day = "2025-01-17".parse().expect("a day");
        let contract = ContractConfirmed {
            start_time: start.start().time(),
            terms: Some(Terms {
                contract_type: ContractType::Fixed.into(),
                night_price: 100_000,
                yearly_fee: 36_500_000_000,
                minimum_monthly_kwh: 62,
                switching_discount: 36_500_000_000,
                ..Terms::default()
            }),
            ..ContractConfirmed::default()
        };
        let traded = MonthTraded { import_wh: 10_000, cost: 1_000_000_000, ..MonthTraded::default() };
        let january = line(&contract, Month { year: 2025, month: 1 }, 15, traded, Some(90_000));
        // 15 days at 0.10 €; 30 of 62 kWh for 15 of 31 days, 20 of them missing at 0.10 €; 15 days at 0.10 € off.
        assert_eq!(january.fee, 1_500_000_000);
        assert_eq!(january.minimum_charge, 2_000_000_000);
        assert_eq!(january.discount, 1_500_000_000);
        let running = line(&contract, Month { year: 2025, month: 2 }, 5, MonthTraded::default(), None);
        assert_eq!((running.fee, running.discount, running.minimum_charge), (500_000_000, 500_000_000, 0));
        // A year and no more.
        let next = line(&contract, Month { year: 2026, month: 1 }, 31, traded, Some(90_000));
        assert_eq!(next.discount, 1_600_000_000);
        let later = line(&contract, Month { year: 2026, month: 2 }, 28, traded, Some(90_000));
        assert_eq!(later.discount, 0);
        assert_eq!(
            discount_left(&contract.terms.unwrap_or_default(), contract.start_time, start.plus(65)),
            30_000_000_000
        );
        assert_eq!((commission(101), commission(-5)), (20, 0));
    }
}

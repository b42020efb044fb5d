//! What a contract costs in a month besides its energy, and how savings are settled.

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

/// A contract's line on a month's bill. `end_time` is when the contract really ended, by its term or by a switch; 0 while it
/// holds. Fee and minimum count the days it held; the discount comes with the month in which it began.
pub fn line(contract: &ContractConfirmed, end_time: i64, month: Month, traded: MonthTraded) -> BillLine {
    let terms = contract.terms.unwrap_or_default();
    let days = days_in_force(contract.start_time, end_time, month);
    let began = Day::containing(contract.start_time).month() == month;
    let mean_spot = match traded.import_wh {
        0 => 0,
        import_wh => traded.cost / import_wh as i64 - terms.markup,
    };
    let minimum = Terms { minimum_monthly_kwh: terms.minimum_monthly_kwh * days / month.days(), ..terms };
    BillLine {
        contract_id: contract.contract_id.clone(),
        provider_id: contract.provider_id.clone(),
        import_wh: traded.import_wh,
        export_wh: traded.export_wh,
        cost: traded.cost,
        revenue: traded.revenue,
        fee: fee(&terms, month, days),
        minimum_charge: minimum_charge(&minimum, traded.import_wh, mean_spot),
        discount: if began { terms.switching_discount } else { 0 },
    }
}

/// On how many days of a month a contract holds.
pub fn days_in_force(start_time: i64, end_time: i64, month: Month) -> u32 {
    let (first, after) = (month.first_day(), month.first_day().plus_months(1));
    let start = Day::containing(start_time).max(first);
    let end = if end_time == 0 { after } else { Day::containing(end_time).min(after) };
    end.since(start).max(0) as u32
}

/// The yearly fee's part for `days` days of a month, nano-euro, rounded down.
pub fn fee(terms: &Terms, month: Month, days: u32) -> i64 {
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

    use super::{MonthTraded, commission, line};
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
                switching_discount: 25_000_000_000,
                ..Terms::default()
            }),
            ..ContractConfirmed::default()
        };
        let traded = MonthTraded { import_wh: 10_000, cost: 1_000_000_000, ..MonthTraded::default() };
        let january = line(&contract, 0, Month { year: 2025, month: 1 }, traded);
        // 15 days at 0.10 €; 30 of 62 kWh for 15 of 31 days, 20 of them missing at 0.10 €.
        assert_eq!(january.fee, 1_500_000_000);
        assert_eq!(january.minimum_charge, 2_000_000_000);
        assert_eq!(january.discount, 25_000_000_000);
        let ended = start.plus(20).start().time();
        let february = line(&contract, ended, Month { year: 2025, month: 2 }, MonthTraded::default());
        assert_eq!((february.fee, february.discount), (500_000_000, 0));
        assert_eq!((commission(101), commission(-5)), (20, 0));
    }
}

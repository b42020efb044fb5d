//! What a contract costs in a month besides its energy, and how savings are settled.

use cortexiq_proto::{ContractType, Terms};

use crate::time::Month;

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

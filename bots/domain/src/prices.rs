//! Day-ahead prices as followers hold them, and what a battery makes of a day's prices.

use std::collections::BTreeMap;
use std::sync::Arc;

use cortexiq_proto::SpotPriceUpdated;

use crate::time::Day;

/// The prices of one local day, spread over its quarter-hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayPrices {
    /// The day of delivery.
    pub day: Day,
    /// Micro-euro per kWh for each quarter-hour.
    pub quarters: Vec<i64>,
    /// What a battery on a dynamic contract does, for each quarter-hour.
    pub plan: Vec<Mode>,
    /// Homes that the prices were made for.
    pub homes: u32,
}

/// What a battery on a dynamic contract does in a quarter-hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Keeps the home's own energy for itself.
    SelfConsumption,
    /// Sells what is left over instead of keeping it: there will be cheaper energy to fill up with before the day is over.
    Sell,
    /// Charges from the grid: energy is cheap.
    Charge,
    /// Gives all it can: energy is dear.
    Discharge,
}

/// Why prices were not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPrices {
    /// The day is no date.
    #[error("day: {0}")]
    Day(#[from] crate::time::NoDay),
    /// Too few or too many prices for the day and step.
    #[error("prices of {day}: {found} prices of {step} minutes do not fill {quarters} quarter-hours")]
    Count {
        /// The day.
        day: Day,
        /// How many came.
        found: usize,
        /// Their step in minutes.
        step: u32,
        /// How many quarter-hours the day has.
        quarters: usize,
    },
}

impl DayPrices {
    /// Reads what the market published.
    pub fn read(event: &SpotPriceUpdated) -> Result<Self, BadPrices> {
        let day: Day = event.day.parse()?;
        let each = event.step_minutes as usize / 15;
        if each == 0 || !event.step_minutes.is_multiple_of(15) || event.prices.len() * each != day.quarters()
        {
            let (found, step) = (event.prices.len(), event.step_minutes);
            return Err(BadPrices::Count { day, found, step, quarters: day.quarters() });
        }
        let quarters: Vec<_> =
            event.prices.iter().flat_map(|price| std::iter::repeat_n(*price, each)).collect();
        let plan = plan(&quarters);
        Ok(Self { day, quarters, plan, homes: event.homes })
    }

    /// Mean of the day, micro-euro per kWh.
    pub fn mean(&self) -> i64 {
        self.quarters.iter().sum::<i64>() / self.quarters.len().max(1) as i64
    }
}

/// Charges in the cheapest and discharges in the dearest three hours when the spread pays for losses and markups;
/// negative prices are always worth charging. Until then it keeps room: who fills up with the morning's sun feeds in at
/// noon, when everybody does.
fn plan(prices: &[i64]) -> Vec<Mode> {
    let mut ranked: Vec<usize> = (0..prices.len()).collect();
    ranked.sort_by_key(|index| (prices[*index], *index));
    let (cheap, dear) = (&ranked[..TRADED_QUARTERS], &ranked[ranked.len() - TRADED_QUARTERS..]);
    let mean = |set: &[usize]| set.iter().map(|index| prices[*index]).sum::<i64>() / TRADED_QUARTERS as i64;
    let worth = mean(dear) * 9 / 10 - mean(cheap) > WORTHWHILE_SPREAD;
    let mut plan: Vec<_> =
        prices.iter().map(|price| if *price < 0 { Mode::Charge } else { Mode::SelfConsumption }).collect();
    if worth {
        cheap.iter().for_each(|index| plan[*index] = Mode::Charge);
        dear.iter().for_each(|index| plan[*index] = Mode::Discharge);
    }
    let (mut sum, mut later) = (0, 0);
    for (mode, price) in plan.iter_mut().zip(prices).rev() {
        match mode {
            Mode::Charge => (sum, later) = (sum + price, later + 1),
            Mode::SelfConsumption
                if later >= FILLING_QUARTERS && price * later - sum > ROOM_IS_WORTH * later =>
            {
                *mode = Mode::Sell;
            }
            _ => {}
        }
    }
    plan
}

/// Three hours fill or empty most home batteries.
const TRADED_QUARTERS: usize = 12;
/// So long fills a battery that takes half of its content in an hour.
const FILLING_QUARTERS: i64 = 8;
/// 15 €/MWh: less between now and later is not worth a cloud.
const ROOM_IS_WORTH: i64 = 15_000;
/// 60 €/MWh: markup, markdown and wear.
const WORTHWHILE_SPREAD: i64 = 60_000;

/// The prices that a process holds, by day.
#[derive(Debug, Clone, Default)]
pub struct PriceBook {
    days: BTreeMap<Day, Arc<DayPrices>>,
}

impl PriceBook {
    /// Takes prices; the first ones for a day stand. Returns the day when they were new.
    pub fn on_prices(&mut self, event: &SpotPriceUpdated) -> Result<Option<Day>, BadPrices> {
        let prices = DayPrices::read(event)?;
        let day = prices.day;
        if self.days.contains_key(&day) {
            return Ok(None);
        }
        self.days.insert(day, Arc::new(prices));
        Ok(Some(day))
    }

    /// The prices of a day.
    pub fn day(&self, day: Day) -> Option<&Arc<DayPrices>> {
        self.days.get(&day)
    }

    /// The newest day that is held.
    pub fn newest(&self) -> Option<Day> {
        self.days.last_key_value().map(|(day, _)| *day)
    }

    /// Lets go of days before this one.
    pub fn forget_before(&mut self, day: Day) {
        self.days = self.days.split_off(&day);
    }
}

//! What a home expects of a year: energy by month and tariff, and its worth at spot prices.
//!
//! It begins with an expected year, run through the home's own model under average weather. Each month that has passed
//! replaces the expected one, so that after a year the profile is what the meter has seen.

use cortexiq_proto::{ContractType, HomeCheckpointed, MonthEnergy, Terms};

use crate::contract::Prices;
use crate::environment::Environment;
use crate::months::Months;
use crate::state::{Inputs, Model, Reading};
use crate::time::{Day, Month};

/// Energy of a month.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MonthSum {
    /// Wh by tariff.
    pub import_wh: [u32; 2],
    /// Wh by tariff.
    pub export_wh: [u32; 2],
    /// Import at spot prices, nano-euro.
    pub import_worth: i64,
    /// Export at spot prices, nano-euro.
    pub export_worth: i64,
}

/// A home's year.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    months: Months,
    current: MonthSum,
    month: Month,
    /// Whether `current` began with its month.
    whole: bool,
}

impl Profile {
    /// The expected year of a home. `average` is an environment of its own, not the run's: nobody knows the weather.
    pub fn expected(model: &Model, first: Day, average: &mut Environment) -> Self {
        let model = model.under(average.seed());
        let mut months = [MonthSum::default(); 12];
        for month in 1..=12_u8 {
            let days = Month { year: first.year(), month };
            // A working day and a Sunday stand for five and two of every seven.
            let middle = days.first_day().plus(9);
            let to_monday = i64::from((7 - middle.weekday()) % 7);
            let mut sum = MonthSum::default();
            let mut state = model.initial(days);
            for (offset, weight) in [(to_monday + 1, 5), (to_monday + 6, 2)] {
                let day = middle.plus(offset);
                let place_day = average.day(model.place(), day);
                for (index, conditions) in place_day.quarters.iter().enumerate() {
                    let inputs = Inputs {
                        quarter: day.start().plus(index as i64),
                        month: days,
                        conditions,
                        prices: Prices { import: 0, export: 0 },
                        left: None,
                        dynamic: None,
                    };
                    let reading = state.step(&model, &inputs);
                    (0..weight).for_each(|_| sum.add(&reading, conditions.expected_price));
                }
            }
            months[usize::from(month) - 1] = sum.scaled(days.days(), 7);
        }
        let months = Months::pack(&months);
        Self { months, current: MonthSum::default(), month: first.month(), whole: false }
    }

    /// Counts a quarter-hour.
    pub fn add(&mut self, reading: &Reading, month: Month, spot: i64) {
        if month != self.month {
            if self.whole {
                let mut months = self.months.unpack();
                months[usize::from(self.month.month) - 1] = self.current;
                self.months = Months::pack(&months);
            }
            (self.current, self.month, self.whole) = (MonthSum::default(), month, true);
        }
        self.current.add(reading, spot);
    }

    /// The year as a checkpoint carries it; `None` there means that the home has not looked at offers yet.
    pub fn restore(checkpoint: &HomeCheckpointed, month: Month) -> Option<Self> {
        let months: [MonthSum; 12] =
            checkpoint.months.iter().map(MonthSum::from).collect::<Vec<_>>().try_into().ok()?;
        let months = Months::pack(&months);
        let current = checkpoint.month.as_ref().map(MonthSum::from).unwrap_or_default();
        Some(Self { months, current, month, whole: checkpoint.month_is_whole })
    }

    /// Writes the year into a checkpoint.
    pub fn save(&self, checkpoint: &mut HomeCheckpointed) {
        checkpoint.months = self.months.unpack().iter().map(MonthEnergy::from).collect();
        checkpoint.month = Some(MonthEnergy::from(&self.current));
        checkpoint.month_is_whole = self.whole;
    }

    /// Its months, to be priced.
    pub fn year(&self) -> Year {
        Year(self.months.unpack())
    }
}

/// The months of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Year([MonthSum; 12]);

impl Year {
    /// What the year costs under terms: energy, fee and minimum, less feed-in, nano-euro.
    pub fn cost(&self, terms: &Terms) -> i64 {
        self.0.iter().map(|month| month.cost(terms)).sum::<i64>() + terms.yearly_fee
    }
}

impl From<&MonthEnergy> for MonthSum {
    fn from(energy: &MonthEnergy) -> Self {
        Self {
            import_wh: [energy.import_t1_wh, energy.import_t2_wh],
            export_wh: [energy.export_t1_wh, energy.export_t2_wh],
            import_worth: energy.import_worth,
            export_worth: energy.export_worth,
        }
    }
}

impl From<&MonthSum> for MonthEnergy {
    fn from(sum: &MonthSum) -> Self {
        Self {
            import_t1_wh: sum.import_wh[0],
            import_t2_wh: sum.import_wh[1],
            export_t1_wh: sum.export_wh[0],
            export_t2_wh: sum.export_wh[1],
            import_worth: sum.import_worth,
            export_worth: sum.export_worth,
        }
    }
}

impl MonthSum {
    fn add(&mut self, reading: &Reading, spot: i64) {
        let tariff = reading.tariff.index();
        self.import_wh[tariff] += reading.flows.import;
        self.export_wh[tariff] += reading.flows.export;
        self.import_worth += i64::from(reading.flows.import) * spot;
        self.export_worth += i64::from(reading.flows.export) * spot;
    }

    fn scaled(self, multiply: u32, divide: u32) -> Self {
        let energy =
            |wh: [u32; 2]| wh.map(|wh| (u64::from(wh) * u64::from(multiply) / u64::from(divide)) as u32);
        let worth = |worth: i64| worth * i64::from(multiply) / i64::from(divide);
        Self {
            import_wh: energy(self.import_wh),
            export_wh: energy(self.export_wh),
            import_worth: worth(self.import_worth),
            export_worth: worth(self.export_worth),
        }
    }

    fn cost(&self, terms: &Terms) -> i64 {
        let [import, export] = [self.import_wh, self.export_wh].map(|wh| wh.map(i64::from));
        let all = import[0] + import[1];
        let energy = match terms.contract_type() {
            ContractType::Fixed => {
                import[0] * terms.day_price + import[1] * terms.night_price
                    - export[0] * terms.feed_in_day
                    - export[1] * terms.feed_in_night
            }
            _ => {
                self.import_worth + all * terms.markup - self.export_worth
                    + (export[0] + export[1]) * terms.markdown
            }
        };
        let mean_spot = if all > 0 { self.import_worth / all } else { 0 };
        energy + crate::bill::minimum_charge(terms, all as u64, mean_spot)
    }
}

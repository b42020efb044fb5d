//! What a household consumes: an expected profile, and appliances that make one home look like a home.
//!
//! The expected shape follows the German standard load profile of households by hour, kind of day and season, with the
//! season's dynamic factor. Around a steady base, three kinds of appliances are on or off for a while; the chance that
//! one is on follows the profile, so that the mean of many homes *is* the profile.

use std::collections::HashMap;

use crate::random::{Random, of_name, unit};
use crate::time::{Day, days_of_year};

/// Share of the year's consumption that falls into each quarter-hour of a day.
pub fn household_shares(day: Day, years: &mut YearSums) -> Vec<f64> {
    let sum = years.household(day.year());
    (0..day.quarters()).map(|index| expected(day, day.wall_quarter(index)) / sum).collect()
}

/// Relative expected power at a wall-clock quarter-hour: between hours the line is straight.
fn expected(day: Day, wall_quarter: usize) -> f64 {
    let shape = match (day.weekday(), day.is_holiday()) {
        (6, _) | (_, true) => &SUNDAY,
        (5, _) => &SATURDAY,
        _ => &WORKDAY,
    };
    let (hour, part) = (wall_quarter / 4, (wall_quarter % 4) as f64 / 4.0);
    dynamic_factor(day.of_year()) * (shape[hour] * (1.0 - part) + shape[(hour + 1) % 24] * part)
}

/// BDEW's dynamic factor of households: 1.24 in deep winter, 0.79 in summer.
fn dynamic_factor(day_of_year: u16) -> f64 {
    let t = f64::from(day_of_year);
    ((-3.92e-10 * t + 3.2e-7) * t - 7.02e-5) * t * t + 2.1e-3 * t + 1.24
}

/// Sums over whole years, computed when first needed.
#[derive(Debug, Default)]
pub struct YearSums {
    household: HashMap<i16, f64>,
    heating: HashMap<i16, f64>,
}

impl YearSums {
    fn household(&mut self, year: i16) -> f64 {
        *self.household.entry(year).or_insert_with(|| {
            days_of_year(year)
                .flat_map(|day| (0..day.quarters()).map(move |index| expected(day, day.wall_quarter(index))))
                .sum()
        })
    }

    /// Expected heating degrees of all quarter-hours of a year.
    pub fn heating(&mut self, year: i16) -> f64 {
        *self.heating.entry(year).or_insert_with(|| {
            days_of_year(year)
                .flat_map(|day| {
                    (0..day.quarters()).map(move |index| {
                        let hour = day.wall_quarter(index) / 4;
                        heating_degrees(crate::weather::expected_temperature(day, hour))
                    })
                })
                .sum()
        })
    }
}

/// Degrees below the outdoor temperature from which Belgian homes heat, 16.5 °C.
pub fn heating_degrees(temperature: f64) -> f64 {
    (16.5 - temperature).max(0.0)
}

/// A household's energy in a quarter-hour, Wh, when `expected_wh` is expected.
pub fn household_wh(random: Random, home: u64, quarter: i64, expected_wh: f64) -> f64 {
    let mut energy = expected_wh * BASE_SHARE;
    for (kind, appliance) in APPLIANCES.iter().enumerate() {
        // A block of quarter-hours shares one draw, so that what is on stays on; blocks begin at the home's own phase.
        let phase = (home >> (8 * kind)) as i64 & 0xff;
        let block = (quarter + phase) / appliance.quarters * APPLIANCES.len() as i64 + kind as i64;
        let wanted = expected_wh * appliance.share;
        // A home that needs more than one of a kind can give has a bigger one.
        let power = appliance.wh.max(wanted * 1.05);
        if unit(random.at(home, block)) * power < wanted {
            energy += power;
        }
    }
    energy
}

/// The household's random numbers under a seed.
pub fn random(seed: u64) -> Random {
    Random::new(seed, of_name("appliances"))
}

struct Appliance {
    /// Energy of a quarter-hour while it is on, Wh.
    wh: f64,
    /// How long it stays on, quarter-hours.
    quarters: i64,
    /// Of all consumption.
    share: f64,
}

/// Cooker and kettle, washing and drying, light and screens. Guesses that make monthly peaks above 2.5 kW.
const APPLIANCES: [Appliance; 3] = [
    Appliance { wh: 700.0, quarters: 1, share: 0.25 },
    Appliance { wh: 350.0, quarters: 4, share: 0.22 },
    Appliance { wh: 75.0, quarters: 8, share: 0.25 },
];

/// Fridge, standby, pumps.
const BASE_SHARE: f64 = 0.28;

/// Relative power by wall-clock hour, after the household profile of BDEW.
const WORKDAY: [f64; 24] = [
    62., 50., 44., 42., 42., 47., 72., 100., 106., 104., 104., 112., 124., 116., 102., 98., 102., 122., 152.,
    174., 176., 158., 128., 92.,
];
const SATURDAY: [f64; 24] = [
    70., 55., 47., 44., 43., 44., 54., 78., 106., 124., 130., 136., 142., 132., 118., 112., 114., 130., 158.,
    172., 166., 146., 122., 98.,
];
const SUNDAY: [f64; 24] = [
    76., 60., 50., 46., 44., 43., 46., 60., 88., 116., 134., 150., 160., 138., 114., 104., 102., 114., 140.,
    160., 162., 148., 122., 92.,
];

#[cfg(test)]
mod tests {
    use super::{YearSums, household_shares, household_wh, random};
    use crate::time::days_of_year;

    #[test]
    fn a_year_is_whole_and_the_mean_of_homes_is_the_profile() {
        let mut years = YearSums::default();
        let total: f64 = days_of_year(2025).flat_map(|day| household_shares(day, &mut years)).sum();
        assert!((total - 1.0).abs() < 1e-9, "{total}");
        let random = random(1);
        for expected in [40.0, 100.0, 400.0] {
            let mean = (0..4000_u64)
                .map(|home| household_wh(random, crate::random::of_name(&home.to_string()), 77_777, expected))
                .sum::<f64>()
                / 4000.0;
            assert!((mean / expected - 1.0).abs() < 0.1, "{mean} for {expected}");
        }
    }
}

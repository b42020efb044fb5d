//! What a household consumes: an expected profile, and appliances that make one home look like a home.
//!
//! Expected is a [standard profile](crate::standard). Around a steady base, three kinds of appliances are on or off for a
//! while; the chance that one is on follows the profile, so that the mean of many homes *is* the profile.

use std::collections::HashMap;

use crate::random::{Random, of_name, unit};
use crate::standard::LoadProfile;
use crate::time::{Day, days_of_year};

/// Share of the year's consumption that falls into each quarter-hour of a day, for every profile.
pub fn household_shares(day: Day, years: &mut YearSums) -> Vec<[f64; LoadProfile::ALL.len()]> {
    let sums = years.household(day.year());
    let share = |profile: LoadProfile, index: usize| {
        profile.expected(day, day.wall_quarter(index)) / sums[profile.index()]
    };
    (0..day.quarters()).map(|index| LoadProfile::ALL.map(|profile| share(profile, index))).collect()
}

/// Sums over whole years, computed when first needed.
#[derive(Debug, Default)]
pub struct YearSums {
    household: HashMap<i16, [f64; LoadProfile::ALL.len()]>,
    heating: HashMap<i16, f64>,
}

impl YearSums {
    fn household(&mut self, year: i16) -> [f64; LoadProfile::ALL.len()] {
        *self.household.entry(year).or_insert_with(|| {
            LoadProfile::ALL.map(|profile| {
                let of_day = |day: Day| {
                    (0..day.quarters()).map(move |index| profile.expected(day, day.wall_quarter(index)))
                };
                days_of_year(year).flat_map(of_day).sum()
            })
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

#[cfg(test)]
mod tests {
    use super::{YearSums, household_shares, household_wh, random};
    use crate::standard::LoadProfile;
    use crate::time::days_of_year;

    #[test]
    fn a_year_is_whole_and_the_mean_of_homes_is_the_profile() {
        let mut years = YearSums::default();
        for profile in LoadProfile::ALL {
            let shares = days_of_year(2025).flat_map(|day| household_shares(day, &mut years));
            let total: f64 = shares.map(|shares| shares[profile.index()]).sum();
            assert!((total - 1.0).abs() < 1e-9, "{profile}: {total}");
        }
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

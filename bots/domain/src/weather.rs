//! Clouds and warmth, shared by a region.
//!
//! Each day has a mean clearness drawn around its month's, correlated with the day before, and every hour wanders from
//! the hour before it in a chain that starts anew at each local midnight, so that any day can be computed alone.

use std::sync::LazyLock;

use libm::cos;

use crate::random::{Random, of_name};
use crate::region::Region;
use crate::time::Day;

/// One day of a region's weather.
#[derive(Debug, Clone, PartialEq)]
pub struct DayWeather {
    /// Global irradiation against a clear sky's, 0 to 1, for each hour of the day.
    pub clearness: Vec<f64>,
    /// Degrees Celsius for each hour of the day.
    pub temperature: Vec<f64>,
}

impl DayWeather {
    /// The weather of a day under a seed.
    pub fn new(seed: u64, region: Region, day: Day) -> Self {
        let random = Random::new(seed, of_name("weather"));
        let who = of_name(region.name());
        let drawn = |day: Day| random.unit(who, day.number());
        // Regions share most of their weather; neighbours do.
        let country = |day: Day| random.unit(of_name("belgium"), day.number());
        let mood = |day: Day| 0.7 * country(day) + 0.3 * drawn(day);
        let bright = 0.6 * mood(day) + 0.4 * mood(day.previous());

        let mean = MONTHLY_CLEARNESS[usize::from(day.month().month) - 1];
        let target = (mean + SPREAD * (bright - 0.5)).clamp(0.08, 0.97);
        let mut level = target;
        let hourly = Random::new(seed, of_name("clouds"));
        let clearness = (0..day.hours())
            .map(|hour| {
                let shock = hourly.unit(who, day.number() * 32 + hour as i64) - 0.5;
                level = (0.7 * level + 0.3 * target + 0.45 * shock).clamp(0.05, 1.0);
                level
            })
            .collect();

        let warmth = 8.0 * (0.6 * drawn(day) + 0.4 * drawn(day.previous()) - 0.5);
        let temperature = (0..day.hours())
            .map(|hour| expected_temperature(day, day.wall_quarter(hour * 4) / 4) + warmth)
            .collect();
        Self { clearness, temperature }
    }
}

/// Mean temperature of Uccle at a day and wall-clock hour: lines between the middles of the months, and a daily swing with its
/// highest at half past three in the afternoon.
pub fn expected_temperature(day: Day, hour: usize) -> f64 {
    let month = day.month();
    let (index, days) = (usize::from(month.month) - 1, f64::from(month.days()));
    // Months from the middle of this one, between -0.5 and 0.5.
    let part = (day.since(month.first_day()) as f64 + 0.5) / days - 0.5;
    let other = if part < 0.0 { (index + 11) % 12 } else { (index + 1) % 12 };
    let [mean, lowest, highest] = [0, 1, 2]
        .map(|kind| NORMALS[index][kind] + (NORMALS[other][kind] - NORMALS[index][kind]) * part.abs());
    let turn = 2.0 * core::f64::consts::PI;
    mean + (highest - lowest) / 2.0 * cos(turn * (hour as f64 + 0.5 - 15.5) / 24.0)
}

/// Mean, lowest and highest temperature of the days of each month.
static NORMALS: LazyLock<Vec<[f64; 3]>> = LazyLock::new(|| {
    let rows = include_str!("../data/temperature.csv").lines().skip(1);
    let number = |value: &str| value.parse::<f64>().expect("data files hold numbers");
    let normals = rows.map(|row| {
        let mut values = row.split(',').skip(1).map(number);
        [(); 3].map(|()| values.next().expect("data files hold three temperatures a month"))
    });
    normals.collect()
});

/// Share of a clear sky's irradiation that reaches the ground, by month: about 1,050 kWh/m² a year under the clear sky of
/// `sun.rs`, chosen so that December has 1 to 3 % of it and June and July 12 to 15 % each.
const MONTHLY_CLEARNESS: [f64; 12] =
    [0.50, 0.57, 0.64, 0.72, 0.68, 0.588, 0.597, 0.67, 0.71, 0.66, 0.58, 0.53];

/// How far a day's mean wanders from its month's; wide enough for blue and for grey days. Guess, not measured.
const SPREAD: f64 = 0.85;

#[cfg(test)]
mod tests {
    use crate::environment::{Environment, Place};
    use crate::home::Solar;
    use crate::home_file::{builtin, parse};
    use crate::pv::Roof;
    use crate::region::Region;
    use crate::time::days_of_year;

    #[test]
    fn a_year_of_sun_is_belgian() {
        let roof = Roof::new(Solar { peak_w: 1000, tilt_deg: 35, azimuth_deg: 180 });
        let seeds = || (1..=5).flat_map(|seed| Region::ALL.map(|region| (seed, region)));
        for (seed, region) in seeds() {
            let home = &parse(region.name(), builtin(region)).expect("a right file")[0];
            let mut environment = Environment::new(seed);
            let (mut months, mut yielded) = ([0.0; 12], 0.0);
            for day in days_of_year(2025) {
                for conditions in &environment.day(Place::of(home), day).quarters {
                    months[usize::from(day.month().month) - 1] += conditions.irradiance.global / 4000.0;
                    yielded += roof.wh(conditions) / 1000.0;
                }
            }
            let year: f64 = months.iter().sum();
            assert!((1000.0..1200.0).contains(&year), "seed {seed} {region}: {year} kWh/m²");
            assert!((850.0..1050.0).contains(&yielded), "seed {seed} {region}: {yielded} kWh/kWp");
            assert!((0.01..0.03).contains(&(months[11] / year)), "seed {seed} {region}: {months:?}");
            for summer in [5, 6] {
                assert!((0.12..0.15).contains(&(months[summer] / year)), "seed {seed} {region}: {months:?}");
            }
        }
    }
}

//! The day-ahead market: an hourly curve by season, weekday and weather, bent by the mesh's own net demand.

use std::collections::BTreeMap;

use cortexiq_proto::{RegionBalanced, SpotPriceUpdated};
use libm::{cos, round, sin};

use crate::random::{Random, of_name};
use crate::region::Region;
use crate::time::Day;
use crate::weather::DayWeather;

/// Publishes the prices of each local day at 13:00 of the day before, and of the first day at the start.
///
/// Drive it so: hand in `region.balanced` as it comes, and call `advance` with the newest tick's time. A region whose day
/// has not come by 13:00 is waited for, then named and estimated; while it is away nobody waits for it again.
#[derive(Debug, Clone)]
pub struct MarketAgent {
    seed: u64,
    run: u64,
    first: Day,
    next: Day,
    balances: BTreeMap<(Day, Region), RegionBalanced>,
    homes: u32,
    /// Regions that had not been heard of when prices were published last: nobody waits for them again.
    absent: Vec<Region>,
}

impl MarketAgent {
    /// The market at the beginning of a run.
    pub fn new(seed: u64, run: u64, start_time: i64) -> Self {
        let first = Day::containing(start_time);
        Self { seed, run, first, next: first, balances: BTreeMap::new(), homes: 0, absent: Vec::new() }
    }

    /// Takes up a restarted market after prices it has published.
    pub fn restore(&mut self, published: &SpotPriceUpdated) {
        if let (true, Ok(day)) = (published.run == self.run, published.day.parse::<Day>()) {
            self.next = self.next.max(day.next());
            self.homes = self.homes.max(published.homes);
            if self.next == day.next() {
                let absent = published.missing_regions.iter().filter_map(|region| region.parse().ok());
                self.absent = absent.collect();
            }
        }
    }

    /// Takes a region's day.
    pub fn on_region_balanced(&mut self, event: &RegionBalanced) {
        let (Ok(day), Ok(region)) = (event.day.parse::<Day>(), event.region.parse::<Region>()) else {
            return;
        };
        if event.run == self.run && day.plus(2) >= self.next {
            self.balances.insert((day, region), event.clone());
            self.absent.retain(|absent| *absent != region);
        }
    }

    /// Everything that is due at an instant, oldest first; a region that is late is waited for until 22:00.
    pub fn advance(&mut self, time: i64) -> Vec<SpotPriceUpdated> {
        self.advance_patiently(time, LEAST_PATIENCE_SECONDS)
    }

    /// As [`advance`](Self::advance), waiting for so many simulated seconds: a fast clock should give regions time to speak.
    /// Homes stand still meanwhile, since they compute no day without its prices.
    pub fn advance_patiently(&mut self, time: i64, patience: i64) -> Vec<SpotPriceUpdated> {
        let mut due = Vec::new();
        while self.next == self.first || self.is_due(time, patience) {
            due.push(self.publish(self.next));
            self.next = self.next.next();
        }
        due
    }

    fn is_due(&self, time: i64, patience: i64) -> bool {
        let due = self.next.previous().at_hour(PUBLISHED_HOUR).time();
        due <= time
            && (due + patience <= time || self.missing(self.next).all(|region| self.absent.contains(&region)))
    }

    /// Regions whose demand the prices of a day would need and do not have.
    fn missing(&self, day: Day) -> impl Iterator<Item = Region> {
        let seen = day.plus(-2);
        let is_missing =
            move |region: &Region| seen >= self.first && !self.balances.contains_key(&(seen, *region));
        Region::ALL.into_iter().filter(is_missing)
    }

    fn publish(&mut self, day: Day) -> SpotPriceUpdated {
        let seen = day.plus(-2);
        self.absent = self.missing(day).collect();
        let missing_regions = self.absent.iter().map(|region| region.name().to_owned()).collect();
        let balances: Vec<_> =
            Region::ALL.into_iter().filter_map(|region| self.balances.get(&(seen, region))).collect();
        let homes = balances.iter().map(|balance| balance.homes).sum();
        if homes > 0 {
            self.homes = homes;
        }
        let weather = Region::ALL.map(|region| DayWeather::new(self.seed, region, day));
        let clearness =
            |hour: usize| weather.iter().map(|weather| weather.clearness[hour]).sum::<f64>() / 3.0;
        let wind = Random::new(self.seed, of_name("wind"));
        let breeze = |day: Day| wind.unit(0, day.number()) - 0.5;
        let calm = WIND * (0.6 * breeze(day) + 0.4 * breeze(day.previous()));

        let hourly: Vec<f64> = (0..day.hours())
            .map(|hour| {
                let wall = day.wall_quarter(hour * 4);
                let tightness =
                    curve(day, wall, clearness(hour)) + calm + feedback(&balances, seen, wall / 4);
                merit_order(tightness)
            })
            .collect();
        let step_minutes = if day >= first_quarterly_day() { 15 } else { 60 };
        let prices = match step_minutes {
            60 => hourly.iter().map(|price| micro_euro(*price)).collect(),
            _ => (0..day.quarters()).map(|index| micro_euro(between(&hourly, index))).collect(),
        };
        self.balances.retain(|(kept, _), _| *kept > seen);
        SpotPriceUpdated {
            run: self.run,
            day: day.to_string(),
            time: day.start().time(),
            step_minutes,
            prices,
            missing_regions,
            homes: self.homes,
        }
    }
}

/// What everyone expects of an hour under average weather, micro-euro per kWh.
pub fn expected_price(day: Day, wall_quarter: usize) -> i64 {
    micro_euro(merit_order(curve(day, wall_quarter, 0.55)))
}

/// The price that clears: below zero ever more panels and wind stop, so it falls slowly; in scarce hours the last plants ask
/// for ever more.
fn merit_order(tightness: f64) -> f64 {
    match tightness {
        surplus if surplus < 0.0 => surplus * SURPLUS,
        scarce if scarce > SCARCE_FROM => SCARCE_FROM + (scarce - SCARCE_FROM) * SCARCITY,
        usual => usual,
    }
}

/// €/MWh of a wall-clock quarter-hour, before scarcity and surplus bend it.
fn curve(day: Day, wall_quarter: usize, clearness: f64) -> f64 {
    let turn = 2.0 * core::f64::consts::PI;
    let season = cos(turn * (f64::from(day.of_year()) - 15.0) / 365.25);
    let week = if day.is_weekend() || day.is_holiday() { -12.0 } else { 3.0 };
    let hour = wall_quarter / 4;
    // How high the sun stands over Belgium, a month before the seasons of demand; 13:18 is noon by winter and summer time on
    // average.
    let winter = cos(turn * (f64::from(day.of_year()) + 10.0) / 365.25);
    let day_length = 12.2 - 4.2 * winter;
    let angle = core::f64::consts::PI * (hour as f64 + 0.5 - 13.3 + day_length / 2.0) / day_length;
    let sun =
        if (0.0..core::f64::consts::PI).contains(&angle) { sin(angle) * (0.58 - 0.30 * winter) } else { 0.0 };
    MEAN + SEASON * season + week + SHAPE[hour] * (1.0 + 0.25 * season) - SOLAR * sun * clearness
}

/// €/MWh for the mesh's own demand of two days before, by home, so that the number of homes does not matter.
fn feedback(balances: &[&RegionBalanced], day: Day, wall_hour: usize) -> f64 {
    let Some(hour) = (0..day.hours()).find(|hour| day.wall_quarter(hour * 4) / 4 >= wall_hour) else {
        return 0.0;
    };
    let homes: u32 = balances.iter().map(|balance| balance.homes).sum();
    if homes == 0 {
        return 0.0;
    }
    let net: i64 = balances.iter().filter_map(|balance| balance.net_demand_wh.get(hour)).sum();
    FEEDBACK * (net as f64 / f64::from(homes) - USUAL_DEMAND).clamp(-3000.0, 3000.0) / 1000.0
}

/// Quarter-hourly prices lie on lines between the middles of the hours.
fn between(hourly: &[f64], index: usize) -> f64 {
    let (hour, part) = (index / 4, (index % 4) as f64 * 0.25 + 0.125 - 0.5);
    let other = if part < 0.0 { hour.saturating_sub(1) } else { (hour + 1).min(hourly.len() - 1) };
    hourly[hour] + (hourly[other] - hourly[hour]) * part.abs()
}

/// €/MWh to micro-euro per kWh, rounded to the exchange's cent per MWh.
fn micro_euro(price: f64) -> i64 {
    round(price * 100.0) as i64 * 10
}

fn first_quarterly_day() -> Day {
    static DAY: std::sync::LazyLock<Day> =
        std::sync::LazyLock::new(|| "2025-10-01".parse().expect("a day of the calendar"));
    *DAY
}

/// Local hour of publication.
const PUBLISHED_HOUR: usize = 13;
/// From 13:00 to 22:00: homes need the prices at midnight.
pub const LEAST_PATIENCE_SECONDS: i64 = 9 * 3600;
/// How much of a surplus shows in the price, and where and how steeply scarcity does. Guesses: most negative hours of 2025 were
/// within some tens of euro of zero, and the dearest evenings two to three times the mean.
const SURPLUS: f64 = 0.4;
const SCARCE_FROM: f64 = 135.0;
const SCARCITY: f64 = 1.9;
/// €/MWh. Chosen together for a yearly mean of 60 to 110, an evening peak, and some 450 negative hours a year, nearly all
/// around noon in spring and summer: CREG counted more than 520 in Belgium in 2025 (brf.be, national/2038916), a record
/// after years of ever more panels. Guesses, not fitted; the hourly shape is that of Belgian prices of recent years.
const MEAN: f64 = 96.0;
const SEASON: f64 = 6.0;
const SOLAR: f64 = 130.0;
const WIND: f64 = 70.0;
/// €/MWh for each kW of a mean home.
const FEEDBACK: f64 = 22.0;
/// Mean net demand of a home, W.
const USUAL_DEMAND: f64 = 250.0;
const SHAPE: [f64; 24] = [
    -18., -22., -25., -26., -24., -16., 0., 14., 18., 10., 2., -4., -8., -10., -6., 0., 10., 24., 34., 36.,
    28., 14., 2., -10.,
];

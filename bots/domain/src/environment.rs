//! What surrounds a home in each quarter-hour, computed once per municipality and day and shared by its homes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::home::Home;
use crate::load::{YearSums, heating_degrees, household_shares};
use crate::market::expected_price;
use crate::region::Region;
use crate::standard::LoadProfile;
use crate::sun::{Direction, Irradiance, Sun, clear_sky, extraterrestrial};
use crate::tariff::{Tariff, Zone};
use crate::time::{Day, Month, QUARTER_SECONDS, Quarter};
use crate::weather::DayWeather;

/// A quarter-hour at a place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// Direction to the sun in the middle of the quarter-hour.
    pub sun: Direction,
    /// What reaches the ground.
    pub irradiance: Irradiance,
    /// Share of a household's year, by load profile.
    pub household_share: [f64; LoadProfile::ALL.len()],
    /// Share of a heat pump's year.
    pub heating_share: f64,
    /// What the market is expected to ask, micro-euro per kWh.
    pub expected_price: i64,
    /// Which register counts.
    pub tariff: Tariff,
    /// Wall-clock quarter-hour, 0 to 95.
    pub wall_quarter: u8,
}

/// All quarter-hours of a day at a place.
#[derive(Debug, Clone, PartialEq)]
pub struct PlaceDay {
    /// The day.
    pub day: Day,
    /// The month that it is in.
    pub month: Month,
    /// Its first quarter-hour.
    pub start: Quarter,
    /// In order.
    pub quarters: Vec<Conditions>,
}

impl PlaceDay {
    /// Which of the day's quarter-hours this is; none when it is of another day.
    pub fn index(&self, quarter: Quarter) -> Option<usize> {
        let index = usize::try_from(quarter.since(self.start)).ok()?;
        (index < self.quarters.len()).then_some(index)
    }
}

/// A municipality, near enough for sun and tariffs: a field of 0.05°.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    region: Region,
    zone: Zone,
    latitude: i16,
    longitude: i16,
}

impl Place {
    /// Where a home stands.
    pub fn of(home: &Home) -> Self {
        let field = |degrees: f64| libm::round(degrees * 20.0) as i16;
        Self {
            region: home.address.region,
            zone: home.zone(),
            latitude: field(home.address.latitude),
            longitude: field(home.address.longitude),
        }
    }

    /// The region it is in.
    pub fn region(self) -> Region {
        self.region
    }
}

/// Computes and keeps the newest days of all places. One per thread: it holds nothing that could not be computed again.
#[derive(Debug)]
pub struct Environment {
    seed: u64,
    years: YearSums,
    days: HashMap<(Place, Day), Arc<PlaceDay>>,
    order: VecDeque<(Place, Day)>,
    /// What all places of the newest days share.
    country: VecDeque<Arc<CountryDay>>,
}

/// What is the same at every place on a day.
#[derive(Debug)]
struct CountryDay {
    day: Day,
    /// W/m² on a plane that faces the sun, above the air.
    extraterrestrial: f64,
    /// The sun in the middle of each quarter-hour.
    suns: Vec<Sun>,
    household: Vec<[f64; LoadProfile::ALL.len()]>,
    /// Expected prices.
    prices: Vec<i64>,
}

impl Environment {
    /// The world of a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            years: YearSums::default(),
            days: HashMap::new(),
            order: VecDeque::new(),
            country: VecDeque::new(),
        }
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// A day at a place.
    pub fn day(&mut self, place: Place, day: Day) -> Arc<PlaceDay> {
        if let Some(known) = self.days.get(&(place, day)) {
            return Arc::clone(known);
        }
        let computed = Arc::new(self.compute(place, day));
        if self.order.len() >= KEPT_DAYS
            && let Some(oldest) = self.order.pop_front()
        {
            self.days.remove(&oldest);
        }
        self.order.push_back((place, day));
        self.days.insert((place, day), Arc::clone(&computed));
        computed
    }

    fn compute(&mut self, place: Place, day: Day) -> PlaceDay {
        let weather = DayWeather::new(self.seed, place.region, day);
        let country = self.country(day);
        let heating_sum = self.years.heating(day.year());
        let (latitude, longitude) = (f64::from(place.latitude) / 20.0, f64::from(place.longitude) / 20.0);
        let quarters = (0..day.quarters()).map(|index| {
            let sun = country.suns[index].direction(latitude, longitude);
            let wall_quarter = day.wall_quarter(index);
            Conditions {
                sun,
                irradiance: through_clouds(
                    clear_sky(sun, country.extraterrestrial),
                    weather.clearness[index / 4],
                    sun[2],
                ),
                household_share: country.household[index],
                heating_share: heating_degrees(weather.temperature[index / 4]) / heating_sum,
                expected_price: country.prices[index],
                tariff: place.zone.tariff(day, wall_quarter),
                wall_quarter: wall_quarter as u8,
            }
        });
        PlaceDay { day, month: day.month(), start: day.start(), quarters: quarters.collect() }
    }

    fn country(&mut self, day: Day) -> Arc<CountryDay> {
        if let Some(known) = self.country.iter().find(|known| known.day == day) {
            return Arc::clone(known);
        }
        let middle = |index: usize| day.start().plus(index as i64).time() + QUARTER_SECONDS / 2;
        let computed = Arc::new(CountryDay {
            day,
            extraterrestrial: extraterrestrial(day.of_year()),
            suns: (0..day.quarters()).map(|index| Sun::at(middle(index))).collect(),
            household: household_shares(day, &mut self.years),
            prices: (0..day.quarters()).map(|index| expected_price(day, day.wall_quarter(index))).collect(),
        });
        if self.country.len() >= KEPT_COUNTRY_DAYS {
            self.country.pop_front();
        }
        self.country.push_back(Arc::clone(&computed));
        computed
    }
}

/// The sun's disc fades faster than the whole sky.
fn through_clouds(clear: Irradiance, clearness: f64, up: f64) -> Irradiance {
    let global = clear.global * clearness;
    let seen = ((clearness - 0.25) / 0.75).max(0.0);
    let direct = clear.direct * seen * seen;
    Irradiance { global, direct, diffuse: (global - direct * up.max(0.0)).max(0.0) }
}

/// Days of places that are kept, about 10 kB each: a year of one place, or some days of 300 places.
const KEPT_DAYS: usize = 2048;
/// Days of the country that are kept: those of an expected year, or some days, since homes are within a day or two of each
/// other.
const KEPT_COUNTRY_DAYS: usize = 32;

//! Quarter-hours in UTC and days in Brussels.
//!
//! Times are whole seconds since 1970 in UTC. Days, months, tariffs and holidays are Europe/Brussels, whose days have 92,
//! 96 or 100 quarter-hours; every one from 2000 to 2099 is prepared once from the bundled time-zone database, so that no
//! step of a home asks it again.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use jiff::civil::Date;
use jiff::tz::TimeZoneDatabase;

/// Seconds of a quarter-hour.
pub const QUARTER_SECONDS: i64 = 900;

/// A quarter-hour, counted from 1970-01-01T00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quarter(i64);

impl Quarter {
    /// The quarter-hour that an instant lies in.
    pub const fn containing(time: i64) -> Self {
        Self(time.div_euclid(QUARTER_SECONDS))
    }

    /// The first quarter-hour that does not begin before an instant.
    pub const fn from(time: i64) -> Self {
        Self::containing(time + QUARTER_SECONDS - 1)
    }

    /// Its first instant.
    pub const fn time(self) -> i64 {
        self.0 * QUARTER_SECONDS
    }

    /// Its number.
    pub const fn number(self) -> i64 {
        self.0
    }

    /// The one after it.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The one `count` later.
    pub const fn plus(self, count: i64) -> Self {
        Self(self.0 + count)
    }

    /// How many quarter-hours `earlier` began before this one.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }

    /// Whether an hour ends with it. Brussels is whole hours from UTC, so the hours are the same.
    pub const fn ends_hour(self) -> bool {
        self.0.rem_euclid(4) == 3
    }

    /// The first instant of its hour.
    pub const fn hour_time(self) -> i64 {
        self.0.div_euclid(4) * 3600
    }

    /// The Brussels day it belongs to.
    pub fn day(self) -> Day {
        Day::containing(self.time())
    }
}

/// A day in Brussels between 2000 and 2099.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(u16);

/// What is known of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Facts {
    start: Quarter,
    quarters: u8,
    year: i16,
    month: u8,
    day: u8,
    /// 0 is Monday.
    weekday: u8,
    holiday: bool,
    day_of_year: u16,
}

impl Day {
    /// The day that an instant lies in.
    ///
    /// # Panics
    /// Outside 2000 to 2099; see [`in_range`].
    pub fn containing(time: i64) -> Self {
        let table = &*DAYS;
        // Winter time is right or one hour early; the table says whether the day has begun already.
        let guess = (time + 3600 - table[0].start.time()).div_euclid(86_400).clamp(0, table.len() as i64 - 1);
        let mut index = guess as usize;
        while index + 1 < table.len() && table[index + 1].start.time() <= time {
            index += 1;
        }
        while index > 0 && table[index].start.time() > time {
            index -= 1;
        }
        assert!(in_range(time), "{time} is outside the calendar of 2000 to 2099");
        Self(index as u16)
    }

    fn facts(self) -> &'static Facts {
        &DAYS[usize::from(self.0)]
    }

    /// Its first quarter-hour.
    pub fn start(self) -> Quarter {
        self.facts().start
    }

    /// The first quarter-hour after it.
    pub fn end(self) -> Quarter {
        self.start().plus(i64::from(self.facts().quarters))
    }

    /// 92, 96 or 100.
    pub fn quarters(self) -> usize {
        usize::from(self.facts().quarters)
    }

    /// 23, 24 or 25.
    pub fn hours(self) -> usize {
        self.quarters() / 4
    }

    /// The day after.
    pub fn next(self) -> Self {
        self.plus(1)
    }

    /// The day before.
    pub fn previous(self) -> Self {
        self.plus(-1)
    }

    /// The day `count` days later.
    pub fn plus(self, count: i64) -> Self {
        let index = (i64::from(self.0) + count).clamp(0, DAYS.len() as i64 - 1);
        Self(index as u16)
    }

    /// Days from `earlier` to this one.
    pub fn since(self, earlier: Self) -> i64 {
        i64::from(self.0) - i64::from(earlier.0)
    }

    /// A number that grows by one a day.
    pub fn number(self) -> i64 {
        self.0.into()
    }

    /// The calendar year.
    pub fn year(self) -> i16 {
        self.facts().year
    }

    /// Its month.
    pub fn month(self) -> Month {
        let facts = self.facts();
        Month { year: facts.year, month: facts.month }
    }

    /// Day of the year, from 1.
    pub fn of_year(self) -> u16 {
        self.facts().day_of_year
    }

    /// Monday is 0, Sunday 6.
    pub fn weekday(self) -> u8 {
        self.facts().weekday
    }

    /// Saturday or Sunday.
    pub fn is_weekend(self) -> bool {
        self.facts().weekday >= 5
    }

    /// One of the ten legal Belgian holidays.
    pub fn is_holiday(self) -> bool {
        self.facts().holiday
    }

    /// The same day of the month `months` later, or that month's last day.
    pub fn plus_months(self, months: u32) -> Self {
        let facts = self.facts();
        let date = Date::new(facts.year, facts.month as i8, facts.day as i8).expect("the table holds dates");
        let later = date.saturating_add(jiff::Span::new().months(i64::from(months).min(1200)));
        Self::of_date(later).unwrap_or_else(|| Self(DAYS.len() as u16 - 1))
    }

    fn of_date(date: Date) -> Option<Self> {
        let days = first_date().until(date).ok()?.get_days();
        let index = usize::try_from(days).ok().filter(|index| *index < DAYS.len())?;
        Some(Self(index as u16))
    }

    /// The wall clock's quarter-hour, 0 to 95, of the day's quarter-hour `index`.
    pub fn wall_quarter(self, index: usize) -> usize {
        match self.facts().quarters {
            92 if index >= 8 => index + 4,
            100 if index >= 12 => index - 4,
            _ => index,
        }
    }

    /// The first quarter-hour of the day at which the wall clock shows `hour` o'clock or later.
    pub fn at_hour(self, hour: usize) -> Quarter {
        let index = (0..self.quarters()).find(|index| self.wall_quarter(*index) >= hour * 4);
        self.start().plus(index.unwrap_or(self.quarters()) as i64)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = self.facts();
        write!(f, "{:04}-{:02}-{:02}", facts.year, facts.month, facts.day)
    }
}

/// A text that is no day between 2000 and 2099.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no date from 2000-01-01 to 2099-12-31")]
pub struct NoDay(String);

impl FromStr for Day {
    type Err = NoDay;

    fn from_str(text: &str) -> Result<Self, NoDay> {
        let date = text.parse().ok();
        date.and_then(Self::of_date).ok_or_else(|| NoDay(text.to_owned()))
    }
}

/// A calendar month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    /// The year.
    pub year: i16,
    /// 1 to 12.
    pub month: u8,
}

impl Month {
    /// Its first day.
    pub fn first_day(self) -> Day {
        let date = Date::new(self.year, self.month as i8, 1).ok();
        date.and_then(Day::of_date).expect("months come from days of the table")
    }

    /// How many days it has.
    pub fn days(self) -> u32 {
        let first = self.first_day();
        first.plus_months(1).since(first) as u32
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

/// Whether an instant is in the calendar of 2000 to 2099.
pub fn in_range(time: i64) -> bool {
    let table = &*DAYS;
    time >= table[0].start.time() && time < table[table.len() - 1].start.time()
}

/// The days of a year in order.
pub fn days_of_year(year: i16) -> impl Iterator<Item = Day> {
    let first = Month { year, month: 1 }.first_day();
    (0..366).map(move |offset| first.plus(offset)).filter(move |day| day.year() == year)
}

fn first_date() -> Date {
    Date::constant(2000, 1, 1)
}

static DAYS: LazyLock<Vec<Facts>> = LazyLock::new(|| {
    let zone =
        TimeZoneDatabase::bundled().get("Europe/Brussels").expect("the bundled database knows Brussels");
    let start = |date: Date| {
        let midnight =
            zone.to_timestamp(date.at(0, 0, 0, 0)).expect("Brussels has every midnight since 2000");
        Quarter::containing(midnight.as_second())
    };
    let mut days = Vec::with_capacity(36_525);
    let (mut date, mut begin) = (first_date(), start(first_date()));
    while date.year() < 2100 {
        let next = date.tomorrow().expect("2100 exists");
        let end = start(next);
        days.push(Facts {
            start: begin,
            quarters: end.since(begin) as u8,
            year: date.year(),
            month: date.month() as u8,
            day: date.day() as u8,
            weekday: date.weekday().to_monday_zero_offset() as u8,
            holiday: is_holiday(date),
            day_of_year: date.day_of_year() as u16,
        });
        (date, begin) = (next, end);
    }
    days
});

/// The legal holidays of these years, as dates in order; two may fall on one day.
static HOLIDAYS: LazyLock<Vec<Date>> = LazyLock::new(|| {
    let rows = include_str!("../data/holidays.csv").lines().skip(1);
    let date = |row: &str| row.split(',').next().and_then(|date| date.parse().ok());
    rows.map(|row| date(row).expect("data files hold dates")).collect()
});

fn is_holiday(date: Date) -> bool {
    HOLIDAYS.binary_search(&date).is_ok()
}

#[cfg(test)]
mod tests {
    use super::{Day, Quarter, days_of_year};

    fn day(text: &str) -> Day {
        text.parse().expect("a day")
    }

    #[test]
    fn change_days_have_92_and_100_quarter_hours() {
        assert_eq!(day("2025-03-30").quarters(), 92);
        assert_eq!(day("2025-10-26").quarters(), 100);
        assert_eq!(days_of_year(2025).map(|day| day.quarters()).sum::<usize>(), 365 * 96);
        assert_eq!(day("2025-03-30").wall_quarter(8), 12);
        assert_eq!(day("2025-10-26").wall_quarter(12), 8);
        assert_eq!(day("2025-10-26").wall_quarter(99), 95);
        assert_eq!(day("2025-03-30").at_hour(13).since(day("2025-03-30").start()), 48);
    }

    #[test]
    fn days_begin_at_local_midnight() {
        // 2025-01-01T00:00Z is 01:00 in Brussels.
        let start = Quarter::containing(1_735_689_600);
        assert_eq!(start.day(), day("2025-01-01"));
        assert_eq!(start.since(start.day().start()), 4);
        for number in 0..400 {
            let day = day("2025-01-01").plus(number);
            assert_eq!(day.start().day(), day);
            assert_eq!(day.end().plus(-1).day(), day);
        }
    }

    #[test]
    fn a_year_has_ten_holidays() {
        for year in [2024, 2025, 2026] {
            assert_eq!(days_of_year(year).filter(|day| day.is_holiday()).count(), 10, "{year}");
        }
        assert!(day("2025-04-21").is_holiday());
        assert!(day("2025-05-29").is_holiday());
    }

    #[test]
    fn months_add_up() {
        assert_eq!(day("2025-01-31").plus_months(1), day("2025-02-28"));
        assert_eq!(day("2025-03-10").plus_months(12).to_string(), "2026-03-10");
        assert_eq!(day("2024-02-03").month().days(), 29);
    }
}

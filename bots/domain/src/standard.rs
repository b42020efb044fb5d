//! Standard load profiles of households: what thousands of homes take together in a quarter-hour.
//!
//! A profile is BDEW's table by kind of day and time of year, multiplied by the dynamic factor of the day, read at the
//! wall clock of Brussels with the Belgian holidays as Sundays. `tests/reference/demandlib.rs` compares every quarter-hour of two
//! years with demandlib.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use crate::time::Day;

/// Which profile a home's consumption is expected to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum LoadProfile {
    /// BDEW 2025, from measurements of 2018 and 2019: a table for every month.
    #[default]
    H25,
    /// BDEW 1999: three seasons.
    H0,
}

impl LoadProfile {
    /// All of them, in the order of [`Self::index`].
    pub const ALL: [Self; 2] = [Self::H25, Self::H0];

    /// `H25` or `H0`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::H25 => "H25",
            Self::H0 => "H0",
        }
    }

    /// For arrays.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Expected energy of a wall-clock quarter-hour (0 to 95) of a day, in a unit of its own: only shares of a year matter.
    pub fn expected(self, day: Day, wall_quarter: usize) -> f64 {
        let kind = match (day.weekday(), day.is_holiday()) {
            (6, _) | (_, true) => 2,
            (5, _) => 1,
            _ => 0,
        };
        match self {
            Self::H25 => {
                let month = usize::from(day.month().month) - 1;
                H25.at(wall_quarter, month * 3 + kind) * dynamic(H25_FOURTH, f64::from(day.of_year()))
            }
            Self::H0 => {
                // demandlib counts the day of the year in quarter-hours, so that nothing jumps at midnight.
                let passed = f64::from(day.of_year()) - 1.0 + (wall_quarter as f64 + 1.0) / 96.0;
                H0.at(wall_quarter, season(day) * 3 + kind) * dynamic(H0_FOURTH, passed)
            }
        }
    }
}

impl fmt::Display for LoadProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no load profile; there are H25 and H0")]
pub struct NoProfile(String);

impl FromStr for LoadProfile {
    type Err = NoProfile;

    fn from_str(text: &str) -> Result<Self, NoProfile> {
        let found = Self::ALL.into_iter().find(|profile| profile.name() == text);
        found.ok_or_else(|| NoProfile(text.to_owned()))
    }
}

/// BDEW's dynamic factor of households: 1.24 in deep winter, 0.79 in summer.
fn dynamic(fourth: f64, day_of_year: f64) -> f64 {
    let t = day_of_year;
    (((fourth * t + 3.2e-7) * t - 7.02e-5) * t + 2.1e-3) * t + 1.24
}

/// The coefficient as BDEW gives it.
const H25_FOURTH: f64 = -3.92e-10;
/// The coefficient with which demandlib 0.2.2 makes the factor's mean over a year 1.
const H0_FOURTH: f64 = -3.916_649_251e-10;

/// Winter, summer or transition, as columns of the table.
fn season(day: Day) -> usize {
    let month = day.month();
    let date = (month.month, day.since(month.first_day()) + 1);
    match date {
        date if !((3, 21)..(11, 1)).contains(&date) => 0,
        date if ((5, 15)..(9, 15)).contains(&date) => 1,
        _ => 2,
    }
}

/// A data file: a row for each quarter-hour, a column for each kind of day.
struct Table {
    columns: usize,
    values: Vec<f64>,
}

impl Table {
    fn read(text: &str, columns: usize) -> Self {
        let values: Vec<f64> = text
            .lines()
            .skip(1)
            .flat_map(|line| line.split(',').skip(1))
            .map(|value| value.parse().expect("data files hold numbers"))
            .collect();
        assert_eq!(values.len(), 96 * columns, "a value for every quarter-hour and kind of day");
        Self { columns, values }
    }

    fn at(&self, wall_quarter: usize, column: usize) -> f64 {
        self.values[wall_quarter * self.columns + column]
    }
}

static H25: LazyLock<Table> = LazyLock::new(|| Table::read(include_str!("../data/load/h25.csv"), 36));
static H0: LazyLock<Table> = LazyLock::new(|| Table::read(include_str!("../data/load/h0.csv"), 9));

//! The tariff calendar: when the meter counts in T1 and when in T2, as data by zone and date.

use crate::time::Day;

/// Which register counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tariff {
    /// Day.
    T1,
    /// Night, and the weekend in Flanders.
    T2,
}

impl Tariff {
    /// 1 or 2, as meters show it.
    pub const fn number(self) -> u32 {
        self.index() as u32 + 1
    }

    /// 0 or 1, for arrays.
    pub const fn index(self) -> usize {
        match self {
            Self::T1 => 0,
            Self::T2 => 1,
        }
    }
}

/// Where one calendar holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Zone {
    /// Flemish municipalities.
    Flanders,
    /// Walloon municipalities.
    Wallonia,
}

impl Zone {
    /// Walloon Brabant has the postal codes 1300 to 1499.
    pub fn of_postal_code(code: u32) -> Self {
        if (1300..1500).contains(&code) || (4000..8000).contains(&code) {
            Self::Wallonia
        } else {
            Self::Flanders
        }
    }

    /// The tariff at a wall-clock quarter-hour (0 to 95) of a day.
    pub fn tariff(self, day: Day, wall_quarter: usize) -> Tariff {
        let rule = RULES.iter().rev().find(|rule| rule.zone == self && day.year() >= rule.from_year);
        let rule = rule.expect("every zone has a rule from the beginning");
        let hour = wall_quarter / 4;
        let open = rule.weekend || !day.is_weekend();
        match open && rule.windows.iter().any(|(from, until)| (*from..*until).contains(&hour)) {
            true => Tariff::T1,
            false => Tariff::T2,
        }
    }
}

struct Rule {
    zone: Zone,
    from_year: i16,
    /// Whether the windows hold on Saturday and Sunday too. Holidays are as the weekday they fall on.
    weekend: bool,
    /// Hours of T1, from and until.
    windows: &'static [(usize, usize)],
}

/// In order of date; the last one that has begun holds.
const RULES: &[Rule] = &[
    Rule { zone: Zone::Flanders, from_year: 0, weekend: false, windows: &[(7, 22)] },
    Rule { zone: Zone::Wallonia, from_year: 0, weekend: false, windows: &[(7, 22)] },
    Rule { zone: Zone::Wallonia, from_year: 2026, weekend: true, windows: &[(7, 11), (17, 22)] },
];

#[cfg(test)]
mod tests {
    use super::{Tariff, Zone};
    use crate::time::Day;

    #[test]
    fn t1_follows_zone_day_and_year() {
        let day = |text: &str| text.parse::<Day>().expect("a day");
        let at = |zone: Zone, date: &str, hour: usize| zone.tariff(day(date), hour * 4);
        assert_eq!(at(Zone::Flanders, "2025-01-01", 12), Tariff::T1, "a holiday is as its weekday");
        assert_eq!(at(Zone::Flanders, "2025-01-04", 12), Tariff::T2, "Saturday");
        assert_eq!(at(Zone::Flanders, "2025-01-02", 22), Tariff::T2);
        assert_eq!(at(Zone::Wallonia, "2026-01-03", 8), Tariff::T1, "daily from 2026");
        assert_eq!(at(Zone::Wallonia, "2026-01-05", 12), Tariff::T2);
        assert_eq!(Zone::of_postal_code(1300), Zone::Wallonia);
        assert_eq!(Zone::of_postal_code(3000), Zone::Flanders);
    }
}

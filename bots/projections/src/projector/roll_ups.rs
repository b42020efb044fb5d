//! When hours, days and months of regions and providers are to be summed up.
//!
//! A day is summed when a row has come that is well past its end, and again in every batch that brings a row of it later.

use cortexiq_domain::time::Day;

use super::{Periods, Projector};
use crate::ledger::month_of;
use crate::store::Name;
use crate::store::roll_up::{ChangedMonth, LateMonth, SETTLED, Span};

impl Projector {
    /// A row of a day has come.
    pub(super) fn on_row(&mut self, run: u64, day: (i64, i64), time: i64) {
        let settled = self.settled.unwrap_or(SETTLED);
        let periods = &mut self.run(run).periods;
        if day.0 < periods.summed {
            // It comes late; the day is in its place already.
            periods.days.insert(day.0, day.1);
            self.sum_day(run, day);
            return;
        }
        // Homes live side by side: it is seldom another day than that of the row before.
        if day.0 != periods.at {
            periods.days.insert(day.0, day.1);
            periods.at = day.0;
        }
        if time <= periods.newest {
            return;
        }
        periods.newest = time;
        // The days that are over now: nearly always none.
        let mut over = Vec::new();
        for (first, until) in periods.days.range(periods.summed..) {
            if until + settled > time {
                break;
            }
            over.push((*first, *until));
        }
        if let Some((_, until)) = over.last() {
            periods.summed = *until;
        }
        over.into_iter().for_each(|day| self.sum_day(run, day));
    }

    /// A register of a month is written.
    pub(super) fn on_register(&mut self, run: u64, month: i32) {
        let months = &mut self.run(run).periods.months;
        let before = months.last().copied();
        months.insert(month);
        self.batch.changed_months.insert(ChangedMonth { run, month });
        // With the first register of a month the one before it is over.
        if let Some(before) = before.filter(|before| *before < month) {
            self.batch.changed_months.insert(ChangedMonth { run, month: before });
        }
    }

    /// An hour came that the register in memory cannot take: the stored ones are taken from stored trades.
    pub(super) fn on_late_trade(&mut self, run: u64, home: Name, hour: i32) {
        let first = Day::containing(i64::from(hour) * 3600).month().first_day();
        let [hour, until] = [first, first.plus_months(1)].map(|day| (day.start().time() / 3600) as i32);
        let month = month_of(hour);
        self.batch.late_months.insert(LateMonth { run, home, month, hour, until });
        self.on_register(run, month);
    }

    /// A home tells its region after its rows have come.
    pub(super) fn sum_all_again(&mut self, run: u64) {
        let Periods { days, summed, months, .. } = &self.run(run).periods;
        let days: Vec<_> = days.range(..*summed).map(|(first, until)| (*first, *until)).collect();
        let months: Vec<_> = months.iter().map(|month| ChangedMonth { run, month: *month }).collect();
        days.into_iter().for_each(|day| self.sum_day(run, day));
        self.batch.changed_months.extend(months);
    }

    fn sum_day(&mut self, run: u64, (first, until): (i64, i64)) {
        let [quarter, end] = [first, until].map(|time| (time / 900) as i32);
        let month = month_of((first / 3600) as i32);
        self.batch.region_days.insert(Span { run, month, quarter, until: end });
    }
}

impl Periods {
    /// Of a run of which nobody knows what was summed up: every row is late.
    pub(super) fn unknown() -> Self {
        Self { summed: i64::MAX, ..Self::default() }
    }

    /// Takes up a run whose newest row is of this instant and of which these days were summed up, one after the other.
    pub(super) fn restore(&mut self, newest: i64, days: impl IntoIterator<Item = (i64, i64)>) {
        self.days.extend(days);
        let summed = self.days.values().next_back().copied();
        let first = summed.unwrap_or(newest - SETTLED);
        let (mut day, end) = (Day::containing(first), Day::containing(newest));
        (self.newest, self.summed) = (newest, day.start().time());
        while day <= end {
            self.days.insert(day.start().time(), day.end().time());
            day = day.plus(1);
        }
    }
}

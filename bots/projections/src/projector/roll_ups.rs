//! When hours, days and months of regions and providers are to be summed up.
//!
//! A day is summed when a row has come that is well past its end, and again in every batch that brings a row of it later.

use std::collections::BTreeSet;

use cortexiq_domain::time::Day;

use super::{Periods, Projector, Run};
use crate::ledger::month_of;
use crate::store::Name;
use crate::store::roll_up::{ChangedMonth, LateMonth, SETTLED, Span};

impl Projector {
    /// A row of a day has come.
    pub(super) fn on_row(&mut self, run: u64, day: (i64, i64), time: i64) {
        let periods = &mut self.run(run).periods;
        if day.0 < periods.summed {
            // It comes late; the day is in its place already.
            periods.days.insert(day.0, day.1);
            let day = span(run, day);
            self.batch.late_days.insert(day);
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
        self.sum_over(run);
    }

    /// Sums the days of a run that are over by now: nearly always none.
    pub(super) fn sum_over(&mut self, run: u64) {
        let settled = self.settled.unwrap_or(SETTLED);
        let periods = &mut self.run(run).periods;
        let newest = periods.newest;
        let days = periods.days.range(periods.summed..).map(|(first, until)| (*first, *until));
        let over: Vec<_> = days.take_while(|(_, until)| until + settled <= newest).collect();
        if let Some((_, until)) = over.last() {
            periods.summed = *until;
        }
        self.batch.over_days.extend(over.into_iter().map(|day| span(run, day)));
    }

    /// A register of a month is written.
    pub(super) fn on_register(&mut self, run: u64, month: i32) {
        let shared = self.shared;
        let Run { complete, periods, .. } = self.run(run);
        let alone = *complete && !shared;
        let before = periods.months.last().copied();
        periods.months.insert(month);
        // The newest month of who writes alone is not over.
        if !alone || before.is_some_and(|before| month < before) {
            self.batch.changed_months.insert(ChangedMonth { run, month });
        }
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
        self.batch.late_days.extend(days.into_iter().map(|day| span(run, day)));
        self.batch.changed_months.extend(months);
    }
}

fn span(run: u64, (first, until): (i64, i64)) -> Span {
    let [quarter, end] = [first, until].map(|time| (time / 900) as i32);
    let month = month_of((first / 3600) as i32);
    Span { run, month, quarter, until: end }
}

impl Periods {
    /// Of a run of which nobody knows what was summed up: every row is late.
    pub(super) fn unknown() -> Self {
        Self { summed: i64::MAX, ..Self::default() }
    }

    /// Takes up a run with rows from one instant to another, of which days were summed up: all but the last ones, or any of
    /// which somebody has died before it was done.
    pub(super) fn restore(&mut self, (oldest, newest): (i64, i64), days: &BTreeSet<i64>) {
        let (mut day, end) = (Day::containing(oldest), Day::containing(newest));
        (self.newest, self.summed) = (newest, i64::MAX);
        while day <= end {
            let first = day.start().time();
            self.days.insert(first, day.end().time());
            if !days.contains(&first) {
                self.summed = self.summed.min(first);
            }
            day = day.next();
        }
        self.summed = self.summed.min(end.end().time());
    }
}

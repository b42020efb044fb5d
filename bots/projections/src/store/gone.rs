//! What is not kept any more, and what a batch is without it.

use std::collections::{BTreeSet, HashMap};

use super::batch::Batch;
use super::record::Name;
use super::roll_up::Span;
use super::value::Row;

/// What was removed by retention, or is about to be: nothing of it is stored again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Gone(HashMap<u64, i32>);

impl Gone {
    /// The mark of a run that is removed altogether.
    pub(crate) const ALL: i32 = i32::MAX;
    /// All marks there are, by run and quarter-hour.
    pub(super) const READ: &'static str = "SELECT run, quarter FROM retention";
    /// Marks a run, never with an older quarter-hour than before.
    pub(super) const MARK: &'static str = "INSERT INTO retention (run, quarter) VALUES ($1, $2) \
        ON CONFLICT (run) DO UPDATE SET quarter = excluded.quarter WHERE retention.quarter < excluded.quarter";

    pub(super) fn of(rows: &[Row]) -> Self {
        rows.iter().map(|row| (row.int(0) as u64, row.int(1) as i32)).collect()
    }

    /// The first quarter-hour that is kept of a run.
    pub(crate) fn kept_from(&self, run: u64) -> i32 {
        self.0.get(&run).copied().unwrap_or(i32::MIN)
    }

    pub(super) fn runs(&self) -> impl Iterator<Item = (u64, i32)> {
        self.0.iter().map(|(run, quarter)| (*run, *quarter))
    }

    fn has(&self, run: u64, quarter: i32) -> bool {
        quarter < self.kept_from(run)
    }

    fn has_all_of(&self, run: u64) -> bool {
        self.kept_from(run) == Self::ALL
    }
}

impl FromIterator<(u64, i32)> for Gone {
    fn from_iter<T: IntoIterator<Item = (u64, i32)>>(marks: T) -> Self {
        Self(marks.into_iter().collect())
    }
}

impl Batch {
    /// The batch without what has gone, and how many rows that is less; none where nothing of it has.
    pub(super) fn without(&self, gone: &Gone) -> Option<(Self, u64)> {
        if gone.0.is_empty() || self.last_sums || !self.touches(gone) {
            return None;
        }
        let mut rest = self.clone();
        rest.forget_removed_runs(gone);
        rest.measurements.retain(|row| !gone.has(row.run, row.quarter));
        rest.ended_days.retain(|day| !gone.has(day.run, day.quarter));
        // Hours of money are kept longer than quarter-hours.
        let gone_days = |days: &mut BTreeSet<Span>| -> Vec<Span> {
            let gone_days = days.iter().filter(|day| gone.has(day.run, day.quarter)).copied().collect();
            days.retain(|day| !gone.has(day.run, day.quarter));
            gone_days
        };
        let of_money = [gone_days(&mut rest.over_days), gone_days(&mut rest.late_days)].concat();
        rest.late_money_days.extend(of_money);
        let less = (self.len() - rest.len()) as u64;
        Some((rest, less))
    }

    fn touches(&self, gone: &Gone) -> bool {
        self.measurements.iter().any(|row| gone.has(row.run, row.quarter))
            || self.ended_days.iter().any(|day| gone.has(day.run, day.quarter))
            || self.over_days.union(&self.late_days).any(|day| gone.has(day.run, day.quarter))
            || self.mentions_removed_runs(gone)
    }
}

/// Everything that is of a run, in maps by run and in rows.
macro_rules! of_runs {
    (maps $($map:ident)*; rows $($rows:ident)*) => {
        impl Batch {
            fn mentions_removed_runs(&self, gone: &Gone) -> bool {
                false
                    $(|| self.$map.keys().any(|key| gone.has_all_of(key.run())))*
                    $(|| self.$rows.iter().any(|row| gone.has_all_of(row.run)))*
            }

            fn forget_removed_runs(&mut self, gone: &Gone) {
                $(self.$map.retain(|key, _| !gone.has_all_of(key.run()));)*
                $(self.$rows.retain(|row| !gone.has_all_of(row.run));)*
            }
        }
    };
}

of_runs! {
    maps runs homes connections states months providers;
    rows measurements ended_days cleared late_months over_days late_days late_money_days changed_months trades contracts
        contract_events switches offers prices balances rejected
}

/// A key that begins with a run.
trait OfRun {
    fn run(&self) -> u64;
}

impl OfRun for u64 {
    fn run(&self) -> u64 {
        *self
    }
}

impl OfRun for (u64, Name) {
    fn run(&self) -> u64 {
        self.0
    }
}

impl OfRun for (u64, Name, i32, Name) {
    fn run(&self) -> u64 {
        self.0
    }
}

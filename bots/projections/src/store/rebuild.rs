//! Making sums again from the quarter-hours and hours that are stored, month by month.
//!
//! A month is made again in one transaction, from its stored rows alone, so readers see it as it was or as it is. What lies
//! before the oldest row that is still stored stays as it is: nothing is left that it could be made of.

use cortexiq_domain::time::{Day, Month};

use super::daily::EndedDay;
use super::error::Failure;
use super::roll_up::{ChangedMonth, LateMonth, Span};
use super::{Batch, Reader, Store, Value};

impl Store {
    /// Makes the registers of money, the days of homes, and the hours, days and months of regions and providers of a run
    /// again. Tells every month when it is done.
    ///
    /// # Errors
    /// When the database fails; months that were told before are done.
    pub async fn rebuild(&self, run: u64, mut done: impl FnMut(Month)) -> Result<(), Failure> {
        let source = Source::read(self.reader(), run).await?;
        let Some((oldest, newest)) = source.extent() else { return Ok(()) };
        // What is about to be removed may be there in part.
        let oldest = oldest.max(i64::from(self.reader().gone().await?.kept_from(run)) * 900);
        let mut month = Day::containing(oldest).month();
        // Of a month that has lost its beginning only the rest could be summed.
        if oldest > month.first_day().start().time() && oldest != source.start_time {
            month = month.first_day().plus_months(1).month();
        }
        while month.first_day().start().time() <= newest {
            self.write(source.month(run, month, newest).into()).await?;
            done(month);
            month = month.first_day().plus_months(1).month();
        }
        Ok(())
    }
}

/// What a run is made of.
pub(super) struct Source {
    start_time: i64,
    /// Homes with the instants of their first and last quarter-hours.
    homes: Vec<(String, i64, i64)>,
}

impl Source {
    pub(super) async fn read(reader: &Reader, run: u64) -> Result<Self, Failure> {
        let start_time = reader.query(START, [Value::from(run)]).await?.first().map_or(0, |row| row.int(0));
        let rows = reader.query(HOMES, [Value::from(run)]).await?;
        let home = |row: &super::Row| (row.text(0).to_owned(), row.int(1) * 900, row.int(2) * 900);
        Ok(Self { start_time, homes: rows.iter().filter(|row| row.has(1)).map(home).collect() })
    }

    /// The instants of the oldest and of the newest quarter-hour.
    pub(super) fn extent(&self) -> Option<(i64, i64)> {
        let oldest = self.homes.iter().map(|(_, first, _)| *first).min();
        oldest.zip(self.homes.iter().map(|(.., last)| *last).max())
    }

    fn month(&self, run: u64, month: Month, newest: i64) -> Batch {
        let number = i32::from(month.year) * 100 + i32::from(month.month);
        let [begin, end] =
            [month.first_day(), month.first_day().plus_months(1)].map(|day| day.start().time());
        let quarters = [begin, end].map(|time| (time / 900) as i32);
        let mut batch = Batch::default();
        batch.cleared.insert(Span { run, month: number, quarter: quarters[0], until: quarters[1] });
        let days = || (0..month.days()).map(|day| month.first_day().plus(day.into()));
        for (home_id, _, last) in &self.homes {
            let home = batch.name(home_id);
            let [hour, until] = [begin, end].map(|time| (time / 3600) as i32);
            batch.late_months.insert(LateMonth { run, home, month: number, hour, until });
            for day in days().filter(|day| day.end().time() <= last + 900) {
                let [quarter, until] = [day.start(), day.end()].map(|quarter| quarter.number() as i32);
                batch.ended_days.insert(EndedDay { run, home, quarter, until });
            }
        }
        // Whatever comes of a day that is summed sums it again, so none has to be left behind by two weeks here.
        for day in days().filter(|day| day.end().time() <= newest + 900) {
            let [quarter, until] = [day.start(), day.end()].map(|quarter| quarter.number() as i32);
            batch.late_days.insert(Span { run, month: number, quarter, until });
        }
        // With this month the one before it is over, also where its registers had gone.
        let before = month.first_day().previous().month();
        for month in [before, month] {
            let month = i32::from(month.year) * 100 + i32::from(month.month);
            batch.changed_months.insert(ChangedMonth { run, month });
        }
        batch
    }
}

const START: &str = "SELECT start_time FROM runs WHERE run = $1";
const HOMES: &str = "SELECT h.home_id,
    (SELECT min(m.quarter) FROM measurements m WHERE m.run = $1 AND m.home = h.home),
    (SELECT max(m.quarter) FROM measurements m WHERE m.run = $1 AND m.home = h.home)
    FROM homes h WHERE h.run = $1";

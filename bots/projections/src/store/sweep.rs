//! Retention: what is older than the newest months and runs is summed up for the last time and removed.
//!
//! A mark says what is not kept: from then on nobody stores any of it. Then what is not summed up yet is summed up, and it is
//! removed. A process that dies in between leaves the mark, and the next one goes on from there.

use std::collections::HashMap;

use cortexiq_domain::time::{Day, Month};

use super::daily::EndedDay;
use super::error::Failure;
use super::gone::Gone;
use super::rebuild::Source;
use super::roll_up::Span;
use super::{Batch, Reader, Store, Value, Writer};

/// What is kept; everything unless told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keep {
    /// Newest months of a run's quarter-hours; at least 2, or 0 for all of them.
    pub months: u32,
    /// Newest runs; 0 for all of them.
    pub runs: u32,
}

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// A run's quarter-hours before a month.
    Before {
        /// The run.
        run: u64,
        /// The first month that is kept.
        month: Month,
    },
    /// All of a run.
    Run(u64),
}

/// Removes what is not kept, and knows what it has removed.
#[derive(Debug)]
pub struct Sweep {
    keep: Keep,
    removed: HashMap<u64, i32>,
}

impl Keep {
    /// Whether nothing is ever removed.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }
}

impl Sweep {
    /// For everything but what is kept.
    pub fn new(keep: Keep) -> Self {
        Self { keep, removed: HashMap::new() }
    }

    /// Removes what is not kept by now: nearly always nothing.
    ///
    /// # Errors
    /// When the database fails; the next sweep goes on where this one ended.
    pub async fn sweep(&mut self, store: &Store) -> Result<Vec<Removed>, Failure> {
        self.mark(store).await?;
        let gone = store.reader.gone().await?;
        let mut removed = Vec::new();
        for (run, kept_from) in gone.runs() {
            if self.removed.get(&run) == Some(&kept_from) {
                continue;
            }
            removed.push(store.remove(run, kept_from, &gone).await?);
            self.removed.insert(run, kept_from);
        }
        Ok(removed)
    }

    async fn mark(&self, store: &Store) -> Result<(), Failure> {
        let gone = store.reader.gone().await?;
        let rows = store.reader.query(NEWEST, []).await?;
        for (place, row) in rows.iter().enumerate() {
            let (run, newest) = (row.int(0) as u64, row.int(1) * 900);
            let begun = (row.int(2) / 900) as i32;
            let kept_from = match self.keep {
                Keep { runs, .. } if runs > 0 && place >= runs as usize => Gone::ALL,
                Keep { months, .. } if months > 0 && row.has(1) => first_kept(newest, months),
                _ => continue,
            };
            // Before a run has begun there is nothing to remove.
            if kept_from > gone.kept_from(run).max(begun) {
                store.mark(run, kept_from).await?;
            }
        }
        Ok(())
    }
}

/// The first quarter-hour of so many months up to the newest; the smallest number where that is before all time.
fn first_kept(newest: i64, months: u32) -> i32 {
    let mut first = Day::containing(newest).month().first_day();
    for _ in 1..months {
        if first.start().time() <= 0 {
            return i32::MIN;
        }
        first = first.previous().month().first_day();
    }
    first.start().number() as i32
}

impl Reader {
    pub(crate) async fn gone(&self) -> Result<Gone, Failure> {
        Ok(Gone::of(&self.query(Gone::READ, []).await?))
    }
}

impl Store {
    async fn mark(&self, run: u64, kept_from: i32) -> Result<(), Failure> {
        match &self.writer {
            // One thread writes, one thing after the other.
            Writer::Sqlite(writer) => {
                writer.change(Gone::MARK, vec![run.into(), kept_from.into()]).await?;
                Ok(())
            }
            Writer::Postgres(writer) => writer.mark(run, kept_from).await,
        }
    }

    async fn remove(&self, run: u64, kept_from: i32, gone: &Gone) -> Result<Removed, Failure> {
        if kept_from != Gone::ALL {
            self.write(self.reader.missing_sums(run, kept_from).await?.into()).await?;
        }
        if let Writer::Postgres(writer) = &self.writer {
            for month in writer.drop_months(gone).await? {
                tracing::info!(%month, "the quarter-hours of a month are dropped");
            }
        }
        let homes = self.reader.query(HOMES, [Value::from(run)]).await?;
        for home in homes.iter().map(|row| row.int(0)) {
            self.change(QUARTERS, [run.into(), home.into(), kept_from.into()]).await?;
        }
        if kept_from != Gone::ALL {
            let month = Day::containing(i64::from(kept_from) * 900).month();
            return Ok(Removed::Before { run, month });
        }
        for home in homes.iter().map(|row| row.int(0)) {
            for sql in OF_A_HOME {
                self.change(sql, [run.into(), home.into()]).await?;
            }
        }
        for sql in OF_A_RUN {
            self.change(sql, [run.into()]).await?;
        }
        Ok(Removed::Run(run))
    }

    async fn change(
        &self,
        sql: &'static str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<u64, Failure> {
        let values: Vec<Value> = values.into_iter().collect();
        match &self.writer {
            Writer::Sqlite(writer) => writer.change(sql, values).await,
            Writer::Postgres(writer) => writer.change(sql, &values).await,
        }
    }
}

impl Reader {
    /// The sums of days before a quarter-hour that do not hold all that is stored. No more rows of them come.
    async fn missing_sums(&self, run: u64, kept_from: i32) -> Result<Batch, Failure> {
        let mut batch = Batch::of_last_sums();
        let Some((oldest, _)) = Source::read(self, run).await?.extent() else { return Ok(batch) };
        let mut day = Day::containing(oldest);
        while day.end().number() <= i64::from(kept_from) {
            let [quarter, until] = [day.start(), day.end()].map(|quarter| quarter.number() as i32);
            let month = i32::from(day.month().year) * 100 + i32::from(day.month().month);
            let homes = self.query(NOT_SUMMED, [run.into(), quarter.into()]).await?;
            for home in &homes {
                let home = batch.name(home.text(0));
                batch.ended_days.insert(EndedDay { run, home, quarter, until });
            }
            let sums = self.query(SUMMED, [run.into(), quarter.into()]).await?;
            if !homes.is_empty() || sums[0].int(0) != sums[0].int(1) {
                batch.over_days.insert(Span { run, month, quarter, until });
            }
            day = day.next();
        }
        Ok(batch)
    }
}

/// Runs with their newest quarter-hours and their beginnings, the newest run first.
const NEWEST: &str =
    "SELECT r.run, (SELECT max(s.quarter) FROM home_states s WHERE s.run = r.run), r.start_time
    FROM runs r ORDER BY r.run DESC";
const HOMES: &str = "SELECT home FROM home_states WHERE run = $1 ORDER BY home";
/// Homes without a sum of a day.
const NOT_SUMMED: &str = "SELECT n.name FROM home_states s JOIN names n ON n.id = s.home WHERE s.run = $1
    AND NOT EXISTS (SELECT 1 FROM daily d WHERE d.run = $1 AND d.home = s.home AND d.quarter = $2)";
/// How many quarter-hours of a day are summed up home by home, and how many region by region.
const SUMMED: &str = "SELECT (SELECT CAST(coalesce(sum(d.quarters), 0) AS bigint) FROM homes h
        JOIN daily d ON d.run = h.run AND d.home = h.home WHERE h.run = $1 AND d.run = $1 AND d.quarter = $2),
    (SELECT CAST(coalesce(sum(quarters), 0) AS bigint) FROM region_days WHERE run = $1 AND day = $2)";

const QUARTERS: &str = "DELETE FROM measurements WHERE run = $1 AND home = $2 AND quarter < $3";
/// What there is much of, home by home, so that nobody waits long for it.
const OF_A_HOME: [&str; 2] =
    ["DELETE FROM trades WHERE run = $1 AND home = $2", "DELETE FROM daily WHERE run = $1 AND home = $2"];
/// The states of homes are how what is left is found, and the run's own row how the run is: these two come last.
const OF_A_RUN: [&str; 19] = [
    "DELETE FROM homes WHERE run = $1",
    "DELETE FROM home_connections WHERE run = $1",
    "DELETE FROM monthly WHERE run = $1",
    "DELETE FROM contracts WHERE run = $1",
    "DELETE FROM contract_events WHERE run = $1",
    "DELETE FROM contract_switches WHERE run = $1",
    "DELETE FROM providers WHERE run = $1",
    "DELETE FROM offers WHERE run = $1",
    "DELETE FROM prices WHERE run = $1",
    "DELETE FROM region_balances WHERE run = $1",
    "DELETE FROM rejected WHERE run = $1",
    "DELETE FROM region_hours WHERE run = $1",
    "DELETE FROM region_days WHERE run = $1",
    "DELETE FROM market_hours WHERE run = $1",
    "DELETE FROM market_days WHERE run = $1",
    "DELETE FROM market_months WHERE run = $1",
    "DELETE FROM saving_months WHERE run = $1",
    "DELETE FROM home_states WHERE run = $1",
    "DELETE FROM runs WHERE run = $1",
];

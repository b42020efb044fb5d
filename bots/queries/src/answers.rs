//! The answers, read from the read models: one text of SQL for both databases.
//!
//! All of them speak of the newest run. Before anything has run, lists are empty.

mod bill;
mod contracts;
mod history;
mod homes;
mod overview;
mod places;
mod prices;
mod providers;
mod savings;
mod trades;

use std::sync::{Arc, Mutex, PoisonError};

use cortexiq_domain::time::{Day, Month};
use cortexiq_projections::Reader;
use cortexiq_projections::store::{Row, Value};
use cortexiq_proto::TotalsCalculated;
use prost::Message;

use crate::error::QueryError;

/// Answers questions; cheap to clone.
#[derive(Debug, Clone)]
pub struct Answers {
    reader: Reader,
    told: Arc<Mutex<Option<TotalsCalculated>>>,
}

/// The newest run at its newest tick.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Now {
    pub(crate) run: u64,
    pub(crate) time: i64,
    pub(crate) start_time: i64,
    speed: u32,
    paused: bool,
}

impl Answers {
    /// From these read models.
    pub fn new(reader: Reader) -> Self {
        Self { reader, told: Arc::default() }
    }

    /// Takes what the projections tell of themselves: rates, and how much they have stored.
    pub fn on_totals(&self, totals: TotalsCalculated) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(totals);
    }

    async fn now(&self) -> Result<Now, QueryError> {
        const SQL: &str =
            "SELECT run, simulation_time, start_time, speed, paused FROM runs ORDER BY run DESC LIMIT 1";
        let rows = self.read(SQL, []).await?;
        Ok(rows.first().map_or_else(Now::default, |row| Now {
            run: row.int(0) as u64,
            time: row.int(1),
            start_time: row.int(2),
            speed: row.int(3) as u32,
            paused: row.int(4) != 0,
        }))
    }

    async fn read<const N: usize>(
        &self,
        sql: &'static str,
        values: [Value; N],
    ) -> Result<Vec<Row>, QueryError> {
        Ok(self.reader.query(sql, values).await?)
    }

    /// The short key and the region of a home of the run.
    async fn home(&self, now: &Now, home_id: &str) -> Result<(i64, String), QueryError> {
        const SQL: &str = "SELECT home, region FROM homes WHERE run = $1 AND home_id = $2";
        let rows = self.read(SQL, [now.run.into(), home_id.into()]).await?;
        let row = rows.first().ok_or_else(|| QueryError::Unknown(format!("home {home_id:?}")))?;
        Ok((row.int(0), row.text(1).to_owned()))
    }
}

impl Now {
    /// The local month that is under way, as 202501.
    fn month(&self) -> i64 {
        if self.run == 0 { 0 } else { number(Day::containing(self.time).month()) }
    }
}

/// A month as 202501.
fn number(month: Month) -> i64 {
    i64::from(month.year) * 100 + i64::from(month.month)
}

/// A stored payload. One that does not decode reads as an empty message: projections store only what did.
fn message<T: Message + Default>(row: &Row, column: usize) -> T {
    T::decode(row.bytes(column)).unwrap_or_default()
}

//! The read models in a database: PostgreSQL or embedded SQLite, with the same rows and the same queries.
//!
//! A [`Batch`] is written in one transaction. Rows are identified by what they are about, so a batch that is written
//! again changes nothing. Reading goes through [`Reader`], which cannot write.

mod batch;
mod copy;
mod counts;
pub(crate) mod daily;
mod error;
mod gone;
mod migrations;
mod postgres;
mod rebuild;
mod record;
mod recorded;
mod registers;
pub(crate) mod roll_up;
pub(crate) mod rows;
mod sqlite;
mod sweep;
mod url;
mod value;

use std::sync::Arc;

pub use batch::Batch;
pub use counts::Counts;
pub use error::{Failure, Written};
pub(crate) use record::Name;
pub use recorded::{StoredRun, VerifyError};
pub(crate) use registers::Money;
pub use sweep::{Keep, Removed, Sweep};
pub use url::{BadUrl, Database};
pub use value::{Row, Value};

/// Writes and reads the read models.
#[derive(Debug)]
pub struct Store {
    writer: Writer,
    reader: Reader,
}

#[derive(Debug)]
enum Writer {
    Sqlite(sqlite::Writer),
    Postgres(Box<postgres::Writer>),
}

/// Reads the read models; cheap to clone. It connects at the first query and again whenever the connection is lost.
#[derive(Debug, Clone)]
pub struct Reader(Source);

#[derive(Debug, Clone)]
enum Source {
    Sqlite(Arc<sqlite::Reader>),
    Postgres(Arc<postgres::Reader>),
}

impl Store {
    /// Opens the database and brings its schema up to date under a lock.
    pub async fn open(database: &Database) -> Result<Self, Failure> {
        let writer = match database {
            Database::Sqlite(path) => {
                let path = path.clone();
                let opening = tokio::task::spawn_blocking(move || sqlite::Writer::open(&path));
                Writer::Sqlite(opening.await.map_err(Failure::other)??)
            }
            Database::Postgres(url) => Writer::Postgres(Box::new(postgres::Writer::open(url).await?)),
        };
        Ok(Self { writer, reader: Reader::new(database) })
    }

    /// Writes a batch in one transaction. After [`Failure::Gone`] it may be there or not: write it again.
    pub async fn write(&self, batch: Arc<Batch>) -> Result<Written, Failure> {
        match &self.writer {
            Writer::Sqlite(writer) => writer.write(batch).await,
            Writer::Postgres(writer) => writer.write(&batch).await,
        }
    }

    /// Reads the same database.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }
}

impl Reader {
    /// Does not connect yet.
    pub fn new(database: &Database) -> Self {
        Self(match database {
            Database::Sqlite(path) => Source::Sqlite(Arc::new(sqlite::Reader::new(path))),
            Database::Postgres(url) => Source::Postgres(Arc::new(postgres::Reader::new(url))),
        })
    }

    /// Runs a query; `$1` and so on stand for the values, of which there may be more than it asks for.
    pub async fn query(
        &self,
        sql: &'static str,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<Row>, Failure> {
        #[cfg(feature = "fixtures")]
        crate::fixtures::plans::note(sql);
        let values: Vec<Value> = values.into_iter().collect();
        match &self.0 {
            Source::Sqlite(reader) => reader.query(sql, values).await,
            Source::Postgres(reader) => reader.query(sql, &values).await,
        }
    }

    /// The newest run in the read models; none before the first tick.
    pub async fn newest_run(&self) -> Result<Option<u64>, Failure> {
        let rows = self.query("SELECT max(run) FROM runs", []).await?;
        Ok(rows.first().filter(|row| row.has(0)).map(|row| row.int(0) as u64))
    }
}

//! The read models on a PostgreSQL server: one connection writes with binary COPY, others read.

mod partitions;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::OnceLock;

use bytes::Bytes;
use cortexiq_domain::time::Month;
use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod,
};
use futures_util::SinkExt as _;
use futures_util::future::try_join_all;
use tokio::sync::Mutex;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, NoTls, Statement, Transaction};

use super::batch::{Batch, Visitor};
use super::copy::{self, Copy};
use super::daily::sum_up_all;
use super::error::{Failure, Written};
use super::gone::Gone;
use super::migrations;
use super::record::{Record, Repeat, Table};
use super::roll_up::{self, Span};
use super::value::{Row, Value};

/// Writes batches, one at a time.
#[derive(Debug)]
pub(super) struct Writer {
    url: String,
    state: Mutex<Writing>,
}

#[derive(Debug, Default)]
struct Writing {
    client: Option<Client>,
    keys: HashMap<String, i32>,
    /// Tables with a copy for staging on this connection.
    staged: BTreeSet<&'static str>,
    months: BTreeSet<Month>,
    sums: Option<Sums>,
}

/// What sums up, prepared on this connection.
#[derive(Debug)]
struct Sums {
    home_days: Statement,
    registers: Statement,
    days: Vec<Statement>,
    months: Vec<Statement>,
}

impl Sums {
    async fn prepare(client: &Client) -> Result<Self, tokio_postgres::Error> {
        let home_days = client.prepare(&sum_up_all()).await?;
        let registers = client.prepare(roll_up::REGISTERS).await?;
        let days = try_join_all(roll_up::DAY.map(|sql| client.prepare(sql))).await?;
        let months = try_join_all(roll_up::MONTH.map(|sql| client.prepare(sql))).await?;
        Ok(Self { home_days, registers, days, months })
    }
}

impl Writer {
    /// Connects and brings the schema up to date.
    pub(super) async fn open(url: &str) -> Result<Self, Failure> {
        let mut client = connect_to_write(url).await?;
        migrate(&mut client).await?;
        let state = Writing { client: Some(client), ..Writing::default() };
        Ok(Self { url: url.to_owned(), state: Mutex::new(state) })
    }

    pub(super) async fn write(&self, batch: &Batch) -> Result<Written, Failure> {
        self.connected(async |state| state.write(batch).await).await
    }

    /// Runs a statement; tells how many rows it changed.
    pub(super) async fn change(&self, sql: &'static str, values: &[Value]) -> Result<u64, Failure> {
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
        self.connected(async |state| Ok(state.client().execute(sql, &values).await?)).await
    }

    /// Marks what is not kept. When this is done nobody writes rows of it any more.
    pub(super) async fn mark(&self, run: u64, quarter: i32) -> Result<(), Failure> {
        let marking = async |state: &mut Writing| {
            let transaction = state.client().transaction().await?;
            transaction.batch_execute(NO_LONG_WAIT).await?;
            transaction.batch_execute("LOCK TABLE retention IN EXCLUSIVE MODE").await?;
            transaction.execute(Gone::MARK, &[&(run as i64), &quarter]).await?;
            Ok(transaction.commit().await?)
        };
        self.connected(marking).await
    }

    /// Drops the months of quarter-hours of which nothing is kept, whole tables at once.
    pub(super) async fn drop_months(&self, gone: &Gone) -> Result<Vec<Month>, Failure> {
        self.connected(async |state| partitions::drop_gone(state.client(), gone).await).await
    }

    async fn connected<T>(
        &self,
        run: impl AsyncFnOnce(&mut Writing) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut state = self.state.lock().await;
        if state.client.as_ref().is_none_or(Client::is_closed) {
            state.client = Some(connect_to_write(&self.url).await?);
            state.staged.clear();
            state.sums = None;
        }
        let done = run(&mut state).await;
        if matches!(done, Err(Failure::Gone(_))) {
            state.client = None;
        }
        done
    }
}

impl Writing {
    fn client(&mut self) -> &mut Client {
        self.client.as_mut().expect("connected before it is used")
    }

    async fn write(&mut self, batch: &Batch) -> Result<Written, Failure> {
        let mut batch = Cow::Borrowed(batch);
        let (mut expired, mut careful, mut missed) = (0, false, false);
        loop {
            match self.attempt(&batch, careful).await {
                Ok(written) => return Ok(Written { expired, ..written }),
                // Some of it is there already: the same transaction once more, past what is there.
                Err(Attempt::Duplicate) if !careful => careful = true,
                Err(Attempt::Duplicate) => {
                    return Err(Failure::Refused("a key is there although it was passed".into()));
                }
                // A month was removed, and begins anew with these.
                Err(Attempt::NoPartition) if !missed => {
                    self.months.clear();
                    missed = true;
                }
                Err(Attempt::NoPartition) => {
                    return Err(Failure::Refused("a month of quarter-hours is there, and is not".into()));
                }
                Err(Attempt::Expired(rest, rows)) => {
                    batch = Cow::Owned(*rest);
                    expired += rows;
                }
                Err(Attempt::Failed(failure)) => return Err(failure),
            }
        }
    }

    async fn attempt(&mut self, batch: &Batch, careful: bool) -> Result<Written, Attempt> {
        let Self { client, keys, staged, months, sums } = self;
        let client = client.as_mut().expect("connected before writing");
        let keys = resolve(client, keys, batch.texts()).await?;
        partitions::make(client, months, batch).await?;
        let mut copies = Copies { keys: &keys, copies: Vec::new() };
        let Ok(()) = batch.visit(&mut copies);
        let copies = copies.copies;
        let sums = match sums {
            Some(sums) => sums,
            None => sums.insert(Sums::prepare(client).await?),
        };
        let summing = Summing { sums, home_days: HomeDays::new(batch, &keys), batch, keys: &keys };
        try_write(client, staged, &copies, &summing, careful).await
    }
}

enum Attempt {
    Duplicate,
    NoPartition,
    /// What is left of the batch, and how many rows that is less.
    Expired(Box<Batch>, u64),
    Failed(Failure),
}

impl From<Failure> for Attempt {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<tokio_postgres::Error> for Attempt {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code() {
            Some(code) if *code == SqlState::UNIQUE_VIOLATION => Self::Duplicate,
            Some(code) if *code == SqlState::CHECK_VIOLATION => Self::of_check(error),
            _ => Self::Failed(error.into()),
        }
    }
}

impl Attempt {
    /// Rows without a partition violate a check that has no name.
    fn of_check(error: tokio_postgres::Error) -> Self {
        match error.as_db_error().is_some_and(|error| error.constraint().is_none()) {
            true => Self::NoPartition,
            false => Self::Failed(error.into()),
        }
    }
}

async fn try_write(
    client: &mut Client,
    staged: &mut BTreeSet<&'static str>,
    copies: &[Copy],
    summing: &Summing<'_>,
    careful: bool,
) -> Result<Written, Attempt> {
    for copy in copies {
        let Table { name, repeat, .. } = copy.table;
        if (careful || repeat != Repeat::Bulk) && !staged.contains(name) {
            let sql =
                format!("CREATE TEMP TABLE IF NOT EXISTS new_{name} (LIKE {name}) ON COMMIT DELETE ROWS");
            client.batch_execute(&sql).await?;
            staged.insert(name);
        }
    }
    let mut written = Written::default();
    let transaction = client.transaction().await?;
    if let Some((rest, expired)) = summing.batch.without(&gone(&transaction).await?) {
        return Err(Attempt::Expired(Box::new(rest), expired));
    }
    for copy in copies {
        let rows = if careful || copy.table.repeat != Repeat::Bulk {
            merge(&transaction, copy).await?
        } else {
            copy_in(&transaction, copy.table.name, copy).await?
        };
        written.count(copy.table.name, rows);
    }
    summing.sum_up(&transaction).await?;
    transaction.commit().await?;
    Ok(written)
}

/// What is not kept; nothing more is marked so until the transaction ends.
async fn gone(transaction: &Transaction<'_>) -> Result<Gone, tokio_postgres::Error> {
    let locking = transaction.batch_execute("LOCK TABLE retention IN ROW SHARE MODE");
    let (locked, rows) = tokio::join!(locking, transaction.query(Gone::READ, &[]));
    locked?;
    Ok(Gone::of(&rows?.iter().map(row).collect::<Vec<Row>>()))
}

/// What is summed up when the rows of a batch are there.
struct Summing<'a> {
    sums: &'a Sums,
    home_days: HomeDays,
    batch: &'a Batch,
    keys: &'a [i32],
}

impl Summing<'_> {
    async fn sum_up(&self, transaction: &Transaction<'_>) -> Result<(), tokio_postgres::Error> {
        let Self { sums, home_days: HomeDays { runs, homes, quarters, untils }, batch, keys } = self;
        let sums_of_many = !batch.cleared.is_empty()
            || !batch.changed_months.is_empty()
            || !batch.over_days.is_empty()
            || !batch.late_days.is_empty()
            || !batch.late_money_days.is_empty();
        if sums_of_many {
            // Whoever sums after others sees what they have written.
            transaction.batch_execute(&format!("SELECT pg_advisory_xact_lock({ROLL_UP_LOCK})")).await?;
        }
        for month in &batch.cleared {
            let run = month.run as i64;
            for sql in roll_up::CLEAR {
                transaction.execute(sql, &[&run, &month.quarter, &month.until]).await?;
            }
            for sql in roll_up::CLEAR_MONTH {
                transaction.execute(sql, &[&run, &month.month]).await?;
            }
        }
        if !runs.is_empty() {
            transaction.execute(&sums.home_days, &[runs, homes, quarters, untils]).await?;
        }
        for late in &batch.late_months {
            let home = keys[late.home.0 as usize];
            let values: [&(dyn ToSql + Sync); 5] =
                [&(late.run as i64), &home, &late.month, &late.hour, &late.until];
            transaction.execute(&sums.registers, &values).await?;
        }
        let sum = async |day: &Span, sum: &Statement| {
            transaction.execute(sum, &[&(day.run as i64), &day.month, &day.quarter, &day.until]).await
        };
        for day in batch.over_days.union(&batch.late_days) {
            for sql in &sums.days {
                sum(day, sql).await?;
            }
        }
        for day in &batch.late_money_days {
            for sql in &sums.days[roll_up::DAY_IN_ENERGY..] {
                sum(day, sql).await?;
            }
        }
        for month in &batch.changed_months {
            for sum in &sums.months {
                transaction.execute(sum, &[&(month.run as i64), &month.month]).await?;
            }
        }
        Ok(())
    }
}

/// Days of homes that end with a transaction, column by column.
#[derive(Default)]
struct HomeDays {
    runs: Vec<i64>,
    homes: Vec<i32>,
    quarters: Vec<i32>,
    untils: Vec<i32>,
}

impl HomeDays {
    fn new(batch: &Batch, keys: &[i32]) -> Self {
        let mut days = Self::default();
        for day in &batch.ended_days {
            days.runs.push(day.run as i64);
            days.homes.push(keys[day.home.0 as usize]);
            days.quarters.push(day.quarter);
            days.untils.push(day.until);
        }
        days
    }
}

async fn copy_in(
    transaction: &Transaction<'_>,
    into: &str,
    copy: &Copy,
) -> Result<u64, tokio_postgres::Error> {
    let sql = format!("COPY {into} ({}) FROM STDIN (FORMAT binary)", copy.table.columns());
    let sink = transaction.copy_in::<_, Bytes>(&sql).await?;
    let mut sink = std::pin::pin!(sink);
    let mut rest = copy.bytes.clone();
    while !rest.is_empty() {
        sink.feed(rest.split_to(rest.len().min(COPY_CHUNK))).await?;
    }
    sink.finish().await
}

async fn merge(transaction: &Transaction<'_>, copy: &Copy) -> Result<u64, tokio_postgres::Error> {
    let Table { name, .. } = copy.table;
    copy_in(transaction, &format!("new_{name}"), copy).await?;
    let (columns, on_conflict) = (copy.table.columns(), copy.table.on_conflict());
    let sql = format!("INSERT INTO {name} ({columns}) SELECT {columns} FROM new_{name} {on_conflict}");
    transaction.execute(&sql, &[]).await
}

struct Copies<'a> {
    keys: &'a [i32],
    copies: Vec<Copy>,
}

impl Visitor for Copies<'_> {
    type Error = std::convert::Infallible;

    fn table<R: Record>(&mut self, rows: &[&R]) -> Result<(), Self::Error> {
        self.copies.push(copy::encode(rows, self.keys));
        Ok(())
    }
}

/// The keys of a batch's names in their order; they are kept when the rows are not.
async fn resolve(
    client: &Client,
    known: &mut HashMap<String, i32>,
    texts: &[String],
) -> Result<Vec<i32>, Failure> {
    let fresh: Vec<&str> =
        texts.iter().filter(|text| !known.contains_key(*text)).map(String::as_str).collect();
    if !fresh.is_empty() {
        const FIND: &str = "SELECT name, id FROM names WHERE name = ANY($1)";
        const ADD: &str = "INSERT INTO names (name) SELECT name FROM unnest($1::text[]) name \
            WHERE NOT EXISTS (SELECT FROM names known WHERE known.name = name.name) ON CONFLICT (name) DO NOTHING";
        client.execute(ADD, &[&fresh]).await?;
        for row in client.query(FIND, &[&fresh]).await? {
            known.insert(row.get(0), row.get(1));
        }
    }
    let keys = texts.iter().map(|text| {
        let key = known.get(text).copied();
        key.ok_or_else(|| Failure::Refused(format!("the name {text:?} was not kept")))
    });
    std::iter::once(Ok(0)).chain(keys).collect()
}

/// Reads on connections of its own, several queries at once.
#[derive(Debug)]
pub(super) struct Reader {
    url: String,
    pool: OnceLock<Pool>,
}

impl Reader {
    pub(super) fn new(url: &str) -> Self {
        Self { url: url.to_owned(), pool: OnceLock::new() }
    }

    pub(super) async fn query(&self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>, Failure> {
        let client = self.pool()?.get().await.map_err(no_connection)?;
        let statement = client.prepare_cached(sql).await?;
        let values: Vec<&(dyn ToSql + Sync)> =
            values[..statement.params().len()].iter().map(|value| value as _).collect();
        let rows = client.query(&statement, &values).await?;
        Ok(rows.iter().map(row).collect())
    }

    fn pool(&self) -> Result<&Pool, Failure> {
        if let Some(pool) = self.pool.get() {
            return Ok(pool);
        }
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(self.url.parse()?, NoTls, recycling);
        let read_only = Hook::async_fn(|client: &mut ClientWrapper, _| {
            Box::pin(async {
                let set = client.batch_execute("SET default_transaction_read_only = on");
                set.await.map_err(HookError::Backend)
            })
        });
        let pool = Pool::builder(manager).max_size(READING).post_create(read_only).build();
        Ok(self.pool.get_or_init(|| pool.expect("needs no timeouts, so no runtime")))
    }
}

fn no_connection(error: PoolError) -> Failure {
    match error {
        PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => error.into(),
        other => Failure::other(other),
    }
}

fn row(row: &tokio_postgres::Row) -> Row {
    let value = |index: usize| match *row.columns()[index].type_() {
        Type::INT2 => row.get::<_, Option<i16>>(index).map(|value| Value::Int(value.into())),
        Type::INT4 => row.get::<_, Option<i32>>(index).map(|value| Value::Int(value.into())),
        Type::INT8 => row.get::<_, Option<i64>>(index).map(Value::Int),
        Type::BOOL => row.get::<_, Option<bool>>(index).map(|value| Value::Int(value.into())),
        Type::FLOAT8 => row.get::<_, Option<f64>>(index).map(Value::Real),
        Type::BYTEA => row.get::<_, Option<Vec<u8>>>(index).map(Value::Bytes),
        _ => row.get::<_, Option<String>>(index).map(Value::Text),
    };
    Row((0..row.len()).map(|index| value(index).unwrap_or(Value::Null)).collect())
}

async fn connect_to_write(url: &str) -> Result<Client, Failure> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // It ends when the client is dropped or the server goes; every statement then says why.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to PostgreSQL lost");
        }
    });
    client.batch_execute(PLANNING).await?;
    Ok(client)
}

async fn migrate(client: &mut Client) -> Result<(), Failure> {
    let transaction = client.transaction().await?;
    // Two that start together do not both create.
    transaction.batch_execute(&format!("SELECT pg_advisory_xact_lock({SCHEMA_LOCK})")).await?;
    transaction
        .batch_execute("CREATE TABLE IF NOT EXISTS schema_migrations (version integer PRIMARY KEY)")
        .await?;
    let done: i32 =
        transaction.query_one("SELECT coalesce(max(version), 0) FROM schema_migrations", &[]).await?.get(0);
    for (version, step) in (1_i32..).zip(migrations::STEPS).skip(done as usize) {
        transaction.batch_execute(&migrations::for_postgres(step)).await?;
        transaction.execute("INSERT INTO schema_migrations (version) VALUES ($1)", &[&version]).await?;
    }
    Ok(transaction.commit().await?)
}

/// Tables grow by millions of rows while a plan would be kept. Of a month of 500 homes, once analyzed, a day is found home by home in
/// 48 to 62 ms with these; with the server's own costs in 165 ms by reading all of it in three processes, and with a plan from when
/// it was empty in 286 ms (`EXPLAIN ANALYZE`). A month that is not analyzed yet takes 210 ms either way.
const PLANNING: &str = "SET plan_cache_mode = force_custom_plan; SET random_page_cost = 1.1; \
    SET max_parallel_workers_per_gather = 0; SET jit = off";
/// What is handed to the connection at once; a guess, some socket buffers long.
const COPY_CHUNK: usize = 256 * 1024;
/// Queries of a process that are answered at once; the others wait. A guess, some for each core of a database.
const READING: usize = 4;
/// What retention locks others wait for: where they hold it for long, it tries again later.
const NO_LONG_WAIT: &str = "SET LOCAL lock_timeout = '1s'";
/// The advisory lock under which the schema changes: `cortexiq` in ASCII.
const SCHEMA_LOCK: i64 = 0x636f_7274_6578_6971;
/// The advisory lock under which several writers sum up one after the other.
const ROLL_UP_LOCK: i64 = SCHEMA_LOCK + 1;

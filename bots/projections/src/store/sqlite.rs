//! The read models in an embedded SQLite file: one thread writes, several connections read.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, Statement, named_params, params};
use tokio::sync::oneshot;

use super::batch::{Batch, Visitor};
use super::daily::sum_up;
use super::error::{Failure, Written};
use super::gone::Gone;
use super::migrations;
use super::record::{Name, Record, Sink};
use super::roll_up::{self, Span};
use super::value::{Row, Value};

/// Writes batches on a thread of its own, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Writer {
    orders: mpsc::SyncSender<Order>,
}

enum Order {
    Write(Arc<Batch>, Reply<Written>),
    Change(&'static str, Vec<Value>, Reply<u64>),
}

type Reply<T> = oneshot::Sender<Result<T, Failure>>;

impl Writer {
    /// Opens or creates the file and brings its schema up to date.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let mut connection = Connection::open(path)?;
        prepare(&connection)?;
        migrate(&mut connection)?;
        let (orders, received) = mpsc::sync_channel::<Order>(ORDERS);
        thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || {
                let mut keys = HashMap::new();
                for order in received {
                    // Whoever asked may have gone; the rows are written all the same.
                    match order {
                        Order::Write(batch, done) => {
                            drop(done.send(write(&mut connection, &mut keys, &batch)));
                        }
                        Order::Change(sql, values, done) => {
                            drop(done.send(change(&connection, sql, &values)))
                        }
                    }
                }
            })
            .map_err(Failure::other)?;
        Ok(Self { orders })
    }

    pub(super) async fn write(&self, batch: Arc<Batch>) -> Result<Written, Failure> {
        self.order(|done| Order::Write(batch, done)).await
    }

    /// Runs a statement between two batches; tells how many rows it changed.
    pub(super) async fn change(&self, sql: &'static str, values: Vec<Value>) -> Result<u64, Failure> {
        self.order(|done| Order::Change(sql, values, done)).await
    }

    async fn order<T>(&self, order: impl FnOnce(Reply<T>) -> Order) -> Result<T, Failure> {
        let (done, result) = oneshot::channel();
        let gone = || Failure::Gone("the writer of the database has ended".into());
        // At most one batch and one change are under way, so this never blocks.
        self.orders.try_send(order(done)).map_err(|_| gone())?;
        result.await.map_err(|_| gone())?
    }
}

/// Reads on threads of the runtime, with connections that cannot write.
#[derive(Debug)]
pub(super) struct Reader {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Reader {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), idle: Mutex::default() }
    }

    pub(super) async fn query(
        self: &Arc<Self>,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, Failure> {
        let reader = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || reader.read(sql, &values));
        reading.await.map_err(Failure::other)?
    }

    fn read(&self, sql: &str, values: &[Value]) -> Result<Vec<Row>, Failure> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = idle().pop();
        let connection = match waiting {
            Some(connection) => connection,
            None => {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let connection = Connection::open_with_flags(&self.path, flags)?;
                connection.busy_timeout(BUSY)?;
                connection.set_prepared_statement_cache_capacity(STATEMENTS);
                connection
            }
        };
        let rows = read(&connection, sql, values);
        let mut idle = idle();
        if idle.len() < READERS {
            idle.push(connection);
        }
        rows
    }
}

fn prepare(connection: &Connection) -> Result<(), Failure> {
    connection.busy_timeout(BUSY)?;
    write_ahead(connection)?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

/// Where another process opens the same new file, SQLite refuses at once and not after the time that it was given.
fn write_ahead(connection: &Connection) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && begun.elapsed() < BUSY =>
            {
                thread::sleep(RETRY);
            }
            set => return Ok(set?),
        }
    }
}

fn migrate(connection: &mut Connection) -> Result<(), Failure> {
    // Nobody else writes while this is open, so two that start together do not both create.
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive)?;
    transaction
        .execute_batch("CREATE TABLE IF NOT EXISTS schema_migrations (version integer PRIMARY KEY)")?;
    let done: i64 =
        transaction
            .query_row("SELECT coalesce(max(version), 0) FROM schema_migrations", [], |row| row.get(0))?;
    for (version, step) in (1..).zip(migrations::STEPS).skip(done as usize) {
        transaction.execute_batch(&migrations::for_sqlite(step))?;
        transaction.execute("INSERT INTO schema_migrations (version) VALUES (?1)", params![version])?;
    }
    Ok(transaction.commit()?)
}

fn write(
    connection: &mut Connection,
    keys: &mut HashMap<String, i32>,
    batch: &Batch,
) -> Result<Written, Failure> {
    let keys = resolve(connection, keys, batch.texts())?;
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let rest = batch.without(&Gone::of(&read(&transaction, Gone::READ, &[])?));
    let (batch, expired) = rest.as_ref().map_or((batch, 0), |(rest, expired)| (rest, *expired));
    let mut inserting = Inserting { connection: &transaction, keys: &keys, written: Written::default() };
    batch.visit(&mut inserting)?;
    let written = Written { expired, ..inserting.written };
    clear(&transaction, batch)?;
    if !batch.ended_days.is_empty() {
        let mut sum_up = transaction.prepare_cached(&sum_up())?;
        for day in &batch.ended_days {
            let home = keys[day.home.0 as usize];
            sum_up.execute(
                named_params! { "$1": day.run as i64, "$2": home, "$3": day.quarter, "$4": day.until },
            )?;
        }
    }
    roll_up(&transaction, batch, &keys)?;
    transaction.commit()?;
    Ok(written)
}

fn clear(transaction: &Connection, batch: &Batch) -> Result<(), Failure> {
    for month in &batch.cleared {
        for sql in roll_up::CLEAR {
            let values = named_params! { "$1": month.run as i64, "$2": month.quarter, "$3": month.until };
            transaction.prepare_cached(sql)?.execute(values)?;
        }
        for sql in roll_up::CLEAR_MONTH {
            let values = named_params! { "$1": month.run as i64, "$2": month.month };
            transaction.prepare_cached(sql)?.execute(values)?;
        }
    }
    Ok(())
}

fn roll_up(transaction: &Connection, batch: &Batch, keys: &[i32]) -> Result<(), Failure> {
    for late in &batch.late_months {
        let home = keys[late.home.0 as usize];
        let values = named_params! {
            "$1": late.run as i64, "$2": home, "$3": late.month, "$4": late.hour, "$5": late.until
        };
        transaction.prepare_cached(roll_up::REGISTERS)?.execute(values)?;
    }
    let sum = |day: &Span, sql| {
        let values =
            named_params! { "$1": day.run as i64, "$2": day.month, "$3": day.quarter, "$4": day.until };
        transaction.prepare_cached(sql)?.execute(values)
    };
    for day in batch.over_days.union(&batch.late_days) {
        for sql in roll_up::DAY {
            sum(day, sql)?;
        }
    }
    for day in &batch.late_money_days {
        for sql in &roll_up::DAY[roll_up::DAY_IN_ENERGY..] {
            sum(day, sql)?;
        }
    }
    for month in &batch.changed_months {
        for sql in roll_up::MONTH {
            let values = named_params! { "$1": month.run as i64, "$2": month.month };
            transaction.prepare_cached(sql)?.execute(values)?;
        }
    }
    Ok(())
}

/// The keys of a batch's names in their order, with a transaction of their own: a key is kept when rows are not.
fn resolve(
    connection: &mut Connection,
    known: &mut HashMap<String, i32>,
    texts: &[String],
) -> Result<Vec<i32>, Failure> {
    if texts.iter().any(|text| !known.contains_key(text)) {
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let mut fresh = Vec::new();
        {
            let mut insert = transaction
                .prepare_cached("INSERT INTO names (name) VALUES (?1) ON CONFLICT (name) DO NOTHING")?;
            let mut find = transaction.prepare_cached("SELECT id FROM names WHERE name = ?1")?;
            for text in texts.iter().filter(|text| !known.contains_key(*text)) {
                insert.execute([text])?;
                fresh.push((text.clone(), find.query_row([text], |row| row.get(0))?));
            }
        }
        transaction.commit()?;
        known.extend(fresh);
    }
    Ok(std::iter::once(0).chain(texts.iter().map(|text| known[text])).collect())
}

struct Inserting<'a> {
    connection: &'a Connection,
    /// By place; the first is none.
    keys: &'a [i32],
    written: Written,
}

impl Visitor for Inserting<'_> {
    type Error = Failure;

    fn table<R: Record>(&mut self, rows: &[&R]) -> Result<(), Failure> {
        let table = R::TABLE;
        let places: Vec<String> = (1..=table.columns.len()).map(|place| format!("?{place}")).collect();
        let (columns, places) = (table.columns(), places.join(", "));
        let sql = format!("INSERT INTO {} ({columns}) VALUES ({places}) {}", table.name, table.on_conflict());
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut changed = 0;
        for row in rows {
            let mut binding = Binding { statement: &mut statement, keys: self.keys, place: 0, failed: None };
            row.put(&mut binding);
            if let Some(error) = binding.failed {
                return Err(error.into());
            }
            changed += statement.raw_execute()?;
        }
        self.written.count(table.name, changed as u64);
        Ok(())
    }
}

struct Binding<'a, 'c> {
    statement: &'a mut Statement<'c>,
    keys: &'a [i32],
    place: usize,
    failed: Option<rusqlite::Error>,
}

impl Binding<'_, '_> {
    fn bind(&mut self, value: impl rusqlite::ToSql) {
        self.place += 1;
        if let Err(error) = self.statement.raw_bind_parameter(self.place, value) {
            self.failed = Some(error);
        }
    }
}

impl Sink for Binding<'_, '_> {
    fn int2(&mut self, value: i16) {
        self.bind(value);
    }

    fn int4(&mut self, value: i32) {
        self.bind(value);
    }

    fn int8(&mut self, value: i64) {
        self.bind(value);
    }

    fn real(&mut self, value: f64) {
        self.bind(value);
    }

    fn text(&mut self, value: &str) {
        self.bind(value);
    }

    fn bytes(&mut self, value: &[u8]) {
        self.bind(value);
    }

    fn name(&mut self, value: Name) {
        self.bind(self.keys[value.0 as usize]);
    }
}

fn change(connection: &Connection, sql: &str, values: &[Value]) -> Result<u64, Failure> {
    let mut statement = connection.prepare_cached(sql)?;
    bind(&mut statement, values)?;
    Ok(statement.raw_execute()? as u64)
}

fn bind(statement: &mut Statement<'_>, values: &[Value]) -> Result<(), Failure> {
    for (index, value) in values.iter().enumerate() {
        // `$1` is a name to SQLite: found by it, wherever it stands first.
        let place = statement.parameter_index(&format!("${}", index + 1))?;
        let Some(place) = place else { continue };
        match value {
            Value::Null => statement.raw_bind_parameter(place, rusqlite::types::Null)?,
            Value::Int(value) => statement.raw_bind_parameter(place, value)?,
            Value::Real(value) => statement.raw_bind_parameter(place, value)?,
            Value::Text(value) => statement.raw_bind_parameter(place, value)?,
            Value::Bytes(value) => statement.raw_bind_parameter(place, value)?,
        }
    }
    Ok(())
}

fn read(connection: &Connection, sql: &str, values: &[Value]) -> Result<Vec<Row>, Failure> {
    let mut statement = connection.prepare_cached(sql)?;
    bind(&mut statement, values)?;
    let columns = statement.column_count();
    let mut found = statement.raw_query();
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let values: Result<Vec<Value>, Failure> = (0..columns)
            .map(|column| {
                Ok(match row.get_ref(column)? {
                    ValueRef::Null => Value::Null,
                    ValueRef::Integer(value) => Value::Int(value),
                    ValueRef::Real(value) => Value::Real(value),
                    ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                    ValueRef::Blob(bytes) => Value::Bytes(bytes.to_owned()),
                })
            })
            .collect();
        rows.push(Row(values?));
    }
    Ok(rows)
}

/// Batches that wait for the writer; callers wait for one before they send the next.
const ORDERS: usize = 4;
/// How long a statement waits for another process's lock; a guess, longer than any of our transactions.
const BUSY: Duration = Duration::from_secs(10);
/// How long until a lock that SQLite does not wait for is asked for again.
const RETRY: Duration = Duration::from_millis(5);
/// Negative means KiB to SQLite: 64 MiB of pages.
const CACHE_KIB: i64 = -64 * 1024;
/// 4 KiB pages until the log is folded into the file: 64 MiB.
const CHECKPOINT_PAGES: i64 = 16 * 1024;
/// All statements of this crate and of queries.
const STATEMENTS: usize = 96;
/// Connections that are kept for readers.
const READERS: usize = 4;

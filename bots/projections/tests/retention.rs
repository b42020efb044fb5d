//! What is not kept is removed, and every sum of it stays what it was: whoever dies on the way, whatever comes afterwards.

use std::time::Duration;

use cortexiq_domain::ledger::RUN;
use cortexiq_domain::random::{Random, of_name};
use cortexiq_domain::time::Day;
use cortexiq_projections::fixtures::{Postgres, World};
use cortexiq_projections::message::Message;
use cortexiq_projections::projector::Projector;
use cortexiq_projections::store::{Keep, Removed, Row, Sweep, Value, Written};
use cortexiq_projections::{Database, Reader, Store};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_kept_leaves_sqlite() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = |name: &str| Database::Sqlite(directory.path().join(name));
    what_is_not_kept_leaves([database("all"), database("kept")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_kept_leaves_postgresql() {
    let server = Postgres::start().expect("a server");
    let database = async || server.database().await.expect("a database");
    let kept = database().await;
    what_is_not_kept_leaves([database().await, kept.clone()]).await;

    // Its months of quarter-hours went with their tables.
    let reader = Reader::new(&kept);
    let rows = reader.query(PARTITIONS, []).await.expect("read");
    let partitions: Vec<&str> = rows.iter().map(|row| row.text(0)).collect();
    let first_kept = ["measurements_2025_03", "measurements_2025_04", "measurements_2025_05"];
    assert_eq!(partitions, first_kept);
}

const PARTITIONS: &str = "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'measurements'::regclass ORDER BY c.relname";

async fn what_is_not_kept_leaves([all, kept]: [Database; 2]) {
    // From 29 January to 3 April.
    let mut world = World::new(65, 2);
    world.by_time();
    let [all, store] = [all, kept.clone()].map(async |database| Store::open(&database).await.expect("opens"));
    let (all, store) = (all.await, store.await);
    // As it is beside a running process: where the database takes several writers, on a connection of its own.
    let sweeping = match &kept {
        Database::Sqlite(_) => None,
        Database::Postgres(_) => Some(Store::open(&kept).await.expect("opens")),
    };
    let sweeping = sweeping.as_ref().unwrap_or(&store);
    let march: Day = "2025-03-01".parse().expect("a day");

    // 1. A run goes on while the months behind it are removed by processes that die.
    world.fill(&all).await;
    let of_new_run = world.said_of(2);
    let mut late: Vec<_> =
        world.said.iter().filter(|said| is_measured_before(said, march)).take(50).cloned().collect();
    let mut trades = 0;
    late.extend(world.said.extract_if(.., |said| {
        trades += i64::from(said.0.ends_with("home.traded"));
        said.0.ends_with("home.traded") && trades % 50 == 0 && trades <= 1000
    }));
    let random = Random::new(7, of_name("sweeps"));
    for (index, batch) in (0_i64..).zip(world.batches(2_000)) {
        // First sums of days of all homes are lost with a process now and then.
        let (rows, sums) = (*batch).clone().split();
        store.write(rows.into()).await.expect("written");
        if random.at(1, index).is_multiple_of(3) {
            store.write(sums.into()).await.expect("written");
        }
        if index == 0 {
            let removed = Sweep::new(TWO_MONTHS).sweep(sweeping).await.expect("swept");
            assert_eq!(removed, [], "nothing is older than the run");
        }
        let alive = Duration::from_millis(random.at(2, index) % 20);
        let _died = tokio::time::timeout(alive, Sweep::new(TWO_MONTHS).sweep(sweeping)).await;
    }
    let removed = Sweep::new(TWO_MONTHS).sweep(sweeping).await.expect("swept");
    assert_eq!(removed, [Removed::Before { run: RUN, month: march.month() }]);
    compare(&SUMS[..OF_ENERGY], &all, &store, march, "swept").await;

    // 2. Quarter-hours that come late are not stored and change nothing; hours of money are kept longer.
    let written = apply(&store, &late).await;
    assert_eq!((written.expired, written.measurements, written.trades), (50, 0, 20));
    compare(&SUMS, &all, &store, march, "after late rows").await;
    assert_kept(&store, &world, march).await;

    // 3. Only what is kept is made again.
    let mut months = Vec::new();
    store.rebuild(RUN, |month| months.push(month.to_string())).await.expect("made again");
    assert_eq!(months, ["2025-03", "2025-04"]);
    compare(&SUMS, &all, &store, march, "made again").await;
    assert_kept(&store, &world, march).await;

    // 4. A new run begins with months that were removed. The old one goes, and its stragglers with it.
    let (begin, rest) = of_new_run.split_at(of_new_run.len() / 3);
    apply(&store, begin).await;
    let keep = Keep { months: 2, runs: 1 };
    for round in 0..20 {
        let alive = Duration::from_millis(round * 3);
        let _died = tokio::time::timeout(alive, Sweep::new(keep).sweep(sweeping)).await;
    }
    let mut sweep = Sweep::new(keep);
    assert!(sweep.sweep(sweeping).await.expect("swept").contains(&Removed::Run(RUN)));
    assert_eq!(sweep.sweep(sweeping).await.expect("swept"), [], "nothing is left to be removed");
    assert_eq!(tables_with(&store, &kept, RUN).await, [""; 0]);
    let stragglers = &world.said[world.said.len() - 500..];
    let written = apply(&store, stragglers).await;
    assert!(written.expired > 0, "{written:?}");
    assert_eq!(tables_with(&store, &kept, RUN).await, [""; 0]);

    apply(&store, rest).await;
    sweep.sweep(sweeping).await.expect("swept");
    let report = store.reader().verify(2, world.plan.end_time).await.expect("compared");
    assert!(report.equal, "{:#?}", report.differences);
}

const TWO_MONTHS: Keep = Keep { months: 2, runs: 0 };

/// Whoever starts takes up what is stored, and writes.
async fn apply(store: &Store, said: &[(&'static str, Vec<u8>)]) -> Written {
    let mut projector = Projector::default();
    projector.restore(store.reader()).await.expect("restored");
    let mut all = Written::default();
    for (topic, payload) in said {
        projector.apply(Message::decode(topic, payload).expect("a right message"), payload);
        if projector.waiting() >= 2_000 {
            count(&mut all, store.write(projector.take().into()).await.expect("written"));
        }
    }
    count(&mut all, store.write(projector.take().into()).await.expect("written"));
    projector.reread(store.reader()).await.expect("read again");
    count(&mut all, store.write(projector.take().into()).await.expect("written"));
    all
}

fn count(all: &mut Written, written: Written) {
    all.measurements += written.measurements;
    all.trades += written.trades;
    all.expired += written.expired;
}

fn is_measured_before((topic, payload): &(&'static str, Vec<u8>), day: Day) -> bool {
    match Message::decode(topic, payload).expect("a right message") {
        Message::HomeMeasured(measured) => measured.time < day.start().time(),
        _ => false,
    }
}

/// Quarter-hours from a day on are stored, all that were ever stored are counted, and nothing is wrong with any of them.
async fn assert_kept(store: &Store, world: &World, first: Day) {
    let oldest = "SELECT min(quarter) FROM measurements WHERE run = $1";
    let rows = store.reader().query(oldest, [RUN.into()]).await.expect("read");
    assert_eq!(rows[0].int(0), first.start().number());
    assert_eq!(store.reader().counts(RUN).await.expect("counted").measurements, world.ledger.measured);
    let report = store.reader().verify(RUN, world.plan.end_time).await.expect("compared");
    assert!(report.equal, "{:#?}", report.differences);
    assert_eq!((report.lost, report.stored), (0, world.ledger.measured));
}

/// Sums of what was removed are those of a database that keeps everything.
async fn compare(sums: &[&'static str], all: &Store, store: &Store, before: Day, what: &str) {
    for sql in sums.iter().copied() {
        let rows = async |store: &Store| -> Vec<Row> {
            let values: [Value; 2] = [RUN.into(), before.start().number().into()];
            store.reader().query(sql, values).await.expect("read")
        };
        let wanted = rows(all).await;
        assert!(!wanted.is_empty(), "{sql}");
        assert_eq!(rows(store).await, wanted, "{what}: {sql}");
    }
}

/// The first ones of [`SUMS`].
const OF_ENERGY: usize = 3;
/// Of what is before a quarter-hour, in order.
const SUMS: [&str; 6] = [
    "SELECT n.name, d.quarter, d.until, d.pv_wh, d.load_wh, d.import_wh, d.export_wh, d.charge_wh, d.discharge_wh,
        d.state_of_charge, d.peak_wh, d.peak_quarter, d.quarters
    FROM daily d JOIN names n ON n.id = d.home WHERE d.run = $1 AND d.quarter < $2 ORDER BY d.quarter, n.name",
    "SELECT region, hour, pv_wh, load_wh, import_wh, export_wh, charge_wh, discharge_wh, quarters
    FROM region_hours WHERE run = $1 AND hour < CAST($2 AS bigint) / 4 ORDER BY hour, region",
    "SELECT region, month, day, until, pv_wh, load_wh, import_wh, export_wh, charge_wh, discharge_wh, quarters
    FROM region_days WHERE run = $1 AND day < $2 ORDER BY day, region",
    "SELECT m.region, n.name, m.hour, m.import_wh, m.export_wh, m.cost, m.revenue, m.trades
    FROM market_hours m JOIN names n ON n.id = m.provider
    WHERE m.run = $1 AND m.hour < CAST($2 AS bigint) / 4 ORDER BY m.hour, m.region, n.name",
    "SELECT m.region, n.name, m.day, m.import_wh, m.export_wh, m.cost, m.revenue, m.trades
    FROM market_days m JOIN names n ON n.id = m.provider WHERE m.run = $1 AND m.day < $2 ORDER BY m.day, m.region, n.name",
    "SELECT m.region, n.name, m.month, m.import_wh, m.export_wh, m.cost, m.revenue
    FROM market_months m JOIN names n ON n.id = m.provider
    WHERE m.run = $1 AND CAST($2 AS bigint) > 0 ORDER BY m.month, m.region, n.name",
];

/// Tables that hold anything of a run, but for the mark that it is removed.
async fn tables_with(store: &Store, database: &Database, run: u64) -> Vec<&'static str> {
    let tables = match database {
        Database::Sqlite(_) => {
            "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = 'run'"
        }
        Database::Postgres(_) => {
            "SELECT t.table_name::text FROM information_schema.tables t
            JOIN information_schema.columns c ON c.table_name = t.table_name AND c.column_name = 'run'
            WHERE t.table_type = 'BASE TABLE' AND t.table_schema = 'public' AND t.table_name NOT LIKE 'measurements\\_%'"
        }
    };
    let rows = store.reader().query(tables, []).await.expect("read");
    assert!(rows.len() > 20, "{rows:?}");
    let mut found = Vec::new();
    for table in rows.iter().map(|row| row.text(0)).filter(|table| *table != "retention") {
        // A test asks few questions, which may live as long as it does.
        let sql: &'static str = format!("SELECT count(*) FROM {table} WHERE run = $1").leak();
        let rows = store.reader().query(sql, [run.into()]).await.expect("counted");
        if rows[0].int(0) > 0 {
            found.push(&*table.to_owned().leak());
        }
    }
    found
}

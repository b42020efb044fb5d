//! Both databases keep the same rows, once, whole batches only.

use std::sync::Arc;

use cortexiq_domain::ledger::RUN;
use cortexiq_domain::verify::Stored as _;
use cortexiq_projections::fixtures::{Postgres, World};
use cortexiq_projections::store::Row;
use cortexiq_projections::{Counts, Database, Store};
use futures_util::future::join_all;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_conforms() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = |name: &str| Database::Sqlite(directory.path().join(name));
    let world = World::new(4, 3);
    the_same_rows_come_back(&world, &database("rows")).await;
    a_batch_applied_twice_changes_nothing(&world, &database("twice")).await;
    days_are_the_sums_of_their_quarter_hours(&database("days")).await;
    for round in 0..20 {
        several_open_a_new_database_at_once(&database(&format!("new {round}"))).await;
    }
    queries_cannot_write(&world, &database("read")).await;
    peaks_are_found_again(&world, &database("peaks")).await;

    // The last table of a batch refuses.
    let database = database("half");
    let store = Store::open(&database).await.expect("opens");
    let Database::Sqlite(path) = &database else { unreachable!("made above") };
    let connection = rusqlite::Connection::open(path).expect("opens");
    let refuse = "CREATE TRIGGER never BEFORE INSERT ON prices BEGIN SELECT RAISE(ABORT, 'never'); END";
    connection.execute_batch(refuse).expect("added");
    interrupted(&world, &store, async || {
        connection.execute_batch("DROP TRIGGER never").expect("dropped");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_conforms() {
    let server = Postgres::start().expect("a server");
    let world = World::new(4, 3);
    the_same_rows_come_back(&world, &server.database().await.expect("a database")).await;
    a_batch_applied_twice_changes_nothing(&world, &server.database().await.expect("a database")).await;
    days_are_the_sums_of_their_quarter_hours(&server.database().await.expect("a database")).await;
    several_open_a_new_database_at_once(&server.database().await.expect("a database")).await;
    queries_cannot_write(&world, &server.database().await.expect("a database")).await;
    peaks_are_found_again(&world, &server.database().await.expect("a database")).await;

    let database = server.database().await.expect("a database");
    let store = Store::open(&database).await.expect("opens");
    let client = self::client(&database).await;
    client.batch_execute("ALTER TABLE prices ADD CONSTRAINT never CHECK (time < 0)").await.expect("added");
    interrupted(&world, &store, async || {
        client.batch_execute("ALTER TABLE prices DROP CONSTRAINT never").await.expect("dropped");
    })
    .await;

    // A month that cannot be made, since another partition has its rows.
    let database = server.database().await.expect("a database");
    let store = Store::open(&database).await.expect("opens");
    let client = self::client(&database).await;
    let ever = "CREATE TABLE ever PARTITION OF measurements FOR VALUES FROM (MINVALUE) TO (MAXVALUE)";
    client.batch_execute(ever).await.expect("made");
    interrupted(&world, &store, async || {
        client.batch_execute("DROP TABLE ever").await.expect("dropped");
    })
    .await;

    // The scheme that an earlier deployment wrote.
    let ecto: Database = server.url("ecto", "test_0").parse().expect("understood");
    let counts = Store::open(&ecto).await.expect("opens").reader().counts(RUN).await.expect("counted");
    assert_eq!(counts, expected(&world));

    a_server_that_goes_and_comes_back(&world, &server).await;
}

async fn the_same_rows_come_back(world: &World, database: &Database) {
    let store = Store::open(database).await.expect("opens");
    world.fill(&store).await;
    assert_eq!(store.reader().counts(RUN).await.expect("counted"), expected(world));
    let recorded = store.reader().recorded(RUN).await.expect("read back");
    let mut homes = world.plan.homes.clone();
    homes.sort_by(|left, right| left.id.cmp(&right.id));
    assert_eq!(recorded.homes, homes);
    assert_eq!(recorded.prices, world.ledger.prices);
    assert_eq!((recorded.seed, recorded.start_time), (world.plan.seed, world.plan.start_time));
    assert_eq!(recorded.end_time, world.plan.end_time);
    let mut contracts = world.ledger.confirmed.clone();
    contracts.sort_by_key(|contract| contract.contract_id.clone());
    let mut found = recorded.contracts;
    found.sort_by_key(|contract| contract.contract_id.clone());
    assert_eq!(found, contracts);
    let mut stored = store.reader().stored(RUN);
    let totals = tokio::task::spawn_blocking(move || stored.totals()).await.expect("joined").expect("read");
    assert_eq!(totals, world.ledger.totals);

    // A process that starts again finds the same totals.
    let mut projector = cortexiq_projections::projector::Projector::default();
    projector.restore(store.reader()).await.expect("restored");
    let shown = projector.totals().expect("a run");
    let total = world.ledger.totals.total();
    assert_eq!((shown.production_wh, shown.consumption_wh), (total.production_wh, total.consumption_wh));
    assert_eq!((shown.cost, shown.revenue), (total.cost, total.revenue));
    assert_eq!((shown.measured, shown.homes), (world.ledger.measured, 9));
}

async fn a_batch_applied_twice_changes_nothing(world: &World, database: &Database) {
    let store = Store::open(database).await.expect("opens");
    for batch in world.batches(3_000) {
        let first = store.write(Arc::clone(&batch)).await.expect("written");
        let again = store.write(batch).await.expect("written");
        assert_eq!(again, cortexiq_projections::store::Written::default(), "after {first:?}");
    }
    // Cut at other places, by a process that knows no keys.
    let other = Store::open(database).await.expect("opens");
    for batch in world.batches(1_111) {
        other.write(batch).await.expect("written");
    }
    assert_eq!(other.reader().counts(RUN).await.expect("counted"), expected(world));
    let end = world.plan.end_time;
    let report = other.reader().verify(RUN, end).await.expect("compared");
    assert!(report.equal, "{:#?}", report.differences);
}

/// In whatever order they come: here the last of a day comes first, in a batch before the others.
async fn days_are_the_sums_of_their_quarter_hours(database: &Database) {
    let store = Store::open(database).await.expect("opens");
    let mut world = World::new(4, 3);
    world.said.reverse();
    for batch in world.batches(500) {
        store.write(batch).await.expect("written");
    }
    const SAME: &str = "SELECT count(*), sum(CASE WHEN
            d.quarters = (SELECT count(*) FROM measurements m WHERE m.run = d.run AND m.home = d.home
                AND m.quarter >= d.quarter AND m.quarter < d.until)
            AND d.import_wh = (SELECT sum(m.import_wh) FROM measurements m WHERE m.run = d.run AND m.home = d.home
                AND m.quarter >= d.quarter AND m.quarter < d.until)
            AND d.peak_wh = (SELECT max(m.import_wh) FROM measurements m WHERE m.run = d.run AND m.home = d.home
                AND m.quarter >= d.quarter AND m.quarter < d.until)
            AND d.state_of_charge = (SELECT m.state_of_charge FROM measurements m WHERE m.run = d.run
                AND m.home = d.home AND m.quarter = d.until - 1)
        THEN 1 ELSE 0 END) FROM daily d WHERE d.run = $1";
    let rows = store.reader().query(SAME, [RUN.into()]).await.expect("read");
    assert_eq!((rows[0].int(0), rows[0].int(1)), (4 * 9, 4 * 9), "days, and those that are right");
}

/// A database of the version before knows the times of its peaks afterwards.
async fn peaks_are_found_again(world: &World, database: &Database) {
    let store = Store::open(database).await.expect("opens");
    world.fill(&store).await;
    let peaks =
        "SELECT n.name, d.quarter, d.peak_wh, d.peak_quarter FROM daily d JOIN names n ON n.id = d.home
        ORDER BY n.name, d.quarter";
    let known = store.reader().query(peaks, []).await.expect("read");
    let within = |row: &Row| row.int(3) >= row.int(1) && row.int(3) < row.int(1) + 100;
    assert!(known.len() == 4 * 9 && known.iter().all(within));
    let before = "ALTER TABLE daily DROP COLUMN peak_quarter; DROP TABLE retention;
        DELETE FROM schema_migrations WHERE version = 4";
    match database {
        Database::Sqlite(path) => {
            rusqlite::Connection::open(path).expect("opens").execute_batch(before).expect("done");
        }
        Database::Postgres(_) => client(database).await.batch_execute(before).await.expect("done"),
    }
    let store = Store::open(database).await.expect("opens");
    assert_eq!(store.reader().query(peaks, []).await.expect("read"), known);
}

async fn several_open_a_new_database_at_once(database: &Database) {
    let opened = join_all((0..6).map(|_| Store::open(database))).await;
    opened.into_iter().for_each(|store| drop(store.expect("opens")));
}

async fn queries_cannot_write(world: &World, database: &Database) {
    let store = Store::open(database).await.expect("opens");
    world.fill(&store).await;
    store.reader().query("DELETE FROM trades WHERE run = $1", [RUN.into()]).await.expect_err("must not");
    assert_eq!(store.reader().counts(RUN).await.expect("counted"), expected(world));
}

/// A batch meets a failure on its way, and later is written again.
async fn interrupted(world: &World, store: &Store, mend: impl AsyncFnOnce()) {
    let batches = world.batches(usize::MAX);
    store.write(Arc::clone(&batches[0])).await.expect_err("a table refuses");
    let trades = "SELECT (SELECT count(*) FROM trades) + (SELECT count(*) FROM measurements)
        + (SELECT count(*) FROM homes) + (SELECT count(*) FROM runs)";
    let rows = store.reader().query(trades, []).await.expect("read");
    assert_eq!(rows[0].int(0), 0, "no half of it");
    mend().await;
    store.write(Arc::clone(&batches[0])).await.expect("written");
    assert_eq!(store.reader().counts(RUN).await.expect("counted"), expected(world));
}

async fn a_server_that_goes_and_comes_back(world: &World, server: &Postgres) {
    let database = server.database().await.expect("a database");
    let store = Store::open(&database).await.expect("opens");
    let batches = world.batches(2_000);
    store.write(Arc::clone(&batches[0])).await.expect("written");
    server.stop().expect("stops");
    store.write(Arc::clone(&batches[1])).await.expect_err("the server is gone");
    server.begin().expect("starts");
    for batch in batches.iter().skip(1) {
        store.write(Arc::clone(batch)).await.expect("written on a new connection");
    }
    assert_eq!(store.reader().counts(RUN).await.expect("counted"), expected(world));
}

async fn client(database: &Database) -> tokio_postgres::Client {
    let Database::Postgres(url) = database else { unreachable!("a server's database") };
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("connects");
    tokio::spawn(connection);
    client
}

fn expected(world: &World) -> Counts {
    Counts {
        homes: world.plan.homes.len() as u64,
        providers: world.plan.providers.len() as u64,
        measurements: world.ledger.measured,
        trades: world.ledger.measured / 4,
        prices: world.ledger.prices.len() as u64,
        offers: 0,
        confirmed_contracts: world.ledger.contracts as u64,
        cross_region_contracts: world.ledger.cross_region_contracts as u64,
        rejected_contracts: 0,
        contract_switches: world.said.iter().filter(|said| said.0.ends_with("switched")).count() as u64,
        rejected: 0,
    }
}

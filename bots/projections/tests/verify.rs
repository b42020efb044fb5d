//! `verify` reads the read models: a run that is whole is equal, and what was lost, doubled or altered is named.

use cortexiq_domain::ledger::RUN;
use cortexiq_domain::verify::Report;
use cortexiq_projections::fixtures::World;
use cortexiq_projections::message::Message;
use cortexiq_projections::projector::Projector;
use cortexiq_projections::{Database, Store};

struct Filled {
    world: World,
    store: Store,
    _directory: tempfile::TempDir,
    direct: rusqlite::Connection,
}

async fn filled() -> Filled {
    let world = World::new(7, 4);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("world.db");
    let store = Store::open(&Database::Sqlite(path.clone())).await.expect("opens");
    world.fill(&store).await;
    let direct = rusqlite::Connection::open(path).expect("opens");
    Filled { world, store, _directory: directory, direct }
}

impl Filled {
    async fn verify(&self) -> Report {
        self.store.reader().verify(RUN, self.world.plan.end_time).await.expect("compared")
    }

    fn change(&self, sql: &str) {
        assert_eq!(self.direct.execute(sql, []).expect("changed"), 1, "{sql}");
    }

    /// The first instant of the run's `hour`-th hour.
    fn hour(&self, hour: i64) -> i64 {
        self.world.plan.start_time + hour * 3600
    }
}

const ANTWERP_2: &str = "run = 1 AND home = (SELECT id FROM names WHERE name = 'ant_002')";

#[tokio::test]
async fn a_whole_run_is_equal() {
    let filled = filled().await;
    let report = filled.verify().await;
    assert!(report.equal, "{:#?}", report.differences);
    assert_eq!((report.lost, report.stored), (0, 7 * 96 * 12));
    assert_eq!(report.totals, filled.world.ledger.totals);
}

#[tokio::test]
async fn a_dropped_measurement_is_named() {
    let filled = filled().await;
    let time = filled.hour(50) + 900;
    filled.change(&format!("DELETE FROM measurements WHERE {ANTWERP_2} AND quarter = {}", time / 900));
    let report = filled.verify().await;
    assert!(!report.equal);
    assert_eq!(report.lost, 1);
    assert_eq!((report.differences[0].home.as_str(), report.differences[0].time), ("ant_002", time));
    assert_eq!(report.differences[0].field, "measurement");
}

#[tokio::test]
async fn a_trade_applied_twice_is_named() {
    // Twice into its row, as an adding upsert would do.
    let doubled = filled().await;
    let time = doubled.hour(60);
    let hour = time / 3600;
    doubled.change(&format!("UPDATE trades SET cost = 2 * cost + 1 WHERE {ANTWERP_2} AND hour = {hour}"));
    let report = doubled.verify().await;
    assert!(!report.equal);
    assert_eq!((report.differences[0].home.as_str(), report.differences[0].time), ("ant_002", time));
    assert_eq!(report.differences[0].field, "cost");

    // Twice under another key, where no hour of the run is.
    let twice = filled().await;
    let time = twice.hour(7 * 24);
    twice.change(&format!(
        "INSERT INTO trades SELECT run, home, {}, contract, provider, left_contract, left_provider, import_wh, export_wh,
        cost, revenue, import_price, export_price, left_cost, left_revenue FROM trades WHERE {ANTWERP_2} AND hour = {hour}",
        time / 3600
    ));
    let report = twice.verify().await;
    assert!(!report.equal);
    assert_eq!((report.differences[0].home.as_str(), report.differences[0].time), ("ant_002", time));
    assert_eq!(report.differences[0].found, "a row too many");

    // Twice on the register of its month: the region's money is wrong.
    let summed = filled().await;
    summed.change(&format!(
        "UPDATE monthly SET cost = cost + (SELECT cost + 1 FROM trades t WHERE t.home = monthly.home AND hour = {hour})
        WHERE {ANTWERP_2} AND month = 202501
        AND provider = (SELECT provider FROM trades t WHERE t.home = monthly.home AND hour = {hour})"
    ));
    let report = summed.verify().await;
    assert!(!report.equal);
    assert_eq!((report.differences[0].home.as_str(), report.differences[0].field), ("antwerp", "cost"));
}

#[tokio::test]
async fn an_altered_register_is_named() {
    let filled = filled().await;
    let time = filled.hour(99);
    let quarter = time / 900;
    filled.change(&format!(
        "UPDATE measurements SET import_t1_wh = import_t1_wh + 1 WHERE {ANTWERP_2} AND quarter = {quarter}"
    ));
    let report = filled.verify().await;
    assert!(!report.equal);
    assert_eq!((report.differences[0].home.as_str(), report.differences[0].time), ("ant_002", time));
    assert_eq!(report.differences[0].field, "import_t1_wh");
}

/// A home that starts again tells some of its past once more, and an hour comes late.
#[tokio::test]
async fn hours_that_come_again_or_late_count_once_on_their_registers() {
    let world = World::new(4, 2);
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(&Database::Sqlite(directory.path().join("world.db"))).await.expect("opens");
    let mut projector = Projector::default();
    let is_trade = |said: &&(&str, Vec<u8>)| said.0.ends_with("home.traded");
    let late = world.said.iter().filter(is_trade).nth(30).expect("a trade");
    let again = world.said.iter().filter(is_trade).take(60);
    for (topic, payload) in world.said.iter().filter(|said| *said != late).chain(again) {
        projector.apply(Message::decode(topic, payload).expect("a right message"), payload);
        if projector.waiting() >= 500 {
            store.write(projector.take().into()).await.expect("written");
        }
    }
    store.write(projector.take().into()).await.expect("written");
    projector.reread(store.reader()).await.expect("read again");
    store.write(projector.take().into()).await.expect("written");
    let report = store.reader().verify(RUN, world.plan.end_time).await.expect("compared");
    assert!(report.equal, "{:#?}", report.differences);
    let (shown, total) = (projector.totals().expect("a run"), world.ledger.totals.total());
    assert_eq!((shown.cost, shown.revenue), (total.cost, total.revenue));
}

//! Roll-ups are the sums of what is stored, whatever comes late, twice or in disorder, and whoever starts again in between.

use std::collections::BTreeMap;

use cortexiq_domain::ledger::RUN;
use cortexiq_domain::random::{Random, of_name};
use cortexiq_domain::time::Day;
use cortexiq_projections::fixtures::{Postgres, World};
use cortexiq_projections::message::Message;
use cortexiq_projections::projector::Projector;

use cortexiq_projections::{Batch, Database, Reader, Store};

/// More of them with `ROLL_UP_SEEDS=100 cargo test -p cortexiq-projections --test roll_ups`.
fn seeds() -> u64 {
    std::env::var("ROLL_UP_SEEDS").map_or(3, |text| text.parse().expect("ROLL_UP_SEEDS is a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roll_ups_in_sqlite_are_naive_sums() {
    let directory = tempfile::tempdir().expect("a directory");
    for seed in 1..=seeds() {
        let database = Database::Sqlite(directory.path().join(format!("{seed}.db")));
        roll_ups_are_naive_sums(&database, seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roll_ups_in_postgresql_are_naive_sums() {
    let server = Postgres::start().expect("a server");
    for seed in 1..=seeds() {
        roll_ups_are_naive_sums(&server.database().await.expect("a database"), seed).await;
    }
}

async fn roll_ups_are_naive_sums(database: &Database, seed: u64) {
    // Three days of January and three of February.
    let mut world = World::new(6, 2);
    disorder(&mut world, Random::new(seed, of_name("roll ups")));
    let store = Store::open(database).await.expect("opens");
    let mut projector = Projector::default().settling(6 * 3600);
    let random = Random::new(seed, of_name("batches"));
    let mut undone = Vec::new();
    for (index, (topic, payload)) in (0_i64..).zip(&world.said) {
        projector.apply(Message::decode(topic, payload).expect("a right message"), payload);
        if random.at(1, index).is_multiple_of(150) {
            let (rows, sums) = projector.take().split();
            store.write(rows.into()).await.expect("written");
            undone.push(sums);
            projector.reread(store.reader()).await.expect("read again");
            if random.at(8, index).is_multiple_of(8) {
                write_all(&store, &mut undone).await;
            }
            // A process that starts again knows what is stored, and nothing else.
            if random.at(2, index).is_multiple_of(5) {
                undone.clear();
                let (rows, _) = projector.take().split();
                store.write(rows.into()).await.expect("written");
                projector = Projector::default().settling(6 * 3600);
                projector.restore(store.reader()).await.expect("restored");
            }
        }
    }
    write_all(&store, &mut undone).await;
    for _ in 0..2 {
        store.write(projector.take().into()).await.expect("written");
        projector.reread(store.reader()).await.expect("read again");
    }
    store.write(projector.take().into()).await.expect("written");

    let naive = Naive::new(&world);
    // The last day has not been left behind by six hours yet.
    let left_behind = world.plan.end_time - 86_400;
    naive.compare(store.reader(), left_behind, &format!("seed {seed}")).await;
    let report = store.reader().verify(RUN, world.plan.end_time).await.expect("compared");
    assert!(report.equal, "seed {seed}: {:#?}", report.differences);

    // Made again from what is stored, whatever stood there.
    for table in ["daily", "monthly", "region_hours", "market_days", "market_months", "saving_months"] {
        damage(database, &format!("DELETE FROM {table} WHERE run = {RUN}")).await;
    }
    damage(database, "UPDATE region_days SET pv_wh = pv_wh + 1").await;
    damage(database, "UPDATE market_hours SET cost = cost + 1").await;
    let mut months = Vec::new();
    store.rebuild(RUN, |month| months.push(month.to_string())).await.expect("made again");
    assert_eq!(months, ["2025-01", "2025-02"]);
    naive.compare(store.reader(), world.plan.end_time, &format!("seed {seed}, made again")).await;
    let report = store.reader().verify(RUN, world.plan.end_time).await.expect("compared");
    assert!(report.equal, "seed {seed}: {:#?}", report.differences);
}

async fn write_all(store: &Store, batches: &mut Vec<Batch>) {
    for batch in batches.drain(..) {
        store.write(batch.into()).await.expect("written");
    }
}

async fn damage(database: &Database, sql: &str) {
    match database {
        Database::Sqlite(path) => {
            rusqlite::Connection::open(path).expect("opens").execute_batch(sql).expect("damaged");
        }
        Database::Postgres(url) => {
            let (client, connection) =
                tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("connects");
            tokio::spawn(connection);
            client.batch_execute(sql).await.expect("damaged");
        }
    }
}

/// In the order of a live run, but for what comes up to two days late, and for what comes twice.
fn disorder(world: &mut World, random: Random) {
    world.by_time();
    let mut said: Vec<(i64, (&'static str, Vec<u8>))> = Vec::new();
    for (index, message) in (0_i64..).zip(world.said.drain(..)) {
        let late = |what| match random.at(what, index) % 40 {
            0 => (random.at(what + 1, index) % 3_000) as i64,
            _ => 0,
        };
        if random.at(3, index).is_multiple_of(50) {
            said.push((index + late(4), message.clone()));
        }
        said.push((index + late(6), message));
    }
    said.sort_by_key(|(place, _)| *place);
    world.said = said.into_iter().map(|(_, message)| message).collect();
}

/// By region, provider and time: four numbers.
type Sums = BTreeMap<(String, String, i64), [i64; 4]>;

#[derive(Default)]
struct Naive {
    region_hours: Sums,
    region_days: Sums,
    market_hours: Sums,
    market_days: Sums,
    january: Sums,
    savings: Sums,
}

impl Naive {
    fn new(world: &World) -> Self {
        let mut naive = Self::default();
        let mut rows = BTreeMap::new();
        for (topic, payload) in &world.said {
            let message = Message::decode(topic, payload).expect("a right message");
            match &message {
                Message::HomeMeasured(m) => rows.insert((0, m.home_id.clone(), m.time), message),
                Message::HomeTraded(t) => rows.insert((1, t.home_id.clone(), t.time), message),
                _ => None,
            };
        }
        let region = |home_id: &str| {
            let home = world.plan.homes.iter().find(|home| home.id == home_id).expect("a home");
            home.address.region.name().to_owned()
        };
        let mut saved: BTreeMap<String, i64> = BTreeMap::new();
        for message in rows.values() {
            match message {
                Message::HomeMeasured(m) => {
                    let of = |time| (region(&m.home_id), String::new(), time);
                    let sum = [m.pv_wh, m.load_wh, m.import_wh, m.export_wh].map(i64::from);
                    add(&mut naive.region_hours, of(m.time.div_euclid(3600)), sum);
                    add(&mut naive.region_days, of(day(m.time)), sum);
                }
                Message::HomeTraded(t) => {
                    let of = |time| (region(&t.home_id), t.provider_id.clone(), time);
                    let sum = [t.import_wh.into(), t.export_wh.into(), t.cost, t.revenue];
                    add(&mut naive.market_hours, of(t.time / 3600), sum);
                    add(&mut naive.market_days, of(day(t.time)), sum);
                    if Day::containing(t.time).month().month == 1 {
                        add(&mut naive.january, of(202_501), sum);
                        *saved.entry(t.home_id.clone()).or_default() += cortexiq_domain::trade::saving(t);
                    }
                }
                _ => {}
            }
        }
        for (home_id, saving) in saved {
            let sum = [saving.max(0), cortexiq_domain::bill::commission(saving), 0, 0];
            add(&mut naive.savings, (region(&home_id), String::new(), 202_501), sum);
        }
        naive
    }

    /// Days and hours are there up to the instant `last`.
    async fn compare(&self, reader: &Reader, last: i64, what: &str) {
        let read = async |sql: &'static str| {
            let rows = reader.query(sql, [RUN.into()]).await.expect("read");
            let row = |row: &cortexiq_projections::store::Row| {
                let key = (row.text(0).to_owned(), row.text(1).to_owned(), row.int(2));
                (key, [3, 4, 5, 6].map(|column| row.int(column)))
            };
            rows.iter().map(row).collect::<Sums>()
        };
        let until = |sums: &Sums, unit: i64| -> Sums {
            sums.iter()
                .filter(|((.., time), _)| time * unit < last)
                .map(|(key, sum)| (key.clone(), *sum))
                .collect()
        };
        assert_eq!(read(REGION_HOURS).await, until(&self.region_hours, 3600), "{what}");
        assert_eq!(read(REGION_DAYS).await, until(&self.region_days, 900), "{what}");
        assert_eq!(read(MARKET_HOURS).await, until(&self.market_hours, 3600), "{what}");
        assert_eq!(read(MARKET_DAYS).await, until(&self.market_days, 900), "{what}");
        assert_eq!(read(MARKET_MONTHS).await, self.january, "{what}");
        assert_eq!(read(SAVING_MONTHS).await, self.savings, "{what}");
    }
}

/// The first quarter-hour of a local day.
fn day(time: i64) -> i64 {
    Day::containing(time).start().time() / 900
}

fn add(sums: &mut Sums, key: (String, String, i64), numbers: [i64; 4]) {
    let sum = sums.entry(key).or_default();
    sum.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
}

const REGION_HOURS: &str =
    "SELECT region, '', hour, pv_wh, load_wh, import_wh, export_wh FROM region_hours WHERE run = $1";
const REGION_DAYS: &str =
    "SELECT region, '', day, pv_wh, load_wh, import_wh, export_wh FROM region_days WHERE run = $1";
const MARKET_HOURS: &str = "SELECT m.region, n.name, m.hour, m.import_wh, m.export_wh, m.cost, m.revenue
    FROM market_hours m JOIN names n ON n.id = m.provider WHERE m.run = $1";
const MARKET_DAYS: &str = "SELECT m.region, n.name, m.day, m.import_wh, m.export_wh, m.cost, m.revenue
    FROM market_days m JOIN names n ON n.id = m.provider WHERE m.run = $1";
const MARKET_MONTHS: &str = "SELECT m.region, n.name, m.month, m.import_wh, m.export_wh, m.cost, m.revenue
    FROM market_months m JOIN names n ON n.id = m.provider WHERE m.run = $1";
const SAVING_MONTHS: &str =
    "SELECT region, '', month, savings, commission, 0, 0 FROM saving_months WHERE run = $1";

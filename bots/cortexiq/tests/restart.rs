//! Homes and utilities die by SIGKILL or are told to stop at random moments of a run, and come back. Nothing of it is left in
//! what is stored.
//!
//! `RESTART_SEED` chooses other moments and another world, `RESTART_DAYS` makes the life longer, with two and a half restarts a
//! day: `RESTART_SEED=3 RESTART_DAYS=12 cargo test -p cortexiq --test restart -- --nocapture`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cortexiq::mesh::{Mesh, Place, Ports};
use cortexiq::thread::Thread;
use cortexiq_domain::agent::HomeEvent;
use cortexiq_domain::home_file;
use cortexiq_domain::ledger::{Plan, observed};
use cortexiq_domain::provider::roster;
use cortexiq_domain::random::{Random, of_name};
use cortexiq_domain::region::Region;
use cortexiq_domain::time::Day;
use cortexiq_domain::verify::{Recorded, Report, Stored as _};
use cortexiq_projections::{Database, Projections, Reader};
use cortexiq_proto::{ContractConfirmed, SpotPriceUpdated};
use cortexiq_shell::Mesh as Access;
use cortexiq_simulation::Simulation;

/// Homes of each region: one with a car at least, and some with batteries.
const HOMES: usize = 9;
/// An hour of the simulation takes 0.3 s.
const SPEED: u32 = 12_000;
const PROVIDERS: usize = 3;

/// Three days take 22 s.
fn days() -> i64 {
    setting("RESTART_DAYS").unwrap_or(3)
}

fn seed() -> u64 {
    setting("RESTART_SEED").unwrap_or(11) as u64
}

/// Restarts of homes and of utilities in all regions.
fn restarts() -> i64 {
    days() * 5 / 2 + 1
}

fn setting(name: &str) -> Option<i64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}

#[test]
fn bots_restarted_at_random_moments_leave_no_trace() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let directory = tempfile::tempdir().expect("a directory");
    let database = Database::Sqlite(directory.path().join("restart.db"));
    let report = runtime.block_on(async {
        let mesh = Mesh::start(Ports { base: 0 }).await.expect("the gateways start");
        let hub = || Access::at(mesh.url(Place::Hub));
        let config = cortexiq_projections::Config::new(hub(), database.clone());
        let projections = Thread::spawn("projections", || Projections::start(config), Projections::run).await;
        let projections = projections.expect("the projections start");
        let mut bots: Vec<Bot> = Region::ALL
            .into_iter()
            .flat_map(|region| ["utilities-bot", "homes-bot"].map(|kind| (kind, region)))
            .map(|(kind, region)| Bot::start(kind, region, &mesh.url(Place::Region(region))))
            .collect();
        let mut config = cortexiq_simulation::Config::new(hub());
        (config.speed, config.seed, config.start_time) = (SPEED, seed(), start());
        config.until = Some(end());
        let simulation = Thread::spawn("simulation", || Simulation::start(config), Simulation::run).await;
        let simulation = simulation.expect("the simulation starts");

        let life = Duration::from_secs(days() as u64 * 86_400) / SPEED;
        let random = Random::new(seed(), of_name("kills"));
        for (restart, pause) in (0..restarts()).zip(pauses(life, random)) {
            tokio::time::sleep(pause).await;
            let index = random.at(1, restart) as usize % bots.len();
            // Two of three die without a word.
            bots[index].restart(random.at(2, restart).is_multiple_of(3)).await;
        }
        let reader = Reader::new(&database);
        let report = stored(&reader).await;
        drop(bots);
        simulation.stop().await;
        projections.stop().await;
        mesh.shutdown().await;
        report
    });
    println!("of {} quarter-hours {} are lost", report.computed, report.lost);
    assert!(report.equal, "{} differ, {} are lost: {:#?}", report.different, report.lost, report.differences);
}

/// Random pauses between restarts, which together take most of the life.
fn pauses(life: Duration, random: Random) -> impl Iterator<Item = Duration> {
    let parts: Vec<f64> = (0..restarts()).map(|restart| 0.2 + random.unit(0, restart)).collect();
    let whole: f64 = parts.iter().sum();
    parts.into_iter().map(move |part| life.mul_f64(0.9 * part / whole))
}

/// What is stored once the last quarter-hours of all homes are, with what must be.
async fn stored(reader: &Reader) -> Report {
    let begun = Instant::now();
    loop {
        let run = reader.newest_run().await.expect("runs can be read").expect("the clock has ticked");
        // The last days' prices may be on their way.
        if let Ok(report) = reader.verify(run, end()).await {
            let recorded = reader.recorded(run).await.expect("it is recorded");
            if recorded.homes.len() == 3 * HOMES && (report.equal || begun.elapsed() > PATIENCE) {
                assert!(
                    recorded.contracts.len() > HOMES,
                    "contracts are at stake: {}",
                    recorded.contracts.len()
                );
                if report.equal {
                    as_in_the_ledger(reader, &recorded, run).await;
                }
                return report;
            }
        }
        assert!(begun.elapsed() < 2 * PATIENCE, "the homes have not come to the end of their life");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Production and load do not depend on who is restarted, but where contracts decide over them: cars wait for cheap hours, and
/// panels stop at negative prices, of which the first days of January have none. Homes with the ledger's contracts are the
/// ledger's, with their cars; a home that found its provider away may have taken another offer.
async fn as_in_the_ledger(reader: &Reader, recorded: &Recorded, run: u64) {
    let plan = Plan {
        seed: seed(),
        start_time: start(),
        end_time: end(),
        homes: Region::ALL
            .into_iter()
            .flat_map(|region| {
                let file = home_file::parse(region.name(), home_file::builtin(region)).expect("a right file");
                file.into_iter().take(HOMES)
            })
            .collect(),
        providers: Region::ALL.into_iter().flat_map(|region| roster(region, PROVIDERS)).collect(),
        threads: 1,
    };
    let must = std::sync::Mutex::new(BTreeMap::<String, Vec<_>>::new());
    let ledger = observed(&plan, &|home, event| {
        if let HomeEvent::Measured(reading) = event {
            let row = (reading.quarter.time(), reading.flows.pv, reading.flows.load);
            must.lock().expect("no test panics with it").entry(home.id.clone()).or_default().push(row);
        }
    });
    let mut must = must.into_inner().expect("no test panicked with it");
    let contracts = |confirmed: &[ContractConfirmed], home: &str| -> BTreeSet<String> {
        let of = |contract: &&ContractConfirmed| contract.home_id == home;
        confirmed.iter().filter(of).map(|contract| contract.contract_id.clone()).collect()
    };
    let prices = |all: &[SpotPriceUpdated]| -> BTreeMap<String, Vec<i64>> {
        all.iter().map(|day| (day.day.clone(), day.prices.clone())).collect()
    };
    let (found, wanted) = (prices(&recorded.prices), prices(&ledger.prices));
    let priced_alike = found.iter().all(|(day, prices)| wanted.get(day) == Some(prices));
    let mut cars = 0;
    for home in plan.homes.iter().filter(|home| home.electric_vehicle_kwh > 0) {
        let alike = contracts(&recorded.contracts, &home.id) == contracts(&ledger.confirmed, &home.id)
            && priced_alike;
        cars += usize::from(alike);
        if !alike {
            must.remove(&home.id);
        }
    }
    println!("prices as in the ledger: {priced_alike}; {cars} homes with cars and the ledger's contracts");
    let mut stored = reader.stored(run);
    let reading = tokio::task::spawn_blocking(move || {
        for (home, must) in must {
            let rows = stored.measurements(&home).expect("rows can be read");
            let rows: Vec<_> = rows.iter().map(|row| (row.time, row.pv_wh, row.load_wh)).collect();
            assert_eq!(rows.len(), must.len(), "{home}");
            let different = rows.iter().zip(&must).find(|(row, must)| row != must);
            assert_eq!(different, None, "{home}");
        }
    });
    reading.await.expect("all are as in the ledger");
}

fn start() -> i64 {
    "2025-01-06".parse::<Day>().expect("a day").start().time()
}

fn end() -> i64 {
    start() + days() * 86_400
}

/// Longest wait for what homes still have to say when their clock has stopped.
const PATIENCE: Duration = Duration::from_secs(40);

/// A bot as a process of its own; dropping it kills it.
struct Bot {
    kind: &'static str,
    region: Region,
    url: String,
    child: Child,
}

impl Bot {
    fn start(kind: &'static str, region: Region, url: &str) -> Self {
        Self { kind, region, url: url.to_owned(), child: spawn(kind, region, url) }
    }

    /// Another process in its place.
    async fn restart(&mut self, is_told: bool) {
        if is_told {
            let stop = format!("kill -TERM {}", self.child.id());
            assert!(Command::new("sh").args(["-c", &stop]).status().expect("a shell").success());
            while self.child.try_wait().expect("its state").is_none() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        } else {
            self.child.kill().expect("SIGKILL");
            self.child.wait().expect("it has died");
        }
        self.child = spawn(self.kind, self.region, &self.url);
    }
}

fn spawn(kind: &str, region: Region, url: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_cortexiq"))
        .arg(kind)
        .env("MACULA_URL", url)
        .env("MACULA_LOG", "warn")
        .env("CORTEXIQ_REGION", region.name())
        .env("HOMES_COUNT", HOMES.to_string())
        .env("PROVIDERS_COUNT", PROVIDERS.to_string())
        .stdin(Stdio::null())
        .spawn()
        .expect("the bot's process starts")
}

impl Drop for Bot {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

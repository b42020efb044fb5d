//! A gateway dies by SIGKILL while homes are attached to it, and comes back. The homes wait, find it again, and their
//! registers are as if nothing had happened.

use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cortexiq::mesh::Place;
use cortexiq::thread::Thread;
use cortexiq_domain::agent::{HomeAgent, HomeEvent, Shared};
use cortexiq_domain::region::Region;
use cortexiq_domain::state::Reading;
use cortexiq_domain::time::Day;
use cortexiq_domain::verify::{Recorded, Stored, StoredMeasurement};
use cortexiq_homes::{Homes, Progress};
use cortexiq_projections::{Database, Projections, Reader};
use cortexiq_shell::Mesh;
use cortexiq_simulation::Simulation;
use cortexiq_utilities::Utilities;

/// Homes of each region.
const HOMES: usize = 4;
const SPEED: u32 = 10_000;
/// Two days take 17 s.
const LIFE: i64 = 2 * 86_400;
/// From the promise: everyone is back within ten seconds.
const BACK: Duration = Duration::from_secs(10);

#[test]
fn a_killed_gateway_pauses_its_homes_and_costs_no_register() {
    let mut gateways = Gateways::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let directory = tempfile::tempdir().expect("a directory");
    let database = Database::Sqlite(directory.path().join("kill.db"));
    runtime.block_on(async {
        let bots = Bots::start(&gateways, &database).await;
        let killed = Place::Region(Region::Antwerp);

        // The first night passes in peace.
        bots.wait("the first half day", 60, |bots| bots.computed_until() >= start() + 43_200).await;
        gateways.kill(killed);
        let elsewhere = bots.life(Region::Brabant).seen().computed_until;
        bots.wait("the homes notice", 30, |bots| !bots.life(Region::Antwerp).seen().connected).await;
        bots.wait("the others go on", 30, |bots| {
            bots.life(Region::Brabant).seen().computed_until > elsewhere + 3600
        })
        .await;

        gateways.revive(killed);
        let revived = Instant::now();
        let now = bots.life(Region::Brabant).seen().computed_until;
        bots.wait("the homes are back", BACK.as_secs(), |bots| {
            let seen = bots.life(Region::Antwerp).seen();
            seen.connected && seen.computed_until > now
        })
        .await;
        println!("all homes were back {:?} after the gateway's start", revived.elapsed());

        let end = start() + LIFE;
        bots.wait("the end", 60, |bots| {
            bots.computed_until() >= end && bots.lives.iter().all(|life| life.seen().asking == 0)
        })
        .await;
        let run = bots.life(Region::Antwerp).seen().run;
        let last = last_rows(&Reader::new(&database), run, end).await;
        let recorded = Reader::new(&database).recorded(run).await.expect("the run is recorded");
        assert_eq!(last.len(), 3 * HOMES);
        for (home, stored) in last {
            let must = computed(&recorded, &home, end);
            assert_eq!(stored.registers_wh, StoredMeasurement::from(&must).registers_wh, "{home}");
        }
        // Telemetry that was under way is lost with the gateway; this tells how much.
        let report = Reader::new(&database).verify(run, end).await.expect("it can be verified");
        println!("of {} quarter-hours {} are lost", report.computed, report.lost);
        for difference in report.differences.iter().filter(|difference| difference.field != "measurement") {
            println!("{difference}");
        }
        bots.stop().await;
    });
}

fn start() -> i64 {
    "2025-03-03".parse::<Day>().expect("a day").start().time()
}

/// The newest row of every home, once all of them are those of the last quarter-hour.
async fn last_rows(reader: &Reader, run: u64, end: i64) -> Vec<(String, StoredMeasurement)> {
    let begun = Instant::now();
    loop {
        let homes = reader.recorded(run).await.expect("the run is recorded").homes;
        let mut stored = reader.stored(run);
        let reading = tokio::task::spawn_blocking(move || {
            let rows = homes.into_iter().filter_map(|home| {
                let last = stored.measurements(&home.id).expect("rows can be read").pop()?;
                Some((home.id, last))
            });
            rows.collect::<Vec<_>>()
        });
        let rows = reading.await.expect("reads");
        if rows.len() == 3 * HOMES && rows.iter().all(|(_, row)| row.time == end - 900) {
            return rows;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "the last quarter-hours are not stored: {rows:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The last quarter-hour of a home, computed from what was decided.
fn computed(recorded: &Recorded, home: &str, end: i64) -> Reading {
    let home = recorded.homes.iter().find(|other| other.id == home).expect("a home that introduced itself");
    let mut shared = Shared::new(recorded.seed);
    for prices in &recorded.prices {
        shared.on_prices(prices).expect("published prices fill their days");
    }
    let mut agent = HomeAgent::new(home, recorded.seed, recorded.run, recorded.start_time);
    for contract in recorded.contracts.iter().filter(|contract| contract.home_id == home.id) {
        agent.restore_contract(contract, &mut shared);
    }
    let mut last = None;
    agent.advance(end, &mut shared, &mut |event| {
        if let HomeEvent::Measured(reading) = event {
            last = Some(reading);
        }
    });
    last.expect("the home has lived")
}

/// Gateways as processes of their own; dropping them kills them.
struct Gateways(Vec<(Place, u16, Option<Child>)>);

impl Gateways {
    fn start() -> Self {
        // All are held until all are known, so that no port is given twice.
        let held = Place::ALL
            .map(|_| UdpSocket::bind("[::]:0").or_else(|_| UdpSocket::bind("0.0.0.0:0")).expect("a port"));
        let ports = held.each_ref().map(|socket| socket.local_addr().expect("an address").port());
        drop(held);
        let mut gateways =
            Self(Place::ALL.into_iter().zip(ports).map(|(place, port)| (place, port, None)).collect());
        for place in Place::ALL {
            gateways.revive(place);
        }
        gateways
    }

    fn url(&self, place: Place) -> String {
        let (_, port, _) = self.0.iter().find(|(other, ..)| *other == place).expect("every place has one");
        format!("https://localhost:{port}")
    }

    fn revive(&mut self, place: Place) {
        let peers = Place::ALL.into_iter().filter(|other| *other != place).map(|other| self.url(other));
        let peers = peers.collect::<Vec<_>>().join(",");
        let (_, port, child) =
            self.0.iter_mut().find(|(other, ..)| *other == place).expect("every place has one");
        let process = Command::new(env!("CARGO_BIN_EXE_cortexiq"))
            .args(["gateway", "--macula-admin-port", "0", "--macula-node-name", place.name()])
            .args(["--macula-gateway-port", &port.to_string(), "--mesh-peers", &peers])
            .env("MACULA_LOG", "warn")
            .stdin(Stdio::null())
            .spawn();
        *child = Some(process.expect("the gateway's process starts"));
    }

    fn kill(&mut self, place: Place) {
        let (.., child) = self.0.iter_mut().find(|(other, ..)| *other == place).expect("every place has one");
        let mut child = child.take().expect("it runs");
        child.kill().expect("SIGKILL");
        child.wait().expect("it has died");
    }
}

impl Drop for Gateways {
    fn drop(&mut self) {
        for child in self.0.iter_mut().filter_map(|(.., child)| child.as_mut()) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

struct Bots {
    threads: Vec<Thread>,
    lives: Vec<Arc<Progress>>,
}

impl Bots {
    async fn start(gateways: &Gateways, database: &Database) -> Self {
        let at = |place: Place| Mesh::at(gateways.url(place));
        let (mut threads, mut lives) = (Vec::new(), Vec::new());
        let config = cortexiq_projections::Config::new(at(Place::Hub), database.clone());
        threads.push(Thread::spawn("projections", || Projections::start(config), Projections::run).await);
        for region in Region::ALL {
            let config = cortexiq_utilities::Config::builtin(at(Place::Region(region)), region, 3);
            threads.push(Thread::spawn("utilities", || Utilities::start(config), Utilities::run).await);
        }
        for region in Region::ALL {
            let config = cortexiq_homes::Config::builtin(at(Place::Region(region)), region, Some(HOMES));
            lives.push(Arc::clone(&config.progress));
            threads.push(Thread::spawn("homes", || Homes::start(config), Homes::run).await);
        }
        let mut config = cortexiq_simulation::Config::new(at(Place::Hub));
        (config.speed, config.start_time, config.until) = (SPEED, start(), Some(start() + LIFE));
        threads.push(Thread::spawn("simulation", || Simulation::start(config), Simulation::run).await);
        // The clock is the first to stop.
        threads.reverse();
        let threads = threads.into_iter().map(|thread| thread.expect("the bot starts")).collect();
        Self { threads, lives }
    }

    fn life(&self, region: Region) -> &Progress {
        &self.lives[region as usize]
    }

    fn computed_until(&self) -> i64 {
        self.lives.iter().map(|life| life.seen().computed_until).min().expect("three regions")
    }

    async fn wait(&self, what: &str, seconds: u64, is_so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            let seen: Vec<_> = self.lives.iter().map(|life| life.seen()).collect();
            assert!(
                begun.elapsed() < Duration::from_secs(seconds),
                "not within {seconds} s: {what}; {seen:#?}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn stop(self) {
        for thread in self.threads {
            thread.stop().await;
        }
    }
}

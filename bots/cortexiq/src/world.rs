//! The whole world in one process: started in order, watched, stopped in order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cortexiq_dashboard::{Dashboard, DashboardError};
use cortexiq_domain::ledger::quarters_between;
use cortexiq_domain::region::Region;
use cortexiq_homes::Homes;
use cortexiq_projections::store::Failure;
use cortexiq_projections::{Counts, Database, Gauges, Keep, Projections, Reader, RunError};
use cortexiq_queries::Queries;
use cortexiq_shell::Mesh as Access;
use cortexiq_simulation::Simulation;
use cortexiq_utilities::Utilities;

use crate::ledger::Sizes;
use crate::mesh::{Mesh, MeshError, Place, Ports};
use crate::thread::{Failed, Thread};

/// What the world is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Seed, beginning, and how many there are of everyone.
    pub sizes: Sizes,
    /// Simulated seconds per real second.
    pub speed: u32,
    /// The instant at which the clock stops; none for ever.
    pub until: Option<i64>,
    /// Where the gateways listen.
    pub ports: Ports,
    /// Where the read models are.
    pub database: Database,
    /// What is not removed from there.
    pub keep: Keep,
    /// TCP port of the page, 0 for a free one; none for no page.
    pub page: Option<u16>,
    /// How many share the work of a bot.
    pub replicas: Replicas,
}

/// How many there are of the bots that may be several.
#[derive(Debug, Clone, Copy)]
pub struct Replicas {
    /// Projections, which share the homes when they are several, in a PostgreSQL database.
    pub projections: usize,
    /// Queries, of which callers get the least loaded one.
    pub queries: usize,
}

impl Default for Replicas {
    fn default() -> Self {
        Self { projections: 1, queries: 1 }
    }
}

/// A running world. Call [`World::stop`]; dropping it tells the bots to stop and does not wait.
#[derive(Debug)]
pub struct World {
    config: Config,
    begun: Instant,
    mesh: Mesh,
    projections: Vec<Thread>,
    queries: Vec<Thread>,
    utilities: Vec<Thread>,
    homes: Vec<Thread>,
    simulation: Thread,
    dashboard: Option<Thread>,
    page: Option<u16>,
    lives: Vec<Arc<cortexiq_homes::Progress>>,
    sales: Vec<Arc<cortexiq_utilities::Progress>>,
    reader: Reader,
    written: Vec<Arc<Gauges>>,
}

/// Why there is no world, or no more.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// The gateways did not start.
    #[error(transparent)]
    Mesh(#[from] MeshError),
    /// A bot failed.
    #[error(transparent)]
    Bot(#[from] Failed),
    /// The read models cannot be read.
    #[error("read models: {0}")]
    Database(#[from] Failure),
    /// Nothing has been stored for long.
    #[error("nothing has been stored for {STALLED:?}: {0}")]
    Stalled(String),
}

/// How far the world is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// The run; 0 before the first tick has reached all homes.
    pub run: u64,
    /// Homes that live.
    pub homes: u64,
    /// The first simulated instant that not every home has computed.
    pub computed_until: i64,
    /// Simulated seconds that the slowest home is behind the clock.
    pub lag: i64,
    /// Quarter-hours that were handed over.
    pub measured: u64,
    /// Hours that were handed over.
    pub traded: u64,
    /// Contracts that were signed or switched.
    pub contracts: u64,
    /// Acceptances without an answer.
    pub asking: u64,
    /// Acceptances that providers confirmed.
    pub confirmed: u64,
}

impl World {
    /// Starts everything in the order in which nothing is missed: gateways, until they are meshed; projections, until the
    /// mesh knows what they listen to; queries, utilities, homes; the clock last.
    pub async fn start(config: Config) -> Result<Self, WorldError> {
        let mesh = Mesh::start(config.ports).await?;
        let at = |place: Place| Access::at(mesh.url(place));
        let hub = || at(Place::Hub);

        let (mut projections, mut written) = (Vec::new(), Vec::new());
        for _ in 0..config.replicas.projections {
            let mut settings = cortexiq_projections::Config::new(hub(), config.database.clone());
            settings.keep = config.keep;
            if config.replicas.projections > 1 {
                (settings.session, settings.group) = (String::new(), GROUP.to_owned());
            }
            let (thread, gauges) = start_projections(settings).await?;
            projections.push(thread);
            written.push(gauges);
        }
        let mut queries = Vec::new();
        for _ in 0..config.replicas.queries {
            let settings = cortexiq_queries::Config::new(hub(), config.database.clone());
            queries.push(Thread::spawn("queries", || Queries::start(settings), Queries::run).await?);
        }

        let (mut utilities, mut sales) = (Vec::new(), Vec::new());
        for region in Region::ALL {
            let access = at(Place::Region(region));
            let settings = cortexiq_utilities::Config::builtin(access, region, config.sizes.providers);
            sales.push(Arc::clone(&settings.progress));
            let name = format!("utilities {region}");
            utilities.push(Thread::spawn(name, || Utilities::start(settings), Utilities::run).await?);
        }
        let (mut homes, mut lives) = (Vec::new(), Vec::new());
        for region in Region::ALL {
            let access = at(Place::Region(region));
            let settings = cortexiq_homes::Config::builtin(access, region, config.sizes.homes_of(region));
            lives.push(Arc::clone(&settings.progress));
            let name = format!("homes {region}");
            homes.push(Thread::spawn(name, || Homes::start(settings), Homes::run).await?);
        }
        let settings = cortexiq_simulation::Config {
            speed: config.speed,
            seed: config.sizes.seed,
            start_time: config.sizes.start_time,
            until: config.until,
            ..cortexiq_simulation::Config::new(hub())
        };
        let simulation = Thread::spawn("simulation", || Simulation::start(settings), Simulation::run).await?;
        let (dashboard, page) = match config.page {
            Some(port) => {
                let settings = cortexiq_dashboard::Config::new(&mesh.url(Place::Hub), port);
                let (dashboard, page) = page(settings).await?;
                (Some(dashboard), Some(page))
            }
            None => (None, None),
        };
        let reader = Reader::new(&config.database);
        let begun = Instant::now();
        Ok(Self {
            config,
            begun,
            mesh,
            projections,
            queries,
            utilities,
            homes,
            simulation,
            dashboard,
            page,
            lives,
            sales,
            reader,
            written,
        })
    }

    /// Real time since the clock began to go.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// The gateways.
    pub fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// TCP port of the page, if there is one.
    pub fn page(&self) -> Option<u16> {
        self.page
    }

    /// The read models.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Quarter-hours and hours that projections have written, counted without asking the database.
    pub fn written(&self) -> u64 {
        self.written.iter().map(|gauges| gauges.measurements() + gauges.trades()).sum()
    }

    /// How far it is.
    pub fn seen(&self) -> Seen {
        let mut all = Seen { run: u64::MAX, computed_until: i64::MAX, ..Seen::default() };
        for seen in self.lives.iter().map(|life| life.seen()) {
            all.run = all.run.min(seen.run);
            all.homes += seen.homes;
            all.computed_until = all.computed_until.min(seen.computed_until);
            all.lag = all.lag.max(seen.lag);
            all.measured += seen.measured;
            all.traded += seen.traded;
            all.contracts += seen.contracts;
            all.asking += seen.asking;
        }
        all.confirmed = self.sales.iter().map(|sales| sales.confirmed()).sum();
        all
    }

    /// A bot that has ended by itself.
    pub fn failure(&mut self) -> Option<Failed> {
        self.threads().find_map(Thread::failure)
    }

    /// Whether all homes have computed all that the clock will bring, and have all answers.
    pub fn is_lived(&self) -> bool {
        let seen = self.seen();
        let until = self.config.until.unwrap_or(i64::MAX);
        seen.run != 0 && seen.computed_until + QUARTER > until && seen.asking == 0
    }

    /// Waits until everything that was said is stored. The clock must have stopped.
    pub async fn stored(&mut self) -> Result<Counts, WorldError> {
        let (mut last, mut moved) = (Counts::default(), Instant::now());
        loop {
            if let Some(failed) = self.failure() {
                return Err(failed.into());
            }
            let seen = self.seen();
            let counts = self.reader.counts(seen.run).await?;
            if self.is_stored(&seen, &counts) {
                return Ok(counts);
            }
            if counts != last {
                (last, moved) = (counts, Instant::now());
            }
            if moved.elapsed() > STALLED {
                return Err(WorldError::Stalled(self.missing(&seen, &counts)));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn is_stored(&self, seen: &Seen, counts: &Counts) -> bool {
        seen.asking == 0
            && counts.measurements >= self.expected(seen).max(seen.measured)
            && counts.trades >= seen.traded
            && counts.confirmed_contracts >= seen.confirmed
    }

    /// Quarter-hours from the beginning to the end, of all homes.
    fn expected(&self, seen: &Seen) -> u64 {
        let Some(until) = self.config.until else { return 0 };
        quarters_between(self.config.sizes.start_time, until) * seen.homes
    }

    fn missing(&self, seen: &Seen, counts: &Counts) -> String {
        let expected = self.expected(seen).max(seen.measured);
        format!(
            "{} of {expected} quarter-hours, {} of {} hours and {} of {} contracts are stored, {} acceptances have \
             no answer",
            counts.measurements,
            counts.trades,
            seen.traded,
            counts.confirmed_contracts,
            seen.confirmed,
            seen.asking
        )
    }

    /// Stops everything in the order in which nothing is lost: the clock, then homes when they have computed what it
    /// brought, utilities, queries, projections when they have written what they heard, gateways last. Whoever looks at the
    /// page is told first.
    pub async fn stop(self) {
        if let Some(dashboard) = self.dashboard {
            dashboard.stop().await;
        }
        self.simulation.stop().await;
        let patience = Instant::now();
        let behind = |life: &Arc<cortexiq_homes::Progress>| life.seen().lag >= QUARTER;
        while self.lives.iter().any(behind) && patience.elapsed() < CATCH_UP {
            tokio::time::sleep(LOOK).await;
        }
        for thread in self.homes.into_iter().chain(self.utilities) {
            thread.stop().await;
        }
        for thread in self.queries.into_iter().chain(self.projections) {
            thread.stop().await;
        }
        self.mesh.shutdown().await;
    }

    fn threads(&mut self) -> impl Iterator<Item = &mut Thread> {
        let several = [&mut self.projections, &mut self.queries, &mut self.utilities, &mut self.homes];
        several.into_iter().flatten().chain(&mut self.dashboard).chain([&mut self.simulation])
    }
}

/// Starts projections on a thread of their own, and gives what they count.
async fn start_projections(settings: cortexiq_projections::Config) -> Result<(Thread, Arc<Gauges>), Failed> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let start = || async {
        let projections = Projections::start(settings).await?;
        // Nobody listens only if nobody waits for the thread any more.
        let _ = tell.send(projections.gauges());
        Ok::<_, RunError>(projections)
    };
    let thread = Thread::spawn("projections", start, Projections::run).await?;
    let written = told.await.expect("the thread tells it before it has started");
    Ok((thread, written))
}

/// Starts the page on a thread of its own, and says on which port.
async fn page(settings: cortexiq_dashboard::Config) -> Result<(Thread, u16), Failed> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let start = || async {
        let dashboard = Dashboard::start(settings).await?;
        // Nobody listens only if nobody waits for the thread any more.
        let _ = tell.send(dashboard.local_addr().port());
        Ok::<_, DashboardError>(dashboard)
    };
    let thread = Thread::spawn("dashboard", start, Dashboard::run).await?;
    let port = told.await.expect("the thread tells the port before it has started");
    Ok((thread, port))
}

/// The group of projections that are several.
const GROUP: &str = "read_models";
const QUARTER: i64 = 900;
/// Between two looks at the read models or the homes.
const LOOK: Duration = Duration::from_millis(200);
/// A database that stores nothing for so long has stopped storing: homes give up waiting for it after 10 s.
const STALLED: Duration = Duration::from_secs(20);
/// Homes are milliseconds behind unless something is wrong.
const CATCH_UP: Duration = Duration::from_secs(5);

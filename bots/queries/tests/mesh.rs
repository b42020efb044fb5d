//! From what is said on the mesh to an answer over the mesh, with a database that goes away in between.

use std::time::Duration;

use cortexiq_domain::topics;
use cortexiq_projections::fixtures::{Postgres, World};
use cortexiq_projections::{Database, Projections, Reader};
use cortexiq_proto::{GetHomesRequest, HomesPage, Overview};
use cortexiq_queries::Queries;
use cortexiq_shell::Health as _;
use cortexiq_shell::{Mesh, topic};
use macula_gateway::{Gateway, Settings};
use macula_proto::vars::Vars;
use macula_sdk::{Client, Code};
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_is_answered() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = Database::Sqlite(directory.path().join("world.db"));
    let world = World::new(3, 4);
    let site = Site::start(&database).await;
    site.say(&world.said).await;
    // A message that is none is kept aside.
    site.say(&[("be.cortexiq.home.sang", b"la".to_vec())]).await;
    let total = world.ledger.totals.total();
    let overview = loop {
        let reply = site.client.call(topic(&topics::GET_OVERVIEW.name), "").await.expect("answered");
        assert_eq!(reply.content_type(), topics::GET_OVERVIEW.result_type());
        let overview: Overview = reply.decode().expect("an overview");
        let totals = overview.totals.expect("totals");
        if totals.measured == world.ledger.measured && totals.cost == total.cost {
            break overview;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(overview.totals.expect("totals").production_wh, total.production_wh);
    let call = GetHomesRequest { page_size: 5, ..Default::default() };
    let page: HomesPage = site.client.call_typed(&*topics::GET_HOMES.name, &call).await.expect("answered");
    assert_eq!(page.homes.len(), 5);
    let call = GetHomesRequest { page_size: 500, ..Default::default() };
    let refused = site.client.call_typed::<_, HomesPage>(&*topics::GET_HOMES.name, &call).await;
    let refused = refused.expect_err("too many");
    assert_eq!(refused.code, Code::InvalidArgument);
    assert!(refused.message.starts_with("page_size: "), "{refused}");
    site.stop().await;
    verify(&world, &database, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_is_waited_for() {
    let server = Postgres::start().expect("a server");
    let database = server.database().await.expect("a database");
    let world = World::new(6, 6);
    let site = Site::start(&database).await;
    let (before, after) = world.said.split_at(world.said.len() / 3);
    site.say(before).await;
    server.stop().expect("stops");
    site.say(&after[..after.len() / 2]).await;
    while site.gauges.failures() == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let problem = site.gauges.ready().expect_err("there is no database");
    assert!(problem.starts_with("the database cannot be reached"), "{problem}");
    let failed = site.client.call(topic(&topics::GET_REGIONS.name), "").await.expect_err("nothing to read");
    assert_eq!(failed.code, Code::Unavailable);
    server.begin().expect("starts");
    site.say(&after[after.len() / 2..]).await;
    let gauges = std::sync::Arc::clone(&site.gauges);
    site.stop().await;
    assert_eq!(gauges.ready(), Ok(()));
    verify(&world, &database, 0).await;
}

/// A gateway with projections and queries.
struct Site {
    gateway: Gateway,
    client: Client,
    gauges: std::sync::Arc<cortexiq_projections::Gauges>,
    projections: Running<cortexiq_projections::RunError>,
    queries: Running<cortexiq_shell::RunError>,
}

struct Running<E> {
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), E>>,
}

impl<E: std::fmt::Debug + Send + 'static> Running<E> {
    fn new<F>(run: impl FnOnce(CancellationToken) -> F) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
    {
        let shutdown = CancellationToken::new();
        Self { task: tokio::spawn(run(shutdown.clone())), shutdown }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.expect("joined").expect("no failure");
    }
}

impl Site {
    async fn start(database: &Database) -> Self {
        let values =
            [("MACULA_GATEWAY_PORT", "0"), ("MACULA_ADMIN_PORT", "0"), ("MACULA_GATEWAY_HOST", "127.0.0.1")];
        let vars = Vars::new(values.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let gateway = Gateway::start(Settings::read(vars).expect("right settings")).await.expect("a gateway");
        let url = format!("https://127.0.0.1:{}", gateway.local_addr().port());
        let config = cortexiq_projections::Config::new(Mesh::at(&url), database.clone());
        let projections = Projections::start(config).await.expect("projections");
        let gauges = projections.gauges();
        let config = cortexiq_queries::Config::new(Mesh::at(&url), database.clone());
        let queries = Queries::start(config).await.expect("queries");
        Self {
            client: Client::connect(url).await.expect("connects"),
            gateway,
            gauges,
            projections: Running::new(|shutdown| projections.run(shutdown)),
            queries: Running::new(|shutdown| queries.run(shutdown)),
        }
    }

    /// All as events: what is a test of the mesh's telemetry is elsewhere.
    async fn say(&self, said: &[(&'static str, Vec<u8>)]) {
        for (name, payload) in said {
            self.client.publish(topic(name), payload.clone()).send().await.expect("sent");
        }
        self.client.flush().await.expect("accepted");
    }

    async fn stop(self) {
        self.projections.stop().await;
        self.queries.stop().await;
        self.client.close().await.expect("closed");
        self.gateway.shutdown().await;
    }
}

async fn verify(world: &World, database: &Database, rejected: u64) {
    let reader = Reader::new(database);
    let report = reader.verify(cortexiq_domain::ledger::RUN, world.plan.end_time).await.expect("compared");
    assert!(report.equal, "{:#?}", report.differences);
    let counts = reader.counts(cortexiq_domain::ledger::RUN).await.expect("counted");
    assert_eq!((counts.measurements, counts.rejected), (world.ledger.measured, rejected));
    let offsets = reader.query("SELECT count(*) FROM projection_offsets", []).await.expect("read");
    assert!(offsets[0].int(0) > 0);
}

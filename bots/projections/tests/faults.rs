//! Faults of a database and of the process that writes it. After each of them the read models are what they must be.
//!
//! Everything is said as events here: what is telemetry may be lost with a process, and is counted where it is.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cortexiq_domain::ledger::RUN;
use cortexiq_domain::random::{Random, of_name};
use cortexiq_projections::fixtures::{Postgres, World};
use cortexiq_projections::message::Message;
use cortexiq_projections::{Config, Database, Gauges, Projections, Reader};
use cortexiq_shell::{Admin, Health as _, Mesh, topic};
use macula_gateway::{Gateway, Settings};
use macula_proto::vars::Vars;
use macula_sdk::Client;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_cut_in_mid_transaction_is_made_again() {
    let server = Postgres::start().expect("a server");
    let database = server.database().await.expect("a database");
    let world = World::new(6, 6);
    let site = Site::start().await;
    let projections = site.projections(&database).await;
    let Database::Postgres(url) = &database else { unreachable!("a server's database") };
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("connects");
    tokio::spawn(connection);
    let cutting = tokio::spawn(async move {
        let mut cuts = 0;
        while cuts < 3 {
            const CUT: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
                AND backend_xid IS NOT NULL";
            cuts += client.query(CUT, &[]).await.expect("asked").len();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    site.say(&world.said).await;
    // Nothing is left to be cut when all is written: the last cuts may come to ticks that are said again.
    while !cutting.is_finished() {
        site.say(&world.said[..1]).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    cutting.await.expect("three cuts");
    until_ready(&projections).await;
    assert!(projections.metric("failures_total").await >= 1, "a transaction was cut");
    let gauges = projections.stop().await;
    assert!(gauges.failures() >= 1, "a transaction was cut");
    assert_eq!(gauges.ready(), Ok(()));
    verify(&world, &database).await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_waited_out() {
    let Some(disk) = Disk::new(16) else {
        eprintln!("skipped: only root may mount a small disk");
        return;
    };
    let world = World::new(6, 6);
    let server = Postgres::start().expect("a server");
    let on_server = server.database_in(disk.path()).await.expect("a database on the small disk");
    a_disk_fills_and_is_emptied(&disk, &on_server, &world).await;
    drop(server);
    let embedded = Database::Sqlite(disk.path().join("world.db"));
    a_disk_fills_and_is_emptied(&disk, &embedded, &world).await;
}

async fn a_disk_fills_and_is_emptied(disk: &Disk, database: &Database, world: &World) {
    let site = Site::start().await;
    let projections = site.projections(database).await;
    let (before, after) = world.said.split_at(world.said.len() / 3);
    site.say(before).await;
    while projections.gauges.measurements() == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    disk.fill();
    site.say(after).await;
    until("a transaction fails", || projections.gauges.failures() > 0).await;
    let (status, problem) = projections.get("/readyz").await;
    assert_eq!(status, 503);
    assert!(problem.contains("space left") || problem.contains("disk is full"), "{problem}");
    assert_eq!(projections.metric("ready").await, 0);
    assert!(projections.metric("failures_total").await > 0);
    disk.empty();
    until_ready(&projections).await;
    assert_eq!(projections.metric("ready").await, 1);
    let gauges = projections.stop().await;
    assert_eq!(gauges.ready(), Ok(()));
    verify(world, database).await;
    site.stop().await;
}

/// Killed at random moments; the next process has the name of the one before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_projections_are_taken_over_by_name() {
    let server = Postgres::start().expect("a server");
    let database = server.database().await.expect("a database");
    let Database::Postgres(url) = &database else { unreachable!("a server's database") };
    let world = World::new(6, 6);
    let site = Site::start().await;
    let begin = || Killed::begin(&site.url, url);
    let mut process = begin();
    site.heard(&world.said[0]).await;
    let random = Random::new(5, of_name("kills"));
    let part = world.said.len() / KILLS + 1;
    for (kill, said) in (0_i64..).zip(world.said.chunks(part)) {
        site.send(said).await;
        tokio::time::sleep(Duration::from_millis(random.at(1, kill) % 700)).await;
        drop(process);
        process = begin();
    }
    verify(&world, &database).await;
    drop(process);
    site.stop().await;
}

/// Several that share the homes, one of which is killed on the way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_shares_the_homes_and_takes_over_those_of_a_killed_member() {
    let server = Postgres::start().expect("a server");
    let database = server.database().await.expect("a database");
    let Database::Postgres(url) = &database else { unreachable!("a server's database") };
    let world = World::new(6, 6);
    let site = Site::start().await;
    let member = || async {
        let config = Config { group: "readers".into(), session: String::new(), ..site.config(&database) };
        Running::start(config).await
    };
    let members = [member().await, member().await];
    let third = Killed::begin_with(&site.url, url, &[("PROJECTIONS_GROUP", "readers")]);
    let (before, after) = world.said.split_at(world.said.len() / 2);
    site.say(before).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    drop(third);
    site.say(after).await;
    verify(&world, &database).await;
    for member in members {
        let gauges = member.stop().await;
        assert!(gauges.measurements() > 0, "every member has homes");
    }
    site.stop().await;
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The read models become what they must be.
async fn verify(world: &World, database: &Database) {
    let reader = Reader::new(database);
    let begun = Instant::now();
    loop {
        // Before there are prices, nothing can be compared.
        let report = reader.verify(RUN, world.plan.end_time).await;
        if report.as_ref().is_ok_and(|report| report.equal && report.stored == world.ledger.measured) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{report:#?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A gateway, and a client that speaks for everybody.
struct Site {
    gateway: Gateway,
    client: Client,
    url: String,
}

impl Site {
    async fn start() -> Self {
        let values =
            [("MACULA_GATEWAY_PORT", "0"), ("MACULA_ADMIN_PORT", "0"), ("MACULA_GATEWAY_HOST", "127.0.0.1")];
        let vars = Vars::new(values.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let gateway = Gateway::start(Settings::read(vars).expect("right settings")).await.expect("a gateway");
        let url = format!("https://127.0.0.1:{}", gateway.local_addr().port());
        Self { client: Client::connect(&*url).await.expect("connects"), gateway, url }
    }

    fn config(&self, database: &Database) -> Config {
        let port = free_port().to_string();
        let admin = [("MACULA_ADMIN_HOST", "127.0.0.1"), ("MACULA_ADMIN_PORT", &port)];
        let mut vars = Vars::new(admin.map(|(name, value)| (name.to_owned(), value.to_owned())));
        Config { admin: Admin::read(&mut vars), ..Config::new(Mesh::at(&self.url), database.clone()) }
    }

    async fn projections(&self, database: &Database) -> Running {
        Running::start(self.config(database)).await
    }

    async fn say(&self, said: &[(&'static str, Vec<u8>)]) {
        self.send(said).await;
        self.client.flush().await.expect("accepted");
    }

    async fn send(&self, said: &[(&'static str, Vec<u8>)]) {
        for (name, payload) in said {
            let publish = self.client.publish(topic(name), payload.clone());
            publish.key(key(name, payload)).send().await.expect("sent");
        }
    }

    /// Says something until somebody hears it.
    async fn heard(&self, (name, payload): &(&'static str, Vec<u8>)) {
        let begun = Instant::now();
        while self.client.publish(topic(name), payload.clone()).await.expect("accepted").matches() == Some(0)
        {
            assert!(begun.elapsed() < PATIENCE, "nobody hears");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn stop(self) {
        self.client.close().await.expect("closed");
        self.gateway.shutdown().await;
    }
}

/// As the homes say it.
fn key(topic: &str, payload: &[u8]) -> String {
    match Message::decode(topic, payload) {
        Ok(Message::HomeMeasured(measured)) => measured.home_id,
        Ok(Message::HomeTraded(trade)) => trade.home_id,
        _ => String::new(),
    }
}

/// A port that nobody listens on by now.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

async fn until_ready(projections: &Running) {
    let begun = Instant::now();
    while let (status @ 503, problem) = projections.get("/readyz").await {
        assert!(begun.elapsed() < PATIENCE, "{status}: {problem}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Projections of this process.
struct Running {
    admin: Admin,
    gauges: Arc<Gauges>,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), cortexiq_projections::RunError>>,
}

impl Running {
    async fn start(config: Config) -> Self {
        let admin = config.admin;
        let projections = Projections::start(config).await.expect("projections");
        let (gauges, shutdown) = (projections.gauges(), CancellationToken::new());
        Self { admin, gauges, task: tokio::spawn(projections.run(shutdown.clone())), shutdown }
    }

    /// Status and body of a page of the admin port.
    async fn get(&self, path: &str) -> (u16, String) {
        let address = self.admin.address().expect("an admin port");
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("connects");
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("asked");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, body.to_owned())
    }

    /// A number among the metrics.
    async fn metric(&self, name: &str) -> u64 {
        let (_, metrics) = self.get("/metrics").await;
        let name = format!("cortexiq_projections_{name} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&name));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name}in {metrics}"))
    }

    async fn stop(self) -> Arc<Gauges> {
        self.shutdown.cancel();
        self.task.await.expect("joined").expect("no failure");
        self.gauges
    }
}

/// Projections as a process of their own; dropping it is SIGKILL.
struct Killed(Child);

impl Killed {
    fn begin(gateway: &str, database: &str) -> Self {
        Self::begin_with(gateway, database, &[])
    }

    fn begin_with(gateway: &str, database: &str, settings: &[(&str, &str)]) -> Self {
        let process = Command::new(env!("CARGO_BIN_EXE_cortex-iq-projections"))
            .env("MACULA_URL", gateway)
            .env("DATABASE_URL", database)
            .env("MACULA_LOG", "warn")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .spawn();
        Self(process.expect("the process starts"))
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().expect("SIGKILL");
        self.0.wait().expect("it has died");
    }
}

/// A disk of its own, in memory.
struct Disk(tempfile::TempDir);

impl Disk {
    /// None where it may not be mounted.
    fn new(mebibytes: u32) -> Option<Self> {
        let directory = tempfile::Builder::new().prefix("cortexiq-disk-").tempdir().expect("a directory");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m,mode=0777"), "tmpfs"])
            .arg(directory.path())
            .stderr(Stdio::null())
            .status();
        mount.is_ok_and(|status| status.success()).then_some(Self(directory))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Leaves no room.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.path().join("filler")).expect("a file");
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    /// Gives the room back.
    fn empty(&self) {
        std::fs::remove_file(self.path().join("filler")).expect("removed");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What still has a file open keeps nothing but itself.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

/// Times at which projections are killed.
const KILLS: usize = 5;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

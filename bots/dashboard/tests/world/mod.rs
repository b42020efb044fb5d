//! A small world with its page, one more page that asks for a password, and a gateway for browsers that can be killed.

use std::net::{TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cortexiq::ledger::Sizes;
use cortexiq::mesh::{Place, Ports};
use cortexiq::thread::Thread;
use cortexiq::world::{Config, Replicas, World};
use cortexiq_dashboard::{Certificate, Config as Page, Dashboard, DashboardError, Password};
use cortexiq_domain::time::Day;
use cortexiq_projections::{Database, Keep};
use cortexiq_shell::start_log;
use macula_gateway::{Gateway, Settings};
use macula_proto::vars::Vars;
use macula_transport::tls::{Authority, LeafRequest};
use tokio::runtime::Runtime;

pub(crate) const PASSWORD: &str = "open sesame";
/// Each of three regions has a third of them.
const HOMES: usize = 45;
/// Fast enough to have days and contracts to show, slow enough for a build without optimisation on a busy machine.
const SPEED: u32 = 10_000;

/// A world that lives on threads of its own.
pub(crate) struct Fixture {
    runtime: Runtime,
    world: World,
    pages: Vec<Thread>,
    directory: tempfile::TempDir,
    /// The page from which this machine may control.
    pub(crate) page: String,
    /// URLs of all gateways.
    pub(crate) gateways: Vec<String>,
}

impl Fixture {
    pub(crate) fn start() -> Self {
        start_log("warn", "text");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let directory = tempfile::tempdir().expect("a directory");
        // Pictures are of the world that people get.
        let homes = if std::env::var_os("SCREENSHOTS").is_some() { 150 } else { HOMES };
        let start: Day = "2025-05-01".parse().expect("a date");
        let config = Config {
            sizes: Sizes { seed: 1, start_time: start.start().time(), homes: Some(homes), providers: 5 },
            speed: SPEED,
            until: None,
            ports: Ports { base: 0 },
            database: Database::Sqlite(directory.path().join("world.db")),
            page: Some(0),
            replicas: Replicas::default(),
            keep: Keep::default(),
        };
        let world = runtime.block_on(World::start(config)).expect("the world starts");
        let page = format!("http://localhost:{}", world.page().expect("it has one"));
        let gateways = Place::ALL.map(|place| world.mesh().url(place)).to_vec();
        Self { runtime, world, pages: Vec::new(), directory, page, gateways }
    }

    /// Another page of the same world: it asks for a password, and sends browsers to this gateway.
    pub(crate) fn guarded(&mut self, edge: &Edge) -> String {
        let settings = Page {
            public: Some(edge.url().parse().expect("a URL")),
            password: Some(Password::new(PASSWORD)),
            ..self.settings()
        };
        format!("http://localhost:{}", self.start_page(settings))
    }

    /// The same by https.
    pub(crate) fn secure(&mut self) -> String {
        let (dir, names) = (self.directory.path(), ["localhost".to_owned()]);
        let authority = Authority::open_or_create(&dir.join("ca"), "CA of a test").expect("a directory");
        let life = Duration::from_secs(3600);
        let request = LeafRequest { common_name: "page", names: &names, gateway: None, life };
        let leaf = authority.issue(&request).expect("a legal name");
        let [chain, key] = ["page.pem", "page-key.pem"].map(|name| dir.join(name));
        std::fs::write(&chain, leaf.certificate).expect("the directory is writable");
        std::fs::write(&key, leaf.key).expect("the directory is writable");
        let settings = Page {
            certificate: Some(Certificate { chain, key }),
            password: Some(Password::new(PASSWORD)),
            ..self.settings()
        };
        format!("https://localhost:{}", self.start_page(settings))
    }

    fn settings(&self) -> Page {
        Page::new(&self.world.mesh().url(Place::Hub), 0)
    }

    fn start_page(&mut self, settings: Page) -> u16 {
        let (tell, told) = tokio::sync::oneshot::channel();
        let start = || async {
            let page = Dashboard::start(settings).await?;
            let _ = tell.send(page.local_addr().port());
            Ok::<_, DashboardError>(page)
        };
        let thread = Thread::spawn("another page", start, Dashboard::run);
        self.pages.push(self.runtime.block_on(thread).expect("the page starts"));
        told.blocking_recv().expect("it has started")
    }

    pub(crate) fn stop(self) {
        let Self { runtime, world, pages, .. } = self;
        runtime.block_on(async {
            for page in pages {
                page.stop().await;
            }
            world.stop().await;
        });
    }
}

/// A gateway that only browsers use, in a process of its own.
pub(crate) struct Edge {
    port: u16,
    admin: u16,
    peers: String,
    child: Child,
}

impl Edge {
    pub(crate) fn start(gateways: &[String]) -> Self {
        let udp = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let tcp = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let [port, admin] = [udp, tcp].map(|address| address.expect("a free port").port());
        let peers = gateways.join(",");
        let child = spawn(port, admin, &peers);
        let edge = Self { port, admin, peers, child };
        edge.wait();
        edge
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// Where it lists its sessions.
    pub(crate) fn sessions(&self) -> String {
        format!("http://127.0.0.1:{}/v1/sessions", self.admin)
    }

    /// Kills it without a word.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("it is gone");
    }

    /// Starts it again, in the same place.
    pub(crate) fn rise(&mut self) {
        self.child = spawn(self.port, self.admin, &self.peers);
        self.wait();
    }

    /// Its admin port opens when it has begun to listen.
    fn wait(&self) {
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.admin)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "the gateway has not started");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(port: u16, admin: u16, peers: &str) -> Child {
    Command::new(std::env::current_exe().expect("this test"))
        .args(["--ignored", "--exact", "edge_gateway", "--nocapture"])
        .env("EDGE_PORT", port.to_string())
        .env("EDGE_ADMIN", admin.to_string())
        .env("EDGE_PEERS", peers)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("this test can be started again")
}

/// What the process of an [`Edge`] does until it is killed; nothing where nobody started it for that.
pub(crate) fn serve_edge() {
    let Ok(port) = std::env::var("EDGE_PORT") else { return };
    let told = |name: &str| std::env::var(name).unwrap_or_default();
    let vars = Vars::new(
        [
            ("MACULA_NODE_NAME", "browsers".to_owned()),
            ("MACULA_GATEWAY_PORT", port),
            ("MACULA_ADMIN_PORT", told("EDGE_ADMIN")),
            ("MESH_PEERS", told("EDGE_PEERS")),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let _gateway = Gateway::start(Settings::read(vars).expect("legal")).await.expect("it starts");
        std::future::pending::<()>().await;
    });
}

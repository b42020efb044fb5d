//! A running gateway: one data thread for all sessions and links, and the admin port beside it.

use crate::accept;
use crate::admin::{self, Probe};
use crate::admin_token::AdminToken;
use crate::http::Service;
use crate::hub::{Hub, Status};
use crate::identity::identity;
use crate::links::{self, Dialler, Settled};
use crate::sessions::Sessions;
use crate::settings::Settings;
use crate::trust::Trust;
use macula_core::membership::{Member, MemberState};
use macula_transport::endpoint::{ServerEndpoint, client_endpoint, connect};
use macula_transport::profile::TransportProfile;
use macula_transport::tls::ClientTls;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::LocalOptions;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// How often the core looks what is due.
const TICK: Duration = Duration::from_millis(100);
/// Longest wait for peers' interest before clients are served.
const SETTLE: Duration = Duration::from_secs(5);
/// Time that sessions get to move elsewhere when the gateway stops.
const GRACE: Duration = Duration::from_secs(5);
/// Longest wait for what is still queued after that.
const FLUSH: Duration = Duration::from_secs(2);
/// Longest wait of the admin port for the data thread.
const STATUS_TIMEOUT: Duration = Duration::from_secs(2);

/// A gateway that runs until [`Gateway::shutdown`], or until it is dropped.
#[derive(Debug)]
pub struct Gateway {
    control: Control,
    local: SocketAddr,
    admin: Option<SocketAddr>,
    admin_task: Option<tokio::task::JoinHandle<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Why a gateway does not start; one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The UDP port cannot be had.
    #[error(
        "cannot listen on UDP {address}: {source}; is another gateway running, or MACULA_GATEWAY_PORT wrong?"
    )]
    Listen {
        /// Where to.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The admin port cannot be had.
    #[error(
        "cannot listen on TCP {address}: {source}; is another gateway running, or MACULA_ADMIN_PORT wrong?"
    )]
    Admin {
        /// Where to.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Name, id or certificate.
    #[error("{0}")]
    Identity(String),
    /// The data thread did not come up.
    #[error("the data thread did not start: {0}")]
    Thread(std::io::Error),
}

/// Whether clients are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    Settling,
    Ready,
    /// Another process with this gateway's id has started later.
    Replaced,
    Draining,
}

#[derive(Debug)]
enum Command {
    Status(oneshot::Sender<Status>),
    Handshake(oneshot::Sender<Result<(), String>>),
    Shutdown,
}

/// What other threads hold of the data thread.
#[derive(Clone, Debug)]
struct Control {
    commands: mpsc::Sender<Command>,
    readiness: watch::Receiver<Readiness>,
    sessions: Arc<Sessions>,
}

impl Gateway {
    /// Binds all ports and begins to serve.
    ///
    /// # Errors
    /// [`StartError`]; nothing keeps running then.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let (commands, receiver) = mpsc::channel(16);
        let (readiness, ready) = watch::channel(Readiness::Settling);
        let sessions = Arc::new(Sessions::default());
        let control = Control { commands, readiness: ready, sessions: sessions.clone() };
        let admin_address = settings.admin;
        let admin_token = AdminToken(settings.admin_token_file.clone().map(Arc::new));
        let (started, outcome) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("macula-data".to_owned())
            .spawn(move || run_data_thread(settings, sessions, readiness, receiver, started))
            .map_err(StartError::Thread)?;
        let stopped = || StartError::Thread(std::io::Error::other("it stopped at once"));
        let local = outcome.await.map_err(|_| stopped())??;
        let mut gateway = Self { control, local, admin: None, admin_task: None, thread: Some(thread) };
        if let Some(address) = admin_address {
            gateway.serve_admin(address, admin_token).await?;
        }
        Ok(gateway)
    }

    async fn serve_admin(&mut self, address: SocketAddr, token: AdminToken) -> Result<(), StartError> {
        let listener = listen_tcp(address).await.map_err(|source| StartError::Admin { address, source })?;
        self.admin = listener.local_addr().ok();
        let router = admin::router(Arc::new(self.control.clone()), token);
        let router = router.into_make_service_with_connect_info::<SocketAddr>();
        self.admin_task = Some(tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the admin port failed");
            }
        }));
        Ok(())
    }

    /// Where clients and other gateways connect to, with the port that was chosen for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Where the admin port listens, if there is one.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// A view of the core; `None` when the data thread does not answer.
    pub async fn status(&self) -> Option<Status> {
        self.control.status().await
    }

    /// Waits until clients are served: the peers that answer have told their interest, or five seconds passed.
    pub async fn ready(&self) {
        let mut readiness = self.control.readiness.clone();
        let _ = readiness.wait_for(|readiness| *readiness != Readiness::Settling).await;
    }

    /// Drains and stops: readiness off, sessions told to move, links closed last.
    pub async fn shutdown(mut self) {
        let _ = self.control.commands.send(Command::Shutdown).await;
        if let Some(thread) = self.thread.take() {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        if let Some(task) = self.admin_task.take() {
            task.abort();
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.control.commands.try_send(Command::Shutdown);
        if let Some(task) = self.admin_task.take() {
            task.abort();
        }
    }
}

impl Probe for Control {
    async fn status(&self) -> Option<Status> {
        let (answer, status) = oneshot::channel();
        self.commands.send(Command::Status(answer)).await.ok()?;
        tokio::time::timeout(STATUS_TIMEOUT, status).await.ok()?.ok()
    }

    async fn handshake(&self) -> Result<(), String> {
        let (answer, result) = oneshot::channel();
        let stopped = || "the data thread has stopped".to_owned();
        self.commands.send(Command::Handshake(answer)).await.map_err(|_| stopped())?;
        match tokio::time::timeout(STATUS_TIMEOUT, result).await {
            Ok(result) => result.map_err(|_| stopped())?,
            Err(_) => Err("no QUIC handshake within two seconds".to_owned()),
        }
    }

    fn ready(&self) -> Result<(), String> {
        match *self.readiness.borrow() {
            Readiness::Ready => Ok(()),
            Readiness::Settling => Err("waiting for the interest of peers".to_owned()),
            Readiness::Replaced => Err(
                "another process with this gateway's id has started later, and this one dials nobody: give each its \
                 own MACULA_NODE_NAME or state directory"
                    .to_owned(),
            ),
            Readiness::Draining => Err("draining".to_owned()),
        }
    }

    fn sessions(&self) -> &Sessions {
        &self.sessions
    }
}

fn run_data_thread(
    settings: Settings,
    sessions: Arc<Sessions>,
    readiness: watch::Sender<Readiness>,
    commands: mpsc::Receiver<Command>,
    started: oneshot::Sender<Result<SocketAddr, StartError>>,
) {
    let runtime =
        match tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
        {
            Ok(runtime) => runtime,
            Err(error) => {
                let _ = started.send(Err(StartError::Thread(error)));
                return;
            }
        };
    runtime.block_on(async move {
        match Data::bind(settings, sessions, readiness) {
            Ok(data) => {
                let _ = started.send(Ok(data.local));
                data.run(commands).await;
            }
            Err(error) => {
                let _ = started.send(Err(error));
            }
        }
    });
    // The system may still look for the name of a peer, for many seconds when its DNS is gone too; nobody waits for that.
    runtime.shutdown_background();
}

/// Everything that lives on the data thread.
struct Data {
    settings: Settings,
    hub: Hub,
    trust: Rc<Trust>,
    server: ServerEndpoint,
    dialler: Dialler,
    own_tls: ClientTls,
    local: SocketAddr,
    sessions: Arc<Sessions>,
    readiness: watch::Sender<Readiness>,
}

impl Data {
    fn bind(
        settings: Settings,
        sessions: Arc<Sessions>,
        readiness: watch::Sender<Readiness>,
    ) -> Result<Self, StartError> {
        // The port is part of the default name, so the socket comes first; its certificate is put in after.
        let mut own = identity(&settings, settings.listen.port()).map_err(StartError::Identity)?;
        let trust = Trust::establish(&own, settings.certificate.as_ref()).map_err(StartError::Identity)?;
        let tls = trust.server().map_err(StartError::Identity)?;
        let address = settings.listen;
        let listen = |source| StartError::Listen { address, source };
        let server =
            ServerEndpoint::bind(address, &tls, &TransportProfile::NEWCOMER, Some(trust.reset_secret()))
                .map_err(listen)?;
        let local = server.local_addr().map_err(listen)?;
        let endpoint = client_endpoint().map_err(listen)?;
        let dialler = Dialler::new(endpoint, trust.link().map_err(StartError::Identity)?);
        if settings.advertise.is_empty() {
            // For port 0 the one that the system chose.
            own.advertise = own.advertise.iter().map(|address| with_port(address, local.port())).collect();
        }
        tracing::info!(name = own.name, node = %own.node, realm = own.realm, address = %local, "gateway listens");
        let own_tls = trust.own().map_err(StartError::Identity)?;
        let hub = Hub::new(own, settings.payload_bytes);
        if !settings.peers.is_empty() {
            hub.expect_peers();
        }
        Ok(Self {
            settings,
            hub,
            trust: Rc::new(trust),
            server,
            dialler,
            own_tls,
            local,
            sessions,
            readiness,
        })
    }

    async fn run(self, mut commands: mpsc::Receiver<Command>) {
        let mut tasks = JoinSet::new();
        let starts: Vec<_> = self
            .settings
            .peers
            .iter()
            .map(|address| (address.clone(), Rc::new(Settled::default())))
            .collect();
        let settled = starts.iter().map(|(_, settled)| settled.clone()).collect();
        tasks.spawn_local(links::keep_all(self.hub.clone(), self.dialler.clone(), starts));
        tasks.spawn_local(settle(self.hub.clone(), settled, self.readiness.clone()));
        tasks.spawn_local(tick(self.hub.clone(), self.readiness.clone()));
        let trust = self.trust.clone();
        tasks.spawn_local(async move { trust.renew().await });
        let mut acceptor = JoinSet::new();
        let service = Service::new(self.hub.clone(), &self.settings);
        acceptor.spawn_local(accept::accept(
            Rc::new(service),
            self.server.clone(),
            self.sessions.clone(),
            self.readiness.subscribe(),
        ));
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Status(answer)) => {
                        let _ = answer.send(self.hub.status());
                    }
                    Some(Command::Handshake(answer)) => {
                        let endpoint = self.dialler.endpoint.clone();
                        tasks.spawn_local(handshake(endpoint, self.own_tls.clone(), self.local, answer));
                    }
                    Some(Command::Shutdown) | None => break,
                },
                Some(result) = tasks.join_next() => {
                    if let Err(error) = result {
                        tracing::error!(%error, "a task of the gateway failed");
                    }
                }
            }
        }
        self.drain(tasks, acceptor).await;
    }

    /// The order in which a gateway stops.
    async fn drain(self, mut tasks: JoinSet<()>, mut acceptor: JoinSet<()>) {
        // 1. Readiness off; new connections are told to come back.
        self.readiness.send_replace(Readiness::Draining);
        self.hub.mesh().drain();
        tracing::info!("draining");
        // 2. Sessions move.
        self.hub.say_moving(0);
        let deadline = tokio::time::Instant::now() + GRACE;
        // Those that have left already may resume elsewhere or later; they are not waited for.
        let here = || {
            let gauges = self.hub.status().gauges;
            gauges.sessions > gauges.kept
        };
        while here() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // 3. The mesh hears that it has left, and not died.
        self.hub.leave();
        // 4. Links and the sessions that stayed get what is queued for them.
        let deadline = tokio::time::Instant::now() + FLUSH;
        loop {
            // At least once, so that datagrams leave too.
            tokio::time::sleep(Duration::from_millis(5)).await;
            if self.hub.finish() || tokio::time::Instant::now() >= deadline {
                break;
            }
        }
        // 5. Everything closes.
        acceptor.shutdown().await;
        tasks.shutdown().await;
        self.server.quinn().close(0u32.into(), b"the gateway stops");
        self.dialler.endpoint.close(0u32.into(), b"the gateway stops");
        let idle = async { tokio::join!(self.server.quinn().wait_idle(), self.dialler.endpoint.wait_idle()) };
        let _ = tokio::time::timeout(Duration::from_secs(1), idle).await;
        tracing::info!("stopped");
    }
}

async fn tick(hub: Hub, readiness: watch::Sender<Readiness>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        hub.tick();
        tell_replaced(hub.look(|node| node.is_replaced()), &readiness);
    }
}

/// A gateway that another process has replaced is not ready, and says so.
fn tell_replaced(replaced: bool, readiness: &watch::Sender<Readiness>) {
    let (from, to) = match replaced {
        true => (Readiness::Ready, Readiness::Replaced),
        false => (Readiness::Replaced, Readiness::Ready),
    };
    let changed = readiness.send_if_modified(|readiness| {
        let changes = *readiness == from;
        if changes {
            *readiness = to;
        }
        changes
    });
    match replaced {
        true if changed => tracing::error!(
            "another process with this gateway's id has started later, and this one dials nobody: give each its own \
             MACULA_NODE_NAME or state directory"
        ),
        false if changed => tracing::info!("looking again whether another process has this gateway's id"),
        _ => {}
    }
}

/// Those that its peers know have told their interest, too, or cannot be reached.
fn knows_members(hub: &Hub) -> bool {
    let peers = hub.peers();
    hub.look(|node| {
        let synced = |id| peers.iter().any(|peer| peer.node == id && peer.synced);
        let settled = |member: &Member| {
            member.state != MemberState::Alive
                || synced(member.run.node)
                || hub.mesh().has_failed(member.run.node)
        };
        peers.is_empty() || node.hears_members() && node.members().iter().all(settled)
    })
}

/// Opens the gateway to clients once it knows what live peers want and offer.
async fn settle(hub: Hub, settled: Vec<Rc<Settled>>, readiness: watch::Sender<Readiness>) {
    let all = async {
        while !(settled.iter().all(|peer| peer.is_settled(&hub)) && knows_members(&hub)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let _ = tokio::time::timeout(SETTLE, all).await;
    readiness.send_if_modified(|readiness| {
        let settling = *readiness == Readiness::Settling;
        if settling {
            *readiness = Readiness::Ready;
        }
        settling
    });
    tracing::info!(links = hub.peers().len(), "ready");
}

/// Connects to the gateway's own port as a client does: a handshake and nothing more.
async fn handshake(
    endpoint: quinn::Endpoint,
    tls: ClientTls,
    local: SocketAddr,
    answer: oneshot::Sender<Result<(), String>>,
) {
    let ip = match local.ip() {
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    let address = SocketAddr::new(ip, local.port());
    let result = connect(&endpoint, address, "localhost", &tls, &TransportProfile::SESSION).await;
    let _ = answer.send(match result {
        Ok(connection) => {
            connection.close(0u32.into(), b"health check");
            Ok(())
        }
        Err(error) => Err(crate::chain(&error)),
    });
}

/// The address with another port.
fn with_port(address: &str, port: u16) -> String {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    format!("{host}:{port}")
}

/// Listens, also where `[::]` means a machine without IPv6.
async fn listen_tcp(address: SocketAddr) -> std::io::Result<tokio::net::TcpListener> {
    match tokio::net::TcpListener::bind(address).await {
        Err(error)
            if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
                && error.kind() != std::io::ErrorKind::AddrInUse =>
        {
            tokio::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        result => result,
    }
}

//! The routers, each a process of its own with the settings that suit it best.

use crate::zenoh_peer;
use anyhow::{Context as _, ensure};
use macula_load::server;
use macula_transport::tls::{Authority, LeafRequest};
use serde_json::json;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum)]
pub enum Peer {
    /// Ours.
    Macula,
    /// nats-server with TLS.
    Nats,
    /// zenohd over QUIC.
    Zenoh,
    /// The bare relay.
    Relay,
}

impl Peer {
    /// All, ours first.
    pub const ALL: [Self; 4] = [Self::Macula, Self::Nats, Self::Zenoh, Self::Relay];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Macula => "macula",
            Self::Nats => "nats-server",
            Self::Zenoh => "zenohd",
            Self::Relay => "relay",
        }
    }

    /// Settings of server and clients that differ from their defaults, or matter.
    pub fn settings(self) -> [&'static str; 4] {
        match self {
            Self::Macula => [
                "6500",
                "event, acknowledged; 1,000 pairs: telemetry, at most once",
                "block",
                "all defaults; a current_thread application, whose calls do their I/O on its own runtimes",
            ],
            Self::Nats => [
                "TCP, 65536",
                "core, at most once",
                "max_pending 1 GiB",
                "write_deadline 60 s; clients: capacity 16,384, subscriptions hold all messages, read buffer 64 KiB",
            ],
            Self::Zenoh => [
                "1472",
                "reliable",
                "CongestionControl::Block",
                "batches of 64 KiB, data queue of 16; multicast off; clients: callbacks, a runtime of 20 threads, since publishing blocks one",
            ],
            Self::Relay => [
                "6500",
                "none",
                "publisher is not read",
                "endpoints and windows of Macula; clients on a thread and a socket for each core, as those of Macula",
            ],
        }
    }
}

/// Programs to start.
#[derive(Clone, Debug, clap::Args)]
pub struct Programs {
    /// The gateway
    #[arg(long)]
    pub gateway: PathBuf,
    /// nats-server
    #[arg(long)]
    pub nats: PathBuf,
    /// zenohd
    #[arg(long)]
    pub zenohd: PathBuf,
}

/// Certificates for all servers, and where they keep what they need.
pub struct Place {
    /// Directory of files.
    pub dir: tempfile::TempDir,
    /// The authority, PEM.
    pub ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Place {
    /// Makes a directory with certificates, P-256 for all.
    pub fn new() -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let authority = Authority::open_or_create(&dir.path().join("ca"), "Authority of a comparison")?;
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let life = Duration::from_secs(7 * 24 * 60 * 60);
        let leaf = LeafRequest { common_name: "localhost", names: &names, gateway: None, life };
        let leaf = authority.issue(&leaf)?;
        let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        std::fs::write(&certificate, leaf.certificate)?;
        std::fs::write(&key, leaf.key)?;
        Ok(Self { ca: authority.certificate_path(), certificate, key, dir })
    }
}

/// A server that runs; it ends with this value.
pub struct Server {
    child: Child,
    /// Its port on loopback.
    pub port: u16,
}

/// Longest wait for a server to listen.
const START: Duration = Duration::from_secs(20);

impl Server {
    /// Starts one and waits until it listens.
    pub fn start(peer: Peer, programs: &Programs, place: &Place) -> anyhow::Result<Self> {
        let mut port = free_port()?;
        let mut command = match peer {
            Peer::Macula => gateway(&programs.gateway, port, place)?,
            Peer::Nats => nats(&programs.nats, port, place)?,
            Peer::Zenoh => zenohd(&programs.zenohd, port, place)?,
            Peer::Relay => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("relay").arg(&place.certificate).arg(&place.key).stdout(Stdio::piped());
                command
            }
        };
        let log = std::fs::File::create(place.dir.path().join(format!("{}.log", peer.name())))?;
        if peer != Peer::Relay {
            command.stdout(log.try_clone()?);
        }
        let child = command.stdin(Stdio::null()).stderr(log).spawn();
        let mut child = child.with_context(|| format!("starting {}", peer.name()))?;
        if let Some(output) = child.stdout.take() {
            let mut line = String::new();
            BufReader::new(output).read_line(&mut line)?;
            port = line.trim().parse().context("the relay's port")?;
        }
        let mut server = Self { child, port };
        let began = Instant::now();
        while !server.listens(peer) {
            let ended = server.child.try_wait()?.is_some();
            ensure!(
                !ended && began.elapsed() < START,
                "{} does not start; it says:\n{}",
                peer.name(),
                std::fs::read_to_string(place.dir.path().join(format!("{}.log", peer.name())))?
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        // What a start leaves to do is no part of the measurement.
        std::thread::sleep(Duration::from_millis(300));
        Ok(server)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn listens(&self, peer: Peer) -> bool {
        match peer {
            Peer::Nats => std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok(),
            _ => server::of_udp_port(self.port) == Some(self.pid()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that is free for TCP and UDP at this moment.
fn free_port() -> anyhow::Result<u16> {
    for _ in 0..100 {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        if std::net::UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("no port is free")
}

fn gateway(program: &Path, port: u16, place: &Place) -> anyhow::Result<Command> {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("MACULA_GATEWAY_HOST", "127.0.0.1")
        .env("MACULA_GATEWAY_PORT", port.to_string())
        .env("MACULA_ADMIN_HOST", "127.0.0.1")
        .env("MACULA_ADMIN_PORT", free_port()?.to_string())
        .env("MACULA_ADVERTISE", format!("localhost:{port}"))
        .env("MACULA_TLS_CERT", &place.certificate)
        .env("MACULA_TLS_KEY", &place.key)
        .env("MACULA_TLS_CA", &place.ca);
    Ok(command)
}

fn nats(program: &Path, port: u16, place: &Place) -> anyhow::Result<Command> {
    let config = place.dir.path().join("nats.conf");
    let text = format!(
        "host: 127.0.0.1\nport: {port}\nmax_pending: 1GiB\nwrite_deadline: \"60s\"\n\
         tls {{ cert_file: {:?}, key_file: {:?}, ca_file: {:?} }}\n",
        place.certificate, place.key, place.ca
    );
    std::fs::write(&config, text)?;
    let mut command = Command::new(program);
    command.arg("-c").arg(config);
    Ok(command)
}

fn zenohd(program: &Path, port: u16, place: &Place) -> anyhow::Result<Command> {
    let config = place.dir.path().join("zenoh.json5");
    let text = json!({
        "mode": "router",
        "listen": { "endpoints": [format!("quic/127.0.0.1:{port}#{}", zenoh_peer::MTU)] },
        "scouting": { "multicast": { "enabled": false } },
        "transport": {
            "unicast": { "max_sessions": 5000, "accept_pending": 1000 },
            "link": {
                "tx": zenoh_peer::transmission()["tx"],
                "rx": zenoh_peer::transmission()["rx"],
                "tls": { "listen_certificate": place.certificate, "listen_private_key": place.key }
            }
        }
    });
    std::fs::write(&config, text.to_string())?;
    let mut command = Command::new(program);
    command.env("RUST_LOG", "warn").arg("-c").arg(config);
    Ok(command)
}

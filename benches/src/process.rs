//! A gateway in a process of its own, so that its CPU time is not mixed with its clients'.

use anyhow::{Context as _, ensure};
use macula_gateway::{Gateway, Settings};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// The argument that turns a benchmark binary into the gateway.
pub const AS_GATEWAY: &str = "as-gateway";

/// Realm of benchmark gateways.
pub const REALM: &str = "bench";

/// Runs a gateway on a free port until the standard input ends, and prints the port.
///
/// # Errors
/// When the gateway does not start.
pub fn run_gateway() -> anyhow::Result<()> {
    macula_gateway::save_memory();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let gateway = Gateway::start(Settings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            admin: None,
            realm: REALM.to_owned(),
            advertise: vec!["localhost:1".to_owned()],
            ..Settings::default()
        })
        .await?;
        let mut out = std::io::stdout();
        writeln!(out, "{}", gateway.local_addr().port())?;
        out.flush()?;
        tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??;
        gateway.shutdown().await;
        Ok(())
    })
}

/// A child process that is a gateway; it ends with this value.
#[derive(Debug)]
pub struct GatewayProcess {
    child: Child,
    /// URL for clients.
    pub url: String,
}

impl GatewayProcess {
    /// Starts this program again as a gateway.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start() -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("the path of this program")?;
        let mut child = Command::new(program)
            .arg(AS_GATEWAY)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the gateway process")?;
        let mut port = String::new();
        let stdout = child.stdout.take().context("the gateway's output")?;
        BufReader::new(stdout).read_line(&mut port)?;
        ensure!(!port.trim().is_empty(), "the gateway process did not start");
        Ok(Self { child, url: format!("https://localhost:{}", port.trim()) })
    }
}

impl Drop for GatewayProcess {
    fn drop(&mut self) {
        // The end of its input is what it waits for.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

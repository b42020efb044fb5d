//! Connections, as many as asked for at a time, which then rest.

use crate::report::{Latency, Part};
use crate::spread::Share;
use crate::system::{Client as _, Role, System, run_on};
use anyhow::ensure;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Work of clients that only connect.
#[derive(Clone, Debug, Serialize, Deserialize, clap::Args)]
pub struct Work {
    /// Clients
    #[arg(long, default_value_t = 500)]
    pub clients: usize,
    /// Clients that connect at the same time
    #[arg(long, default_value_t = 32)]
    pub at_once: usize,
    /// How long they stay when all are connected, in seconds
    #[arg(long, default_value_t = 1)]
    pub stay: u64,
    /// The server's process, whose memory is looked at while all are connected.
    #[arg(skip)]
    pub server: Option<u32>,
}

/// Does the share of a process, counting connections in `seen`. Latency is that of connecting. What `begin` gives
/// is dropped when they have rested, before they leave.
///
/// # Errors
/// When no thread can be made. A client that cannot connect is in the result.
pub async fn run<S: System, W>(
    system: &S,
    work: &Work,
    share: Share,
    begin: impl Future<Output = anyhow::Result<W>>,
    seen: Arc<AtomicU64>,
) -> anyhow::Result<Part> {
    ensure!(work.at_once > 0 && work.clients > 0, "--clients and --at-once are at least 1");
    let working = begin.await?;
    let gate = Arc::new(Semaphore::new(work.at_once));
    let mut part = Part { first: crate::now(), ..Part::default() };
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let (connected, mut outcomes) = tokio::sync::mpsc::unbounded_channel();
    let mut tasks = Vec::new();
    for _ in share.of(work.clients) {
        let (system, gate, connected) = (system.clone(), gate.clone(), connected.clone());
        let (mut stopped, seen) = (stopped.clone(), seen.clone());
        tasks.push(run_on(system.threads(), async move {
            let client = {
                let _permit = gate.acquire().await?;
                let began = crate::now();
                let client = system.connect(Role::Idle).await;
                let _ = connected
                    .send(client.as_ref().map(|_| crate::now() - began).map_err(|e| format!("{e:#}")));
                client
            };
            seen.fetch_add(1, Ordering::Relaxed);
            stopped.wait_for(|stopped| *stopped).await?;
            if let Ok(client) = client {
                client.close().await;
            }
            Ok(())
        })?);
    }
    drop(connected);
    let mut latency = Histogram::<u64>::new(3)?;
    for _ in 0..tasks.len() {
        match outcomes.recv().await {
            Some(Ok(took)) => {
                part.received += 1;
                latency.record(took / 1000)?;
            }
            Some(Err(error)) => part.fault(error),
            None => break,
        }
    }
    part.sent = tasks.len() as u64;
    part.last = crate::now();
    part.latency = Latency::from(&latency);
    tokio::time::sleep(Duration::from_secs(work.stay)).await;
    part.resident = work.server.and_then(|pid| crate::server::resident(pid).ok());
    drop(working);
    stop.send_replace(true);
    for task in tasks {
        task.await??;
    }
    Ok(part)
}

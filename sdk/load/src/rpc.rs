//! Calls: one after the other by each caller, or some in flight.

use crate::payload::{Head, Sizes};
use crate::report::{Latency, Part};
use crate::spread::Share;
use crate::system::{Client as _, Role, System, close_all, run_on};
use anyhow::ensure;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Work of callers and callees.
#[derive(Clone, Debug, Serialize, Deserialize, clap::Args)]
pub struct Work {
    /// Clients that call
    #[arg(long, default_value_t = 1)]
    pub callers: usize,
    /// Clients that answer, each a procedure of its own, which callers share out
    #[arg(long, default_value_t = 1)]
    pub callees: usize,
    /// Calls in flight of each caller
    #[arg(long, default_value_t = 1)]
    pub in_flight: usize,
    /// Bytes of payload, at least 16, or a mix: 128:8,1024:2
    #[arg(long, default_value = "128")]
    pub size: Sizes,
    /// Calls of each caller
    #[arg(long, default_value_t = 20_000)]
    pub calls: u32,
}

impl Work {
    /// Whether it can be done.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.callers > 0 && self.callees > 0 && self.in_flight > 0 && self.calls > 0,
            "--callers, --callees, --in-flight and --calls are at least 1"
        );
        Ok(())
    }
}

/// Does the share of a process, counting answers in `seen`. `begin` is awaited when all are connected; what it gives is dropped
/// when the work is done, before they leave.
///
/// # Errors
/// When a client cannot connect or register. A call that fails or is answered wrongly is in the result.
pub async fn run<S: System, W>(
    system: &S,
    work: &Work,
    share: Share,
    begin: impl Future<Output = anyhow::Result<W>>,
    seen: Arc<AtomicU64>,
) -> anyhow::Result<Part> {
    work.check()?;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut callees = Vec::new();
    for number in share.of(work.callees) {
        let (system, mut stopped) = (system.clone(), stopped.clone());
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        callees.push(run_on(system.threads(), async move {
            let client = system.connect(Role::Callee).await?;
            let service = client.serve(number).await?;
            let _ = ready.send(());
            stopped.wait_for(|stopped| *stopped).await?;
            drop(service);
            client.close().await;
            Ok(())
        })?);
        if is_ready.await.is_err()
            && let Some(callee) = callees.pop()
        {
            callee.await??;
        }
    }
    let (start, started) = tokio::sync::watch::channel(false);
    let mut callers = Vec::new();
    for number in share.of(work.callers) {
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let task = caller(system.clone(), work.clone(), number, ready, started.clone(), seen.clone());
        let task = run_on(system.threads(), task)?;
        if is_ready.await.is_err() {
            task.await??;
            continue;
        }
        callers.push(task);
    }
    let working = begin.await?;
    let mut part = Part { first: crate::now(), ..Part::default() };
    start.send_replace(true);
    let mut clients = Vec::new();
    for task in callers {
        let (client, got) = task.await??;
        clients.push(client);
        part.add(got);
    }
    drop(working);
    close_all(system, clients.into_iter().filter_map(Arc::into_inner).collect()).await?;
    stop.send_replace(true);
    for task in callees {
        task.await??;
    }
    Ok(part)
}

async fn caller<S: System>(
    system: S,
    work: Work,
    number: usize,
    ready: tokio::sync::oneshot::Sender<()>,
    mut started: tokio::sync::watch::Receiver<bool>,
    seen: Arc<AtomicU64>,
) -> anyhow::Result<(Arc<S::Client>, Part)> {
    let client = Arc::new(system.connect(Role::Caller).await?);
    let _ = ready.send(());
    started.wait_for(|started| *started).await?;
    let procedure = Arc::new(client.procedure(number % work.callees)?);
    let next = Arc::new(AtomicU32::new(0));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..work.in_flight {
        let (client, work, next, seen) = (client.clone(), work.clone(), next.clone(), seen.clone());
        let procedure = procedure.clone();
        workers.spawn(async move {
            let mut latency = Histogram::<u64>::new(3).expect("three digits are allowed");
            let mut part = Part::default();
            let mut payload = vec![0; work.size.largest()];
            loop {
                let sequence = next.fetch_add(1, Ordering::Relaxed);
                if sequence >= work.calls || part.faulty > 0 {
                    break;
                }
                let due = crate::now();
                let request = &mut payload[..work.size.of(sequence)];
                let head = Head { publisher: number as u32, sequence, due };
                head.write(request);
                let size = request.len();
                let right = |reply: &[u8]| reply.len() == size && Head::read(reply) == Some(head);
                part.sent += 1;
                match client.call(&procedure, request, right).await {
                    Ok(true) => {
                        part.received += 1;
                        seen.fetch_add(1, Ordering::Relaxed);
                        let _ = latency.record((crate::now() - due) / 1000);
                    }
                    Ok(false) => part.fault(format!("call {sequence} was answered with something else")),
                    Err(error) => part.fault(format!("call {sequence}: {error:#}")),
                }
            }
            part.last = crate::now();
            part.latency = Latency::from(&latency);
            part
        });
    }
    let mut whole = Part::default();
    while let Some(part) = workers.join_next().await {
        whole.add(part?);
    }
    Ok((client, whole))
}

//! Publishers and subscribers, as fast as it goes or at a fixed rate.

use crate::payload::{Head, Sizes};
use crate::report::Part;
use crate::sink::{Sink, Strictness};
use crate::spread::Share;
use crate::system::{Client, Publisher as _, Role, Subscription as _, System, close_all, run_on};
use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;

/// Connections that are made at a time.
const CONNECTING: usize = 32;
/// A publisher that is not paced gives way after so many messages, so that others of its thread have their turn.
const TURN: u32 = 64;

/// Work of publishers and subscribers.
#[derive(Clone, Debug, Serialize, Deserialize, clap::Args)]
pub struct Work {
    /// Publishers, each a client of its own
    #[arg(long, default_value_t = 1)]
    pub pubs: usize,
    /// Subscribers, each a client of its own
    #[arg(long, default_value_t = 4)]
    pub subs: usize,
    /// Topics; publisher and subscriber number n use topic n modulo this
    #[arg(long, default_value_t = 1)]
    pub topics: usize,
    /// Bytes of payload, at least 16, or a mix: 128:8,1024:2
    #[arg(long, default_value = "128")]
    pub size: Sizes,
    /// Subscriptions of other clients, 10,000 each at most, that match nothing of what is published
    #[arg(long, default_value_t = 0)]
    pub idle_subs: usize,
    /// Messages of each publisher
    #[arg(long, default_value_t = 300_000)]
    pub messages: u32,
    /// Messages a second of each publisher; as fast as it goes when not given. Latency counts from when a message was due
    #[arg(long)]
    pub rate: Option<f64>,
    /// Of the subscribers, so many are slow: they rest after each message, and may lose what they are told of
    #[arg(long, default_value_t = 0)]
    pub slow: usize,
    /// How long a slow subscriber rests after each message, in microseconds
    #[arg(long, default_value_t = 1000)]
    pub slow_us: u64,
    /// Longest wait for the last messages, in seconds
    #[arg(long, default_value_t = 30)]
    pub patience: u64,
}

impl Work {
    /// Whether it can be done.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.topics > 0 && self.pubs > 0 && self.subs > 0 && self.messages > 0,
            "--pubs, --subs, --topics and --messages are at least 1"
        );
        ensure!(self.slow <= self.subs, "--slow {}: there are {} subscribers", self.slow, self.subs);
        ensure!(self.rate.is_none_or(|rate| rate > 0.0), "--rate is more than 0");
        Ok(())
    }

    /// Messages that this subscriber gets.
    fn expected_by(&self, subscriber: usize) -> u64 {
        let topic = subscriber % self.topics;
        (0..self.pubs).filter(|publisher| publisher % self.topics == topic).count() as u64
            * u64::from(self.messages)
    }

    /// Deliveries of the whole work.
    pub fn expected(&self) -> u64 {
        (0..self.subs).map(|subscriber| self.expected_by(subscriber)).sum()
    }

    fn is_slow(&self, subscriber: usize) -> bool {
        subscriber < self.slow
    }
}

/// Does the share of a process, counting in `seen`. All clients are connected and subscribed when `begin` is awaited,
/// and start when it is done; what it gives is dropped when the work is done, before they leave.
///
/// # Errors
/// When a client cannot connect, subscribe or publish. What is missing is in the result.
pub async fn run<S: System, W>(
    system: &S,
    work: &Work,
    share: Share,
    begin: impl Future<Output = anyhow::Result<W>>,
    seen: Arc<AtomicU64>,
) -> anyhow::Result<Part> {
    work.check()?;
    let (ready, mut readiness) = mpsc::unbounded_channel();
    let (start, started) = watch::channel(0);
    let gate = Arc::new(Semaphore::new(CONNECTING));
    let mut subscribers = Vec::new();
    for number in share.of(work.subs) {
        let task =
            subscriber(system.clone(), work.clone(), number, gate.clone(), ready.clone(), seen.clone());
        subscribers.push(run_on(system.threads(), task)?);
    }
    await_all(&mut readiness, subscribers.len(), &mut subscribers).await?;
    let mut publishers = Vec::new();
    for number in share.of(work.pubs) {
        let task =
            publisher(system.clone(), work.clone(), number, gate.clone(), ready.clone(), started.clone());
        publishers.push(run_on(system.threads(), task)?);
    }
    await_all(&mut readiness, publishers.len(), &mut publishers).await?;
    let working = begin.await?;
    let mut part = Part { first: crate::now(), ..Part::default() };
    start.send_replace(part.first);
    // Not every client says when all that it was given has left: they stay until the subscribers have it.
    let (mut stay, mut clients) = (Vec::new(), Vec::new());
    for task in publishers {
        let (client, publisher) = task.await??;
        stay.push(publisher);
        clients.push(client);
        part.sent += u64::from(work.messages);
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(work.patience);
    for task in subscribers {
        let abort = task.abort_handle();
        match tokio::time::timeout_at(deadline, task).await {
            Ok(result) => {
                let (client, got) = result??;
                clients.push(client);
                part.add(got);
            }
            Err(_) => {
                abort.abort();
                part.faulty += 1;
                part.faults.push(format!(
                    "a subscriber did not get all messages within {} s of the last",
                    work.patience
                ));
            }
        }
    }
    drop(working);
    drop(stay);
    close_all(system, clients).await?;
    part.received = part.received.max(seen.load(Ordering::Relaxed));
    Ok(part)
}

/// Waits until so many tasks are ready, or one has failed.
async fn await_all<T>(
    readiness: &mut mpsc::UnboundedReceiver<()>,
    count: usize,
    tasks: &mut Vec<JoinHandle<anyhow::Result<T>>>,
) -> anyhow::Result<()> {
    let mut ready = 0;
    while ready < count {
        match tokio::time::timeout(Duration::from_millis(200), readiness.recv()).await {
            Ok(_) => ready += 1,
            Err(_) => {
                if let Some(failed) = tasks.iter().position(JoinHandle::is_finished) {
                    let ended = tasks.swap_remove(failed).await?;
                    ended.context("a client could not begin")?;
                }
            }
        }
    }
    Ok(())
}

async fn subscriber<S: System>(
    system: S,
    work: Work,
    number: usize,
    gate: Arc<Semaphore>,
    ready: mpsc::UnboundedSender<()>,
    seen: Arc<AtomicU64>,
) -> anyhow::Result<(S::Client, Part)> {
    let (client, subscription) = {
        let _permit = gate.acquire().await?;
        let client = system.connect(Role::Subscriber).await?;
        let subscription = client.subscribe(number % work.topics).await?;
        (client, subscription)
    };
    let slow = work.is_slow(number);
    let strictness = if slow || system.may_lose() { Strictness::Told } else { Strictness::Complete };
    let sizes = work.size.clone();
    let mut sink =
        Sink::new(work.expected_by(number), work.pubs, sizes, work.rate.is_some(), strictness, seen);
    if slow {
        sink = sink.slow(Duration::from_micros(work.slow_us));
    }
    let _ = ready.send(());
    let part = subscription.run(sink).await.finish();
    Ok((client, part))
}

async fn publisher<S: System>(
    system: S,
    work: Work,
    number: usize,
    gate: Arc<Semaphore>,
    ready: mpsc::UnboundedSender<()>,
    mut started: watch::Receiver<u64>,
) -> anyhow::Result<(S::Client, <S::Client as Client>::Publisher)> {
    let (client, publisher) = {
        let _permit = gate.acquire().await?;
        let client = system.connect(Role::Publisher).await?;
        let publisher = client.publisher(number % work.topics).await?;
        (client, publisher)
    };
    let mut payload = vec![0; work.size.largest()];
    let _ = ready.send(());
    let start = *started.wait_for(|start| *start > 0).await?;
    let interval = work.rate.map(|rate| 1e9 / rate);
    // Not all at the same moment, as clients in the field would not be.
    let offset = interval.map_or(0.0, |interval| interval * number as f64 / work.pubs as f64);
    let mut due = start;
    for sequence in 0..work.messages {
        if let Some(interval) = interval {
            // The time at which it should leave counts, so that a stall is seen by all that it delays.
            due = start + (offset + interval * f64::from(sequence)) as u64;
            let now = crate::now();
            if due > now {
                tokio::time::sleep(Duration::from_nanos(due - now)).await;
            }
        } else if sequence % TURN == 0 {
            due = crate::now();
            if sequence > 0 {
                tokio::task::yield_now().await;
            }
        }
        let size = work.size.of(sequence);
        Head { publisher: number as u32, sequence, due }.write(&mut payload);
        publisher.send(&payload[..size]).await?;
    }
    publisher.flush().await?;
    Ok((client, publisher))
}

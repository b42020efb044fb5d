//! A client at each gateway that publishes numbers and writes down what it gets of everybody's.

use crate::network::Network;
use macula_sdk::{Client, FlushError, Notification, Pattern, Topic};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time between two events of one publisher.
const PACE: Duration = Duration::from_millis(5);
/// What is under way arrives within this time of the last that came.
const QUIET: Duration = Duration::from_secs(3);

/// What a subscriber got of one publisher.
#[derive(Clone, Copy, Debug, Default)]
struct Stream {
    last: u64,
    received: u64,
}

/// What a subscriber got.
#[derive(Debug, Default)]
struct Record {
    streams: Vec<Stream>,
    /// Gaps that it was told; those of unknown extent are `None`.
    gaps: Vec<Option<u64>>,
    wrong: Vec<String>,
    heard: Option<Instant>,
}

pub(crate) struct Traffic {
    clients: Vec<Player>,
    publish: Arc<AtomicBool>,
    end: Arc<AtomicBool>,
}

struct Player {
    published: Arc<AtomicU64>,
    record: Arc<Mutex<Record>>,
    settled: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// How it went: for each subscriber what it missed of all that was published, and the gaps it was told.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) published: u64,
    pub(crate) missed: Vec<u64>,
    pub(crate) gaps: Vec<Vec<Option<u64>>>,
}

impl Traffic {
    /// Everybody is subscribed at every gateway when this returns, and begins to publish.
    pub(crate) fn start(network: &Network, count: usize) -> Self {
        let (publish, end) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
        let ready = Arc::new(std::sync::Barrier::new(count + 1));
        let clients = (0..count)
            .map(|index| {
                let published = Arc::<AtomicU64>::default();
                let record = Record { streams: vec![Stream::default(); count], ..Record::default() };
                let record = Arc::new(Mutex::new(record));
                let settled = Arc::<AtomicBool>::default();
                let (noted, counted, told) = (record.clone(), published.clone(), settled.clone());
                let (publish, end, ready) = (publish.clone(), end.clone(), ready.clone());
                let thread = network.within(index, move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                    runtime.expect("a runtime").block_on(async move {
                        let client = connect().await;
                        let subscribe = client
                            .subscribe("test.*".parse::<Pattern>().expect("a pattern"))
                            .echo()
                            .scope_mesh();
                        let mut subscription = subscribe.await.expect("subscribed");
                        let read = async {
                            loop {
                                let next =
                                    tokio::time::timeout(Duration::from_millis(100), subscription.next());
                                match next.await {
                                    Ok(Some(next)) => noted.lock().expect("no panic").note(next),
                                    Ok(None) => panic!("the client was closed"),
                                    Err(_) if end.load(Ordering::Relaxed) => return,
                                    Err(_) => {}
                                }
                            }
                        };
                        ready.wait();
                        let write = write(&client, index, &publish, &counted, &told);
                        tokio::join!(read, write);
                    });
                });
                Player { published, record, settled, thread }
            })
            .collect();
        ready.wait();
        Self { clients, publish, end }
    }

    /// Publishes no more, waits until nothing comes any more, and counts.
    pub(crate) fn finish(self, patience: Duration) -> Outcome {
        self.publish.store(false, Ordering::Relaxed);
        let begun = Instant::now();
        while begun.elapsed() < patience && !self.is_over() {
            std::thread::sleep(Duration::from_millis(50));
        }
        self.end.store(true, Ordering::Relaxed);
        let total: u64 = self.clients.iter().map(|player| player.published.load(Ordering::Relaxed)).sum();
        let mut outcome = Outcome { published: total, missed: Vec::new(), gaps: Vec::new() };
        for player in self.clients {
            player.thread.join().expect("no panic");
            let record = std::mem::take(&mut *player.record.lock().expect("no panic"));
            assert!(record.wrong.is_empty(), "{:?}", &record.wrong[..record.wrong.len().min(5)]);
            let received: u64 = record.streams.iter().map(|stream| stream.received).sum();
            outcome.missed.push(total - received);
            outcome.gaps.push(record.gaps);
        }
        outcome
    }

    /// Everybody has everything, or nobody has heard anything for a while.
    fn is_over(&self) -> bool {
        let settled = self.clients.iter().all(|player| player.settled.load(Ordering::Relaxed));
        let published: Vec<u64> =
            self.clients.iter().map(|player| player.published.load(Ordering::Relaxed)).collect();
        settled
            && self.clients.iter().all(|player| {
                let record = player.record.lock().expect("no panic");
                let complete =
                    record.streams.iter().zip(&published).all(|(stream, last)| stream.last == *last);
                complete || record.heard.is_some_and(|heard| heard.elapsed() >= QUIET)
            })
    }
}

impl Record {
    fn note(&mut self, next: Notification) {
        self.heard = Some(Instant::now());
        match next {
            Notification::Message(message) => {
                let text = std::str::from_utf8(message.payload()).expect("text");
                let (from, number) = text.split_once(' ').expect("two numbers");
                let (from, number): (usize, u64) =
                    (from.parse().expect("a number"), number.parse().expect("a number"));
                let stream = &mut self.streams[from];
                if number <= stream.last {
                    self.wrong.push(format!("{number} of publisher {from} after {}", stream.last));
                }
                (stream.last, stream.received) = (number, stream.received + 1);
            }
            Notification::Gap(count) => self.gaps.push(count),
            // What a lost link had of the telemetry that gateways tell of themselves; everything here is an event.
            Notification::Dropped(_) => {}
            other => self.wrong.push(format!("{other:?}")),
        }
    }
}

async fn connect() -> Client {
    let client = Client::builder().url("https://localhost:9443").realm(crate::REALM);
    client.wait_for_gateway().connect().await.expect("the gateway answers")
}

async fn write(
    client: &Client,
    index: usize,
    publish: &AtomicBool,
    published: &AtomicU64,
    settled: &AtomicBool,
) {
    let topic: Topic = format!("test.publisher-{index}").parse().expect("a topic");
    let mut pace = tokio::time::interval(PACE);
    while publish.load(Ordering::Relaxed) {
        pace.tick().await;
        let number = published.load(Ordering::Relaxed) + 1;
        client.publish(&topic, format!("{index} {number}")).send().await.expect("it is taken");
        published.store(number, Ordering::Relaxed);
    }
    let all = tokio::time::timeout(Duration::from_secs(60), client.settle()).await;
    match all.expect("within a minute") {
        // Whether the gateway took them is counted where they arrive.
        Ok(()) | Err(FlushError::Unanswered { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    settled.store(true, Ordering::Relaxed);
}

//! Many events while something breaks: what is promised about losing nothing, under load.
//!
//! In `cargo test` 10,000 events and faults of two or three seconds; `ENDURANCE=long cargo test -p macula-gateway --test
//! endurance -- --nocapture` has 100,000 events at 5,000 a second, a restart that takes five seconds and a path that is
//! cut for twenty.

mod support;

use macula_sdk::{Client, Notification, Overflow, Pattern, Subscription, Topic};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::doomed::Doomed;
use support::path::Path;
use support::{gateway, url};

const REALM: &str = "test.realm";
/// Events a second.
const RATE: u64 = 5_000;
/// Nothing here takes longer on any machine; then something hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// How much, and how long things stay broken.
struct Measure {
    events: u64,
    restart: Duration,
    cut: Duration,
}

fn measure() -> Measure {
    let seconds = Duration::from_secs;
    match std::env::var("ENDURANCE").as_deref() {
        Ok("long") => Measure { events: 100_000, restart: seconds(5), cut: seconds(20) },
        _ => Measure { events: 10_000, restart: seconds(2), cut: seconds(3) },
    }
}

async fn connect(url: String) -> Client {
    Client::builder().url(url).realm(REALM).wait_for_gateway().connect().await.expect("the gateway answers")
}

async fn subscribe(client: &Client) -> Subscription {
    client.subscribe("test.*".parse::<Pattern>().expect("a pattern")).await.expect("subscribed")
}

/// Publishes numbers from 1 on at a steady rate, in a task of its own.
fn publish_steadily(client: &Client, events: u64) -> tokio::task::JoinHandle<()> {
    publish_on(client, Topic::from_static("test.events"), events)
}

fn publish_on(client: &Client, topic: Topic, events: u64) -> tokio::task::JoinHandle<()> {
    let client = client.clone();
    tokio::spawn(async move {
        let begun = Instant::now();
        for number in 1..=events {
            let due = Duration::from_micros(number * 1_000_000 / RATE);
            if number % 50 == 0
                && let Some(early) = due.checked_sub(begun.elapsed())
            {
                tokio::time::sleep(early).await;
            }
            let publish = client.publish(&topic, number.to_string()).key((number % 100).to_string());
            publish.send().await.expect("it is taken");
        }
        client.flush().await.expect("accepted");
    })
}

/// What a subscriber was given: each number in order, and how many it was told to miss.
#[derive(Debug, Default)]
struct Received {
    events: u64,
    gaps: Vec<Option<u64>>,
}

/// Reads up to this number; panics at one that comes twice or too early.
async fn read(subscription: &mut Subscription, last: u64) -> Received {
    let mut received = Received::default();
    let mut before = 0;
    // Gaps since the last event.
    let mut told: Vec<Option<u64>> = Vec::new();
    while before < last {
        let next = tokio::time::timeout(PATIENCE, subscription.next()).await.expect("it goes on");
        match next.expect("the client is not closed") {
            Notification::Message(message) => {
                let number: u64 =
                    std::str::from_utf8(message.payload()).expect("text").parse().expect("a number");
                assert!(number > before, "{number} after {before}");
                let missing = number - before - 1;
                let counted: Option<u64> = told.drain(..).sum();
                // A gap of unknown extent may turn out to be none.
                assert!(
                    counted.is_none_or(|counted| counted == missing),
                    "{number} after {before}, and told of {counted:?}"
                );
                before = number;
                received.events += 1;
            }
            Notification::Gap(count) => {
                told.push(count);
                received.gaps.push(count);
            }
            other => panic!("{other:?}"),
        }
    }
    received
}

#[tokio::test]
async fn a_restart_in_order_loses_nothing() {
    let Measure { events, restart, .. } = measure();
    let mut gateway = Doomed::start(REALM);
    let (reader, publisher) = (connect(gateway.url()).await, connect(gateway.url()).await);
    let mut subscription = subscribe(&reader).await;
    let publishing = publish_steadily(&publisher, events);
    let reading = tokio::spawn(async move { read(&mut subscription, events).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let down = Instant::now();
    gateway.ask_to_stop();
    while !gateway.has_stopped() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(restart.saturating_sub(down.elapsed())).await;
    let down = down.elapsed();
    gateway.rise();
    publishing.await.expect("all are published");
    let received = reading.await.expect("all are read");
    println!("down for {down:?}: {received:?}");
    assert_eq!((received.events, received.gaps), (events, Vec::new()));
}

#[tokio::test]
async fn a_path_that_is_cut_for_a_while_loses_nothing() {
    let Measure { events, cut, .. } = measure();
    let gateway = gateway("endurance").await;
    let path = Path::to(gateway.local_addr()).await;
    let (reader, publisher) = (connect(path.url()).await, connect(url(&gateway)).await);
    let mut subscription = subscribe(&reader).await;
    let publishing = publish_steadily(&publisher, events);
    let reading = tokio::spawn(async move { read(&mut subscription, events).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    path.cut();
    tokio::time::sleep(cut).await;
    path.mend();
    publishing.await.expect("all are published");
    let received = reading.await.expect("all are read");
    println!("path cut for {cut:?}: {received:?}, {:?}", reader.statistics());
    assert_eq!((received.events, received.gaps), (events, Vec::new()));
}

#[tokio::test]
async fn a_gateway_that_is_killed_under_load_loses_nothing_silently() {
    let Measure { events, .. } = measure();
    let mut gateway = Doomed::start(REALM);
    let (reader, publisher) = (connect(gateway.url()).await, connect(gateway.url()).await);
    let mut subscription = subscribe(&reader).await;
    let publishing = publish_steadily(&publisher, events);
    let reading = tokio::spawn(async move { read(&mut subscription, events).await });
    tokio::time::sleep(Duration::from_millis(700)).await;
    gateway.die_and_rise();
    publishing.await.expect("all are published");
    let received = reading.await.expect("all are read");
    println!("killed: {received:?}, {:?}", publisher.statistics());
    assert!(received.events == events || !received.gaps.is_empty(), "{received:?}");
}

#[tokio::test]
async fn a_peer_that_is_killed_under_load_loses_nothing_silently() {
    let Measure { events, .. } = measure();
    let stays = gateway("stays").await;
    let mut peer = Doomed::beside(&stays, REALM);
    // One way each; both readers and both publishers outlive the gateway.
    let ways = [(url(&stays), peer.url(), "test.there"), (peer.url(), url(&stays), "test.here")];
    let mut running = Vec::new();
    for (from, to, topic) in ways {
        let (publisher, reader) = (connect(from).await, connect(to).await);
        let subscribe = reader.subscribe(topic.parse::<Pattern>().expect("a pattern")).scope_mesh();
        let mut subscription = subscribe.await.expect("subscribed");
        let publishing = publish_on(&publisher, Topic::from_static(topic), events);
        let reading = tokio::spawn(async move { read(&mut subscription, events).await });
        running.push((topic, publishing, reading, (publisher, reader)));
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    peer.die_and_rise();
    for (topic, publishing, reading, _clients) in running {
        publishing.await.expect("all are published");
        let received = reading.await.expect("all are read");
        println!("peer killed, {topic}: {received:?}");
        assert!(received.events == events || !received.gaps.is_empty(), "{topic}: {received:?}");
    }
}

#[tokio::test]
async fn a_reader_that_is_overtaken_is_told_exactly_what_it_misses_and_where() {
    let events = 10_000;
    let gateway = gateway("overtaken").await;
    let (reader, publisher) = (connect(url(&gateway)).await, connect(url(&gateway)).await);
    let subscribe = reader.subscribe("test.*".parse::<Pattern>().expect("a pattern"));
    let mut subscription = subscribe.overflow_events(Overflow::DropNewest).await.expect("subscribed");
    let topic = Topic::from_static("test.events");
    // Ten megabytes for somebody who does not read.
    for number in 1..events {
        let payload = format!("{number:01024}");
        publisher.publish(&topic, payload).send().await.expect("it is taken");
    }
    publisher.flush().await.expect("accepted");
    let (mut received, mut missed, mut before) = (0, 0, 0);
    let mut gap = 0;
    let mut last_sent = false;
    while before < events {
        let next = tokio::time::timeout(Duration::from_millis(500), subscription.next()).await;
        match next.map(|next| next.expect("the client is not closed")) {
            Ok(Notification::Message(message)) => {
                let text = std::str::from_utf8(message.payload()).expect("text");
                let number: u64 = text.parse().expect("a number");
                assert_eq!(number, before + 1 + std::mem::take(&mut gap), "after {before}");
                (before, received) = (number, received + 1);
            }
            Ok(Notification::Gap(count)) => {
                gap = count.expect("the gateway has counted");
                missed += gap;
            }
            Ok(other) => panic!("{other:?}"),
            Err(_) => {
                // All that was kept has come; one more finds room, behind the gap.
                assert!(!std::mem::replace(&mut last_sent, true), "it stopped after {before}");
                publisher.publish(&topic, events.to_string()).await.expect("accepted");
            }
        }
    }
    assert_eq!(missed + received, events);
    assert!(received < events / 2, "{received} received");
}

/// A member of a group: acknowledges what it gets, and writes it down.
struct Worker {
    done: Arc<Mutex<BTreeSet<u64>>>,
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Worker {
    async fn hire(url: String, resume: Duration) -> Self {
        let client = Client::builder().url(url).realm(REALM).resume_window(resume).connect().await;
        let client = client.expect("the gateway answers");
        let subscribe = client.subscribe("test.*".parse::<Pattern>().expect("a pattern")).group("workers");
        let mut queue = subscribe.manual_ack().await.expect("subscribed");
        let (done, stop) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicBool::new(false)));
        let (noted, told) = (Arc::clone(&done), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            while !told.load(Ordering::Relaxed) {
                let next = tokio::time::timeout(Duration::from_millis(50), queue.next_delivery()).await;
                let Ok(delivery) = next else { continue };
                let Some(delivery) = delivery else { return };
                let text = std::str::from_utf8(delivery.payload()).expect("text");
                let number = text.parse().expect("a number");
                assert!(noted.lock().expect("nobody panics").insert(number), "{number} comes twice");
                delivery.ack();
            }
            drop(queue);
            let _ = client.close().await;
        });
        Self { done, stop, task }
    }

    async fn leave(self) -> BTreeSet<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("it did its work");
        std::mem::take(&mut self.done.lock().expect("nobody panics"))
    }
}

#[tokio::test]
async fn a_group_does_each_event_once_while_members_come_and_go() {
    let Measure { events, .. } = measure();
    let gateway = gateway("workers").await;
    let path = Path::to(gateway.local_addr()).await;
    let publisher = connect(url(&gateway)).await;
    let window = Duration::from_secs(30);
    let stays = Worker::hire(url(&gateway), window).await;
    let leaves = Worker::hire(url(&gateway), window).await;
    // Its connection is lost for good, and nobody waits for it.
    let dies = Worker::hire(path.url(), Duration::from_millis(200)).await;
    let publishing = publish_steadily(&publisher, events);
    tokio::time::sleep(Duration::from_millis(400)).await;
    let joins = Worker::hire(url(&gateway), window).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    let mut living = vec![leaves.leave().await];
    path.cut();
    publishing.await.expect("all are published");
    tokio::time::timeout(PATIENCE, publisher.settle()).await.expect("in time").expect("settled");
    let dead = std::mem::take(&mut *dies.done.lock().expect("nobody panics"));
    dies.task.abort();
    living.extend([stays.leave().await, joins.leave().await]);
    let counted: usize = living.iter().map(BTreeSet::len).sum();
    let all: BTreeSet<u64> = living.iter().flatten().copied().collect();
    println!(
        "{:?} and {} by the one that died",
        living.iter().map(BTreeSet::len).collect::<Vec<_>>(),
        dead.len()
    );
    assert_eq!(counted, all.len(), "no event is done by two members that lived");
    let missing = (1..=events).find(|number| !all.contains(number) && !dead.contains(number));
    assert_eq!(missing, None, "every event is done");
    assert!(living.iter().all(|done| done.len() > 100), "everybody had something to do");
}

#[tokio::test]
async fn a_group_does_each_event_once_though_the_gateway_of_a_member_is_killed() {
    let Measure { events, .. } = measure();
    let stays = gateway("workers").await;
    let mut peer = Doomed::beside(&stays, REALM);
    let publisher = connect(url(&stays)).await;
    let window = Duration::from_secs(30);
    let workers = [Worker::hire(url(&stays), window).await, Worker::hire(peer.url(), window).await];
    let publishing = publish_steadily(&publisher, events);
    tokio::time::sleep(Duration::from_millis(700)).await;
    peer.die_and_rise();
    publishing.await.expect("all are published");
    tokio::time::timeout(PATIENCE, publisher.settle()).await.expect("in time").expect("settled");
    let mut done = Vec::new();
    for worker in workers {
        done.push(worker.leave().await);
    }
    let [here, there] = [&done[0], &done[1]];
    println!("{} at the gateway that stayed, {} at the one that was killed", here.len(), there.len());
    assert_eq!(here.intersection(there).next(), None, "done by both");
    let missing = (1..=events).find(|number| !here.contains(number) && !there.contains(number));
    assert_eq!(missing, None, "every event is done");
    assert!(here.len() > 100 && there.len() > 100, "everybody had something to do");
}

//! Each kind of load against a gateway in this process.

use macula_gateway::{Gateway, Settings};
use macula_load::spread::Share;
use macula_load::{Macula, Outcome, Part, pubsub, rpc, storm};
use macula_sdk::{Class, Client, Overflow};
use std::net::SocketAddr;

async fn gateway() -> (Gateway, Macula) {
    let settings = Settings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        admin: None,
        advertise: vec!["localhost:1".to_owned()],
        ..Settings::default()
    };
    let realm = settings.realm.clone();
    let gateway = Gateway::start(settings).await.expect("a gateway on a free port");
    let url = format!("https://localhost:{}", gateway.local_addr().port());
    (gateway, Macula::at(Client::builder().url(url).realm(realm)))
}

fn outcome(expected: u64, part: Part) -> Outcome {
    Outcome { expected, part, cpu: None, resident: None }
}

fn work(rate: Option<f64>) -> pubsub::Work {
    let size = "64:3,2048:1".parse().expect("a mix");
    pubsub::Work {
        pubs: 2,
        subs: 4,
        topics: 2,
        size,
        idle_subs: 0,
        messages: 500,
        rate,
        slow: 0,
        slow_us: 0,
        patience: 30,
    }
}

#[tokio::test]
async fn every_message_comes_to_every_subscriber() {
    let (gateway, system) = gateway().await;
    for rate in [None, Some(5000.0)] {
        let work = work(rate);
        let ran = pubsub::run(&system, &work, Share::ALL, async { Ok(()) }, <_>::default()).await;
        let outcome = outcome(work.expected(), ran.expect("it runs"));
        assert!(outcome.is_valid(), "{outcome:?}");
        assert_eq!((outcome.expected, outcome.part.sent), (2000, 1000));
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_slow_reader_is_told_what_it_loses_and_the_others_lose_nothing() {
    let (gateway, mut system) = gateway().await;
    (system.class, system.overflow) = (Class::Telemetry, Overflow::DropOldest);
    let size = "4096".parse().expect("a size");
    let work = pubsub::Work {
        pubs: 1,
        subs: 2,
        topics: 1,
        size,
        idle_subs: 0,
        messages: 2000,
        rate: Some(1000.0),
        slow: 1,
        slow_us: 5000,
        patience: 60,
    };
    let ran = pubsub::run(&system, &work, Share::ALL, async { Ok(()) }, <_>::default()).await;
    let outcome = outcome(work.expected(), ran.expect("it runs"));
    assert!(outcome.is_valid(), "{outcome:?}");
    assert!(outcome.part.told > 0, "the reader was not slow: {outcome:?}");
    gateway.shutdown().await;
}

#[tokio::test]
async fn calls_are_answered_and_clients_connect() {
    let (gateway, system) = gateway().await;
    let size = "128".parse().expect("a size");
    let work = rpc::Work { callers: 2, callees: 2, in_flight: 5, size, calls: 200 };
    let part = rpc::run(&system, &work, Share::ALL, async { Ok(()) }, <_>::default()).await.expect("it runs");
    assert!(outcome(400, part).is_valid());
    let work = storm::Work { clients: 20, at_once: 5, stay: 0, server: Some(std::process::id()) };
    let part =
        storm::run(&system, &work, Share::ALL, async { Ok(()) }, <_>::default()).await.expect("it runs");
    assert!(part.resident.is_some());
    assert!(outcome(20, part).is_valid());
    gateway.shutdown().await;
}

//! Several real gateways, joined by real QUIC links, seen through the SDK.

mod support;

use macula_gateway::{Gateway, PeerAddress, Settings};
use macula_proto::frame::put_message;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{Hello, Register};
use macula_sdk::{CallFailure, Client, Code, Pattern, Reply, Topic};
use macula_transport::client::{Dialer, Roots};
use std::time::Duration;
use support::{gateway, gateway_with_peers, settings, url};

async fn client(gateway: &Gateway) -> Client {
    Client::builder()
        .url(url(gateway))
        .realm("test.realm")
        .connect()
        .await
        .expect("the gateway accepts clients")
}

fn topic(text: &str) -> Topic {
    text.parse().expect("a legal topic")
}

fn pattern(text: &str) -> Pattern {
    text.parse().expect("a legal pattern")
}

/// Three gateways, each linked to the others.
async fn three() -> [Gateway; 3] {
    let a = gateway("a").await;
    let b = gateway_with_peers("b", &[&a]).await;
    let c = gateway_with_peers("c", &[&a, &b]).await;
    for gateway in [&a, &b, &c] {
        until(async || gateway.status().await.expect("alive").peers.len() == 2).await;
    }
    [a, b, c]
}

#[tokio::test]
async fn what_is_published_anywhere_reaches_subscribers_everywhere_once() {
    let [a, b, c] = three().await;
    let publisher = client(&a).await;
    let mut subscriptions = Vec::new();
    for gateway in [&a, &b, &c] {
        let subscriber = client(gateway).await;
        let subscription = subscriber.subscribe(pattern("test.*")).scope_mesh().await.expect("subscribed");
        assert_eq!(subscription.confirmed(), 3, "missing: {:?}", subscription.missing());
        subscriptions.push(subscription);
    }
    let publish = publisher.publisher("test.mesh.event").build().expect("a topic");
    for number in 0..1000u32 {
        publish.send(&number.to_be_bytes(), "").await.expect("sent");
    }
    publisher.flush().await.expect("accepted");
    for subscription in &mut subscriptions {
        for number in 0..1000u32 {
            let message = subscription.next_message().await.expect("it goes on");
            assert_eq!(message.payload(), number.to_be_bytes());
            assert_eq!(message.topic().as_str(), "test.mesh.event");
        }
    }
    let counters = b.status().await.expect("alive").counters;
    assert_eq!((counters.received[0], counters.forwarded[0]), (1000, 0), "one hop: b forwards nothing");
}

#[tokio::test]
async fn a_link_carries_no_message_that_nobody_wants_at_its_other_end() {
    let [a, b, c] = three().await;
    let (publisher, subscriber) = (client(&a).await, client(&a).await);
    let mut here = subscriber.subscribe(pattern("test.*")).await.expect("subscribed");
    let elsewhere = client(&b).await;
    let _other = elsewhere.subscribe(pattern("other.*")).scope_mesh().await.expect("subscribed");
    let reading = tokio::spawn(async move {
        for _ in 0..100_000 {
            here.next_message().await.expect("it goes on");
        }
    });
    let publish = publisher.publisher("test.here").build().expect("a topic");
    for number in 0..100_000u32 {
        publish.send(&number.to_be_bytes(), "").await.expect("sent");
    }
    publisher.flush().await.expect("accepted");
    reading.await.expect("all came");
    for gateway in [&a, &b, &c] {
        let status = gateway.status().await.expect("alive");
        assert_eq!(status.peers.len(), 2);
        // Retained values, such as what gateways tell of themselves, are counted apart.
        assert!(status.peers.iter().all(|peer| peer.traffic.sent == [0, 0]), "{:?}", status.peers);
        assert_eq!((status.counters.forwarded[0], status.counters.received[0]), (0, 0));
    }
    let interested = publisher.publisher("other.there").build().expect("a topic");
    interested.send(b"x", "").await.expect("sent");
    publisher.flush().await.expect("accepted");
    let sent = |name: &str, status: &macula_gateway::Status| {
        status.peers.iter().find(|peer| peer.name == name).map(|peer| peer.traffic.sent)
    };
    let status = a.status().await.expect("alive");
    assert_eq!((sent("b", &status), sent("c", &status)), (Some([1, 0]), Some([0, 0])));
}

#[tokio::test]
async fn one_address_is_enough_to_be_linked_with_all() {
    let reachable =
        |name: &str, peers: Vec<PeerAddress>| Settings { advertise: Vec::new(), peers, ..settings(name) };
    let a = Gateway::start(reachable("a", vec![])).await.expect("it starts");
    let address =
        |gateway: &Gateway| PeerAddress { host: "localhost".to_owned(), port: gateway.local_addr().port() };
    let b = Gateway::start(reachable("b", vec![address(&a)])).await.expect("it starts");
    let c = Gateway::start(reachable("c", vec![address(&b)])).await.expect("it starts");
    let d = Gateway::start(reachable("d", vec![address(&a)])).await.expect("it starts");
    for gateway in [&a, &b, &c, &d] {
        until(async || gateway.status().await.expect("alive").peers.len() == 3).await;
    }
    // Who says goodbye is not missed, and who comes back under another address is found.
    d.shutdown().await;
    let states = async |gateway: &Gateway| {
        let status = gateway.status().await.expect("alive");
        let members = status.mesh["members"].as_array().expect("a list").iter();
        let state = |member: &serde_json::Value| {
            (
                member["name"].as_str().unwrap_or_default().to_owned(),
                member["state"].as_str().unwrap_or_default().to_owned(),
            )
        };
        members.map(state).collect::<std::collections::BTreeMap<_, _>>()
    };
    for gateway in [&a, &b, &c] {
        until(async || states(gateway).await.get("d").is_some_and(|state| state == "left")).await;
    }
    let d = Gateway::start(reachable("d", vec![address(&c)])).await.expect("it starts");
    for gateway in [&a, &b, &c, &d] {
        until(async || gateway.status().await.expect("alive").peers.len() == 3).await;
        until(async || states(gateway).await.values().all(|state| state == "alive")).await;
    }
}

#[tokio::test]
async fn of_two_processes_with_one_name_the_older_dials_nobody_and_says_so() {
    let admin = Some(std::net::SocketAddr::from(([127, 0, 0, 1], 0)));
    let a = gateway("a").await;
    let peers = vec![PeerAddress { host: "localhost".to_owned(), port: a.local_addr().port() }];
    let twin = || Settings { peers: peers.clone(), admin, ..settings("twin") };
    let older = Gateway::start(twin()).await.expect("it starts");
    older.ready().await;
    until(async || older.status().await.expect("alive").peers.len() == 1).await;
    let newer = Gateway::start(twin()).await.expect("it starts");
    until(async || older.status().await.expect("alive").mesh["state"] == "replaced").await;
    until(async || newer.status().await.expect("alive").peers.len() == 1).await;
    until(async || older.status().await.expect("alive").peers.is_empty()).await;
    let epoch = newer.status().await.expect("alive").identity.epoch;
    until(async || {
        let status = a.status().await.expect("alive");
        status.peers.iter().map(|peer| peer.epoch).eq([epoch])
    })
    .await;
    let address = older.admin_addr().expect("it has one");
    until(async || {
        let ready =
            tokio::task::spawn_blocking(move || support::get(address, "/readyz")).await.expect("no panic");
        ready.starts_with("HTTP/1.1 503") && ready.contains("MACULA_NODE_NAME")
    })
    .await;
}

#[tokio::test]
async fn calls_find_their_provider_in_another_gateway_and_errors_are_prompt() {
    let [a, _b, c] = three().await;
    let provider = client(&c).await;
    let caller = client(&a).await;
    let registration = provider
        .register(pattern("test.double"), |request| async move {
            match request.payload()[..] {
                [number] => Ok(Reply::new(vec![number * 2])),
                _ => Err(CallFailure::new(Code::InvalidArgument, "one byte, please")),
            }
        })
        .scope_mesh()
        .await
        .expect("registered");
    let reply = caller.call(topic("test.double"), vec![21]).await.expect("answered");
    assert_eq!(reply.payload()[..], [42]);
    let error = caller.call(topic("test.double"), vec![]).await.expect_err("refused");
    assert_eq!(error.code, Code::InvalidArgument);
    let error = caller.call(topic("test.nobody"), vec![]).await.expect_err("nobody is there");
    assert_eq!(error.code, Code::NotFound);

    drop(registration);
    provider
        .register(pattern("test.hang"), |_| async move {
            std::future::pending::<Result<Reply, CallFailure>>().await
        })
        .scope_mesh()
        .await
        .map(std::mem::forget)
        .expect("registered");
    let hanging = caller.call(topic("test.hang"), vec![]).timeout(Duration::from_secs(60));
    let (answer, ()) = tokio::join!(hanging, async {
        until(async || c.status().await.is_some_and(|status| status.gauges.calls == 1)).await;
        c.shutdown().await;
    });
    assert_eq!(answer.expect_err("the callee's gateway is gone").code, Code::Unavailable);
}

#[tokio::test]
async fn gateways_of_different_realms_do_not_link() {
    let a = gateway("a").await;
    let peer = PeerAddress { host: "localhost".to_owned(), port: a.local_addr().port() };
    let own = Settings { realm: "other.realm".to_owned(), peers: vec![peer], ..settings("b") };
    let b = Gateway::start(own).await.expect("it starts");
    b.ready().await;
    assert!(b.status().await.expect("alive").peers.is_empty());
    assert!(a.status().await.expect("alive").peers.is_empty());
}

#[tokio::test]
async fn a_gateway_that_dials_itself_or_nobody_serves_clients_all_the_same() {
    let nobody = PeerAddress { host: "localhost".to_owned(), port: 9 };
    let a = gateway("a").await;
    let port = a.local_addr().port();
    a.shutdown().await;
    let listen = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let own = PeerAddress { host: "localhost".to_owned(), port };
    let a = Gateway::start(Settings { listen, peers: vec![own, nobody], ..settings("a") })
        .await
        .expect("it starts");
    let client = client(&a).await;
    client.publish(topic("test.alone"), "x").await.expect("accepted");
    assert!(a.status().await.expect("alive").peers.is_empty());
}

#[tokio::test]
async fn a_client_comes_back_to_a_restarted_gateway_with_its_subscriptions() {
    let a = gateway("a").await;
    let port = a.local_addr().port();
    let subscriber = client(&a).await;
    let publisher = client(&a).await;
    let mut subscription = subscriber.subscribe(pattern("test.#")).await.expect("subscribed");
    publisher.publish(topic("test.before"), "x").await.expect("accepted");
    assert_eq!(subscription.next_message().await.expect("it came").topic().as_str(), "test.before");
    a.shutdown().await;
    let listen = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let a = Gateway::start(Settings { listen, ..settings("a") }).await.expect("it starts again");
    until(async || a.status().await.expect("alive").gauges.subscriptions == 1).await;
    publisher.publish(topic("test.after"), "y").await.expect("accepted");
    assert_eq!(subscription.next_message().await.expect("it came").topic().as_str(), "test.after");
}

#[tokio::test]
async fn a_reader_that_stops_under_block_loses_nothing_and_holds_the_publisher_back() {
    let [a, b, _c] = three().await;
    let subscriber = client(&b).await;
    let publisher = client(&a).await;
    let mut subscription =
        subscriber.subscribe(pattern("test.flood")).scope_mesh().await.expect("subscribed");
    let flood = publisher.publisher("test.flood").build().expect("a topic");
    let payload = [0u8; 1024];
    let mut sent = 0u32;
    // Until the publisher is made to wait: every buffer on the way is full, and bounded.
    while tokio::time::timeout(Duration::from_millis(300), flood.send(&payload, "")).await.is_ok() {
        sent += 1;
        assert!(sent < 200_000, "nothing ever held the publisher back");
    }
    for _ in 0..sent {
        let notification = subscription.next().await.expect("it goes on");
        assert!(notification.message().is_some(), "nothing is lost");
    }
}

#[tokio::test]
async fn a_client_of_another_realm_is_told_both_names() {
    let a = gateway("a").await;
    let error =
        Client::builder().url(url(&a)).realm("my.realm").connect().await.expect_err("refused").to_string();
    assert!(error.contains("my.realm") && error.contains("test.realm"), "{error}");
}

#[tokio::test]
async fn what_a_stopping_gateway_has_accepted_still_reaches_the_others() {
    let [a, b, _c] = three().await;
    let subscriber = client(&b).await;
    let publisher = client(&a).await;
    let mut subscription = subscriber.subscribe(pattern("test.last")).scope_mesh().await.expect("subscribed");
    let last = publisher.publisher("test.last").build().expect("a topic");
    let reading = tokio::spawn(async move {
        for number in 0..20_000 {
            let next = tokio::time::timeout(Duration::from_secs(10), subscription.next()).await;
            let notification = next.unwrap_or_else(|_| panic!("nothing came after {number} messages"));
            assert!(notification.expect("it goes on").message().is_some(), "a loss after {number} messages");
        }
    });
    for _ in 0..20_000 {
        last.send(&[0; 1024], "").await.expect("sent");
    }
    publisher.flush().await.expect("accepted");
    drop((last, publisher));
    a.shutdown().await;
    reading.await.expect("all came");
}

#[tokio::test]
async fn a_client_whose_connection_is_lost_leaves_no_ghost() {
    let a = gateway("a").await;
    let dialer = Dialer::new(&Roots::Development).expect("a socket");
    let (session, driver) =
        dialer.connect("localhost", a.local_addr().port(), &[]).await.expect("the gateway accepts clients");
    let driver = tokio::spawn(driver);
    let (mut control, _answers) = session.open_bi().await.expect("open");
    let mut frames = vec![StreamKind::Control as u8];
    let publisher = vec![7; 16].into();
    let hello = Hello { versions: vec![1], realm: "test.realm".to_owned(), publisher, ..Hello::default() };
    put_message(&mut frames, kind::HELLO, &hello);
    put_message(
        &mut frames,
        kind::REGISTER,
        &Register { procedure: "test.single".to_owned(), ..Register::default() },
    );
    control.write_all(&frames).await.expect("sent");
    until(async || a.status().await.is_some_and(|status| status.gauges.registrations == 1)).await;
    // No Close frame, no capsule: the connection is gone from one packet to the next.
    session.connection().close(0u32.into(), b"");
    until(async || a.status().await.is_some_and(|status| status.gauges.sessions == 0)).await;
    assert_eq!(a.status().await.expect("alive").gauges.registrations, 0);
    driver.abort();
}

/// Waits until this is so; fails after ten seconds.
async fn until(mut so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect("it happens within ten seconds");
}

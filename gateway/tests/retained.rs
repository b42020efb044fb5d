//! Retained values, last wills and system topics, as the SDK sees them.

mod support;

use macula_gateway::Gateway;
use macula_sdk::{
    Client, LastWill, Message, Notification, Pattern, PublishError, PublisherId, Subscription, Topic,
};
use std::time::Duration;

async fn connect(gateway: &Gateway) -> Client {
    builder(gateway).connect().await.expect("connected")
}

fn builder(gateway: &Gateway) -> macula_sdk::Builder {
    Client::builder().url(support::url(gateway)).realm("test.realm")
}

async fn subscribe(client: &Client, pattern: &str) -> Subscription {
    client.subscribe(pattern.parse::<Pattern>().expect("legal")).scope_mesh().await.expect("subscribed")
}

async fn next(subscription: &mut Subscription) -> Message {
    let message = tokio::time::timeout(Duration::from_secs(20), subscription.next_message());
    message.await.expect("in time").expect("a message")
}

/// What is kept for a pattern, key and payload, by a subscription that looks and goes.
async fn kept(client: &Client, pattern: &str) -> Vec<(String, String)> {
    let mut kept = Vec::new();
    let pattern: Pattern = pattern.parse().expect("legal");
    let mut subscription = client.subscribe(pattern).retained().await.expect("subscribed");
    loop {
        match subscription.next().await.expect("open") {
            Notification::Message(message) => {
                kept.push((
                    message.key().to_owned(),
                    String::from_utf8_lossy(message.payload()).into_owned(),
                ));
            }
            Notification::RetainedEnd => return kept,
            loss => panic!("{loss:?}"),
        }
    }
}

#[tokio::test]
async fn a_removal_is_seen_across_the_mesh_and_leaves_nothing() {
    let here = support::gateway("retained-here").await;
    let there = support::gateway_with_peers("retained-there", &[&here]).await;
    let (writer, reader) = (connect(&here).await, connect(&there).await);
    let mut live = subscribe(&reader, "rooms.*").await;
    let topic = Topic::from_static("rooms.kitchen");
    writer.publish(&topic, "21").key("t").retain().await.expect("accepted");
    writer.publish(&topic, "on").key("lamp").retain().await.expect("accepted");
    assert!(!next(&mut live).await.is_removal());
    assert_eq!(next(&mut live).await.key(), "lamp");
    writer.publish(&topic, "").key("t").remove().await.expect("accepted");
    let removed = next(&mut live).await;
    assert_eq!((removed.key(), removed.is_removal(), removed.retained()), ("t", true, false));
    for client in [&writer, &reader] {
        assert_eq!(kept(client, "rooms.#").await, [("lamp".to_owned(), "on".to_owned())]);
    }
}

#[tokio::test]
async fn a_run_that_its_next_one_replaces_leaves_its_will_and_one_that_closes_does_not() {
    let gateway = support::gateway("wills").await;
    let watcher = connect(&gateway).await;
    let mut presence = subscribe(&watcher, "presence").await;
    let mut left = subscribe(&watcher, "$sys.session.left").await;
    let topic = Topic::from_static("presence");
    let id = PublisherId([7; 16]);
    let mortal = |name: &'static str| {
        let will = LastWill::new(&topic, "gone").key(name).content_type("text/plain");
        builder(&gateway).name(name).publisher_id(id).last_will(will).connect()
    };
    let closes = mortal("closes").await.expect("connected");
    closes.close().await.expect("closed");
    let document = next(&mut left).await;
    let document: serde_json::Value = serde_json::from_slice(document.payload()).expect("JSON");
    assert_eq!(document["client"], "closes");

    let _dies = mortal("dies").await.expect("connected");
    let _heir = mortal("the next run of the same publisher").await.expect("connected");
    let will = next(&mut presence).await;
    let seen = (will.key(), will.payload(), will.content_type(), will.publisher(), will.epoch());
    assert_eq!(seen, ("dies", &b"gone"[..], "text/plain", id, 0), "the first one left no will");
}

#[tokio::test]
async fn a_gateway_tells_what_happens_in_it() {
    let here = support::gateway("told-here").await;
    let watcher = connect(&here).await;
    let mut news = subscribe(&watcher, "$sys.#").await;
    let there = support::gateway_with_peers("told-there", &[&here]).await;
    let client = connect(&here).await;
    let serving = client
        .register("p.one".parse::<Pattern>().expect("legal"), |_| async { Ok(macula_sdk::Reply::default()) });
    let registration = serving.await.expect("registered");
    drop(registration);
    client.close().await.expect("closed");
    let wanted = [
        "$sys.link.up",
        "$sys.session.joined",
        "$sys.registration.added",
        "$sys.registration.removed",
        "$sys.session.left",
    ];
    let mut seen = Vec::new();
    while !wanted.iter().all(|topic| seen.iter().any(|seen| seen == topic)) {
        let message = next(&mut news).await;
        assert_eq!(message.content_type(), "application/json");
        let document: serde_json::Value = serde_json::from_slice(message.payload()).expect("JSON");
        assert!(document["gateway"].is_string(), "{document}");
        seen.push(message.topic().to_string());
    }
    drop(there);
    let refused = watcher.publish(Topic::from_static("$sys.slow"), "{}").await.expect_err("refused");
    assert!(matches!(&refused, PublishError::Refused { .. }), "{refused:?}");
    assert!(
        refused.to_string().contains("PERMISSION_DENIED") || refused.to_string().contains("belongs"),
        "{refused}"
    );
}

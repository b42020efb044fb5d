//! System topics: what a gateway tells about itself, to those who ask.

mod common;

use common::{Gateway, register, subscribe};
use macula_core::ConnKey;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{self, Close, Code, Deliver};
use serde_json::Value;

const WINDOW: u64 = 1 << 30;

/// A client that subscribes to all system topics.
fn watcher(gateway: &mut Gateway) -> ConnKey {
    let watcher = gateway.client(200, WINDOW);
    gateway.send(watcher, kind::SUBSCRIBE, &subscribe(1, "$sys.#"));
    gateway.pass(100);
    told(gateway, watcher);
    watcher
}

/// Topic and document of what has come since the last look.
fn told(gateway: &mut Gateway, watcher: ConnKey) -> Vec<(String, Value)> {
    let mut topics = std::collections::HashMap::new();
    let mut told = Vec::new();
    for (kind, body) in gateway.frames(watcher, StreamKind::Telemetry) {
        if kind == kind::TOPIC_ALIAS {
            let alias = <v1::TopicAlias as prost::Message>::decode(&body[..]).unwrap();
            assert_eq!(alias.content_type, "application/json");
            topics.insert(alias.alias, alias.topic);
        }
        if kind == kind::DELIVER {
            let deliver = <Deliver as prost::Message>::decode(&body[..]).unwrap();
            let document = serde_json::from_slice(&deliver.message.unwrap().payload).unwrap();
            told.push((topics.get(&deliver.topic).cloned().unwrap_or_default(), document));
        }
    }
    told
}

#[test]
fn sessions_registrations_and_links_come_and_go() {
    let mut gateway = Gateway::new();
    let watcher = watcher(&mut gateway);
    let client = gateway.client(1, WINDOW);
    gateway.send(client, kind::REGISTER, &register(1, "p.one"));
    gateway.send(client, kind::UNREGISTER, &v1::Unregister { registration: 1 });
    let peer = gateway.peer(9, "there \"quoted\"");
    gateway.remove(peer);
    gateway.send(client, kind::CLOSE, &Close::default());
    gateway.remove(client);
    assert_eq!(told(&mut gateway, watcher), [], "at the next tick");
    gateway.pass(100);
    let told = told(&mut gateway, watcher);
    let topics: Vec<&str> = told.iter().map(|(topic, _)| &topic[..]).collect();
    assert_eq!(
        topics,
        [
            "$sys.session.joined",
            "$sys.registration.added",
            "$sys.registration.removed",
            "$sys.link.up",
            "$sys.link.down",
            "$sys.session.left",
        ]
    );
    assert!(told.iter().all(|(_, document)| document["gateway"] == "here" && document["suppressed"] == 0));
    assert_eq!(told[0].1["publisher"], "01".repeat(16));
    assert_eq!(told[0].1["session"], told[5].1["session"]);
    assert_eq!((&told[1].1["procedure"], &told[1].1["policy"]), (&"p.one".into(), &"SINGLE".into()));
    assert_eq!((&told[3].1["peer"], &told[3].1["peer_epoch"]), (&"there \"quoted\"".into(), &1.into()));
}

#[test]
fn what_nobody_asks_for_is_not_told() {
    let mut gateway = Gateway::new();
    let client = gateway.client(1, WINDOW);
    // Wildcards in first place do not match system topics.
    gateway.send(client, kind::SUBSCRIBE, &subscribe(1, "#"));
    (2..=9).for_each(|publisher| {
        gateway.client(publisher, WINDOW);
    });
    gateway.pass(1_000);
    assert_eq!(gateway.frames(client, StreamKind::Telemetry), []);
    assert_eq!(gateway.node.counters().unannounced, 0);
    assert_eq!(gateway.node.gauges().topics, 0);
}

#[test]
fn a_storm_of_sessions_is_told_in_part_and_counted() {
    let mut gateway = Gateway::new();
    let watcher = watcher(&mut gateway);
    for publisher in 0..150u8 {
        let client = gateway.client(publisher, WINDOW);
        gateway.remove(client);
    }
    gateway.pass(100);
    assert_eq!(told(&mut gateway, watcher).len(), 100);
    assert_eq!(gateway.node.counters().unannounced, 200);
    gateway.client(199, WINDOW);
    gateway.pass(100);
    let told = told(&mut gateway, watcher);
    assert_eq!((told.len(), &told[0].1["suppressed"]), (1, &200.into()));
}

#[test]
fn who_holds_publishers_back_is_told_and_again_when_it_is_overtaken() {
    let mut gateway = Gateway::new();
    let watcher = watcher(&mut gateway);
    let publisher = gateway.client(1, WINDOW);
    let slow = gateway.client(2, 1_000);
    gateway.send(slow, kind::SUBSCRIBE, &subscribe(1, "a"));
    gateway.alias(publisher, StreamKind::Event, 1, "a");
    (1..=110).for_each(|sequence| gateway.publish(publisher, StreamKind::Event, 1, sequence, &[0; 10_000]));
    gateway.pass(11_000);
    let slow: Vec<Value> = told(&mut gateway, watcher)
        .into_iter()
        .filter(|(topic, _)| topic == "$sys.slow" || topic.is_empty())
        .map(|(_, document)| document)
        .filter(|document| !document["state"].is_null())
        .collect();
    let states: Vec<(&str, &str)> = slow
        .iter()
        .map(|document| (document["state"].as_str().unwrap(), document["class"].as_str().unwrap()))
        .collect();
    assert_eq!(states, [("holding", "event"), ("overtaken", "event")]);
}

#[test]
fn clients_do_not_publish_to_system_topics_and_go_on() {
    let mut gateway = Gateway::new();
    let watcher = watcher(&mut gateway);
    let client = gateway.client(1, WINDOW);
    gateway.alias(client, StreamKind::Event, 1, "$sys.slow");
    gateway.alias(client, StreamKind::Event, 2, "a");
    gateway.publish(client, StreamKind::Event, 1, 1, b"{}");
    gateway.publish(client, StreamKind::Event, 2, 2, b"x");
    let refused: Vec<v1::PublishRefused> = gateway.only(client, StreamKind::Control, kind::PUBLISH_REFUSED);
    assert_eq!((refused.len(), refused[0].sequence, refused[0].code()), (1, 1, Code::PermissionDenied));
    assert!(refused[0].message.contains("$sys.slow"), "{}", refused[0].message);
    assert_eq!(gateway.closed(client), None);
    assert_eq!(gateway.frames(watcher, StreamKind::Event), []);
}

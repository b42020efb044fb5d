//! Publishing and subscribing: what a message carries, and the forms in which it is shown.

use crate::client::{Http, Reader};
use crate::support;
use macula_gateway::{Gateway, PeerAddress, Schemas, Settings};
use macula_sdk::{Client, Pattern};
use prost::Message as _;
use std::net::UdpSocket;
use std::time::Duration;

const READING: &str = "
    syntax = 'proto3';
    package test.v1;
    message Reading { string meter = 1; uint64 watts = 2; repeated uint32 phases = 3; }
";

/// A gateway that knows `test.v1.Reading`.
async fn gateway_with_schema() -> Gateway {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("reading.proto"), READING).expect("written");
    let descriptors = protox::compile(["reading.proto"], [dir.path()]).expect("a right schema");
    let file = dir.path().join("reading.bin");
    std::fs::write(&file, descriptors.encode_to_vec()).expect("written");
    let schemas = Schemas::load(&[file]).expect("descriptors");
    Gateway::start(Settings { schemas, ..support::settings("http") }).await.expect("it starts")
}

#[tokio::test]
async fn json_of_a_described_type_travels_as_protobuf_and_is_shown_as_json() {
    let gateway = gateway_with_schema().await;
    let mut http = Http::connect(&gateway).await;
    let client =
        Client::builder().url(support::url(&gateway)).realm("test.realm").connect().await.expect("connected");
    let mut subscription =
        client.subscribe("test.#".parse::<Pattern>().expect("legal")).await.expect("subscribed");
    let (_, events) = http.send("GET", "/v1/topics/test.%23?limit=1", &[], b"").await;

    let json = r#"{"meter":"ant_001","watts":3500,"phases":[1,2]}"#;
    let typed = [("content-type", "application/json; type=test.v1.Reading")];
    let published = http.exchange("POST", "/v1/topics/test.reading", &typed, json).await;
    assert_eq!(published.status, 202, "{published:?}");
    let message = subscription.next_message().await.expect("it comes");
    assert_eq!(message.content_type(), "application/x-protobuf; type=test.v1.Reading");
    assert_eq!(message.payload(), b"\x0a\x07ant_001\x10\xac\x1b\x1a\x02\x01\x02");

    let (_, shown) = Reader::new(events).event().await;
    assert_eq!(shown["json"], serde_json::from_str::<serde_json::Value>(json).expect("JSON"));

    for (body, hint) in [("{\"watts\":\"many\"}", "watts"), ("{\"volts\":1}", "volts"), ("{", "JSON")] {
        let answer = http.exchange("POST", "/v1/topics/test.reading", &typed, body).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.body.contains(hint), "{hint}: {answer:?}");
    }
}

#[tokio::test]
async fn a_message_carries_what_its_request_says() {
    let gateway = support::gateway("http").await;
    let mut http = Http::connect(&gateway).await;
    let (_, events) = http.send("GET", "/v1/topics/test.%23?limit=2", &[], b"").await;
    let mut events = Reader::new(events);
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [
        ("macula-class", "telemetry"),
        ("macula-key", "k"),
        ("macula-ttl-ms", "60000"),
        ("macula-header-room", "attic"),
        ("traceparent", trace),
        ("authorization", "Bearer who-asks-is-not-part-of-the-message"),
    ];
    let published = http.exchange("POST", "/v1/topics/test.a", &headers, [0u8, 255]).await;
    assert_eq!(
        (&published.json()["topic"], &published.json()["class"]),
        (&"test.a".into(), &"telemetry".into())
    );
    let (name, message) = events.event().await;
    assert_eq!(name, "", "messages are events without a name");
    for (field, value) in [("topic", "test.a"), ("key", "k"), ("class", "telemetry"), ("base64", "AP8=")] {
        assert_eq!(message[field], value, "{message}");
    }
    assert_eq!(message["headers"], serde_json::json!({ "room": "attic", "traceparent": trace }));
    assert_eq!(message["publisher"].as_str().map(str::len), Some(32));

    // JSON by name that is none is shown as it is, and breaks nothing.
    let json = [("content-type", "application/json")];
    assert_eq!(http.exchange("POST", "/v1/topics/test.b", &json, "{").await.status, 202);
    assert_eq!(events.event().await.1["base64"], "ew==");
    assert_eq!(events.rest().await, "", "after two messages the stream ends");
}

#[tokio::test]
async fn lines_of_json_are_there_for_who_prefers_them() {
    let gateway = support::gateway("http").await;
    let mut http = Http::connect(&gateway).await;
    let accept = [("accept", "text/event-stream;q=0.5, application/x-ndjson")];
    let (response, lines) = http.send("GET", "/v1/topics/test.%23?limit=2", &accept, b"").await;
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    for topic in ["test.a", "test.b"] {
        http.exchange("POST", &format!("/v1/topics/{topic}"), &[], "x").await;
    }
    let lines = Reader::new(lines).rest().await;
    let topics: Vec<_> = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["topic"].clone())
        .collect();
    assert_eq!(topics, ["test.a", "test.b"]);
}

#[tokio::test]
async fn retained_values_come_first_and_their_end_is_told() {
    let gateway = support::gateway("http").await;
    let mut http = Http::connect(&gateway).await;
    let retain = [("macula-retain", "true"), ("content-type", "application/json")];
    assert_eq!(http.exchange("POST", "/v1/topics/test.kept", &retain, "1").await.status, 202);
    let (_, events) = http.send("GET", "/v1/topics/test.%23?retained&limit=2", &[], b"").await;
    let mut events = Reader::new(events);
    let (_, kept) = events.event().await;
    assert_eq!((&kept["json"], &kept["retained"]), (&1.into(), &true.into()));
    assert_eq!(events.event().await.0, "retained-end");
    assert_eq!(http.exchange("POST", "/v1/topics/test.kept", &retain, "2").await.status, 202);
    let (_, live) = events.event().await;
    assert_eq!((&live["json"], &live["retained"]), (&2.into(), &serde_json::Value::Null));
}

#[tokio::test]
async fn the_values_that_are_kept_are_read_as_an_array_or_as_lines() {
    let gateway = support::gateway("http").await;
    let mut http = Http::connect(&gateway).await;
    let empty = http.exchange("GET", "/v1/retained/test.%23", &[], b"").await;
    assert!(empty.status == 200 && empty.body == "[]\n", "{empty:?}");
    for number in 1..=200 {
        let key = number.to_string();
        let retain =
            [("macula-retain", "true"), ("macula-key", &key[..]), ("content-type", "application/json")];
        let body = format!("\"{}\"", "x".repeat(1_000));
        assert_eq!(http.exchange("POST", "/v1/topics/test.kept", &retain, &body).await.status, 202);
    }
    let remove = [("macula-remove", "true"), ("macula-key", "7")];
    assert_eq!(http.exchange("POST", "/v1/topics/test.kept", &remove, b"").await.status, 202);

    let values = http.exchange("GET", "/v1/retained/test.%23", &[], b"").await;
    let values: serde_json::Value = serde_json::from_str(&values.body).expect("an array");
    let keys: Vec<&str> =
        values.as_array().expect("an array").iter().filter_map(|v| v["key"].as_str()).collect();
    let expected: Vec<String> = (1..=200).filter(|n| *n != 7).map(|n: u32| n.to_string()).collect();
    assert_eq!(keys, expected);
    let first = &values[0];
    assert_eq!((&first["topic"], &first["class"]), (&"test.kept".into(), &"event".into()));
    assert_eq!((&first["retained"], &first["json"]), (&true.into(), &"x".repeat(1_000).into()));

    let lines = [("accept", "application/x-ndjson")];
    let lines = http.exchange("GET", "/v1/retained/test.kept", &lines, b"").await;
    assert_eq!(lines.body.lines().count(), 199);
    let last: serde_json::Value =
        serde_json::from_str(lines.body.lines().last().expect("one")).expect("JSON");
    assert_eq!((&last["key"], &last["sequence"]), (&"200".into(), &1.into()));

    let wrong = http.exchange("GET", "/v1/retained/test..kept", &[], b"").await;
    assert_eq!(wrong.status, 400);
    let system = http.exchange("POST", "/v1/topics/$sys.slow", &[], b"{}").await;
    assert_eq!(system.status, 403, "{system:?}");
}

#[tokio::test]
async fn the_longest_payload_comes_through() {
    let gateway = support::gateway("http").await;
    let mut http = Http::connect(&gateway).await;
    let (_, lines) =
        http.send("GET", "/v1/topics/test.long?limit=1", &[("accept", "application/x-ndjson")], b"").await;
    let payload = vec![b'x'; macula_proto::limits::PAYLOAD_BYTES];
    assert_eq!(http.exchange("POST", "/v1/topics/test.long", &[], &payload).await.status, 202);
    let line = Reader::new(lines).until("\n").await;
    // Four letters of base64 for each three bytes.
    assert!(line.len() > payload.len() / 3 * 4 && line.ends_with("\"}"), "{} letters", line.len());
}

/// The core keeps 16 MiB of events for a reader that does not acknowledge, and then nothing more comes.
#[tokio::test]
async fn a_subscription_goes_on_past_what_the_gateway_keeps() {
    let gateway = support::gateway("http").await;
    let mut http = Http::connect(&gateway).await;
    let (_, events) = http.send("GET", "/v1/topics/test.%23", &[], b"").await;
    let mut events = Reader::new(events);
    let payload = vec![b'x'; 1 << 19];
    for number in 1..=40 {
        let topic = format!("test.n{number}");
        assert_eq!(http.exchange("POST", &format!("/v1/topics/{topic}"), &[], &payload).await.status, 202);
        assert_eq!(events.event().await.1["topic"], topic);
    }
}

#[tokio::test]
async fn a_group_shares_its_messages() {
    let gateway = support::gateway("http").await;
    let mut http = Http::connect(&gateway).await;
    let path = "/v1/topics/test.%23?group=readers&share=round_robin&limit=5";
    let (_, first) = http.send("GET", path, &[], b"").await;
    let (_, second) = http.send("GET", path, &[], b"").await;
    for number in 0..10 {
        let answer = http.exchange("POST", &format!("/v1/topics/test.n{number}"), &[], "").await;
        assert_eq!(answer.json()["matches"], 1, "a group is one receiver: {answer:?}");
    }
    let mut topics = Vec::new();
    for reader in [first, second] {
        let mut reader = Reader::new(reader);
        for _ in 0..5 {
            topics.push(reader.event().await.1["topic"].as_str().expect("a topic").to_owned());
        }
    }
    topics.sort();
    let all: Vec<String> = (0..10).map(|number| format!("test.n{number}")).collect();
    assert_eq!(topics, all, "each message went to one of them");
}

/// If the gateway died before it has met the others, nobody would know of it, and nobody send it again.
#[tokio::test]
async fn an_event_is_not_answered_before_the_other_gateways_were_met() {
    let free = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
    let peers = vec![PeerAddress { host: "localhost".to_owned(), port: free.port() }];
    let early = Gateway::start(Settings { peers, ..support::settings("early") }).await.expect("it starts");
    let mut http = Http::connect(&early).await;
    let telemetry = [("macula-class", "telemetry")];
    assert_eq!(http.exchange("POST", "/v1/topics/test.early", &telemetry, "t").await.status, 202);
    let mut published = std::pin::pin!(http.exchange("POST", "/v1/topics/test.early", &[], "e"));
    tokio::time::timeout(Duration::from_millis(300), &mut published).await.expect_err("nobody was met");

    let late = Settings { listen: free, ..support::settings("late") };
    let late = Gateway::start(late).await.expect("the port is still free");
    let client =
        Client::builder().url(support::url(&late)).realm("test.realm").connect().await.expect("connected");
    let mut subscription =
        client.subscribe("test.#".parse::<Pattern>().expect("legal")).await.expect("subscribed");
    let published = published.await;
    assert_eq!((published.status.as_u16(), &published.json()["matches"]), (202, &1.into()));
    assert_eq!(subscription.next_message().await.expect("it comes").payload(), b"e");
}

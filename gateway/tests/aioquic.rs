//! A client that we did not write, aioquic: what it does right is answered, what it does wrong harms nobody else.

mod support;

use macula_sdk::{Client, Pattern, Reply};
use macula_transport::tls::DevAuthority;
use serde_json::{Value, json};
use std::process::Command;
use support::process::Process;
use support::tools;

/// Runs a script of `aioquic/` against the gateway on this port; the JSON object that it prints.
async fn run(script: &str, port: u16) -> Value {
    let script = format!("{}/tests/aioquic/{script}", env!("CARGO_MANIFEST_DIR"));
    let output = tokio::task::spawn_blocking(move || {
        let dir = DevAuthority::default_dir(|name| std::env::var_os(name));
        let authority = DevAuthority::open_or_create(&dir).expect("the gateway has made it");
        let mut command = Command::new(tools::python(&["aioquic==1.7.2"]));
        command.env("PYTHONDONTWRITEBYTECODE", "1").arg(script);
        command.args(["127.0.0.1", &port.to_string()]).arg(authority.certificate_path()).arg("test.realm");
        command.output().expect("python runs")
    });
    let output = output.await.expect("no panic");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

#[tokio::test]
async fn aioquic_publishes_subscribes_and_calls_in_a_session_and_by_plain_requests() {
    let gateway = support::gateway("aioquic").await;
    gateway.ready().await;
    let client =
        Client::builder().url(support::url(&gateway)).realm("test.realm").connect().await.expect("connected");
    let procedure: Pattern = "test.shout".parse().expect("legal");
    let shout = client
        .register(procedure, |request| async move { Ok(Reply::new(request.payload().to_ascii_uppercase())) });
    let _registration = shout.await.expect("registered");

    let seen = run("session.py", gateway.local_addr().port()).await;
    assert_eq!(seen["realm"]["realm"], "test.realm");
    assert_eq!(seen["gateway"], "aioquic");
    assert_eq!(seen["published"], json!(["test.from.aioquic", "hello from aioquic"]));
    assert_eq!(seen["posted"], json!(["test.by.http", "k", "by POST"]));
    assert_eq!(seen["matches"], 1);
    assert_eq!(seen["called"], "LOUDER");
    assert_eq!(seen["called by POST"], json!([200, "BY POST"]));
    assert_eq!(seen["called nobody"], json!([404, "NOT_FOUND"]));
    gateway.shutdown().await;
}

/// How each scenario of `rude.py` ends: a QUIC code of HTTP/3, a code of ours with a part of its text, or not at all.
fn expected() -> Vec<(&'static str, Value)> {
    const STREAM_CREATION: u32 = 0x103;
    const CLOSED_CRITICAL_STREAM: u32 = 0x104;
    const FRAME_UNEXPECTED: u32 = 0x105;
    const EXCESSIVE_LOAD: u32 = 0x107;
    const ID: u32 = 0x108;
    const MISSING_SETTINGS: u32 = 0x10a;
    const DECOMPRESSION_FAILED: u32 = 0x200;
    let connection = |code: u32| json!({ "connection": code });
    let session = |code: u32, text: &str| json!({ "session": code, "text": text });
    let invalid = |text: &str| session(3, text);
    vec![
        ("HEADERS of 512 MiB", connection(EXCESSIVE_LOAD)),
        ("an unknown frame of 512 MiB", connection(EXCESSIVE_LOAD)),
        ("SETTINGS of 512 MiB", connection(EXCESSIVE_LOAD)),
        ("an unknown control frame of 512 MiB", connection(EXCESSIVE_LOAD)),
        ("HEADERS of garbage", connection(DECOMPRESSION_FAILED)),
        ("DATA before HEADERS", connection(FRAME_UNEXPECTED)),
        ("SETTINGS on a request stream", connection(FRAME_UNEXPECTED)),
        ("DATA on the control stream", connection(FRAME_UNEXPECTED)),
        ("HEADERS on the control stream", connection(FRAME_UNEXPECTED)),
        ("a control stream without SETTINGS", connection(MISSING_SETTINGS)),
        ("a second control stream", connection(STREAM_CREATION)),
        ("an end of the control stream", connection(CLOSED_CRITICAL_STREAM)),
        ("a stream of an impossible session", connection(ID)),
        ("a header of 20 kB", json!({ "status": 431 })),
        ("Subscribe before Hello", invalid("Hello")),
        ("Hello of another realm", invalid("`test.realm`")),
        ("Hello of garbage", invalid("")),
        ("Hello without its publisher", invalid("16 bytes")),
        ("Hello of another version", invalid("99")),
        ("an empty frame", invalid("Control stream")),
        ("a frame of 2 MiB", invalid("2097152")),
        ("a length without end", invalid("Control stream")),
        ("Subscribe of garbage", invalid("Control stream")),
        ("Publish on the control stream", invalid("0x12")),
        ("Subscribe on the event stream", invalid("0x04")),
        ("Call on the event stream", invalid("0x20")),
        ("Publish on the rpc stream", invalid("0x12")),
        ("a Deliver of its own", invalid("0x13")),
        ("a topic that was never told", invalid("never told")),
        ("a stream of no kind", invalid("0x09")),
        ("an unknown frame that may be skipped", json!({ "goes on": true })),
        ("a class stream before Hello", json!({ "goes on": true })),
    ]
}

#[tokio::test]
async fn whoever_breaks_the_rules_is_told_which_and_costs_the_others_nothing() {
    let mut process = Process::start(&[
        ("MACULA_GATEWAY_HOST", "127.0.0.1"),
        ("MACULA_GATEWAY_PORT", "0"),
        ("MACULA_ADMIN_PORT", "0"),
        ("MACULA_REALM", "test.realm"),
    ]);
    let log = process.log_until("gateway listens");
    let port = log.rsplit_once("127.0.0.1:").and_then(|(_, rest)| rest.split_whitespace().next());
    let port: u16 = port.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("no port in {log}"));
    process.log_until("ready");
    let before = process.peak_memory();
    let mut ends = run("rude.py", port).await;
    let grown = process.peak_memory() - before;

    for (scenario, expected) in expected() {
        let mut end = ends[scenario].take();
        let told = format!("{scenario}: {end}, not {expected}");
        if let Some(part) = expected["text"].as_str() {
            assert!(end["text"].as_str().is_some_and(|text| text.contains(part)), "{told}");
            end["text"] = part.into();
        }
        assert_eq!(end, expected, "{told}");
    }
    let ends = ends.as_object().expect("an object");
    assert!(ends.values().all(Value::is_null), "a scenario nobody expects: {ends:?}");
    // Four of them sent 64 MiB each, if they were let; some thirty connections take a few megabytes.
    assert!(grown < 24 << 20, "half a gigabyte that was only declared took {grown} bytes");
    process.terminate();
    assert_eq!(process.end().0, Some(0));
}

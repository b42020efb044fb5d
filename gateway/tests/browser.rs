//! A page in Chromium opens a session by the hash of the gateway's certificate, and a page of elsewhere does not.

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::process::Command;
use support::tools;

#[tokio::test]
async fn a_page_opens_a_session_is_told_why_it_is_refused_and_a_foreign_page_gets_none() {
    let gateway = support::gateway("browser").await;
    gateway.ready().await;
    let certificate = STANDARD.encode(support::certificate(gateway.local_addr()).await);
    let port = gateway.local_addr().port().to_string();
    let output = tokio::task::spawn_blocking(move || {
        let (chromium, modules) = (tools::chromium(), tools::node_modules("browser"));
        let mut command = Command::new("node");
        command.env("NODE_PATH", modules).arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/run.cjs"));
        command.arg(chromium).args([&port, &certificate, "test.realm"]).output().expect("node runs")
    });
    let output = output.await.expect("no panic");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");

    let own = json!({ "gateway": "browser", "topic": "page.greeting", "payload": "hello from a page" });
    assert_eq!(seen["own"], own, "{seen:#}");
    let text = "this gateway serves realm `test.realm`, the client asks for `other.realm`";
    assert_eq!(seen["refused"], json!({ "frame": [3, text], "closed": [3, text] }), "{seen:#}");
    let fetched = json!({ "published": 202, "problem": [400, "INVALID_ARGUMENT"] });
    assert_eq!(seen["fetched"], fetched, "{seen:#}");

    assert_eq!(seen["secure"], true, "the foreign page could open sessions, were it let: {seen:#}");
    assert_eq!(seen["foreign"], json!({ "error": "WebTransportError" }), "{seen:#}");
    assert_eq!(seen["foreignFetched"], json!({ "error": "TypeError" }), "{seen:#}");
    gateway.shutdown().await;
}

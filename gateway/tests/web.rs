//! The client of `sdk/web` in Chromium, against a real gateway that stops and starts again.

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use macula_gateway::{Gateway, Settings};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use support::{certificate, settings, tools};

/// A page in Chromium that is told what to do, line by line.
struct Page {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Page {
    fn open() -> Self {
        let (chromium, modules) = (tools::chromium(), tools::node_modules("browser"));
        let mut child = Command::new("node")
            .env("NODE_PATH", modules)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/web.cjs"))
            .arg(chromium)
            .arg(tools::web_client())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node runs");
        let stdin = child.stdin.take().expect("it is piped");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, stdin, stdout }
    }

    /// Has the page trust the certificate of this gateway.
    async fn trust(mut self, gateway: &Gateway) -> Self {
        let certificate = STANDARD.encode(certificate(gateway.local_addr()).await);
        writeln!(self.stdin, "certificate {certificate}").expect("the page listens");
        self
    }

    /// Runs a function of the page, off the runtime that the gateway needs.
    async fn run(mut self, name: &str, argument: Value) -> (Self, Value) {
        let line = format!("{name} {argument}");
        let run = move || {
            writeln!(self.stdin, "{line}").expect("the page listens");
            let mut answer = String::new();
            self.stdout.read_line(&mut answer).expect("the page answers");
            let answer = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{line}: {answer}"));
            (self, answer)
        };
        tokio::task::spawn_blocking(run).await.expect("no panic")
    }

    fn close(self) {
        let Self { mut child, stdin, .. } = self;
        drop(stdin);
        child.wait().expect("node ends");
    }
}

#[tokio::test]
async fn a_page_publishes_subscribes_and_calls_and_loses_nothing_when_its_gateway_starts_again() {
    let gateway = support::gateway("web").await;
    gateway.ready().await;
    let listen = gateway.local_addr();
    let page = tokio::task::spawn_blocking(Page::open).await.expect("no panic").trust(&gateway).await;

    let url = format!("https://127.0.0.1:{}", listen.port());
    let (page, opened) = page.run("open", json!({ "url": url, "realm": "test.realm" })).await;
    assert_eq!(opened, json!({ "gateway": "web" }));
    let (page, exchanged) = page.run("exchange", Value::Null).await;
    let expected = json!({
        "sequence": 1, "matches": 1, "emitted": true, "echo": "hello", "nobody": "NOT_FOUND", "parts": [true],
    });
    assert_eq!(exchanged, expected);
    let (page, seen) = page.run("take", json!(2)).await;
    let mut seen: Vec<&str> = seen.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    seen.sort_unstable();
    assert_eq!(seen, ["kept", "measured", "retained-end"]);

    // Half of what follows is published while the gateway is not there.
    let (page, _) = page.run("burst", json!({ "from": 0, "count": 500 })).await;
    gateway.shutdown().await;
    let (page, _) = page.run("begin", json!({ "from": 500, "count": 500 })).await;
    let gateway = Gateway::start(Settings { listen, ..settings("web") }).await.expect("it starts again");
    let page = page.trust(&gateway).await;
    let (page, finished) = page.run("finish", Value::Null).await;
    assert_eq!(finished["accepted"], 500, "{finished}");
    let events: Vec<&str> =
        finished["events"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert_eq!(events.first(), Some(&"connected"), "{events:?}");
    assert_eq!(events.last(), Some(&"connected"), "{events:?}");
    assert!(events.contains(&"moving") && events.contains(&"reconnecting"), "{events:?}");
    let (page, seen) = page.run("take", json!(1000)).await;
    let seen: Vec<&str> = seen.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let numbers: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    let messages: Vec<&&str> = seen.iter().filter(|text| text.parse::<u32>().is_ok()).collect();
    assert!(messages.iter().map(|text| **text).eq(numbers.iter().map(String::as_str)), "{seen:?}");
    assert!(!seen.contains(&"gap"), "{seen:?}");

    let (page, closed) = page.run("close", Value::Null).await;
    assert_eq!(closed["gateway"], Value::Null);
    assert_eq!(closed["events"].as_array().expect("a list").last(), Some(&json!("closed")));
    page.close();
    gateway.shutdown().await;
}

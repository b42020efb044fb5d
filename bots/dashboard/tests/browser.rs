//! The page in Chromium, on a world that lives: what people see and do, with and without its gateway.
//!
//! `browser/run.cjs` opens the pages and looks; here is the world that they show. `CHECKS=search` runs only those
//! whose name contains that; `SCREENSHOTS=1 CHECKS=pictures` writes pictures of all pages, those of the README in `docs/`, and the
//! others in `pictures` of Cargo's folder for tests.

#[path = "../../../gateway/tests/support/tools.rs"]
#[allow(dead_code, reason = "the tools of other tests are beside ours")]
mod tools;
mod world;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use world::{Edge, Fixture};

#[test]
fn a_country_s_homes_trade_on_a_page_that_stays_live_and_lets_in_whom_it_should() {
    let (chromium, modules) = (tools::chromium(), tools::node_modules("browser"));
    let mut fixture = Fixture::start();
    let mut edge = Edge::start(&fixture.gateways);
    let (guarded, secure) = (fixture.guarded(&edge), fixture.secure());
    let only = std::env::var("CHECKS").ok();
    let settings = json!({
        "chromium": chromium,
        "axe": modules.join("axe-core/axe.min.js"),
        "open": fixture.page,
        "guarded": guarded,
        "secure": secure,
        "password": world::PASSWORD,
        "sessions": edge.sessions(),
        "only": only,
        "screenshots": std::env::var_os("SCREENSHOTS").map(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")),
        "others": Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures"),
    });
    let mut node = Command::new("node")
        .env("NODE_PATH", modules)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/run.cjs"))
        .arg(settings.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node runs");
    let mut stdin = node.stdin.take().expect("it is piped");
    let stdout = BufReader::new(node.stdout.take().expect("it is piped"));
    let mut seen = Value::Null;
    for line in stdout.lines() {
        let line = line.expect("text");
        match line.as_str() {
            "kill" => edge.kill(),
            "rise" => edge.rise(),
            _ => match line.strip_prefix("seen ") {
                Some(text) => seen = serde_json::from_str(text).expect("one JSON object"),
                None => {
                    eprintln!("{line}");
                    continue;
                }
            },
        }
        // It may have ended by then.
        let _ = writeln!(stdin, "done");
    }
    let status = node.wait().expect("node ends");
    fixture.stop();
    assert!(status.success(), "the page is not as it should be; what was wrong stands above");
    eprintln!("{seen:#}");
    if only.is_some() {
        return;
    }
    let figure = |name: &str| seen[name].as_f64().unwrap_or(f64::INFINITY);
    assert!(figure("first_value_ms") <= 1_500.0, "a live value within 1.5 s: {seen:#}");
    assert!(figure("script_bytes") <= 300_000.0, "300 kB of compressed script: {seen:#}");
    assert!(figure("noticed_ms") <= 2_000.0, "a gateway that is gone shows within 2 s: {seen:#}");
}

/// The gateway of browsers, in a process of its own; [`Edge`] starts it.
#[test]
#[ignore = "a process of the other test"]
fn edge_gateway() {
    world::serve_edge();
}

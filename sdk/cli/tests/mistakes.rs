//! What is wrong is told in one line, with a remedy and an exit code.

mod support;

use serde_json::Value;
use std::net::UdpSocket;
use support::{Done, World, finish, macula};

/// One line on stderr, and nothing on stdout.
fn complaint(done: &Done, code: i32) -> &str {
    assert_eq!((done.code, done.stdout.as_str()), (Some(code), ""), "{}", done.stderr);
    let mut lines = done.stderr.lines();
    let line = lines.next().expect("a line");
    assert_eq!(lines.next(), None, "{}", done.stderr);
    line
}

/// Runs the command against a port where nobody answers.
fn alone(args: &[&str], stdin: &[u8]) -> Done {
    let mut command = macula(args);
    command.env("MACULA_URL", "https://127.0.0.1:1");
    finish(command, stdin)
}

#[test]
fn an_illegal_topic_is_told_before_anything_is_dialled() {
    let done = alone(&["pub", "be..x", "payload"], b"");
    let line = complaint(&done, 2);
    assert!(
        line.contains("be..x") && line.contains("segment 1 is empty: remove the dot at byte 3"),
        "{line}"
    );
    let done = alone(&["pub", "be.*", "payload"], b"");
    assert!(complaint(&done, 2).contains("subscribe with a pattern"));
}

#[test]
fn a_payload_that_is_too_large_is_told_before_anything_is_dialled() {
    let large = vec![b'x'; 16_777_217];
    let expected = "error: the payload has 16777217 bytes, at most 16777216 are allowed; split it";
    assert_eq!(complaint(&alone(&["pub", "a", "-"], &large), 2), expected);
    assert_eq!(complaint(&alone(&["call", "a", "-"], &large), 2), expected);
}

#[test]
fn json_that_does_not_fit_is_told_before_anything_is_dialled() {
    let done = alone(&["pub", "a", "{\"day_price\": \"much\"}", "--type", "ContractOffered"], b"");
    let line = complaint(&done, 2);
    assert!(line.starts_with("error: the payload is no cortexiq.v1.ContractOffered: day_price: "), "{line}");
}

#[test]
fn a_gateway_that_cannot_be_reached_is_named() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("https://127.0.0.1:{}", silent.local_addr().expect("it is bound").port());
    for args in [&["pub", "a", "x"][..], &["sub", "a"], &["call", "a"], &["serve", "a", "--echo"]] {
        let mut command = macula(args);
        command.args(["--connect-timeout", "500ms", "--url", &url]).args(["--realm", "x"]);
        let done = finish(command, b"");
        let line = complaint(&done, 1);
        assert!(line.contains(&url) && line.contains("is the gateway running, and is UDP"), "{line}");
    }
}

#[test]
fn another_realm_is_refused_with_both_named() {
    let world = World::start("realms");
    let done = world.run(&["sub", "a", "--realm", "other.realm"]);
    let line = complaint(&done, 1);
    assert!(line.contains("`test.realm`") && line.contains("`other.realm`"), "{line}");
}

#[test]
fn settings_are_told_all_at_once() {
    let done = finish(macula(&["sub", "a", "--url", "http://x", "--ca", "/nowhere"]), b"");
    let line = complaint(&done, 2);
    assert!(line.contains("`http://x`") && line.contains("/nowhere"), "{line}");
}

#[test]
fn a_healthy_gateway_passes_every_step() {
    let world = World::start("healthy");
    let done = world.run(&["doctor", "--output", "json"]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{}", done.stdout);
    let report: Value = serde_json::from_str(&done.stdout).expect("an object");
    assert_eq!(report["ok"], true);
    let steps = report["steps"].as_array().expect("a list");
    let names: Vec<&str> = steps.iter().filter_map(|step| step["step"].as_str()).collect();
    assert_eq!(names, ["resolve", "udp", "certificate", "realm", "token", "session", "round_trip", "mesh"]);
    assert!(steps.iter().all(|step| step["status"] == "ok"), "{report:#}");
    assert!(
        steps[1]["detail"].as_str().is_some_and(|text| text.contains("QUIC answers at 127.0.0.1:")),
        "{report:#}"
    );
    let text = world.run(&["doctor"]).stdout;
    assert!(text.contains("  ok      round_trip   an event came back after "), "{text}");
}

#[test]
fn the_doctor_names_the_step_that_failed() {
    let world = World::start("doctored");
    let done = world.run(&["doctor", "--realm", "other.realm"]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(1), ""));
    assert!(
        done.stdout.contains("  FAILED  realm") && done.stdout.contains("`test.realm`"),
        "{}",
        done.stdout
    );
    assert!(done.stdout.contains("what to do:  set --realm"), "{}", done.stdout);

    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("https://127.0.0.1:{}", silent.local_addr().expect("it is bound").port());
    let done = finish(macula(&["doctor", "--url", &url, "--connect-timeout", "500ms"]), b"");
    assert_eq!(done.code, Some(1));
    assert!(
        done.stdout.contains("  FAILED  udp") && done.stdout.contains("no TCP fallback in version 1"),
        "{}",
        done.stdout
    );

    let done = finish(macula(&["doctor", "--url", "https://no.such.host.invalid"]), b"");
    assert_eq!(done.code, Some(1));
    assert!(done.stdout.contains("  FAILED  resolve"), "{}", done.stdout);
}

#[test]
fn the_doctor_tells_a_foreign_certificate() {
    let world = World::start("foreign");
    let ca = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("foreign.pem");
    std::fs::write(&ca, FOREIGN_AUTHORITY).expect("the target directory is writable");
    let done = world.run(&["doctor", "--ca", &ca.to_string_lossy()]);
    assert_eq!(done.code, Some(1));
    assert!(done.stdout.contains("  FAILED  certificate"), "{}", done.stdout);
}

/// An authority whose key nobody has.
const FOREIGN_AUTHORITY: &str = include_str!("support/foreign.pem");

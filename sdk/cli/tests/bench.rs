//! `macula bench` against a real gateway.
#![cfg(feature = "bench")]

mod support;

use serde_json::Value;
use std::time::{Duration, Instant};
use support::World;

#[test]
fn a_load_takes_its_leave() {
    let world = World::start("loaded");
    for load in [
        &["bench", "pubsub", "--messages", "2000", "--processes", "2", "--idle-subs", "10"][..],
        &["bench", "rpc", "--calls", "20"],
        // The procedure is free again.
        &["bench", "rpc", "--calls", "20", "--in-flight", "5"],
        &["bench", "connect", "--clients", "5", "--stay", "0"],
    ] {
        let done = world.run(load);
        assert_eq!(done.code, Some(0), "{done:?}");
        // What a gateway keeps for a client that it has lost holds publishers back for seconds.
        let deadline = Instant::now() + Duration::from_secs(2);
        while world.sessions() > 0 {
            assert!(Instant::now() < deadline, "{load:?} has left sessions behind");
            std::thread::yield_now();
        }
    }
}

#[test]
fn who_does_not_keep_up_may_lose_what_it_is_told_of() {
    let world = World::start("dropping");
    let load =
        ["bench", "pubsub", "--class", "telemetry", "--overflow", "drop-oldest", "--messages", "20000"];
    let done = world.run(&[&load[..], &["--slow", "1", "--slow-us", "100", "--output", "json"]].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
    let told: Value = serde_json::from_str(&done.stdout).expect("one object");
    assert_eq!((&told["valid"], &told["expected"]), (&true.into(), &80_000.into()));
}

#[test]
fn what_cannot_be_done_is_said() {
    let world = World::start("asked");
    for (words, said) in [
        (&["pubsub", "--messages", "0"][..], "--messages are at least 1"),
        (&["pubsub", "--size", "15"], "it has at least 16"),
        (&["pubsub", "--slow", "5"], "there are 4 subscribers"),
        (
            &["pubsub", "--server-pid", "4194305", "--messages", "1"],
            "--server-pid 4194305: there is no such process",
        ),
        (&["rpc", "--calls", "0"], "--calls are at least 1"),
    ] {
        let done = world.run(&[&["bench"][..], words].concat());
        assert!(done.code != Some(0) && done.stderr.contains(said), "{words:?}: {done:?}");
    }
}

//! The command against a real gateway: what is published arrives, what is called answers.

mod support;

use serde_json::{Value, json};
use support::World;

#[test]
fn an_offer_is_published_from_json_and_printed_as_in_the_seed() {
    let world = World::start("offers");
    let mut sub = world.begin(&["sub", "be.cortexiq.provider.*", "--count", "1"]);
    let published = world.run_with(
        &[
            "pub",
            "be.cortexiq.provider.contract.offered",
            "-",
            "--type",
            "ContractOffered",
            "--key",
            "bra_p01",
        ],
        br#"{"provider_id": "bra_p01", "day_price": 0.15, "contract_type": "fixed"}"#,
    );
    assert_eq!((published.code, published.stdout.as_str(), published.stderr.as_str()), (Some(0), "", ""));
    let line = sub.line();
    assert!(line.starts_with("be.cortexiq.provider.contract.offered bra_p01 {"), "{line}");
    assert!(line.contains(r#""provider_id":"bra_p01""#) && line.contains(r#""day_price":0.15"#), "{line}");
    assert_eq!(sub.end().code, Some(0));
}

#[test]
fn a_mesh_of_one_is_shown_as_a_table_and_as_json() {
    let world = World::start("alone");
    let shown = world.run(&["mesh"]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let lines: Vec<&str> = shown.stdout.lines().collect();
    assert!(lines[0].starts_with("GATEWAY  STATE") && lines[1].starts_with("alone    up"), "{shown:?}");
    let shown = world.run(&["mesh", "--output", "json"]);
    let state: Value = serde_json::from_str(&shown.stdout).expect("one object");
    assert_eq!((&state["gateway"], &state["links"]), (&json!("alone"), &json!([])));
}

#[test]
fn a_kept_value_is_read_until_it_is_removed() {
    let world = World::start("values");
    let none = world.run(&["get", "example.room.*"]);
    assert_eq!(
        (none.code, none.stderr.as_str()),
        (Some(1), "error: no value is kept for `example.room.*`\n")
    );
    for key in ["hall", "kitchen"] {
        let kept = world.run(&["pub", "example.room.temperature", "21.5", "--key", key, "--retain"]);
        assert_eq!(kept.code, Some(0), "{}", kept.stderr);
    }
    let both = world.run(&["get", "example.room.*"]);
    assert_eq!(both.stdout, "example.room.temperature hall 21.5\nexample.room.temperature kitchen 21.5\n");
    let removed = world.run(&["pub", "example.room.temperature", "--key", "hall", "--remove"]);
    assert_eq!(removed.code, Some(0), "{}", removed.stderr);
    assert_eq!(world.run(&["get", "example.#", "--raw"]).stdout, "21.5");
    assert_eq!(world.run(&["get", "example..room"]).code, Some(2));
}

#[test]
fn an_object_has_the_members_of_the_event_stream() {
    let world = World::start("objects");
    let mut sub = world.begin(&["sub", "example.#", "--output", "json", "--count", "3"]);
    let sent = world.run(&[
        "pub",
        "example.door",
        "{\"open\": true}",
        "--json",
        "--key",
        "front",
        "--header",
        "traceparent=00-1",
        "--output",
        "json",
    ]);
    assert_eq!(sent.code, Some(0), "{}", sent.stderr);
    let sent: Value = serde_json::from_str(&sent.stdout).expect("an object");
    assert_eq!((&sent["published"], &sent["bytes"]), (&json!(1), &json!(14)));
    assert_eq!(world.run(&["pub", "example.note", "h\u{e9}", "--class", "telemetry"]).code, Some(0));
    assert_eq!(world.run_with(&["pub", "example.image", "-"], b"\xff\xfe").code, Some(0));

    // Events and telemetry come on streams of their own, in an order of their own.
    let objects: Vec<Value> = (0..3).map(|_| sub.object()).collect();
    let of = |topic: &str| objects.iter().find(|object| object["topic"] == topic).expect(topic);
    let door = of("example.door");
    let names: Vec<&String> = door.as_object().expect("an object").keys().collect();
    assert_eq!(
        names,
        ["topic", "key", "class", "publisher", "epoch", "sequence", "content_type", "headers", "json"]
    );
    assert_eq!(
        (&door["topic"], &door["key"], &door["class"]),
        (&json!("example.door"), &json!("front"), &json!("event"))
    );
    assert_eq!(door["json"], json!({"open": true}));
    assert_eq!(door["headers"], json!({"traceparent": "00-1"}));
    assert_eq!(door["publisher"].as_str().map(str::len), Some(32));
    let note = of("example.note");
    assert_eq!((&note["class"], &note["text"]), (&json!("telemetry"), &json!("h\u{e9}")));
    assert_eq!(of("example.image")["base64"], "//4=");
    assert_eq!(sub.end().code, Some(0));
}

#[test]
fn lines_of_stdin_are_messages_in_their_order() {
    let world = World::start("lines");
    let mut sub = world.begin(&["sub", "example.log"]);
    let sent = world.run_with(&["pub", "example.log", "--lines"], b"one\ntwo words\r\n\nlast");
    assert_eq!((sent.code, sent.stdout.as_str()), (Some(0), ""), "{}", sent.stderr);
    let lines: Vec<String> = (0..4).map(|_| sub.line()).collect();
    assert_eq!(
        lines,
        ["example.log - one", "example.log - two words", "example.log - ", "example.log - last"]
    );
    sub.interrupt();
    assert_eq!(sub.end().code, Some(0));
}

#[test]
fn a_bad_line_is_named_and_those_before_it_are_published() {
    let world = World::start("bad-line");
    let mut sub = world.begin(&["sub", "example.log", "--count", "1"]);
    let sent = world.run_with(&["pub", "example.log", "--lines", "--json"], b"1\n{\n3\n");
    assert_eq!(sent.code, Some(1));
    assert!(sent.stderr.starts_with("error: line 2: the payload is no JSON: "), "{}", sent.stderr);
    assert_eq!(sub.line(), "example.log - 1");
}

#[test]
fn a_count_is_published_and_counted() {
    let world = World::start("counts");
    let mut sub = world.begin(&["sub", "example.tick", "--count", "500"]);
    let sent = world.run(&["pub", "example.tick", "now", "--count", "500", "--rate", "5000"]);
    assert_eq!(sent.code, Some(0));
    assert!(sent.stderr.starts_with("500 messages accepted in "), "{}", sent.stderr);
    for _ in 0..500 {
        assert_eq!(sub.line(), "example.tick - now");
    }
    assert_eq!(sub.end().code, Some(0));
}

#[test]
fn retained_values_come_first() {
    let world = World::start("retained");
    for (key, value) in [("kitchen", "21.5"), ("hall", "18"), ("kitchen", "22")] {
        assert_eq!(world.run(&["pub", "example.room", value, "--key", key, "--retain"]).code, Some(0));
    }
    let mut sub = world.begin(&["sub", "example.*", "--retained", "--output", "json"]);
    let mut values: Vec<_> = (0..2).map(|_| sub.object()).collect();
    values.sort_by_key(|value| value["key"].to_string());
    assert_eq!((&values[0]["key"], &values[0]["text"]), (&json!("hall"), &json!("18")));
    assert_eq!((&values[1]["key"], &values[1]["text"]), (&json!("kitchen"), &json!("22")));
    assert!(values.iter().all(|value| value["retained"] == true));
    assert_eq!(sub.object(), json!({"notice": "retained_end"}));
    assert_eq!(world.run(&["pub", "example.room", "23", "--key", "hall"]).code, Some(0));
    let live = sub.object();
    assert_eq!((&live["text"], &live["retained"]), (&json!("23"), &json!(null)));
}

#[test]
fn a_message_that_several_patterns_match_is_printed_once() {
    let world = World::start("overlap");
    let mut sub = world.begin(&["sub", "example.a.+", "example.#", "example.a.b"]);
    for topic in ["example.a.b", "example.c", "example.a.b"] {
        assert_eq!(world.run(&["pub", topic, "x"]).code, Some(0));
    }
    let lines: Vec<String> = (0..3).map(|_| sub.line()).collect();
    assert_eq!(lines, ["example.a.b - x", "example.c - x", "example.a.b - x"]);
}

#[test]
fn raw_is_byte_for_byte() {
    let world = World::start("raw");
    let sub = world.begin(&["sub", "example.text", "--raw", "--count", "2"]);
    assert_eq!(world.run(&["pub", "example.text", "a", "--count", "2"]).code, Some(0));
    let done = sub.end();
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "aa\n"));
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let world = World::start("pipes");
    let mut sub = world.begin(&["sub", "example.tick"]);
    sub.close_stdout();
    assert_eq!(world.run(&["pub", "example.tick", "x", "--count", "10"]).code, Some(0));
    let done = sub.end();
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_command_answers_calls() {
    let world = World::start("calls");
    let serve = world.begin(&["serve", "example.upper", "--", "tr", "a-z", "A-Z"]);
    let done = world.run(&["call", "example.upper", "hello"]);
    assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (Some(0), "HELLO\n", ""));
    let done = world.run_with(&["call", "example.upper", "-", "--raw"], b"raw");
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "RAW"));

    let second = world.run(&["serve", "example.upper", "--echo"]);
    assert_eq!(second.code, Some(1));
    assert!(second.stderr.contains("ALREADY_EXISTS"), "{}", second.stderr);
    serve.interrupt();
    assert_eq!(serve.end().code, Some(0));
}

#[test]
fn an_echo_keeps_type_and_is_shown_as_json() {
    let world = World::start("echo");
    let _serve = world.begin(&["serve", "example.echo", "--echo"]);
    let done =
        world.run(&["call", "example.echo", "{\"speed\":1000}", "--type", "cortexiq.v1.SetSpeedRequest"]);
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "{\"speed\":1000}\n"), "{}", done.stderr);
    let done = world.run(&["call", "example.echo", "[1]", "--json", "--output", "json"]);
    let result: Value = serde_json::from_str(&done.stdout).expect("an object");
    assert_eq!(result, json!({"procedure": "example.echo", "content_type": "application/json", "json": [1]}));
}

#[test]
fn a_command_may_speak_json_where_the_wire_has_protobuf() {
    let world = World::start("typed");
    let _serve = world.begin(&["serve", "example.same", "--type", "SetSpeedRequest", "--", "cat"]);
    let done = world.run(&["call", "example.same", "{\"speed\":7}", "--type", "SetSpeedRequest"]);
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "{\"speed\":7}\n"), "{}", done.stderr);
}

#[test]
fn every_provider_answers_and_the_failure_of_one_is_told_beside_the_others() {
    let world = World::start("all");
    let serve = ["serve", "example.who", "--policy", "random", "--"];
    let mut serving = Vec::new();
    for script in ["echo one", "echo two", "echo broken >&2; exit 1"] {
        serving.push(world.begin(&[&serve[..], &["sh", "-c", script]].concat()));
    }
    let done = world.run(&["call", "example.who", "--all"]);
    let mut texts: Vec<&str> = done.stdout.lines().filter_map(|line| line.split("  ").nth(1)).collect();
    texts.sort_unstable();
    assert_eq!((done.code, &texts[..]), (Some(1), &["one", "two"][..]), "{}", done.stdout);
    assert!(
        done.stderr.contains(": INTERNAL: ") && done.stderr.contains("some providers failed"),
        "{}",
        done.stderr
    );

    drop(serving.pop());
    drop(serving.pop());
    let done = world.run(&["call", "example.who", "--all", "--output", "json"]);
    let answer: Value =
        serde_json::from_str(done.stdout.lines().next().expect("one line")).expect("an object");
    assert_eq!(answer["provider"].as_str().map(str::len), Some(32), "{answer}");
}

#[test]
fn results_that_stream_are_shown_one_by_one() {
    let world = World::start("stream");
    let _serve = world.begin(&["serve", "example.echo", "--echo"]);
    let done = world.run(&["call", "example.echo", "once", "--stream"]);
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "once\n"), "a single result is a stream of one");
    let script = "read count; seq $count; [ $count = 3 ] || { echo no more >&2; exit 1; }";
    let _count = world.begin(&["serve", "example.count", "--lines", "--", "sh", "-c", script]);
    let done = world.run_with(&["call", "example.count", "-", "--stream"], b"3\n");
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "1\n2\n3\n"), "{}", done.stderr);
    let done = world.run_with(&["call", "example.count", "-", "--stream"], b"2\n");
    assert_eq!((done.code, done.stdout.as_str()), (Some(1), "1\n2\n"));
    assert!(done.stderr.starts_with("INTERNAL: ") && done.stderr.contains("no more"), "{}", done.stderr);
    let done = world.run_with(&["call", "example.count", "-"], b"3\n");
    assert!(done.stderr.starts_with("INVALID_ARGUMENT: "), "{}", done.stderr);
    // One that never ends is killed when its caller leaves.
    let _ticks = world.begin(&["serve", "example.ticks", "--lines", "--", "yes"]);
    let done = world.run(&["call", "example.ticks", "--stream", "--timeout", "300ms"]);
    assert!(
        done.stderr.starts_with("DEADLINE_EXCEEDED: ") && done.stdout.starts_with("y\ny\n"),
        "{}",
        done.stderr
    );
}

#[test]
fn errors_of_calls_begin_with_their_code() {
    let world = World::start("errors");
    let done = world.run(&["call", "example.nobody"]);
    assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""));
    assert_eq!(done.stderr, "NOT_FOUND: nobody has registered `example.nobody`\n");

    let _serve = world.begin(&["serve", "example.broken", "--", "sh", "-c", "echo no paper >&2; exit 3"]);
    let done = world.run(&["call", "example.broken"]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(1), "INTERNAL: sh: exit status: 3: no paper\n"));

    let _slow = world.begin(&["serve", "example.slow", "--", "sleep", "60"]);
    let done = world.run(&["call", "example.slow", "--timeout", "300ms"]);
    assert_eq!(done.code, Some(1));
    assert!(done.stderr.starts_with("DEADLINE_EXCEEDED: "), "{}", done.stderr);
}

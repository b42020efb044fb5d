//! PROTOCOL.md says what the code and the vectors say, where a machine can tell.

use std::collections::BTreeMap;

use macula_proto::{kind, limits, slot};

const PROTOCOL: &str = include_str!("../PROTOCOL.md");

/// The cells of the rows whose first cell satisfies `wanted`.
fn rows(wanted: impl Fn(&str) -> bool) -> Vec<Vec<&'static str>> {
    let cells = |line: &'static str| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>();
    PROTOCOL.lines().filter(|line| line.starts_with('|')).map(cells).filter(|row| wanted(row[0])).collect()
}

#[test]
fn the_table_of_kinds_is_that_of_the_code() {
    let table: BTreeMap<u8, String> = rows(|first| first.starts_with("`0x"))
        .into_iter()
        .map(|row| {
            let byte = u8::from_str_radix(&row[0].trim_matches('`')[2..], 16).unwrap();
            (byte, row[1].trim_matches('`').to_lowercase())
        })
        .collect();
    let code: BTreeMap<u8, String> =
        kind::ALL.iter().map(|(byte, name)| (*byte, name.replace('_', "").to_lowercase())).collect();
    assert_eq!(table, code);
}

#[test]
fn the_annotated_bytes_are_those_of_the_vectors() {
    let vectors: serde_json::Value = serde_json::from_str(include_str!("../vectors/frames.json")).unwrap();
    let mut seen = 0;
    for block in PROTOCOL.split("<!-- vector: ").skip(1) {
        let (name, rest) = block.split_once(" -->").unwrap();
        let hex = rest.split("```").nth(1).unwrap().strip_prefix("hex").unwrap();
        let bytes = hex.lines().flat_map(|line| line.split('#').next().unwrap().chars());
        let bytes: String = bytes.filter(|letter| !letter.is_whitespace()).collect();
        let stream = vectors["streams"].as_array().unwrap().iter().find(|stream| stream["name"] == name);
        assert_eq!(stream.unwrap_or_else(|| panic!("no stream {name:?}"))["hex"], bytes, "{name}");
        seen += 1;
    }
    assert_eq!(seen, 3);
}

#[test]
fn its_limits_are_those_of_the_code() {
    let number = |first: &str, cell: usize| {
        let row = rows(|found| found.starts_with(first)).swap_remove(0);
        let digits: String = row[cell].chars().take_while(|c| c.is_ascii_digit() || *c == ',').collect();
        digits.replace(',', "").parse::<usize>().unwrap()
    };
    assert_eq!(number("frame, without", 1), limits::FRAME_BYTES);
    assert_eq!(number("payload of", 1), limits::PAYLOAD_BYTES);
    assert_eq!(number("topic, pattern", 1), limits::TOPIC_BYTES);
    assert_eq!(number("key", 1), limits::KEY_BYTES);
    assert_eq!(number("content type", 1), limits::CONTENT_TYPE_BYTES);
    assert_eq!(number("headers of a message", 1), limits::HEADER_BYTES);
    assert_eq!(number("topic aliases", 1), limits::ALIASES_PER_SESSION);
    assert_eq!(number("subscriptions, registrations", 1), limits::SUBSCRIPTIONS_PER_SESSION);
    assert_eq!(number("calls in flight", 1), limits::CALLS_IN_FLIGHT);
}

#[test]
fn its_slot_is_that_of_the_code() {
    let example = slot::of("ant_00001", "be.cortexiq.home.measured");
    assert!(PROTOCOL.contains(&format!("`slot(\"ant_00001\", \"be.cortexiq.home.measured\")` is {example}")));
}

//! Properties of topics and patterns over random names.

use bytes::Bytes;
use macula_proto::{Pattern, Topic};
use proptest::prelude::*;

/// Topics from a small alphabet, so that patterns meet them.
fn topic() -> impl Strategy<Value = Topic> {
    let head = prop_oneof![9 => "[ab]", 1 => "\\$[ab]"];
    (head, prop::collection::vec("[ab]", 0..6))
        .prop_map(|(head, rest)| [vec![head], rest].concat().join(".").parse().unwrap())
}

fn pattern() -> impl Strategy<Value = Pattern> {
    let head = prop_oneof![6 => "[ab+*]", 1 => "\\$[ab]"];
    (head, prop::collection::vec("[ab+*]", 0..5), prop_oneof![Just(""), Just(".#")])
        .prop_map(|(head, rest, tail)| ([vec![head], rest].concat().join(".") + tail).parse().unwrap())
}

/// A second definition of matching, over text alone and by trying every split.
fn matches_by_splitting(pattern: &str, topic: &str) -> bool {
    fn rest(pattern: &[&str], topic: &[&str]) -> bool {
        match (pattern, topic) {
            ([], topic) => topic.is_empty(),
            (["#"], _) => true,
            (["*"], topic) => !topic.is_empty(),
            (["+" | "*", pattern @ ..], [_, topic @ ..]) => rest(pattern, topic),
            ([literal, pattern @ ..], [segment, topic @ ..]) => literal == segment && rest(pattern, topic),
            (_, []) => false,
        }
    }
    let split = |text| str::split(text, '.').collect::<Vec<_>>();
    let hidden = topic.starts_with('$') && !pattern.starts_with('$');
    !hidden && rest(&split(pattern), &split(topic))
}

proptest! {
    #[test]
    fn a_topic_shown_and_parsed_is_the_same(topic in topic()) {
        prop_assert_eq!(&topic.to_string().parse::<Topic>().unwrap(), &topic);
        prop_assert_eq!(topic.segments().collect::<Vec<_>>().join("."), topic.as_str());
    }

    #[test]
    fn a_pattern_shown_and_parsed_is_the_same(pattern in pattern()) {
        prop_assert_eq!(&pattern.to_string().parse::<Pattern>().unwrap(), &pattern);
        prop_assert_eq!(pattern.segments().count(), pattern.as_str().split('.').count());
    }

    #[test]
    fn every_topic_is_a_literal_pattern(topic in topic(), other in topic()) {
        let pattern: Pattern = topic.as_str().parse().unwrap();
        prop_assert!(pattern.is_literal());
        prop_assert_eq!(pattern.matches(&other), topic == other);
    }

    #[test]
    fn both_definitions_of_matching_agree(pattern in pattern(), topic in topic()) {
        prop_assert_eq!(pattern.matches(&topic), matches_by_splitting(pattern.as_str(), topic.as_str()));
    }

    #[test]
    fn what_is_covered_is_matched(wide in pattern(), narrow in pattern(), topic in topic()) {
        if wide.covers(&narrow) && narrow.matches(&topic) {
            prop_assert!(wide.matches(&topic));
        }
    }

    #[test]
    fn any_text_is_a_name_or_an_error(text in "[a-c$.+*# é\u{0}]{0,20}|.{0,300}") {
        let topic = text.parse::<Topic>();
        let pattern = text.parse::<Pattern>();
        if let Ok(topic) = &topic {
            prop_assert!(pattern.as_ref().is_ok_and(|pattern| pattern.matches(topic)));
        }
        for error in [topic.err().map(|e| e.to_string()), pattern.err().map(|e| e.to_string())] {
            prop_assert!(error.is_none_or(|line| !line.contains('\n')));
        }
    }

    #[test]
    fn any_bytes_are_a_topic_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let topic = Topic::try_from(Bytes::from(bytes.clone()));
        let text = str::from_utf8(&bytes).ok().and_then(|text| text.parse::<Topic>().ok());
        prop_assert_eq!(topic.ok(), text);
    }
}

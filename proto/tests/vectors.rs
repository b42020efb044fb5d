//! Runs the test vectors of topics and patterns, which implementations in other languages share.

use std::collections::HashSet;

use macula_proto::{Pattern, Topic};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    #[serde(rename = "about")]
    _about: String,
    matches: Vec<Match>,
    illegal: Vec<Illegal>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Match {
    pattern: String,
    topic: String,
    matches: bool,
    why: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Illegal {
    topic: Option<String>,
    pattern: Option<String>,
    reason: String,
    #[serde(rename = "why")]
    _why: Option<String>,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../vectors/topics.json")).unwrap()
}

#[test]
fn patterns_match_what_the_vectors_say() {
    for case in vectors().matches {
        let Match { pattern, topic, matches, why } = case;
        let parsed: Pattern = pattern.parse().unwrap_or_else(|error| panic!("{pattern}: {error}"));
        let name: Topic = topic.parse().unwrap_or_else(|error| panic!("{topic}: {error}"));
        assert_eq!(parsed.matches(&name), matches, "{pattern} and {topic}: {}", why.unwrap_or_default());
        assert_eq!(parsed.covers(&Pattern::from(&name)), matches, "{pattern} covers {topic}");
    }
}

#[test]
fn illegal_names_are_refused_with_their_reason() {
    for case in vectors().illegal {
        let (text, code) = match (&case.topic, &case.pattern) {
            (Some(text), None) => (text, text.parse::<Topic>().map_err(|error| error.code()).err()),
            (None, Some(text)) => (text, text.parse::<Pattern>().map_err(|error| error.code()).err()),
            _ => panic!("a case names a topic or a pattern"),
        };
        assert_eq!(code, Some(case.reason.as_str()), "{text:?}");
    }
}

#[test]
fn no_case_stands_twice() {
    let Vectors { matches, illegal, .. } = vectors();
    let mut seen = HashSet::new();
    assert!(matches.iter().all(|case| seen.insert((Some(&case.pattern), Some(&case.topic)))));
    assert!(illegal.iter().all(|case| seen.insert((case.pattern.as_ref(), case.topic.as_ref()))));
    assert!(seen.len() >= 130);
}

use super::*;

fn pattern(text: &str) -> Pattern {
    text.parse().unwrap()
}

#[test]
fn a_star_is_one_segment_inside_and_the_rest_at_the_end() {
    let pattern = pattern("a.*.+.*");
    let segments: Vec<_> = pattern.segments().collect();
    assert_eq!(segments, [Segment::Literal("a"), Segment::One, Segment::One, Segment::OneOrMore]);
}

#[test]
fn errors_tell_the_place_and_the_remedy() {
    let error = |text: &str| text.parse::<Pattern>().unwrap_err().to_string();
    assert_eq!(
        error("be.home-*"),
        "'*' at byte 8 (segment 1) is only a part of its segment: a wildcard fills a whole segment"
    );
    assert_eq!(
        error("be.#.raw"),
        "'#' at byte 3 (segment 1) is not last: use \"+\" for one segment in the middle"
    );
    assert_eq!(error("be.#."), "the dot at byte 4 ends the name: remove it");
}

/// Every pattern of up to three segments against every other, judged by every topic of up to five segments.
#[test]
fn covers_agrees_with_enumeration() {
    let topics: Vec<Topic> =
        names(&["a", "b", "$a"], &["a", "b"], 5).iter().map(|text| text.parse().unwrap()).collect();
    let wild = ["a", "b", "+", "*", "#"];
    let patterns: Vec<Pattern> = names(&["a", "b", "$a", "+", "*", "#"], &wild, 3)
        .iter()
        .filter_map(|text| text.parse().ok())
        .collect();
    assert!(topics.len() <= 128 && patterns.len() > 100);
    let matched = |pattern: &Pattern| -> u128 {
        let bits = topics.iter().enumerate();
        bits.map(|(bit, topic)| u128::from(pattern.matches(topic)) << bit).sum()
    };
    let patterns: Vec<_> = patterns.iter().map(|pattern| (pattern, matched(pattern))).collect();
    for (wide, by_wide) in &patterns {
        for (narrow, by_narrow) in &patterns {
            let expected = by_narrow & !by_wide == 0;
            assert_eq!(wide.covers(narrow), expected, "{wide} covers {narrow}");
        }
    }
}

#[test]
fn covers_knows_that_a_topic_has_sixteen_segments() {
    let fifteen = "a.".repeat(15);
    assert!(pattern(&format!("{fifteen}+")).covers(&pattern(&format!("{fifteen}*"))));
    assert!(pattern(&format!("{fifteen}+")).covers(&pattern(&format!("{fifteen}+"))));
    assert!(!pattern(&format!("{fifteen}+")).covers(&pattern(&format!("{fifteen}#"))));
}

#[test]
fn covers_knows_that_a_topic_has_255_bytes() {
    let long = "a".repeat(253);
    assert!(pattern(&format!("{long}.+")).covers(&pattern(&format!("{long}.*"))));
    let shorter = "a".repeat(251);
    assert!(!pattern(&format!("{shorter}.+")).covers(&pattern(&format!("{shorter}.*"))));
}

/// All names of up to `depth` segments, the first from `first`, the others from `others`.
fn names(first: &[&str], others: &[&str], depth: usize) -> Vec<String> {
    let mut level: Vec<String> = first.iter().map(|&text| text.into()).collect();
    let mut all = level.clone();
    for _ in 1..depth {
        level =
            level.iter().flat_map(|head| others.iter().map(move |tail| format!("{head}.{tail}"))).collect();
        all.extend(level.iter().cloned());
    }
    all
}

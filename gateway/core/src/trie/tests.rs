use proptest::prelude::*;

use super::*;

/// The trie as it would be if speed did not matter.
#[derive(Default)]
struct Naive(Vec<(Pattern, u32)>);

impl Naive {
    fn remove(&mut self, pattern: &Pattern, value: u32) -> bool {
        let place =
            self.0.iter().position(|(other, held)| *held == value && other.segments().eq(pattern.segments()));
        place.map(|place| self.0.swap_remove(place)).is_some()
    }

    fn matches(&self, topic: &Topic) -> Vec<u32> {
        let matching = self.0.iter().filter(|(pattern, _)| pattern.matches(topic));
        let mut values: Vec<_> = matching.map(|(_, value)| *value).collect();
        values.sort_unstable();
        values
    }
}

fn matches(trie: &Trie<u32>, topic: &Topic) -> Vec<u32> {
    let mut values = Vec::new();
    trie.for_each_match(topic, |value| values.push(value));
    values.sort_unstable();
    values
}

fn pattern(text: &str) -> Pattern {
    text.parse().unwrap()
}

#[derive(Clone, Debug)]
enum Operation {
    Insert(Pattern, u32),
    /// Any pair, mostly one that is absent.
    Remove(Pattern, u32),
    /// One of those present, by a number that is taken modulo their count.
    RemoveOne(usize),
    Match(Topic),
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let pair = || (patterns(), 0..3_u32);
    let operation = prop_oneof![
        4 => pair().prop_map(|(pattern, value)| Operation::Insert(pattern, value)),
        1 => pair().prop_map(|(pattern, value)| Operation::Remove(pattern, value)),
        3 => any::<usize>().prop_map(Operation::RemoveOne),
        4 => topics().prop_map(Operation::Match),
    ];
    prop::collection::vec(operation, 0..200)
}

/// From few segments, so that patterns share nodes, one of them too long to be stored inline.
const SEGMENT: &str = "[abc]|a-segment-of-more-than-22-bytes";

fn topics() -> impl Strategy<Value = Topic> {
    let head = prop_oneof![8 => SEGMENT, 1 => Just("$sys".to_owned())];
    (head, prop::collection::vec(SEGMENT, 0..5))
        .prop_map(|(head, rest)| [vec![head], rest].concat().join(".").parse().unwrap())
}

fn patterns() -> impl Strategy<Value = Pattern> {
    let any = prop_oneof![3 => SEGMENT.boxed(), 2 => "[+*]".boxed()];
    let head = prop_oneof![8 => any.clone().boxed(), 1 => Just("$sys".to_owned()).boxed()];
    let tail = prop_oneof![3 => Just(""), 1 => Just(".*"), 1 => Just(".#")];
    (head, prop::collection::vec(any, 0..4), tail)
        .prop_map(|(head, rest, tail)| pattern(&([vec![head], rest].concat().join(".") + tail)))
}

proptest! {
    #[test]
    fn agrees_with_the_naive_one(operations in operations()) {
        let mut trie = Trie::new();
        let mut naive = Naive::default();
        for operation in operations {
            match operation {
                Operation::Insert(pattern, value) => {
                    trie.insert(&pattern, value);
                    naive.0.push((pattern, value));
                }
                Operation::Remove(pattern, value) => {
                    prop_assert_eq!(trie.remove(&pattern, value), naive.remove(&pattern, value));
                }
                Operation::RemoveOne(number) if !naive.0.is_empty() => {
                    let (pattern, value) = naive.0.swap_remove(number % naive.0.len());
                    prop_assert!(trie.remove(&pattern, value));
                }
                Operation::RemoveOne(_) => {}
                Operation::Match(topic) => prop_assert_eq!(matches(&trie, &topic), naive.matches(&topic)),
            }
            prop_assert_eq!(trie.len(), naive.0.len());
        }
        for (pattern, value) in naive.0 {
            prop_assert!(trie.remove(&pattern, value));
        }
        prop_assert_eq!(trie.memory(), 0);
    }
}

#[test]
fn every_form_matches_what_its_definition_says() {
    let patterns = ["#", "*", "+", "a", "a.#", "a.*", "a.+", "a.*.c", "$sys.#", "+.#", "a.b.c"].map(pattern);
    let mut trie = Trie::new();
    for (value, pattern) in (0..).zip(&patterns) {
        trie.insert(pattern, value);
    }
    for topic in ["a", "b", "a.b", "a.b.c", "a.b.c.d", "$sys", "$sys.a"].map(Topic::from_static) {
        let matching = (0..).zip(&patterns).filter(|(_, pattern)| pattern.matches(&topic));
        assert_eq!(matches(&trie, &topic), matching.map(|(value, _)| value).collect::<Vec<_>>(), "{topic}");
    }
}

#[test]
fn a_topic_of_sixteen_segments_meets_both_ways_at_every_level() {
    let mut trie = Trie::new();
    for bits in 0..1_u32 << 16 {
        let segments: Vec<_> = (0..16).map(|bit| if bits >> bit & 1 == 1 { "+" } else { "a" }).collect();
        trie.insert(&pattern(&segments.join(".")), bits);
    }
    let topic: Topic = ["a"; 16].join(".").parse().unwrap();
    assert_eq!(matches(&trie, &topic), (0..1 << 16).collect::<Vec<_>>());
}

#[test]
fn an_equal_pair_counts_again() {
    let mut trie = Trie::new();
    trie.insert(&pattern("a.+"), 7);
    trie.insert(&pattern("a.+"), 7);
    assert_eq!(matches(&trie, &Topic::from_static("a.b")), [7, 7]);
    assert!(trie.remove(&pattern("a.+"), 7));
    assert_eq!(matches(&trie, &Topic::from_static("a.b")), [7]);
}

#[test]
fn patterns_are_known_by_their_segments() {
    let mut trie = Trie::new();
    trie.insert(&pattern("a.*.b"), 1);
    assert!(trie.remove(&pattern("a.+.b"), 1));
    trie.insert(&pattern("a.*"), 1);
    assert!(!trie.remove(&pattern("a.+"), 1));
    assert!(!trie.remove(&pattern("a.#"), 1));
    assert!(trie.remove(&pattern("a.*"), 1));
}

#[test]
fn memory_returns_when_all_is_removed() {
    let mut trie = Trie::new();
    assert_eq!(trie.memory(), 0);
    let patterns: Vec<_> = (0..30_000)
        .map(|id| match id % 3 {
            0 => pattern(&format!("be.cortexiq.home.{id}.measured")),
            1 => pattern(&format!("be.cortexiq.home.{id}.*")),
            _ => pattern(&format!("be.+.home.a-name-that-is-stored-elsewhere-{id}.+.offer.#")),
        })
        .collect();
    for (value, pattern) in (0..).zip(&patterns) {
        trie.insert(pattern, value);
    }
    let full = trie.memory();
    for (value, pattern) in (0..).zip(&patterns).skip(100) {
        assert!(trie.remove(pattern, value));
    }
    let tables = trie.literals.allocation_size() + trie.edges.allocation_size() + trie.names.memory();
    assert!(tables < full / 4, "tables of 100 patterns hold {tables} of {full} bytes");
    for (value, pattern) in (0..).zip(&patterns).take(100) {
        assert!(trie.remove(pattern, value));
    }
    assert!(trie.is_empty());
    assert_eq!(trie.memory(), 0);
}

#[test]
fn places_are_used_again() {
    let mut trie = Trie::new();
    trie.insert(&pattern("keep.#"), 0);
    let mut before = 0;
    for round in 0..10_u32 {
        let patterns: Vec<_> = (0..3_000).map(|id| pattern(&format!("be.{round}.{id}.+"))).collect();
        patterns.iter().for_each(|pattern| trie.insert(pattern, round));
        if round == 1 {
            before = trie.memory();
        }
        assert!(round < 2 || trie.memory() <= before);
        patterns.iter().for_each(|pattern| assert!(trie.remove(pattern, round)));
    }
    assert_eq!(trie.len(), 1);
}

use super::*;

const NOW: u64 = 1 << 40;

fn message(key: &str, payload: &[u8], change: impl FnOnce(&mut wire::Message<'_>)) -> Vec<u8> {
    let mut message = wire::Message::new(payload, key);
    message.retain = true;
    change(&mut message);
    let mut out = Vec::new();
    message.encode(&mut out);
    out
}

fn offered(topic: u32, stamp_ms: u64, message: &[u8]) -> Offered<'_> {
    Offered {
        class: MessageClass::Event,
        stamp: (NOW + stamp_ms) << 16,
        topic,
        publisher: 0,
        id: PublisherId { id: [0; 16], epoch: 1 },
        sequence: 1,
        message,
    }
}

/// A store of the one topic `a`, and the time.
#[derive(Default)]
struct Store {
    retained: Retained,
    now_ms: u64,
}

impl Store {
    fn keep(&mut self, alias: u32, stamp_ms: u64, message: &[u8]) -> Kept {
        let now = NOW + self.now_ms.max(stamp_ms);
        self.retained.keep(&Topic::from_static("a"), offered(alias, stamp_ms, message), now)
    }

    fn pass_to(&mut self, ms: u64) -> usize {
        let mut topics = Topics::default();
        topics.refer(&Topic::from_static("a"), "");
        self.now_ms = ms;
        self.retained.pass(&topics, NOW + ms).len()
    }

    fn is_empty(&self) -> bool {
        let retained = &self.retained;
        retained.values.is_empty()
            && retained.places.is_empty()
            && retained.due.is_empty()
            && retained.aliases.is_empty()
            && (retained.bytes, retained.tombstones) == (0, 0)
            && retained.digest.sum() == Digest::default().sum()
    }
}

const NEW: Kept = Kept::Stored { freed: None, news: true };

#[test]
fn replacing_keeps_the_limit_and_gives_room_back() {
    let mut store = Store::default();
    let large = |key: &str| message(key, &vec![0; 1 << 20], |_| {});
    assert_eq!(store.keep(1, 1, &large("large")), NEW);
    assert_eq!(store.keep(1, 1, &message("small", b"x", |_| {})), NEW);
    store.retained.bytes = Retained::LIMIT_BYTES;
    assert_eq!(store.keep(1, 2, &large("small")), Kept::Full);
    let replaced = Kept::Stored { freed: Some((1, 0)), news: true };
    assert_eq!(store.keep(1, 2, &message("large", b"x", |_| {})), replaced);
    let shrunk = store.retained.values.values().find(|value| value.stamp == (NOW + 2) << 16).unwrap();
    assert!(shrunk.message.capacity() < 100);
    assert_eq!(store.keep(1, 2, &message("small", b"xy", |_| {})), replaced);
}

#[test]
fn values_take_at_most_half_of_the_topics() {
    let mut store = Store::default();
    for alias in 0..Retained::TOPICS as u32 {
        assert_eq!(store.keep(alias, 1, &message(&alias.to_string(), b"", |_| {})), NEW);
    }
    let more = Retained::TOPICS as u32;
    assert_eq!(store.keep(more, 1, &message("more", b"", |_| {})), Kept::Full);
    assert_eq!(store.keep(more, 2, &message("0", b"", |_| {})), Kept::Full);
    assert_eq!(store.keep(1, 1, &message("more", b"", |_| {})), NEW);
    let replaced = |topic| Kept::Stored { freed: Some((topic, 0)), news: true };
    assert_eq!(store.keep(1, 2, &message("0", b"", |_| {})), replaced(0));
    assert_eq!(store.keep(more, 1, &message("again", b"", |_| {})), NEW);
    // The tombstone stays under the alias of its value, and gives the new one back.
    assert_eq!(store.keep(more + 1, 3, &message("0", b"", |m| m.remove = true)), replaced(more + 1));
}

#[test]
fn a_removal_wins_against_older_values_for_an_hour_and_leaves_nothing_behind() {
    let mut store = Store::default();
    assert_eq!(store.keep(0, 1, &message("k", b"one", |_| {})), NEW);
    // `remove` alone is enough.
    let remove = message("k", b"a farewell", |m| (m.retain, m.remove) = (false, true));
    assert_eq!(store.keep(0, 3, &remove), Kept::Stored { freed: Some((0, 0)), news: true });
    assert_eq!((store.retained.len(), store.retained.tombstones()), (0, 1));
    assert_eq!(store.keep(0, 2, &message("k", b"late", |_| {})), Kept::Older);
    assert_eq!(store.keep(0, 3, &remove), Kept::Same);
    let (_, kept) = store.retained.since(0).next().unwrap();
    let kept = wire::Message::decode(&kept.message).unwrap();
    assert_eq!((kept.key, kept.payload, kept.remove), ("k", &b""[..], true));
    assert_eq!(store.pass_to(3 + TOMBSTONE_MS - 1), 0);
    assert_eq!(store.pass_to(3 + TOMBSTONE_MS), 1);
    assert!(store.is_empty());
    assert_eq!(store.keep(0, 3, &remove), Kept::Older, "nobody need remember it again");
}

#[test]
fn a_newer_value_takes_the_place_of_a_tombstone() {
    let mut store = Store::default();
    let remove = message("k", b"", |m| m.remove = true);
    assert_eq!(store.keep(0, 1, &remove), Kept::Stored { freed: None, news: false });
    assert_eq!(
        store.keep(0, 2, &message("k", b"x", |_| {})),
        Kept::Stored { freed: Some((0, 0)), news: true }
    );
    assert_eq!((store.retained.len(), store.retained.tombstones()), (1, 0));
    assert_eq!(store.pass_to(10 * TOMBSTONE_MS), 0);
    assert_eq!(store.retained.len(), 1);
}

#[test]
fn a_value_whose_time_is_over_wins_against_older_ones_as_a_removal_does() {
    let mut store = Store::default();
    let short = message("k", b"x", |m| m.time_to_live_ms = 500);
    assert_eq!(store.keep(0, 1_000, &short), NEW);
    assert_eq!(store.pass_to(1_499), 0);
    assert_eq!(store.retained.len(), 1);
    assert_eq!(store.pass_to(1_500), 0);
    assert_eq!((store.retained.len(), store.retained.tombstones()), (0, 1));
    assert_eq!(store.keep(0, 999, &message("k", b"old", |_| {})), Kept::Older);

    // Another gateway that hears of it too late agrees without having shown it, and both forget together.
    let mut other = Store { now_ms: 2_000, ..Store::default() };
    assert_eq!(other.keep(0, 1_000, &short), Kept::Stored { freed: None, news: false });
    assert_eq!(other.retained.digest.sum(), store.retained.digest.sum());
    let told = store.retained.since(0).next().unwrap().1.message.clone();
    let mut third = Store { now_ms: 2_000, ..Store::default() };
    third.keep(0, 1_000, &told);
    for store in [&mut store, &mut other, &mut third] {
        assert_eq!(store.pass_to(1_499 + TOMBSTONE_MS), 0);
        assert_eq!(store.pass_to(1_500 + TOMBSTONE_MS), 1);
        assert!(store.is_empty());
    }
}

#[test]
fn removing_what_is_not_there_does_not_fill_the_store() {
    let mut store = Store::default();
    for key in 0..Retained::TOMBSTONES {
        assert_ne!(store.keep(0, 1, &message(&key.to_string(), b"", |m| m.remove = true)), Kept::Full);
    }
    assert_eq!(store.keep(0, 1, &message("more", b"", |m| m.remove = true)), Kept::Full);
    assert_eq!(store.keep(0, 1, &message("value", b"", |_| {})), NEW);
    assert_ne!(store.keep(0, 2, &message("value", b"", |m| m.remove = true)), Kept::Full);
}

#[test]
fn stores_with_the_same_entries_have_the_same_digest_whatever_their_order() {
    let messages: Vec<Vec<u8>> = (0..100u32).map(|key| message(&key.to_string(), b"x", |_| {})).collect();
    let (mut one, mut other) = (Store::default(), Store::default());
    for (stamp, message) in messages.iter().enumerate() {
        one.keep(0, stamp as u64, message);
    }
    for (stamp, message) in messages.iter().enumerate().rev() {
        assert_ne!(one.retained.digest.sum(), other.retained.digest.sum());
        other.keep(0, stamp as u64, message);
    }
    assert_eq!(one.retained.digest.sum(), other.retained.digest.sum());
    one.keep(0, 1_000, &messages[7]);
    assert_eq!(one.retained.digest.differing(other.retained.digest.buckets(), 1_000).len(), 1);
}

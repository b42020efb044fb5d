use super::*;
use crate::origins::Whose;
use macula_proto::frame::{FrameError, Splitter};
use proptest::prelude::*;

fn entry<'a>(shared: &'a [u8], key: &'a str) -> Entry<'a> {
    let shared = Shared::Copied(shared);
    Entry { subscriptions: &[], shared, topic: 1, key, mark: Mark::default(), expires_ms: 0 }
}

fn drain(queue: &mut Queue) -> Vec<(u8, Vec<u8>)> {
    let mut splitter = Splitter::new(usize::MAX);
    let mut frames = Vec::new();
    while let Some(batch) = queue.take(0, &mut Origins::default()) {
        splitter
            .split(&batch, |kind, body| {
                frames.push((kind, body.to_vec()));
                Ok::<(), FrameError>(())
            })
            .unwrap();
    }
    frames
}

fn terms(policy: Overflow) -> Terms {
    Terms { policy, block_ms: 10_000, full: false, now_ms: 0 }
}

/// Fills the queue up to where policies begin to matter.
fn behind(class: Class) -> Queue {
    let mut queue = Queue::new(class, u64::MAX);
    let body = vec![0; 64 << 10];
    while queue.backlog() + body.len() <= SOFT_BYTES {
        assert_eq!(
            queue.push(entry(&body, ""), terms(Overflow::Block), &mut Origins::default()),
            Pushed::Queued
        );
    }
    queue
}

#[test]
fn nothing_leaves_without_credit() {
    let mut queue = Queue::new(Class::Event, 10);
    queue.push(entry(&[7; 100], ""), terms(Overflow::Block), &mut Origins::default());
    assert_eq!(queue.take(0, &mut Origins::default()).unwrap().len(), 10);
    assert_eq!(queue.take(0, &mut Origins::default()), None);
    queue.grant(60);
    assert_eq!(queue.take(0, &mut Origins::default()).unwrap().len(), 50);
    queue.grant(5);
    assert_eq!(queue.take(0, &mut Origins::default()), None);
}

#[test]
fn conflation_keeps_the_newest_of_each_key_in_the_place_of_the_oldest() {
    let mut queue = behind(Class::Telemetry);
    let big = |fill: u8| vec![fill; 64 << 10];
    queue.push(entry(&big(1), "a"), terms(Overflow::Conflate), &mut Origins::default());
    queue.push(entry(&big(2), "b"), terms(Overflow::Conflate), &mut Origins::default());
    assert_eq!(
        queue.push(entry(&big(3), "a"), terms(Overflow::Conflate), &mut Origins::default()),
        Pushed::Lost
    );
    let frames = drain(&mut queue);
    let tail: Vec<(u8, u8)> =
        frames[frames.len() - 3..].iter().map(|(kind, body)| (*kind, body[0])).collect();
    assert_eq!(tail, [(kind::DROPPED, 8), (kind::DELIVER, 3), (kind::DELIVER, 2)]);
    assert_eq!(queue.backlog(), 0);
}

#[test]
fn drop_oldest_stays_bounded_and_tells_the_exact_count() {
    let mut queue = behind(Class::Telemetry);
    let sent = 100;
    for _ in 0..sent {
        queue.push(entry(&[9; 64 << 10], ""), terms(Overflow::DropOldest), &mut Origins::default());
        assert!(queue.backlog() <= SOFT_BYTES + HIGH_BYTES);
    }
    let frames = drain(&mut queue);
    let kept = frames.iter().filter(|(kind, body)| *kind == kind::DELIVER && body[0] == 9).count();
    let told: u64 = frames
        .iter()
        .filter(|(kind, _)| *kind == kind::DROPPED)
        .map(|(_, body)| <macula_proto::v1::Dropped as prost::Message>::decode(&body[..]).unwrap().count)
        .sum();
    assert_eq!(kept as u64 + told, sent);
}

/// Fills the queue up to where `block` holds publishers back, at time 0.
fn full() -> Queue {
    let mut queue = behind(Class::Event);
    while queue.push(entry(&[0; 1000], ""), terms(Overflow::Block), &mut Origins::default()) == Pushed::Queued
    {
    }
    queue
}

#[test]
fn block_holds_publishers_until_the_backlog_is_low() {
    let mut queue = full();
    assert!(queue.wait(4, 10_000, 0));
    assert!(!queue.wait(4, 10_000, 5));
    assert!(queue.release(100).is_empty());
    while queue.backlog() >= LOW_BYTES {
        queue.take(0, &mut Origins::default()).unwrap();
    }
    assert_eq!(queue.release(100), [4]);
}

#[test]
fn an_overtaken_queue_drops_events_and_tells_the_gap() {
    let mut queue = full();
    queue.wait(4, 10_000, 0);
    assert_eq!(queue.release(10_000), [4]);
    let later = Terms { now_ms: 10_000, ..terms(Overflow::Block) };
    for _ in 0..2 {
        assert_eq!(queue.push(entry(&[1; 1000], ""), later, &mut Origins::default()), Pushed::Lost);
    }
    let gap = drain(&mut queue).pop().unwrap();
    assert_eq!(gap, (kind::GAP, vec![8, 2]));
    assert!(queue.release(10_001).is_empty());
    assert_eq!(queue.push(entry(&[1; 1000], ""), later, &mut Origins::default()), Pushed::Queued);
}

#[test]
fn each_subscription_holds_publishers_for_its_own_time() {
    let mut queue = full();
    let mut origins = Origins::default();
    queue.wait(4, 1_000, 0);
    queue.wait(5, 1_000, 0);
    queue.wait(5, 20_000, 500);
    assert!(queue.release(999).is_empty());
    assert_eq!(queue.release(1_000), [4], "the other has written for one with more time, too");
    let at = |now_ms, block_ms| Terms { block_ms, now_ms, ..terms(Overflow::Block) };
    assert_eq!(queue.push(entry(&[1; 1000], ""), at(1_500, 1_000), &mut origins), Pushed::Lost);
    assert_eq!(queue.push(entry(&[1; 1000], ""), at(1_500, 20_000), &mut origins), Pushed::Full);
    assert!(queue.release(19_999).is_empty());
    assert_eq!(queue.release(20_000), [5]);
    assert_eq!(queue.push(entry(&[1; 1000], ""), at(20_000, 20_000), &mut origins), Pushed::Lost);
}

#[test]
fn a_receiver_that_was_away_has_its_time_anew_unless_that_was_over() {
    let mut origins = Origins::default();
    for (away_ms, pushed) in [(9_999, Pushed::Full), (10_000, Pushed::Lost)] {
        let mut queue = full();
        queue.wait(4, 10_000, 0);
        queue.release(away_ms);
        queue.suspend(usize::MAX, &mut origins);
        queue.abandon();
        queue.come_back(0);
        let later = Terms { now_ms: 30_000, ..terms(Overflow::Block) };
        assert_eq!(queue.push(entry(&[1; 1000], ""), later, &mut origins), pushed, "{away_ms}");
    }
}

#[test]
fn a_lost_event_is_settled_when_its_loss_was_told() {
    for policy in [Overflow::DropNewest, Overflow::DropOldest, Overflow::Conflate] {
        let mut origins = Origins::default();
        let origin = origins.add(Whose::Publisher(7), 0);
        let mut queue = Queue::new(Class::Event, 0);
        queue.keeps = true;
        let (body, mut first) = (vec![0; 64 << 10], 0);
        for sequence in 1..=40 {
            let mark = origins.open(origin);
            let event = Entry { mark, ..entry(&body, "k") };
            let early = sequence <= 7;
            let pushed = queue.push(event, terms(if early { Overflow::Block } else { policy }), &mut origins);
            assert!(!early || pushed == Pushed::Queued);
            origins.close(mark, sequence);
            first = if early { queue.backlog() as u64 } else { first };
        }
        assert!(!queue.is_whole(), "{policy:?}");
        queue.grant(first);
        while queue.take(0, &mut origins).is_some() {}
        assert!(queue.acknowledge(7, &mut origins));
        assert_eq!(origins.settled(origin), 7, "{policy:?}: the next is lost, and that is not told");
        queue.grant(u64::MAX);
        let told = drain(&mut queue).iter().filter(|(kind, _)| *kind == kind::GAP).count();
        assert_eq!(told, 1, "{policy:?}");
        let end = queue.position();
        assert!(queue.acknowledge(end, &mut origins));
        assert_eq!(origins.settled(origin), 40, "{policy:?}");
    }
}

#[test]
fn a_full_gateway_takes_nothing_from_those_who_read() {
    let full = |policy| Terms { full: true, ..terms(policy) };
    let policies =
        [Overflow::Default, Overflow::Conflate, Overflow::DropOldest, Overflow::DropNewest, Overflow::Block];
    for policy in policies {
        let mut reader = Queue::new(Class::Telemetry, u64::MAX);
        for _ in 0..100 {
            assert_eq!(
                reader.push(entry(&[0; 1000], "k"), full(policy), &mut Origins::default()),
                Pushed::Queued
            );
            reader.take(0, &mut Origins::default()).unwrap();
        }
        let mut sleeper = behind(Class::Telemetry);
        sleeper.push(entry(&[0; 1000], "k"), full(policy), &mut Origins::default());
        assert!(!sleeper.is_whole(), "{policy:?}");
    }
    assert_eq!(
        behind(Class::Telemetry).push(entry(&[0], ""), full(Overflow::Disconnect), &mut Origins::default()),
        Pushed::Disconnect
    );
}

/// What is done to a queue.
#[derive(Clone, Debug)]
enum Step {
    /// So many bytes.
    Push(usize),
    Grant(u64),
    Take,
    /// This share of what was sent, in percent.
    Acknowledge(u64),
    /// The receiver is back and has this share of what was not acknowledged.
    Rewind(u64),
    HandOver,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop_oneof![1usize..200, 8_000usize..40_000].prop_map(Step::Push),
        2 => (1u64..100_000).prop_map(Step::Grant),
        3 => Just(Step::Take),
        1 => (0u64..=100).prop_map(Step::Acknowledge),
        1 => (0u64..=100).prop_map(Step::Rewind),
        1 => Just(Step::HandOver),
    ]
}

/// Two queues of the same messages, and what has come out of them.
struct Both {
    queues: [Queue; 2],
    /// On the stream of now.
    taken: [Vec<u8>; 2],
    /// The position of the frame before it.
    begun: u64,
}

impl Both {
    fn each(&mut self, mut each: impl FnMut(&mut Queue, &mut Vec<u8>)) {
        self.queues.iter_mut().zip(&mut self.taken).for_each(|(queue, taken)| each(queue, taken));
    }

    fn take_all(&mut self) {
        self.each(|queue, taken| {
            while let Some(bytes) = queue.take(0, &mut Origins::default()) {
                taken.extend_from_slice(&bytes);
            }
        });
    }

    /// Frames of the stream that the receiver has whole.
    fn received(&self) -> u64 {
        let mut frames = self.begun;
        let mut count = |_, _: &[u8]| {
            frames += 1;
            Ok::<(), FrameError>(())
        };
        Splitter::new(usize::MAX).split(&self.taken[0], &mut count).unwrap();
        frames
    }
}

fn unacknowledged(queue: &Queue) -> Vec<(Vec<u8>, u64)> {
    let mut all = Vec::new();
    queue.unacknowledged(|body, _, expires_ms| all.push((body.to_vec(), expires_ms)));
    all
}

proptest! {
    /// Whether the memory of a large message is shared or copied, the same bytes come out.
    #[test]
    fn shared_bodies_make_the_same_stream(steps in prop::collection::vec(step(), 1..60)) {
        let queue = || {
            let mut queue = Queue::new(Class::Event, 0);
            queue.keeps = true;
            queue
        };
        let mut both = Both { queues: [queue(), queue()], taken: [Vec::new(), Vec::new()], begun: 0 };
        let (mut fill, mut granted) = (0u8, 0);
        for step in steps {
            match step {
                Step::Push(length) => {
                    fill = fill.wrapping_add(1);
                    let mut body = vec![fill; length];
                    // It names nothing that would have to be told.
                    body[0] = NO_FIELD;
                    let body = Bytes::from(body);
                    let large = if length < 8_000 { Shared::Copied(&body) } else { Shared::Kept(&body) };
                    for (queue, shared) in both.queues.iter_mut().zip([Shared::Copied(&body), large]) {
                        queue.append(Entry { shared, ..entry(&[], "") }, &mut Origins::default());
                    }
                }
                Step::Grant(bytes) => {
                    granted += bytes;
                    both.each(|queue, _| queue.grant(granted));
                }
                Step::Take => both.take_all(),
                Step::Acknowledge(percent) => {
                    let (from, to) = (both.queues[0].acknowledged(), both.received());
                    let position = from + (to - from) * percent / 100;
                    both.each(|queue, _| assert!(queue.acknowledge(position, &mut Origins::default())));
                }
                Step::Rewind(percent) => {
                    let (from, to) = (both.queues[0].acknowledged(), both.received());
                    let position = from + (to - from) * percent / 100;
                    granted = 0;
                    both.each(|queue, taken| {
                        taken.clear();
                        queue.suspend(usize::MAX, &mut Origins::default());
                        assert!(queue.rewind(position, &mut Origins::default()));
                        queue.come_back(0);
                    });
                    both.begun = position;
                }
                Step::HandOver => {
                    (granted, both.begun) = (0, 0);
                    both.each(|queue, taken| {
                        taken.clear();
                        queue.suspend(usize::MAX, &mut Origins::default());
                        queue.hand_over(|_, _| ());
                        queue.come_back(0);
                    });
                }
            }
            let [copied, kept] = &both.queues;
            prop_assert_eq!(unacknowledged(copied), unacknowledged(kept));
            prop_assert_eq!(copied.position(), kept.position());
            prop_assert_eq!(copied.backlog(), kept.backlog());
            prop_assert_eq!(&both.taken[0], &both.taken[1]);
        }
        both.each(|queue, _| queue.grant(u64::MAX));
        both.take_all();
        prop_assert_eq!(&both.taken[0], &both.taken[1]);
    }
}

/// A tag of no wire type.
const NO_FIELD: u8 = 7;

#[test]
fn a_large_message_of_no_use_any_more_is_not_sent() {
    let mut queue = Queue::new(Class::Event, u64::MAX);
    let body = Bytes::from(vec![NO_FIELD; 20_000]);
    for expires_ms in [5, 20] {
        let shared = Shared::Kept(&body);
        queue.append(Entry { shared, expires_ms, ..entry(&[], "") }, &mut Origins::default());
    }
    let mut stream = Vec::new();
    while let Some(bytes) = queue.take(10, &mut Origins::default()) {
        stream.extend_from_slice(&bytes);
    }
    let mut kinds = Vec::new();
    let split = Splitter::new(usize::MAX).split(&stream, |kind, body| {
        kinds.push((kind, body.len()));
        Ok::<(), FrameError>(())
    });
    split.unwrap();
    assert_eq!(kinds, [(kind::EXPIRED, 0), (kind::DELIVER, 20_000)]);
    assert_eq!((queue.take_expired(), queue.backlog()), (1, 0));
}

/// It may die with what it has received: then the next process is to get that.
#[test]
fn what_was_received_and_not_acknowledged_is_kept_over_a_new_connection() {
    let mut queue = Queue::new(Class::Event, u64::MAX);
    queue.keeps = true;
    let origins = &mut Origins::default();
    let publisher = origins.add(Whose::Publisher(1), 0);
    let mark = origins.open(publisher);
    for body in 1..=5u8 {
        queue.append(Entry { mark, ..entry(&[NO_FIELD, body], "") }, origins);
    }
    origins.close(mark, 5);
    assert_eq!(drain(&mut queue).len(), 5);
    assert!(queue.acknowledge(1, origins));
    queue.suspend(CLIENT_AWAY_BYTES, origins);
    assert!(queue.rewind(3, origins));
    queue.come_back(u64::MAX);
    let sent = drain(&mut queue);
    assert_eq!(sent.iter().map(|(_, body)| body[1]).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(origins.settled(publisher), 0);

    queue.suspend(CLIENT_AWAY_BYTES, origins);
    queue.hand_over(|_, _| ());
    queue.come_back(u64::MAX);
    let sent = drain(&mut queue);
    assert_eq!(sent.iter().map(|(_, body)| body[1]).collect::<Vec<_>>(), [2, 3, 4, 5]);
    assert!(queue.acknowledge(4, origins));
    assert_eq!((origins.settled(publisher), queue.weight()), (5, 0));
}

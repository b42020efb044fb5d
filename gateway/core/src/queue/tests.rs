use super::*;
use crate::origins::Whose;
use macula_proto::frame::{FrameError, Splitter};

fn entry<'a>(shared: &'a [u8], key: &'a str) -> Entry<'a> {
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

use super::*;
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

/// Fills the queue up to where policies begin to matter.
fn behind(class: Class) -> Queue {
    let mut queue = Queue::new(class, u64::MAX);
    let body = vec![0; 64 << 10];
    while queue.backlog() + body.len() <= SOFT_BYTES {
        assert_eq!(
            queue.push(entry(&body, ""), Overflow::Block, false, &mut Origins::default()),
            Pushed::Queued
        );
    }
    queue
}

#[test]
fn nothing_leaves_without_credit() {
    let mut queue = Queue::new(Class::Event, 10);
    queue.push(entry(&[7; 100], ""), Overflow::Block, false, &mut Origins::default());
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
    queue.push(entry(&big(1), "a"), Overflow::Conflate, false, &mut Origins::default());
    queue.push(entry(&big(2), "b"), Overflow::Conflate, false, &mut Origins::default());
    assert_eq!(
        queue.push(entry(&big(3), "a"), Overflow::Conflate, false, &mut Origins::default()),
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
        queue.push(entry(&[9; 64 << 10], ""), Overflow::DropOldest, false, &mut Origins::default());
        assert!(queue.backlog() <= SOFT_BYTES + HIGH_BYTES);
    }
    let frames = drain(&mut queue);
    let kept = frames.iter().filter(|(kind, body)| *kind == kind::DELIVER && body[0] == 9).count();
    let told: u64 = frames
        .iter()
        .filter(|(kind, _)| *kind == kind::DROPPED)
        .map(|(_, body)| <Dropped as prost::Message>::decode(&body[..]).unwrap().count)
        .sum();
    assert_eq!(kept as u64 + told, sent);
}

#[test]
fn block_holds_publishers_until_the_backlog_is_low() {
    let mut queue = behind(Class::Event);
    while queue.push(entry(&[0; 1000], ""), Overflow::Block, false, &mut Origins::default()) == Pushed::Queued
    {
    }
    assert!(queue.wait(4, 0, 10_000));
    assert!(!queue.wait(4, 5, 10_000));
    assert!(queue.release(100).is_empty());
    while queue.backlog() >= LOW_BYTES {
        queue.take(0, &mut Origins::default()).unwrap();
    }
    assert_eq!(queue.release(100), [4]);
}

#[test]
fn an_overtaken_queue_drops_events_and_tells_the_gap() {
    let mut queue = behind(Class::Event);
    while queue.push(entry(&[0; 1000], ""), Overflow::Block, false, &mut Origins::default()) == Pushed::Queued
    {
    }
    queue.wait(4, 0, 10_000);
    assert_eq!(queue.release(10_000), [4]);
    assert_eq!(
        queue.push(entry(&[1; 1000], ""), Overflow::Block, false, &mut Origins::default()),
        Pushed::Lost
    );
    assert_eq!(
        queue.push(entry(&[1; 1000], ""), Overflow::Block, false, &mut Origins::default()),
        Pushed::Lost
    );
    let gap = drain(&mut queue).pop().unwrap();
    assert_eq!(gap, (kind::GAP, vec![8, 2]));
    assert!(queue.release(10_001).is_empty());
    assert_eq!(
        queue.push(entry(&[1; 1000], ""), Overflow::Block, false, &mut Origins::default()),
        Pushed::Queued
    );
}

#[test]
fn a_full_gateway_takes_nothing_from_those_who_read() {
    let policies =
        [Overflow::Default, Overflow::Conflate, Overflow::DropOldest, Overflow::DropNewest, Overflow::Block];
    for policy in policies {
        let mut reader = Queue::new(Class::Telemetry, u64::MAX);
        for _ in 0..100 {
            assert_eq!(
                reader.push(entry(&[0; 1000], "k"), policy, true, &mut Origins::default()),
                Pushed::Queued
            );
            reader.take(0, &mut Origins::default()).unwrap();
        }
        let mut sleeper = behind(Class::Telemetry);
        sleeper.push(entry(&[0; 1000], "k"), policy, true, &mut Origins::default());
        assert!(sleeper.owes_loss(), "{policy:?}");
    }
    assert_eq!(
        behind(Class::Telemetry).push(entry(&[0], ""), Overflow::Disconnect, true, &mut Origins::default()),
        Pushed::Disconnect
    );
}

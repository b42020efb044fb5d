use super::*;
use crate::inbox::Inbox;
use crate::session::Opening;
use macula_proto::frame;
use std::collections::VecDeque;
use std::task::{Context, Waker};
use std::time::Duration;

struct Bench {
    subscriptions: Subscriptions,
    inboxes: Vec<Arc<Inbox>>,
}

impl Bench {
    fn new(count: usize, request: &v1::Subscribe) -> Self {
        let mut bench = Self { subscriptions: Subscriptions::default(), inboxes: Vec::new() };
        for _ in 0..count {
            let added = bench.subscriptions.add(request.clone(), false);
            bench.subscriptions.acknowledge(added.request.subscription, v1::Acknowledged::default());
            bench.inboxes.push(added.inbox);
        }
        bench
    }

    fn receive(&mut self, intake: &mut Intake, chunk: &[u8]) -> Result<u64, Violation> {
        let waiting = intake.receive(&Bytes::copy_from_slice(chunk), &mut self.subscriptions);
        self.subscriptions.hand_over();
        waiting
    }

    fn seen(&self, index: usize) -> Vec<String> {
        let (mut blocks, mut context) = (VecDeque::new(), Context::from_waker(Waker::noop()));
        let _ = self.inboxes[index].poll_swap(&mut blocks, &mut None, &mut context);
        blocks.into_iter().flatten().map(|notification| show(&notification)).collect()
    }
}

fn show(notification: &Notification) -> String {
    match notification {
        Notification::Message(message) => {
            let payload = std::str::from_utf8(message.payload()).unwrap();
            format!("{} {} {} {}", message.topic(), message.key(), message.sequence(), payload)
        }
        other => format!("{other:?}"),
    }
}

fn aliases(out: &mut Vec<u8>) {
    for (alias, topic) in [(3, "a"), (9, "b")] {
        let told = v1::TopicAlias { alias, topic: topic.into(), content_type: "text/plain".into() };
        frame::put_message(out, kind::TOPIC_ALIAS, &told);
    }
    let told = v1::PublisherAlias { alias: 1, publisher: vec![7; 16].into(), epoch: 5 };
    frame::put_message(out, kind::PUBLISHER_ALIAS, &told);
}

fn deliver(out: &mut Vec<u8>, subscriptions: &[u32], topic: u32, sequence: u64, payload: &str) {
    let message = v1::Message { payload: payload.to_owned().into(), key: "k".into(), ..Default::default() };
    let deliver = v1::Deliver {
        subscriptions: subscriptions.to_vec(),
        topic,
        publisher: 1,
        sequence,
        message: Some(message),
        ..Default::default()
    };
    frame::put_message(out, kind::DELIVER, &deliver);
}

#[test]
fn each_matching_subscription_gets_the_message_in_order_however_the_bytes_are_cut() {
    let mut stream = Vec::new();
    aliases(&mut stream);
    deliver(&mut stream, &[1], 3, 1, "one");
    deliver(&mut stream, &[1, 2], 9, 2, "two");
    frame::put_message(&mut stream, kind::DROPPED, &v1::Dropped { count: 4 });
    deliver(&mut stream, &[2, 77], 3, 7, "three");
    for cut in 1..stream.len() {
        let (mut bench, mut intake) =
            (Bench::new(2, &v1::Subscribe::default()), Intake::new(Class::Telemetry));
        let waiting: u64 = stream.chunks(cut).map(|chunk| bench.receive(&mut intake, chunk).unwrap()).sum();
        assert!(waiting > 0);
        assert_eq!(bench.seen(0), ["a k 1 one", "b k 2 two", "Dropped(4)"], "cut at {cut}");
        assert_eq!(bench.seen(1), ["b k 2 two", "Dropped(4)", "a k 7 three"], "cut at {cut}");
    }
}

#[test]
fn an_alias_that_is_told_again_leaves_earlier_messages_alone() {
    let (mut bench, mut intake) = (Bench::new(1, &v1::Subscribe::default()), Intake::new(Class::Event));
    let mut stream = Vec::new();
    aliases(&mut stream);
    deliver(&mut stream, &[1], 3, 1, "before");
    let told = v1::TopicAlias { alias: 3, topic: "c".into(), ..Default::default() };
    frame::put_message(&mut stream, kind::TOPIC_ALIAS, &told);
    deliver(&mut stream, &[1], 3, 2, "after");
    bench.receive(&mut intake, &stream).unwrap();
    assert_eq!(bench.seen(0), ["a k 1 before", "c k 2 after"]);
}

#[test]
fn the_retained_values_end_when_both_classes_have_said_so() {
    let request = v1::Subscribe { retained: true, ..Default::default() };
    let mut bench = Bench::new(1, &request);
    let mut end = Vec::new();
    frame::put_message(&mut end, kind::RETAINED_END, &v1::RetainedEnd { subscription: 1 });
    bench.receive(&mut Intake::new(Class::Event), &end).unwrap();
    assert!(bench.seen(0).is_empty());
    bench.receive(&mut Intake::new(Class::Telemetry), &end).unwrap();
    assert_eq!(bench.seen(0), ["RetainedEnd"]);
}

#[test]
fn only_another_gateway_is_told_as_a_gap_of_unknown_extent() {
    let mut bench = Bench::new(1, &v1::Subscribe::default());
    let again = bench.subscriptions.restart(Opening::Anew { moved: false }).subscribe;
    assert!(again[0].recover, "the gateway tells what it cannot recover");
    assert!(bench.seen(0).is_empty());
    let again = bench.subscriptions.restart(Opening::Anew { moved: true }).subscribe;
    assert!(!again[0].recover, "it has nothing to recover");
    assert_eq!(bench.seen(0), ["Gap(None)"]);
    let requests = bench.subscriptions.restart(Opening::Resumed);
    assert!(requests.subscribe.is_empty(), "it stands");
    assert!(bench.seen(0).is_empty());
}

#[test]
fn a_session_that_goes_on_goes_on_behind_the_last_whole_frame() {
    let mut stream = Vec::new();
    aliases(&mut stream);
    let mut ends = Vec::new();
    for (sequence, payload) in (1..).zip(["one", "two", "three"]) {
        deliver(&mut stream, &[1], if sequence == 2 { 9 } else { 3 }, sequence, payload);
        ends.push(stream.len());
    }
    let expected = ["a k 1 one", "b k 2 two", "a k 3 three"];
    for cut in 0..stream.len() {
        let (mut bench, mut intake) = (Bench::new(1, &v1::Subscribe::default()), Intake::new(Class::Event));
        bench.receive(&mut intake, &stream[..cut]).unwrap();
        let whole = whole_frames(&stream[..cut]);
        assert_eq!(intake.position(), whole.1);
        intake.restart(true);
        bench.receive(&mut intake, &stream[whole.0..]).unwrap();
        assert_eq!(
            (bench.seen(0), intake.position()),
            (expected.map(str::to_owned).to_vec(), 6),
            "cut at {cut}"
        );
    }
}

/// End and number of the whole frames at the start of these bytes.
fn whole_frames(bytes: &[u8]) -> (usize, u64) {
    let (mut at, mut count) = (0, 0);
    while let Ok(Some((length, taken))) = macula_proto::varint::get(&bytes[at..]) {
        if at + taken + length as usize > bytes.len() {
            break;
        }
        at += taken + length as usize;
        count += 1;
    }
    (at, count)
}

#[test]
fn what_is_sent_again_and_was_seen_is_dropped_and_counts_as_received() {
    let (mut bench, mut intake) = (Bench::new(1, &v1::Subscribe::default()), Intake::new(Class::Event));
    let resent = |sequence: u64, payload: &str| {
        let message =
            v1::Message { payload: payload.to_owned().into(), key: "k".into(), ..Default::default() };
        let deliver = v1::Deliver {
            subscriptions: vec![1],
            topic: 3,
            publisher: 1,
            sequence,
            resent: true,
            message: Some(message),
            ..Default::default()
        };
        let mut out = Vec::new();
        frame::put_message(&mut out, kind::DELIVER, &deliver);
        out
    };
    let mut stream = Vec::new();
    aliases(&mut stream);
    deliver(&mut stream, &[1], 3, 5, "five");
    bench.receive(&mut intake, &stream).unwrap();
    // Another session: aliases and frames begin anew, what was seen of the publisher is remembered.
    intake.restart(false);
    let mut stream = Vec::new();
    aliases(&mut stream);
    stream.extend(resent(4, "four"));
    stream.extend(resent(5, "five"));
    stream.extend(resent(6, "six"));
    bench.receive(&mut intake, &stream).unwrap();
    assert_eq!(bench.seen(0), ["a k 5 five", "a k 6 six"]);
    assert_eq!(intake.position(), 6);
}

#[test]
fn what_a_group_sends_again_is_known_by_itself_and_not_by_what_came_later() {
    let request = v1::Subscribe { group: "g".into(), ..Default::default() };
    let (mut bench, mut intake) = (Bench::new(2, &request), Intake::new(Class::Event));
    let mut stream = Vec::new();
    aliases(&mut stream);
    let event = |subscription: u32, sequence: u64, resent: bool| {
        let message = v1::Message { payload: "x".into(), key: "k".into(), ..Default::default() };
        let (subscriptions, message) = (vec![subscription], Some(message));
        let deliver = v1::Deliver {
            subscriptions,
            topic: 3,
            publisher: 1,
            sequence,
            resent,
            message,
            ..Default::default()
        };
        let mut out = Vec::new();
        frame::put_message(&mut out, kind::DELIVER, &deliver);
        out
    };
    stream.extend([event(1, 2, false), event(1, 7, false), event(2, 8, false)].concat());
    bench.receive(&mut intake, &stream).unwrap();
    intake.restart(false);
    let mut stream = Vec::new();
    aliases(&mut stream);
    // Five was another member's, which is gone.
    stream.extend([event(1, 2, true), event(1, 5, true), event(1, 7, true), event(2, 7, true)].concat());
    bench.receive(&mut intake, &stream).unwrap();
    assert_eq!(bench.seen(0), ["a k 2 x", "a k 7 x", "a k 5 x"]);
    assert_eq!(bench.seen(1), ["a k 8 x", "a k 7 x"], "each subscription by itself");
}

#[test]
fn a_retained_value_says_nothing_about_what_was_seen() {
    let (mut bench, mut intake) = (Bench::new(1, &v1::Subscribe::default()), Intake::new(Class::Event));
    let mut stream = Vec::new();
    aliases(&mut stream);
    for (sequence, retained, resent) in [
        (9, true, false),
        (3, false, true),
        (3, false, true),
        (2, true, true),
        (4, true, true),
        (2, true, false),
    ] {
        let deliver = v1::Deliver {
            subscriptions: vec![1],
            topic: 3,
            publisher: 1,
            sequence,
            retained,
            resent,
            message: Some(v1::Message { payload: "x".into(), key: "k".into(), ..Default::default() }),
            ..Default::default()
        };
        frame::put_message(&mut stream, kind::DELIVER, &deliver);
    }
    bench.receive(&mut intake, &stream).unwrap();
    assert_eq!(bench.seen(0), ["a k 9 x", "a k 3 x", "a k 4 x", "a k 2 x"]);
}

#[test]
fn inherited_subscriptions_keep_what_comes_until_they_are_claimed_by_pattern_and_group() {
    let mut subscriptions = Subscriptions::default();
    let inherited = |subscription: u32, pattern: &str, group: &str| v1::Inherited {
        subscription,
        pattern: pattern.into(),
        group: group.into(),
    };
    let now = Instant::now();
    let list = [inherited(4, "a", ""), inherited(9, "a", "g"), inherited(2, "b", "")];
    subscriptions.inherit(&list, now + Duration::from_secs(10));
    let (mut intake, mut stream) = (Intake::new(Class::Event), Vec::new());
    aliases(&mut stream);
    deliver(&mut stream, &[4, 2], 3, 1, "one");
    intake.receive(&Bytes::from(stream), &mut subscriptions).unwrap();
    subscriptions.hand_over();
    let request = |pattern: &str, group: &str| v1::Subscribe {
        pattern: pattern.into(),
        group: group.into(),
        retained: true,
        ..Default::default()
    };
    let claimed = subscriptions.add(request("a", ""), true);
    assert_eq!(claimed.request.subscription, 4);
    assert!(claimed.request.retained, "its own wishes count");
    assert_eq!(claimed.inbox.drain().into_iter().flatten().count(), 1);
    assert_eq!(subscriptions.add(request("a", "h"), true).request.subscription, 10, "another group");
    assert_eq!(subscriptions.add(request("a", ""), true).request.subscription, 11, "claimed once");
    assert!(subscriptions.expire(now).is_empty());
    let mut expired = subscriptions.expire(now + Duration::from_secs(10));
    expired.sort_by_key(|expired| expired.number);
    let numbers: Vec<(u32, usize)> =
        expired.iter().map(|expired| (expired.number, expired.inbox.drain().len())).collect();
    assert_eq!(numbers, [(2, 1), (9, 0)]);
    let mut given_up = subscriptions.restart(Opening::Resumed).unsubscribe;
    given_up.sort_unstable();
    assert_eq!(given_up, [2, 9], "the word may have been lost");
}

#[test]
fn an_alias_that_was_never_told_breaks_the_protocol() {
    let (mut bench, mut intake) = (Bench::new(1, &v1::Subscribe::default()), Intake::new(Class::Event));
    let mut stream = Vec::new();
    deliver(&mut stream, &[1], 3, 1, "x");
    assert!(matches!(bench.receive(&mut intake, &stream), Err(Violation::Other(_))));
}

#[test]
fn nonsense_never_panics() {
    let (mut bench, mut intake) = (Bench::new(1, &v1::Subscribe::default()), Intake::new(Class::Event));
    for kind in 0..=255u8 {
        let mut stream = Vec::new();
        frame::put(&mut stream, kind, &[0x0a, 0xff, 0x01]);
        let _ = bench.receive(&mut intake, &stream);
    }
}

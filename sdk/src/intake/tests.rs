use super::*;
use crate::inbox::Inbox;
use macula_proto::frame;
use std::collections::VecDeque;
use std::task::{Context, Waker};

struct Bench {
    subscriptions: Subscriptions,
    inboxes: Vec<Arc<Inbox>>,
}

impl Bench {
    fn new(count: usize, request: &v1::Subscribe) -> Self {
        let mut bench = Self { subscriptions: Subscriptions::default(), inboxes: Vec::new() };
        for _ in 0..count {
            let inbox = Arc::new(Inbox::default());
            let (request, _) = bench.subscriptions.add(request.clone(), Arc::clone(&inbox));
            bench.subscriptions.acknowledge(request.subscription, v1::Acknowledged::default());
            bench.inboxes.push(inbox);
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
fn a_reconnect_is_told_as_a_gap_of_unknown_extent() {
    let mut bench = Bench::new(1, &v1::Subscribe::default());
    assert_eq!(bench.subscriptions.restart().len(), 1);
    assert_eq!(bench.seen(0), ["Gap(None)"]);
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

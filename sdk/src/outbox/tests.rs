use super::*;
use macula_proto::Topic;
use macula_proto::frame::{FrameError, Splitter};
use macula_proto::v1::{Limits, Publish, TopicAlias};
use prost::Message as _;

#[derive(Debug, PartialEq)]
enum Frame {
    Alias(u32, String),
    Publish(u32, u64),
}
use Frame::{Alias, Publish as Sent};

fn name(topic: &'static str) -> Name {
    Name { topic: Topic::from_static(topic), content_type: "".into() }
}

fn welcome(accepted: u64) -> Welcome {
    Welcome { accepted, ..Welcome::default() }
}

fn push(outbox: &mut Outbox, topic: &'static str) -> u64 {
    outbox.push(&name(topic), None, &wire::Message::new(b"payload", "")).unwrap().sequence
}

fn frames(outbox: &mut Outbox) -> Vec<Frame> {
    let mut splitter = Splitter::new(1 << 20);
    let mut frames = Vec::new();
    while let Some(bytes) = outbox.take() {
        let split = splitter.split(&bytes, |kind, body| {
            frames.push(match kind {
                kind::TOPIC_ALIAS => {
                    let told = TopicAlias::decode(body).unwrap();
                    Alias(told.alias, told.topic)
                }
                _ => {
                    let publish = Publish::decode(body).unwrap();
                    Sent(publish.topic, publish.sequence)
                }
            });
            Ok::<(), FrameError>(())
        });
        split.unwrap();
    }
    frames
}

#[test]
fn unaccepted_events_are_sent_again_in_order_behind_their_aliases() {
    let mut outbox = Outbox::new(Class::Event, 1 << 20);
    outbox.open(1 << 20, &welcome(0));
    for topic in ["a", "b", "a"] {
        push(&mut outbox, topic);
    }
    assert_eq!(
        frames(&mut outbox),
        [Alias(0, "a".into()), Sent(0, 1), Alias(1, "b".into()), Sent(1, 2), Sent(0, 3)]
    );
    outbox.accept(1);
    outbox.lose();
    push(&mut outbox, "c");
    outbox.open(1 << 20, &welcome(2));
    let again = [Alias(0, "a".into()), Alias(2, "c".into()), Sent(0, 3), Sent(2, 4)];
    assert_eq!(frames(&mut outbox), again);
}

#[test]
fn a_gateway_that_has_forgotten_does_not_get_accepted_events_again() {
    let mut outbox = Outbox::new(Class::Event, 1 << 20);
    outbox.open(1 << 20, &welcome(0));
    push(&mut outbox, "a");
    push(&mut outbox, "a");
    frames(&mut outbox);
    outbox.accept(1);
    outbox.lose();
    outbox.open(1 << 20, &welcome(0));
    assert_eq!(frames(&mut outbox), [Alias(0, "a".into()), Sent(0, 2)]);
}

#[test]
fn a_batch_cut_by_credit_is_sent_again_whole() {
    let mut outbox = Outbox::new(Class::Event, 1 << 20);
    outbox.open(5, &welcome(0));
    push(&mut outbox, "a");
    assert_eq!(outbox.take().unwrap().len(), 5);
    assert!(outbox.take().is_none());
    outbox.lose();
    outbox.open(1 << 20, &welcome(0));
    assert_eq!(frames(&mut outbox), [Alias(0, "a".into()), Sent(0, 1)]);
}

#[test]
fn events_wait_when_the_outbox_is_full_and_go_on_when_some_are_accepted() {
    let mut outbox = Outbox::new(Class::Event, 1000);
    let message = [0; 300];
    let fill = |outbox: &mut Outbox| {
        outbox.push(&name("a"), None, &wire::Message::new(&message, "")).map(|pushed| pushed.sequence)
    };
    for expected in 1..=4 {
        assert_eq!(fill(&mut outbox).unwrap(), expected, "the last one overshoots");
    }
    assert!(matches!(fill(&mut outbox), Err(NotPushed::Full)));
    outbox.open(1 << 20, &welcome(0));
    frames(&mut outbox);
    assert!(!outbox.has_room(), "sent is not accepted");
    outbox.accept(4);
    assert!(outbox.has_room());
    assert!(!outbox.has_room(), "told once");
    assert_eq!(fill(&mut outbox).unwrap(), 5);
}

#[test]
fn telemetry_is_dropped_and_counted_without_a_connection() {
    let mut outbox = Outbox::new(Class::Telemetry, 1000);
    push(&mut outbox, "a");
    outbox.open(1 << 20, &welcome(0));
    push(&mut outbox, "a");
    frames(&mut outbox);
    push(&mut outbox, "a");
    outbox.lose();
    assert_eq!(outbox.counts().dropped, 2);
    outbox.open(1 << 20, &welcome(0));
    assert_eq!(push(&mut outbox, "a"), 3);
    assert_eq!(frames(&mut outbox), [Alias(0, "a".into()), Sent(0, 3)], "the new stream is told the alias");
}

#[test]
fn waiters_hear_of_acceptance_refusal_and_the_end() {
    let mut outbox = Outbox::new(Class::Event, 1 << 20);
    outbox.open(1 << 20, &welcome(0));
    let mut answers: Vec<_> = (0..4)
        .map(|_| {
            let sequence = push(&mut outbox, "a");
            outbox.wait_for(sequence)
        })
        .collect();
    let mut all = outbox.wait_for_all();
    assert!(outbox.refuse(2, Code::PermissionDenied, "no".into()));
    outbox.accept(3);
    outbox.close();
    assert_eq!(answers[0].try_recv(), Ok(Ok(())));
    assert!(matches!(
        answers[1].try_recv(),
        Ok(Err(PublishError::Refused { code: Code::PermissionDenied, .. }))
    ));
    assert_eq!(answers[2].try_recv(), Ok(Ok(())));
    assert_eq!(answers[3].try_recv(), Ok(Err(PublishError::Closed)));
    assert_eq!(all.try_recv(), Ok(Err(PublishError::Closed)));
}

#[test]
fn a_refusal_that_nobody_waits_for_is_told_by_the_next_flush() {
    let mut outbox = Outbox::new(Class::Event, 1 << 20);
    outbox.open(1 << 20, &welcome(0));
    push(&mut outbox, "a");
    let _flush = outbox.wait_for_all();
    assert!(!outbox.refuse(1, Code::ResourceExhausted, "full".into()));
    assert_eq!(outbox.refusal(), Some((1, Code::ResourceExhausted, "full".into())));
    assert_eq!(outbox.refusal(), None);
}

#[test]
fn the_gateways_limits_hold() {
    let mut outbox = Outbox::new(Class::Event, 1 << 20);
    let limits = Limits { payload_bytes: 3, aliases: 1, ..Limits::default() };
    outbox.open(1 << 20, &Welcome { limits: Some(limits), ..welcome(0) });
    let push = |outbox: &mut Outbox, topic, payload: &[u8]| {
        outbox.push(&name(topic), None, &wire::Message::new(payload, ""))
    };
    assert!(matches!(
        push(&mut outbox, "a", b"four"),
        Err(NotPushed::Failed(PublishError::TooLarge { limit: 3, .. }))
    ));
    push(&mut outbox, "a", b"abc").unwrap();
    assert!(matches!(push(&mut outbox, "b", b""), Err(NotPushed::Full)), "the only alias is in use");
    frames(&mut outbox);
    outbox.accept(1);
    assert!(outbox.has_room());
    push(&mut outbox, "b", b"").unwrap();
    assert_eq!(frames(&mut outbox), [Alias(0, "b".into()), Sent(0, 2)]);
}

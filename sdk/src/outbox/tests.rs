use super::*;
use macula_proto::Topic;
use macula_proto::frame::{FrameError, Splitter};
use macula_proto::v1::{Limits, Publish, TopicAlias};
use prost::Message as _;

#[derive(Debug, PartialEq)]
enum Frame {
    Alias(u32, String),
    Publish(u32, u64),
    Resent(u64),
}
use Frame::{Alias, Publish as Sent, Resent as Again};

fn name(topic: &'static str) -> Name {
    Name { topic: Topic::from_static(topic), content_type: "".into() }
}

fn welcome(accepted: u64) -> Welcome {
    Welcome { accepted, ..Welcome::default() }
}

fn push(outbox: &mut Outbox, topic: &'static str) -> u64 {
    outbox.push(&name(topic), None, &wire::Message::new(b"payload", ""), false).unwrap().sequence
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
                kind::RESENT => Again(Resent::decode(body).unwrap().sequence),
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
    outbox.accept(1, None);
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
    outbox.accept(1, None);
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
        outbox.push(&name("a"), None, &wire::Message::new(&message, ""), false).map(|pushed| pushed.sequence)
    };
    for expected in 1..=4 {
        assert_eq!(fill(&mut outbox).unwrap(), expected, "the last one overshoots");
    }
    assert!(matches!(fill(&mut outbox), Err(NotPushed::Full)));
    outbox.open(1 << 20, &welcome(0));
    frames(&mut outbox);
    assert!(!outbox.has_room(), "sent is not accepted");
    outbox.accept(4, None);
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
    outbox.accept(3, None);
    outbox.close();
    assert_eq!(answers[0].try_recv(), Ok(Ok(Receipt::new(1, None))));
    assert!(matches!(
        answers[1].try_recv(),
        Ok(Err(PublishError::Refused { code: Code::PermissionDenied, .. }))
    ));
    assert_eq!(answers[2].try_recv(), Ok(Ok(Receipt::new(3, None))));
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
    let refused = Some((1, Code::ResourceExhausted, "full".into()));
    assert_eq!(outbox.failures(), Failures { refused, unanswered: 0 });
    assert_eq!(outbox.failures(), Failures::default());
}

#[test]
fn the_gateways_limits_hold() {
    let mut outbox = Outbox::new(Class::Event, 1 << 20);
    let limits = Limits { payload_bytes: 3, aliases: 1, ..Limits::default() };
    outbox.open(1 << 20, &Welcome { limits: Some(limits), ..welcome(0) });
    let push = |outbox: &mut Outbox, topic, payload: &[u8]| {
        outbox.push(&name(topic), None, &wire::Message::new(payload, ""), false)
    };
    assert!(matches!(
        push(&mut outbox, "a", b"four"),
        Err(NotPushed::Failed(PublishError::TooLarge { limit: 3, .. }))
    ));
    push(&mut outbox, "a", b"abc").unwrap();
    assert!(matches!(push(&mut outbox, "b", b""), Err(NotPushed::Full)), "the only alias is in use");
    frames(&mut outbox);
    outbox.accept(1, None);
    assert!(outbox.has_room());
    push(&mut outbox, "b", b"").unwrap();
    assert_eq!(frames(&mut outbox), [Alias(0, "b".into()), Sent(0, 2)]);
}

/// As a gateway of this run welcomes a client, which it keeps.
fn welcome_by(gateway_epoch: u64, accepted: u64, settled: u64) -> Welcome {
    Welcome { gateway_epoch, settled, ..welcome(accepted) }
}

#[test]
fn another_run_of_the_gateway_is_sent_all_that_is_not_settled() {
    let mut outbox = Outbox::new(Class::Event, 1 << 20);
    outbox.open(1 << 20, &welcome_by(1, 0, 0));
    for _ in 0..4 {
        push(&mut outbox, "a");
    }
    frames(&mut outbox);
    outbox.accept(4, None);
    outbox.settle(2);
    outbox.lose();
    push(&mut outbox, "a");
    outbox.open(1 << 20, &welcome_by(2, 0, 0));
    let again = [Again(4), Alias(0, "a".into()), Sent(0, 3), Sent(0, 4), Sent(0, 5)];
    assert_eq!(frames(&mut outbox), again);
    assert_eq!(outbox.counts().resent, 2);
    outbox.lose();
    outbox.open(1 << 20, &welcome_by(2, 4, 4));
    assert_eq!(frames(&mut outbox), [Alias(0, "a".into()), Sent(0, 5)], "this run has the others");
}

#[test]
fn of_a_batch_that_was_half_accepted_the_accepted_half_is_kept_too() {
    let mut outbox = Outbox::new(Class::Event, 1 << 20);
    outbox.open(1 << 20, &welcome_by(1, 0, 0));
    for _ in 0..3 {
        push(&mut outbox, "a");
    }
    frames(&mut outbox);
    outbox.lose();
    outbox.open(1 << 20, &welcome_by(1, 2, 0));
    assert_eq!(frames(&mut outbox), [Alias(0, "a".into()), Sent(0, 3)]);
    outbox.lose();
    outbox.open(1 << 20, &welcome_by(2, 0, 0));
    assert_eq!(frames(&mut outbox)[2..], [Sent(0, 1), Sent(0, 2), Sent(0, 3)]);
}

#[test]
fn when_it_is_full_the_oldest_accepted_events_leave_and_are_counted() {
    let mut outbox = Outbox::new(Class::Event, 1000);
    let fill = |outbox: &mut Outbox| {
        let pushed = outbox.push(&name("a"), None, &wire::Message::new(&[0; 300], ""), false);
        frames(outbox);
        pushed.map(|pushed| pushed.sequence)
    };
    outbox.open(1 << 20, &welcome_by(1, 0, 0));
    for expected in 1..=4 {
        assert_eq!(fill(&mut outbox).unwrap(), expected);
        assert_eq!(outbox.counts().unsettled, 0);
    }
    assert!(matches!(fill(&mut outbox), Err(NotPushed::Full)), "what is not accepted never leaves");
    outbox.accept(2, None);
    assert_eq!(fill(&mut outbox).unwrap(), 5);
    assert_eq!(outbox.counts().unsettled, 1, "no more than needed");
    outbox.lose();
    outbox.open(1 << 20, &welcome_by(2, 0, 0));
    let again = frames(&mut outbox);
    assert_eq!(again.iter().filter(|frame| matches!(frame, Sent(..))).count(), 4);
}

#[test]
fn who_waits_for_one_event_learns_how_many_it_matched() {
    let mut outbox = Outbox::new(Class::Event, 1 << 20);
    outbox.open(1 << 20, &welcome_by(1, 0, 0));
    let mut answers = [(); 3].map(|()| {
        let sequence = push(&mut outbox, "a");
        outbox.wait_for(sequence)
    });
    outbox.accept(2, Some(7));
    outbox.accept(3, None);
    let matches = answers.each_mut().map(|answer| answer.try_recv().unwrap().unwrap().matches());
    assert_eq!(matches, [None, Some(7), None]);
}

#[test]
fn an_answer_that_was_lost_with_the_connection_is_not_taken_for_an_acceptance() {
    let mut outbox = Outbox::new(Class::Event, 1 << 20);
    outbox.open(1 << 20, &welcome_by(1, 0, 0));
    let mut answers = [(); 2].map(|()| {
        let sequence = push(&mut outbox, "a");
        outbox.wait_for(sequence)
    });
    push(&mut outbox, "a");
    let mut flush = outbox.wait_for_all();
    outbox.accept(1, None);
    outbox.lose();
    outbox.open(1 << 20, &welcome_by(1, 3, 0));
    assert!(answers[0].try_recv().unwrap().is_ok());
    assert_eq!(answers[1].try_recv(), Ok(Err(PublishError::Unanswered)));
    assert!(flush.try_recv().unwrap().is_ok());
    assert_eq!(outbox.failures().unanswered, 1, "the one that nobody waited for");
}

#[test]
fn settled_is_waited_for_apart_from_accepted() {
    let mut outbox = Outbox::new(Class::Event, 1 << 20);
    outbox.open(1 << 20, &welcome_by(1, 0, 0));
    push(&mut outbox, "a");
    frames(&mut outbox);
    let mut settled = outbox.wait_for_settled();
    outbox.accept(1, None);
    assert!(!outbox.is_quiet());
    assert!(settled.try_recv().is_err());
    outbox.settle(1);
    assert!(settled.try_recv().unwrap().is_ok());
}

#[test]
fn what_a_leaving_gateway_has_not_been_sent_waits_for_the_next_one() {
    let mut outbox = Outbox::new(Class::Event, 1 << 20);
    outbox.open(15, &welcome_by(1, 0, 0));
    push(&mut outbox, "a");
    assert_eq!(outbox.take().unwrap().len(), 15, "the credit ends within a batch");
    outbox.hold();
    push(&mut outbox, "a");
    outbox.grant(1 << 20);
    assert!(outbox.take().is_some(), "which is finished, with all that is in it");
    push(&mut outbox, "a");
    assert!(outbox.take().is_none());
    assert!(!outbox.is_quiet());
    outbox.settle(1);
    assert!(outbox.is_quiet(), "the others were not sent");
    outbox.lose();
    outbox.open(1 << 20, &welcome_by(2, 0, 0));
    assert_eq!(frames(&mut outbox), [Alias(0, "a".into()), Sent(0, 2), Sent(0, 3)]);
}

mod model {
    //! Random lives of an outbox against gateways that check what they are sent.

    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    const TOPICS: [&str; 5] = ["a", "b", "c", "d", "e"];

    #[derive(Clone, Debug)]
    enum Step {
        Push(usize),
        /// The gateway reads everything that may be sent, with so much more credit.
        Read(u64),
        Accept(prop::sample::Index),
        Settle(prop::sample::Index),
        /// The connection is lost; the gateway may have died too.
        Lose(bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..TOPICS.len()).prop_map(Step::Push),
            4 => (0..200u64).prop_map(Step::Read),
            2 => any::<prop::sample::Index>().prop_map(Step::Accept),
            2 => any::<prop::sample::Index>().prop_map(Step::Settle),
            1 => any::<bool>().prop_map(Step::Lose),
        ]
    }

    /// One run of a gateway and the connection to it.
    #[derive(Default)]
    struct Gateway {
        epoch: u64,
        /// Highest that it has read, and all before.
        read: u64,
        accepted: u64,
        settled: u64,
        credit: u64,
        splitter: Option<Splitter>,
        aliases: HashMap<u32, String>,
        resent: u64,
    }

    impl Gateway {
        fn connect(&mut self, outbox: &mut Outbox, aliases: u32) {
            // What it has read and not accepted when the connection is lost, it accepts.
            self.accepted = self.read;
            (self.credit, self.resent) = (300, 0);
            self.splitter = Some(Splitter::new(1 << 20));
            self.aliases.clear();
            let limits = Limits { aliases, ..Limits::default() };
            let welcome =
                Welcome { limits: Some(limits), ..welcome_by(self.epoch, self.accepted, self.settled) };
            outbox.open(self.credit, &welcome);
        }

        /// Reads what there is; `sent` holds the topic of each event and how far any gateway has read.
        fn read(
            &mut self,
            outbox: &mut Outbox,
            topics: &[&str],
            highest: &mut u64,
        ) -> Result<(), TestCaseError> {
            let mut frames = Vec::new();
            while let Some(bytes) = outbox.take() {
                let splitter = self.splitter.as_mut().expect("connected");
                let split = splitter.split(&bytes, |kind, body| {
                    frames.push((kind, body.to_vec()));
                    Ok::<(), FrameError>(())
                });
                split.unwrap();
            }
            for (kind, body) in frames {
                match kind {
                    kind::TOPIC_ALIAS => {
                        let told = TopicAlias::decode(&body[..]).unwrap();
                        self.aliases.insert(told.alias, told.topic);
                    }
                    kind::RESENT => self.resent = Resent::decode(&body[..]).unwrap().sequence,
                    _ => {
                        let publish = Publish::decode(&body[..]).unwrap();
                        let sequence = publish.sequence;
                        prop_assert!(
                            sequence <= *highest + 1,
                            "{sequence} leaves a hole, {highest} is known"
                        );
                        prop_assert!(
                            self.read == 0 || sequence == self.read + 1,
                            "{sequence} behind {}",
                            self.read
                        );
                        let known = sequence <= *highest && self.read < sequence;
                        prop_assert!(
                            !known || sequence <= self.resent || self.epoch == 1,
                            "{sequence} is sent to another run without a word"
                        );
                        prop_assert_eq!(&self.aliases[&publish.topic], topics[sequence as usize - 1]);
                        self.read = sequence;
                        *highest = sequence.max(*highest);
                    }
                }
            }
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_not_accepted_is_lost_and_nothing_is_sent_twice_to_one_run(
            steps in prop::collection::vec(step(), 1..150),
            limit in prop::sample::select(vec![400usize, 1 << 20]),
            aliases in prop::sample::select(vec![2u32, 100]),
        ) {
            let mut outbox = Outbox::new(Class::Event, limit);
            let mut gateway = Gateway { epoch: 1, ..Gateway::default() };
            gateway.connect(&mut outbox, aliases);
            let (mut topics, mut highest, mut settled) = (Vec::new(), 0, 0);
            for step in steps {
                match step {
                    Step::Push(topic) => {
                        let message = wire::Message::new(b"some payload", "");
                        if outbox.push(&name(TOPICS[topic]), None, &message, false).is_ok() {
                            topics.push(TOPICS[topic]);
                        }
                    }
                    Step::Read(credit) => {
                        gateway.credit += credit;
                        outbox.grant(gateway.credit);
                        gateway.read(&mut outbox, &topics, &mut highest)?;
                    }
                    Step::Accept(index) => {
                        let range = gateway.read.saturating_sub(gateway.accepted) as usize + 1;
                        gateway.accepted += index.index(range) as u64;
                        outbox.accept(gateway.accepted, None);
                    }
                    Step::Settle(index) => {
                        let range = gateway.accepted.saturating_sub(gateway.settled) as usize + 1;
                        gateway.settled += index.index(range) as u64;
                        settled = gateway.settled.max(settled);
                        outbox.settle(gateway.settled);
                    }
                    Step::Lose(dies) => {
                        outbox.lose();
                        if dies {
                            let accepted = gateway.accepted;
                            gateway = Gateway { epoch: gateway.epoch + 1, ..Gateway::default() };
                            gateway.connect(&mut outbox, aliases);
                            gateway.credit = 1 << 20;
                            outbox.grant(gateway.credit);
                            gateway.read(&mut outbox, &topics, &mut highest)?;
                            // It has everything behind what left: what is settled, or accepted and crowded out.
                            if (topics.len() as u64) > accepted.max(settled) {
                                prop_assert_eq!(gateway.read, topics.len() as u64);
                            }
                        } else {
                            gateway.connect(&mut outbox, aliases);
                        }
                    }
                }
            }
        }
    }
}

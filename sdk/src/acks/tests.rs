use super::*;
use crate::message::Class;
use proptest::prelude::*;
use std::collections::BTreeSet;

const WINDOW: u64 = 4_000;

/// A block with this many items from `first` on, as the intake stages it.
fn block(manual: Option<u32>, first: u64, positions: &[u64]) -> Block {
    let mut block = Block::default();
    block.reset(Class::Event, 1, manual, first);
    for &position in positions {
        block.notice(crate::subscription::Notification::RetainedEnd, 10, position);
    }
    block
}

fn receive(acks: &Acks, position: u64, blocks: &mut [Block]) {
    acks.receive(position, |holder| blocks.iter_mut().for_each(|block| holder.hold(block)));
}

fn due(acks: &Acks) -> Option<u64> {
    let mut told = None;
    acks.flush(|position| told = Some(position));
    told
}

#[test]
fn frames_for_nobody_are_done_when_they_have_come() {
    let acks = Acks::new(WINDOW);
    receive(&acks, 3, &mut []);
    assert_eq!(due(&acks), Some(3));
    assert_eq!(due(&acks), None, "told once");
}

#[test]
fn a_block_holds_what_follows_its_first_frame() {
    let acks = Acks::new(WINDOW);
    let mut blocks = [block(None, 2, &[2]), block(None, 3, &[3])];
    receive(&acks, 9, &mut blocks);
    assert_eq!(due(&acks), Some(1));
    acks.release(&blocks[0], |_| panic!("little can wait"));
    assert_eq!(due(&acks), Some(2));
    acks.release(&blocks[1], |_| panic!("little can wait"));
    assert_eq!(due(&acks), Some(9));
}

#[test]
fn a_quarter_of_the_window_is_told_at_once() {
    let acks = Acks::new(40);
    let mut blocks = [block(None, 1, &[1])];
    receive(&acks, 1, &mut blocks);
    let mut told = None;
    acks.release(&blocks[0], |position| told = Some(position));
    assert_eq!(told, Some(1));
}

#[test]
fn messages_acknowledged_out_of_order_wait_for_those_before() {
    let acks = Acks::new(WINDOW);
    let mut blocks = [block(Some(7), 2, &[2, 4, 5])];
    receive(&acks, 6, &mut blocks);
    let first = blocks[0].hold.unwrap();
    let acknowledge = |item: usize| acks.acknowledge(7, first.plus(item), 1, 1, |_| ());
    acknowledge(1);
    assert_eq!(due(&acks), Some(1));
    acknowledge(0);
    assert_eq!(due(&acks), Some(4));
    acknowledge(2);
    assert_eq!(due(&acks), Some(6));
}

#[test]
fn a_subscription_that_is_no_more_holds_nothing() {
    let acks = Acks::new(WINDOW);
    receive(&acks, 2, &mut [block(Some(7), 1, &[1, 2])]);
    assert_eq!(due(&acks), None);
    acks.forget(7);
    assert_eq!(due(&acks), Some(2));
}

#[test]
fn what_was_told_is_told_again_on_a_new_connection_and_a_new_session_counts_anew() {
    let acks = Acks::new(WINDOW);
    let mut blocks = [block(None, 5, &[5])];
    receive(&acks, 5, &mut blocks);
    assert_eq!(due(&acks), Some(4));
    acks.restart(true);
    assert_eq!((acks.received(), due(&acks)), (5, Some(4)));
    acks.restart(false);
    let mut others = [block(None, 1, &[1])];
    receive(&acks, 1, &mut others);
    acks.release(&blocks[0], |_| ());
    assert_eq!(due(&acks), None, "a hold of the session before");
    acks.release(&others[0], |_| ());
    assert_eq!(due(&acks), Some(1));
}

/// What happens to the tracker: a read with messages for subscriptions, or the end of a hold.
#[derive(Clone, Debug)]
enum Step {
    /// Each frame names the subscriptions that it goes to.
    Read(Vec<BTreeSet<u32>>),
    /// The application ends one of its holds, by index.
    End(prop::sample::Index),
    Forget(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let frames = prop::collection::vec(prop::collection::btree_set(0..4u32, 0..3), 1..6);
    prop_oneof![
        3 => frames.prop_map(Step::Read),
        4 => any::<prop::sample::Index>().prop_map(Step::End),
        1 => (2..4u32).prop_map(Step::Forget),
    ]
}

proptest! {
    /// Subscriptions 0 and 1 acknowledge by themselves, 2 and 3 by hand.
    #[test]
    fn the_position_is_that_of_the_first_frame_that_anybody_holds(steps in prop::collection::vec(step(), 1..60)) {
        let acks = Acks::new(u64::MAX);
        let (mut position, mut told) = (0, 0);
        // Open holds: subscription, frames that it keeps open, and how to end it.
        let mut open: Vec<(u32, u64, Block, usize)> = Vec::new();
        for step in steps {
            match step {
                Step::Read(frames) => {
                    let mut staged: std::collections::BTreeMap<u32, Vec<u64>> = Default::default();
                    for subscriptions in frames {
                        position += 1;
                        for subscription in subscriptions {
                            staged.entry(subscription).or_default().push(position);
                        }
                    }
                    let mut blocks: Vec<(u32, Block)> = staged
                        .iter()
                        .map(|(&number, positions)| {
                            (number, block((number >= 2).then_some(number), positions[0], positions))
                        })
                        .collect();
                    blocks.sort_by_key(|(_, block)| block.first);
                    acks.receive(position, |holder| {
                        blocks.iter_mut().for_each(|(_, block)| holder.hold(block));
                    });
                    for (number, read) in blocks {
                        let positions = &staged[&number];
                        if number < 2 {
                            open.push((number, positions[0], read, 0));
                        } else {
                            for (item, &at) in positions.iter().enumerate() {
                                let mut copy = block(Some(number), read.first, positions);
                                copy.hold = read.hold;
                                open.push((number, at, copy, item));
                            }
                        }
                    }
                }
                Step::End(index) if !open.is_empty() => {
                    let (number, _, block, item) = open.swap_remove(index.index(open.len()));
                    match number {
                        0 | 1 => acks.release(&block, |_| ()),
                        _ => acks.acknowledge(number, block.hold.unwrap().plus(item), 1, 1, |_| ()),
                    }
                }
                Step::End(_) => {}
                Step::Forget(number) => {
                    acks.forget(number);
                    open.retain(|(held, ..)| *held != number);
                }
            }
            let expected = open.iter().map(|(_, at, ..)| at - 1).min().unwrap_or(position);
            if let Some(now) = due(&acks) {
                prop_assert!(now > told);
                told = now;
            }
            prop_assert_eq!(told, expected);
        }
    }
}

#[test]
fn a_session_acknowledges_nothing_while_the_application_has_something_of_the_one_before() {
    let acks = Acks::new(WINDOW);
    let mut before = [block(None, 1, &[1]), block(Some(7), 2, &[2, 3])];
    receive(&acks, 3, &mut before);
    acks.restart(false);
    let mut blocks = [block(None, 2, &[2])];
    receive(&acks, 4, &mut blocks);
    acks.release(&blocks[0], |_| panic!("the process may yet die with what it had"));
    assert_eq!(due(&acks), None);
    acks.restart(false);
    receive(&acks, 5, &mut []);
    acks.release(&before[0], |_| panic!("there is more"));
    assert_eq!(due(&acks), None);
    acks.acknowledge(7, before[1].hold.unwrap(), 2, 1, |_| ());
    assert_eq!(due(&acks), Some(5));
}

#[test]
fn a_subscription_that_is_no_more_holds_nothing_of_sessions_before() {
    let acks = Acks::new(WINDOW);
    receive(&acks, 2, &mut [block(Some(7), 1, &[1, 2])]);
    acks.restart(false);
    receive(&acks, 3, &mut []);
    assert_eq!(due(&acks), None);
    acks.forget(7);
    assert_eq!(due(&acks), Some(3));
}

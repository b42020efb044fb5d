//! Those who wait for the answers to what was published.

use super::Answer;
use crate::error::PublishError;
use crate::publish::Receipt;
use std::collections::VecDeque;
use tokio::sync::oneshot;

/// Waiters of one class, in the order of what they wait for.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    accepted: VecDeque<Waiter>,
    settled: VecDeque<Waiter>,
}

/// Somebody who waits for everything up to a sequence.
#[derive(Debug)]
struct Waiter {
    sequence: u64,
    /// Waits for this one message and so hears of its refusal.
    own: bool,
    answer: oneshot::Sender<Answer>,
}

impl Waiters {
    /// Waits until everything up to `sequence` is answered, when only what `accepted` counts has been.
    pub(super) fn add(&mut self, sequence: u64, own: bool, accepted: u64) -> oneshot::Receiver<Answer> {
        add(&mut self.accepted, sequence, own, accepted)
    }

    /// Waits until everything up to `sequence` is settled.
    pub(super) fn add_settled(&mut self, sequence: u64, settled: u64) -> oneshot::Receiver<Answer> {
        add(&mut self.settled, sequence, false, settled)
    }

    /// Everything up to `sequence` was accepted; of one message the number of its receivers may be known.
    pub(super) fn accept(&mut self, sequence: u64, matches: Option<(u64, u32)>) {
        for waiter in due(&mut self.accepted, sequence) {
            let matches = matches.filter(|(reported, _)| waiter.own && *reported == waiter.sequence);
            let receipt = Receipt::new(waiter.sequence, matches.map(|(_, matches)| matches));
            let _ = waiter.answer.send(Ok(receipt));
        }
    }

    /// Everything up to `sequence` is settled.
    pub(super) fn settle(&mut self, sequence: u64) {
        for waiter in due(&mut self.settled, sequence) {
            let _ = waiter.answer.send(Ok(Receipt::new(waiter.sequence, None)));
        }
    }

    /// The gateway has answered what comes after `known`, up to `answered`, and the answers are lost. Who waits for one
    /// of these messages is told; gives how many others there are.
    pub(super) fn lose_answers(&mut self, known: u64, answered: u64) -> u64 {
        let mut lost = answered.saturating_sub(known);
        let mut index = 0;
        while let Some(waiter) = self.accepted.get(index).filter(|waiter| waiter.sequence <= answered) {
            if !waiter.own || waiter.sequence <= known {
                index += 1;
            } else if let Some(waiter) = self.accepted.remove(index) {
                lost -= 1;
                let _ = waiter.answer.send(Err(PublishError::Unanswered));
            }
        }
        lost
    }

    /// Takes out who waits for this one message.
    pub(super) fn take_own(&mut self, sequence: u64) -> Option<oneshot::Sender<Answer>> {
        let first = self.accepted.partition_point(|waiter| waiter.sequence < sequence);
        let own = (first..self.accepted.len())
            .take_while(|&at| self.accepted[at].sequence == sequence)
            .find(|&at| self.accepted[at].own)?;
        self.accepted.remove(own).map(|waiter| waiter.answer)
    }

    /// Nobody is going to answer.
    pub(super) fn close(&mut self) {
        for waiter in self.accepted.drain(..).chain(self.settled.drain(..)) {
            let _ = waiter.answer.send(Err(PublishError::Closed));
        }
    }
}

/// A receiver that has its answer.
pub(super) fn answered(answer: Answer) -> oneshot::Receiver<Answer> {
    let (sender, receiver) = oneshot::channel();
    let _ = sender.send(answer);
    receiver
}

fn add(queue: &mut VecDeque<Waiter>, sequence: u64, own: bool, reached: u64) -> oneshot::Receiver<Answer> {
    if sequence <= reached {
        return answered(Ok(Receipt::new(sequence, None)));
    }
    let (answer, receiver) = oneshot::channel();
    let at = queue.partition_point(|waiter| waiter.sequence <= sequence);
    queue.insert(at, Waiter { sequence, own, answer });
    receiver
}

/// Takes out who waits for no more than this.
fn due(queue: &mut VecDeque<Waiter>, reached: u64) -> impl Iterator<Item = Waiter> + '_ {
    std::iter::from_fn(move || queue.pop_front_if(|waiter| waiter.sequence <= reached))
}

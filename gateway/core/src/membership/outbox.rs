//! What foca wants done: datagrams to send, and timers to fire.

use super::run::Run;
use crate::hash::HashSet;
use crate::key::NodeId;
use foca::{Notification, Timer};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

/// First byte of a membership datagram.
pub(super) const DATAGRAM: u8 = 0x01;
/// Datagrams that wait to be taken; further ones are lost, as they may be anywhere. A guess, not measured: all of a tick
/// of a gateway with a thousand peers.
const WAITING: usize = 4_096;

/// foca's surroundings.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) now_ms: u64,
    /// Nodes that a link leads to.
    pub(super) linked: HashSet<NodeId>,
    datagrams: VecDeque<(NodeId, Vec<u8>)>,
    timers: BinaryHeap<Reverse<Due>>,
    /// Timers set so far.
    set: u64,
    /// The set of members, or what is known of one, has changed.
    pub(super) changed: bool,
    /// Datagrams for members without a link, and others that found no room.
    pub(super) unsent: u64,
}

/// A timer; those of one time fire in the order in which they were set.
#[derive(Debug)]
struct Due {
    at_ms: u64,
    number: u64,
    timer: Timer<Run>,
}

impl Outbox {
    pub(super) fn take_due(&mut self) -> Option<Timer<Run>> {
        if self.timers.peek()?.0.at_ms > self.now_ms {
            return None;
        }
        self.timers.pop().map(|Reverse(due)| due.timer)
    }

    pub(super) fn take_datagram(&mut self) -> Option<(NodeId, Vec<u8>)> {
        self.datagrams.pop_front()
    }
}

impl foca::Runtime<Run> for &mut Outbox {
    fn notify(&mut self, _: Notification<'_, Run>) {
        self.changed = true;
    }

    fn send_to(&mut self, to: Run, data: &[u8]) {
        if !self.linked.contains(&to.node) || self.datagrams.len() >= WAITING {
            self.unsent += 1;
            return;
        }
        let datagram = [&[DATAGRAM], data].concat();
        self.datagrams.push_back((to.node, datagram));
    }

    fn submit_after(&mut self, timer: Timer<Run>, after: Duration) {
        self.set += 1;
        let at_ms = self.now_ms + after.as_millis() as u64;
        self.timers.push(Reverse(Due { at_ms, number: self.set, timer }));
    }
}

impl Due {
    fn order(&self) -> (u64, u64) {
        (self.at_ms, self.number)
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

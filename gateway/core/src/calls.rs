//! Calls on their way: who asked, who answers, until when.

use crate::key::{ConnKey, ProviderKey};
use hashbrown::HashMap;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Calls that wait for their answer, under this gateway's own numbers.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    last: u64,
    pending: HashMap<u64, Pending>,
    by_caller: HashMap<(ConnKey, u64), u64>,
    deadlines: BinaryHeap<Reverse<(u64, u64)>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) caller: ConnKey,
    /// The caller's number.
    pub(crate) number: u64,
    pub(crate) callee: ConnKey,
    pub(crate) provider: ProviderKey,
}

impl Calls {
    /// Adds a call; `None` when the caller uses this number already.
    pub(crate) fn add(&mut self, pending: Pending, deadline_ms: u64) -> Option<u64> {
        let caller = (pending.caller, pending.number);
        if self.by_caller.contains_key(&caller) {
            return None;
        }
        self.last += 1;
        self.by_caller.insert(caller, self.last);
        self.pending.insert(self.last, pending);
        if self.deadlines.len() > 2 * self.pending.len() + 1024 {
            // Most calls are answered long before their deadline.
            self.deadlines.retain(|Reverse((_, call))| self.pending.contains_key(call));
        }
        self.deadlines.push(Reverse((deadline_ms, self.last)));
        Some(self.last)
    }

    /// Ends the call that `callee` was given under this number.
    pub(crate) fn answered(&mut self, callee: ConnKey, call: u64) -> Option<Pending> {
        if self.pending.get(&call)?.callee != callee {
            return None;
        }
        self.end(call)
    }

    /// Ends the call that `caller` made under its number.
    pub(crate) fn cancelled(&mut self, caller: ConnKey, number: u64) -> Option<(u64, Pending)> {
        let call = *self.by_caller.get(&(caller, number))?;
        self.end(call).map(|pending| (call, pending))
    }

    /// Ends the next call whose time is over.
    pub(crate) fn overdue(&mut self, now_ms: u64) -> Option<(u64, Pending)> {
        while let Some(&Reverse((deadline, call))) = self.deadlines.peek() {
            if self.pending.contains_key(&call) && deadline > now_ms {
                return None;
            }
            self.deadlines.pop();
            if let Some(pending) = self.end(call) {
                return Some((call, pending));
            }
        }
        None
    }

    /// Ends all calls that a connection made or was to answer.
    pub(crate) fn orphaned(&mut self, conn: ConnKey) -> Vec<(u64, Pending)> {
        let concerned = |pending: &Pending| pending.caller == conn || pending.callee == conn;
        let mut calls: Vec<u64> =
            self.pending.iter().filter(|(_, pending)| concerned(pending)).map(|(call, _)| *call).collect();
        calls.sort_unstable();
        calls.into_iter().filter_map(|call| Some((call, self.end(call)?))).collect()
    }

    /// Calls that this connection waits for.
    pub(crate) fn next_deadline_ms(&self) -> Option<u64> {
        self.deadlines.peek().map(|Reverse((deadline, _))| *deadline)
    }

    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    fn end(&mut self, call: u64) -> Option<Pending> {
        let pending = self.pending.remove(&call)?;
        self.by_caller.remove(&(pending.caller, pending.number));
        Some(pending)
    }
}

//! Calls on their way: who asked, who answers, until when, and how much of the answer the caller takes.

use crate::hash::HashMap;
use crate::key::{ConnKey, ProviderKey};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Calls that wait for their answers.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    last: u64,
    /// What each provider was asked, under the numbers that this gateway gave.
    asked: HashMap<u64, Asked>,
    /// By caller, and the caller's number.
    waiting: HashMap<(ConnKey, u64), Waiting>,
    deadlines: BinaryHeap<Reverse<(u64, u64)>>,
}

/// One provider's part in a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) caller: ConnKey,
    /// The caller's number.
    pub(crate) number: u64,
    /// Null when the gateway itself answers.
    pub(crate) callee: ConnKey,
    pub(crate) provider: ProviderKey,
    /// Bytes of results that the caller takes, counted from the start; 0 when it wants a single result.
    pub(crate) credit: u64,
    /// Bytes of results so far.
    pub(crate) sent: u64,
    /// One of several that are asked: the publisher or peer that answers.
    pub(crate) among: Option<[u8; 16]>,
}

/// What a caller waits for.
#[derive(Debug)]
enum Waiting {
    One(u64),
    /// Providers that have not ended, and how many answers there were.
    All {
        open: Vec<u64>,
        answers: u32,
    },
}

impl Calls {
    /// True when the caller has no call of this number in flight.
    pub(crate) fn is_free(&self, caller: ConnKey, number: u64) -> bool {
        !self.waiting.contains_key(&(caller, number))
    }

    /// Adds a call of one provider, whose number has to be free.
    pub(crate) fn add(&mut self, asked: Asked, deadline_ms: u64) -> u64 {
        let call = self.ask(asked, deadline_ms);
        self.waiting.insert((asked.caller, asked.number), Waiting::One(call));
        call
    }

    /// Adds a call of several providers, each with its deadline; the number has to be free.
    pub(crate) fn add_all(
        &mut self,
        caller: ConnKey,
        number: u64,
        providers: impl Iterator<Item = (Asked, u64)>,
    ) -> Vec<u64> {
        let open: Vec<u64> = providers.map(|(asked, deadline_ms)| self.ask(asked, deadline_ms)).collect();
        self.waiting.insert((caller, number), Waiting::All { open: open.clone(), answers: 0 });
        open
    }

    fn ask(&mut self, asked: Asked, deadline_ms: u64) -> u64 {
        self.last += 1;
        self.asked.insert(self.last, asked);
        if self.deadlines.len() > 2 * self.asked.len() + 1024 {
            // Most calls are answered long before their deadline.
            self.deadlines.retain(|Reverse((_, call))| self.asked.contains_key(call));
        }
        self.deadlines.push(Reverse((deadline_ms, self.last)));
        self.last
    }

    /// What was asked under this number.
    pub(crate) fn get_mut(&mut self, call: u64) -> Option<&mut Asked> {
        self.asked.get_mut(&call)
    }

    /// What `callee` was asked under this number.
    pub(crate) fn answering(&mut self, callee: ConnKey, call: u64) -> Option<&mut Asked> {
        self.asked.get_mut(&call).filter(|asked| asked.callee == callee)
    }

    /// Takes notice of how much of its results a caller takes. The provider that has to know, and its number; none when
    /// that is no news, or nothing that this call has.
    pub(crate) fn granted(&mut self, caller: ConnKey, number: u64, total: u64) -> Option<(u64, Asked)> {
        let Waiting::One(call) = *self.waiting.get(&(caller, number))? else { return None };
        let asked = self.asked.get_mut(&call)?;
        if asked.credit == 0 || total <= asked.credit {
            return None;
        }
        asked.credit = total;
        Some((call, *asked))
    }

    /// One more of several providers has answered; how many have.
    pub(crate) fn count_answer(&mut self, caller: ConnKey, number: u64) {
        if let Some(Waiting::All { answers, .. }) = self.waiting.get_mut(&(caller, number)) {
            *answers += 1;
        }
    }

    /// Ends one provider's part.
    pub(crate) fn end(&mut self, call: u64) -> Option<Asked> {
        let asked = self.asked.remove(&call)?;
        match self.waiting.get_mut(&(asked.caller, asked.number)) {
            Some(Waiting::All { open, .. }) => open.retain(|other| *other != call),
            _ => {
                self.waiting.remove(&(asked.caller, asked.number));
            }
        }
        Some(asked)
    }

    /// Ends a call of several providers once all of them have; gives the number of answers.
    pub(crate) fn finished(&mut self, caller: ConnKey, number: u64) -> Option<u32> {
        match self.waiting.get(&(caller, number))? {
            Waiting::All { open, answers } if open.is_empty() => {
                let answers = *answers;
                self.waiting.remove(&(caller, number));
                Some(answers)
            }
            _ => None,
        }
    }

    /// Ends the call that `caller` made under its number; what its providers had been asked.
    pub(crate) fn cancelled(&mut self, caller: ConnKey, number: u64) -> Vec<(u64, Asked)> {
        let open = match self.waiting.remove(&(caller, number)) {
            None => return Vec::new(),
            Some(Waiting::One(call)) => vec![call],
            Some(Waiting::All { open, .. }) => open,
        };
        open.into_iter().filter_map(|call| Some((call, self.asked.remove(&call)?))).collect()
    }

    /// The next number whose time is over; it is to be ended.
    pub(crate) fn overdue(&mut self, now_ms: u64) -> Option<u64> {
        while let Some(&Reverse((deadline, call))) = self.deadlines.peek() {
            let open = self.asked.contains_key(&call);
            if open && deadline > now_ms {
                return None;
            }
            self.deadlines.pop();
            if open {
                return Some(call);
            }
        }
        None
    }

    /// Callers' numbers of the calls that a connection made, and our numbers of those that it was to answer.
    pub(crate) fn orphaned(&self, conn: ConnKey) -> (Vec<u64>, Vec<u64>) {
        let mut made: Vec<u64> =
            self.waiting.keys().filter(|(caller, _)| *caller == conn).map(|(_, number)| *number).collect();
        let unanswered = self.asked.iter().filter(|(_, asked)| asked.callee == conn && asked.caller != conn);
        let mut unanswered: Vec<u64> = unanswered.map(|(call, _)| *call).collect();
        made.sort_unstable();
        unanswered.sort_unstable();
        (made, unanswered)
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}

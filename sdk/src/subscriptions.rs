//! The subscriptions of a client: what has to be made anew after a reconnect, and where deliveries go.

use crate::block::Block;
use crate::error::SubscribeError;
use crate::inbox::Inbox;
use crate::message::Class;
use crate::subscription::Notification;
use macula_proto::v1::{self, Code};
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use tokio::sync::oneshot;

/// All subscriptions, by the numbers that the gateway knows them by.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    last: u32,
    entries: HashMap<u32, Entry, BuildHasherDefault<NumberHasher>>,
    /// Refused on this connection after they had been made, for what may pass; asked for again.
    refused: BTreeSet<u32>,
    /// Subscriptions with a staged block.
    staged: Vec<u32>,
    serial: u64,
    /// Nothing is added any more: nobody would answer it.
    closed: bool,
}

#[derive(Debug)]
struct Entry {
    request: v1::Subscribe,
    inbox: Arc<Inbox>,
    answer: Option<oneshot::Sender<Result<v1::Acknowledged, SubscribeError>>>,
    /// It was not restored yet, and that has been logged.
    missing: bool,
    staged: Option<Block>,
    /// Serial of the chunk that the staged block ends with.
    chunk: Option<u64>,
    /// Classes whose retained values have not all come.
    retained_open: [bool; 2],
}

impl Subscriptions {
    /// Adds a subscription; gives its request and what resolves at the answer.
    pub(crate) fn add(
        &mut self,
        request: v1::Subscribe,
        inbox: Arc<Inbox>,
    ) -> (v1::Subscribe, oneshot::Receiver<Result<v1::Acknowledged, SubscribeError>>) {
        self.last += 1;
        let request = v1::Subscribe { subscription: self.last, ..request };
        let (answer, receiver) = oneshot::channel();
        let entry = Entry {
            inbox,
            answer: Some(answer),
            missing: false,
            staged: None,
            chunk: None,
            retained_open: [request.retained; 2],
            request: request.clone(),
        };
        self.entries.insert(self.last, entry);
        (request, receiver)
    }

    /// Removes a subscription; true when it was there.
    pub(crate) fn remove(&mut self, number: u32) -> bool {
        self.entries.remove(&number).is_some()
    }

    /// A new connection: the requests to send. Those that were acknowledged before are told that they may have
    /// missed messages.
    pub(crate) fn restart(&mut self) -> Vec<v1::Subscribe> {
        self.refused.clear();
        let mut requests: Vec<v1::Subscribe> = Vec::with_capacity(self.entries.len());
        for entry in self.entries.values_mut() {
            if entry.answer.is_none() {
                entry.inbox.notice(Notification::Gap(None));
            }
            entry.retained_open = [entry.request.retained; 2];
            requests.push(entry.request.clone());
        }
        requests.sort_by_key(|request| request.subscription);
        requests
    }

    /// The requests to send again: those that the gateway refused when they were to be restored, and does not hold.
    /// Their subscriptions know since the reconnect that they miss messages.
    pub(crate) fn retry(&mut self) -> Vec<v1::Subscribe> {
        let refused = std::mem::take(&mut self.refused);
        refused.iter().filter_map(|number| Some(self.entries.get(number)?.request.clone())).collect()
    }

    /// The gateway's answer to a request.
    pub(crate) fn acknowledge(&mut self, number: u32, acknowledged: v1::Acknowledged) {
        let Some(entry) = self.entries.get_mut(&number) else { return };
        let code = acknowledged.code();
        let refused = || SubscribeError::Refused {
            pattern: entry.request.pattern.clone(),
            code,
            message: acknowledged.message.clone(),
        };
        match (entry.answer.take(), code) {
            (Some(answer), Code::Ok) => {
                let _ = answer.send(Ok(acknowledged));
            }
            (Some(answer), _) => {
                let _ = answer.send(Err(refused()));
                self.entries.remove(&number);
            }
            (None, Code::Ok) => {
                if std::mem::take(&mut entry.missing) {
                    tracing::info!(pattern = entry.request.pattern, "a subscription was restored at last");
                }
            }
            (None, Code::ResourceExhausted | Code::Unavailable) => {
                if !std::mem::replace(&mut entry.missing, true) {
                    tracing::warn!(error = %refused(), "a subscription was not restored, will try again");
                }
                self.refused.insert(number);
            }
            (None, _) => {
                tracing::warn!(error = %refused(), "a subscription was not restored and ends");
                entry.inbox.close();
                self.entries.remove(&number);
            }
        }
    }

    /// The block to which deliveries of this read go, and the serial of the chunk that it ends with.
    #[inline]
    pub(crate) fn stage(&mut self, number: u32, class: Class) -> Option<(&mut Block, &mut Option<u64>)> {
        let entry = self.entries.get_mut(&number)?;
        if entry.staged.is_none() {
            self.serial += 1;
            let mut block = entry.inbox.spare().unwrap_or_default();
            block.reset(class, self.serial);
            entry.staged = Some(block);
            entry.chunk = None;
            self.staged.push(number);
        }
        Some((entry.staged.as_mut()?, &mut entry.chunk))
    }

    /// Tells every subscription, in the order of its deliveries.
    pub(crate) fn notice_all(&mut self, class: Class, notice: &Notification) {
        let numbers: Vec<u32> = self.entries.keys().copied().collect();
        for number in numbers {
            if let Some((block, _)) = self.stage(number, class) {
                block.notice(notice.clone());
            }
        }
    }

    /// The retained values of one class have come; when it was the last class, the subscription is told.
    pub(crate) fn retained_end(&mut self, number: u32, class: Class) {
        let Some(entry) = self.entries.get_mut(&number) else { return };
        let was_open = std::mem::take(&mut entry.retained_open[class as usize]);
        if was_open
            && entry.retained_open == [false; 2]
            && let Some((block, _)) = self.stage(number, class)
        {
            block.notice(Notification::RetainedEnd);
        }
    }

    /// Hands over what was staged during one read.
    pub(crate) fn hand_over(&mut self) {
        for number in self.staged.drain(..) {
            if let Some(entry) = self.entries.get_mut(&number)
                && let Some(block) = entry.staged.take()
            {
                entry.inbox.push(block);
            }
        }
    }

    /// Ends everything.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        for (_, entry) in self.entries.drain() {
            entry.inbox.close();
            if let Some(answer) = entry.answer {
                let _ = answer.send(Err(SubscribeError::Closed));
            }
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }
}

/// Numbers that count up hash well enough with one multiplication.
#[derive(Default)]
struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u32(u32::from(byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::task::{Context, Poll, Waker};

    fn answer(subscriptions: &mut Subscriptions, number: u32, code: Code) {
        let acknowledged = v1::Acknowledged { code: code.into(), ..v1::Acknowledged::default() };
        subscriptions.acknowledge(number, acknowledged);
    }

    #[test]
    fn what_is_not_restored_for_what_may_pass_is_asked_for_again_and_the_rest_ends() {
        let mut subscriptions = Subscriptions::default();
        let inboxes: [Arc<Inbox>; 2] = Default::default();
        for (number, inbox) in (1..).zip(&inboxes) {
            let _ = subscriptions.add(v1::Subscribe::default(), Arc::clone(inbox));
            answer(&mut subscriptions, number, Code::Ok);
        }
        assert_eq!(subscriptions.restart().len(), 2);
        answer(&mut subscriptions, 2, Code::PermissionDenied);
        for code in [Code::ResourceExhausted, Code::Unavailable] {
            answer(&mut subscriptions, 1, code);
            let again = subscriptions.retry();
            assert_eq!(again.iter().map(|request| request.subscription).collect::<Vec<_>>(), [1]);
            assert!(
                subscriptions.retry().is_empty(),
                "not while an answer is to come: a number is used once"
            );
        }
        answer(&mut subscriptions, 1, Code::Ok);
        assert!(subscriptions.retry().is_empty());
        let ended = inboxes.map(|inbox| {
            let (mut blocks, mut context) = (VecDeque::new(), Context::from_waker(Waker::noop()));
            assert!(inbox.poll_swap(&mut blocks, &mut None, &mut context).is_ready(), "the gap");
            blocks.clear();
            matches!(inbox.poll_swap(&mut blocks, &mut None, &mut context), Poll::Ready(false))
        });
        assert_eq!(ended, [false, true]);
    }
}

//! The subscriptions of a client: what has to be made anew after a reconnect, and where deliveries go.

use crate::block::Block;
use crate::error::SubscribeError;
use crate::inbox::Inbox;
use crate::message::Class;
use crate::subscription::Notification;
use macula_proto::v1::{self, Code};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use tokio::sync::oneshot;

/// All subscriptions, by the numbers that the gateway knows them by.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    last: u32,
    entries: HashMap<u32, Entry, BuildHasherDefault<NumberHasher>>,
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
            (None, Code::Ok) => {}
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

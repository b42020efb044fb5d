//! The subscriptions of a client: what has to be made anew after a reconnect, and where deliveries go.

use crate::acks::Holder;
use crate::block::Block;
use crate::error::SubscribeError;
use crate::inbox::Inbox;
use crate::message::Class;
use crate::numbers::ByNumber;
use crate::session::Opening;
use crate::subscription::Notification;
use macula_proto::v1::{self, Code};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

/// Numbers that were given up last and are given up again in a session that goes on, since the word may have been lost
/// with the connection. Of more than these the first have long arrived. A guess, not measured.
const GIVEN_UP: usize = 1_000;

/// All subscriptions, by the numbers that the gateway knows them by.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    last: u32,
    entries: ByNumber<u32, Entry>,
    /// Refused on this connection after they had been made, for what may pass; asked for again.
    refused: BTreeSet<u32>,
    /// Given up in this session.
    given_up: VecDeque<u32>,
    /// Subscriptions with a staged block.
    staged: Vec<u32>,
    serial: u64,
    /// Bytes that had been received, with this read, in all.
    received: u64,
    /// Losses that were told since they were last asked for.
    losses: Vec<Notification>,
    /// Nothing is added any more: nobody would answer it.
    closed: bool,
    /// Some are, or were, members of a group.
    any_shared: bool,
}

#[derive(Debug)]
struct Entry {
    request: v1::Subscribe,
    inbox: Arc<Inbox>,
    answer: Option<oneshot::Sender<Result<v1::Acknowledged, SubscribeError>>>,
    /// Its messages are acknowledged by hand.
    manual: bool,
    /// Nobody reads it: the process before made it, or its reader was dropped. It ends then, unless it is claimed.
    unclaimed: Option<Instant>,
    /// It was made before, in another session, and is to get what it missed.
    recover: bool,
    /// It was not restored yet, and that has been logged.
    missing: bool,
    staged: Option<Block>,
    /// Classes whose retained values have not all come.
    retained_open: [bool; 2],
}

/// A subscription that was added.
#[derive(Debug)]
pub(crate) struct Added {
    pub(crate) request: v1::Subscribe,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) answer: oneshot::Receiver<Result<v1::Acknowledged, SubscribeError>>,
}

/// A subscription that nobody claimed, and that has ended.
#[derive(Debug)]
pub(crate) struct Expired {
    pub(crate) number: u32,
    pub(crate) inbox: Arc<Inbox>,
}

/// What a new connection has to be told.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    pub(crate) unsubscribe: Vec<u32>,
    pub(crate) subscribe: Vec<v1::Subscribe>,
}

impl Subscriptions {
    /// Adds a subscription, or claims one of this pattern and group that nobody reads.
    pub(crate) fn add(&mut self, request: v1::Subscribe, manual: bool) -> Added {
        let (sender, answer) = oneshot::channel();
        let claimed = self.entries.iter_mut().find(|(_, entry)| {
            entry.unclaimed.is_some()
                && entry.request.pattern == request.pattern
                && entry.request.group == request.group
        });
        if let Some((&subscription, entry)) = claimed {
            entry.request = v1::Subscribe { subscription, ..request };
            (entry.manual, entry.unclaimed, entry.answer) = (manual, None, Some(sender));
            entry.retained_open = [entry.request.retained; 2];
            return Added { request: entry.request.clone(), inbox: Arc::clone(&entry.inbox), answer };
        }
        self.last += 1;
        self.any_shared |= !request.group.is_empty();
        let request = v1::Subscribe { subscription: self.last, ..request };
        let entry = Entry { answer: Some(sender), manual, ..Entry::new(request) };
        let added = Added { request: entry.request.clone(), inbox: Arc::clone(&entry.inbox), answer };
        self.entries.insert(self.last, entry);
        added
    }

    /// What the process before has subscribed to under this session's name. Each waits to be claimed until then.
    pub(crate) fn inherit(&mut self, inherited: &[v1::Inherited], until: Instant) {
        for v1::Inherited { subscription, pattern, group } in inherited {
            let request = v1::Subscribe {
                subscription: *subscription,
                pattern: pattern.clone(),
                group: group.clone(),
                ..v1::Subscribe::default()
            };
            self.any_shared |= !group.is_empty();
            self.last = self.last.max(*subscription);
            self.entries.insert(*subscription, Entry { unclaimed: Some(until), ..Entry::new(request) });
        }
    }

    /// Removes a subscription; true when it was there.
    pub(crate) fn remove(&mut self, number: u32) -> bool {
        let removed = self.entries.remove(&number).is_some();
        if removed {
            self.give_up(number);
        }
        removed
    }

    /// A subscription has lost its reader. It waits to be claimed until then.
    pub(crate) fn release(&mut self, number: u32, until: Instant) {
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.unclaimed = Some(until);
        }
    }

    /// Takes out what nobody has claimed in time.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Expired> {
        let due = |entry: &Entry| entry.unclaimed.is_some_and(|until| until <= now);
        let numbers: Vec<u32> =
            self.entries.iter().filter(|(_, entry)| due(entry)).map(|(&number, _)| number).collect();
        let mut expired = Vec::with_capacity(numbers.len());
        for number in numbers {
            if let Some(Entry { inbox, request, .. }) = self.entries.remove(&number) {
                tracing::warn!(
                    pattern = request.pattern,
                    "nobody claims a subscription of this session; it ends"
                );
                self.give_up(number);
                expired.push(Expired { number, inbox });
            }
        }
        expired
    }

    /// A new connection: the requests to send.
    pub(crate) fn restart(&mut self, opening: Opening) -> Requests {
        let mut requests = Requests::default();
        match opening {
            Opening::Resumed => {
                requests.unsubscribe.extend(&self.given_up);
                // Whether the gateway has heard these nobody knows.
                let unanswered = self.entries.values().filter(|entry| entry.answer.is_some());
                requests.subscribe.extend(unanswered.map(Entry::request));
            }
            Opening::Anew { moved } => {
                self.given_up.clear();
                self.refused.clear();
                for entry in self.entries.values_mut() {
                    let made = entry.answer.is_none();
                    entry.recover = made && !moved;
                    if made && moved {
                        entry.inbox.notice(Notification::Gap(None));
                    }
                    entry.retained_open = [entry.request.retained; 2];
                    requests.subscribe.push(entry.request());
                }
            }
        }
        requests.subscribe.sort_by_key(|request| request.subscription);
        requests
    }

    /// The requests to send again: those that the gateway refused when they were to be restored, and does not hold.
    pub(crate) fn retry(&mut self) -> Vec<v1::Subscribe> {
        let refused = std::mem::take(&mut self.refused);
        refused.iter().filter_map(|number| Some(self.entries.get(number)?.request())).collect()
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
                entry.recover = false;
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

    /// The block to which deliveries of this read go. `position` is that of the frame.
    #[inline]
    pub(crate) fn stage(&mut self, number: u32, class: Class, position: u64) -> Option<&mut Block> {
        let entry = self.entries.get_mut(&number)?;
        if entry.staged.is_none() {
            self.serial += 1;
            let mut block = entry.inbox.spare().unwrap_or_default();
            // Who will claim it may want to acknowledge each message.
            let by_message = entry.manual || entry.unclaimed.is_some();
            let manual = (by_message && class == Class::Event).then_some(number);
            let first = if class == Class::Event { position } else { 0 };
            block.reset(class, self.serial, manual, first);
            entry.staged = Some(block);
            self.staged.push(number);
        }
        entry.staged.as_mut()
    }

    /// Whether a delivery to this subscription is one of its group's.
    #[inline]
    pub(crate) fn is_shared(&self, number: u32) -> bool {
        self.any_shared && self.entries.get(&number).is_some_and(|entry| !entry.request.group.is_empty())
    }

    /// Tells every subscription, in the order of its deliveries; gives the bytes that now wait for the application.
    pub(crate) fn notice_all(
        &mut self,
        class: Class,
        notice: &Notification,
        bytes: u64,
        position: u64,
    ) -> u64 {
        let numbers: Vec<u32> = self.entries.keys().copied().collect();
        let mut waiting = 0;
        for number in numbers {
            if let Some(block) = self.stage(number, class, position) {
                block.notice(notice.clone(), bytes, position);
                waiting += bytes;
            }
        }
        self.losses.push(notice.clone());
        waiting
    }

    /// The retained values of one class have come; when it was the last class, the subscription is told.
    pub(crate) fn retained_end(&mut self, number: u32, class: Class, position: u64) {
        let Some(entry) = self.entries.get_mut(&number) else { return };
        let was_open = std::mem::take(&mut entry.retained_open[class as usize]);
        if was_open
            && entry.retained_open == [false; 2]
            && let Some(block) = self.stage(number, class, position)
        {
            block.notice(Notification::RetainedEnd, 0, position);
        }
    }

    /// Holds the frames of what is about to be handed over.
    pub(crate) fn hold(&mut self, holder: &mut Holder<'_>) {
        for number in &self.staged {
            if let Some(block) = self.entries.get_mut(number).and_then(|entry| entry.staged.as_mut()) {
                holder.hold(block);
            }
        }
    }

    /// A read has brought so many bytes of its class, all reads counted.
    pub(crate) fn received(&mut self, total: u64) {
        self.received = total;
    }

    /// Hands over what was staged during one read.
    pub(crate) fn hand_over(&mut self) {
        for number in self.staged.drain(..) {
            if let Some(entry) = self.entries.get_mut(&number)
                && let Some(mut block) = entry.staged.take()
            {
                block.at = self.received;
                entry.inbox.push(block);
            }
        }
    }

    /// Losses that the gateway has told of since this was asked last.
    pub(crate) fn losses(&mut self) -> Vec<Notification> {
        std::mem::take(&mut self.losses)
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

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What was asked for and what waits, of each.
    pub(crate) fn inboxes(&self) -> impl Iterator<Item = (&v1::Subscribe, &Inbox)> {
        self.entries.values().map(|entry| (&entry.request, &*entry.inbox))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    fn give_up(&mut self, number: u32) {
        if self.given_up.len() == GIVEN_UP {
            self.given_up.pop_front();
        }
        self.given_up.push_back(number);
    }
}

impl Entry {
    fn new(request: v1::Subscribe) -> Self {
        Self {
            inbox: Arc::default(),
            answer: None,
            manual: false,
            unclaimed: None,
            recover: false,
            missing: false,
            staged: None,
            retained_open: [request.retained; 2],
            request,
        }
    }

    fn request(&self) -> v1::Subscribe {
        v1::Subscribe { recover: self.recover, ..self.request.clone() }
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
        let inboxes = [1, 2].map(|number| {
            let added = subscriptions.add(v1::Subscribe::default(), false);
            answer(&mut subscriptions, number, Code::Ok);
            added.inbox
        });
        assert_eq!(subscriptions.restart(Opening::Anew { moved: false }).subscribe.len(), 2);
        answer(&mut subscriptions, 2, Code::PermissionDenied);
        for code in [Code::ResourceExhausted, Code::Unavailable] {
            answer(&mut subscriptions, 1, code);
            let again = subscriptions.retry();
            assert_eq!(again.iter().map(|request| request.subscription).collect::<Vec<_>>(), [1]);
            assert!(again[0].recover, "it misses more and more");
            assert!(
                subscriptions.retry().is_empty(),
                "not while an answer is to come: a number is used once"
            );
        }
        answer(&mut subscriptions, 1, Code::Ok);
        assert!(subscriptions.retry().is_empty());
        let ended = inboxes.map(|inbox| {
            let (mut blocks, mut context) = (VecDeque::new(), Context::from_waker(Waker::noop()));
            matches!(inbox.poll_swap(&mut blocks, &mut None, &mut context), Poll::Ready(false))
        });
        assert_eq!(ended, [false, true]);
    }
}

//! Answers of one call that wait for the application: parts of a stream, or what several providers say.

use crate::message::PublisherId;
use crate::register::Reply;
use macula_proto::v1::{self, Code};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

/// Answers that wait for the application at most, whatever their size: as many as the default window holds of one byte
/// each. Parts without payload cost no credit.
const ANSWERS: usize = crate::call::DEFAULT_WINDOW as usize;

/// What several providers say and the application has not taken, in bytes; what finds no room becomes an
/// error of its provider. A guess, not measured: four of the largest replies, or thousands of usual ones.
pub(crate) const GATHERED_BYTES: u64 = 64 << 20;

/// One answer, and whose it is when several are asked.
#[derive(Debug, PartialEq)]
pub(crate) struct Item {
    pub(crate) provider: PublisherId,
    pub(crate) result: Result<Reply, v1::CallError>,
}

#[derive(Debug)]
pub(crate) struct Mailbox {
    /// Bytes that may wait here.
    limit: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    bytes: u64,
    /// Nothing more will come; the error that is behind the items, if there is one.
    end: Option<Option<v1::CallError>>,
    waker: Option<Waker>,
}

impl Mailbox {
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, state: Mutex::default() }
    }

    /// Adds a part of a stream. False when there is no room, which the provider should have known: the call is over.
    #[must_use]
    pub(crate) fn push(&self, reply: Reply) -> bool {
        let mut state = self.lock();
        let bytes = reply.payload.len() as u64;
        if state.end.is_some() {
            return true;
        }
        if state.bytes + bytes > self.limit || state.items.len() >= ANSWERS {
            let message = "the provider sent more than this client takes".to_owned();
            let code = Code::ResourceExhausted.into();
            state.end = Some(Some(v1::CallError { code, message, ..v1::CallError::default() }));
        } else {
            state.bytes += bytes;
            state.items.push_back(Item { provider: PublisherId::default(), result: Ok(reply) });
        }
        let fits = state.end.is_none();
        wake(state);
        fits
    }

    /// Adds what one of several providers says. False when there are too many: the call is over.
    #[must_use]
    pub(crate) fn push_from(&self, provider: PublisherId, result: Result<Reply, v1::CallError>) -> bool {
        let mut state = self.lock();
        if state.end.is_some() {
            return true;
        }
        if state.items.len() >= ANSWERS {
            let message = format!("more than {ANSWERS} answers wait to be taken");
            let code = Code::ResourceExhausted.into();
            state.end = Some(Some(v1::CallError { code, message, ..v1::CallError::default() }));
            wake(state);
            return false;
        }
        let bytes = result.as_ref().map_or(0, |reply| reply.payload.len() as u64);
        let result = if state.bytes + bytes > self.limit {
            let message =
                format!("answers of more than {} bytes wait to be taken; this one was dropped", self.limit);
            Err(v1::CallError { code: Code::ResourceExhausted.into(), message, ..v1::CallError::default() })
        } else {
            state.bytes += bytes;
            result
        };
        state.items.push_back(Item { provider, result });
        wake(state);
        true
    }

    /// Nothing more will come.
    pub(crate) fn end(&self, error: Option<v1::CallError>) {
        let mut state = self.lock();
        state.end.get_or_insert(error);
        wake(state);
    }

    /// The next answer; at the end `None`, or the error that ended the call.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Result<Option<Item>, v1::CallError>> {
        let mut state = self.lock();
        if let Some(item) = state.items.pop_front() {
            state.bytes -= item.result.as_ref().map_or(0, |reply| reply.payload.len() as u64);
            return Poll::Ready(Ok(Some(item)));
        }
        match &mut state.end {
            Some(error) => Poll::Ready(error.take().map_or(Ok(None), Err)),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

/// Wakes the application, which may come back at once.
fn wake(mut state: MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(mailbox: &Mailbox) -> Poll<Result<Option<Item>, v1::CallError>> {
        mailbox.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn what_came_before_an_error_is_taken_before_it() {
        let mailbox = Mailbox::new(10);
        assert!(next(&mailbox).is_pending());
        assert!(mailbox.push(Reply::new("abc")));
        mailbox.end(Some(v1::CallError::default()));
        mailbox.end(None);
        assert!(mailbox.push(Reply::new("late")), "it is ignored");
        assert!(
            matches!(next(&mailbox), Poll::Ready(Ok(Some(item))) if item.result == Ok(Reply::new("abc")))
        );
        assert_eq!(next(&mailbox), Poll::Ready(Err(v1::CallError::default())));
        assert_eq!(next(&mailbox), Poll::Ready(Ok(None)), "an error is told once");
    }

    #[test]
    fn a_provider_that_sends_more_than_was_granted_ends_the_stream() {
        let mailbox = Mailbox::new(10);
        assert!(mailbox.push(Reply::new("12345678")));
        assert!(!mailbox.push(Reply::new("345")));
        assert!(matches!(next(&mailbox), Poll::Ready(Ok(Some(_)))));
        let Poll::Ready(Err(error)) = next(&mailbox) else { panic!("the call has failed") };
        assert_eq!(error.code(), Code::ResourceExhausted);
        let mailbox = Mailbox::new(10);
        let taken = (0..=ANSWERS).take_while(|_| mailbox.push(Reply::default())).count();
        assert_eq!(taken, ANSWERS, "empty parts are bounded too");
    }

    #[test]
    fn of_several_providers_only_the_one_without_room_fails() {
        let mailbox = Mailbox::new(10);
        for (provider, text) in [(1, "12345678"), (2, "too long"), (3, "ok")] {
            assert!(mailbox.push_from(PublisherId([provider; 16]), Ok(Reply::new(text))));
        }
        let codes: Vec<Option<Code>> = std::iter::from_fn(|| match next(&mailbox) {
            Poll::Ready(Ok(item)) => item.map(|item| item.result.err().map(|error| error.code())),
            _ => None,
        })
        .collect();
        assert_eq!(codes, [None, Some(Code::ResourceExhausted), None]);
    }
}

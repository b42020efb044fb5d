//! Calls that this client has made and that have not ended.

use crate::mailbox::Mailbox;
use crate::message::PublisherId;
use crate::numbers::ByNumber;
use crate::register::Reply;
use macula_proto::v1::{self, Code};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::oneshot;

/// Pending calls, by the numbers that this client gave them.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    pending: ByNumber<u64, Waiting>,
    connected: bool,
    closed: bool,
}

/// Who waits for the answer of a call.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// For a single result.
    One(oneshot::Sender<Answer>),
    /// For a stream of results.
    Stream(Arc<Mailbox>),
    /// For the answers of all providers.
    All(Arc<Mailbox>),
}

/// What ends a call for a single result.
pub(crate) type Answer = Result<Reply, v1::CallError>;

/// Why a call was not begun.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotBegun {
    NotConnected,
    Closed,
}

impl Calls {
    /// Begins a call and gives its number; `send` is told it while no connection can begin or end.
    pub(crate) fn begin(&self, waiting: Waiting, send: impl FnOnce(u64)) -> Result<u64, NotBegun> {
        let mut state = self.lock();
        if state.closed {
            return Err(NotBegun::Closed);
        }
        if !state.connected {
            return Err(NotBegun::NotConnected);
        }
        state.last += 1;
        let number = state.last;
        state.pending.insert(number, waiting);
        send(number);
        Ok(number)
    }

    /// A result has come. False when its call ends here and now, and the provider should know.
    #[must_use]
    pub(crate) fn result(&self, result: v1::CallResult) -> bool {
        let v1::CallResult { call, payload, content_type, headers, more, provider } = result;
        let reply = Reply { payload, content_type, headers, ..Reply::default() };
        let mut state = self.lock();
        let (mailbox, all) = match state.pending.get(&call) {
            None => return true,
            Some(Waiting::Stream(mailbox)) => (Arc::clone(mailbox), false),
            Some(Waiting::All(mailbox)) => (Arc::clone(mailbox), true),
            Some(Waiting::One(_)) => {
                if let Some(Waiting::One(answer)) = state.pending.remove(&call) {
                    let _ = answer.send(Ok(reply));
                }
                return true;
            }
        };
        drop(state);
        let fits = match all {
            true => mailbox.push_from(publisher(&provider), Ok(reply)),
            // A last part that says nothing at all is only the end.
            false if !more && reply.is_empty() => true,
            false => mailbox.push(reply),
        };
        if !fits {
            self.forget(call);
        } else if !more {
            self.forget(call);
            mailbox.end(None);
        }
        fits
    }

    /// An error has come. False as for [`Calls::result`].
    #[must_use]
    pub(crate) fn error(&self, error: v1::CallError) -> bool {
        let number = error.call;
        let mut state = self.lock();
        if let Some(Waiting::All(mailbox)) = state.pending.get(&number)
            && !error.provider.is_empty()
        {
            let mailbox = Arc::clone(mailbox);
            drop(state);
            let fits = mailbox.push_from(publisher(&error.provider), Err(error));
            return fits || !self.forget(number);
        }
        let waiting = state.pending.remove(&number);
        drop(state);
        if let Some(waiting) = waiting {
            waiting.fail(error);
        }
        true
    }

    /// All providers have answered.
    pub(crate) fn end(&self, number: u64) {
        let waiting = self.lock().pending.remove(&number);
        if let Some(Waiting::All(mailbox) | Waiting::Stream(mailbox)) = waiting {
            mailbox.end(None);
        }
    }

    /// Nobody waits any longer; true when the call was pending, so that its callee should know.
    pub(crate) fn forget(&self, number: u64) -> bool {
        self.lock().pending.remove(&number).is_some()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().pending.is_empty()
    }

    pub(crate) fn open(&self) {
        self.lock().connected = true;
    }

    /// The connection is lost, and with it the answers.
    pub(crate) fn lose(&self) {
        let pending = {
            let mut state = self.lock();
            state.connected = false;
            std::mem::take(&mut state.pending)
        };
        for (call, waiting) in pending {
            let message = "the connection to the gateway was lost; the call may have been carried out";
            let (code, message) = (Code::Unavailable.into(), message.to_owned());
            waiting.fail(v1::CallError { call, code, message, ..v1::CallError::default() });
        }
    }

    pub(crate) fn close(&self) {
        self.lose();
        self.lock().closed = true;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl Waiting {
    fn fail(self, error: v1::CallError) {
        match self {
            Waiting::One(answer) => {
                let _ = answer.send(Err(error));
            }
            Waiting::Stream(mailbox) | Waiting::All(mailbox) => mailbox.end(Some(error)),
        }
    }
}

fn publisher(bytes: &[u8]) -> PublisherId {
    PublisherId(bytes.try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn a_lost_connection_ends_calls_with_unavailable() {
        let calls = Calls::default();
        let begin = || {
            let (sender, answer) = oneshot::channel();
            calls.begin(Waiting::One(sender), |_| ()).map(|_| answer)
        };
        assert_eq!(begin().unwrap_err(), NotBegun::NotConnected);
        calls.open();
        let mut answer = begin().unwrap();
        let mailbox = Arc::new(Mailbox::new(100));
        calls.begin(Waiting::Stream(Arc::clone(&mailbox)), |_| ()).unwrap();
        calls.lose();
        assert_eq!(answer.try_recv().unwrap().unwrap_err().code(), Code::Unavailable);
        let ended = mailbox.poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(ended, Poll::Ready(Err(error)) if error.code() == Code::Unavailable));
        assert_eq!(begin().unwrap_err(), NotBegun::NotConnected);
    }

    #[test]
    fn an_answer_to_a_forgotten_call_is_ignored() {
        let calls = Calls::default();
        calls.open();
        let (sender, _answer) = oneshot::channel();
        let number = calls.begin(Waiting::One(sender), |_| ()).unwrap();
        assert!(calls.forget(number));
        assert!(!calls.forget(number));
        assert!(calls.result(v1::CallResult { call: number, ..v1::CallResult::default() }));
    }

    #[test]
    fn a_last_part_that_says_nothing_is_the_end_and_no_part() {
        let calls = Calls::default();
        calls.open();
        let mailbox = Arc::new(Mailbox::new(100));
        let call = calls.begin(Waiting::Stream(Arc::clone(&mailbox)), |_| ()).unwrap();
        let part = v1::CallResult { call, more: true, ..v1::CallResult::default() };
        assert!(calls.result(part.clone()), "an empty part in the middle is one");
        assert!(calls.result(v1::CallResult { more: false, ..part }));
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(mailbox.poll(&mut context), Poll::Ready(Ok(Some(_)))));
        assert_eq!(mailbox.poll(&mut context), Poll::Ready(Ok(None)));
        assert!(calls.is_empty());
    }

    #[test]
    fn one_providers_error_does_not_end_a_call_of_all() {
        let calls = Calls::default();
        calls.open();
        let mailbox = Arc::new(Mailbox::new(100));
        let call = calls.begin(Waiting::All(Arc::clone(&mailbox)), |_| ()).unwrap();
        let error = v1::CallError { call, provider: vec![3; 16].into(), ..v1::CallError::default() };
        assert!(calls.error(error));
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(Some(item))) = mailbox.poll(&mut context) else { panic!("it is an answer") };
        assert_eq!(item.provider, PublisherId([3; 16]));
        calls.end(call);
        assert_eq!(mailbox.poll(&mut context), Poll::Ready(Ok(None)));
    }
}

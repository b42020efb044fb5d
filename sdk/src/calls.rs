//! Calls that this client has made and that have no answer yet.

use crate::register::Reply;
use macula_proto::v1::{self, Code};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use tokio::sync::oneshot;

/// Pending calls, by the numbers that this client gave them.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    pending: HashMap<u64, oneshot::Sender<Answer>>,
    connected: bool,
    closed: bool,
}

/// What ends a call.
pub(crate) type Answer = Result<Reply, v1::CallError>;

/// Why a call was not begun.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotBegun {
    NotConnected,
    Closed,
}

impl Calls {
    /// Begins a call; `send` is told its number while no connection can begin or end.
    pub(crate) fn begin(&self, send: impl FnOnce(u64)) -> Result<(u64, oneshot::Receiver<Answer>), NotBegun> {
        let mut state = self.lock();
        if state.closed {
            return Err(NotBegun::Closed);
        }
        if !state.connected {
            return Err(NotBegun::NotConnected);
        }
        state.last += 1;
        let (number, (answer, receiver)) = (state.last, oneshot::channel());
        state.pending.insert(number, answer);
        send(number);
        Ok((number, receiver))
    }

    /// Ends a call with its answer.
    pub(crate) fn answer(&self, number: u64, answer: Answer) {
        let pending = self.lock().pending.remove(&number);
        if let Some(pending) = pending {
            let _ = pending.send(answer);
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
        for (number, answer) in pending {
            let _ = answer.send(Err(v1::CallError {
                call: number,
                code: Code::Unavailable.into(),
                message: "the connection to the gateway was lost; the call may have been carried out"
                    .to_owned(),
                ..v1::CallError::default()
            }));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_connection_ends_calls_with_unavailable() {
        let calls = Calls::default();
        assert_eq!(calls.begin(|_| ()).unwrap_err(), NotBegun::NotConnected);
        calls.open();
        let (_, mut answer) = calls.begin(|_| ()).unwrap();
        calls.lose();
        assert_eq!(answer.try_recv().unwrap().unwrap_err().code(), Code::Unavailable);
        assert_eq!(calls.begin(|_| ()).unwrap_err(), NotBegun::NotConnected);
    }

    #[test]
    fn an_answer_to_a_forgotten_call_is_ignored() {
        let calls = Calls::default();
        calls.open();
        let (number, _answer) = calls.begin(|_| ()).unwrap();
        assert!(calls.forget(number));
        assert!(!calls.forget(number));
        calls.answer(number, Ok(Reply::default()));
    }
}

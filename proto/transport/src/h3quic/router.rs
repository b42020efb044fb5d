//! Where WebTransport streams wait for their session.
//!
//! A stream may arrive before the request that opens its session, since QUIC keeps no order between streams. So a
//! few wait; any further one is rejected, and so are those of other sessions: there is one for each connection.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::code;

/// WebTransport streams that may wait to be accepted, both directions together. From the design; enough for the
/// four of a session and its first calls.
pub const WAITING_STREAMS: usize = 16;

/// H3_WEBTRANSPORT_BUFFERED_STREAM_REJECTED of draft-ietf-webtrans-http3.
const BUFFERED_STREAM_REJECTED: u64 = 0x3994_bd84;

/// H3_WEBTRANSPORT_SESSION_GONE of the same draft.
pub(crate) const SESSION_GONE: u64 = 0x170d_7b68;

/// Hands the streams of a connection to its session.
#[derive(Debug, Default)]
pub(crate) struct Router {
    state: Mutex<State>,
    bidi: Notify,
    uni: Notify,
}

#[derive(Debug, Default)]
struct State {
    session: Session,
    bidi: VecDeque<(u64, quinn::SendStream, quinn::RecvStream)>,
    uni: VecDeque<(u64, quinn::RecvStream)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Session {
    #[default]
    None,
    Claimed(u64),
    Over,
}

impl State {
    fn takes(&self, session: u64) -> Result<(), u64> {
        let full = self.bidi.len() + self.uni.len() >= WAITING_STREAMS;
        match self.session {
            Session::Over => Err(SESSION_GONE),
            Session::Claimed(id) if id != session => Err(BUFFERED_STREAM_REJECTED),
            _ if full => Err(BUFFERED_STREAM_REJECTED),
            _ => Ok(()),
        }
    }

    /// Rejects the waiting streams of all sessions but `keep`.
    fn purge(&mut self, keep: Option<u64>, error: u64) {
        for (session, send, recv) in std::mem::take(&mut self.bidi) {
            if keep == Some(session) {
                self.bidi.push_back((session, send, recv));
            } else {
                reject(Some(send), recv, error);
            }
        }
        for (session, recv) in std::mem::take(&mut self.uni) {
            if keep == Some(session) {
                self.uni.push_back((session, recv));
            } else {
                reject(None, recv, error);
            }
        }
    }
}

impl Router {
    /// Takes the connection for this session; false when another has it or had it.
    pub(crate) fn claim(&self, session: u64) -> bool {
        let mut state = self.lock();
        if state.session != Session::None {
            return false;
        }
        state.session = Session::Claimed(session);
        state.purge(Some(session), BUFFERED_STREAM_REJECTED);
        true
    }

    /// Gives the connection free again, for a session that was refused.
    pub(crate) fn release(&self) {
        let mut state = self.lock();
        state.session = Session::None;
        state.purge(None, SESSION_GONE);
    }

    /// Ends the session for good: what waits is rejected, and who waits is told.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.session = Session::Over;
        state.purge(None, SESSION_GONE);
        drop(state);
        self.bidi.notify_waiters();
        self.uni.notify_waiters();
    }

    pub(super) fn deliver_bidi(&self, session: u64, send: quinn::SendStream, recv: quinn::RecvStream) {
        let mut state = self.lock();
        match state.takes(session) {
            Ok(()) => {
                state.bidi.push_back((session, send, recv));
                self.bidi.notify_one();
            }
            Err(error) => reject(Some(send), recv, error),
        }
    }

    pub(super) fn deliver_uni(&self, session: u64, recv: quinn::RecvStream) {
        let mut state = self.lock();
        match state.takes(session) {
            Ok(()) => {
                state.uni.push_back((session, recv));
                self.uni.notify_one();
            }
            Err(error) => reject(None, recv, error),
        }
    }

    /// The next bidirectional stream of the session; `None` once it is over.
    pub(crate) async fn next_bidi(&self) -> Option<(quinn::SendStream, quinn::RecvStream)> {
        loop {
            let notified = self.bidi.notified();
            {
                let mut state = self.lock();
                if let Some((_, send, recv)) = state.bidi.pop_front() {
                    // A notification counts for one waiter, however many streams it stands for.
                    if !state.bidi.is_empty() {
                        self.bidi.notify_one();
                    }
                    return Some((send, recv));
                }
                if state.session == Session::Over {
                    return None;
                }
            }
            notified.await;
        }
    }

    /// The next unidirectional stream of the session; `None` once it is over.
    pub(crate) async fn next_uni(&self) -> Option<quinn::RecvStream> {
        loop {
            let notified = self.uni.notified();
            {
                let mut state = self.lock();
                if let Some((_, recv)) = state.uni.pop_front() {
                    if !state.uni.is_empty() {
                        self.uni.notify_one();
                    }
                    return Some(recv);
                }
                if state.session == Session::Over {
                    return None;
                }
            }
            notified.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn reject(send: Option<quinn::SendStream>, mut recv: quinn::RecvStream, error: u64) {
    if let Some(mut send) = send {
        let _ = send.reset(code(error));
    }
    let _ = recv.stop(code(error));
}

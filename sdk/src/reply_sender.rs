//! What a handler has of its call besides the request: whether anybody still waits, and a way to answer in parts.

use crate::core::Core;
use crate::register::{CallFailure, Reply};
use macula_proto::v1::{self, Code};
use macula_proto::{kind, limits};
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Notify;

/// State of one call that is being answered.
#[derive(Debug)]
pub(crate) struct Answering {
    /// Largest part that the caller takes; 0 when it wants a single result.
    window: u64,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes of results that the caller takes, and that were sent.
    credit: u64,
    sent: u64,
    /// The result of a call for a single one.
    single: Option<Reply>,
    cancelled: bool,
    ended: bool,
}

impl Answering {
    pub(crate) fn new(window: u64) -> Self {
        let state = Mutex::new(State { credit: window, ..State::default() });
        Self { window, state, changed: Notify::new() }
    }

    /// The caller takes so many bytes in all.
    pub(crate) fn grant(&self, total: u64) {
        let mut state = self.lock();
        state.credit = state.credit.max(total);
        drop(state);
        self.changed.notify_waiters();
    }

    /// Nobody waits for the answer any longer.
    pub(crate) fn cancel(&self) {
        self.lock().cancelled = true;
        self.changed.notify_waiters();
    }

    /// The handler has ended: what the last frame says, after which nothing is sent.
    pub(crate) fn finish(&self, result: Result<Option<Reply>, CallFailure>) -> Result<Reply, CallFailure> {
        let mut state = self.lock();
        state.ended = true;
        let reply = result?.or(state.single.take()).unwrap_or_default();
        let bytes = reply.payload.len();
        if bytes > limits::PAYLOAD_BYTES {
            let text = format!("the reply has {bytes} bytes, at most {} are allowed", limits::PAYLOAD_BYTES);
            return Err(CallFailure::new(Code::Internal, text));
        }
        if self.window > 0 && bytes as u64 > self.window {
            return Err(too_large(bytes, self.window));
        }
        Ok(reply)
    }

    /// Makes place for a part of so many bytes, if it may go now.
    fn reserve(&self, reply: &mut Option<Reply>) -> Result<bool, CallFailure> {
        let mut state = self.lock();
        if state.cancelled || state.ended {
            return Err(CallFailure::new(Code::Cancelled, "nobody waits for the answer any longer"));
        }
        let bytes = reply.as_ref().map_or(0, |reply| reply.payload.len());
        if bytes > limits::PAYLOAD_BYTES {
            let text = format!("a part has {bytes} bytes, at most {} are allowed", limits::PAYLOAD_BYTES);
            return Err(CallFailure::new(Code::Internal, text));
        }
        if self.window == 0 {
            if state.single.is_some() {
                let text = "the procedure answers with a stream, and the caller wants a single result";
                return Err(CallFailure::new(Code::InvalidArgument, text));
            }
            state.single = reply.take();
            return Ok(true);
        }
        if bytes as u64 > self.window {
            return Err(too_large(bytes, self.window));
        }
        if state.sent + bytes as u64 > state.credit {
            return Ok(false);
        }
        state.sent += bytes as u64;
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

fn too_large(bytes: usize, window: u64) -> CallFailure {
    let text = format!(
        "a part has {bytes} bytes, and the caller takes {window} at a time: call with a larger window"
    );
    CallFailure::new(Code::ResourceExhausted, text)
}

/// Sends the results of a call one by one; see [`Client::register_stream`](crate::Client::register_stream).
pub struct ReplySender {
    core: Arc<Core>,
    call: u64,
    answering: Arc<Answering>,
}

impl ReplySender {
    pub(crate) fn new(core: Arc<Core>, call: u64, answering: Arc<Answering>) -> Self {
        Self { core, call, answering }
    }

    /// Sends a part of the answer, as soon as the caller takes it and the connection does. Memory is bounded by that:
    /// nothing is buffered here.
    ///
    /// ```no_run
    /// # async fn example(mut replies: macula_sdk::ReplySender) -> macula_sdk::doc::Outcome {
    /// # use macula_sdk::Reply;
    /// for number in 0..3 {
    ///     replies.send(Reply::new(number.to_string())).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Hand them on with `?`: the caller gets them. `Cancelled`: nobody waits any longer. `ResourceExhausted`: the
    /// part is larger than all that the caller lets wait. `InvalidArgument`: it is the second part for a caller that
    /// wants a single result.
    pub async fn send(&mut self, reply: Reply) -> Result<(), CallFailure> {
        let mut reply = Some(reply);
        loop {
            // The calls of all handlers share one way out; none fills it for the others.
            self.core.rpc.room().await;
            let mut changed = pin!(self.answering.changed.notified());
            // From here on no wake-up is missed.
            changed.as_mut().enable();
            if self.answering.reserve(&mut reply)? {
                break;
            }
            changed.await;
        }
        if let Some(Reply { payload, content_type, headers, .. }) = reply {
            let (call, more) = (self.call, true);
            let result = v1::CallResult { call, payload, content_type, headers, more, ..Default::default() };
            self.core.rpc.send(kind::CALL_RESULT, &result);
        }
        Ok(())
    }

    /// Whether the caller takes a stream; otherwise it gets a single part, and a second is an error.
    ///
    /// ```no_run
    /// # async fn example(replies: macula_sdk::ReplySender) -> macula_sdk::doc::Outcome {
    /// let parts = if replies.is_stream() { 100 } else { 1 };
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_stream(&self) -> bool {
        self.answering.window > 0
    }
}

impl fmt::Debug for ReplySender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplySender").field("call", &self.call).finish_non_exhaustive()
    }
}

/// Tells whether anybody still waits for the answer of a call; see [`Request::cancellation`](crate::Request::cancellation).
#[derive(Clone, Debug)]
pub struct Cancellation(pub(crate) Arc<Answering>);

impl Cancellation {
    /// True once the caller has given up, its time is over, or a connection on the way to it was lost.
    ///
    /// ```no_run
    /// # async fn example(request: macula_sdk::Request) -> macula_sdk::doc::Outcome {
    /// let cancellation = request.cancellation();
    /// std::thread::spawn(move || while !cancellation.is_cancelled() { /* a step of the work */ });
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_cancelled(&self) -> bool {
        self.0.lock().cancelled
    }

    /// Resolves when [`is_cancelled`](Self::is_cancelled) becomes true; never once the call has been answered.
    ///
    /// ```no_run
    /// # async fn example(request: macula_sdk::Request) -> macula_sdk::doc::Outcome {
    /// let cancellation = request.cancellation();
    /// tokio::spawn(async move {
    ///     cancellation.cancelled().await;
    ///     println!("nobody waits any longer");
    /// });
    /// # Ok(())
    /// # }
    /// ```
    pub async fn cancelled(&self) {
        loop {
            let mut changed = pin!(self.0.changed.notified());
            // From here on no wake-up is missed.
            changed.as_mut().enable();
            if self.is_cancelled() {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(bytes: usize) -> Option<Reply> {
        Some(Reply::new(vec![0; bytes]))
    }

    #[test]
    fn parts_go_as_far_as_the_caller_takes_them() {
        let answering = Answering::new(100);
        assert_eq!(answering.reserve(&mut part(60)), Ok(true));
        assert_eq!(answering.reserve(&mut part(60)), Ok(false));
        assert_eq!(answering.reserve(&mut part(40)), Ok(true));
        answering.grant(159);
        assert_eq!(answering.reserve(&mut part(60)), Ok(false));
        answering.grant(160);
        assert_eq!(answering.reserve(&mut part(60)), Ok(true));
        let code = answering.reserve(&mut part(101)).unwrap_err().code;
        assert_eq!(code, Code::ResourceExhausted, "it could never go");
        answering.cancel();
        assert_eq!(answering.reserve(&mut part(0)).unwrap_err().code, Code::Cancelled);
    }

    #[test]
    fn a_caller_of_a_single_result_gets_the_only_part() {
        let answering = Answering::new(0);
        assert_eq!(answering.finish(Ok(None)), Ok(Reply::default()), "there was none");
        let answering = Answering::new(0);
        assert_eq!(answering.reserve(&mut part(900_000)), Ok(true));
        assert_eq!(answering.reserve(&mut part(1)).unwrap_err().code, Code::InvalidArgument);
        assert_eq!(answering.finish(Ok(None)).unwrap().payload().len(), 900_000);
        assert_eq!(answering.reserve(&mut part(1)).unwrap_err().code, Code::Cancelled, "it has ended");
    }

    #[test]
    fn a_single_reply_fits_the_callers_window_or_fails() {
        let reply = |bytes| Answering::new(100).finish(Ok(part(bytes)));
        assert!(reply(100).is_ok());
        assert_eq!(reply(101).unwrap_err().code, Code::ResourceExhausted);
        let single = Answering::new(0).finish(Ok(part(limits::PAYLOAD_BYTES + 1)));
        assert_eq!(single.unwrap_err().code, Code::Internal);
    }
}

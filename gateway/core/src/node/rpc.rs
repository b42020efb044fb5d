//! Calls: to a provider here if there is one, else to one gateway that offers the procedure; and back.

use super::{Node, Violation, unknown};
use crate::calls::Pending;
use crate::key::ConnKey;
use crate::time::Now;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{Call, CallCancel, CallError, CallResult, Code};
use macula_proto::{Topic, frame, limits};
use prost::Message as _;

/// Time that a call gets which names none.
const DEFAULT_TIMEOUT_MS: u32 = 30_000;

/// Calls and answers that wait for one reader; over it, more calls to it are refused, and
/// its answers come without what they say. A guess, not measured.
const RPC_BYTES: usize = 16 << 20;
/// What a frame may grow by on its way, with larger numbers and the caller's name, and still be taken.
const GROWTH_BYTES: usize = 64;

impl Node {
    pub(super) fn rpc_frame(
        &mut self,
        from: ConnKey,
        kind: u8,
        body: &[u8],
        now: Now,
    ) -> Result<(), Violation> {
        if !self.conns.get(from).is_some_and(|conn| conn.live()) {
            return Err(Violation::invalid("a call before Welcome"));
        }
        match kind {
            kind::CALL => {
                let call = Call::decode(body)?;
                self.on_call(from, call, now);
            }
            kind::CALL_RESULT => {
                let result = CallResult::decode(body)?;
                let Some(pending) = self.answered(from, result.call) else { return Ok(()) };
                if body.len() > limits::FRAME_BYTES - GROWTH_BYTES {
                    self.answer_error(pending.caller, too_large(pending.number));
                    return Ok(());
                }
                if self.rpc_backlog(pending.caller) + body.len() > RPC_BYTES {
                    self.counters.calls_failed += 1;
                    self.answer_error(pending.caller, unread(pending.number));
                    return Ok(());
                }
                let answer = CallResult { call: pending.number, ..result };
                self.append(pending.caller, StreamKind::Rpc, |out| {
                    frame::put_message(out, kind::CALL_RESULT, &answer)
                });
            }
            kind::CALL_ERROR => {
                let error = CallError::decode(body)?;
                let Some(pending) = self.answered(from, error.call) else { return Ok(()) };
                let large = body.len() > limits::FRAME_BYTES - GROWTH_BYTES;
                let error = if large {
                    too_large(pending.number)
                } else if self.rpc_backlog(pending.caller) + body.len() > RPC_BYTES {
                    unread(pending.number)
                } else {
                    CallError { call: pending.number, ..error }
                };
                self.answer_error(pending.caller, error);
            }
            kind::CALL_CANCEL => {
                let CallCancel { call } = CallCancel::decode(body)?;
                if let Some((call, pending)) = self.calls.cancelled(from, call) {
                    self.ended(&pending);
                    self.cancel(pending.callee, call);
                }
            }
            other => return unknown(other),
        }
        Ok(())
    }

    fn on_call(&mut self, from: ConnKey, call: Call, now: Now) {
        self.counters.calls += 1;
        if self.rpc_backlog(from) > RPC_BYTES && self.conns.get(from).is_some_and(|conn| !conn.is_link()) {
            let text = "calls are made and their answers not read".to_owned();
            return self.fail(from, Code::ResourceExhausted, text);
        }
        if let Err((code, message)) = self.route_call(from, &call, now) {
            self.counters.calls_failed += 1;
            self.answer_error(
                from,
                CallError { call: call.call, code: code.into(), message, ..CallError::default() },
            );
        }
    }

    fn route_call(&mut self, from: ConnKey, call: &Call, now: Now) -> Result<(), (Code, String)> {
        if call.encoded_len() > limits::FRAME_BYTES - GROWTH_BYTES {
            let text = format!("a call has at most {} bytes", limits::FRAME_BYTES - GROWTH_BYTES);
            return Err((Code::InvalidArgument, text));
        }
        let procedure: Topic =
            call.procedure.parse().map_err(|error| (Code::InvalidArgument, format!("procedure: {error}")))?;
        let Some(caller) = self.conns.get(from) else { return Ok(()) };
        let from_link = caller.is_link();
        let (busy, identity) = match caller.session() {
            Some(session) => (
                session.calls >= limits::CALLS_IN_FLIGHT,
                self.publishers.get(session.publisher).id.id.to_vec().into(),
            ),
            None => (false, call.caller.clone()),
        };
        if busy {
            let text = format!("a session has at most {} calls in flight", limits::CALLS_IN_FLIGHT);
            return Err((Code::ResourceExhausted, text));
        }
        let Some((provider, chosen)) = self.procedures.choose(&procedure, !from_link) else {
            return Err((Code::NotFound, format!("nobody has registered `{procedure}`")));
        };
        let (callee, registration) = (chosen.conn, chosen.number);
        if self.rpc_backlog(callee) + call.payload.len() > RPC_BYTES {
            let text = format!("the provider of `{procedure}` has too many calls to read already");
            return Err((Code::ResourceExhausted, text));
        }
        let timeout_ms = if call.timeout_ms == 0 { DEFAULT_TIMEOUT_MS } else { call.timeout_ms };
        let pending = Pending { caller: from, number: call.call, callee, provider };
        let Some(number) = self.calls.add(pending, now.elapsed_ms + u64::from(timeout_ms)) else {
            return Err((Code::InvalidArgument, format!("call {} is in flight already", call.call)));
        };
        if let Some(provider) = self.procedures.get_mut(provider) {
            provider.load += 1;
        }
        if let Some(session) = self.conns.get_mut(from).and_then(|conn| conn.session_mut()) {
            session.calls += 1;
        }
        let invoked = Call { call: number, timeout_ms, registration, caller: identity, ..call.clone() };
        self.append(callee, StreamKind::Rpc, |out| frame::put_message(out, kind::CALL, &invoked));
        Ok(())
    }

    /// Bytes that wait to be sent on a connection's rpc stream.
    fn rpc_backlog(&mut self, key: ConnKey) -> usize {
        self.conns
            .get_mut(key)
            .and_then(|conn| conn.queue(StreamKind::Rpc))
            .map_or(0, |queue| queue.backlog())
    }

    fn answered(&mut self, callee: ConnKey, call: u64) -> Option<Pending> {
        let pending = self.calls.answered(callee, call)?;
        self.ended(&pending);
        Some(pending)
    }

    fn ended(&mut self, pending: &Pending) {
        if let Some(provider) = self.procedures.get_mut(pending.provider) {
            provider.load -= 1;
        }
        if let Some(session) = self.conns.get_mut(pending.caller).and_then(|conn| conn.session_mut()) {
            session.calls -= 1;
        }
    }

    fn answer_error(&mut self, to: ConnKey, error: CallError) {
        self.append(to, StreamKind::Rpc, |out| frame::put_message(out, kind::CALL_ERROR, &error));
    }

    fn cancel(&mut self, callee: ConnKey, call: u64) {
        self.append(callee, StreamKind::Rpc, |out| {
            frame::put_message(out, kind::CALL_CANCEL, &CallCancel { call })
        });
    }

    /// Milliseconds at which the next call is overdue.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.calls.next_deadline_ms()
    }

    pub(super) fn fail_overdue_calls(&mut self, now: Now) {
        while let Some((call, pending)) = self.calls.overdue(now.elapsed_ms) {
            self.ended(&pending);
            self.counters.calls_failed += 1;
            let message = "no answer within the call's deadline".to_owned();
            let error = CallError {
                call: pending.number,
                code: Code::DeadlineExceeded.into(),
                message,
                ..CallError::default()
            };
            self.answer_error(pending.caller, error);
            self.cancel(pending.callee, call);
        }
    }

    /// Ends the calls that a lost connection made or was to answer.
    pub(super) fn fail_orphaned_calls(&mut self, conn: ConnKey) {
        for (call, pending) in self.calls.orphaned(conn) {
            self.ended(&pending);
            if pending.callee == conn && pending.caller != conn {
                self.counters.calls_failed += 1;
                let message = "the callee's connection was lost before it answered".to_owned();
                let error = CallError {
                    call: pending.number,
                    code: Code::Unavailable.into(),
                    message,
                    ..CallError::default()
                };
                self.answer_error(pending.caller, error);
            } else if pending.callee != conn {
                self.cancel(pending.callee, call);
            }
        }
    }
}

fn too_large(call: u64) -> CallError {
    let message = format!("the answer has more than {} bytes", limits::FRAME_BYTES - GROWTH_BYTES);
    CallError { call, code: Code::ResourceExhausted.into(), message, ..CallError::default() }
}

fn unread(call: u64) -> CallError {
    let message = format!("answers of more than {RPC_BYTES} bytes wait to be read; this one was dropped");
    CallError { call, code: Code::ResourceExhausted.into(), message, ..CallError::default() }
}

//! Calls on their way to who answers: the gateway itself, a provider here if there is one, else one gateway that offers
//! the procedure; or, when a call asks for it, all of them. The way back is in `answers`.

use super::answers::unread;
use super::{Node, Violation, unknown};
use crate::calls::Asked;
use crate::key::ConnKey;
use crate::procedures::Choice;
use crate::time::Now;
use bytes::Bytes;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{Call, CallCancel, CallCredit, CallEnd, CallError, CallResult, Code};
use macula_proto::{Topic, frame, limits};
use prost::Message as _;

/// Time that a call gets which names none.
const DEFAULT_TIMEOUT_MS: u32 = 30_000;

/// How much longer than a gathered call lasts its gateway waits for those of its peers: they tell which of
/// their providers did not answer, and look at their clocks ten times a second. A guess, not measured.
const PEER_GRACE_MS: u64 = 250;

/// Calls and answers that wait for one reader; over it, more calls to it are refused, and
/// its answers come without what they say. A guess, not measured.
pub(super) const RPC_BYTES: usize = 32 << 20;

/// What a frame may grow by on its way, with larger numbers and the caller's or provider's name, and still be taken.
pub(super) const GROWTH_BYTES: usize = 64;

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
            kind::CALL_RESULT => self.on_result(from, CallResult::decode(body)?, body.len()),
            kind::CALL_ERROR => self.on_error(from, CallError::decode(body)?, body.len()),
            kind::CALL_END => self.on_end(from, CallEnd::decode(body)?.call),
            kind::CALL_CREDIT => self.on_call_credit(from, CallCredit::decode(body)?),
            kind::CALL_CANCEL => self.on_cancel(from, CallCancel::decode(body)?.call),
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
        let number = call.call;
        if let Err((code, message)) = self.route_call(from, call, now) {
            self.counters.calls_failed += 1;
            self.send_error(
                from,
                CallError { call: number, code: code.into(), message, ..CallError::default() },
            );
        }
    }

    fn route_call(&mut self, from: ConnKey, mut call: Call, now: Now) -> Result<(), (Code, String)> {
        if call.encoded_len() > limits::FRAME_BYTES - GROWTH_BYTES {
            let text = format!("a call has at most {} bytes", limits::FRAME_BYTES - GROWTH_BYTES);
            return Err((Code::InvalidArgument, text));
        }
        let procedure: Topic =
            call.procedure.parse().map_err(|error| (Code::InvalidArgument, format!("procedure: {error}")))?;
        let Some(caller) = self.conns.get(from) else { return Ok(()) };
        let from_link = caller.is_link();
        if let Some(session) = caller.session() {
            if session.calls >= limits::CALLS_IN_FLIGHT {
                let text = format!("a session has at most {} calls in flight", limits::CALLS_IN_FLIGHT);
                return Err((Code::ResourceExhausted, text));
            }
            // What a client says of itself is not passed on; a peer has looked at it.
            call.caller = Bytes::copy_from_slice(&self.publishers.get(session.publisher).id.id);
            call.subject.clear();
        }
        if !self.calls.is_free(from, call.call) {
            return Err((Code::InvalidArgument, format!("call {} is in flight already", call.call)));
        }
        if call.timeout_ms == 0 {
            call.timeout_ms = DEFAULT_TIMEOUT_MS;
        }
        if procedure.is_system() {
            return self.call_system(from, &procedure, &call, now);
        }
        if call.all {
            return self.ask_all(from, &procedure, call, now);
        }
        let Some(choice) = self.procedures.choose(&procedure, !from_link) else {
            return Err((Code::NotFound, nobody(&procedure)));
        };
        self.check_backlog(&choice, &call)?;
        let asked = Asked {
            caller: from,
            number: call.call,
            callee: choice.conn,
            provider: choice.provider,
            credit: call.credit,
            sent: 0,
            among: None,
        };
        let number = self.calls.add(asked, now.elapsed_ms + u64::from(call.timeout_ms));
        self.count_call(from);
        self.ask(&choice, number, call);
        Ok(())
    }

    /// Asks all providers here, and all peers that offer the procedure for theirs.
    fn ask_all(
        &mut self,
        from: ConnKey,
        procedure: &Topic,
        mut call: Call,
        now: Now,
    ) -> Result<(), (Code, String)> {
        let from_link = self.conns.get(from).is_some_and(|conn| conn.is_link());
        let choices = self.procedures.all(procedure, !from_link);
        if choices.is_empty() {
            return Err((Code::NotFound, nobody(procedure)));
        }
        // Each provider has one result.
        call.credit = 0;
        let deadline_ms = now.elapsed_ms + u64::from(call.timeout_ms);
        let asked = |choice: &Choice| {
            let grace = if choice.link { PEER_GRACE_MS } else { 0 };
            let asked = Asked {
                caller: from,
                number: call.call,
                callee: choice.conn,
                provider: choice.provider,
                credit: 0,
                sent: 0,
                among: Some(self.answerer(choice.conn)),
            };
            (asked, deadline_ms + grace)
        };
        let asked: Vec<(Asked, u64)> = choices.iter().map(asked).collect();
        let numbers = self.calls.add_all(from, call.call, asked.into_iter());
        self.count_call(from);
        for (choice, number) in choices.iter().zip(numbers) {
            match self.check_backlog(choice, &call) {
                Ok(()) => self.ask(choice, number, Call { all: choice.link, ..call.clone() }),
                Err((code, text)) => {
                    if let Some(provider) = self.procedures.get_mut(choice.provider) {
                        provider.load += 1;
                    }
                    self.end_with(number, code, text);
                }
            }
        }
        Ok(())
    }

    fn check_backlog(&mut self, choice: &Choice, call: &Call) -> Result<(), (Code, String)> {
        if self.rpc_backlog(choice.conn) + call.payload.len() <= RPC_BYTES {
            return Ok(());
        }
        let text = format!("the provider of `{}` has too many calls to read already", call.procedure);
        Err((Code::ResourceExhausted, text))
    }

    fn ask(&mut self, choice: &Choice, number: u64, call: Call) {
        if let Some(provider) = self.procedures.get_mut(choice.provider) {
            provider.load += 1;
        }
        let invoked = Call { call: number, registration: choice.registration, ..call };
        self.send_rpc(choice.conn, kind::CALL, &invoked);
    }

    /// A session waits for one call more.
    pub(super) fn count_call(&mut self, caller: ConnKey) {
        if let Some(session) = self.conns.get_mut(caller).and_then(|conn| conn.session_mut()) {
            session.calls += 1;
        }
    }

    /// Who answers on this connection: a publisher, or a peer.
    fn answerer(&self, conn: ConnKey) -> [u8; 16] {
        let Some(conn) = self.conns.get(conn) else { return [0; 16] };
        match (conn.session(), conn.link()) {
            (Some(session), _) => self.publishers.get(session.publisher).id.id,
            (_, Some(link)) => link.node.0,
            (None, None) => [0; 16],
        }
    }

    /// Bytes that wait to be sent on a connection's rpc stream.
    pub(super) fn rpc_backlog(&mut self, key: ConnKey) -> usize {
        self.conns
            .get_mut(key)
            .and_then(|conn| conn.queue(StreamKind::Rpc))
            .map_or(0, |queue| queue.backlog())
    }

    /// Adds a frame to a connection's rpc stream, unless the connection has ended.
    pub(super) fn send_rpc(&mut self, to: ConnKey, kind: u8, message: &impl prost::Message) {
        if self.conns.get(to).is_some_and(|conn| !conn.closing) {
            self.append(to, StreamKind::Rpc, |out| frame::put_message(out, kind, message));
        }
    }

    /// The caller takes more of a stream of results.
    fn on_call_credit(&mut self, from: ConnKey, credit: CallCredit) {
        let Some((call, asked)) = self.calls.granted(from, credit.call, credit.total) else { return };
        if slotmap::Key::is_null(&asked.callee) {
            return self.pump(call);
        }
        if self.rpc_backlog(asked.callee) > RPC_BYTES {
            // It has stopped reading, and every grant would make it worse.
            self.end_with(call, Code::ResourceExhausted, unread());
            return self.cancel(asked.callee, call);
        }
        let told = CallCredit { call, total: credit.total };
        self.send_rpc(asked.callee, kind::CALL_CREDIT, &told);
    }

    fn on_cancel(&mut self, from: ConnKey, number: u64) {
        let cancelled = self.calls.cancelled(from, number);
        if cancelled.is_empty() {
            return;
        }
        if let Some(session) = self.conns.get_mut(from).and_then(|conn| conn.session_mut()) {
            session.calls -= 1;
        }
        for (call, asked) in cancelled {
            self.relieve(call, &asked);
            self.cancel(asked.callee, call);
        }
    }

    pub(super) fn cancel(&mut self, callee: ConnKey, call: u64) {
        self.send_rpc(callee, kind::CALL_CANCEL, &CallCancel { call });
    }

    /// Ends the calls that a lost connection made or was to answer.
    pub(super) fn fail_orphaned_calls(&mut self, conn: ConnKey) {
        let (made, unanswered) = self.calls.orphaned(conn);
        for number in made {
            self.on_cancel(conn, number);
        }
        for call in unanswered {
            let text = "the callee's connection was lost before it answered".to_owned();
            self.end_with(call, Code::Unavailable, text);
        }
    }
}

fn nobody(procedure: &Topic) -> String {
    format!("nobody has registered `{procedure}`")
}

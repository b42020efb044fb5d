//! Answers on their way back to who called: results, one or a stream of them, errors, and the ends that the gateway
//! makes itself.

use super::Node;
use super::rpc::{GROWTH_BYTES, RPC_BYTES};
use crate::calls::Asked;
use crate::key::ConnKey;
use crate::time::Now;
use bytes::Bytes;
use macula_proto::kind;
use macula_proto::limits;
use macula_proto::v1::{CallEnd, CallError, CallResult, Code};

/// What an answer means for its call.
enum Verdict {
    /// It goes to the caller, and more will come.
    Goes,
    /// It goes to the caller as the last.
    Ends,
    /// It does not: the call ends with this error instead, and the provider is told to stop.
    Fails(Code, String),
}

impl Node {
    pub(super) fn on_result(&mut self, from: ConnKey, result: CallResult, bytes: usize) {
        let link = self.conns.get(from).is_some_and(|conn| conn.is_link());
        let Some(asked) = self.calls.answering(from, result.call) else { return };
        asked.sent = asked.sent.saturating_add(result.payload.len() as u64);
        let asked = *asked;
        let (call, more) = (result.call, result.more);
        if asked.among.is_some() && link {
            return self.on_result_of_one(&asked, result, bytes);
        }
        let verdict = match self.misfit(&asked, bytes) {
            Some(text) => Verdict::Fails(Code::ResourceExhausted, text),
            None if asked.credit == 0 && more => {
                let text = "the provider answers with a stream, and the caller wants a single result";
                Verdict::Fails(Code::Internal, text.to_owned())
            }
            None if asked.credit > 0 && asked.sent > asked.credit => {
                let text =
                    format!("the provider sent more than the {} bytes that were granted", asked.credit);
                Verdict::Fails(Code::Internal, text)
            }
            None if more => Verdict::Goes,
            None => Verdict::Ends,
        };
        let ended = match verdict {
            Verdict::Goes => false,
            Verdict::Ends => self.calls.end(call).is_some(),
            Verdict::Fails(code, text) => {
                self.end_with(call, code, text);
                return self.cancel(from, call);
            }
        };
        let mut answer = CallResult { call: asked.number, ..result };
        match asked.among {
            None => answer.provider = Bytes::new(),
            Some(answerer) => {
                answer.more = true;
                answer.provider = Bytes::copy_from_slice(&answerer);
                self.calls.count_answer(asked.caller, asked.number);
            }
        }
        self.send_rpc(asked.caller, kind::CALL_RESULT, &answer);
        if ended {
            self.conclude(call, &asked);
        }
    }

    /// A result of one of a peer's providers, which leaves the others to come.
    fn on_result_of_one(&mut self, asked: &Asked, result: CallResult, bytes: usize) {
        self.calls.count_answer(asked.caller, asked.number);
        match self.misfit(asked, bytes) {
            None => {
                let answer = CallResult { call: asked.number, more: true, ..result };
                self.send_rpc(asked.caller, kind::CALL_RESULT, &answer);
            }
            Some(message) => {
                self.counters.calls_failed += 1;
                let (code, provider) = (Code::ResourceExhausted.into(), result.provider);
                let error = CallError { call: asked.number, code, message, provider, ..CallError::default() };
                self.send_error(asked.caller, error);
            }
        }
    }

    pub(super) fn on_error(&mut self, from: ConnKey, error: CallError, bytes: usize) {
        let link = self.conns.get(from).is_some_and(|conn| conn.is_link());
        let Some(asked) = self.calls.answering(from, error.call).map(|asked| *asked) else { return };
        let call = error.call;
        let one_of_many = asked.among.is_some() && link && !error.provider.is_empty();
        let error = match self.misfit(&asked, bytes) {
            Some(text) => CallError {
                call: asked.number,
                code: Code::ResourceExhausted.into(),
                message: text,
                provider: error.provider,
                ..CallError::default()
            },
            None => CallError { call: asked.number, ..error },
        };
        if one_of_many {
            self.calls.count_answer(asked.caller, asked.number);
            return self.send_error(asked.caller, error);
        }
        self.calls.end(call);
        // A peer's last provider may have left while the call was under way.
        if !(asked.among.is_some() && link && error.code() == Code::NotFound) {
            self.answer_error(&asked, error);
        }
        self.conclude(call, &asked);
    }

    /// A peer's providers have all answered.
    pub(super) fn on_end(&mut self, from: ConnKey, call: u64) {
        let gathered = self.calls.answering(from, call).is_some_and(|asked| asked.among.is_some());
        if gathered && let Some(asked) = self.calls.end(call) {
            self.conclude(call, &asked);
        }
    }

    pub(super) fn fail_overdue_calls(&mut self, now: Now) {
        while let Some(call) = self.calls.overdue(now.elapsed_ms) {
            let Some(callee) = self.calls.get_mut(call).map(|asked| asked.callee) else { continue };
            self.end_with(call, Code::DeadlineExceeded, "no answer within the call's deadline".to_owned());
            self.cancel(callee, call);
        }
    }

    /// Ends one provider's part with an error of this gateway's.
    pub(super) fn end_with(&mut self, call: u64, code: Code, message: String) {
        let Some(asked) = self.calls.end(call) else { return };
        self.counters.calls_failed += 1;
        let error = CallError { call: asked.number, code: code.into(), message, ..CallError::default() };
        self.answer_error(&asked, error);
        self.conclude(call, &asked);
    }

    /// After a provider's part has ended: tells the caller when it was the last.
    pub(super) fn conclude(&mut self, call: u64, asked: &Asked) {
        self.relieve(call, asked);
        if asked.among.is_some() {
            let Some(answers) = self.calls.finished(asked.caller, asked.number) else { return };
            let end = CallEnd { call: asked.number, answers };
            self.send_rpc(asked.caller, kind::CALL_END, &end);
        }
        if let Some(session) = self.conns.get_mut(asked.caller).and_then(|conn| conn.session_mut()) {
            session.calls -= 1;
        }
    }

    /// Who was asked has one call less to answer.
    pub(super) fn relieve(&mut self, call: u64, asked: &Asked) {
        if let Some(provider) = self.procedures.get_mut(asked.provider) {
            provider.load -= 1;
        }
        if slotmap::Key::is_null(&asked.callee) {
            self.system.forget(call);
        }
    }

    /// Why an answer of this size cannot be passed on, if so.
    pub(super) fn misfit(&mut self, asked: &Asked, bytes: usize) -> Option<String> {
        if bytes > limits::FRAME_BYTES - GROWTH_BYTES {
            return Some(format!("the answer has more than {} bytes", limits::FRAME_BYTES - GROWTH_BYTES));
        }
        (self.rpc_backlog(asked.caller) + bytes > RPC_BYTES).then(unread)
    }

    /// One provider's error, which ends its part.
    fn answer_error(&mut self, asked: &Asked, mut error: CallError) {
        match asked.among {
            None => error.provider = Bytes::new(),
            Some(answerer) => {
                error.provider = Bytes::copy_from_slice(&answerer);
                self.calls.count_answer(asked.caller, asked.number);
            }
        }
        self.send_error(asked.caller, error);
    }

    pub(super) fn send_error(&mut self, to: ConnKey, error: CallError) {
        self.send_rpc(to, kind::CALL_ERROR, &error);
    }
}

pub(super) fn unread() -> String {
    format!("answers of more than {RPC_BYTES} bytes wait to be read; this one was dropped")
}

//! Procedures that the gateway answers itself: everything under `$sys.`.
//!
//! A new one is a function of the type [`Procedure`] and a line in [`PROCEDURES`]. It is asked by a client of this
//! gateway, never by a peer, and answers at once: with a single result, an error, or parts that leave as far as the
//! caller grants credit. No client can register a name that begins with `$`.

use super::Node;
use super::rpc::{GROWTH_BYTES, RPC_BYTES};
use crate::calls::Asked;
use crate::hash::HashMap;
use crate::key::{ConnKey, ProviderKey};
use crate::time::Now;
use bytes::Bytes;
use macula_proto::kind;
use macula_proto::v1::{Call, CallResult, Code};
use macula_proto::{Topic, limits};
use std::fmt;

/// Answers a call. `Call.caller` names the client; `Call.credit` is the largest part that it takes, 0 when it takes
/// a single result only.
pub(super) type Procedure = fn(&mut Node, &Call, Now) -> Answer;

/// What there is, by name.
const PROCEDURES: &[(&str, Procedure)] = &[
    ("$sys.echo", echo),
    ("$sys.retained", super::values::retained),
    #[cfg(test)]
    ("$sys.count", tests::count),
];

/// What a system procedure answers.
pub(super) enum Answer {
    /// A single result.
    Reply(Reply),
    /// A stream of results, taken one by one as the caller grants credit. None may be larger than `Call.credit`.
    Parts(Parts),
    /// No result.
    Error(Code, String),
}

/// Gives the next part of a stream; `None` at its end. It is asked in later turns, so it looks into the node then.
pub(super) type Parts = Box<dyn FnMut(&Node) -> Option<Reply> + Send>;

/// One result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) payload: Bytes,
    /// Media type of the payload; empty for none.
    pub(super) content_type: String,
}

/// Streams of results that have not ended, by the number of their call.
#[derive(Default)]
pub(super) struct Streams(HashMap<u64, Stream>);

struct Stream {
    parts: Parts,
    /// The next part, once it has been asked for.
    next: Option<Option<Reply>>,
    /// The caller never grants more at a time.
    window: u64,
}

impl Stream {
    fn peek(&mut self, node: &Node) -> Option<&Reply> {
        self.next.get_or_insert_with(|| (self.parts)(node)).as_ref()
    }

    fn take(&mut self, node: &Node) -> Option<Reply> {
        self.next.take().unwrap_or_else(|| (self.parts)(node))
    }
}

impl Streams {
    pub(super) fn forget(&mut self, call: u64) {
        self.0.remove(&call);
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Node {
    pub(super) fn call_system(
        &mut self,
        from: ConnKey,
        procedure: &Topic,
        call: &Call,
        now: Now,
    ) -> Result<(), (Code, String)> {
        let Some((_, answer)) = PROCEDURES.iter().find(|(name, _)| *name == procedure.as_str()) else {
            return Err((Code::NotFound, format!("`{procedure}` is no procedure of this gateway")));
        };
        if call.all {
            let text =
                format!("`{procedure}` is answered by the caller's gateway alone: call it without `all`");
            return Err((Code::InvalidArgument, text));
        }
        match answer(self, call, now) {
            Answer::Error(code, message) => Err((code, message)),
            Answer::Reply(reply) => {
                self.send_part(from, call.call, reply, false);
                Ok(())
            }
            Answer::Parts(parts) => {
                let mut stream = Stream { parts, next: None, window: call.credit };
                if call.credit == 0 {
                    let only = stream.take(self).unwrap_or_default();
                    if stream.peek(self).is_some() {
                        let text = format!("`{procedure}` answers with a stream: call it with credit");
                        return Err((Code::InvalidArgument, text));
                    }
                    self.send_part(from, call.call, only, false);
                    return Ok(());
                }
                let asked = Asked {
                    caller: from,
                    number: call.call,
                    callee: ConnKey::default(),
                    provider: ProviderKey::default(),
                    credit: call.credit,
                    sent: 0,
                    among: None,
                };
                let number = self.calls.add(asked, now.elapsed_ms + u64::from(call.timeout_ms));
                self.count_call(from);
                self.system.0.insert(number, stream);
                self.pump(number);
                Ok(())
            }
        }
    }

    /// Sends what the caller of a system procedure takes now.
    pub(super) fn pump(&mut self, call: u64) {
        loop {
            let Some(asked) = self.calls.get_mut(call).map(|asked| *asked) else { return };
            // What is left waits for the next grant or tick.
            if self.rpc_backlog(asked.caller) > RPC_BYTES / 2 {
                return;
            }
            let Some(mut stream) = self.system.0.remove(&call) else { return };
            let bytes = stream.peek(self).map_or(0, |part| part.payload.len());
            let window = stream.window;
            if bytes as u64 > window {
                let text = format!("a part has {bytes} bytes, and the call's credit is {window}: grant more");
                return self.end_with(call, Code::ResourceExhausted, text);
            }
            if bytes as u64 > asked.credit - asked.sent {
                self.system.0.insert(call, stream);
                return;
            }
            let part = stream.take(self).unwrap_or_default();
            let more = stream.peek(self).is_some();
            if let Some(asked) = self.calls.get_mut(call) {
                asked.sent += bytes as u64;
            }
            self.send_part(asked.caller, asked.number, part, more);
            if !more {
                self.calls.end(call);
                return self.conclude(call, &asked);
            }
            self.system.0.insert(call, stream);
        }
    }

    /// Sends what waited because too much was waiting already.
    pub(super) fn pump_all(&mut self) {
        if self.system.0.is_empty() {
            return;
        }
        let mut calls: Vec<u64> = self.system.0.keys().copied().collect();
        calls.sort_unstable();
        calls.into_iter().for_each(|call| self.pump(call));
    }

    fn send_part(&mut self, to: ConnKey, call: u64, reply: Reply, more: bool) {
        let Reply { payload, content_type } = reply;
        debug_assert!(payload.len() <= limits::FRAME_BYTES - GROWTH_BYTES, "parts fit into a frame");
        let result = CallResult { call, payload, content_type, more, ..CallResult::default() };
        self.send_rpc(to, kind::CALL_RESULT, &result);
    }
}

/// `$sys.echo`: what came goes back, which measures the way to the gateway alone.
fn echo(_: &mut Node, call: &Call, _: Now) -> Answer {
    Answer::Reply(Reply { payload: call.payload.clone(), content_type: call.content_type.clone() })
}

#[cfg(test)]
mod tests;

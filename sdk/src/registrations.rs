//! The procedures that a client offers, and the calls that it is answering.

use crate::core::Core;
use crate::error::RegisterError;
use crate::message::PublisherId;
use crate::register::{CallFailure, Reply, Request};
use macula_proto::v1::{self, Code};
use macula_proto::{Topic, kind, limits};
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::AbortHandle;

/// Handlers of one registration that run at a time; further calls wait for their turn. A guess, not measured:
/// enough to wait for a database many times over.
pub const HANDLERS: usize = 256;

/// Calls of one registration that run or wait for their turn; further ones are answered `RESOURCE_EXHAUSTED`.
const CALLS: usize = 4 * HANDLERS;

/// A handler with its future boxed.
pub(crate) type Handler = Arc<dyn Fn(Request) -> HandlerFuture + Send + Sync>;
type HandlerFuture = Pin<Box<dyn Future<Output = Result<Reply, CallFailure>> + Send>>;

/// A handler, and where and how many at a time it runs.
#[derive(Clone)]
pub(crate) struct Provider {
    handler: Handler,
    runtime: Option<Handle>,
    turns: Arc<Semaphore>,
}

/// All registrations, by the numbers that the gateway knows them by.
#[derive(Debug, Default)]
pub(crate) struct Registrations {
    last: u32,
    entries: HashMap<u32, Entry>,
    /// Refused on this connection after they had been made; asked for again.
    refused: BTreeSet<u32>,
    /// Handlers at work, by the gateway's number of the call.
    working: HashMap<u64, Working>,
    serial: u64,
    /// Nothing is added any more: nobody would answer it.
    closed: bool,
}

/// One registration.
#[derive(Debug)]
pub(crate) struct Entry {
    request: v1::Register,
    provider: Provider,
    answer: Option<oneshot::Sender<Result<v1::Acknowledged, RegisterError>>>,
    /// It was not restored yet, and that has been logged.
    missing: bool,
    working: usize,
}

#[derive(Debug)]
struct Working {
    registration: u32,
    /// The gateway's numbers begin anew with each gateway; these do not.
    serial: u64,
    task: AbortHandle,
}

impl Registrations {
    pub(crate) fn add(
        &mut self,
        request: v1::Register,
        provider: Provider,
    ) -> (v1::Register, oneshot::Receiver<Result<v1::Acknowledged, RegisterError>>) {
        self.last += 1;
        let request = v1::Register { registration: self.last, ..request };
        let (answer, receiver) = oneshot::channel();
        let entry =
            Entry { request: request.clone(), provider, answer: Some(answer), missing: false, working: 0 };
        self.entries.insert(self.last, entry);
        (request, receiver)
    }

    /// Removes a registration, to be dropped once the table is unlocked: its handler may hold handles of the client.
    pub(crate) fn remove(&mut self, number: u32) -> Option<Entry> {
        self.entries.remove(&number)
    }

    /// A new connection: the requests to send.
    pub(crate) fn restart(&mut self) -> Vec<v1::Register> {
        self.refused.clear();
        let mut requests: Vec<v1::Register> =
            self.entries.values().map(|entry| entry.request.clone()).collect();
        requests.sort_by_key(|request| request.registration);
        requests
    }

    /// The requests to send again: those that the gateway refused when they were to be restored, and does not hold.
    pub(crate) fn retry(&mut self) -> Vec<v1::Register> {
        let refused = std::mem::take(&mut self.refused);
        refused.iter().filter_map(|number| Some(self.entries.get(number)?.request.clone())).collect()
    }

    /// The gateway's answer to a request; gives what was refused, as [`Registrations::remove`] does.
    #[must_use = "to be dropped once the table is unlocked"]
    pub(crate) fn acknowledge(&mut self, number: u32, acknowledged: v1::Acknowledged) -> Option<Entry> {
        let entry = self.entries.get_mut(&number)?;
        let code = acknowledged.code();
        let refused = || RegisterError::Refused {
            procedure: entry.request.procedure.clone(),
            code,
            message: acknowledged.message.clone(),
        };
        match (entry.answer.take(), code) {
            (Some(answer), Code::Ok) => {
                let _ = answer.send(Ok(acknowledged));
            }
            (Some(answer), _) => {
                let _ = answer.send(Err(refused()));
                return self.entries.remove(&number);
            }
            (None, Code::Ok) => {
                if std::mem::take(&mut entry.missing) {
                    tracing::info!(
                        procedure = entry.request.procedure,
                        "a registration was restored at last"
                    );
                }
            }
            // The gateway may not have noticed yet that our last session is gone, and with it the registration.
            (None, _) => {
                if !std::mem::replace(&mut entry.missing, true) {
                    tracing::warn!(error = %refused(), "a registration was not restored, will try again");
                }
                self.refused.insert(number);
            }
        }
        None
    }

    /// The connection is lost: nobody waits for the answers any longer.
    pub(crate) fn lose(&mut self) {
        for (_, working) in self.working.drain() {
            working.task.abort();
        }
        self.entries.values_mut().for_each(|entry| entry.working = 0);
    }

    /// Takes out everything; who waits for an answer learns that the client is closed.
    #[must_use = "to be dropped once the table is unlocked"]
    pub(crate) fn close(&mut self) -> Vec<Entry> {
        self.closed = true;
        let mut entries: Vec<Entry> = self.entries.drain().map(|(_, entry)| entry).collect();
        for answer in entries.iter_mut().filter_map(|entry| entry.answer.take()) {
            let _ = answer.send(Err(RegisterError::Closed));
        }
        entries
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// True when no handler is at work.
    pub(crate) fn is_idle(&self) -> bool {
        self.working.is_empty()
    }

    /// The caller no longer waits.
    pub(crate) fn cancel(&mut self, call: u64) {
        if let Some(working) = self.end(call, None) {
            working.task.abort();
        }
    }

    /// Takes a call out of the table, if it is still the one with this serial.
    fn end(&mut self, call: u64, serial: Option<u64>) -> Option<Working> {
        let working = self.working.get(&call)?;
        if serial.is_some_and(|serial| serial != working.serial) {
            return None;
        }
        let working = self.working.remove(&call)?;
        if let Some(entry) = self.entries.get_mut(&working.registration) {
            entry.working -= 1;
        }
        Some(working)
    }
}

impl Core {
    /// A call for one of our registrations.
    pub(crate) fn serve(self: &Arc<Self>, call: v1::Call) {
        let number = call.call;
        if let Err(failure) = self.start(call) {
            self.answer(number, Err(failure));
        }
    }

    fn start(self: &Arc<Self>, call: v1::Call) -> Result<(), CallFailure> {
        let number = call.call;
        let mut registrations = self.registrations();
        let Some(entry) = registrations.entries.get_mut(&call.registration) else {
            return Err(CallFailure::new(Code::NotFound, "the procedure was withdrawn"));
        };
        if entry.working >= CALLS {
            return Err(CallFailure::new(Code::ResourceExhausted, "the provider has too many calls already"));
        }
        let provider = entry.provider.clone();
        let Some(runtime) = provider.runtime.clone() else {
            return Err(CallFailure::new(Code::Unavailable, "the provider has no runtime"));
        };
        let registration = call.registration;
        let request = Request::read(call)?;
        entry.working += 1;
        registrations.serial += 1;
        let serial = registrations.serial;
        let core = Arc::clone(self);
        // The lock is held until the task is in the table, so that it cannot end before it is known.
        let task = runtime.spawn(async move {
            let result = provider.run(request).await;
            if core.registrations().end(number, Some(serial)).is_some() {
                core.answer(number, result);
            }
        });
        registrations.working.insert(number, Working { registration, serial, task: task.abort_handle() });
        Ok(())
    }

    fn answer(&self, call: u64, result: Result<Reply, CallFailure>) {
        let result = result.and_then(|reply| match reply.payload.len() {
            bytes if bytes > limits::PAYLOAD_BYTES => {
                let text =
                    format!("the reply has {bytes} bytes, at most {} are allowed", limits::PAYLOAD_BYTES);
                Err(CallFailure::new(Code::Internal, text))
            }
            _ => Ok(reply),
        });
        match result {
            Ok(Reply { payload, content_type, headers, .. }) => {
                self.rpc.send(
                    kind::CALL_RESULT,
                    &v1::CallResult { call, payload, content_type, headers, ..Default::default() },
                );
            }
            Err(CallFailure { code, message, details }) => {
                self.rpc.send(
                    kind::CALL_ERROR,
                    &v1::CallError { call, code: code.into(), message, details, ..Default::default() },
                );
            }
        }
    }
}

impl Provider {
    pub(crate) fn new(handler: Handler, runtime: Option<Handle>) -> Self {
        Self { handler, runtime, turns: Arc::new(Semaphore::new(HANDLERS)) }
    }

    async fn run(self, request: Request) -> Result<Reply, CallFailure> {
        let _turn = self.turns.acquire().await;
        let procedure = request.procedure.clone();
        let handler = Arc::clone(&self.handler);
        let started = catch_unwind(AssertUnwindSafe(move || handler(request)));
        let result = match started {
            Ok(future) => Caught(future).await,
            Err(_) => Err(()),
        };
        result.unwrap_or_else(|()| {
            tracing::error!(%procedure, "the handler panicked");
            Err(CallFailure::new(Code::Internal, "the provider panicked"))
        })
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Provider")
    }
}

impl Request {
    fn read(call: v1::Call) -> Result<Self, CallFailure> {
        let procedure = Topic::try_from(call.procedure.as_str())
            .map_err(|error| CallFailure::new(Code::InvalidArgument, format!("procedure: {error}")))?;
        let caller = PublisherId(call.caller[..].try_into().unwrap_or_default());
        let timeout = Duration::from_millis(u64::from(call.timeout_ms));
        Ok(Self { procedure, caller, timeout, call })
    }
}

/// A future whose panic is a result.
struct Caught(HandlerFuture);

impl Future for Caught {
    type Output = Result<Result<Reply, CallFailure>, ()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(result)) => Poll::Ready(Ok(result)),
            Err(_) => Poll::Ready(Err(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(registrations: &mut Registrations, number: u32, code: Code) -> Option<Entry> {
        registrations
            .acknowledge(number, v1::Acknowledged { code: code.into(), ..v1::Acknowledged::default() })
    }

    fn numbers(requests: &[v1::Register]) -> Vec<u32> {
        requests.iter().map(|request| request.registration).collect()
    }

    /// Registrations 1 to 3, made and then sent anew on another connection.
    fn restarted() -> Registrations {
        let mut registrations = Registrations::default();
        for _ in 0..3 {
            let provider = Provider::new(Arc::new(|_| Box::pin(async { Ok(Reply::default()) })), None);
            let (request, mut answered) = registrations.add(v1::Register::default(), provider);
            assert!(answer(&mut registrations, request.registration, Code::Ok).is_none());
            assert!(answered.try_recv().unwrap().is_ok());
        }
        assert_eq!(numbers(&registrations.restart()), [1, 2, 3]);
        registrations
    }

    #[test]
    fn what_is_not_restored_is_asked_for_again_until_it_is() {
        let mut registrations = restarted();
        assert!(answer(&mut registrations, 1, Code::Ok).is_none());
        for _ in 0..3 {
            assert!(answer(&mut registrations, 3, Code::AlreadyExists).is_none(), "it stays");
            assert!(answer(&mut registrations, 2, Code::AlreadyExists).is_none(), "it stays");
            assert_eq!(numbers(&registrations.retry()), [2, 3]);
            assert!(
                registrations.retry().is_empty(),
                "not while an answer is to come: a number is used once"
            );
        }
        assert!(answer(&mut registrations, 2, Code::Ok).is_none());
        assert!(answer(&mut registrations, 3, Code::Ok).is_none());
        assert!(registrations.retry().is_empty());
    }

    #[test]
    fn what_was_dropped_or_is_sent_by_a_new_connection_is_not_asked_for_again() {
        let mut registrations = restarted();
        assert!(answer(&mut registrations, 1, Code::AlreadyExists).is_none());
        assert!(answer(&mut registrations, 2, Code::AlreadyExists).is_none());
        assert!(registrations.remove(1).is_some());
        assert_eq!(numbers(&registrations.retry()), [2]);
        assert!(answer(&mut registrations, 2, Code::AlreadyExists).is_none());
        assert_eq!(numbers(&registrations.restart()), [2, 3]);
        assert!(registrations.retry().is_empty());
    }

    #[test]
    fn a_first_request_that_is_refused_is_not_repeated() {
        let mut registrations = restarted();
        let provider = Provider::new(Arc::new(|_| Box::pin(async { Ok(Reply::default()) })), None);
        let (_, mut answered) = registrations.add(v1::Register::default(), provider);
        assert!(answer(&mut registrations, 4, Code::AlreadyExists).is_some());
        assert!(matches!(answered.try_recv(), Ok(Err(RegisterError::Refused { .. }))));
        assert!(registrations.retry().is_empty());
    }
}

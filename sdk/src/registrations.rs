//! The procedures that a client offers, and the calls that it is answering.

use crate::core::Core;
use crate::error::RegisterError;
use crate::message::PublisherId;
use crate::numbers::ByNumber;
use crate::register::{CallFailure, RegistrationState, Reply, Request};
use crate::reply_sender::{Answering, ReplySender};
use crate::trace::{self, TraceParent};
use macula_proto::v1::{self, Code};
use macula_proto::{Topic, kind};
use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot, watch};
use tokio::task::AbortHandle;
use tracing::Instrument as _;

/// Handlers of one registration that run at a time; further calls wait for their turn. A guess, not measured:
/// enough to wait for a database many times over.
pub const HANDLERS: usize = 256;

/// Calls of one registration that run or wait for their turn; further ones are answered `RESOURCE_EXHAUSTED`.
const CALLS: usize = 4 * HANDLERS;

/// What a call is counted as beyond payload, headers and content type. About what its task and its tables take.
const CALL_OVERHEAD: usize = 1 << 10;

/// A handler with its future boxed. It gives its only reply, or none when it has sent its replies itself.
pub(crate) type Handler = Arc<dyn Fn(Request, ReplySender) -> HandlerFuture + Send + Sync>;
type HandlerFuture = Pin<Box<dyn Future<Output = Result<Option<Reply>, CallFailure>> + Send>>;

/// A handler, and where and how many at a time it runs.
pub(crate) struct Provider {
    handler: Handler,
    runtime: Option<Handle>,
    turns: Semaphore,
}

/// All registrations, by the numbers that the gateway knows them by.
#[derive(Debug, Default)]
pub(crate) struct Registrations {
    last: u32,
    entries: ByNumber<u32, Entry>,
    /// Refused on this connection after they had been made; asked for again.
    refused: BTreeSet<u32>,
    /// Handlers at work, by the gateway's number of the call.
    working: ByNumber<u64, Working>,
    serial: u64,
    /// Bytes of the calls in `working`.
    bytes: usize,
    /// Nothing is added any more: nobody would answer it.
    closed: bool,
}

/// One registration.
#[derive(Debug)]
pub(crate) struct Entry {
    request: v1::Register,
    provider: Arc<Provider>,
    answer: Option<oneshot::Sender<Result<v1::Acknowledged, RegisterError>>>,
    state: watch::Sender<RegistrationState>,
    working: usize,
    /// What was called last, since it most often is what is called next.
    called: Option<Topic>,
}

#[derive(Debug)]
struct Working {
    registration: u32,
    /// The gateway's numbers begin anew with each gateway; these do not.
    serial: u64,
    /// What it counts as.
    bytes: usize,
    task: AbortHandle,
    answering: Arc<Answering>,
}

impl Working {
    /// Nobody waits for the answer any longer.
    fn stop(self) {
        self.answering.cancel();
        self.task.abort();
    }
}

impl Registrations {
    pub(crate) fn add(
        &mut self,
        request: v1::Register,
        provider: Provider,
        state: watch::Sender<RegistrationState>,
    ) -> (v1::Register, oneshot::Receiver<Result<v1::Acknowledged, RegisterError>>) {
        self.last += 1;
        let request = v1::Register { registration: self.last, ..request };
        let (answer, receiver) = oneshot::channel();
        let (provider, answer) = (Arc::new(provider), Some(answer));
        let entry = Entry { request: request.clone(), provider, answer, state, working: 0, called: None };
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
                if matches!(*entry.state.borrow(), RegistrationState::Lost { .. }) {
                    let procedure = &entry.request.procedure;
                    tracing::info!(procedure, "a registration was restored at last");
                }
                entry.state.send_replace(RegistrationState::Registered);
            }
            // Another client has it: it was quicker after a reconnect, or the earlier of two that did not know of each
            // other.
            (None, code) => {
                let known = matches!(*entry.state.borrow(), RegistrationState::Lost { .. });
                if !known {
                    tracing::warn!(error = %refused(), "a registration was lost, will ask for it again");
                }
                entry.state.send_replace(RegistrationState::Lost { code, message: acknowledged.message });
                self.refused.insert(number);
            }
        }
        None
    }

    /// The connection is lost: nobody waits for the answers any longer.
    pub(crate) fn lose(&mut self) {
        self.working.drain().for_each(|(_, working)| working.stop());
        self.bytes = 0;
        for entry in self.entries.values_mut() {
            entry.working = 0;
            entry.state.send_replace(RegistrationState::Disconnected);
        }
    }

    /// Takes out everything; who waits for an answer learns that the client is closed.
    #[must_use = "to be dropped once the table is unlocked"]
    pub(crate) fn close(&mut self) -> Vec<Entry> {
        self.closed = true;
        let mut entries: Vec<Entry> = self.entries.drain().map(|(_, entry)| entry).collect();
        for answer in entries.iter_mut().filter_map(|entry| entry.answer.take()) {
            let _ = answer.send(Err(RegisterError::Closed));
        }
        entries.iter().for_each(|entry| drop(entry.state.send_replace(RegistrationState::Closed)));
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
            working.stop();
        }
    }

    /// The caller takes `total` bytes of a streamed answer.
    pub(crate) fn grant(&mut self, call: u64, total: u64) {
        if let Some(working) = self.working.get(&call) {
            working.answering.grant(total);
        }
    }

    /// Takes a call out of the table, if it is still the one with this serial.
    fn end(&mut self, call: u64, serial: Option<u64>) -> Option<Working> {
        let working = self.working.get(&call)?;
        if serial.is_some_and(|serial| serial != working.serial) {
            return None;
        }
        let working = self.working.remove(&call)?;
        self.bytes -= working.bytes;
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
        let (bytes, most) = (size(&call), self.config.call_bytes);
        let mut registrations = self.registrations();
        let registrations = &mut *registrations;
        let held = registrations.bytes;
        let Some(entry) = registrations.entries.get_mut(&call.registration) else {
            return Err(CallFailure::new(Code::NotFound, "the procedure was withdrawn"));
        };
        if entry.working >= CALLS {
            return Err(CallFailure::new(Code::ResourceExhausted, "the provider has too many calls already"));
        }
        if held + bytes > most {
            let text = format!(
                "the provider holds {held} bytes of calls and takes at most {most}; this one has {bytes}"
            );
            return Err(CallFailure::new(Code::ResourceExhausted, text));
        }
        let provider = Arc::clone(&entry.provider);
        let Some(runtime) = &entry.provider.runtime else {
            return Err(CallFailure::new(Code::Unavailable, "the provider has no runtime"));
        };
        let registration = call.registration;
        let answering = Arc::new(Answering::new(call.credit));
        let procedure = match &entry.called {
            Some(called) if called.as_str() == call.procedure => called.clone(),
            _ => entry.called.insert(procedure(&call)?).clone(),
        };
        let request = Request::read(call, procedure, Arc::clone(&answering));
        entry.working += 1;
        registrations.bytes += bytes;
        registrations.serial += 1;
        let serial = registrations.serial;
        let core = Arc::clone(self);
        let replies = ReplySender::new(Arc::clone(self), number, Arc::clone(&answering));
        let own = Arc::clone(&answering);
        // The lock is held until the task is in the table, so that it cannot end before it is known.
        let span = tracing::info_span!(
            "call",
            otel.kind = "server",
            procedure = %request.procedure(),
            caller = %request.caller(),
            traceparent = request.header(trace::HEADER),
        );
        let trace = request.traceparent().map(TraceParent::child);
        let work = async move {
            let turn = provider.turn().await;
            let result = own.finish(provider.run(request, replies).await);
            // Results share one way out. Who waits for it keeps his turn, so that no more than that many wait.
            core.rpc.room().await;
            drop(turn);
            if core.registrations().end(number, Some(serial)).is_some() {
                core.answer(number, result);
            }
        };
        let task = match trace {
            Some(trace) => runtime.spawn(trace.scope(work).instrument(span)),
            None => runtime.spawn(work.instrument(span)),
        };
        let task = task.abort_handle();
        registrations.working.insert(number, Working { registration, serial, bytes, task, answering });
        Ok(())
    }

    fn answer(&self, call: u64, result: Result<Reply, CallFailure>) {
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
        Self { handler, runtime, turns: Semaphore::new(HANDLERS) }
    }

    /// Resolves when the handler may run; its turn ends when this is dropped.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
    }

    async fn run(&self, request: Request, replies: ReplySender) -> Result<Option<Reply>, CallFailure> {
        let procedure = request.procedure.clone();
        let handler = Arc::clone(&self.handler);
        let started = catch_unwind(AssertUnwindSafe(move || handler(request, replies)));
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
    fn read(call: v1::Call, procedure: Topic, answering: Arc<Answering>) -> Self {
        let caller = PublisherId(call.caller[..].try_into().unwrap_or_default());
        let timeout = Duration::from_millis(u64::from(call.timeout_ms));
        Self { procedure, caller, arrived: Instant::now(), timeout, call, answering }
    }
}

fn procedure(call: &v1::Call) -> Result<Topic, CallFailure> {
    let topic = call.procedure.parse();
    topic.map_err(|error| CallFailure::new(Code::InvalidArgument, format!("procedure: {error}")))
}

/// What a call counts as among the bytes that a provider holds.
fn size(call: &v1::Call) -> usize {
    let headers: usize = call.headers.iter().map(|header| header.name.len() + header.value.len()).sum();
    call.payload.len() + call.content_type.len() + headers + CALL_OVERHEAD
}

/// A future whose panic is a result.
struct Caught(HandlerFuture);

impl Future for Caught {
    type Output = Result<Result<Option<Reply>, CallFailure>, ()>;

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

    type Answered = oneshot::Receiver<Result<v1::Acknowledged, RegisterError>>;

    fn add(
        registrations: &mut Registrations,
    ) -> (v1::Register, Answered, watch::Receiver<RegistrationState>) {
        let handler: Handler = Arc::new(|_, _| Box::pin(async { Ok(Some(Reply::default())) }));
        let state = watch::Sender::new(RegistrationState::Registered);
        let watched = state.subscribe();
        let (request, answered) =
            registrations.add(v1::Register::default(), Provider::new(handler, None), state);
        (request, answered, watched)
    }

    fn numbers(requests: &[v1::Register]) -> Vec<u32> {
        requests.iter().map(|request| request.registration).collect()
    }

    /// Registrations 1 to 3, made and then sent anew on another connection.
    fn restarted() -> Registrations {
        let mut registrations = Registrations::default();
        for _ in 0..3 {
            let (request, mut answered, _) = add(&mut registrations);
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
        let (_, mut answered, _) = add(&mut registrations);
        assert!(answer(&mut registrations, 4, Code::AlreadyExists).is_some());
        assert!(matches!(answered.try_recv(), Ok(Err(RegisterError::Refused { .. }))));
        assert!(registrations.retry().is_empty());
    }

    #[test]
    fn who_watches_a_registration_sees_it_lost_and_restored() {
        let mut registrations = Registrations::default();
        let (request, _answered, state) = add(&mut registrations);
        let number = request.registration;
        let expect = |registrations: &mut Registrations, code, expected| {
            assert!(answer(registrations, number, code).is_none());
            assert_eq!(*state.borrow(), expected);
        };
        let lost = |code| RegistrationState::Lost { code, message: String::new() };
        expect(&mut registrations, Code::Ok, RegistrationState::Registered);
        expect(&mut registrations, Code::Aborted, lost(Code::Aborted));
        assert_eq!(numbers(&registrations.retry()), [number], "it is asked for again");
        expect(&mut registrations, Code::AlreadyExists, lost(Code::AlreadyExists));
        registrations.retry();
        expect(&mut registrations, Code::Ok, RegistrationState::Registered);
        registrations.lose();
        assert_eq!(*state.borrow(), RegistrationState::Disconnected);
        registrations.restart();
        assert!(answer(&mut registrations, number, Code::Ok).is_none());
        assert_eq!(*state.borrow(), RegistrationState::Registered);
        drop(registrations.close());
        assert_eq!(*state.borrow(), RegistrationState::Closed);
    }
}

//! Offering procedures.

use crate::client::Client;
use crate::error::{DecodeError, RegisterError};
use crate::message::PublisherId;
use crate::registrations::{Handler, Provider};
use crate::reply_sender::{Answering, Cancellation, ReplySender};
use crate::trace::{self, TraceParent};
use bytes::Bytes;
use macula_proto::v1::{self, Acknowledged, CallPolicy, Code, Scope};
use macula_proto::{Pattern, Topic};
use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// A call as its provider sees it.
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) procedure: Topic,
    pub(crate) caller: PublisherId,
    pub(crate) arrived: Instant,
    pub(crate) timeout: Duration,
    pub(crate) call: v1::Call,
    pub(crate) answering: Arc<Answering>,
}

impl Request {
    /// What was called; of interest where a pattern is registered.
    pub fn procedure(&self) -> &Topic {
        &self.procedure
    }

    /// What the caller sent.
    pub fn payload(&self) -> &Bytes {
        &self.call.payload
    }

    /// Media type of the payload, empty when the caller named none.
    pub fn content_type(&self) -> &str {
        &self.call.content_type
    }

    /// Who calls.
    pub fn caller(&self) -> PublisherId {
        self.caller
    }

    /// Authenticated name of the caller, empty where gateways authenticate nobody.
    pub fn subject(&self) -> &str {
        &self.call.subject
    }

    /// The time that the caller still waits, from when the request arrived.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// When the caller stops waiting.
    pub fn deadline(&self) -> Instant {
        self.arrived + self.timeout
    }

    /// Tells whether anybody still waits. The handler itself is dropped when nobody does; this is for work that it has
    /// handed to other tasks or threads.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use macula_sdk::{CallFailure, Code, Pattern, Reply};
    ///
    /// let procedure: Pattern = "example.prime".parse()?;
    /// let registration = client.register(procedure, |request| async move {
    ///     let cancellation = request.cancellation();
    ///     let search = move || (1u64 << 40..).find(|n| cancellation.is_cancelled() || (2..1 << 20).all(|d| n % d != 0));
    ///     let found = tokio::task::spawn_blocking(search).await;
    ///     let found = found.map_err(|error| CallFailure::new(Code::Internal, error.to_string()))?;
    ///     Ok(Reply::new(format!("{found:?}")))
    /// });
    /// # drop(registration.await?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn cancellation(&self) -> Cancellation {
        Cancellation(Arc::clone(&self.answering))
    }

    /// Value of the first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find_map(|(found, value)| (found == name).then_some(value))
    }

    /// The trace that the call belongs to, if it says so.
    pub fn traceparent(&self) -> Option<TraceParent> {
        self.header(trace::HEADER)?.parse().ok()
    }

    /// Name and value of each header.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.call.headers.iter().map(|header| (header.name.as_str(), header.value.as_str()))
    }

    /// The payload as a protobuf message. With `?` in a handler, a payload that is none answers
    /// `INVALID_ARGUMENT`.
    ///
    /// # Errors
    /// [`DecodeError`] names procedure, content type and the type asked for.
    pub fn decode<T: prost::Message + Default>(&self) -> Result<T, DecodeError> {
        decode(self.procedure.as_str(), self.content_type(), self.payload())
    }
}

/// The result of a call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    pub(crate) procedure: String,
    pub(crate) payload: Bytes,
    pub(crate) content_type: String,
    pub(crate) headers: Vec<v1::Header>,
}

impl Reply {
    /// A reply with this payload.
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self { payload: payload.into(), ..Self::default() }
    }

    /// A reply with a protobuf message, with content type `application/x-protobuf`.
    pub fn message<T: prost::Message>(message: &T) -> Self {
        Self::new(message.encode_to_vec()).with_content_type("application/x-protobuf")
    }

    /// A reply with a protobuf message that says its type, with content type `application/x-protobuf; type=…`.
    pub fn typed<T: prost::Message + prost::Name>(message: &T) -> Self {
        Self::new(message.encode_to_vec()).with_content_type(content_type_of::<T>())
    }

    /// Sets the media type of the payload.
    pub fn with_content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = content_type.into();
        self
    }

    /// Adds a header.
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push(v1::Header { name: name.into(), value: value.into() });
        self
    }

    /// What the provider sent.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Media type of the payload, empty when the provider named none.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// Name and value of each header.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|header| (header.name.as_str(), header.value.as_str()))
    }

    /// The payload as a protobuf message.
    ///
    /// # Errors
    /// [`DecodeError`] names procedure, content type and the type asked for.
    pub fn decode<T: prost::Message + Default>(&self) -> Result<T, DecodeError> {
        decode(&self.procedure, &self.content_type, &self.payload)
    }

    /// The payload as a protobuf message, unless its content type names another.
    ///
    /// # Errors
    /// [`DecodeError`] names procedure, content type and the type asked for.
    pub fn decode_typed<T: prost::Message + prost::Name + Default>(&self) -> Result<T, DecodeError> {
        let named = self.content_type.split(';').find_map(|part| part.trim().strip_prefix("type="));
        if named.is_some_and(|named| named.trim_matches('"') != T::full_name()) {
            return Err(DecodeError {
                topic: self.procedure.clone(),
                content_type: self.content_type.clone(),
                wanted: std::any::type_name::<T>(),
                #[expect(deprecated, reason = "prost has no other way to make one")]
                source: prost::DecodeError::new("it is another message"),
            });
        }
        self.decode()
    }

    /// It says nothing at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.payload.is_empty() && self.content_type.is_empty() && self.headers.is_empty()
    }
}

/// Content type of a protobuf message that says its type.
pub(crate) fn content_type_of<T: prost::Name>() -> String {
    format!("application/x-protobuf; type={}", T::full_name())
}

/// Why a provider has no result; the caller gets it as [`CallError`](crate::CallError).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", .code.as_str_name())]
pub struct CallFailure {
    /// Any code but OK.
    pub code: Code,
    /// Explanation for people.
    pub message: String,
    /// Whatever else the caller should know.
    pub details: Bytes,
}

impl CallFailure {
    /// A failure without details.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Bytes::new() }
    }

    /// Adds details.
    pub fn with_details(mut self, details: impl Into<Bytes>) -> Self {
        self.details = details.into();
        self
    }
}

impl From<DecodeError> for CallFailure {
    fn from(error: DecodeError) -> Self {
        Self::new(Code::InvalidArgument, error.to_string())
    }
}

/// A registration about to be made; `.await` makes it. See [`Client::register`].
#[must_use = "a procedure is registered when it is awaited"]
pub struct Register {
    client: Client,
    request: v1::Register,
    handler: Handler,
}

impl Register {
    pub(crate) fn new<H, F>(client: Client, procedure: &Pattern, handler: H) -> Self
    where
        H: Fn(Request) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Reply, CallFailure>> + Send + 'static,
    {
        let request = v1::Register { procedure: procedure.as_str().to_owned(), ..v1::Register::default() };
        let handler: Handler = Arc::new(move |request, _| {
            let answer = handler(request);
            Box::pin(async move { answer.await.map(Some) })
        });
        Self { client, request, handler }
    }

    pub(crate) fn new_stream<H, F>(client: Client, procedure: &Pattern, handler: H) -> Self
    where
        H: Fn(Request, ReplySender) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), CallFailure>> + Send + 'static,
    {
        let request = v1::Register { procedure: procedure.as_str().to_owned(), ..v1::Register::default() };
        let handler: Handler = Arc::new(move |request, replies| {
            let answer = handler(request, replies);
            Box::pin(async move { answer.await.map(|()| None) })
        });
        Self { client, request, handler }
    }

    /// How one of several providers is chosen. By default there is only one: a second registration is refused with
    /// `ALREADY_EXISTS`.
    pub fn policy(mut self, policy: CallPolicy) -> Self {
        self.request.policy = policy.into();
        self
    }

    /// Resolve when every gateway of the mesh knows the registration, at most two seconds later.
    pub fn scope_mesh(mut self) -> Self {
        self.request.scope = Scope::Mesh.into();
        self
    }
}

impl IntoFuture for Register {
    type Output = Result<Registration, RegisterError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let runtime = Handle::try_current().ok();
            let provider =
                Provider::new(self.handler, runtime.or_else(|| self.client.core().io.get().cloned()));
            let state = watch::Sender::new(RegistrationState::Registered);
            let watched = state.subscribe();
            let (number, answer) = self.client.core().register(self.request, provider, state)?;
            // From here on, dropping this future unregisters.
            let acknowledged = Acknowledged::default();
            let mut registration = Registration { client: self.client, number, acknowledged, state: watched };
            registration.acknowledged = answer.await.unwrap_or(Err(RegisterError::Closed))?;
            Ok(registration)
        })
    }
}

/// A procedure that this client offers. Dropping it withdraws the offer; calls under way are finished.
///
/// It is restored after a reconnect. While that is refused, because another client has registered the procedure meanwhile,
/// the client asks again about every second. Two clients of gateways that could not reach each other may have registered
/// the same procedure as the only one: when the gateways meet again, the later loses it. [`state`](Self::state) tells.
#[must_use = "dropping it withdraws the procedure"]
#[derive(Debug)]
pub struct Registration {
    client: Client,
    number: u32,
    acknowledged: Acknowledged,
    state: watch::Receiver<RegistrationState>,
}

/// How a registration stands; see [`Registration::state`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistrationState {
    /// Calls come.
    Registered,
    /// The connection is lost; the registration is made again on the next one.
    Disconnected,
    /// Another client has the procedure. This one asks for it again about every second.
    Lost {
        /// The gateway's code: `Aborted` when a registration that stood was withdrawn, `AlreadyExists` when it was not
        /// restored.
        code: Code,
        /// The gateway's explanation.
        message: String,
    },
    /// The client is closed.
    Closed,
}

impl Registration {
    /// How many gateways knew the registration when it was acknowledged, the local one included.
    pub fn confirmed(&self) -> u32 {
        self.acknowledged.confirmed
    }

    /// Names of the gateways that did not know it yet; see [`Register::scope_mesh`].
    pub fn missing(&self) -> &[String] {
        &self.acknowledged.missing
    }

    /// How the registration stands, now and whenever that changes.
    ///
    /// ```no_run
    /// # async fn example(registration: macula_sdk::Registration) {
    /// use macula_sdk::RegistrationState;
    ///
    /// let mut state = registration.state();
    /// while state.changed().await.is_ok() {
    ///     if let RegistrationState::Lost { message, .. } = &*state.borrow_and_update() {
    ///         eprintln!("another provider answers: {message}");
    ///     }
    /// }
    /// # }
    /// ```
    pub fn state(&self) -> watch::Receiver<RegistrationState> {
        self.state.clone()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.client.core().unregister(self.number);
    }
}

fn decode<T: prost::Message + Default>(
    topic: &str,
    content_type: &str,
    payload: &[u8],
) -> Result<T, DecodeError> {
    T::decode(payload).map_err(|source| DecodeError {
        topic: topic.to_owned(),
        content_type: content_type.to_owned(),
        wanted: std::any::type_name::<T>(),
        source,
    })
}

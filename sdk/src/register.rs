//! Offering procedures.

use crate::client::Client;
use crate::error::{DecodeError, RegisterError};
use crate::message::PublisherId;
use crate::names::BadName;
use crate::registrations::{Handler, Provider};
use crate::reply_sender::{Answering, Cancellation, ReplySender};
use crate::trace::{self, TraceParent};
use crate::typed;
use bytes::Bytes;
use macula_proto::pattern::PatternError;
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
    ///
    /// ```no_run
    /// # async fn example(request: macula_sdk::Request) -> macula_sdk::doc::Outcome {
    /// let name = request.procedure().segments().last();
    /// # Ok(())
    /// # }
    /// ```
    pub fn procedure(&self) -> &Topic {
        &self.procedure
    }

    /// What the caller sent.
    ///
    /// ```no_run
    /// # async fn example(request: macula_sdk::Request) -> macula_sdk::doc::Outcome {
    /// println!("{}", String::from_utf8_lossy(request.payload()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn payload(&self) -> &Bytes {
        &self.call.payload
    }

    /// Media type of the payload, empty when the caller named none.
    ///
    /// ```no_run
    /// # async fn example(request: macula_sdk::Request) -> macula_sdk::doc::Outcome {
    /// let is_json = request.content_type() == "application/json";
    /// # Ok(())
    /// # }
    /// ```
    pub fn content_type(&self) -> &str {
        &self.call.content_type
    }

    /// Who calls.
    ///
    /// ```no_run
    /// # async fn example(request: macula_sdk::Request) -> macula_sdk::doc::Outcome {
    /// println!("{} calls", request.caller());
    /// # Ok(())
    /// # }
    /// ```
    pub fn caller(&self) -> PublisherId {
        self.caller
    }

    /// Authenticated name of the caller, empty where gateways authenticate nobody.
    ///
    /// ```no_run
    /// # async fn example(request: macula_sdk::Request) -> macula_sdk::doc::Outcome {
    /// println!("{} calls", request.subject());
    /// # Ok(())
    /// # }
    /// ```
    pub fn subject(&self) -> &str {
        &self.call.subject
    }

    /// The time that the caller still waits, from when the request arrived.
    ///
    /// ```no_run
    /// # async fn example(request: macula_sdk::Request) -> macula_sdk::doc::Outcome {
    /// let half = request.timeout() / 2;
    /// # Ok(())
    /// # }
    /// ```
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// When the caller stops waiting.
    ///
    /// ```no_run
    /// # async fn example(request: macula_sdk::Request) -> macula_sdk::doc::Outcome {
    /// let left = request.deadline().saturating_duration_since(std::time::Instant::now());
    /// # Ok(())
    /// # }
    /// ```
    pub fn deadline(&self) -> Instant {
        self.arrived + self.timeout
    }

    /// Tells whether anybody still waits. The handler itself is dropped when nobody does; this is for work that it has
    /// handed to other tasks or threads.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use macula_sdk::{CallFailure, Code, Reply};
    ///
    /// let registration = client.register("example.prime", |request| async move {
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
    ///
    /// ```no_run
    /// # async fn example(request: macula_sdk::Request) -> macula_sdk::doc::Outcome {
    /// let language = request.header("accept-language").unwrap_or("en");
    /// # Ok(())
    /// # }
    /// ```
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find_map(|(found, value)| (found == name).then_some(value))
    }

    /// The trace that the call belongs to, if it says so.
    ///
    /// ```no_run
    /// # async fn example(request: macula_sdk::Request) -> macula_sdk::doc::Outcome {
    /// println!("part of {:?}", request.traceparent());
    /// # Ok(())
    /// # }
    /// ```
    pub fn traceparent(&self) -> Option<TraceParent> {
        self.header(trace::HEADER)?.parse().ok()
    }

    /// Name and value of each header.
    ///
    /// ```no_run
    /// # async fn example(request: macula_sdk::Request) -> macula_sdk::doc::Outcome {
    /// for (name, value) in request.headers() {
    ///     println!("{name}: {value}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.call.headers.iter().map(|header| (header.name.as_str(), header.value.as_str()))
    }

    /// The payload as a protobuf message. With `?` in a handler, a payload that is none answers
    /// `INVALID_ARGUMENT`.
    ///
    /// ```no_run
    /// # async fn example(request: macula_sdk::Request) -> macula_sdk::doc::Outcome {
    /// # use macula_sdk::doc::Question;
    /// let question: Question = request.decode()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`DecodeError`] names procedure, content type and the type asked for.
    pub fn decode<T: prost::Message + Default>(&self) -> Result<T, DecodeError> {
        typed::decode(self.procedure.as_str(), self.content_type(), self.payload())
    }

    /// The payload as a protobuf message, unless its content type names another. See
    /// [`Client::register_typed`](crate::Client::register_typed).
    ///
    /// ```no_run
    /// # async fn example(request: macula_sdk::Request) -> macula_sdk::doc::Outcome {
    /// # use macula_sdk::doc::Question;
    /// let question: Question = request.decode_typed()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`DecodeError`] names procedure, content type and the type asked for.
    pub fn decode_typed<T: prost::Message + prost::Name + Default>(&self) -> Result<T, DecodeError> {
        typed::decode_typed(self.procedure.as_str(), self.content_type(), self.payload())
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
    ///
    /// ```
    /// let reply = macula_sdk::Reply::new("3500 W");
    /// assert_eq!(&reply.payload()[..], b"3500 W");
    /// ```
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self { payload: payload.into(), ..Self::default() }
    }

    /// A reply with a protobuf message that says its type, with content type `application/x-protobuf; type=…`.
    ///
    /// ```
    /// # use macula_sdk::doc::Reading;
    /// let reply = macula_sdk::Reply::typed(&Reading { watts: 3500 });
    /// assert_eq!(reply.content_type(), "application/x-protobuf; type=example.Reading");
    /// ```
    pub fn typed<T: prost::Message + prost::Name>(message: &T) -> Self {
        Self::new(message.encode_to_vec()).with_content_type(typed::content_type::<T>())
    }

    /// Sets the media type of the payload.
    ///
    /// ```
    /// let reply = macula_sdk::Reply::new("{}").with_content_type("application/json");
    /// ```
    pub fn with_content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = content_type.into();
        self
    }

    /// Adds a header.
    ///
    /// ```
    /// let reply = macula_sdk::Reply::new("3500").with_header("unit", "W");
    /// ```
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push(v1::Header { name: name.into(), value: value.into() });
        self
    }

    /// What the provider sent.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// let reply = client.call("example.now", "").await?;
    /// println!("{}", String::from_utf8_lossy(reply.payload()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Media type of the payload, empty when the provider named none.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// let is_json = client.call("example.now", "").await?.content_type() == "application/json";
    /// # Ok(())
    /// # }
    /// ```
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// Name and value of each header.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// for (name, value) in client.call("example.now", "").await?.headers() {
    ///     println!("{name}: {value}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|header| (header.name.as_str(), header.value.as_str()))
    }

    /// The payload as a protobuf message.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// # use macula_sdk::doc::Reading;
    /// let reading: Reading = client.call("example.reading", "").await?.decode()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`DecodeError`] names procedure, content type and the type asked for.
    pub fn decode<T: prost::Message + Default>(&self) -> Result<T, DecodeError> {
        typed::decode(&self.procedure, &self.content_type, &self.payload)
    }

    /// The payload as a protobuf message, unless its content type names another.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// # use macula_sdk::doc::Reading;
    /// let reading: Reading = client.call("example.reading", "").await?.decode_typed()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`DecodeError`] names procedure, content type and the type asked for.
    pub fn decode_typed<T: prost::Message + prost::Name + Default>(&self) -> Result<T, DecodeError> {
        typed::decode_typed(&self.procedure, &self.content_type, &self.payload)
    }

    /// It says nothing at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.payload.is_empty() && self.content_type.is_empty() && self.headers.is_empty()
    }
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
    ///
    /// ```
    /// use macula_sdk::{CallFailure, Code};
    /// let failure = CallFailure::new(Code::NotFound, "no such home");
    /// ```
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Bytes::new() }
    }

    /// Adds details.
    ///
    /// ```
    /// use macula_sdk::{CallFailure, Code};
    /// let failure = CallFailure::new(Code::Aborted, "not today").with_details("ask tomorrow");
    /// ```
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

/// What is to be registered.
type Procedure = Result<Pattern, BadName<PatternError>>;

/// A registration about to be made; `.await` makes it. See [`Client::register`].
#[must_use = "a procedure is registered when it is awaited"]
pub struct Register {
    client: Client,
    request: v1::Register,
    procedure: Result<(), BadName<PatternError>>,
    handler: Handler,
}

impl Register {
    pub(crate) fn new<H, F>(client: Client, procedure: Procedure, handler: H) -> Self
    where
        H: Fn(Request) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Reply, CallFailure>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |request, _| {
            let answer = handler(request);
            Box::pin(async move { answer.await.map(Some) })
        });
        Self::with_handler(client, procedure, handler)
    }

    pub(crate) fn new_stream<H, F>(client: Client, procedure: Procedure, handler: H) -> Self
    where
        H: Fn(Request, ReplySender) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), CallFailure>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |request, replies| {
            let answer = handler(request, replies);
            Box::pin(async move { answer.await.map(|()| None) })
        });
        Self::with_handler(client, procedure, handler)
    }

    fn with_handler(client: Client, procedure: Procedure, handler: Handler) -> Self {
        let mut request = v1::Register::default();
        let procedure = procedure.map(|pattern| pattern.as_str().clone_into(&mut request.procedure));
        Self { client, request, procedure, handler }
    }

    /// How one of several providers is chosen. By default there is only one: a second registration is refused with
    /// `ALREADY_EXISTS`.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// use macula_sdk::{CallPolicy, Reply};
    /// let register = client.register("example.now", async |_| Ok(Reply::new("noon")));
    /// let registration = register.policy(CallPolicy::RoundRobin).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn policy(mut self, policy: CallPolicy) -> Self {
        self.request.policy = policy.into();
        self
    }

    /// Resolve when every gateway of the mesh knows the registration, at most two seconds later.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// # use macula_sdk::Reply;
    /// let register = client.register("example.now", async |_| Ok(Reply::new("noon")));
    /// let registration = register.scope_mesh().await?;
    /// # Ok(())
    /// # }
    /// ```
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
            self.procedure?;
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
    ///
    /// ```no_run
    /// # async fn example(registration: macula_sdk::Registration) -> macula_sdk::doc::Outcome {
    /// println!("{} gateways know of it", registration.confirmed());
    /// # Ok(())
    /// # }
    /// ```
    pub fn confirmed(&self) -> u32 {
        self.acknowledged.confirmed
    }

    /// Names of the gateways that did not know it yet; see [`Register::scope_mesh`].
    ///
    /// ```no_run
    /// # async fn example(registration: macula_sdk::Registration) -> macula_sdk::doc::Outcome {
    /// println!("not yet: {}", registration.missing().join(", "));
    /// # Ok(())
    /// # }
    /// ```
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

//! Calling a procedure.

use crate::calls::{Answer, NotBegun, Waiting};
use crate::client::Client;
use crate::core::Core;
use crate::error::CallError;
use crate::mailbox::{GATHERED_BYTES, Mailbox};
use crate::names::BadName;
use crate::register::Reply;
use crate::replies::{Answers, Gathered, Replies};
use crate::status::Status;
use crate::trace::{self, TraceParent};
use bytes::Bytes;
use macula_proto::topic::TopicError;
use macula_proto::v1::{self, Code};
use macula_proto::{Topic, kind, limits};
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tracing::Instrument as _;

/// Time that a call has unless it says otherwise: what users of gRPC and HTTP clients expect.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of results that a stream lets wait here unless it says otherwise. A guess, not measured: far more than a round
/// trip in a data centre carries, and a thousand streams still fit into memory.
pub const DEFAULT_WINDOW: u64 = 256 << 10;

/// How much longer than the gateway this client waits for the answers of all providers, since it is the gateway
/// that tells which of them did not answer in time.
const GATHER_GRACE: Duration = Duration::from_secs(1);

/// A call about to be made; `.await` makes it. See [`Client::call`], [`Client::call_typed`], [`Client::call_all`].
///
/// A call reaches at most one provider, once; nothing repeats it. Without a connection it waits for one, as long as
/// its time lasts. Dropping the future cancels the call at the provider.
#[must_use = "a call is made when it is awaited"]
#[derive(Debug)]
pub struct Call<T = Reply> {
    client: Client,
    procedure: Result<Topic, BadName<TopicError>>,
    timeout: Duration,
    window: u64,
    request: v1::Call,
    answer: PhantomData<fn() -> T>,
}

/// Marks a [`Call`] that resolves to the protobuf message `T`; see [`Client::call_typed`].
#[derive(Debug)]
pub struct Typed<T>(PhantomData<fn() -> T>);

/// Marks a [`Call`] of every provider; see [`Client::call_all`].
#[derive(Debug)]
pub struct All(());

impl<T> Call<T> {
    pub(crate) fn new(client: Client, procedure: Result<Topic, BadName<TopicError>>, payload: Bytes) -> Self {
        let name = procedure.as_ref().map_or_else(|bad| bad.text.clone(), Topic::to_string);
        let request = v1::Call { procedure: name, payload, ..v1::Call::default() };
        let (timeout, window) = (DEFAULT_TIMEOUT, DEFAULT_WINDOW);
        Self { client, procedure, timeout, window, request, answer: PhantomData }
    }

    /// How long to wait for the answer, 30 s by default; of a stream for its end. The gateway and the provider know it
    /// too.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// let within = std::time::Duration::from_millis(500);
    /// let reply = client.call("example.now", "").timeout(within).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Adds a header.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// let reply = client.call("example.now", "").header("accept-language", "nl-BE").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.request.headers.push(v1::Header { name: name.into(), value: value.into() });
        self
    }

    /// Tells the trace that the call belongs to, in the header `traceparent`. Inside of a handler whose call names one, and
    /// within [`TraceParent::scope`], that is said without being asked for.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// let trace = macula_sdk::TraceParent::root(true);
    /// let reply = client.call("example.now", "").traceparent(trace).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn traceparent(self, trace: TraceParent) -> Self {
        self.header(trace::HEADER, trace.to_string())
    }

    /// Media type of the payload.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// let reply = client.call("example.store", "{}").content_type("application/json").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.request.content_type = content_type.into();
        self
    }

    /// Makes the call when there is a connection that takes it. `waiting` is made anew for each attempt.
    async fn begin<W>(&mut self, waiting: impl Fn() -> (Waiting, W)) -> Result<(u64, W, Instant), CallError> {
        self.procedure.clone()?;
        if !self.request.headers.iter().any(|header| header.name == trace::HEADER)
            && let Some(trace) = self.client.core().trace()
        {
            self.request.headers.push(v1::Header { name: trace::HEADER.into(), value: trace.to_string() });
        }
        if self.request.payload.len() > limits::PAYLOAD_BYTES {
            let (bytes, limit) = (self.request.payload.len(), limits::PAYLOAD_BYTES);
            let text = format!("the payload has {bytes} bytes, at most {limit} are allowed");
            return Err(self.fail(Code::InvalidArgument, &text));
        }
        let deadline = Instant::now() + self.timeout;
        // Most calls go at once, and need no timer for that.
        if self.client.core().rpc.has_room()
            && let Some((number, answer)) = self.attempt(self.timeout, &waiting)?
        {
            return Ok((number, answer, deadline));
        }
        let mut overdue = pin!(self.client.core().sleep(self.timeout));
        let late = "no connection to a gateway that takes the call within its time";
        tokio::select! {
            () = &mut overdue => return Err(self.fail(Code::Unavailable, late)),
            () = self.client.core().rpc.room() => {}
        }
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if let Some((number, answer)) = self.attempt(left, &waiting)? {
                return Ok((number, answer, deadline));
            }
            let mut status = self.client.core().status.subscribe();
            tokio::select! {
                () = &mut overdue => return Err(self.fail(Code::Unavailable, late)),
                _ = status.wait_for(|status| matches!(status, Status::Connected { .. } | Status::Closed)) => {}
            }
        }
    }

    /// Makes the call with so much time left, unless there is no connection.
    fn attempt<W>(
        &mut self,
        left: Duration,
        waiting: &impl Fn() -> (Waiting, W),
    ) -> Result<Option<(u64, W)>, CallError> {
        let (core, request) = (self.client.core(), &mut self.request);
        let (waiting, answer) = waiting();
        let begun = core.calls.begin(waiting, |number| {
            request.call = number;
            // At least a millisecond: none would mean the gateway's default.
            request.timeout_ms = crate::millis(left.max(Duration::from_millis(1)));
            core.rpc.send(kind::CALL, request);
        });
        match begun {
            Ok(number) => Ok(Some((number, answer))),
            Err(NotBegun::Closed) => Err(self.fail(Code::Cancelled, "the client is closed")),
            Err(NotBegun::NotConnected) => Ok(None),
        }
    }

    async fn make(mut self) -> Result<Reply, CallError> {
        let one = || {
            let (sender, receiver) = oneshot::channel();
            (Waiting::One(sender), receiver)
        };
        let (number, answer, deadline) = self.begin(one).await?;
        let core = self.client.core();
        let mut pending = Pending { core, number, answer, answered: false };
        let answer = tokio::select! {
            biased;
            answer = &mut pending.answer => answer,
            () = core.sleep(deadline.saturating_duration_since(Instant::now())) => {
                return Err(self.fail(Code::DeadlineExceeded, "no answer within the call's time"));
            }
        };
        pending.answered = true;
        match answer {
            Ok(Ok(reply)) => Ok(Reply { procedure: self.request.procedure, ..reply }),
            Ok(Err(error)) => Err(CallError::of(&self.request.procedure, error)),
            Err(_) => Err(self.fail(Code::Cancelled, "the client is closed")),
        }
    }

    fn span(&self) -> tracing::Span {
        tracing::debug_span!("call", otel.kind = "client", procedure = self.request.procedure)
    }

    fn fail(&self, code: Code, message: &str) -> CallError {
        let (procedure, message) = (self.request.procedure.clone(), message.to_owned());
        CallError { procedure, code, message, details: Bytes::new() }
    }
}

impl Call {
    /// How many bytes of results may wait here for the application to take them, 256 KiB by default. No part of the stream
    /// can be larger. The provider is held back as soon as so many wait.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// let replies = client.call("example.history", "2025").window(4 << 20).stream().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn window(mut self, bytes: u64) -> Self {
        self.window = bytes.max(1);
        self
    }

    /// Makes the call and resolves, once it is sent, to the stream of its results. A provider that answers once is
    /// a stream of one, or of none when its reply is empty.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let procedure = macula_sdk::Topic::from_static("example.history");
    /// let mut replies = client.call(&procedure, "2025").stream().await?;
    /// while let Some(reply) = replies.next().await {
    ///     println!("{} bytes", reply?.payload().len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When there is no connection within the call's time. What goes wrong later is in the stream.
    pub async fn stream(mut self) -> Result<Replies, CallError> {
        self.request.credit = self.window;
        let window = self.window;
        let stream = || {
            let mailbox = Arc::new(Mailbox::new(window));
            (Waiting::Stream(Arc::clone(&mailbox)), mailbox)
        };
        let (number, mailbox, deadline) = self.begin(stream).await?;
        Ok(Replies::new(Gathered::new(self.client, self.procedure?, number, mailbox, deadline), window))
    }
}

impl Call<All> {
    /// Makes the call and resolves, once it is sent, to the stream of its answers, each as it comes.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// let mut answers = client.call_all("example.version", "").stream().await?;
    /// while let Some(answer) = answers.next().await {
    ///     println!("{}", answer?.provider);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When there is no connection within the call's time. What goes wrong later is in the stream.
    pub async fn stream(mut self) -> Result<Answers, CallError> {
        self.request.all = true;
        let all = || {
            let mailbox = Arc::new(Mailbox::new(GATHERED_BYTES));
            (Waiting::All(Arc::clone(&mailbox)), mailbox)
        };
        let (number, mailbox, deadline) = self.begin(all).await?;
        let deadline = deadline + GATHER_GRACE;
        Ok(Answers(Gathered::new(self.client, self.procedure?, number, mailbox, deadline)))
    }
}

impl IntoFuture for Call {
    type Output = Result<Reply, CallError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let span = self.span();
        Box::pin(self.make().instrument(span))
    }
}

impl<T: prost::Message + prost::Name + Default + 'static> IntoFuture for Call<Typed<T>> {
    type Output = Result<T, CallError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let span = self.span();
        let call = async move {
            let reply = self.make().await?;
            reply.decode_typed().map_err(|error| CallError {
                procedure: error.topic.clone(),
                code: Code::Internal,
                message: error.to_string(),
                details: Bytes::new(),
            })
        };
        Box::pin(call.instrument(span))
    }
}

impl IntoFuture for Call<All> {
    type Output = Result<Vec<crate::replies::Answer>, CallError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let span = self.span();
        let call = async move {
            let mut stream = self.stream().await?;
            let mut answers = Vec::new();
            while let Some(answer) = stream.next().await {
                answers.push(answer?);
            }
            Ok(answers)
        };
        Box::pin(call.instrument(span))
    }
}

/// A call under way; dropping it before the answer cancels it.
struct Pending<'a> {
    core: &'a Core,
    number: u64,
    answer: oneshot::Receiver<Answer>,
    answered: bool,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.core.cancel_call(self.number);
        }
    }
}

impl Core {
    /// Nobody waits for this call any longer; its provider is told if it has not answered.
    pub(crate) fn cancel_call(&self, number: u64) {
        if self.calls.forget(number) {
            self.rpc.send(kind::CALL_CANCEL, &v1::CallCancel { call: number });
        }
    }
}

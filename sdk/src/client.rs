//! The client: a handle to its I/O thread.

use crate::builder::Builder;
use crate::call::{All, Call, Typed};
use crate::core::Core;
use crate::error::{CallError, ConnectError, FlushError, PublishError};
use crate::events::ConnectionEvents;
use crate::message::{Class, PublisherId};
use crate::names::{IntoPattern, IntoTopic};
use crate::outbox::Failures;
use crate::publish::Publish;
use crate::publisher::PublisherBuilder;
use crate::register::{CallFailure, Register, Reply, Request};
use crate::reply_sender::ReplySender;
use crate::status::{Statistics, Status};
use crate::subscription::Subscribe;
use crate::typed;
use crate::values::{self, Values};
use bytes::Bytes;
use macula_proto::Topic;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;

/// Longest time that [`Client::close`] waits for events to be accepted: the gateway may be gone.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// A connection to the local gateway, kept up by a thread for I/O. Clones are cheap and share it.
///
/// Dropping the last handle, subscriptions, publishers and registrations included, closes the connection in the
/// background. Before a process ends, [`close`](Self::close) it: that waits until everything has been sent.
#[derive(Clone, Debug)]
pub struct Client {
    alive: Arc<Alive>,
}

/// Ends the client with the last handle.
#[derive(Debug)]
struct Alive {
    core: Arc<Core>,
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.core.request_close();
    }
}

impl Client {
    /// Connects to the gateway at this URL, `https://host:port`, with the default settings.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// let client = macula_sdk::Client::connect("https://localhost:9443").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the gateway cannot be reached or refuses the client. Once connected, the client reconnects by itself.
    pub async fn connect(url: impl Into<String>) -> Result<Self, ConnectError> {
        Self::builder().url(url).connect().await
    }

    /// Settings for a connection.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// let client = macula_sdk::Client::builder().realm("be.cortexiq.energy").connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn from_core(core: Arc<Core>) -> Self {
        Self { alive: Arc::new(Alive { core }) }
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.alive.core
    }

    /// Publishes a message; `.await` the result after setting what differs from the defaults. See [`Publish`] for what
    /// that guarantees.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// let receipt = client.publish("home.measured", "3500 W").key("ant_001").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn publish(&self, topic: impl IntoTopic, payload: impl Into<Bytes>) -> Publish {
        Publish::new(self.clone(), topic.into_topic(), payload.into())
    }

    /// Publishes a protobuf message whose content type names its type, as in
    /// `application/x-protobuf; type=cortexiq.v1.HomeMeasured`: readers see what it is, and gateways and the `macula`
    /// command show it as JSON where they know the type.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// # use macula_sdk::doc::Reading;
    /// client.publish_typed("home.measured", &Reading { watts: 3500 }).key("ant_001").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn publish_typed<T: prost::Message + prost::Name>(
        &self,
        topic: impl IntoTopic,
        message: &T,
    ) -> Publish {
        self.publish(topic, message.encode_to_vec()).content_type(typed::content_type::<T>())
    }

    /// A handle for publishing many messages to one topic.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// let readings = client.publisher("home.measured").build()?;
    /// for watts in 0..1_000_000u32 {
    ///     readings.send(&watts.to_be_bytes(), "ant_001").await?;
    /// }
    /// client.flush().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn publisher(&self, topic: impl IntoTopic) -> PublisherBuilder {
        PublisherBuilder::new(self.clone(), topic.into_topic())
    }

    /// Subscribes to the topics that match; `.await` the result.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// let mut readings = client.subscribe("home.*").await?;
    /// while let Some(reading) = readings.next_message().await {
    ///     println!("{} {:?}", reading.topic(), reading.payload());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn subscribe(&self, pattern: impl IntoPattern) -> Subscribe {
        Subscribe::new(self.clone(), pattern.into_pattern())
    }

    /// Reads the retained values of the topics that match, without subscribing: what the gateway's own store holds now.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut values = client.last("be.cortexiq.home.measured").await?;
    /// while let Some(value) = values.next().await {
    ///     let value = value?;
    ///     println!("{} {}: {} bytes", value.topic(), value.key(), value.payload().len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When it is no pattern, or there is no connection within the time of a call. What goes wrong later is in the values.
    pub async fn last(&self, pattern: impl IntoPattern) -> Result<Values, CallError> {
        let pattern = pattern.into_pattern()?;
        let call = self.call(Topic::from_static(values::PROCEDURE), pattern.as_str().to_owned());
        Ok(Values::new(call.window(values::WINDOW).stream().await?))
    }

    /// Calls a procedure; `.await` the result, or [`stream`](Call::stream) its results.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use macula_sdk::Code;
    /// use std::time::Duration;
    ///
    /// match client.call("example.upper", "hello").timeout(Duration::from_secs(2)).await {
    ///     Ok(reply) => println!("{}", String::from_utf8_lossy(reply.payload())),
    ///     Err(error) if error.code == Code::NotFound => println!("nobody offers it"),
    ///     Err(error) => return Err(error.into()),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn call(&self, procedure: impl IntoTopic, payload: impl Into<Bytes>) -> Call {
        Call::new(self.clone(), procedure.into_topic(), payload.into())
    }

    /// Calls a procedure with one protobuf message and resolves to another. The request's content type names its type; a
    /// reply whose content type names another than `Res` is an error with code `Internal`.
    ///
    /// ```no_run
    /// # use macula_sdk::doc::{Question, Reading};
    /// # async fn example(client: macula_sdk::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let reading: Reading = client.call_typed("example.reading", &Question { home: "ant_001".into() }).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn call_typed<Req, Res>(&self, procedure: impl IntoTopic, request: &Req) -> Call<Typed<Res>>
    where
        Req: prost::Message + prost::Name,
        Res: prost::Message + prost::Name + Default + 'static,
    {
        Call::new(self.clone(), procedure.into_topic(), request.encode_to_vec().into())
            .content_type(typed::content_type::<Req>())
    }

    /// Asks every provider of a procedure, in the whole mesh. `.await` for all their answers, or
    /// [`stream`](Call::<All>::stream) them as they come. A provider that dies or does not answer in time is an answer with
    /// an error; the call itself fails only where there is no provider at all, or no connection. Each provider answers
    /// once.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// for answer in client.call_all("example.version", "").await? {
    ///     match answer.result {
    ///         Ok(reply) => println!("{}: {}", answer.provider, String::from_utf8_lossy(reply.payload())),
    ///         Err(error) => println!("{}: {error}", answer.provider),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn call_all(&self, procedure: impl IntoTopic, payload: impl Into<Bytes>) -> Call<All> {
        Call::new(self.clone(), procedure.into_topic(), payload.into())
    }

    /// Offers a procedure, or all procedures of a pattern; `.await` the result. The handler runs for each call as a
    /// task on the tokio runtime from which this is called; if there is none, on the thread that does this client's
    /// I/O and perhaps that of others, which it must not block. At most [`HANDLERS`](crate::HANDLERS) run at a time;
    /// four times as many calls are taken, with [`Builder::call_bytes`] of memory in all, and further ones answered
    /// `RESOURCE_EXHAUSTED`. A handler that panics answers INTERNAL; one whose caller has given up is dropped at its
    /// next `.await`.
    ///
    /// A handler that holds a [`Client`] keeps it open until the registration is dropped.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use macula_sdk::{CallFailure, Code, Reply};
    ///
    /// let registration = client
    ///     .register("example.upper", |request| async move {
    ///         let text = std::str::from_utf8(request.payload())
    ///             .map_err(|error| CallFailure::new(Code::InvalidArgument, error.to_string()))?;
    ///         Ok(Reply::new(text.to_uppercase()))
    ///     })
    ///     .await?;
    /// # drop(registration);
    /// # Ok(())
    /// # }
    /// ```
    pub fn register<H, F>(&self, procedure: impl IntoPattern, handler: H) -> Register
    where
        H: Fn(Request) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Reply, CallFailure>> + Send + 'static,
    {
        Register::new(self.clone(), procedure.into_pattern(), handler)
    }

    /// As [`register`](Self::register), for a handler that is given a protobuf message, and the [`Request`] that it came
    /// in, and answers with another. A payload that is none, or whose content type names another type than `Req`, is
    /// answered with `INVALID_ARGUMENT`, and the handler is not asked.
    ///
    /// ```no_run
    /// # use macula_sdk::doc::{Question, Reading};
    /// # async fn example(client: macula_sdk::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let registration = client
    ///     .register_typed("example.reading", |_question: Question, _request| async { Ok(Reading { watts: 3500 }) })
    ///     .await?;
    /// # drop(registration);
    /// # Ok(())
    /// # }
    /// ```
    pub fn register_typed<Req, Res, H, F>(&self, procedure: impl IntoPattern, handler: H) -> Register
    where
        Req: prost::Message + prost::Name + Default,
        Res: prost::Message + prost::Name,
        H: Fn(Req, Request) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Res, CallFailure>> + Send + 'static,
    {
        self.register(procedure, move |request| {
            let answer = request.decode_typed().map(|question| handler(question, request));
            async move { Ok(Reply::typed(&answer?.await?)) }
        })
    }

    /// As [`register`](Self::register), for a handler that answers in parts. A caller that takes them slowly makes
    /// [`ReplySender::send`] wait. One that wants a single result gets it when there is only one part. A handler counts as
    /// running, as one of [`HANDLERS`](crate::HANDLERS), until it has sent its last part.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use macula_sdk::Reply;
    ///
    /// let registration = client
    ///     .register_stream("example.count", |_request, mut replies| async move {
    ///         for number in 0..1_000_000 {
    ///             replies.send(Reply::new(number.to_string())).await?;
    ///         }
    ///         Ok(())
    ///     })
    ///     .await?;
    /// # drop(registration);
    /// # Ok(())
    /// # }
    /// ```
    pub fn register_stream<H, F>(&self, procedure: impl IntoPattern, handler: H) -> Register
    where
        H: Fn(Request, ReplySender) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), CallFailure>> + Send + 'static,
    {
        Register::new_stream(self.clone(), procedure.into_pattern(), handler)
    }

    /// Waits until the gateway has accepted, or refused, every event handed over so far.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// client.publish("home.measured", "3500 W").send().await?;
    /// client.flush().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Refusals since the last flush that no publisher waited for, answers that were lost with a connection, or that the
    /// client is closed.
    pub async fn flush(&self) -> Result<(), FlushError> {
        let answer = self.core().events.update(|outbox| outbox.wait_for_all());
        answer.await.unwrap_or(Err(PublishError::Closed)).map_err(|_| FlushError::Closed)?;
        let failures = self.core().events.update(|outbox| outbox.failures());
        match failures {
            Failures { refused: Some((count, code, message)), .. } => {
                Err(FlushError::Refused { count, code, message })
            }
            Failures { unanswered: 0, .. } => Ok(()),
            Failures { unanswered: count, .. } => Err(FlushError::Unanswered { count }),
        }
    }

    /// Waits until every event handed over so far is settled: all its receivers have acknowledged it, were told of its
    /// loss, or have left. From then on no gateway's death can lose it. A receiver that does not read, or does not
    /// acknowledge, makes this wait.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// client.publish("home.measured", "3500 W").send().await?;
    /// client.settle().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub async fn settle(&self) -> Result<(), FlushError> {
        self.flush().await?;
        let answer = self.core().events.update(|outbox| outbox.wait_for_settled());
        answer.await.unwrap_or(Err(PublishError::Closed)).map_err(|_| FlushError::Closed)?;
        Ok(())
    }

    /// What happens to the connection from now on: for logs, health checks and those who have to know what was lost.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) {
    /// use macula_sdk::ConnectionEvent;
    /// let mut events = client.events();
    /// while let Some(event) = events.next().await {
    ///     if let ConnectionEvent::Connected { gateway, resumed: false } = event {
    ///         println!("a new session with {gateway}");
    ///     }
    /// }
    /// # }
    /// ```
    pub fn events(&self) -> ConnectionEvents {
        self.core().listeners.listen()
    }

    /// The state of the connection, now and whenever it changes.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// use macula_sdk::Status;
    /// let mut status = client.status();
    /// status.wait_for(|status| matches!(status, Status::Connected { .. })).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn status(&self) -> watch::Receiver<Status> {
        self.core().status.subscribe()
    }

    /// Totals since the client was made.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// let statistics = client.statistics();
    /// println!("{} events, {} sent again", statistics.events, statistics.resent);
    /// # Ok(())
    /// # }
    /// ```
    pub fn statistics(&self) -> Statistics {
        let events = self.core().events.update(|outbox| outbox.counts());
        let telemetry = self.core().telemetry.update(|outbox| outbox.counts());
        Statistics {
            connections: self.core().connections.load(Ordering::Relaxed),
            resumed: self.core().resumptions.load(Ordering::Relaxed),
            events: events.sent,
            telemetry: telemetry.sent,
            telemetry_dropped: telemetry.dropped,
            refused: events.refused + telemetry.refused,
            resent: events.resent,
            unsettled: events.unsettled,
            unread: self.core().relief.lost.load(Ordering::Relaxed),
        }
    }

    /// The identity under which this client publishes and calls.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// println!("I am {}", client.publisher_id());
    /// # Ok(())
    /// # }
    /// ```
    pub fn publisher_id(&self) -> PublisherId {
        self.core().publisher
    }

    /// The class's name for a topic of this client, used by its handles.
    pub(crate) fn outlet(&self, class: Class) -> &crate::outlet::Outlet {
        self.core().outlet(class)
    }

    /// Sends what was handed over, waits for acceptance, at most five seconds, and closes the connection for all
    /// handles. Afterwards every operation fails and every subscription ends.
    ///
    /// A session with a [name](Builder::session_name) stays at the gateway for the next process of that name; see
    /// [`end_session`](Self::end_session) for when there is to be none.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// client.publish("home.measured", "3500 W").send().await?;
    /// client.close().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`flush`](Self::flush): events that were refused, or not accepted in time. The client is closed then too.
    pub async fn close(&self) -> Result<(), FlushError> {
        let patience = self.core().sleep(CLOSE_PATIENCE);
        let flushed = tokio::select! {
            flushed = self.flush() => flushed,
            () = patience => Err(FlushError::Closed),
        };
        self.core().request_close();
        let _ = self.status().wait_for(|status| *status == Status::Closed).await;
        flushed
    }

    /// As [`close`](Self::close), and ends the session even if it has a name: nobody is to take it over, and what it
    /// has not acknowledged is forgotten.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> Result<(), macula_sdk::FlushError> {
    /// client.end_session().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`close`](Self::close).
    pub async fn end_session(&self) -> Result<(), FlushError> {
        self.core().leaves_session.store(false, Ordering::Relaxed);
        self.close().await
    }
}

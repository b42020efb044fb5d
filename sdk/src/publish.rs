//! Publishing one message.

use crate::aliases::Name;
use crate::client::Client;
use crate::error::PublishError;
use crate::message::Class;
use crate::names::BadName;
use crate::trace::{self, TraceParent};
use bytes::Bytes;
use macula_proto::topic::TopicError;
use macula_proto::{Topic, limits, wire};
use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tracing::Instrument as _;

/// A message about to be published. See [`Client::publish`].
///
/// `.await` publishes it: an event resolves when the gateway has accepted it, telemetry when it is handed over.
/// Without a connection events are kept and sent after the reconnect, telemetry is dropped and counted.
///
/// An answer can be lost with the connection that it was to come by. At the reconnect the gateway tells only up to which
/// event it has answered: that is [`PublishError::Unanswered`], almost always an acceptance.
///
/// An accepted event stays with the client until it is *settled*, that is, all its receivers have acknowledged it or were
/// told its loss. When the gateway dies, its successor is sent what is not settled, and receivers drop what they have
/// already. [`Client::settle`] waits for that; see [`Builder::outbox_bytes`](crate::Builder::outbox_bytes) for the bound.
///
/// ```no_run
/// # async fn example(client: macula_sdk::Client) -> Result<(), Box<dyn std::error::Error>> {
/// let receipt = client.publish("home.measured", "3500 W").key("ant_001").await?;
/// println!("{:?} receivers", receipt.matches());
/// # Ok(())
/// # }
/// ```
#[must_use = "a message is published when it is awaited"]
#[derive(Debug)]
pub struct Publish {
    client: Client,
    topic: Result<Topic, BadName<TopicError>>,
    class: Class,
    content_type: Option<Arc<str>>,
    payload: Bytes,
    key: String,
    pub(crate) headers: Vec<u8>,
    /// It says which trace it belongs to.
    traced: bool,
    pub(crate) time_to_live_ms: u32,
    pub(crate) retain: bool,
    remove: bool,
}

impl Publish {
    pub(crate) fn new(client: Client, topic: Result<Topic, BadName<TopicError>>, payload: Bytes) -> Self {
        Self {
            client,
            topic,
            class: Class::Event,
            content_type: None,
            payload,
            key: String::new(),
            headers: Vec::new(),
            traced: false,
            time_to_live_ms: 0,
            retain: false,
            remove: false,
        }
    }

    /// Delivered at least once. The default.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// client.publish("home.measured", "3500 W").event().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn event(mut self) -> Self {
        self.class = Class::Event;
        self
    }

    /// Delivered at most once.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// client.publish("home.power", "3500 W").telemetry().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn telemetry(mut self) -> Self {
        self.class = Class::Telemetry;
        self
    }

    /// Sets the class, where it is a value rather than a choice of the program's author.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// use macula_sdk::Class;
    /// let class = if std::env::args().any(|arg| arg == "--fast") { Class::Telemetry } else { Class::Event };
    /// client.publish("home.measured", "3500 W").class(class).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// The record key, as in Kafka: what the message is about. At most 255 bytes.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// client.publish("home.measured", "3500 W").key("ant_001").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = key.into();
        self
    }

    /// Keep the message as the value of its topic and key, for subscribers to come.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// client.publish("home.measured", "3500 W").key("ant_001").retain().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn retain(mut self) -> Self {
        self.retain = true;
        self
    }

    /// Forget the value of this topic and key. Subscribers receive the message with
    /// [`is_removal`](crate::Message::is_removal); those to come receive nothing.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// client.publish("home.measured", "").key("ant_001").remove().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn remove(mut self) -> Self {
        self.remove = true;
        self
    }

    /// Adds a header. At most 32, with 8 KiB in all.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// client.publish("home.measured", "3500").header("unit", "W").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.traced |= name == trace::HEADER;
        wire::encode_header(&mut self.headers, name, value);
        self
    }

    /// Tells the trace that the message belongs to, in the header `traceparent`. Inside of a handler whose call names one,
    /// and within [`TraceParent::scope`], that is said without being asked for.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// let trace = macula_sdk::TraceParent::root(true);
    /// client.publish("home.measured", "3500 W").traceparent(trace).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn traceparent(self, trace: TraceParent) -> Self {
        self.header(trace::HEADER, &trace.to_string())
    }

    /// Media type of the payload.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// client.publish("home.measured", "{}").content_type("application/json").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn content_type(mut self, content_type: impl Into<Arc<str>>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// How long the message is of use; for ever by default.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// let minute = std::time::Duration::from_secs(60);
    /// client.publish("home.offer", "cheap").time_to_live(minute).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn time_to_live(mut self, time: Duration) -> Self {
        self.time_to_live_ms = crate::millis(time);
        self
    }

    /// Hands the message over, waiting only if the buffer is full. [`Client::flush`] waits for the acceptance of all
    /// that were handed over so.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// for watts in 0..100 {
    ///     client.publish("home.measured", watts.to_string()).send().await?;
    /// }
    /// client.flush().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When it is no topic, the message is too large or the client is closed. A refusal by the gateway is told by the next
    /// flush.
    pub async fn send(mut self) -> Result<(), PublishError> {
        let name = self.name()?;
        let message = self.message()?;
        self.client.outlet(self.class).push(&name, None, &message).await?;
        Ok(())
    }

    async fn finish(mut self) -> Result<Receipt, PublishError> {
        let name = self.name()?;
        let message = self.message()?;
        let outlet = self.client.outlet(self.class);
        if self.class == Class::Telemetry {
            let pushed = outlet.push(&name, None, &message).await?;
            return Ok(Receipt::new(pushed.sequence, None));
        }
        let answer = outlet.push_and_wait(&name, &message).await?;
        answer.await.unwrap_or(Err(PublishError::Closed))
    }

    /// What it is published as; the trace that it is part of is noted in passing.
    fn name(&mut self) -> Result<Name, PublishError> {
        if !self.traced
            && let Some(trace) = self.client.core().trace()
        {
            wire::encode_header(&mut self.headers, trace::HEADER, &trace.to_string());
        }
        let topic = self.topic.clone()?;
        Ok(Name { topic, content_type: self.content_type.clone().unwrap_or_default() })
    }

    fn message(&self) -> Result<wire::Message<'_>, PublishError> {
        check("key", self.key.len(), limits::KEY_BYTES)?;
        check("list of headers", self.headers.len(), limits::HEADER_BYTES)?;
        let mut message = wire::Message::new(&self.payload, &self.key).with_headers(&self.headers);
        message.time_to_live_ms = self.time_to_live_ms;
        message.retain = self.retain;
        message.remove = self.remove;
        Ok(message)
    }
}

/// The gateway has accepted an event, or telemetry was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    sequence: u64,
    matches: Option<u32>,
}

impl Receipt {
    pub(crate) fn new(sequence: u64, matches: Option<u32>) -> Self {
        Self { sequence, matches }
    }

    /// The message's number within this client's run and class; 0 for telemetry that was dropped for want of a
    /// connection.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// let receipt = client.publish("home.measured", "3500 W").await?;
    /// println!("number {}", receipt.sequence());
    /// # Ok(())
    /// # }
    /// ```
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How many sessions, groups and other gateways the event matched. None for telemetry, and where the answer that
    /// tells it was lost with a connection.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// if client.publish("home.measured", "3500 W").await?.matches() == Some(0) {
    ///     println!("nobody listens");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn matches(&self) -> Option<u32> {
        self.matches
    }
}

impl IntoFuture for Publish {
    type Output = Result<Receipt, PublishError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let topic = self.topic.as_ref().map_or_else(|bad| bad.text.as_str(), Topic::as_str);
        let span = tracing::debug_span!("publish", otel.kind = "producer", topic, class = ?self.class);
        Box::pin(self.finish().instrument(span))
    }
}

/// Refuses what the gateway would refuse.
#[inline]
pub(crate) fn check(what: &'static str, bytes: usize, limit: usize) -> Result<(), PublishError> {
    if bytes > limit { Err(PublishError::TooLarge { what, bytes, limit }) } else { Ok(()) }
}

//! Publishing many messages to one topic.

use crate::aliases::{Name, Remembered};
use crate::client::Client;
use crate::error::{PublishError, TrySendError};
use crate::message::Class;
use crate::names::BadName;
use crate::outbox::{NotPushed, Pushed};
use crate::publish::{Publish, check};
use bytes::Bytes;
use macula_proto::topic::TopicError;
use macula_proto::{Topic, limits, wire};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake};
use std::thread::Thread;
use std::time::Duration;

/// Settings of a [`Publisher`]. See [`Client::publisher`].
#[must_use = "ends with build()"]
#[derive(Debug)]
pub struct PublisherBuilder {
    client: Client,
    topic: Result<Topic, BadName<TopicError>>,
    content_type: Arc<str>,
    class: Class,
    all: All,
}

/// What all messages of a publisher have in common.
#[derive(Debug, Default)]
struct All {
    headers: Vec<u8>,
    time_to_live_ms: u32,
    retain: bool,
}

impl PublisherBuilder {
    pub(crate) fn new(client: Client, topic: Result<Topic, BadName<TopicError>>) -> Self {
        Self { client, topic, content_type: Arc::default(), class: Class::Event, all: All::default() }
    }

    /// Class of all messages, event by default.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// use macula_sdk::Class;
    /// let power = client.publisher("home.power").class(Class::Telemetry).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// Media type of all payloads.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// let readings = client.publisher("home.measured").content_type("text/plain").build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn content_type(mut self, content_type: impl Into<Arc<str>>) -> Self {
        self.content_type = content_type.into();
        self
    }

    /// Adds a header to all messages.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// let readings = client.publisher("home.measured").header("unit", "W").build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn header(mut self, name: &str, value: &str) -> Self {
        wire::encode_header(&mut self.all.headers, name, value);
        self
    }

    /// How long each message is of use; for ever by default.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// let minute = std::time::Duration::from_secs(60);
    /// let offers = client.publisher("home.offer").time_to_live(minute).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn time_to_live(mut self, time: Duration) -> Self {
        self.all.time_to_live_ms = crate::millis(time);
        self
    }

    /// Keep each message as the value of the topic and its key.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// let readings = client.publisher("home.measured").retain().build()?;
    /// readings.send(b"3500", "ant_001").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn retain(mut self) -> Self {
        self.all.retain = true;
        self
    }

    /// The publisher.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// let readings = client.publisher("home.measured").build()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When it is no topic, or there are too many headers.
    pub fn build(self) -> Result<Publisher, PublishError> {
        check("list of headers", self.all.headers.len(), limits::HEADER_BYTES)?;
        Ok(Publisher {
            client: self.client,
            name: Name { topic: self.topic?, content_type: self.content_type },
            class: self.class,
            all: self.all,
            remembered: AtomicU64::new(UNKNOWN),
        })
    }
}

/// Publishes to one topic with one content type and class, as fast as it goes: a message is encoded straight into
/// the buffer that is sent next. May be shared by threads. Headers, time to live and whether messages are retained are set
/// once, for all of them; a message that differs goes by [`publish`](Self::publish).
///
/// The asynchronous methods return without yielding while there is room.
#[derive(Debug)]
pub struct Publisher {
    client: Client,
    name: Name,
    class: Class,
    all: All,
    /// The alias that the topic had last, so that it need not be looked up.
    remembered: AtomicU64,
}

const UNKNOWN: u64 = u64::MAX;

impl Publisher {
    /// The topic.
    ///
    /// ```no_run
    /// # async fn example(readings: macula_sdk::Publisher) -> macula_sdk::doc::Outcome {
    /// println!("publishes to {}", readings.topic());
    /// # Ok(())
    /// # }
    /// ```
    pub fn topic(&self) -> &Topic {
        &self.name.topic
    }

    /// Hands a message over, waiting while the buffer is full. An empty key is none. [`Client::flush`] waits for the
    /// acceptance of events.
    ///
    /// ```no_run
    /// # async fn example(readings: macula_sdk::Publisher) -> macula_sdk::doc::Outcome {
    /// readings.send(b"3500", "ant_001").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the message is too large or the client is closed.
    pub async fn send(&self, payload: &[u8], key: &str) -> Result<(), PublishError> {
        check("key", key.len(), limits::KEY_BYTES)?;
        let pushed = self
            .client
            .outlet(self.class)
            .push(&self.name, self.remembered(), &self.message(payload, key))
            .await?;
        self.remember(&pushed);
        Ok(())
    }

    /// Hands a message over if there is room now.
    ///
    /// ```no_run
    /// # async fn example(readings: macula_sdk::Publisher) -> macula_sdk::doc::Outcome {
    /// use macula_sdk::TrySendError;
    /// if let Err(TrySendError::Full) = readings.try_send(b"3500", "ant_001") {
    ///     println!("skipped: the gateway is behind");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`TrySendError::Full`].
    pub fn try_send(&self, payload: &[u8], key: &str) -> Result<(), TrySendError> {
        check("key", key.len(), limits::KEY_BYTES)?;
        let message = self.message(payload, key);
        match self.client.outlet(self.class).try_push(&self.name, self.remembered(), &message) {
            Ok(pushed) => {
                self.remember(&pushed);
                Ok(())
            }
            Err(NotPushed::Full) => Err(TrySendError::Full),
            Err(NotPushed::Failed(error)) => Err(error.into()),
        }
    }

    /// As [`send`](Self::send), for threads without a runtime: blocks the thread while the buffer is full.
    ///
    /// ```no_run
    /// # async fn example(readings: macula_sdk::Publisher) -> macula_sdk::doc::Outcome {
    /// std::thread::spawn(move || readings.send_blocking(b"3500", "ant_001"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the message is too large or the client is closed.
    pub fn send_blocking(&self, payload: &[u8], key: &str) -> Result<(), PublishError> {
        block_on(self.send(payload, key))
    }

    /// A message with settings of its own, on top of those that all have; `.await` it for its acceptance.
    ///
    /// ```no_run
    /// # async fn example(readings: macula_sdk::Publisher) -> macula_sdk::doc::Outcome {
    /// let receipt = readings.publish("3500").key("ant_001").header("corrected", "yes").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn publish(&self, payload: impl Into<Bytes>) -> Publish {
        let publish = Publish::new(self.client.clone(), Ok(self.name.topic.clone()), payload.into());
        let mut publish = publish.class(self.class).content_type(Arc::clone(&self.name.content_type));
        publish.headers.clone_from(&self.all.headers);
        publish.time_to_live_ms = self.all.time_to_live_ms;
        publish.retain = self.all.retain;
        publish
    }

    #[inline]
    fn message<'a>(&'a self, payload: &'a [u8], key: &'a str) -> wire::Message<'a> {
        let mut message = wire::Message::new(payload, key).with_headers(&self.all.headers);
        message.time_to_live_ms = self.all.time_to_live_ms;
        message.retain = self.all.retain;
        message
    }

    #[inline]
    fn remembered(&self) -> Option<Remembered> {
        let packed = self.remembered.load(Ordering::Relaxed);
        (packed != UNKNOWN).then(|| Remembered::unpack(packed))
    }

    #[inline]
    fn remember(&self, pushed: &Pushed) {
        if let Some(remembered) = pushed.remembered {
            self.remembered.store(remembered.pack(), Ordering::Relaxed);
        }
    }
}

/// Runs a future that needs no runtime on this thread.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let (mut future, mut context) = (pin!(future), Context::from_waker(&waker));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(result) => return result,
            Poll::Pending => std::thread::park(),
        }
    }
}

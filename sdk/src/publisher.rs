//! Publishing many messages to one topic.

use crate::aliases::{Name, Remembered};
use crate::client::Client;
use crate::error::{PublishError, TrySendError};
use crate::message::Class;
use crate::outbox::{NotPushed, Pushed};
use crate::publish::check;
use macula_proto::{Topic, limits, wire};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake};
use std::thread::Thread;

/// Settings of a [`Publisher`]. See [`Client::publisher`].
#[must_use = "ends with build()"]
#[derive(Debug)]
pub struct PublisherBuilder {
    client: Client,
    name: Name,
    class: Class,
}

impl PublisherBuilder {
    pub(crate) fn new(client: Client, topic: Topic) -> Self {
        Self { client, name: Name { topic, content_type: Arc::default() }, class: Class::Event }
    }

    /// Class of all messages, event by default.
    pub fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// Media type of all payloads.
    pub fn content_type(mut self, content_type: impl Into<Arc<str>>) -> Self {
        self.name.content_type = content_type.into();
        self
    }

    /// The publisher.
    pub fn build(self) -> Publisher {
        Publisher {
            client: self.client,
            name: self.name,
            class: self.class,
            remembered: AtomicU64::new(UNKNOWN),
        }
    }
}

/// Publishes to one topic with one content type and class, as fast as it goes: a message is encoded straight into
/// the buffer that is sent next. May be shared by threads.
///
/// The asynchronous methods return without yielding while there is room.
#[derive(Debug)]
pub struct Publisher {
    client: Client,
    name: Name,
    class: Class,
    /// The alias that the topic had last, so that it need not be looked up.
    remembered: AtomicU64,
}

const UNKNOWN: u64 = u64::MAX;

impl Publisher {
    /// The topic.
    pub fn topic(&self) -> &Topic {
        &self.name.topic
    }

    /// Hands a message over, waiting while the buffer is full. An empty key is none. [`Client::flush`] waits for the
    /// acceptance of events.
    ///
    /// # Errors
    /// When the message is too large or the client is closed.
    pub async fn send(&self, payload: &[u8], key: &str) -> Result<(), PublishError> {
        check("key", key.len(), limits::KEY_BYTES)?;
        let pushed = self
            .client
            .outlet(self.class)
            .push(&self.name, self.remembered(), &wire::Message::new(payload, key))
            .await?;
        self.remember(&pushed);
        Ok(())
    }

    /// Hands a message over if there is room now.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`TrySendError::Full`].
    pub fn try_send(&self, payload: &[u8], key: &str) -> Result<(), TrySendError> {
        check("key", key.len(), limits::KEY_BYTES)?;
        let message = wire::Message::new(payload, key);
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
    /// # Errors
    /// When the message is too large or the client is closed.
    pub fn send_blocking(&self, payload: &[u8], key: &str) -> Result<(), PublishError> {
        block_on(self.send(payload, key))
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

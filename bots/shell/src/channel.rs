//! A subject of the application, ready to be published on.

use std::sync::Arc;

use cortexiq_domain::topics::{Class, Subject};
use cortexiq_proto::Payload;
use macula_sdk::{Client, Publish, Topic};

use crate::error::RunError;

/// Publishes one kind of message as its subject says: class, key, retained or not, content type.
#[derive(Debug)]
pub struct Channel<T: 'static> {
    client: Client,
    subject: &'static Subject<T>,
    topic: Topic,
    content_type: Arc<str>,
}

impl<T: Payload> Channel<T> {
    /// For messages of a subject.
    pub fn new(client: &Client, subject: &'static Subject<T>) -> Self {
        Self {
            client: client.clone(),
            subject,
            topic: topic(subject.topic),
            content_type: subject.content_type().into(),
        }
    }

    /// A message about to be published; `.await` for acceptance, `.send().await` to hand it over.
    pub fn publish(&self, payload: &T) -> Publish {
        let publish = self.passing(payload);
        if self.subject.retained { publish.retain() } else { publish }
    }

    /// As [`publish`](Self::publish), but nobody keeps it, whatever the subject says.
    pub fn passing(&self, payload: &T) -> Publish {
        let publish = self
            .client
            .publish(&self.topic, payload.encode_to_vec())
            .content_type(Arc::clone(&self.content_type));
        let publish = match self.subject.class {
            Class::Event => publish.event(),
            Class::Telemetry => publish.telemetry(),
        };
        match self.subject.key(payload) {
            "" => publish,
            key => publish.key(key),
        }
    }

    /// Hands a message over, waiting while the buffer is full.
    pub async fn send(&self, payload: &T) -> Result<(), RunError> {
        let sent = self.publish(payload).send().await;
        sent.map_err(|source| RunError::Publish { topic: self.topic.to_string(), source })
    }
}

/// A name that the program itself gives.
///
/// # Panics
/// When it is no topic: names are constants, or made of ids that were checked.
pub fn topic(name: &str) -> Topic {
    name.parse().unwrap_or_else(|error| panic!("`{name}` is a topic of the application: {error}"))
}

//! nats-server, by async-nats.

use anyhow::Context as _;
use async_nats::{ConnectOptions, Subject};
use bytes::Bytes;
use futures_util::StreamExt as _;
use macula_load::{Client, Publisher, Role, Sink, Subscription, System, Threads};
use std::path::PathBuf;

/// A nats-server.
#[derive(Clone, Debug)]
pub struct Nats {
    /// Its port on loopback.
    pub port: u16,
    /// The authority of its certificate.
    pub ca: PathBuf,
    /// Where its clients run.
    pub threads: Threads,
    /// Messages that may wait for a subscription; beyond that the client drops them.
    pub waiting: usize,
}

impl System for Nats {
    type Client = NatsClient;

    async fn connect(&self, _role: Role) -> anyhow::Result<NatsClient> {
        let options = ConnectOptions::new()
            .add_root_certificates(self.ca.clone())
            .require_tls(true)
            .client_capacity(16 << 10)
            .subscription_capacity(self.waiting)
            .read_buffer_capacity(u16::MAX)
            .request_timeout(None)
            .skip_subject_validation(true);
        Ok(NatsClient(options.connect(format!("tls://localhost:{}", self.port)).await?))
    }

    fn threads(&self) -> Threads {
        self.threads
    }
}

/// A connection.
pub struct NatsClient(async_nats::Client);

fn subject(topic: usize) -> Subject {
    Subject::from(format!("load.topic.{topic}"))
}

impl Client for NatsClient {
    type Publisher = NatsPublisher;
    type Subscription = NatsSubscription;
    type Service = tokio::task::JoinHandle<()>;
    type Procedure = Subject;

    async fn publisher(&self, topic: usize) -> anyhow::Result<NatsPublisher> {
        Ok(NatsPublisher { client: self.0.clone(), subject: subject(topic) })
    }

    async fn subscribe(&self, topic: usize) -> anyhow::Result<NatsSubscription> {
        let subscriber = self.0.subscribe(subject(topic)).await?;
        confirm(&self.0).await?;
        Ok(NatsSubscription(subscriber))
    }

    async fn serve(&self, procedure: usize) -> anyhow::Result<Self::Service> {
        let mut requests = self.0.queue_subscribe(subject(procedure), "load".to_owned()).await?;
        confirm(&self.0).await?;
        let client = self.0.clone();
        Ok(tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                if let Some(reply) = request.reply
                    && client.publish(reply, request.payload).await.is_err()
                {
                    break;
                }
            }
        }))
    }

    fn procedure(&self, number: usize) -> anyhow::Result<Subject> {
        Ok(subject(number))
    }

    async fn call(
        &self,
        procedure: &Subject,
        payload: &[u8],
        check: impl FnOnce(&[u8]) -> bool + Send,
    ) -> anyhow::Result<bool> {
        let reply = self.0.request(procedure.clone(), Bytes::copy_from_slice(payload)).await?;
        Ok(check(&reply.payload))
    }
}

/// A subscription is in force when the server has answered something that was sent after it.
async fn confirm(client: &async_nats::Client) -> anyhow::Result<()> {
    client.flush().await?;
    let inbox = client.new_inbox();
    let mut echo = client.subscribe(inbox.clone()).await?;
    client.publish(inbox, Bytes::new()).await?;
    client.flush().await?;
    echo.next().await.context("the server does not answer").map(|_| ())
}

/// Publishes to one subject.
pub struct NatsPublisher {
    client: async_nats::Client,
    subject: Subject,
}

impl Publisher for NatsPublisher {
    #[inline]
    async fn send(&self, payload: &[u8]) -> anyhow::Result<()> {
        Ok(self.client.publish(self.subject.clone(), Bytes::copy_from_slice(payload)).await?)
    }

    async fn flush(&self) -> anyhow::Result<()> {
        Ok(self.client.flush().await?)
    }
}

/// The messages of one subject.
pub struct NatsSubscription(async_nats::Subscriber);

impl Subscription for NatsSubscription {
    async fn run(mut self, mut sink: Sink) -> Sink {
        while !sink.is_done() {
            match self.0.next().await {
                Some(message) => sink.take(&message.payload),
                None => sink.fault("the subscription ended".to_owned()),
            }
        }
        sink
    }
}

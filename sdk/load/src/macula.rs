//! Macula itself as a system under load.

use crate::sink::Sink;
use crate::system::{Client, Publisher, Role, Subscription, System, Threads};
use anyhow::Context as _;
use macula_sdk::{Builder, Class, Notification, Overflow, Pattern, Reply, Topic};

/// Gateways, and what clients of a load ask of them.
#[derive(Clone, Debug)]
pub struct Macula {
    /// Settings of clients that publish or call.
    pub near: Builder,
    /// Settings of clients that subscribe or answer: another gateway's URL measures the mesh.
    pub far: Builder,
    /// Class of the messages.
    pub class: Class,
    /// What happens to messages for a subscriber that does not keep up.
    pub overflow: Overflow,
}

impl Macula {
    /// All clients at one gateway; events, none of which may be lost.
    pub fn at(builder: Builder) -> Self {
        Self { near: builder.clone(), far: builder, class: Class::Event, overflow: Overflow::Block }
    }
}

impl System for Macula {
    type Client = MaculaClient;

    async fn connect(&self, role: Role) -> anyhow::Result<MaculaClient> {
        let builder = match role {
            Role::Publisher | Role::Caller => &self.near,
            Role::Subscriber | Role::Callee | Role::Idle => &self.far,
        };
        let client = builder.clone().connect().await?;
        Ok(MaculaClient { client, class: self.class, overflow: self.overflow })
    }

    fn threads(&self) -> Threads {
        // I/O has threads of its own already.
        Threads::Shared
    }
}

/// A client of a gateway.
#[derive(Debug)]
pub struct MaculaClient {
    client: macula_sdk::Client,
    class: Class,
    overflow: Overflow,
}

fn topic(number: usize) -> anyhow::Result<Topic> {
    format!("load.topic.{number}").parse().context("the topic of a load")
}

impl Client for MaculaClient {
    type Publisher = MaculaPublisher;
    type Subscription = macula_sdk::Subscription;
    type Service = macula_sdk::Registration;

    async fn publisher(&self, number: usize) -> anyhow::Result<MaculaPublisher> {
        let publisher = self.client.publisher(topic(number)?).class(self.class).build()?;
        Ok(MaculaPublisher { client: self.client.clone(), publisher })
    }

    async fn subscribe(&self, number: usize) -> anyhow::Result<macula_sdk::Subscription> {
        let pattern = Pattern::from(topic(number)?);
        let subscribe = self.client.subscribe(pattern);
        let subscribe = subscribe.overflow_telemetry(self.overflow).overflow_events(self.overflow);
        Ok(subscribe.scope_mesh().await?)
    }

    async fn serve(&self, procedure: usize) -> anyhow::Result<macula_sdk::Registration> {
        let procedure = Pattern::from(topic(procedure)?);
        let echo = |request: macula_sdk::Request| async move { Ok(Reply::new(request.payload().clone())) };
        Ok(self.client.register(procedure, echo).scope_mesh().await?)
    }

    async fn call(
        &self,
        procedure: usize,
        payload: &[u8],
        check: impl FnOnce(&[u8]) -> bool + Send,
    ) -> anyhow::Result<bool> {
        let reply = self.client.call(topic(procedure)?, payload.to_vec()).await?;
        Ok(check(reply.payload()))
    }
}

/// A publisher, and the client that it belongs to.
#[derive(Debug)]
pub struct MaculaPublisher {
    client: macula_sdk::Client,
    publisher: macula_sdk::Publisher,
}

impl Publisher for MaculaPublisher {
    #[inline]
    async fn send(&self, payload: &[u8]) -> anyhow::Result<()> {
        Ok(self.publisher.send(payload, "").await?)
    }

    async fn flush(&self) -> anyhow::Result<()> {
        Ok(self.client.flush().await?)
    }
}

impl Subscription for macula_sdk::Subscription {
    async fn run(mut self, mut sink: Sink) -> Sink {
        while !sink.is_done() {
            let Some(batch) = self.next_batch().await else {
                sink.fault("the subscription ended".to_owned());
                break;
            };
            let before = sink.received();
            batch.for_each(|notification| match notification {
                Notification::Message(message) => sink.take(message.payload()),
                Notification::Dropped(count) | Notification::Gap(Some(count)) => sink.told(count),
                other => sink.fault(format!("{other:?}")),
            });
            if let Some(rest) = sink.rest(sink.received() - before) {
                tokio::time::sleep(rest).await;
            }
        }
        sink
    }
}

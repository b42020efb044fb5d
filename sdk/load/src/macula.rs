//! Macula itself as a system under load.

use crate::sink::Sink;
use crate::system::{Client, Publisher, Role, Subscription, System, Threads};
use anyhow::Context as _;
use macula_sdk::{Builder, Class, Notification, Overflow, Pattern, Reply, Topic};
use tokio::runtime::Handle;

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
    /// Where clients do their I/O.
    pub io: Io,
}

/// Where clients do their I/O.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Io {
    /// On threads of the SDK, as is its default: for throughput.
    #[default]
    Threads,
    /// On the runtimes that the load itself runs on, one for each core: for latency, and for many clients.
    Runtime,
}

impl Macula {
    /// All clients at one gateway; events, none of which may be lost.
    pub fn at(builder: Builder) -> Self {
        let (near, far) = (builder.clone(), builder);
        Self { near, far, class: Class::Event, overflow: Overflow::Block, io: Io::Threads }
    }
}

/// Subscriptions that are only there, until they are closed.
#[derive(Debug, Default)]
pub struct Crowd {
    clients: Vec<(macula_sdk::Client, Vec<macula_sdk::Subscription>)>,
}

impl Crowd {
    /// Ends their sessions.
    pub async fn close(self) {
        for (client, subscriptions) in self.clients {
            let _ = client.close().await;
            drop(subscriptions);
        }
    }
}

impl Macula {
    /// So many subscriptions, with wildcards and without, that match no topic of a load.
    ///
    /// # Errors
    /// When a client cannot connect or subscribe.
    pub async fn crowd(&self, subscriptions: usize) -> anyhow::Result<Crowd> {
        let mut clients = tokio::task::JoinSet::new();
        for first in (0..subscriptions).step_by(SUBSCRIPTIONS_PER_SESSION) {
            let (builder, overflow) = (self.far.clone(), self.overflow);
            let numbers = first..subscriptions.min(first + SUBSCRIPTIONS_PER_SESSION);
            clients.spawn(async move {
                let client = builder.connect().await.context("a client with idle subscriptions")?;
                let mut held = Vec::with_capacity(numbers.len());
                for number in numbers {
                    let end = if number % 4 == 0 { "*" } else { "measured" };
                    let pattern: Pattern = format!("load.crowd.home-{number:07}.{end}").parse()?;
                    let subscribe = client.subscribe(pattern).overflow_events(overflow);
                    held.push(subscribe.await.context("an idle subscription")?);
                }
                anyhow::Ok((client, held))
            });
        }
        let mut crowd = Crowd::default();
        while let Some(client) = clients.join_next().await {
            crowd.clients.push(client??);
        }
        Ok(crowd)
    }
}

impl System for Macula {
    type Client = MaculaClient;

    async fn connect(&self, role: Role) -> anyhow::Result<MaculaClient> {
        let mut builder = match role {
            Role::Publisher | Role::Caller => self.near.clone(),
            Role::Subscriber | Role::Callee | Role::Idle => self.far.clone(),
        };
        if self.io == Io::Runtime {
            builder = builder.runtime(Handle::current());
        }
        let client = builder.connect().await?;
        Ok(MaculaClient { client, class: self.class, overflow: self.overflow })
    }

    fn threads(&self) -> Threads {
        match self.io {
            // It has one for each core already.
            Io::Threads => Threads::Shared,
            Io::Runtime => Threads::PerCore,
        }
    }

    fn may_lose(&self) -> bool {
        self.overflow != Overflow::Block
    }
}

/// Subscriptions of one client, as the protocol bounds them.
const SUBSCRIPTIONS_PER_SESSION: usize = 10_000;

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
    type Procedure = Topic;

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

    fn procedure(&self, number: usize) -> anyhow::Result<Topic> {
        topic(number)
    }

    async fn call(
        &self,
        procedure: &Topic,
        payload: &[u8],
        check: impl FnOnce(&[u8]) -> bool + Send,
    ) -> anyhow::Result<bool> {
        let reply = self.client.call(procedure, payload.to_vec()).await?;
        Ok(check(reply.payload()))
    }

    async fn close(&self) {
        // A session that only ends with its process is held for, and holds publishers back, until the gateway is sure.
        let _ = self.client.close().await;
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

//! Async client of Macula: publish, subscribe, call and serve through the local gateway.
//!
//! ```no_run
//! use macula_sdk::{Client, Topic};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect("https://localhost:9443").await?;
//! let topic: Topic = "be.cortexiq.home.measured".parse()?;
//! client.publish(&topic, "21.5 °C").key("home-1").await?;
//!
//! let procedure: Topic = "be.cortexiq.query.homes".parse()?;
//! let reply = client.call(&procedure, "").await?;
//! println!("{} bytes", reply.payload().len());
//! client.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! A [`Client`] keeps one connection to a gateway up, in a thread of its own; every handle is cheap to clone and may
//! be used from any thread and executor. When the connection is lost it reconnects for ever, restores subscriptions
//! and registrations, and sends events again that the gateway had not accepted.
//!
//! - **Events** are kept until the gateway has taken them: [`Client::publish`] resolves when it holds the event for
//!   all its subscribers. **Telemetry** is sent once. A [`Subscription`] yields a [`Notification`] at the place where
//!   messages are missing, be it by an overflow, a lost connection or a lost link between gateways.
//! - **Back-pressure**: publishing waits when the gateway or its subscribers fall behind, and a subscription that is
//!   not read holds the gateway back. Memory is bounded on both ways, by [`Builder::outbox_bytes`] and
//!   [`Builder::windows`].
//! - For many messages use a [`Publisher`] and [`Subscription::for_each`]; the others are as safe and less fast.

mod aliases;
mod batches;
mod block;
mod builder;
mod call;
mod calls;
mod client;
mod connection;
mod core;
mod error;
mod inbox;
mod inflow;
mod intake;
mod lane;
mod message;
mod outbox;
mod outlet;
mod publish;
mod publisher;
mod register;
mod registrations;
mod status;
mod subscription;
mod subscriptions;

pub use builder::{Builder, Windows};
pub use call::{Call, DEFAULT_TIMEOUT};
pub use client::Client;
pub use error::{
    Attempt, CallError, ConnectError, DecodeError, Failure, FlushError, PublishError, RegisterError,
    SettingsError, SubscribeError, TrySendError,
};
pub use message::{Class, Message, PublisherId};
pub use publish::Publish;
pub use publisher::{Publisher, PublisherBuilder};
pub use register::{CallFailure, Register, Registration, Reply, Request};
pub use registrations::HANDLERS;
pub use status::{Statistics, Status};
pub use subscription::{Batch, Notification, Subscribe, Subscription};

pub use macula_proto::v1::{CallPolicy, Code, Overflow};
pub use macula_proto::{Pattern, Topic, pattern, topic};

/// Whole milliseconds for the wire, where 0 has a meaning of its own: at least one.
fn millis(duration: std::time::Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX).max(1)
}

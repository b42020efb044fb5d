//! Async client of Macula: publish, subscribe, call and serve through the local gateway.
//!
//! ```no_run
//! use macula_sdk::Client;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect("https://localhost:9443").await?;
//! client.publish("be.cortexiq.home.measured", "21.5 °C").key("home-1").await?;
//!
//! let reply = client.call("be.cortexiq.query.homes", "").await?;
//! println!("{} bytes", reply.payload().len());
//! client.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! A [`Client`] keeps one connection to a gateway up, in a thread for I/O; clients of a process share at most as many
//! such threads as the machine has cores, or do it on a [runtime](Builder::runtime) of the application. Every handle is cheap to clone and may be used from any thread and executor.
//! When the connection is lost it reconnects for ever. Within half a minute the session goes on where it stopped; else
//! subscriptions and registrations are made anew and the gateway sends what it still holds for them.
//!
//! - **Events** are delivered at least once. [`Client::publish`] resolves when the gateway holds the event for all its
//!   subscribers; the client keeps it until they have acknowledged it, and sends it again should the gateway die before.
//!   **Telemetry** is sent once. A [`Subscription`] yields a [`Notification`] at the place where messages are missing.
//! - **Acknowledging** is done by the client when the application comes back for more, or [by hand](Subscribe::manual_ack)
//!   when its work is done; with a [session name](Builder::session_name) the next process goes on where this one stopped.
//! - **Groups** share the messages of a pattern among their members: [`Subscribe::group`].
//! - **Back-pressure**: publishing waits when the gateway or its subscribers fall behind, and a subscription that is
//!   not read holds the gateway back. Memory is bounded on both ways, by [`Builder::outbox_bytes`] and
//!   [`Builder::windows`].
//! - **Protobuf messages** that say their type: [`Client::publish_typed`], [`Subscribe::typed`], [`Client::call_typed`],
//!   [`Client::register_typed`].
//! - **Traces** (W3C `traceparent`) go on by themselves inside of handlers: [`TraceParent`], and [`Builder::trace_source`] for
//!   OpenTelemetry.
//! - For many messages use a [`Publisher`] and [`Subscription::for_each`]; the others are as safe and less fast.

mod acks;
mod aliases;
mod batches;
mod block;
mod builder;
mod call;
mod calls;
mod client;
mod connection;
mod core;
#[doc(hidden)]
pub mod doc;
mod error;
mod events;
mod feed;
mod inbox;
mod inflow;
mod intake;
mod io;
mod lane;
mod mailbox;
mod manual;
mod message;
mod names;
mod numbers;
mod outbox;
mod outlet;
mod publish;
mod publisher;
mod register;
mod registrations;
mod relief;
mod replies;
mod reply_sender;
mod seen;
mod session;
mod shares;
mod status;
mod subscription;
mod subscriptions;
mod trace;
mod typed;
mod values;
mod will;

pub use builder::{Builder, Windows};
pub use call::{All, Call, DEFAULT_TIMEOUT, DEFAULT_WINDOW, Typed};
pub use client::Client;
pub use error::{
    Attempt, CallError, ConnectError, DecodeError, Failure, FlushError, PublishError, RegisterError,
    SettingsError, SubscribeError, TrySendError,
};
pub use events::{ConnectionEvent, ConnectionEvents};
pub use manual::{Acknowledgement, Delivery, ManualBatch, ManualSubscription};
pub use message::{Class, Message, PublisherId};
pub use names::{IntoPattern, IntoTopic};
pub use publish::{Publish, Receipt};
pub use publisher::{Publisher, PublisherBuilder};
pub use register::{CallFailure, Register, Registration, RegistrationState, Reply, Request};
pub use registrations::HANDLERS;
pub use relief::UNREAD_BYTES;
pub use replies::{Answer, Answers, Replies};
pub use reply_sender::{Cancellation, ReplySender};
pub use status::{Statistics, Status};
pub use subscription::{Batch, Notification, Share, Subscribe, Subscription};
pub use trace::{TraceParent, TraceParentError};
pub use typed::{TypedMessage, TypedSubscription};
pub use values::Values;
pub use will::LastWill;

pub use macula_proto::v1::{CallPolicy, Code, Overflow};
pub use macula_proto::{Pattern, Topic, pattern, topic};

/// Whole milliseconds for the wire, where 0 has a meaning of its own: at least one.
fn millis(duration: std::time::Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX).max(1)
}

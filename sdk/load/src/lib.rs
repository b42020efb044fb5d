//! Load for a gateway, and for the routers that it is compared with.
//!
//! A [`System`] is what can be loaded; [`Macula`] is one. [`pubsub`], [`rpc`] and [`storm`] are kinds of work. Every message
//! carries its publisher, its number and the time at which it was due, so that a [`Sink`] sees what is missing, doubled or out
//! of order, and latencies hold what a stall delays. Clients may be spread over several [processes](spread), whose
//! clock is one.

mod clock;
pub mod command;
mod macula;
mod payload;
pub mod pubsub;
mod report;
pub mod rpc;
pub mod server;
mod sink;
pub mod spread;
pub mod storm;
mod system;

pub use clock::now;
pub use macula::{Crowd, Io, Macula, MaculaClient};
pub use payload::{HEAD, Head, Sizes};
pub use report::{Format, Latency, Outcome, Part, print};
pub use sink::{Sink, Strictness};
pub use system::{Client, Publisher, Role, Subscription, System, Threads, run_on};

//! The pure half of the Macula gateway: who wants what, what waits for whom, who answers what.
//!
//! No sockets, no tasks, no clock, no randomness of its own: a [`Node`] is given received bytes and the time,
//! and gives bytes to send. The shell around it (`macula-gateway`) owns QUIC, TLS and the timers; the
//! simulator in `tests/` drives several nodes without any of them.
//!
//! Layers, from the bottom: [`Trie`] and `queue` know bytes and patterns only; `routes`, `interest`,
//! `procedures`, `retained`, `calls` are tables; `node` moves frames between connections by them.

mod bitset;
mod calls;
mod conn;
mod counters;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod groups;
mod hash;
mod interest;
mod json;
mod key;
pub mod membership;
mod node;
mod origins;
mod pair;
mod procedures;
mod publishers;
mod queue;
mod retained;
mod routes;
mod seen;
mod summed;
mod time;
mod topics;
pub mod trie;
mod will;

pub use counters::{Counters, Traffic};
pub use hash::fix_hashes;
pub use key::{ConnKey, NodeId, PublisherId};
pub use node::{Gauges, Identity, Node, Notice, Peer};
pub use pair::patience_ms;
pub use time::Now;
pub use trie::Trie;

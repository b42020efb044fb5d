//! End-to-end tests: real QUIC on free ports of this machine.

mod abuse;
mod links;
mod session;
mod world;

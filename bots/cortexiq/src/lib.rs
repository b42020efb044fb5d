//! The whole simulated energy world in one process, and tools for its runs.
//!
//! [`world`] starts and stops it; [`outcome`] compares what it stored with what must be; [`ledger`] computes a run from the
//! pure models alone.

pub mod cli;
pub mod duration;
mod gateway;
mod homes;
pub mod ledger;
mod live;
pub mod mesh;
pub mod outcome;
mod process;
mod table;
pub mod thread;
mod verify;
mod view;
pub mod world;

//! The read models of the energy market: everything that is said on the mesh, stored in PostgreSQL or SQLite.
//!
//! [`run`] hears and writes; [`store`] is the database, with reading back for `verify`; what messages turn into is
//! decided in [`projector`], which waits for nothing. Answering questions is left to `cortexiq-queries`.

mod bot;
mod config;
#[cfg(feature = "fixtures")]
pub mod fixtures;
mod gauges;
mod ledger;
pub mod message;
pub mod projector;
mod retention;
pub mod store;
mod summer;
mod writer;

pub use bot::{Projections, RunError, migrate, rebuild, run, verify};
pub use config::{Config, DATABASE_HELP, DEFAULT_DATABASE, SETTINGS, read_database};
pub use gauges::Gauges;
pub use store::{Batch, Counts, Database, Keep, Reader, Store};

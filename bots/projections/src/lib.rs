//! The read models of the energy market: everything that is said on the mesh, stored in PostgreSQL or SQLite.

#[cfg(feature = "fixtures")]
pub mod fixtures;
mod ledger;
pub mod message;
pub mod projector;
pub mod store;

pub use store::{Batch, Counts, Database, Reader, Store};

//! Answers to questions about the energy market, read from its read models.
//!
//! [`run`] offers every `be.cortexiq.queries.*` on the mesh; [`Answers`] is the same without a mesh. Nothing here writes.

mod answers;
mod arguments;
mod bot;
mod config;
mod error;
mod gauges;

pub use answers::Answers;
pub use arguments::LARGEST_PAGE;
pub use bot::{Queries, run};
pub use config::{Config, SETTINGS};
pub use error::QueryError;

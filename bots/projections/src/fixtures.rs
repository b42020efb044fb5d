//! What tests and benchmarks put things into, and what they put there (feature `fixtures`).

pub mod plans;
mod postgres;
mod world;

pub use postgres::Postgres;
pub use world::{World, on};

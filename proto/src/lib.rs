//! Wire format of Macula: frames, topics, patterns, limits and the messages of sessions and links.
//!
//! Pure code without I/O. Everything that comes off a wire is parsed here once; past it, a [`Topic`] or
//! [`Pattern`] is legal by construction.

pub mod frame;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod kind;
pub mod limits;
pub mod pattern;
pub mod slot;
pub mod topic;
pub mod v1;
pub mod varint;
pub mod vars;
pub mod wire;

pub use pattern::Pattern;
pub use topic::Topic;

#[cfg(feature = "schema")]
pub mod schema;

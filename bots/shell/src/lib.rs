//! What the shells of all CortexIQ bots share: settings of the mesh, typed publishing and subscribing, and the life of a
//! process. What a bot decides is in `cortexiq-domain` and in the bot itself.

mod admin;
mod channel;
mod error;
mod feeds;
mod program;
mod register;
mod retained;
mod settings;

pub use admin::{Admin, Health, Metrics, Presence};
pub use channel::{Channel, topic};
pub use error::RunError;
pub use feeds::Feeds;
pub use program::{Program, Signals, start_log};
pub use register::register;
pub use retained::retained;
pub use settings::{Mesh, close, merged};

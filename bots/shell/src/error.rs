//! Why a bot stops by itself.

use macula_sdk::{ConnectError, FlushError, PublishError, RegisterError, SubscribeError};

/// Why a bot stopped before it was told to. A lost connection is no reason: the client keeps trying.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The gateway refused the client, or its settings cannot be used.
    #[error("cannot connect: {0}")]
    Connect(#[from] ConnectError),
    /// A subscription was refused.
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    /// A procedure was refused.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// A message was refused.
    #[error("cannot publish to `{topic}`: {source}")]
    Publish {
        /// Where to.
        topic: String,
        /// Why.
        source: PublishError,
    },
    /// Messages that were handed over were refused.
    #[error(transparent)]
    Flush(#[from] FlushError),
    /// The admin port cannot be listened on.
    #[error("MACULA_ADMIN_PORT: cannot listen on {address}: {source}")]
    Admin {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A subscription ended although nobody closed it.
    #[error("the subscription to `{0}` has ended")]
    Ended(String),
}

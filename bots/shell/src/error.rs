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
    /// A subscription ended although nobody closed it.
    #[error("the subscription to `{0}` has ended")]
    Ended(String),
}

//! Why a command ended without doing what it was asked to.

use macula_sdk::{CallError, ConnectError, FlushError, PublishError, RegisterError, SubscribeError};

/// Exit code of a command that was asked for something that cannot be.
pub(crate) const USAGE: u8 = 2;
/// Exit code of a command that could not do what it was asked for.
const FAILED: u8 = 1;

/// The end of a command; shown in one line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// What was asked for cannot be, whatever the gateway says.
    #[error("{0}")]
    Usage(String),
    /// It did not work.
    #[error("{0}")]
    Failed(String),
    /// It did not work, and the report on stdout says why.
    #[error("some steps failed")]
    Reported,
    /// Nobody reads stdout any more.
    #[error("stdout is closed")]
    ClosedPipe,
    /// The gateway cannot be reached or refuses.
    #[error("cannot connect: {0}{hint}", hint = hint(.0))]
    Connect(#[from] ConnectError),
    /// A message was refused.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Some of many messages were refused.
    #[error(transparent)]
    Flush(#[from] FlushError),
    /// A subscription was refused.
    #[error(transparent)]
    Subscribe(#[from] SubscribeError),
    /// A registration was refused.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// A call had no result; the code comes first, for scripts.
    #[error("{}: {}", .0.code.as_str_name(), .0.message)]
    Call(#[from] CallError),
}

impl Error {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Connect(ConnectError::Settings(_)) => USAGE,
            _ => FAILED,
        }
    }
}

/// A refusal says all there is to say; about silence there is more to find out.
fn hint(error: &ConnectError) -> &'static str {
    match error {
        ConnectError::Failed { .. } if error.refusal().is_none() => " (`macula doctor` looks closer)",
        _ => "",
    }
}

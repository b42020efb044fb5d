//! The I/O thread: connects, serves the connection until it is lost, and connects again.

use crate::core::Core;
use crate::error::ConnectError;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Starts the thread. What it returns resolves when the client is connected or will not be.
pub(crate) fn start(core: Arc<Core>) -> Result<oneshot::Receiver<Result<(), ConnectError>>, ConnectError> {
    let _ = core;
    Err(ConnectError::Io("not yet".to_owned()))
}

impl Core {
    /// Resolves after this time, on whatever executor it is polled.
    pub(crate) fn sleep(&self, duration: Duration) -> tokio::time::Sleep {
        let _entered = self.io.get().map(|io| io.enter());
        tokio::time::sleep(duration)
    }
}

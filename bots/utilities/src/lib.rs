//! The energy providers of one region: they price daily and take customers everywhere.
//!
//! [`book`] holds all of them and knows no network; [`Utilities`] connects it to the mesh through one client.

pub mod book;
mod bot;
mod config;
mod progress;

use std::sync::Arc;

use cortexiq_shell::RunError;
use tokio_util::sync::CancellationToken;

pub use bot::Utilities;
pub use config::{Config, DEFAULT_PROVIDERS, SETTINGS};
pub use progress::Progress;

/// Runs the providers of a region until told to stop.
///
/// # Errors
/// When the gateway refuses them; a lost connection is waited out.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), RunError> {
    let progress = Arc::clone(&config.progress);
    let _admin = config.admin.serve(Arc::clone(&progress)).await?;
    let utilities = tokio::select! {
        utilities = Utilities::start(config) => utilities?,
        () = shutdown.cancelled() => return Ok(()),
    };
    progress.joined(utilities.client());
    utilities.run(shutdown).await
}

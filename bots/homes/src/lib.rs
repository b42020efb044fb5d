//! The homes of one region: they measure every quarter-hour, trade every hour, and choose their provider.
//!
//! [`crowd`] holds all of them and knows no network; [`Homes`] connects it to the mesh through one client.

mod bot;
mod config;
pub mod crowd;
mod desk;
mod progress;

use std::sync::Arc;

use cortexiq_shell::RunError;
use tokio_util::sync::CancellationToken;

pub use bot::Homes;
pub use config::{Config, SETTINGS};
pub use progress::{Progress, Seen};

/// Runs the homes of a region until told to stop.
///
/// # Errors
/// When the gateway refuses them; a lost connection is waited out.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), RunError> {
    let progress = Arc::clone(&config.progress);
    let _admin = config.admin.serve(Arc::clone(&progress)).await?;
    let homes = tokio::select! {
        homes = Homes::start(config) => homes?,
        () = shutdown.cancelled() => return Ok(()),
    };
    progress.joined(homes.client());
    homes.run(shutdown).await
}

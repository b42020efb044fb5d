//! The simulation: one clock for all, the market that goes by it, and control over both.
//!
//! [`clock`] and [`control`] decide and know no network; [`Simulation`] connects them to the mesh.

mod bot;
pub mod clock;
mod config;
pub mod control;
mod progress;

use std::sync::Arc;

use cortexiq_shell::RunError;
use tokio_util::sync::CancellationToken;

pub use bot::Simulation;
pub use config::{Config, DEFAULT_SPEED, DEFAULT_START, SETTINGS};
pub use progress::Progress;

/// Runs the simulation until told to stop.
///
/// # Errors
/// When the gateway refuses it; a lost connection is waited out.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), RunError> {
    let progress = Arc::clone(&config.progress);
    let _admin = config.admin.serve(Arc::clone(&progress)).await?;
    let simulation = tokio::select! {
        simulation = Simulation::start(config) => simulation?,
        () = shutdown.cancelled() => return Ok(()),
    };
    progress.joined(simulation.client());
    simulation.run(shutdown).await
}

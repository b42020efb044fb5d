//! Removing what is not kept, beside the writing of rows.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

use crate::gauges::Gauges;
use crate::store::{Keep, Removed, Store, Sweep};

/// Sweeps now and then until the handle is dropped. What is not removed by then is by the next process.
pub(crate) fn begin(store: Arc<Store>, keep: Keep, gauges: Arc<Gauges>) -> AbortOnDropHandle<()> {
    let sweeping = async move {
        let mut sweep = Sweep::new(keep);
        let mut every = interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            match sweep.sweep(&store).await {
                Ok(removed) => {
                    gauges.count_removed(removed.len() as u64);
                    removed.iter().for_each(tell);
                }
                Err(error) => tracing::warn!(%error, "not removed yet; trying again"),
            }
        }
    };
    AbortOnDropHandle::new(tokio::spawn(sweeping))
}

fn tell(removed: &Removed) {
    match removed {
        Removed::Before { run, month } => {
            tracing::info!(run, %month, "quarter-hours before this month are removed")
        }
        Removed::Run(run) => tracing::info!(run, "the run is removed"),
    }
}

/// A month takes 25 s at full speed, and half a minute on disk more or less is nothing.
const EVERY: Duration = Duration::from_secs(5);

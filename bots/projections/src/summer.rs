//! First sums of days that are over, beside the writing of rows.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::gauges::Gauges;
use crate::store::{Batch, Store};
use crate::writer::until_written;

/// Sums days up in their order, on a connection of its own. What it has not done when it is dropped is done by the next
/// process.
#[derive(Debug)]
pub(crate) struct Summer {
    sums: mpsc::Sender<Batch>,
    summing: AbortOnDropHandle<()>,
}

impl Summer {
    pub(crate) fn new(store: Store, gauges: Arc<Gauges>) -> Self {
        let (sums, mut waiting) = mpsc::channel::<Batch>(WAITING);
        let summing = tokio::spawn(async move {
            while let Some(batch) = waiting.recv().await {
                until_written(&store, &gauges, Arc::new(batch)).await;
            }
        });
        Self { sums, summing: AbortOnDropHandle::new(summing) }
    }

    /// Where sums are handed in, once the rows are there that they are made of.
    pub(crate) fn sums(&self) -> mpsc::Sender<Batch> {
        self.sums.clone()
    }

    /// Ends when all sums that were handed in are made.
    pub(crate) async fn finish(self) {
        drop(self.sums);
        // It failed in a way that is a mistake of ours; the next process makes what is missing.
        if let Err(error) = self.summing.await {
            tracing::error!(%error, "sums of days are not made");
        }
    }
}

/// Batches with days to be summed up; whoever writes rows waits behind them.
const WAITING: usize = 4;

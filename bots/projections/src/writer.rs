//! One batch on its way into the database at a time, until it is there.

use std::sync::Arc;
use std::time::Duration;

use cortexiq_shell::Health as _;
use macula_sdk::Acknowledgement;
use tokio::sync::mpsc;
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use crate::gauges::Gauges;
use crate::store::{Batch, Database, Failure, Store, Written};

/// Writes batches in order, each until it is committed.
#[derive(Debug)]
pub(crate) struct Writer {
    store: Arc<Store>,
    gauges: Arc<Gauges>,
    /// Who makes the first sums of days, where that is not done with the rows.
    sums: Option<mpsc::Sender<Batch>>,
    writing: Option<AbortOnDropHandle<Written>>,
}

impl Writer {
    pub(crate) fn new(store: Arc<Store>, gauges: Arc<Gauges>, sums: Option<mpsc::Sender<Batch>>) -> Self {
        Self { store, gauges, sums, writing: None }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.writing.is_none()
    }

    /// Begins with a batch; the one before it has been [`done`](Self::done). When it is committed, and not before, what it was
    /// made of is acknowledged.
    pub(crate) fn write(&mut self, batch: Batch, heard: Vec<Acknowledgement>) {
        debug_assert!(self.is_idle());
        let (store, gauges, sums) = (Arc::clone(&self.store), Arc::clone(&self.gauges), self.sums.clone());
        let writing = tokio::spawn(async move {
            let (rows, later) = match &sums {
                Some(_) => batch.split(),
                None => (batch, Batch::default()),
            };
            let written = until_written(&store, &gauges, Arc::new(rows)).await;
            heard.into_iter().for_each(Acknowledgement::ack);
            if let Some(sums) = sums.filter(|_| !later.is_empty())
                && sums.send(later).await.is_err()
            {
                tracing::error!("sums of days are not made until the next start");
            }
            written
        });
        self.writing = Some(AbortOnDropHandle::new(writing));
    }

    /// Resolves when the batch is committed; never when there is none. Dropping the future loses nothing.
    pub(crate) async fn done(&mut self) -> Result<Written, JoinError> {
        let Some(writing) = &mut self.writing else { return std::future::pending().await };
        let written = writing.await;
        self.writing = None;
        written
    }
}

/// Writes a batch, again and again until it is committed.
pub(crate) async fn until_written(store: &Store, gauges: &Gauges, batch: Arc<Batch>) -> Written {
    let mut pause = FIRST_PAUSE;
    loop {
        match store.write(Arc::clone(&batch)).await {
            Ok(written) => {
                if gauges.ready().is_err() {
                    tracing::info!("the database takes rows");
                }
                gauges.set_database(Ok(()));
                gauges.count_batches(1);
                gauges.count_measurements(written.measurements);
                gauges.count_trades(written.trades);
                if written.expired > 0 {
                    gauges.count_expired(written.expired);
                    tracing::warn!(
                        rows = written.expired,
                        "not stored: what they are of was removed by retention"
                    );
                }
                return written;
            }
            Err(error) => {
                gauges.set_database(Err(error.to_string()));
                gauges.count_failures(1);
                tracing::warn!(%error, rows = batch.len(), ?pause, "not written; trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Opens a store. A PostgreSQL server may come later; whatever else is wrong will not mend itself.
pub(crate) async fn open(database: &Database) -> Result<Store, Failure> {
    let mut pause = FIRST_PAUSE;
    loop {
        match (Store::open(database).await, database) {
            (Err(Failure::Gone(reason)), Database::Postgres(_)) => {
                tracing::warn!(database = database.shown(), reason, ?pause, "no database yet; trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            (opened, _) => return opened,
        }
    }
}

/// A restarted server is back within about a second.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// What a server that comes back after long has to wait for us at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

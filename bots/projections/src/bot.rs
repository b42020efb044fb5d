//! The projections on the mesh: hear everything, write it, tell the totals.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cortexiq_domain::topics;
use cortexiq_proto::TotalsCalculated;
use cortexiq_shell::{Channel, close};
use macula_sdk::{
    Acknowledgement, Class, Client, ManualBatch, ManualSubscription, Notification, Overflow, Pattern,
};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::config::Config;
use crate::gauges::Gauges;
use crate::message::{Message, Unfit};
use crate::projector::{Origin, Projector};
use crate::retention;
use crate::store::{Database, Failure, Reader, Store, VerifyError, Written};
use crate::summer::Summer;
use crate::writer::{self, Writer};

/// Why the projections stopped before they were told to. A lost connection is no reason, nor is a database that has gone:
/// both are waited for.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The mesh refused something.
    #[error(transparent)]
    Mesh(#[from] cortexiq_shell::RunError),
    /// A subscription was refused.
    #[error(transparent)]
    Subscribe(#[from] macula_sdk::SubscribeError),
    /// The database cannot be used.
    #[error("DATABASE_URL: {database}: {source}")]
    Database {
        /// The database, without user and password.
        database: String,
        /// Why.
        source: Failure,
    },
    /// There is nothing to work on.
    #[error("no run is in the read models")]
    NoRun,
    /// It could not be told whether the read models are right.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The read models are not what they must be.
    #[error("{lost} quarter-hours are lost, {different} rows or numbers differ")]
    Different {
        /// Quarter-hours that must be stored and are not.
        lost: u64,
        /// Rows and numbers that differ, those that are lost among them.
        different: u64,
    },
    /// The writer failed in a way that is a mistake of ours.
    #[error("the writer failed: {0}")]
    Writer(#[from] tokio::task::JoinError),
}

/// Projections that hear and have not begun to write.
#[derive(Debug)]
pub struct Projections {
    client: Client,
    subscription: ManualSubscription,
    /// Of what is in the batch that is written next.
    heard: Vec<Acknowledgement>,
    reader: Reader,
    projector: Projector,
    writer: Writer,
    /// None where a database takes one writer only.
    summer: Option<Summer>,
    gauges: Arc<Gauges>,
    totals: Channel<TotalsCalculated>,
    told: Told,
    _retention: Option<AbortOnDropHandle<()>>,
    _admin: Option<AbortOnDropHandle<()>>,
}

/// Counts at the last totals, for rates.
#[derive(Debug)]
struct Told {
    at: Instant,
    messages: u64,
    measurements: u64,
}

/// Runs the projections until told to stop; what has been heard by then is written.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), RunError> {
    let projections = tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        started = Projections::start(config) => started?,
    };
    projections.run(shutdown).await
}

/// Makes the tables as this version wants them, and does nothing else. Waits for a database that is not there yet.
pub async fn migrate(config: Config, shutdown: CancellationToken) -> Result<(), RunError> {
    let Config { database, .. } = config;
    let opened = tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        opened = writer::open(&database) => opened,
    };
    opened.map_err(|source| RunError::Database { database: database.shown(), source })?;
    tracing::info!(database = database.shown(), "the tables are up to date");
    Ok(())
}

/// Makes all sums of a run again from its stored quarter-hours and hours, month by month; of the newest run unless told which.
pub async fn rebuild(config: Config, run: Option<u64>, shutdown: CancellationToken) -> Result<(), RunError> {
    let Config { database, .. } = config;
    let failed = |source| RunError::Database { database: database.shown(), source };
    let rebuilding = async {
        must_exist(&database)?;
        let store = writer::open(&database).await.map_err(failed)?;
        let run = which(store.reader(), run, &database).await?;
        // Whether there is such a run.
        store.reader().recorded(run).await?;
        let told = |month| tracing::info!(run, %month, "made again");
        store.rebuild(run, told).await.map_err(failed)
    };
    tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        rebuilt = rebuilding => rebuilt,
    }
}

/// Computes a run again from its recorded prices and contracts and prints the first differences.
pub async fn verify(config: Config, run: Option<u64>, shutdown: CancellationToken) -> Result<(), RunError> {
    let Config { database, .. } = config;
    let verifying = async {
        must_exist(&database)?;
        let reader = Reader::new(&database);
        let run = which(&reader, run, &database).await?;
        let end_time = reader.recorded(run).await?.end_time;
        let report = reader.verify(run, end_time).await?;
        if report.equal && report.lost == 0 {
            println!(
                "run {run} is equal to the watt-hour and the nano-euro; {} quarter-hours",
                report.stored
            );
            return Ok(());
        }
        report.differences.iter().for_each(|difference| println!("{difference}"));
        Err(RunError::Different { lost: report.lost, different: report.different })
    };
    tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        verified = verifying => verified,
    }
}

/// What is only looked at or mended is not to be made.
fn must_exist(database: &Database) -> Result<(), RunError> {
    match database {
        Database::Sqlite(path) if !path.exists() => {
            let source = Failure::Refused(format!("there is no file {}", path.display()));
            Err(RunError::Database { database: database.shown(), source })
        }
        _ => Ok(()),
    }
}

/// The run that is meant: the newest unless told.
async fn which(reader: &Reader, run: Option<u64>, database: &Database) -> Result<u64, RunError> {
    let failed = |source| RunError::Database { database: database.shown(), source };
    let newest = reader.newest_run().await.map_err(failed)?;
    match run {
        Some(run) => Ok(run),
        None => newest.ok_or(RunError::NoRun),
    }
}

impl Projections {
    /// Opens the read models, takes up their newest run and subscribes. When this resolves the whole mesh knows, so that
    /// nothing said afterwards is missed.
    pub async fn start(config: Config) -> Result<Self, RunError> {
        let Config { mesh, database, admin, session, group, keep } = config;
        let gauges = Arc::new(Gauges::default());
        let admin = admin.serve(Arc::clone(&gauges)).await?;
        let failed = |source| RunError::Database { database: database.shown(), source };
        let store: Arc<Store> = Arc::new(writer::open(&database).await.map_err(failed)?);
        let mut projector = if group.is_empty() { Projector::default() } else { Projector::shared() };
        projector.restore(store.reader()).await.map_err(failed)?;
        let summer = match &database {
            Database::Sqlite(_) => None,
            Database::Postgres(_) => {
                Some(Summer::new(writer::open(&database).await.map_err(failed)?, Arc::clone(&gauges)))
            }
        };
        let retention = match (keep.is_everything(), &database) {
            (true, _) => None,
            (false, Database::Sqlite(_)) => Some(Arc::clone(&store)),
            (false, Database::Postgres(_)) => Some(Arc::new(writer::open(&database).await.map_err(failed)?)),
        };
        let retention = retention.map(|store| retention::begin(store, keep, Arc::clone(&gauges)));
        gauges.set_database(Ok(()));
        tracing::info!(database = database.shown(), run = projector.newest_run(), "the read models are open");

        let client = mesh.connect_session("cortex-iq-projections", &session).await?;
        let everything: Pattern = topics::EVERYTHING.parse().expect("a pattern of the application");
        // A short stall slows the homes down rather than cost a row.
        let subscribe = client.subscribe(everything).manual_ack().retained().scope_mesh().group(group);
        let subscription = subscribe.overflow_telemetry(Overflow::Block).block_for(BLOCK).await?;
        if !subscription.missing().is_empty() {
            let missing = subscription.missing().join(", ");
            tracing::warn!(missing, "some gateways do not know the subscription yet");
        }
        gauges.set_subscribed(true);
        Ok(Self {
            totals: Channel::new(&client, &topics::TOTALS_CALCULATED),
            client,
            subscription,
            heard: Vec::new(),
            reader: store.reader().clone(),
            projector,
            writer: Writer::new(store, Arc::clone(&gauges), summer.as_ref().map(Summer::sums)),
            summer,
            told: Told { at: Instant::now(), messages: 0, measurements: 0 },
            gauges,
            _retention: retention,
            _admin: admin,
        })
    }

    /// What is counted, also while this runs.
    pub fn gauges(&self) -> Arc<Gauges> {
        Arc::clone(&self.gauges)
    }

    /// Writes what is heard until told to stop, then what has been heard by then.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), RunError> {
        let mut flush = interval(FLUSH);
        let mut tell = interval(TELL);
        flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tell.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            // When a batch is full the mesh waits for the database.
            let room = self.projector.waiting() < BATCH_ROWS;
            tokio::select! {
                () = shutdown.cancelled() => break,
                written = self.writer.done() => self.on_written(written?).await,
                heard = self.subscription.next_batch(), if room => match heard {
                    Some(batch) => self.on_heard(batch),
                    None => return Err(cortexiq_shell::RunError::Ended(topics::EVERYTHING.into()).into()),
                },
                _ = flush.tick() => self.write(),
                _ = tell.tick() => self.tell().await,
            }
            if self.projector.waiting() >= BATCH_ROWS {
                self.write();
            }
        }
        self.finish().await
    }

    fn on_heard(&mut self, mut batch: ManualBatch) {
        let mut messages = 0;
        for notification in &mut batch {
            match notification {
                Notification::Message(message) => {
                    messages += 1;
                    self.on_message(&message);
                }
                Notification::Dropped(count) => {
                    tracing::warn!(count, "telemetry was dropped: quarter-hours may be missing");
                    self.gauges.count_dropped(count);
                }
                Notification::Gap(count) => {
                    tracing::warn!(?count, "events were lost: trades or contracts may be missing");
                    self.gauges.count_gaps(1);
                }
                Notification::RetainedEnd => {}
            }
        }
        self.heard.push(batch.into_acknowledgement());
        self.gauges.count_messages(messages);
        self.gauges.set_waiting(self.projector.waiting());
    }

    fn on_message(&mut self, message: &macula_sdk::Message) {
        let origin = Origin {
            publisher: message.publisher().0,
            epoch: message.epoch(),
            class: match message.class() {
                Class::Event => 1,
                Class::Telemetry => 2,
            },
            sequence: message.sequence(),
        };
        let (topic, payload) = (message.topic().as_str(), message.payload());
        match Message::decode(topic, payload) {
            Ok(message) => self.projector.apply(message, payload),
            Err(unfit) => {
                let run = if let Unfit::Impossible { run, .. } = &unfit { *run } else { 0 };
                self.gauges.count_rejected(1);
                tracing::warn!(topic, publisher = %message.publisher(), reason = %unfit, "a message is not stored");
                self.projector.reject(origin, run, topic, unfit.to_string(), payload);
            }
        }
        self.projector.advance(PROJECTION, &origin);
    }

    /// Begins to write what waits, unless something is being written.
    fn write(&mut self) {
        if self.writer.is_idle() {
            let (batch, heard) = (self.projector.take(), std::mem::take(&mut self.heard));
            match batch.is_empty() {
                true => heard.into_iter().for_each(Acknowledgement::ack),
                false => self.writer.write(batch, heard),
            }
            self.gauges.set_waiting(0);
        }
    }

    async fn on_written(&mut self, written: Written) {
        self.projector.on_written(written.measurements, written.switches);
        // Nothing is being written now.
        if let Err(error) = self.projector.reread(&self.reader).await {
            tracing::warn!(%error, "registers of money are read again later");
        }
    }

    async fn tell(&mut self) {
        // Each of a group knows the totals of its own homes only.
        if self.projector.is_shared() {
            return;
        }
        let Some(mut totals) = self.projector.totals() else { return };
        let now = Told {
            at: Instant::now(),
            messages: self.gauges.messages(),
            measurements: self.gauges.measurements(),
        };
        let seconds = now.at.duration_since(self.told.at).as_secs_f64().max(0.001);
        totals.measured_per_second = ((now.measurements - self.told.measurements) as f64 / seconds) as u32;
        totals.events_per_second = ((now.messages - self.told.messages) as f64 / seconds) as u32;
        self.told = now;
        if let Err(error) = self.totals.send(&totals).await {
            tracing::warn!(%error, "totals are not told");
        }
    }

    /// 1. Hear what is on its way. 2. Write all of it. 3. Tell the last totals. 4. Finish the sums and leave the mesh.
    async fn finish(mut self) -> Result<(), RunError> {
        let begun = Instant::now();
        while begun.elapsed() < LONGEST_FINISH {
            match timeout(SILENCE, self.subscription.next_batch()).await {
                Ok(Some(batch)) => self.on_heard(batch),
                Ok(None) | Err(_) => break,
            }
            if self.projector.waiting() >= BATCH_ROWS {
                self.write_all().await?;
            }
        }
        if timeout(LONGEST_FINISH, self.write_all()).await.is_err() {
            tracing::error!(
                rows = self.projector.waiting(),
                "the database does not come back; these rows are lost"
            );
        }
        self.tell().await;
        drop(self.writer);
        if let Some(summer) = self.summer.take()
            && timeout(LONGEST_FINISH, summer.finish()).await.is_err()
        {
            tracing::warn!("sums of days that are over are left to the next start");
        }
        drop(self.subscription);
        close(&self.client).await;
        Ok(())
    }

    async fn write_all(&mut self) -> Result<(), RunError> {
        loop {
            if !self.writer.is_idle() {
                let written = self.writer.done().await?;
                self.on_written(written).await;
            }
            self.write();
            if self.writer.is_idle() {
                return Ok(());
            }
        }
    }
}

/// The name under which offsets are kept.
const PROJECTION: &str = "read_models";
/// How long the homes wait for a slow database before quarter-hours are dropped; from the design.
const BLOCK: Duration = Duration::from_secs(10);
/// Rows that are written together: past this COPY gets no faster. A second batch may be on its way.
const BATCH_ROWS: usize = 20_000;
/// How old a row gets before it is written.
const FLUSH: Duration = Duration::from_millis(100);
/// Totals twice a second.
const TELL: Duration = Duration::from_millis(500);
/// What was said before the end has come when it was silent for so long; a guess, several round trips.
const SILENCE: Duration = Duration::from_millis(250);
/// What stopping may take for hearing, and again for writing.
const LONGEST_FINISH: Duration = Duration::from_secs(10);

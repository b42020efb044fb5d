//! The homes on the mesh.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cortexiq_domain::population::grow;
use cortexiq_domain::topics;
use cortexiq_proto::{
    ContractConfirmed, ContractExpired, ContractOffered, ContractSigned, ContractSwitched, ContractsHeld,
    HomeCheckpointed, HomeConnected, HomeDisconnected, HomeInitialized, HomeMeasured, HomeTraded,
    RegionBalanced, SpotPriceUpdated, TimeAdvanced,
};
use cortexiq_shell::{Channel, Feeds, RunError, close, retained};
use macula_sdk::{Client, Status};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::crowd::{Crowd, Output, Remembered};
use crate::desk::{Answered, Desk};

/// Connected homes that have not seen a tick.
#[derive(Debug)]
pub struct Homes {
    config: Config,
    client: Client,
    feeds: Feeds<Heard>,
    heard: mpsc::Receiver<Heard>,
    ticks: watch::Receiver<Option<TimeAdvanced>>,
    status: watch::Receiver<Status>,
    voice: Voice,
    /// What the mesh remembers of a process before this one.
    remembered: Remembered,
    /// What came for a run that has not begun here.
    early: Vec<Heard>,
}

/// What comes from outside.
#[derive(Debug)]
enum Heard {
    Prices(SpotPriceUpdated),
    Offered(ContractOffered),
    Confirmed(ContractConfirmed),
}

/// What homes say.
#[derive(Debug)]
struct Voice {
    initialized: Channel<HomeInitialized>,
    connected: Channel<HomeConnected>,
    disconnected: Channel<HomeDisconnected>,
    measured: Channel<HomeMeasured>,
    traded: Channel<HomeTraded>,
    signed: Channel<ContractSigned>,
    switched: Channel<ContractSwitched>,
    checkpointed: Channel<HomeCheckpointed>,
    held: Arc<Channel<ContractsHeld>>,
    expired: Channel<ContractExpired>,
    balanced: Channel<RegionBalanced>,
}

/// One run on the mesh.
#[derive(Debug)]
struct Run {
    crowd: Crowd,
    desk: Desk,
    speed: u32,
    /// When homes said something last.
    spoke: Instant,
    /// When readings of the running quarter-hour were shown last.
    shown: Instant,
}

impl Homes {
    /// Connects, listens to clock, market and providers, and reads what homes measured before a restart.
    pub async fn start(config: Config) -> Result<Self, RunError> {
        let client = config.mesh.connect(&format!("cortex-iq-homes {}", config.region)).await?;
        let (mut feeds, heard) = Feeds::new(&client);
        feeds.subscribe(&topics::SPOT_PRICE_UPDATED, Heard::Prices).await?;
        feeds.subscribe(&topics::CONTRACT_OFFERED, Heard::Offered).await?;
        feeds.subscribe(&topics::CONTRACT_CONFIRMED, Heard::Confirmed).await?;
        // Ids do not depend on the seed.
        let ids: HashSet<_> = grow(&config.homes, config.count, 0).map(|home| home.id).collect();
        let remembered = Remembered {
            measured: retained(&client, &topics::HOME_MEASURED, |last| ids.contains(&last.home_id)).await?,
            checkpoints: retained(&client, &topics::HOME_CHECKPOINTED, |at| ids.contains(&at.home_id))
                .await?,
            held: retained(&client, &topics::CONTRACTS_HELD, |held| ids.contains(&held.home_id)).await?,
        };
        let ticks = feeds.ticks().await?;
        let (status, voice) = (client.status(), Voice::new(&client));
        Ok(Self { config, client, feeds, heard, ticks, status, voice, remembered, early: Vec::new() })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Lets them live until told to stop.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), RunError> {
        let mut run = None;
        let result = tokio::select! {
            error = self.live(&mut run) => Err(error),
            () = shutdown.cancelled() => Ok(()),
        };
        if let (Ok(()), Some(run)) = (&result, &run) {
            self.leave(&run.crowd).await?;
        }
        close(&self.client).await;
        result
    }

    /// Ends only by an error; may be dropped at any time: what was not handed over has not happened.
    async fn live(&mut self, run: &mut Option<Run>) -> RunError {
        loop {
            if let Err(error) = self.turn(run).await {
                return error;
            }
        }
    }

    async fn turn(&mut self, present: &mut Option<Run>) -> Result<(), RunError> {
        self.look_at_clock(present).await?;
        let Some(run) = present else {
            tokio::select! {
                changed = self.ticks.changed() => return changed.map_err(|_| ended()),
                Some(heard) = self.heard.recv() => self.keep_early(heard),
                error = self.feeds.ended() => return Err(error),
            }
            return Ok(());
        };
        // 1. Everything that has come.
        let mut said = Vec::new();
        while let Ok(heard) = self.heard.try_recv() {
            if let Some(early) = hear(run, heard, &mut said) {
                self.keep_early(early);
            }
        }
        while let Some(answered) = run.desk.try_answered() {
            take(run, answered, &mut said);
        }
        // 2. A slice of what has to be computed, while somebody listens: telemetry without a connection is lost.
        let connected = matches!(*self.status.borrow_and_update(), Status::Connected { .. } | Status::Moving);
        self.config.progress.connected(connected);
        if connected && run.crowd.is_restless() {
            run.crowd.slice(&mut said);
        }
        let busy = !said.is_empty() || (connected && run.crowd.is_restless());
        self.say(run, said).await?;
        if busy {
            // The readers share this thread.
            tokio::task::yield_now().await;
            return Ok(());
        }
        // 3. Nothing to do until something comes.
        self.complain(run);
        if connected {
            self.show(run).await?;
        }
        let mut said = Vec::new();
        tokio::select! {
            changed = self.ticks.changed() => changed.map_err(|_| ended())?,
            Some(heard) = self.heard.recv() => {
                if let Some(early) = hear(run, heard, &mut said) {
                    self.keep_early(early);
                }
            }
            answered = run.desk.answered() => take(run, answered, &mut said),
            changed = self.status.changed() => changed.map_err(|_| ended())?,
            error = self.feeds.ended() => return Err(error),
        }
        self.say(run, said).await
    }

    /// Once a second, while a quarter-hour takes about a second or more.
    async fn show(&self, run: &mut Run) -> Result<(), RunError> {
        if run.speed >= SHOWN_BELOW || run.shown.elapsed() < SHOWN_EVERY {
            return Ok(());
        }
        run.shown = Instant::now();
        for reading in run.crowd.provisional() {
            // Not retained: a restarted home continues from its last whole quarter-hour.
            self.voice.measured.passing(&reading).send().await.map_err(|source| {
                let topic = topics::HOME_MEASURED.topic.to_owned();
                RunError::Publish { topic, source }
            })?;
        }
        Ok(())
    }

    /// Somebody should know when homes wait for long, and for what.
    fn complain(&self, run: &mut Run) {
        if let Some(example) = &run.crowd.waits().example
            && run.spoke.elapsed() > STUCK
        {
            tracing::warn!(region = %self.config.region, lag_s = run.crowd.lag(), "{example}");
            run.spoke = Instant::now();
        }
    }

    /// Takes the newest tick; the first of a run begins it.
    async fn look_at_clock(&mut self, present: &mut Option<Run>) -> Result<(), RunError> {
        let Some(tick) = *self.ticks.borrow_and_update() else { return Ok(()) };
        if present.as_ref().is_none_or(|run| run.crowd.run() < tick.run) {
            let mut said = Vec::new();
            let run = present.insert(self.begin(&tick, &mut said));
            for heard in std::mem::take(&mut self.early) {
                if let Some(early) = hear(run, heard, &mut said) {
                    self.early.push(early);
                }
            }
            self.introduce(&run.crowd).await?;
            self.say(run, said).await?;
        }
        let Some(run) = present else { return Ok(()) };
        run.speed = tick.speed;
        run.crowd.on_time(tick.simulation_time);
        Ok(())
    }

    fn begin(&mut self, tick: &TimeAdvanced, said: &mut Vec<Output>) -> Run {
        let Config { region, homes, count, progress, .. } = &self.config;
        let mut crowd = Crowd::new(tick, *region, homes, *count);
        let restored = crowd.restore(&std::mem::take(&mut self.remembered), said);
        progress.begin(tick.run, crowd.homes(), crowd.computed_until());
        tracing::info!(run = tick.run, %region, homes = crowd.homes(), restored, "a run begins");
        let (spoke, shown) = (Instant::now(), Instant::now());
        Run { crowd, desk: Desk::new(&self.client, &self.voice.held), speed: tick.speed, spoke, shown }
    }

    /// Everyone says who they are before anyone measures.
    async fn introduce(&self, crowd: &Crowd) -> Result<(), RunError> {
        let reason = if crowd.computed_until() == crowd.start_time() { "started" } else { "restarted" };
        for home in crowd.introductions() {
            self.voice.initialized.send(&home).await?;
            let (run, time, home_id) = (home.run, crowd.computed_until(), home.home_id);
            self.voice.connected.send(&HomeConnected { run, time, home_id, reason: reason.into() }).await?;
        }
        Ok(self.client.flush().await?)
    }

    async fn leave(&self, crowd: &Crowd) -> Result<(), RunError> {
        for home in crowd.introductions() {
            let (run, time, home_id) = (home.run, crowd.computed_until(), home.home_id);
            let gone = HomeDisconnected { run, time, home_id, reason: "stopping".into() };
            self.voice.disconnected.send(&gone).await?;
        }
        Ok(())
    }

    /// Hands everything over, in order, waiting while the mesh is slow.
    async fn say(&self, run: &mut Run, said: Vec<Output>) -> Result<(), RunError> {
        let (mut measured, mut traded, mut contracts) = (0, 0, 0);
        if !said.is_empty() {
            run.spoke = Instant::now();
        }
        for output in said {
            match output {
                Output::Measured(reading) => {
                    self.voice.measured.send(&reading).await?;
                    measured += 1;
                }
                Output::Traded(hour) => {
                    self.voice.traded.send(&hour).await?;
                    traded += 1;
                }
                Output::Signed(event) => {
                    self.voice.signed.send(&event).await?;
                    contracts += 1;
                }
                Output::Switched(event) => {
                    self.voice.switched.send(&event).await?;
                    contracts += 1;
                }
                Output::Expired(event) => self.voice.expired.send(&event).await?,
                Output::Held(event) => self.voice.held.send(&event).await?,
                Output::Checkpointed(event) => self.voice.checkpointed.send(&event).await?,
                Output::Balanced(event) => self.voice.balanced.send(&event).await?,
                Output::Accept(accept) => run.desk.ask(accept),
            }
        }
        let progress = &self.config.progress;
        progress.handed_over(measured, traded, contracts);
        progress.asking(run.desk.len());
        let waits = run.crowd.waits();
        progress.reached(run.crowd.computed_until(), run.crowd.lag(), waits.prices + waits.answers);
        Ok(())
    }

    /// A confirmation need not wait: whoever asked before asks again and gets it as an answer.
    fn keep_early(&mut self, heard: Heard) {
        if !matches!(heard, Heard::Confirmed(_)) && self.early.len() < MOST_EARLY {
            self.early.push(heard);
        }
    }
}

/// Takes what came; gives it back when it belongs to a run that has not begun here.
fn hear(run: &mut Run, heard: Heard, said: &mut Vec<Output>) -> Option<Heard> {
    if heard.run() > run.crowd.run() {
        return Some(heard);
    }
    match heard {
        Heard::Prices(event) => {
            if let Err(error) = run.crowd.on_prices(&event) {
                tracing::warn!(%error, "prices that cannot be used");
            }
        }
        Heard::Offered(offer) => run.crowd.on_offer(offer),
        Heard::Confirmed(confirmed) => run.crowd.on_confirmed(&confirmed, said),
    }
    None
}

fn take(run: &mut Run, answered: Answered, said: &mut Vec<Output>) {
    let Answered { home_id, offer_id, result } = answered;
    match result {
        Some(result) => run.crowd.on_answer(&home_id, &result, said),
        None => run.crowd.on_refused(&home_id, &offer_id, said),
    }
}

impl Heard {
    fn run(&self) -> u64 {
        match self {
            Self::Prices(event) => event.run,
            Self::Offered(event) => event.run,
            Self::Confirmed(event) => event.run,
        }
    }
}

impl Voice {
    fn new(client: &Client) -> Self {
        Self {
            initialized: Channel::new(client, &topics::HOME_INITIALIZED),
            connected: Channel::new(client, &topics::HOME_CONNECTED),
            disconnected: Channel::new(client, &topics::HOME_DISCONNECTED),
            measured: Channel::new(client, &topics::HOME_MEASURED),
            traded: Channel::new(client, &topics::HOME_TRADED),
            signed: Channel::new(client, &topics::CONTRACT_SIGNED),
            switched: Channel::new(client, &topics::CONTRACT_SWITCHED),
            checkpointed: Channel::new(client, &topics::HOME_CHECKPOINTED),
            held: Arc::new(Channel::new(client, &topics::CONTRACTS_HELD)),
            expired: Channel::new(client, &topics::CONTRACT_EXPIRED),
            balanced: Channel::new(client, &topics::REGION_BALANCED),
        }
    }
}

fn ended() -> RunError {
    RunError::Ended(topics::TIME_ADVANCED.topic.to_owned())
}

/// Real time after which homes that wait complain.
const STUCK: Duration = Duration::from_secs(10);
/// Simulated seconds per real second below which readings between two quarter-hours are of interest.
const SHOWN_BELOW: u32 = 1000;
const SHOWN_EVERY: Duration = Duration::from_secs(1);
/// Prices and offers of a run whose first tick is on its way: a handful; homes that join late get them as retained values.
const MOST_EARLY: usize = 4096;

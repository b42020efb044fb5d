//! The simulation on the mesh.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cortexiq_domain::topics::{self, Procedure};
use cortexiq_proto::{
    ControlResult, Payload, RegionBalanced, SetSpeedRequest, SimulationReset, SimulationStateChanged,
    SpotPriceUpdated, TimeAdvanced,
};
use cortexiq_shell::{Channel, Feeds, RunError, close, register, retained, topic};
use macula_sdk::{CallFailure, Client, Code, Registration, Reply, Request};
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::clock::{Beginning, Clock};
use crate::config::Config;
use crate::control::{Event, Outcome, Run};

/// Real time between two ticks.
const TICK: Duration = Duration::from_millis(50);

/// A connected simulation whose clock has not begun to go.
#[derive(Debug)]
pub struct Simulation {
    config: Config,
    client: Client,
    /// The newest tick of a simulation before this one, with the prices of its run.
    before: Option<(TimeAdvanced, Vec<SpotPriceUpdated>)>,
    feeds: Feeds<Heard>,
    heard: mpsc::Receiver<Heard>,
    channels: Channels,
    _procedures: Vec<Registration>,
}

#[derive(Debug)]
struct Channels {
    ticks: Channel<TimeAdvanced>,
    prices: Channel<SpotPriceUpdated>,
    state_changed: Channel<SimulationStateChanged>,
    reset: Channel<SimulationReset>,
}

/// What comes from outside.
#[derive(Debug)]
enum Heard {
    Balanced(RegionBalanced),
    Control(Command, oneshot::Sender<Result<ControlResult, CallFailure>>),
}

#[derive(Debug, Clone, Copy)]
enum Command {
    Pause,
    Resume,
    Reset,
    SetSpeed(u32),
}

impl Simulation {
    /// Connects, offers control and listens to the regions. Where another simulation offers control already, waits until
    /// it is gone: there is one clock.
    pub async fn start(config: Config) -> Result<Self, RunError> {
        let client = config.mesh.connect("cortex-iq-simulation").await?;
        let (mut feeds, heard) = Feeds::new(&client);
        let procedures = vec![
            offer(&client, &topics::PAUSE, feeds.sink(), |_| Ok(Command::Pause)).await?,
            offer(&client, &topics::RESUME, feeds.sink(), |_| Ok(Command::Resume)).await?,
            offer(&client, &topics::RESET_SIMULATION, feeds.sink(), |_| Ok(Command::Reset)).await?,
            offer(&client, &topics::SET_SPEED, feeds.sink(), |request| {
                Ok(Command::SetSpeed(request.decode::<SetSpeedRequest>()?.speed))
            })
            .await?,
        ];
        feeds.subscribe(&topics::REGION_BALANCED, Heard::Balanced).await?;
        let before = match retained(&client, &topics::TIME_ADVANCED, |_| true).await?.pop() {
            Some(last) => {
                let prices =
                    retained(&client, &topics::SPOT_PRICE_UPDATED, |prices| prices.run == last.run).await?;
                Some((last, prices))
            }
            None => None,
        };
        let channels = Channels {
            ticks: Channel::new(&client, &topics::TIME_ADVANCED),
            prices: Channel::new(&client, &topics::SPOT_PRICE_UPDATED),
            state_changed: Channel::new(&client, &topics::STATE_CHANGED),
            reset: Channel::new(&client, &topics::RESET),
        };
        Ok(Self { config, client, before, feeds, heard, channels, _procedures: procedures })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Lets the clock go until told to stop.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), RunError> {
        let begun = Instant::now();
        let mut run = self.begin(begun.elapsed());
        let mut interval = tokio::time::interval(TICK);
        interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = interval.tick() => self.tick(&mut run, begun.elapsed()).await?,
                Some(heard) = self.heard.recv() => match heard {
                    Heard::Balanced(event) => run.on_region_balanced(&event),
                    Heard::Control(command, answer) => {
                        let result = self.control(&mut run, command, begun.elapsed()).await?;
                        // Whoever asked may have gone.
                        let _ = answer.send(result);
                    }
                },
                ended = self.feeds.ended() => return Err(ended),
            }
        }
        tracing::info!(time = run.clock().time(begun.elapsed()), "the clock stops ticking");
        close(&self.client).await;
        Ok(())
    }

    fn begin(&mut self, now: Duration) -> Run {
        if let Some((last, prices)) = self.before.take() {
            tracing::info!(
                run = last.run,
                time = last.simulation_time,
                "taking up the last tick of this run"
            );
            let Config { seed, start_time, speed, .. } = self.config;
            if (last.seed, last.start_time) != (seed, start_time) {
                tracing::warn!(
                    run_seed = last.seed,
                    run_start_time = last.start_time,
                    seed,
                    start_time,
                    "the run goes on with its own seed and start; a reset begins one with those of the settings"
                );
            }
            if last.speed != speed {
                tracing::warn!(
                    run_speed = last.speed,
                    speed,
                    "the run keeps its speed; set_speed changes it"
                );
            }
            return Run::new(Clock::resume(&last, self.config.until, now), &prices);
        }
        let Config { seed, start_time, speed, until, .. } = self.config;
        let run = new_run();
        tracing::info!(run, seed, start_time, speed, "a run begins");
        Run::new(Clock::new(Beginning { run, seed, start_time, speed, until }, now), &[])
    }

    async fn tick(&self, run: &mut Run, now: Duration) -> Result<(), RunError> {
        let (tick, prices) = run.tick(now);
        self.channels.ticks.send(&tick).await?;
        self.config.progress.ticked(&tick);
        for prices in prices {
            if !prices.missing_regions.is_empty() {
                let missing = prices.missing_regions.join(", ");
                tracing::debug!(day = prices.day, missing, "prices without the demand of some regions");
            }
            self.channels.prices.send(&prices).await?;
        }
        Ok(())
    }

    async fn control(
        &self,
        run: &mut Run,
        command: Command,
        now: Duration,
    ) -> Result<Result<ControlResult, CallFailure>, RunError> {
        let outcome = match command {
            Command::Pause => run.pause(now),
            Command::Resume => run.resume(now),
            Command::Reset => run.reset(new_run(), self.config.seed, self.config.start_time, now),
            Command::SetSpeed(speed) => match run.set_speed(speed, now) {
                Ok(outcome) => outcome,
                Err(bad) => return Ok(Err(CallFailure::new(Code::InvalidArgument, bad.to_string()))),
            },
        };
        let Outcome { answer, event } = outcome;
        match &event {
            Some(Event::StateChanged(event)) => self.channels.state_changed.send(event).await?,
            Some(Event::Reset(event)) => self.channels.reset.send(event).await?,
            None => {}
        }
        if answer.changed {
            tracing::info!(?command, time = answer.simulation_time, "{}", answer.message);
            // Nobody should have to wait for the next tick to see it.
            self.tick(run, now).await?;
        }
        Ok(Ok(answer))
    }
}

/// Offers a control procedure, whose calls go into the queue.
async fn offer<T: Payload>(
    client: &Client,
    procedure: &Procedure<T, ControlResult>,
    sink: mpsc::Sender<Heard>,
    read: fn(&Request) -> Result<Command, CallFailure>,
) -> Result<Registration, RunError> {
    register(client, &topic(&procedure.name), move |request| {
        let sink = sink.clone();
        async move {
            let (answer, result) = oneshot::channel();
            let stopping = || CallFailure::new(Code::Unavailable, "the simulation stops");
            sink.send(Heard::Control(read(&request)?, answer)).await.map_err(|_| stopping())?;
            let result = result.await.map_err(|_| stopping())??;
            Ok(Reply::typed(&result))
        }
    })
    .await
}

/// Runs are numbered by the wall clock, so that a later one has a larger number whatever became of the earlier ones.
fn new_run() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_millis() as u64)
}

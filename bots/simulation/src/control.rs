//! What the simulation decides, without a network: the clock and the market of the present run, and control over both.

use std::time::Duration;

use cortexiq_domain::market::{LEAST_PATIENCE_SECONDS, MarketAgent};
use cortexiq_proto::{
    ControlResult, RegionBalanced, SimulationChange, SimulationReset, SimulationStateChanged,
    SpotPriceUpdated, TimeAdvanced,
};

use crate::clock::{BadSpeed, Clock};

/// The present run: its clock and its market.
#[derive(Debug)]
pub struct Run {
    clock: Clock,
    market: MarketAgent,
}

/// What control did: the answer for whoever asked, and the event for everyone when something has changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The clock as it is now.
    pub answer: ControlResult,
    /// What to publish.
    pub event: Option<Event>,
}

/// What everyone is told of a change.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The clock changed.
    StateChanged(SimulationStateChanged),
    /// A new run begins.
    Reset(SimulationReset),
}

impl Run {
    /// The run of a clock, with the prices that were published in it before this process began.
    pub fn new(clock: Clock, published: &[SpotPriceUpdated]) -> Self {
        let mut market = market(&clock);
        published.iter().for_each(|prices| market.restore(prices));
        Self { clock, market }
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The next tick, and the prices that are due by its time.
    pub fn tick(&mut self, now: Duration) -> (TimeAdvanced, Vec<SpotPriceUpdated>) {
        let tick = self.clock.tick(now);
        let patience = LEAST_PATIENCE_SECONDS.max(PATIENCE_SECONDS * i64::from(tick.speed));
        let prices = self.market.advance_patiently(tick.simulation_time, patience);
        (tick, prices)
    }

    /// Takes a region's day.
    pub fn on_region_balanced(&mut self, event: &RegionBalanced) {
        self.market.on_region_balanced(event);
    }

    /// Freezes the clock.
    pub fn pause(&mut self, now: Duration) -> Outcome {
        match self.clock.pause(now) {
            true => self.changed(SimulationChange::Paused, "Paused.".into(), now),
            false => self.unchanged("Already paused.".into(), now),
        }
    }

    /// Lets it run on.
    pub fn resume(&mut self, now: Duration) -> Outcome {
        if self.clock.resume_at(now) {
            return self.changed(SimulationChange::Resumed, "Running.".into(), now);
        }
        let message = match self.clock.is_at_end(now) {
            true => "The clock has reached the end of its run; reset begins another.",
            false => "Already running.",
        };
        self.unchanged(message.into(), now)
    }

    /// Changes the speed and keeps the instant. A bad speed changes nothing.
    pub fn set_speed(&mut self, speed: u32, now: Duration) -> Result<Outcome, BadSpeed> {
        let message = |word: &str| format!("The speed is {word}{speed} simulated seconds per real second.");
        Ok(match self.clock.set_speed(speed, now)? {
            true => self.changed(SimulationChange::SpeedChanged, message(""), now),
            false => self.unchanged(message("already "), now),
        })
    }

    /// Begins another run with this seed and first instant, whose number is `run` or, when that is not larger than the
    /// present one, the next.
    pub fn reset(&mut self, run: u64, seed: u64, start_time: i64, now: Duration) -> Outcome {
        let previous_run = self.clock.beginning().run;
        self.clock.reset(run.max(previous_run + 1), seed, start_time, now);
        self.market = market(&self.clock);
        let beginning = self.clock.beginning();
        let event = SimulationReset {
            run: beginning.run,
            previous_run,
            start_time: beginning.start_time,
            seed: beginning.seed,
        };
        let message = format!("Run {} begins.", beginning.run);
        Outcome { answer: self.answer(true, message, now), event: Some(Event::Reset(event)) }
    }

    fn changed(&self, change: SimulationChange, message: String, now: Duration) -> Outcome {
        let event = SimulationStateChanged {
            run: self.clock.beginning().run,
            simulation_time: self.clock.time(now),
            change: change.into(),
            speed: self.clock.speed(),
            paused: self.clock.is_paused(now),
        };
        Outcome { answer: self.answer(true, message, now), event: Some(Event::StateChanged(event)) }
    }

    fn unchanged(&self, message: String, now: Duration) -> Outcome {
        Outcome { answer: self.answer(false, message, now), event: None }
    }

    fn answer(&self, changed: bool, message: String, now: Duration) -> ControlResult {
        ControlResult {
            changed,
            message,
            run: self.clock.beginning().run,
            simulation_time: self.clock.time(now),
            speed: self.clock.speed(),
            paused: self.clock.is_paused(now),
        }
    }
}

/// Real seconds that prices wait for a region's demand.
const PATIENCE_SECONDS: i64 = 5;

fn market(clock: &Clock) -> MarketAgent {
    let beginning = clock.beginning();
    MarketAgent::new(beginning.seed, beginning.run, beginning.start_time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Beginning;

    const START: i64 = 1_735_686_000;
    const SECOND: Duration = Duration::from_secs(1);

    fn run() -> Run {
        let beginning = Beginning { run: 7, seed: 1, start_time: START, speed: 3600, until: None };
        Run::new(Clock::new(beginning, Duration::ZERO), &[])
    }

    #[test]
    fn control_tells_what_it_did_and_everyone_only_what_changed() {
        let mut run = run();
        let paused = run.pause(SECOND);
        assert!(paused.answer.changed && paused.answer.paused && paused.event.is_some());
        assert_eq!(paused.answer.simulation_time, START + 3600);
        let again = run.pause(2 * SECOND);
        assert_eq!((again.answer.changed, again.answer.message.as_str()), (false, "Already paused."));
        assert_eq!(again.event, None);
        assert!(run.resume(2 * SECOND).answer.changed);
        assert_eq!(run.resume(2 * SECOND).answer.message, "Already running.");
    }

    #[test]
    fn a_bad_speed_changes_nothing() {
        let mut run = run();
        let told = run.set_speed(0, SECOND).expect_err("nobody goes at 0").to_string();
        assert!(told.starts_with("speed: 0 "), "{told}");
        assert_eq!((run.clock().speed(), run.clock().time(2 * SECOND)), (3600, START + 7200));
    }

    #[test]
    fn prices_come_at_the_start_and_at_one_o_clock() {
        let mut run = run();
        let days = |run: &mut Run, hours: u32| -> Vec<String> {
            run.tick(SECOND * hours).1.into_iter().map(|prices| prices.day).collect()
        };
        assert_eq!(days(&mut run, 0), ["2025-01-01"]);
        assert!(days(&mut run, 12).is_empty());
        assert_eq!(days(&mut run, 13), ["2025-01-02"]);
        // A late tick brings everything that was due.
        assert_eq!(days(&mut run, 61), ["2025-01-03", "2025-01-04"]);
    }

    #[test]
    fn a_restarted_market_repeats_no_prices() {
        let mut before = run();
        let (last, published) = before.tick(13 * SECOND);
        let mut after = Run::new(Clock::resume(&last, None, Duration::ZERO), &published);
        assert!(after.tick(SECOND).1.is_empty());
        // No region has told its first day, so the third one's prices wait until 22:00 of the second.
        assert!(after.tick(32 * SECOND).1.is_empty());
        assert_eq!(after.tick(33 * SECOND).1[0].day, "2025-01-03");
    }

    #[test]
    fn a_reset_begins_with_prices_of_its_own() {
        let mut run = run();
        run.tick(30 * SECOND);
        let outcome = run.reset(3, 1, START, 31 * SECOND);
        let Some(Event::Reset(reset)) = outcome.event else { panic!("{outcome:?}") };
        assert_eq!((reset.previous_run, reset.run), (7, 8), "a run's number only grows");
        let (tick, prices) = run.tick(31 * SECOND);
        assert_eq!((tick.simulation_time, tick.run), (START, 8));
        assert_eq!((prices[0].run, prices[0].day.as_str()), (8, "2025-01-01"));
    }
}

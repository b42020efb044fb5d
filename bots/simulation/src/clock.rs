//! The simulated clock: start plus real time elapsed, multiplied by the speed.
//!
//! It asks no clock of its own: every question brings the real time that has passed since the process began, on a
//! monotonic clock. Control changes it through the same door, so all of it is tested on a clock turned by hand.

use std::time::Duration;

use cortexiq_domain::time::Day;
use cortexiq_proto::TimeAdvanced;

/// Where a run begins and how it goes at first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beginning {
    /// Number of the run; a later run has a larger one.
    pub run: u64,
    /// Seed of all random numbers.
    pub seed: u64,
    /// First simulated instant.
    pub start_time: i64,
    /// Simulated seconds per real second.
    pub speed: u32,
    /// The instant at which the clock stops exactly; none for the end of the calendar.
    pub until: Option<i64>,
}

/// The clock of one run.
#[derive(Debug, Clone)]
pub struct Clock {
    beginning: Beginning,
    speed: u32,
    paused: bool,
    tick: u64,
    /// Simulated microseconds at `anchor_real`, from where the present slope begins.
    anchor: i64,
    anchor_real: Duration,
}

/// A speed that no clock goes at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("speed: {0} is not between 1 and {FASTEST} simulated seconds per real second")]
pub struct BadSpeed(pub u32);

impl Clock {
    /// A clock that begins to go at the real time `now`.
    pub fn new(beginning: Beginning, now: Duration) -> Self {
        let (speed, anchor) = (beginning.speed, beginning.start_time * MICROS);
        Self { beginning, speed, paused: false, tick: 0, anchor, anchor_real: now }
    }

    /// Takes up the run of a tick that another process published.
    pub fn resume(last: &TimeAdvanced, until: Option<i64>, now: Duration) -> Self {
        let beginning = Beginning {
            run: last.run,
            seed: last.seed,
            start_time: last.start_time,
            speed: last.speed,
            until,
        };
        let mut clock = Self::new(beginning, now);
        clock.anchor = last.simulation_time * MICROS;
        clock.tick = last.tick;
        // A clock that stood at its end has not been paused by anyone.
        clock.paused = last.paused && until.is_none_or(|until| last.simulation_time < until);
        clock
    }

    /// How its run began.
    pub fn beginning(&self) -> &Beginning {
        &self.beginning
    }

    /// Simulated seconds per real second.
    pub fn speed(&self) -> u32 {
        self.speed
    }

    /// Whether it stands still, by control or because it has reached its end.
    pub fn is_paused(&self, now: Duration) -> bool {
        self.paused || self.is_at_end(now)
    }

    /// Whether it has reached the instant at which it stops.
    pub fn is_at_end(&self, now: Duration) -> bool {
        self.micros(now) >= self.end() * MICROS
    }

    /// The simulated time, whole seconds.
    pub fn time(&self, now: Duration) -> i64 {
        self.micros(now).div_euclid(MICROS)
    }

    /// The next tick.
    pub fn tick(&mut self, now: Duration) -> TimeAdvanced {
        self.tick += 1;
        TimeAdvanced {
            run: self.beginning.run,
            tick: self.tick,
            simulation_time: self.time(now),
            speed: self.speed,
            paused: self.is_paused(now),
            seed: self.beginning.seed,
            start_time: self.beginning.start_time,
        }
    }

    /// Stops it; false when it was stopped already.
    pub fn pause(&mut self, now: Duration) -> bool {
        self.anchor_at(now);
        !std::mem::replace(&mut self.paused, true)
    }

    /// Lets it go on; false when it was going, or is at its end.
    pub fn resume_at(&mut self, now: Duration) -> bool {
        self.anchor_at(now);
        std::mem::replace(&mut self.paused, false) && !self.is_at_end(now)
    }

    /// Keeps the instant and changes the slope; false when that was its speed already.
    pub fn set_speed(&mut self, speed: u32, now: Duration) -> Result<bool, BadSpeed> {
        check_speed(speed)?;
        self.anchor_at(now);
        Ok(std::mem::replace(&mut self.speed, speed) != speed)
    }

    /// Begins the run `run` with this seed and first instant, at the present speed; a paused clock stays paused.
    pub fn reset(&mut self, run: u64, seed: u64, start_time: i64, now: Duration) {
        self.beginning = Beginning { run, seed, start_time, ..self.beginning };
        self.tick = 0;
        self.anchor = start_time * MICROS;
        self.anchor_real = now;
    }

    fn anchor_at(&mut self, now: Duration) {
        self.anchor = self.micros(now);
        self.anchor_real = now;
    }

    fn micros(&self, now: Duration) -> i64 {
        if self.paused {
            return self.anchor;
        }
        let real = i64::try_from(now.saturating_sub(self.anchor_real).as_micros()).unwrap_or(i64::MAX);
        let passed = real.saturating_mul(self.speed.into());
        self.anchor.saturating_add(passed).min(self.end() * MICROS).max(self.anchor)
    }

    fn end(&self) -> i64 {
        self.beginning.until.unwrap_or(i64::MAX).min(last_instant())
    }
}

/// Whether a clock can go at this speed.
pub fn check_speed(speed: u32) -> Result<(), BadSpeed> {
    if (1..=FASTEST).contains(&speed) { Ok(()) } else { Err(BadSpeed(speed)) }
}

/// The calendar ends with 2099, and contracts reach years ahead.
pub fn last_instant() -> i64 {
    static INSTANT: std::sync::LazyLock<i64> = std::sync::LazyLock::new(|| {
        "2090-01-01".parse::<Day>().expect("a day of the calendar").start().time()
    });
    *INSTANT
}

const MICROS: i64 = 1_000_000;
/// A simulated day in less than two ticks: beyond it nobody sees anything of a day.
const FASTEST: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_735_686_000;

    fn clock(speed: u32, until: Option<i64>) -> Clock {
        Clock::new(Beginning { run: 7, seed: 1, start_time: START, speed, until }, ms(500))
    }

    fn ms(real: u64) -> Duration {
        Duration::from_millis(real)
    }

    #[test]
    fn a_year_takes_three_hundred_seconds_at_full_speed() {
        let clock = clock(105_120, None);
        assert_eq!(clock.time(ms(500)), START);
        assert_eq!(clock.time(ms(1500)), START + 105_120);
        assert_eq!(clock.time(ms(300_500)), START + 365 * 86_400);
    }

    #[test]
    fn a_new_speed_keeps_the_instant() {
        let mut clock = clock(1000, None);
        assert_eq!(clock.set_speed(10, ms(1500)), Ok(true));
        assert_eq!(clock.time(ms(1500)), START + 1000);
        assert_eq!(clock.time(ms(2500)), START + 1010);
        assert_eq!(clock.set_speed(10, ms(2500)), Ok(false));
        assert_eq!(clock.set_speed(0, ms(2500)), Err(BadSpeed(0)));
        assert_eq!((clock.speed(), clock.time(ms(3500))), (10, START + 1020));
    }

    #[test]
    fn a_fraction_of_a_second_survives_changes() {
        let mut clock = clock(1, None);
        for step in 1..=10 {
            clock.set_speed(if step % 2 == 0 { 1 } else { 2 }, ms(500 + step * 100)).unwrap();
        }
        // 0.1 s at speed 1, five times 0.1 s at 2, four times 0.1 s at 1.
        assert_eq!(clock.micros(ms(1500)), START * MICROS + 1_500_000);
    }

    #[test]
    fn time_stands_still_while_paused() {
        let mut clock = clock(100, None);
        assert!(clock.pause(ms(1500)));
        assert!(!clock.pause(ms(1600)), "paused already");
        assert_eq!(clock.time(ms(99_999)), START + 100);
        let tick = clock.tick(ms(99_999));
        assert_eq!((tick.paused, tick.tick, tick.simulation_time), (true, 1, START + 100));
        assert!(clock.resume_at(ms(100_000)));
        assert!(!clock.resume_at(ms(100_000)), "going already");
        assert_eq!(clock.time(ms(101_000)), START + 200);
    }

    #[test]
    fn it_stops_exactly_at_its_end_and_goes_on_ticking() {
        let mut clock = clock(105_120, Some(START + 3600));
        assert!(!clock.is_at_end(ms(501)));
        let last = clock.tick(ms(10_000));
        assert_eq!((last.simulation_time, last.paused), (START + 3600, true));
        assert!(!clock.resume_at(ms(11_000)));
        assert_eq!(clock.tick(ms(12_000)).simulation_time, START + 3600);
    }

    #[test]
    fn a_reset_begins_another_run_at_the_same_speed() {
        let mut clock = clock(100, None);
        clock.tick(ms(1500));
        clock.reset(8, 5, START + 900, ms(2500));
        let tick = clock.tick(ms(2500));
        assert_eq!((tick.run, tick.tick, tick.seed), (8, 1, 5));
        assert_eq!((tick.simulation_time, tick.start_time, tick.speed), (START + 900, START + 900, 100));
    }

    #[test]
    fn a_restarted_clock_goes_on_where_the_last_tick_was() {
        let mut before = clock(100, None);
        before.set_speed(50, ms(1500)).unwrap();
        let last = before.tick(ms(2500));
        let mut after = Clock::resume(&last, None, ms(10));
        assert_eq!(after.beginning().run, 7);
        let tick = after.tick(ms(1010));
        assert_eq!((tick.simulation_time, tick.tick, tick.speed), (START + 200, 2, 50));
    }
}

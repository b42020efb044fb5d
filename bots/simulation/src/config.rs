//! Settings of the simulation.

use std::sync::Arc;

use cortexiq_domain::time::Day;
use cortexiq_shell::{Admin, Mesh};
use macula_proto::vars::{Problems, Setting, Vars};

use crate::clock::{check_speed, last_instant};
use crate::progress::Progress;

/// Settings of `cortex-iq-simulation`, without those of the mesh.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "SIMULATION_SPEED",
        default: "105120",
        help: "Simulated seconds per real second; 105120 is a year in five minutes",
    },
    Setting { name: "SIMULATION_SEED", default: "1", help: "Seed of all random numbers of the world" },
    Setting {
        name: "SIMULATION_START_DATE",
        default: "2025-01-01",
        help: "First day; the clock begins at its midnight in Brussels",
    },
];

/// Simulated seconds per real second unless told otherwise: a year in 300 s.
pub const DEFAULT_SPEED: u32 = 105_120;
/// First day unless told otherwise.
pub const DEFAULT_START: &str = "2025-01-01";

/// What the simulation is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// The mesh.
    pub mesh: Mesh,
    /// Simulated seconds per real second.
    pub speed: u32,
    /// Seed of all random numbers.
    pub seed: u64,
    /// First simulated instant.
    pub start_time: i64,
    /// The instant at which the clock stops exactly; ticks go on. None for ever.
    pub until: Option<i64>,
    /// Where it tells how the clock goes.
    pub progress: Arc<Progress>,
    /// Where the admin port listens.
    pub admin: Admin,
}

impl Config {
    /// A year in five minutes from the beginning of 2025, for ever.
    pub fn new(mesh: Mesh) -> Self {
        Self {
            mesh,
            speed: DEFAULT_SPEED,
            seed: 1,
            start_time: default_start().start().time(),
            until: None,
            progress: Arc::default(),
            admin: Admin::default(),
        }
    }

    /// Reads and checks all settings.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn read(mut vars: Vars) -> Result<Self, Problems> {
        let mut config = Self::new(Mesh::read(&mut vars));
        config.speed = vars.parse("SIMULATION_SPEED", DEFAULT_SPEED);
        if let Err(error) = check_speed(config.speed) {
            vars.problem(format!("SIMULATION_SPEED: {error}"));
        }
        config.seed = vars.parse("SIMULATION_SEED", 1);
        let day: Day = vars.parse("SIMULATION_START_DATE", default_start());
        config.start_time = day.start().time();
        if config.start_time >= last_instant() {
            vars.problem(format!("SIMULATION_START_DATE={day}: the clock ends with 2089"));
        }
        config.admin = Admin::read(&mut vars);
        vars.finish()?;
        Ok(config)
    }
}

fn default_start() -> Day {
    DEFAULT_START.parse().expect("a day of the calendar")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[(&str, &str)]) -> Result<Config, Problems> {
        Config::read(Vars::new(values.iter().map(|(name, value)| ((*name).into(), (*value).into()))))
    }

    #[test]
    fn a_year_takes_five_minutes_unless_told_otherwise() {
        let config = read(&[]).expect("nothing is required");
        assert_eq!((config.speed, config.seed), (105_120, 1));
        // Midnight in Brussels.
        assert_eq!(config.start_time, 1_735_686_000);
    }

    #[test]
    fn every_problem_is_told() {
        let values = [
            ("SIMULATION_SPEED", "0"),
            ("SIMULATION_SEED", "one"),
            ("SIMULATION_START_DATE", "2025-02-30"),
            ("MACULA_URL", "localhost"),
        ];
        let problems = read(&values).expect_err("four mistakes").0;
        assert_eq!(problems.len(), 4, "{problems:#?}");
    }
}

//! `cortexiq ledger`: a run of the whole market without any network, from the pure models alone.

use std::fmt::Write as _;

use cortexiq_domain::home_file;
use cortexiq_domain::ledger::{Ledger, Plan, ledger};
use cortexiq_domain::population::population;
use cortexiq_domain::provider::roster;
use cortexiq_domain::region::Region;
use cortexiq_domain::time::Day;

use crate::duration::Length;
use crate::table;

/// What decides a run, live or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Seed of all random numbers.
    pub seed: u64,
    /// First simulated instant.
    pub start_time: i64,
    /// Homes in all; none for as many as the regions' files have.
    pub homes: Option<usize>,
    /// Providers of each region.
    pub providers: usize,
}

impl Default for Sizes {
    /// What the command line has when nothing is said.
    fn default() -> Self {
        let start = cortexiq_simulation::DEFAULT_START.parse::<Day>();
        Self {
            seed: 1,
            start_time: start.expect("a day of the calendar").start().time(),
            homes: None,
            providers: cortexiq_utilities::DEFAULT_PROVIDERS,
        }
    }
}

impl Sizes {
    /// Homes of one region: a third, and one of those that are left over for the first regions.
    pub fn homes_of(&self, region: Region) -> Option<usize> {
        let regions = Region::ALL.len();
        let place = Region::ALL.iter().position(|other| *other == region).expect("ALL has every region");
        self.homes.map(|homes| homes / regions + usize::from(place < homes % regions))
    }
}

/// Computes a run.
pub fn compute(sizes: Sizes, length: Length, threads: usize) -> Ledger {
    ledger(&plan(sizes, length, threads))
}

/// The run that a world of these sizes lives.
pub fn plan(sizes: Sizes, length: Length, threads: usize) -> Plan {
    let homes = Region::ALL.into_iter().flat_map(|region| {
        let file = home_file::parse(region.name(), home_file::builtin(region));
        let file = file.expect("a test of the domain reads every built-in file");
        population(&file, sizes.homes_of(region).unwrap_or(file.len()), sizes.seed)
    });
    Plan {
        seed: sizes.seed,
        start_time: sizes.start_time,
        end_time: sizes.start_time + length.seconds(),
        homes: homes.collect(),
        providers: Region::ALL.into_iter().flat_map(|region| roster(region, sizes.providers)).collect(),
        threads,
    }
}

/// The run for people.
pub fn text(ledger: &Ledger, length: Length) -> String {
    let mut text = format!(
        "{length} of {} homes with seed {}: {} quarter-hours, {} contracts, {} of them across regions\n\n",
        ledger.homes, ledger.seed, ledger.measured, ledger.contracts, ledger.cross_region_contracts
    );
    text += &table::totals(&ledger.totals);
    let mean = ledger.mean_spot_price as f64 / 1000.0;
    let _ = write!(
        text,
        "\nspot price {mean:.2} €/MWh on average over {} days, negative in {} quarter-hours\nfingerprint {}\n",
        ledger.priced_days, ledger.negative_quarter_hours, ledger.fingerprint
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_prints_the_same_bytes() {
        let sizes = Sizes { seed: 3, start_time: 1_735_686_000, homes: Some(13), providers: 5 };
        let length: Length = "2d".parse().expect("a length");
        let printed = |threads| text(&compute(sizes, length, threads), length);
        assert_eq!(printed(1), printed(1));
        assert_eq!(printed(1), printed(2));
        assert!(printed(1).starts_with("2d of 13 homes with seed 3: 2496 quarter-hours, "), "{}", printed(1));
        assert_eq!(Region::ALL.map(|region| sizes.homes_of(region)), [Some(5), Some(4), Some(4)]);
    }
}

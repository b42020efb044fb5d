//! What the tests of whole runs share.
#![allow(dead_code, reason = "every test program uses its own part")]

use cortexiq_domain::home::Home;
use cortexiq_domain::ledger::Plan;
use cortexiq_domain::region::Region;
use cortexiq_domain::time::Day;
use cortexiq_domain::{home_file, population, provider};

/// `count` homes of every region.
pub(crate) fn homes(count: usize) -> Vec<Home> {
    let file =
        |region: Region| home_file::parse(region.name(), home_file::builtin(region)).expect("a right file");
    Region::ALL.into_iter().flat_map(|region| population::population(&file(region), count, 1)).collect()
}

/// A run of `days` days with `count` homes of every region and five providers each.
pub(crate) fn plan(seed: u64, first: &str, days: i64, count: usize) -> Plan {
    let first: Day = first.parse().expect("a day");
    Plan {
        seed,
        start_time: first.start().time(),
        end_time: first.plus(days).start().time(),
        homes: homes(count),
        providers: Region::ALL.into_iter().flat_map(|region| provider::roster(region, 5)).collect(),
        threads: 1,
    }
}

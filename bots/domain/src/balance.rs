//! A region's net demand by hour, one event a local day.

use std::collections::BTreeMap;

use cortexiq_proto::RegionBalanced;

use crate::region::Region;
use crate::state::Reading;
use crate::time::Day;

/// Adds up the homes of one process.
#[derive(Debug, Clone)]
pub struct Balancer {
    run: u64,
    region: Region,
    homes: u32,
    /// Days before it are not whole.
    first: Option<Day>,
    days: BTreeMap<Day, Sum>,
}

#[derive(Debug, Clone)]
struct Sum {
    net_wh: Vec<i64>,
    finished: u32,
}

impl Balancer {
    /// For this many homes of a region.
    pub fn new(run: u64, region: Region, homes: u32) -> Self {
        Self { run, region, homes, first: None, days: BTreeMap::new() }
    }

    /// After a restart: says nothing of days before this one, of which it sees only a part.
    pub fn begin(&mut self, first: Day) {
        self.first = Some(first);
    }

    /// Whether it will say something of a day.
    pub fn covers(&self, day: Day) -> bool {
        self.first.is_none_or(|first| day >= first)
    }

    /// Counts a home's quarter-hour; gives the day's event with the last quarter-hour of the last home.
    pub fn on_reading(&mut self, reading: &Reading) -> Option<RegionBalanced> {
        // Homes are within a day or two of each other, so the newest day is nearly always the one.
        let day = match self.days.last_key_value() {
            Some((day, _)) if (day.start()..day.end()).contains(&reading.quarter) => *day,
            _ => reading.quarter.day(),
        };
        if !self.covers(day) {
            return None;
        }
        let sum = self.days.entry(day).or_insert_with(|| Sum { net_wh: vec![0; day.hours()], finished: 0 });
        sum.net_wh[reading.quarter.since(day.start()) as usize / 4] += reading.net_wh();
        if reading.quarter.next() != day.end() {
            return None;
        }
        sum.finished += 1;
        if sum.finished < self.homes {
            return None;
        }
        let sum = self.days.remove(&day)?;
        Some(RegionBalanced {
            run: self.run,
            region: self.region.name().into(),
            day: day.to_string(),
            time: day.start().time(),
            homes: self.homes,
            net_demand_wh: sum.net_wh,
        })
    }
}

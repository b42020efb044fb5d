//! What a run adds up to, by region and in all.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::Serialize;

use crate::region::Region;
use crate::state::Reading;

/// Energy in Wh and money in nano-euro.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Production, Wh.
    pub production_wh: u64,
    /// Consumption, Wh.
    pub consumption_wh: u64,
    /// Import, Wh.
    pub import_wh: u64,
    /// Export, Wh.
    pub export_wh: u64,
    /// What homes paid for import, nano-euro.
    pub cost: i64,
    /// What homes got for export, nano-euro.
    pub revenue: i64,
}

impl Totals {
    /// Counts a quarter-hour's energy.
    pub fn measure(&mut self, reading: &Reading) {
        self.production_wh += u64::from(reading.flows.pv);
        self.consumption_wh += u64::from(reading.flows.load);
        self.import_wh += u64::from(reading.flows.import);
        self.export_wh += u64::from(reading.flows.export);
    }

    /// Counts money of an hour, nano-euro.
    pub fn trade(&mut self, cost: i64, revenue: i64) {
        self.cost += cost;
        self.revenue += revenue;
    }

    /// Name and value of every number, for comparison.
    pub fn fields(&self) -> [(&'static str, i64); 6] {
        [
            ("production_wh", self.production_wh as i64),
            ("consumption_wh", self.consumption_wh as i64),
            ("import_wh", self.import_wh as i64),
            ("export_wh", self.export_wh as i64),
            ("cost", self.cost),
            ("revenue", self.revenue),
        ]
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.production_wh += other.production_wh;
        self.consumption_wh += other.consumption_wh;
        self.import_wh += other.import_wh;
        self.export_wh += other.export_wh;
        self.cost += other.cost;
        self.revenue += other.revenue;
    }
}

/// Totals of every region.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegionTotals(BTreeMap<Region, Totals>);

impl RegionTotals {
    /// A region's totals, to count on.
    pub fn region(&mut self, region: Region) -> &mut Totals {
        self.0.entry(region).or_default()
    }

    /// Every region that was counted, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Region, Totals)> {
        self.0.iter().map(|(region, totals)| (*region, *totals))
    }

    /// All of them together.
    pub fn total(&self) -> Totals {
        let mut total = Totals::default();
        self.0.values().for_each(|region| total += *region);
        total
    }
}

impl AddAssign for RegionTotals {
    fn add_assign(&mut self, other: Self) {
        for (region, totals) in other.0 {
            *self.region(region) += totals;
        }
    }
}

impl Serialize for RegionTotals {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rows = self.iter().map(|(region, totals)| (region.name(), totals));
        serializer.collect_map(rows.chain([("total", self.total())]))
    }
}

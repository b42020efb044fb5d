//! Totals and regions at a glance.

use std::sync::PoisonError;

use cortexiq_domain::bill::commission;
use cortexiq_proto::{Overview, RegionSummary, Regions, TotalsCalculated};

use super::{Answers, Now};
use crate::error::QueryError;

impl Answers {
    /// Totals and regions.
    pub async fn get_overview(&self) -> Result<Overview, QueryError> {
        let now = self.now().await?;
        let regions = self.regions(&now).await?;
        let sum = |field: fn(&RegionSummary) -> u64| regions.iter().map(field).sum::<u64>();
        let counts = &self.read(COUNTS, [now.run.into()]).await?[0];
        let mut totals = TotalsCalculated {
            run: now.run,
            time: counts.int(4) * 900,
            homes: regions.iter().map(|region| region.homes).sum(),
            connected_homes: counts.int(0) as u32,
            providers: counts.int(1) as u32,
            contract_switches: counts.int(2) as u64,
            battery_w: counts.int(3),
            production_w: sum(|region| region.production_w),
            consumption_w: sum(|region| region.consumption_w),
            grid_w: regions.iter().map(|region| region.grid_w).sum(),
            production_wh: sum(|region| region.production_wh),
            consumption_wh: sum(|region| region.consumption_wh),
            import_wh: sum(|region| region.import_wh),
            export_wh: sum(|region| region.export_wh),
            cost: regions.iter().map(|region| region.cost).sum(),
            revenue: regions.iter().map(|region| region.revenue).sum(),
            ..TotalsCalculated::default()
        };
        for row in self.read(SAVINGS, [now.run.into(), now.month().into()]).await? {
            totals.savings += row.int(0);
            totals.commission += commission(row.int(0));
        }
        let told = *self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(told) = told.filter(|told| told.run == now.run) {
            totals.measured = told.measured;
            totals.measured_per_second = told.measured_per_second;
            totals.events_per_second = told.events_per_second;
            totals.state_of_charge_pct = told.state_of_charge_pct;
        }
        Ok(Overview { totals: Some(totals), regions, speed: now.speed, paused: now.paused })
    }

    /// Every region that has homes.
    pub async fn get_regions(&self) -> Result<Regions, QueryError> {
        let now = self.now().await?;
        Ok(Regions { regions: self.regions(&now).await? })
    }

    async fn regions(&self, now: &Now) -> Result<Vec<RegionSummary>, QueryError> {
        let rows = self.read(REGIONS, [now.run.into()]).await?;
        let region = |row: &cortexiq_projections::store::Row| RegionSummary {
            region: row.text(0).to_owned(),
            homes: row.int(1) as u32,
            production_w: row.int(2) as u64,
            consumption_w: row.int(3) as u64,
            grid_w: row.int(4),
            production_wh: row.int(5) as u64,
            consumption_wh: row.int(6) as u64,
            import_wh: row.int(7) as u64,
            export_wh: row.int(8) as u64,
            cost: row.int(9),
            revenue: row.int(10),
        };
        Ok(rows.iter().map(region).collect())
    }
}

const REGIONS: &str =
    "SELECT region, homes, production_w, consumption_w, grid_w, production_wh, consumption_wh,
    import_wh, export_wh, cost, revenue FROM regions WHERE run = $1 ORDER BY region";
const COUNTS: &str = "SELECT
    (SELECT count(*) FROM home_connections WHERE run = $1 AND connected <> 0),
    (SELECT count(*) FROM providers WHERE run = $1),
    (SELECT count(*) FROM contract_switches WHERE run = $1),
    (SELECT CAST(coalesce(sum(battery_w), 0) AS bigint) FROM home_states WHERE run = $1),
    (SELECT max(quarter) FROM home_states WHERE run = $1)";
const SAVINGS: &str = "SELECT saving FROM savings WHERE run = $1 AND month < $2 AND saving > 0";

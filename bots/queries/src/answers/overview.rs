//! Totals and regions at a glance.

use std::sync::PoisonError;

use cortexiq_projections::store::Row;
use cortexiq_proto::{Overview, RegionSummary, Regions, TotalsCalculated};

use super::Answers;
use crate::error::QueryError;

impl Answers {
    /// Totals and regions.
    pub async fn get_overview(&self) -> Result<Overview, QueryError> {
        let now = self.now().await?;
        let rows = self.read(REGIONS, [now.run.into()]).await?;
        let regions: Vec<RegionSummary> = rows.iter().map(region).collect();
        let sum = |field: fn(&RegionSummary) -> u64| regions.iter().map(field).sum::<u64>();
        let counts = &self.read(COUNTS, [now.run.into(), now.month().into()]).await?[0];
        let mut totals = TotalsCalculated {
            run: now.run,
            time: rows.iter().map(|row| row.int(12)).max().unwrap_or(0) * 900,
            homes: regions.iter().map(|region| region.homes).sum(),
            connected_homes: rows.iter().map(|row| row.int(13) as u32).sum(),
            providers: counts.int(0) as u32,
            contract_switches: counts.int(1) as u64,
            battery_w: rows.iter().map(|row| row.int(11)).sum(),
            production_w: sum(|region| region.production_w),
            consumption_w: sum(|region| region.consumption_w),
            grid_w: regions.iter().map(|region| region.grid_w).sum(),
            production_wh: sum(|region| region.production_wh),
            consumption_wh: sum(|region| region.consumption_wh),
            import_wh: sum(|region| region.import_wh),
            export_wh: sum(|region| region.export_wh),
            cost: regions.iter().map(|region| region.cost).sum(),
            revenue: regions.iter().map(|region| region.revenue).sum(),
            savings: counts.int(2) + counts.int(4),
            commission: counts.int(3) + counts.int(5),
            ..TotalsCalculated::default()
        };
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
        let rows = self.read(REGIONS, [now.run.into()]).await?;
        Ok(Regions { regions: rows.iter().map(region).collect() })
    }
}

fn region(row: &Row) -> RegionSummary {
    RegionSummary {
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
    }
}

/// Money of months that have ended comes from their roll-ups, of the rest from the registers of homes.
const REGIONS: &str =
    "SELECT e.region, e.homes, e.production_w, e.consumption_w, e.grid_w, e.production_wh, e.consumption_wh,
        e.import_wh, e.export_wh, m.cost, m.revenue, e.battery_w, e.quarter, e.connected
    FROM (
        SELECT h.region, count(*) AS homes,
            CAST(sum(s.production_w) AS bigint) AS production_w, CAST(sum(s.consumption_w) AS bigint) AS consumption_w,
            CAST(sum(s.grid_w) AS bigint) AS grid_w, CAST(sum(s.battery_w) AS bigint) AS battery_w,
            CAST(sum(s.production_wh) AS bigint) AS production_wh,
            CAST(sum(s.consumption_wh) AS bigint) AS consumption_wh,
            CAST(sum(s.import_wh) AS bigint) AS import_wh, CAST(sum(s.export_wh) AS bigint) AS export_wh,
            max(s.quarter) AS quarter, sum(CASE WHEN o.connected <> 0 THEN 1 ELSE 0 END) AS connected
        FROM homes h
        LEFT JOIN home_states s ON s.run = $1 AND s.home = h.home
        LEFT JOIN home_connections o ON o.run = $1 AND o.home = h.home
        WHERE h.run = $1 GROUP BY h.region
    ) e LEFT JOIN (
        SELECT region, CAST(sum(cost) AS bigint) AS cost, CAST(sum(revenue) AS bigint) AS revenue
        FROM (
            SELECT region, cost, revenue FROM market_months WHERE run = $1
            UNION ALL
            SELECT h.region, m.cost, m.revenue FROM monthly m JOIN homes h ON h.run = $1 AND h.home = m.home
            WHERE m.run = $1 AND m.month > (SELECT coalesce(max(month), 0) FROM market_months WHERE run = $1)
        ) months GROUP BY region
    ) m ON m.region = e.region ORDER BY e.region";
/// Savings of months that were rolled up, and of those that are over and were not.
const COUNTS: &str = "SELECT
    (SELECT count(*) FROM providers WHERE run = $1),
    (SELECT count(*) FROM contract_switches WHERE run = $1),
    r.savings, r.commission, l.savings, l.commission
    FROM (
        SELECT CAST(sum(savings) AS bigint) AS savings, CAST(sum(commission) AS bigint) AS commission
        FROM saving_months WHERE run = $1 AND month < $2
    ) r, (
        SELECT CAST(sum(saving) AS bigint) AS savings, CAST(sum(saving / 5) AS bigint) AS commission
        FROM (
            SELECT CAST(sum(saving) AS bigint) AS saving FROM monthly
            WHERE run = $1 AND month < $2 AND month > (SELECT coalesce(max(month), 0) FROM saving_months WHERE run = $1)
            GROUP BY home, month
        ) s WHERE saving > 0
    ) l";

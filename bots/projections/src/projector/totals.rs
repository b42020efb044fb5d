//! Totals for display, from the registers of homes.

use cortexiq_proto::TotalsCalculated;

use super::Projector;

impl Projector {
    /// The newest run's totals; none before anything of a run was heard. Rates are left to who knows the time.
    pub fn totals(&self) -> Option<TotalsCalculated> {
        let (number, run) = self.runs.last_key_value()?;
        let mut totals = TotalsCalculated {
            run: *number,
            providers: run.providers.len() as u32,
            measured: run.measured,
            contract_switches: run.switches,
            ..TotalsCalculated::default()
        };
        let (mut charge, mut batteries) = (0_u64, 0_u64);
        for facts in run.homes.values() {
            totals.homes += u32::from(facts.introduced);
            totals.connected_homes += u32::from(facts.connected);
            let sums = facts.ledger.sums();
            totals.cost += sums.cost;
            totals.revenue += sums.revenue;
            totals.savings += sums.savings;
            totals.commission += sums.commission;
            let Some(latest) = facts.latest else { continue };
            totals.time = totals.time.max(latest.time);
            totals.production_w += u64::from(latest.production_w);
            totals.consumption_w += u64::from(latest.consumption_w);
            totals.grid_w += i64::from(latest.grid_w);
            totals.battery_w += i64::from(latest.battery_w);
            totals.production_wh += latest.production_wh;
            totals.consumption_wh += latest.consumption_wh;
            totals.import_wh += latest.import_wh;
            totals.export_wh += latest.export_wh;
            if let Some(permille) = latest.state_of_charge {
                charge += u64::from(permille);
                batteries += 1;
            }
        }
        totals.state_of_charge_pct = charge.checked_div(batteries).unwrap_or(0) as u32;
        Some(totals)
    }
}

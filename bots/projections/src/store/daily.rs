//! Days that are summed up in the transaction that ends them.

use super::record::Name;

/// A home's local day whose quarter-hours are to be summed up, again where it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EndedDay {
    pub(crate) run: u64,
    pub(crate) home: Name,
    /// Its first quarter-hour, and the one after its last.
    pub(crate) quarter: i32,
    pub(crate) until: i32,
}

/// Sums up one day. Parameters: run, home, first quarter-hour, the one after the last.
pub(super) const SUM_UP: &str = "INSERT INTO daily (run, home, quarter, until, pv_wh, load_wh, import_wh, export_wh, \
        charge_wh, discharge_wh, state_of_charge, peak_wh, quarters)
    SELECT run, home, CAST($3 AS integer), CAST($4 AS integer), sum(pv_wh), sum(load_wh), sum(import_wh), sum(export_wh), \
        sum(charge_wh), sum(discharge_wh), (SELECT state_of_charge FROM measurements WHERE run = $1 AND home = $2 \
            AND quarter >= $3 AND quarter < $4 ORDER BY quarter DESC LIMIT 1), max(import_wh), count(*)
    FROM measurements WHERE run = $1 AND home = $2 AND quarter >= $3 AND quarter < $4 GROUP BY run, home
    ON CONFLICT (run, home, quarter) DO UPDATE SET pv_wh = excluded.pv_wh, load_wh = excluded.load_wh, \
        import_wh = excluded.import_wh, export_wh = excluded.export_wh, charge_wh = excluded.charge_wh, \
        discharge_wh = excluded.discharge_wh, state_of_charge = excluded.state_of_charge, \
        peak_wh = excluded.peak_wh, quarters = excluded.quarters";

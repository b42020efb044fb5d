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

/// Sums up a day. Parameters: run, home, first quarter-hour, the one after the last.
pub(crate) fn sum_up() -> String {
    format!(
        "{INSERT} SELECT $1, $2, $3, $4, {SUMS} WHERE run = $1 AND home = $2 AND quarter >= $3 AND quarter < $4 {SOME} {RENEW}"
    )
}

/// Sums up many days at once, for PostgreSQL: there each statement costs more than its rows. The parameters are arrays.
pub(super) fn sum_up_all() -> String {
    format!(
        "{INSERT} SELECT d.*, s.* FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::integer[]) \
            AS d(run, home, quarter, until) CROSS JOIN LATERAL (SELECT {SUMS} m WHERE m.run = d.run AND m.home = d.home \
            AND m.quarter >= d.quarter AND m.quarter < d.until {SOME}) s {RENEW}"
    )
}

const INSERT: &str = "INSERT INTO daily (run, home, quarter, until, pv_wh, load_wh, import_wh, export_wh, charge_wh, \
    discharge_wh, state_of_charge, peak_wh, peak_quarter, quarters)";

/// The state of charge is that of the last quarter-hour, and the peak's quarter-hour the first with the largest import, both found
/// without a second look.
const SUMS: &str = "sum(pv_wh), sum(load_wh), sum(import_wh), sum(export_wh), sum(charge_wh), sum(discharge_wh), \
    max(CAST(quarter AS bigint) * 65536 + state_of_charge) % 65536, max(import_wh), \
    2147483647 - max(CAST(import_wh AS bigint) * 2147483648 + (2147483647 - quarter)) % 2147483648, count(*) FROM measurements";

/// A day without rows is none.
const SOME: &str = "HAVING count(*) > 0";

const RENEW: &str = "ON CONFLICT (run, home, quarter) DO UPDATE SET pv_wh = excluded.pv_wh, load_wh = excluded.load_wh, \
    import_wh = excluded.import_wh, export_wh = excluded.export_wh, charge_wh = excluded.charge_wh, \
    discharge_wh = excluded.discharge_wh, state_of_charge = excluded.state_of_charge, peak_wh = excluded.peak_wh, \
    peak_quarter = excluded.peak_quarter, quarters = excluded.quarters";

//! Sums of regions and providers, made again in the transaction that changes what they are the sum of.
//!
//! They are taken of what is stored, never added to. Of several writers each sums after it has the lock of all of them: the
//! last one sees the rows of the others.

use super::record::Name;

/// A local day or month of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) run: u64,
    /// The local month that it is or lies in, as 202501.
    pub(crate) month: i32,
    /// Its first quarter-hour, and the one after its last.
    pub(crate) quarter: i32,
    pub(crate) until: i32,
}

/// A local month of a run whose registers changed. It is summed up when it is not the newest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ChangedMonth {
    pub(crate) run: u64,
    /// As 202501.
    pub(crate) month: i32,
}

/// A home's local month whose registers of money are to be taken from its stored trades: an hour came that is not newer than
/// the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LateMonth {
    pub(crate) run: u64,
    pub(crate) home: Name,
    /// As 202501.
    pub(crate) month: i32,
    /// Its first hour, and the one after its last.
    pub(crate) hour: i32,
    pub(crate) until: i32,
}

/// With the parameters run, first quarter-hour, the one after the last.
pub(super) const CLEAR: [&str; 5] = [
    "DELETE FROM daily WHERE run = $1 AND quarter >= $2 AND quarter < $3",
    "DELETE FROM region_hours WHERE run = $1 AND hour >= CAST($2 AS integer) / 4 AND hour < CAST($3 AS integer) / 4",
    "DELETE FROM region_days WHERE run = $1 AND day >= $2 AND day < $3",
    "DELETE FROM market_hours WHERE run = $1 AND hour >= CAST($2 AS integer) / 4 AND hour < CAST($3 AS integer) / 4",
    "DELETE FROM market_days WHERE run = $1 AND day >= $2 AND day < $3",
];

/// With the parameters run and month.
pub(super) const CLEAR_MONTH: [&str; 3] = [
    "DELETE FROM monthly WHERE run = $1 AND month = $2",
    "DELETE FROM market_months WHERE run = $1 AND month = $2",
    "DELETE FROM saving_months WHERE run = $1 AND month = $2",
];

/// How far past its end a day is summed up by the newest row, seconds: 11 s at full speed. Regions run apart by a second or
/// two, and a row that comes after its day was summed costs another look at the whole day.
pub(crate) const SETTLED: i64 = 14 * 86_400;

/// With the parameters run, home, month, first hour, the one after the last.
pub(crate) const REGISTERS: &str =
    "INSERT INTO monthly (run, home, month, provider, import_wh, export_wh, cost, revenue, saving, hour)
    SELECT run, home, CAST($3 AS integer), provider, sum(import_wh), sum(export_wh), sum(cost), sum(revenue),
        sum(CASE WHEN left_contract = 0 THEN 0 ELSE (left_cost - left_revenue) - (cost - revenue) END), max(hour)
    FROM trades WHERE run = $1 AND home = $2 AND hour >= $4 AND hour < $5 GROUP BY run, home, provider
    ON CONFLICT (run, home, month, provider) DO UPDATE SET import_wh = excluded.import_wh, export_wh = excluded.export_wh,
        cost = excluded.cost, revenue = excluded.revenue, saving = excluded.saving, hour = excluded.hour";

/// In this order, with the parameters run, month, first quarter-hour, the one after the last. SQLite would read all of a run to find
/// a day of it; where it is told `CROSS JOIN` it goes from home to home, as it stands there.
pub(crate) const DAY: [&str; 4] = [REGION_HOURS, REGION_DAYS, MARKET_HOURS, MARKET_DAYS];

/// How many of these are sums of quarter-hours; those after them are sums of hours of money.
pub(super) const DAY_IN_ENERGY: usize = 2;

/// With the parameters run and month.
pub(super) const MONTH: [&str; 2] = [MARKET_MONTHS, SAVING_MONTHS];

const REGION_HOURS: &str =
    "INSERT INTO region_hours (run, region, hour, pv_wh, load_wh, import_wh, export_wh, charge_wh, discharge_wh, quarters)
    SELECT h.run, h.region, m.quarter / 4, sum(m.pv_wh), sum(m.load_wh), sum(m.import_wh), sum(m.export_wh), sum(m.charge_wh),
        sum(m.discharge_wh), count(*)
    FROM homes h CROSS JOIN measurements m
    WHERE m.run = h.run AND m.home = h.home
        AND h.run = $1 AND m.run = $1 AND m.quarter >= $3 AND m.quarter < $4 AND $2 > 0
    GROUP BY h.run, h.region, m.quarter / 4
    ON CONFLICT (run, region, hour) DO UPDATE SET pv_wh = excluded.pv_wh, load_wh = excluded.load_wh,
        import_wh = excluded.import_wh, export_wh = excluded.export_wh, charge_wh = excluded.charge_wh,
        discharge_wh = excluded.discharge_wh, quarters = excluded.quarters";

const REGION_DAYS: &str = "INSERT INTO region_days (run, region, month, day, until, pv_wh, load_wh, import_wh, export_wh,
        charge_wh, discharge_wh, quarters)
    SELECT run, region, CAST($2 AS integer), CAST($3 AS integer), CAST($4 AS integer), sum(pv_wh), sum(load_wh),
        sum(import_wh), sum(export_wh), sum(charge_wh), sum(discharge_wh), sum(quarters)
    FROM region_hours WHERE run = $1 AND hour >= CAST($3 AS integer) / 4 AND hour < CAST($4 AS integer) / 4
    GROUP BY run, region
    ON CONFLICT (run, region, day) DO UPDATE SET pv_wh = excluded.pv_wh, load_wh = excluded.load_wh,
        import_wh = excluded.import_wh, export_wh = excluded.export_wh, charge_wh = excluded.charge_wh,
        discharge_wh = excluded.discharge_wh, quarters = excluded.quarters";

const MARKET_HOURS: &str =
    "INSERT INTO market_hours (run, hour, region, provider, import_wh, export_wh, cost, revenue, trades)
    SELECT h.run, t.hour, h.region, t.provider, sum(t.import_wh), sum(t.export_wh), sum(t.cost), sum(t.revenue), count(*)
    FROM homes h CROSS JOIN trades t
    WHERE t.run = h.run AND t.home = h.home AND h.run = $1 AND t.run = $1
        AND t.hour >= CAST($3 AS integer) / 4 AND t.hour < CAST($4 AS integer) / 4 AND $2 > 0
    GROUP BY h.run, t.hour, h.region, t.provider
    ON CONFLICT (run, hour, region, provider) DO UPDATE SET import_wh = excluded.import_wh, export_wh = excluded.export_wh,
        cost = excluded.cost, revenue = excluded.revenue, trades = excluded.trades";

const MARKET_DAYS: &str =
    "INSERT INTO market_days (run, month, day, until, region, provider, import_wh, export_wh, cost, revenue, trades)
    SELECT run, CAST($2 AS integer), CAST($3 AS integer), CAST($4 AS integer), region, provider, sum(import_wh), sum(export_wh),
        sum(cost), sum(revenue), sum(trades)
    FROM market_hours WHERE run = $1 AND hour >= CAST($3 AS integer) / 4 AND hour < CAST($4 AS integer) / 4
    GROUP BY run, region, provider
    ON CONFLICT (run, day, region, provider) DO UPDATE SET import_wh = excluded.import_wh, export_wh = excluded.export_wh,
        cost = excluded.cost, revenue = excluded.revenue, trades = excluded.trades";

const MARKET_MONTHS: &str =
    "INSERT INTO market_months (run, month, region, provider, import_wh, export_wh, cost, revenue)
    SELECT m.run, m.month, h.region, m.provider, sum(m.import_wh), sum(m.export_wh), sum(m.cost), sum(m.revenue)
    FROM monthly m JOIN homes h ON h.run = m.run AND h.home = m.home
    WHERE m.run = $1 AND m.month = $2 AND $2 < (SELECT max(n.month) FROM monthly n WHERE n.run = $1)
    GROUP BY m.run, m.month, h.region, m.provider
    ON CONFLICT (run, month, region, provider) DO UPDATE SET import_wh = excluded.import_wh, export_wh = excluded.export_wh,
        cost = excluded.cost, revenue = excluded.revenue";

/// The commission is a fifth of what a home saved, rounded down, as `cortexiq_domain::bill` says.
const SAVING_MONTHS: &str = "INSERT INTO saving_months (run, month, region, savings, commission)
    SELECT s.run, s.month, h.region, sum(CASE WHEN s.saving > 0 THEN s.saving ELSE 0 END),
        sum(CASE WHEN s.saving > 0 THEN s.saving / 5 ELSE 0 END)
    FROM savings s JOIN homes h ON h.run = s.run AND h.home = s.home
    WHERE s.run = $1 AND s.month = $2 AND $2 < (SELECT max(n.month) FROM monthly n WHERE n.run = $1)
    GROUP BY s.run, s.month, h.region
    ON CONFLICT (run, month, region) DO UPDATE SET savings = excluded.savings, commission = excluded.commission";

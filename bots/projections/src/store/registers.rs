//! The registers of money, as they stand in the database.

use std::collections::BTreeSet;

use super::error::Failure;
use super::rebuild::Source;
use super::{Reader, Value};

/// A home's month with a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Money {
    pub(crate) home_id: String,
    /// As 202501.
    pub(crate) month: i32,
    pub(crate) provider_id: String,
    pub(crate) import_wh: i64,
    pub(crate) export_wh: i64,
    pub(crate) cost: i64,
    pub(crate) revenue: i64,
    pub(crate) saving: i64,
    /// The newest hour in it.
    pub(crate) hour: i32,
}

impl Reader {
    /// The newest run of which there is anything, also before its first tick.
    pub(crate) async fn newest_stored_run(&self) -> Result<Option<u64>, Failure> {
        const SQL: &str =
            "SELECT max(run) FROM (SELECT max(run) AS run FROM runs UNION ALL SELECT max(run) FROM homes
            UNION ALL SELECT max(run) FROM home_states UNION ALL SELECT max(run) FROM monthly) newest";
        let rows = self.query(SQL, []).await?;
        Ok(rows.first().filter(|row| row.has(0)).map(|row| row.int(0) as u64))
    }

    /// All registers of a run.
    pub(crate) async fn money(&self, run: u64) -> Result<Vec<Money>, Failure> {
        let rows = self.query(MONEY, [Value::from(run)]).await?;
        let money = |row: &super::Row| Money {
            home_id: row.text(0).to_owned(),
            month: row.int(1) as i32,
            provider_id: row.text(2).to_owned(),
            import_wh: row.int(3),
            export_wh: row.int(4),
            cost: row.int(5),
            revenue: row.int(6),
            saving: row.int(7),
            hour: row.int(8) as i32,
        };
        Ok(rows.iter().map(money).collect())
    }

    /// The trades of a home, oldest first, each as a register of one hour without its month.
    pub(crate) async fn traded(&self, run: u64, home_id: &str) -> Result<Vec<Money>, Failure> {
        let rows = self.query(TRADED, [run.into(), home_id.into()]).await?;
        let money = |row: &super::Row| Money {
            home_id: home_id.to_owned(),
            month: 0,
            provider_id: row.text(1).to_owned(),
            import_wh: row.int(2),
            export_wh: row.int(3),
            cost: row.int(4),
            revenue: row.int(5),
            saving: row.int(6),
            hour: row.int(0) as i32,
        };
        Ok(rows.iter().map(money).collect())
    }

    /// The homes of a run, and whether they are connected.
    pub(crate) async fn homes(&self, run: u64) -> Result<Vec<(String, bool)>, Failure> {
        const SQL: &str = "SELECT h.home_id, coalesce(c.connected, 0) FROM homes h
            LEFT JOIN home_connections c ON c.run = h.run AND c.home = h.home WHERE h.run = $1";
        let rows = self.query(SQL, [Value::from(run)]).await?;
        Ok(rows.iter().map(|row| (row.text(0).to_owned(), row.int(1) != 0)).collect())
    }

    /// The providers of a run.
    pub(crate) async fn providers(&self, run: u64) -> Result<Vec<String>, Failure> {
        const SQL: &str = "SELECT provider_id FROM providers WHERE run = $1";
        let rows = self.query(SQL, [Value::from(run)]).await?;
        Ok(rows.iter().map(|row| row.text(0).to_owned()).collect())
    }

    /// Local days of a run that were summed up for its regions, by their first instants.
    pub(crate) async fn summed_days(&self, run: u64) -> Result<BTreeSet<i64>, Failure> {
        const SQL: &str = "SELECT DISTINCT day FROM region_days WHERE run = $1";
        let rows = self.query(SQL, [Value::from(run)]).await?;
        Ok(rows.iter().map(|row| row.int(0) * 900).collect())
    }

    /// The instants of the oldest and of the newest quarter-hour of a run.
    pub(crate) async fn extent(&self, run: u64) -> Result<Option<(i64, i64)>, Failure> {
        Ok(Source::read(self, run).await?.extent())
    }

    /// The latest measurements of a run, encoded.
    pub(crate) async fn states(&self, run: u64) -> Result<Vec<Vec<u8>>, Failure> {
        const SQL: &str = "SELECT message FROM home_states WHERE run = $1";
        let rows = self.query(SQL, [Value::from(run)]).await?;
        Ok(rows.iter().map(|row| row.bytes(0).to_vec()).collect())
    }
}

const MONEY: &str =
    "SELECT h.name, m.month, p.name, m.import_wh, m.export_wh, m.cost, m.revenue, m.saving, m.hour
    FROM monthly m JOIN names h ON h.id = m.home JOIN names p ON p.id = m.provider WHERE m.run = $1";
const TRADED: &str = "SELECT t.hour, p.name, t.import_wh, t.export_wh, t.cost, t.revenue,
    CASE WHEN t.left_contract = 0 THEN 0
        ELSE (t.left_cost - t.left_revenue) - (t.cost - t.revenue) END
    FROM trades t JOIN names p ON p.id = t.provider
    WHERE t.run = $1 AND t.home = (SELECT id FROM names WHERE name = $2) ORDER BY t.hour";

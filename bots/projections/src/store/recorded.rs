//! Reading back for `verify`: the recorded decisions of a run, and what was stored of it, home by home.

use cortexiq_domain::home::Home;
use cortexiq_domain::totals::RegionTotals;
use cortexiq_domain::verify::{self, Recorded, Report, Stored, StoredDay, StoredMeasurement};
use cortexiq_proto::{ContractConfirmed, HomeInitialized, HomeTraded, SpotPriceUpdated};
use prost::Message;
use tokio::runtime::Handle;

use super::error::Failure;
use super::{Reader, Value};

/// Why a run could not be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The read models could not be read.
    #[error(transparent)]
    Database(#[from] Failure),
    /// The run has never ticked, so that its seed and beginning are unknown.
    #[error("run {0} is not in the read models")]
    NoRun(u64),
    /// A row does not hold what it must.
    #[error("the read models hold a broken row: {0}")]
    Broken(String),
    /// The decisions do not suffice to compute.
    #[error(transparent)]
    Compute(#[from] verify::Error),
}

impl Reader {
    /// The decisions of a run: prices and contracts, never measurements or trades. It ends at the newest tick that is
    /// stored; set `end_time` to check up to another instant.
    pub async fn recorded(&self, run: u64) -> Result<Recorded, VerifyError> {
        let runs = self.query(RUN, [Value::from(run)]).await?;
        let found = runs.first().ok_or(VerifyError::NoRun(run))?;
        let mut recorded = Recorded {
            seed: found.int(0) as u64,
            run,
            start_time: found.int(1),
            end_time: found.int(2),
            ..Recorded::default()
        };
        for row in self.query(HOMES, [Value::from(run)]).await? {
            let home: HomeInitialized = message(row.bytes(0))?;
            recorded.homes.push(Home::from_initialized(&home).map_err(VerifyError::Broken)?);
        }
        for row in self.query(PRICES, [Value::from(run)]).await? {
            recorded.prices.push(message::<SpotPriceUpdated>(row.bytes(0))?);
        }
        for row in self.query(CONTRACTS, [Value::from(run)]).await? {
            recorded.contracts.push(message::<ContractConfirmed>(row.bytes(0))?);
        }
        Ok(recorded)
    }

    /// What is stored of a run, for [`verify::verify`] on a thread that may wait.
    pub fn stored(&self, run: u64) -> StoredRun {
        StoredRun { reader: self.clone(), run, runtime: Handle::current() }
    }

    /// Computes a run again from its decisions and compares with every measurement, trade, register and total that is
    /// stored. `end_time` is the instant up to which it must be complete.
    pub async fn verify(&self, run: u64, end_time: i64) -> Result<Report, VerifyError> {
        let recorded = Recorded { end_time, ..self.recorded(run).await? };
        let mut stored = self.stored(run);
        let computing = tokio::task::spawn_blocking(move || verify::verify(&recorded, &mut stored));
        Ok(computing.await.map_err(Failure::other)??)
    }
}

/// Reads a run home by home; only on a thread that may wait, such as one of `spawn_blocking`.
#[derive(Debug)]
pub struct StoredRun {
    reader: Reader,
    run: u64,
    runtime: Handle,
}

impl Stored for StoredRun {
    type Error = Failure;

    fn measurements(&mut self, home_id: &str) -> Result<Vec<StoredMeasurement>, Failure> {
        let reading = self.reader.query(MEASUREMENTS, [self.run.into(), home_id.into()]);
        let rows = self.runtime.block_on(reading)?;
        let measurement = |row: &super::Row| StoredMeasurement {
            time: row.int(0) * 900,
            pv_wh: row.int(1) as u32,
            load_wh: row.int(2) as u32,
            import_wh: row.int(3) as u32,
            export_wh: row.int(4) as u32,
            charge_wh: row.int(5) as u32,
            discharge_wh: row.int(6) as u32,
            registers_wh: Some([7, 8, 9, 10].map(|column| row.int(column) as u64)),
        };
        Ok(rows.iter().map(measurement).collect())
    }

    fn kept_from(&mut self) -> Result<i64, Failure> {
        let gone = self.runtime.block_on(self.reader.gone())?;
        Ok(i64::from(gone.kept_from(self.run)) * 900)
    }

    fn days(&mut self, home_id: &str) -> Result<Vec<StoredDay>, Failure> {
        let rows = self.runtime.block_on(self.reader.query(DAYS, [self.run.into(), home_id.into()]))?;
        let day = |row: &super::Row| StoredDay {
            time: row.int(0) * 900,
            pv_wh: row.int(1) as u64,
            load_wh: row.int(2) as u64,
            import_wh: row.int(3) as u64,
            export_wh: row.int(4) as u64,
            charge_wh: row.int(5) as u64,
            discharge_wh: row.int(6) as u64,
            quarters: row.int(7) as u64,
        };
        Ok(rows.iter().map(day).collect())
    }

    fn trades(&mut self, home_id: &str) -> Result<Vec<HomeTraded>, Failure> {
        let reading = self.reader.query(TRADES, [self.run.into(), home_id.into()]);
        let rows = self.runtime.block_on(reading)?;
        let trade = |row: &super::Row| HomeTraded {
            run: self.run,
            home_id: home_id.to_owned(),
            time: row.int(0) * 3600,
            contract_id: row.text(1).to_owned(),
            import_wh: row.int(2) as u32,
            export_wh: row.int(3) as u32,
            cost: row.int(4),
            revenue: row.int(5),
            left_cost: row.int(6),
            left_revenue: row.int(7),
            ..HomeTraded::default()
        };
        Ok(rows.iter().map(trade).collect())
    }

    fn totals(&mut self) -> Result<RegionTotals, Failure> {
        let rows = self.runtime.block_on(self.reader.query(TOTALS, [self.run.into()]))?;
        let mut totals = RegionTotals::default();
        for row in rows {
            let region = row.text(0).parse().map_err(|error| Failure::Refused(format!("{error}")))?;
            let region = totals.region(region);
            region.production_wh = row.int(1) as u64;
            region.consumption_wh = row.int(2) as u64;
            region.import_wh = row.int(3) as u64;
            region.export_wh = row.int(4) as u64;
            region.cost = row.int(5);
            region.revenue = row.int(6);
        }
        Ok(totals)
    }
}

fn message<T: Message + Default>(bytes: &[u8]) -> Result<T, VerifyError> {
    T::decode(bytes).map_err(|error| VerifyError::Broken(error.to_string()))
}

const RUN: &str = "SELECT seed, start_time, simulation_time FROM runs WHERE run = $1";
const HOMES: &str = "SELECT message FROM homes WHERE run = $1 ORDER BY home_id";
const PRICES: &str = "SELECT message FROM prices WHERE run = $1 ORDER BY time";
const CONTRACTS: &str =
    "SELECT message FROM contracts WHERE run = $1 ORDER BY start_time, accepted_time, contract";
const MEASUREMENTS: &str = "SELECT quarter, pv_wh, load_wh, import_wh, export_wh, charge_wh, discharge_wh,
    import_t1_wh, import_t2_wh, export_t1_wh, export_t2_wh
    FROM measurements WHERE run = $1 AND home = (SELECT id FROM names WHERE name = $2)
        AND quarter >= coalesce((SELECT r.quarter FROM retention r WHERE r.run = $1), 0) ORDER BY quarter";
const DAYS: &str = "SELECT quarter, pv_wh, load_wh, import_wh, export_wh, charge_wh, discharge_wh, quarters
    FROM daily WHERE run = $1 AND home = (SELECT id FROM names WHERE name = $2)
        AND quarter < coalesce((SELECT r.quarter FROM retention r WHERE r.run = $1), 0) ORDER BY quarter";
const TRADES: &str =
    "SELECT t.hour, c.name, t.import_wh, t.export_wh, t.cost, t.revenue, t.left_cost, t.left_revenue
    FROM trades t LEFT JOIN names c ON c.id = t.contract
    WHERE t.run = $1 AND t.home = (SELECT id FROM names WHERE name = $2) ORDER BY t.hour";
const TOTALS: &str = "SELECT region, production_wh, consumption_wh, import_wh, export_wh, cost, revenue
    FROM regions WHERE run = $1";

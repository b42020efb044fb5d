//! What a run of a given length came to: totals as stored, totals as they must be, and whether they are the same.

use cortexiq_domain::time::Day;
use cortexiq_domain::totals::RegionTotals;
use cortexiq_domain::verify::{Report, Stored as _};
use cortexiq_projections::store::{Failure, VerifyError};
use cortexiq_projections::{Counts, Reader};
use serde::Serialize;

use crate::duration::Length;
use crate::table;

/// The outcome, as `--output json` prints it.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// How long was simulated, such as `7d`.
    pub simulated: String,
    /// The same in seconds.
    pub simulated_s: i64,
    /// First simulated instant, seconds since 1970.
    pub start_time: i64,
    /// Seed of the run.
    pub seed: u64,
    /// Homes that are stored.
    pub homes: u64,
    /// Providers that are stored.
    pub providers: u64,
    /// Quarter-hours that are stored.
    pub measured: u64,
    /// Hours that are stored.
    pub traded: u64,
    /// Quarter-hours that must be stored and are not.
    pub lost: u64,
    /// What is stored, by region and in all: Wh and nano-euro.
    pub totals: RegionTotals,
    /// What must be stored, computed again from recorded prices and contracts.
    pub verify: RegionTotals,
    /// Nothing differs: no quarter-hour, no hour, no total.
    pub equal: bool,
    /// How many rows or numbers differ.
    pub different: u64,
    /// The first of them, for people.
    pub differences: Vec<String>,
    /// Contracts that providers confirmed.
    pub contracts: u64,
    /// Those of them with a provider of another region than the home's.
    pub cross_region_contracts: u64,
    /// Real seconds from the clock's beginning until the last row was stored.
    pub elapsed_s: f64,
}

/// What a run was meant to be.
#[derive(Debug, Clone, Copy)]
pub struct Meant {
    /// How long.
    pub length: Length,
    /// From when.
    pub start_time: i64,
    /// Seed.
    pub seed: u64,
    /// Real seconds that it took.
    pub elapsed_s: f64,
}

impl Outcome {
    /// Reads what is stored of a run, computes what must be, and compares.
    pub async fn read(reader: &Reader, run: u64, meant: Meant, counts: &Counts) -> Result<Self, VerifyError> {
        let report = reader.verify(run, meant.start_time + meant.length.seconds()).await?;
        let totals = stored_totals(reader, run).await?;
        Ok(Self {
            simulated: meant.length.to_string(),
            simulated_s: meant.length.seconds(),
            start_time: meant.start_time,
            seed: meant.seed,
            homes: counts.homes,
            providers: counts.providers,
            measured: counts.measurements,
            traded: counts.trades,
            lost: report.lost,
            totals,
            equal: report.equal,
            different: report.different,
            differences: report.differences.iter().map(ToString::to_string).collect(),
            contracts: counts.confirmed_contracts,
            cross_region_contracts: counts.cross_region_contracts,
            elapsed_s: (meant.elapsed_s * 1000.0).round() / 1000.0,
            verify: report.totals,
        })
    }

    /// Everything is stored and right.
    pub fn is_good(&self) -> bool {
        self.equal && self.lost == 0
    }

    /// For people.
    pub fn text(&self) -> String {
        let Self { simulated, homes, measured, contracts, cross_region_contracts, elapsed_s, .. } = self;
        let from = Day::containing(self.start_time);
        let mut text = format!(
            "{simulated} from {from}, {homes} homes: {measured} quarter-hours stored in {elapsed_s:.1} s, \
             {contracts} contracts, {cross_region_contracts} of them across regions\n\n"
        );
        text += &table::beside(&self.totals, &self.verify);
        text + "\n" + &verdict(self.equal, self.lost, self.different, &self.differences)
    }
}

/// What is stored and what must be, of a database that was recorded before.
pub fn report_text(report: &Report, stored: &RegionTotals) -> String {
    let differences: Vec<_> = report.differences.iter().map(ToString::to_string).collect();
    table::beside(stored, &report.totals)
        + "\n"
        + &verdict(report.equal, report.lost, report.different, &differences)
}

/// The totals as the read models show them.
pub async fn stored_totals(reader: &Reader, run: u64) -> Result<RegionTotals, Failure> {
    let mut stored = reader.stored(run);
    let reading = tokio::task::spawn_blocking(move || stored.totals());
    reading.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

fn verdict(equal: bool, lost: u64, different: u64, differences: &[String]) -> String {
    if equal && lost == 0 {
        return "Equal to the watt-hour and the nano-euro; nothing is lost.\n".to_owned();
    }
    let mut text = format!("NOT equal: {lost} quarter-hours are lost, {different} rows or numbers differ.\n");
    for difference in differences {
        text += &format!("  {difference}\n");
    }
    if different > differences.len() as u64 {
        text += &format!("  and {} more\n", different - differences.len() as u64);
    }
    text
}

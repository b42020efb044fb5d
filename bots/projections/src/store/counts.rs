//! How much of a run is stored.

use super::error::Failure;
use super::{Reader, Value};

/// Rows of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Homes that introduced themselves.
    pub homes: u64,
    /// Providers that introduced themselves.
    pub providers: u64,
    /// Quarter-hours of homes that are stored or were, until retention removed them.
    pub measurements: u64,
    /// Hours of homes.
    pub trades: u64,
    /// Days with prices.
    pub prices: u64,
    /// Offers.
    pub offers: u64,
    /// Contracts that providers confirmed.
    pub confirmed_contracts: u64,
    /// Those of them with a provider of another region than the home's.
    pub cross_region_contracts: u64,
    /// Acceptances that providers refused.
    pub rejected_contracts: u64,
    /// Homes that left one contract for another.
    pub contract_switches: u64,
    /// Messages that could not be stored, also those of an unknown run.
    pub rejected: u64,
}

impl Reader {
    /// Counts the rows of a run.
    pub async fn counts(&self, run: u64) -> Result<Counts, Failure> {
        let rows = self.query(COUNTS, [Value::from(run)]).await?;
        let number = |column| rows[0].int(column) as u64;
        Ok(Counts {
            homes: number(0),
            providers: number(1),
            measurements: number(2),
            trades: number(3),
            prices: number(4),
            offers: number(5),
            confirmed_contracts: number(6),
            cross_region_contracts: number(7),
            rejected_contracts: number(8),
            contract_switches: number(9),
            rejected: number(10),
        })
    }
}

const COUNTS: &str = "SELECT
    (SELECT count(*) FROM homes WHERE run = $1),
    (SELECT count(*) FROM providers WHERE run = $1),
    (SELECT count(*) FROM measurements m WHERE m.run = $1
        AND m.quarter >= coalesce((SELECT r.quarter FROM retention r WHERE r.run = $1), 0))
        + (SELECT CAST(coalesce(sum(d.quarters), 0) AS bigint) FROM daily d WHERE d.run = $1
            AND d.quarter < coalesce((SELECT r.quarter FROM retention r WHERE r.run = $1), 0)),
    (SELECT count(*) FROM trades WHERE run = $1),
    (SELECT count(*) FROM prices WHERE run = $1),
    (SELECT count(*) FROM offers WHERE run = $1),
    (SELECT count(*) FROM contracts WHERE run = $1),
    (SELECT count(*) FROM contracts WHERE run = $1 AND home_region <> provider_region),
    (SELECT count(*) FROM contract_events WHERE run = $1 AND event = 2),
    (SELECT count(*) FROM contract_switches WHERE run = $1),
    (SELECT count(*) FROM rejected WHERE run = $1 OR run = 0)";

//! Providers with their customers.

use std::collections::HashMap;

use cortexiq_domain::region::Region;
use cortexiq_domain::time::Day;
use cortexiq_projections::store::Row;
use cortexiq_proto::{
    CustomerCount, GetProviderRequest, GetProvidersRequest, ProviderDetail, ProviderSummary, ProvidersPage,
};
use tokio::try_join;

use super::{Answers, Now, message};
use crate::arguments::{cut, no_cursor, page_size, region, required};
use crate::error::QueryError;

impl Answers {
    /// Providers, those with most customers first.
    pub async fn get_providers(&self, request: &GetProvidersRequest) -> Result<ProvidersPage, QueryError> {
        let size = page_size(request.page_size)?;
        let region = region(&request.region)?;
        let after = match request.cursor.as_str() {
            "" => None,
            cursor => {
                let parts = cursor.split_once('.');
                let parsed = parts.and_then(|(customers, id)| Some((customers.parse::<u32>().ok()?, id)));
                Some(parsed.ok_or_else(|| no_cursor(cursor))?)
            }
        };
        let now = self.now().await?;
        let mut providers = self.summaries(&now, region, "").await?;
        let total = providers.len() as u32;
        providers.sort_by(|left, right| (right.customers, id(left)).cmp(&(left.customers, id(right))));
        if let Some((customers, last)) = after {
            providers
                .retain(|one| one.customers < customers || (one.customers == customers && id(one) > last));
        }
        let next_cursor = cut(&mut providers, size, |last| format!("{}.{}", last.customers, id(last)));
        Ok(ProvidersPage { providers, next_cursor, total })
    }

    /// One provider with its offers and how many customers it had.
    pub async fn get_provider(&self, request: &GetProviderRequest) -> Result<ProviderDetail, QueryError> {
        let provider_id = required("provider_id", &request.provider_id)?;
        let now = self.now().await?;
        let provider = self.provider(&now, provider_id).await?;
        let (mut summary, offers, customers) = try_join!(
            self.summaries(&now, "", provider_id),
            self.read(OFFERS, [now.run.into(), provider.into()]),
            self.customers(&now, provider_id, provider),
        )?;
        let offers = offers.iter().map(|row| message(row, 0)).collect();
        Ok(ProviderDetail { summary: summary.pop(), offers, customers })
    }

    /// The short key of a provider of the run.
    pub(super) async fn provider(&self, now: &Now, provider_id: &str) -> Result<i64, QueryError> {
        const SQL: &str = "SELECT provider FROM providers WHERE run = $1 AND provider_id = $2";
        let rows = self.read(SQL, [now.run.into(), provider_id.into()]).await?;
        rows.first().map(|row| row.int(0)).ok_or_else(|| unknown(provider_id))
    }

    async fn summaries(
        &self,
        now: &Now,
        region: &str,
        only: &str,
    ) -> Result<Vec<ProviderSummary>, QueryError> {
        let values = [now.run.into(), region.into(), only.into(), now.time.into()];
        let (shares, rows) = try_join!(self.read(SHARES, [now.run.into()]), self.read(PROVIDERS, values))?;
        let shares: HashMap<&str, u32> = shares.iter().map(|row| (row.text(0), row.int(1) as u32)).collect();
        let homes = u64::from(shares.values().sum::<u32>());
        let summary = |row: &Row| {
            let customers = shares.get(row.text(0)).copied().unwrap_or(0);
            ProviderSummary {
                provider: Some(message(row, 1)),
                offer: row.has(2).then(|| message(row, 2)),
                customers,
                market_share_pct: (u64::from(customers) * 1000).checked_div(homes).unwrap_or(0) as u32,
                import_wh: row.int(3) as u64,
                export_wh: row.int(4) as u64,
                revenue: row.int(5),
                paid: row.int(6),
            }
        };
        Ok(rows.iter().map(summary).collect())
    }

    /// Customers at the end of each local day that is over, newest first.
    async fn customers(
        &self,
        now: &Now,
        provider_id: &str,
        provider: i64,
    ) -> Result<Vec<CustomerCount>, QueryError> {
        let is_spot = |region: &str| {
            region.parse::<Region>().is_ok_and(|region| provider_id == format!("{}_p01", region.prefix()))
        };
        let mut periods = Vec::new();
        // The first moment that is shown.
        let shown = Day::containing(now.time).plus(-(SHOWN_DAYS as i64)).start().time();
        let rows = self.read(PERIODS, [now.run.into(), shown.into()]).await?;
        for contracts in rows.chunk_by(|left, right| left.int(0) == right.int(0)) {
            // From one change to the next: the contract that began last, the spot tariff before, between and after.
            let spot = is_spot(contracts[0].text(1));
            let begun: Vec<&Row> = contracts.iter().filter(|row| row.has(2)).collect();
            let first = begun.first().map_or(i64::MAX, |row| row.int(3));
            let mut add = |ours: bool, from: i64, until: i64| {
                if ours && from < until {
                    periods.push((from, until));
                }
            };
            add(spot, now.start_time, first);
            for (index, row) in begun.iter().enumerate() {
                let next = begun.get(index + 1).map_or(i64::MAX, |next| next.int(3));
                let end = if row.int(4) == 0 { next } else { row.int(4).min(next) };
                add(row.int(2) == provider, row.int(3), end);
                add(spot, end, next);
            }
        }
        let mut counts = Vec::new();
        let mut day = (now.run != 0).then(|| Day::containing(now.time));
        while let Some(over) = day.map(Day::previous).filter(|day| day.end().time() > now.start_time) {
            let last = over.end().time() - 1;
            let customers = periods.iter().filter(|(from, until)| *from <= last && last < *until).count();
            counts.push(CustomerCount { day: over.to_string(), customers: customers as u32 });
            if counts.len() == SHOWN_DAYS {
                break;
            }
            day = Some(over);
        }
        Ok(counts)
    }
}

fn id(summary: &ProviderSummary) -> &str {
    summary.provider.as_ref().map_or("", |provider| &provider.provider_id)
}

fn unknown(provider_id: &str) -> QueryError {
    QueryError::Unknown(format!("provider {provider_id:?}"))
}

/// Days in a provider's history; from the design.
const SHOWN_DAYS: usize = 100;
const SHARES: &str = "SELECT provider_id, count(*) FROM customers WHERE run = $1 GROUP BY provider_id";
/// What they traded comes from the roll-ups of months that have ended, and from the registers of homes for the rest.
const PROVIDERS: &str = "SELECT p.provider_id, p.message,
    coalesce(
        (SELECT o.message FROM offers o WHERE o.run = $1 AND o.provider = p.provider AND o.valid_from <= $4
            ORDER BY o.valid_from DESC LIMIT 1),
        (SELECT o.message FROM offers o WHERE o.run = $1 AND o.provider = p.provider
            ORDER BY o.valid_from DESC LIMIT 1)),
    m.import_wh, m.export_wh, m.cost, m.revenue
    FROM providers p
    LEFT JOIN (
        SELECT provider, CAST(sum(import_wh) AS bigint) AS import_wh, CAST(sum(export_wh) AS bigint) AS export_wh,
            CAST(sum(cost) AS bigint) AS cost, CAST(sum(revenue) AS bigint) AS revenue
        FROM (
            SELECT provider, import_wh, export_wh, cost, revenue FROM market_months WHERE run = $1
            UNION ALL
            SELECT provider, import_wh, export_wh, cost, revenue FROM monthly
            WHERE run = $1 AND month > (SELECT coalesce(max(month), 0) FROM market_months WHERE run = $1)
        ) months GROUP BY provider
    ) m ON m.provider = p.provider
    WHERE p.run = $1 AND ($2 = '' OR p.region = $2) AND ($3 = '' OR p.provider_id = $3)
    ORDER BY p.provider_id";
const OFFERS: &str =
    "SELECT message FROM offers WHERE run = $1 AND provider = $2 ORDER BY valid_from DESC LIMIT 100";
/// Of every home what it has from an instant on: the contract that began last before it, and those that began later.
const PERIODS: &str = "SELECT h.home, h.region, c.provider, c.start_time, c.end_time
    FROM homes h LEFT JOIN contracts c ON c.run = $1 AND c.home = h.home AND c.start_time >= coalesce(
        (SELECT max(k.start_time) FROM contracts k WHERE k.run = $1 AND k.home = h.home AND k.start_time <= $2), 0)
    WHERE h.run = $1 ORDER BY h.home, c.start_time, c.accepted_time";

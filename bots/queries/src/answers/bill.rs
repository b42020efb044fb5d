//! A home's month in money.

use std::collections::BTreeMap;

use cortexiq_domain::bill::{MonthTraded, commission, line};
use cortexiq_domain::contract::{Contracts, Deals};
use cortexiq_domain::region::Region;
use cortexiq_domain::time::Month;
use cortexiq_proto::{BillLine, ContractConfirmed, GetHomeBillRequest, HomeBill, SpotPriceUpdated};

use super::{Answers, Now, message, number};
use crate::arguments::{month, required};
use crate::error::QueryError;

impl Answers {
    /// The energy part of a month: what every contract of it cost. Fees, discounts and minimum count by the days that a
    /// contract held so far, the minimum once the month is over.
    pub async fn get_home_bill(&self, request: &GetHomeBillRequest) -> Result<HomeBill, QueryError> {
        let home_id = required("home_id", &request.home_id)?;
        let month = month(&request.month)?;
        let now = self.now().await?;
        let (home, region) = self.home(&now, home_id).await?;
        let begin = month.first_day().start();
        let end = month.first_day().plus_months(1).start();
        let is_final = end.time() <= now.time;

        let region: Region = region.parse().map_err(|_| QueryError::Unknown(format!("region {region:?}")))?;
        let (mut contracts, mut deals) = (Contracts::new(region, now.start_time), Deals::default());
        for row in self.read(CONTRACTS, [now.run.into(), home.into()]).await? {
            if let Some(contract) = deals.contract(&message(&row, 0)) {
                contracts.add(contract);
            }
        }
        let mut held = held(&contracts, home_id, region, month, &now);
        let hours = [begin, end].map(|quarter| quarter.time() / 3600);
        let values = [now.run.into(), home.into(), hours[0].into(), hours[1].into()];
        for row in self.read(TRADES, values).await? {
            let (contract_id, provider_id) = (row.text(0).to_owned(), row.text(1).to_owned());
            // A trade may be stored before its contract is.
            let unknown = ContractConfirmed { contract_id, provider_id, ..ContractConfirmed::default() };
            let held = held.entry(row.text(0).to_owned()).or_insert_with(|| Held::new(unknown));
            held.traded = MonthTraded {
                import_wh: row.int(2) as u64,
                export_wh: row.int(3) as u64,
                cost: row.int(4),
                revenue: row.int(5),
            };
        }
        let mean_spot = match is_final {
            true => Some(self.mean_spot(&now, begin.time(), end.time()).await?),
            false => None,
        };
        let values = [now.run.into(), home.into(), number(month).into()];
        let savings = self.read(SAVINGS, values).await?.first().map_or(0, |row| row.int(0));
        let values = [now.run.into(), home.into(), begin.number().into(), end.number().into()];
        let peak = self.read(PEAK, values).await?;
        let (peak_wh, peak_quarter) = peak.first().map_or((0, 0), |row| (row.int(0), row.int(1)));
        let lines: Vec<BillLine> = held
            .values()
            .map(|held| line(&held.contract, month, held.days, held.traded, mean_spot))
            .collect();
        let sum = |line: &BillLine| line.cost - line.revenue + line.fee + line.minimum_charge - line.discount;
        Ok(HomeBill {
            home_id: home_id.to_owned(),
            month: month.to_string(),
            total: lines.iter().map(sum).sum::<i64>() + commission(savings),
            lines,
            savings,
            commission: commission(savings),
            month_peak_w: peak_wh as u32 * 4,
            month_peak_time: if peak_wh > 0 { peak_quarter * 900 } else { 0 },
            r#final: is_final,
        })
    }

    async fn mean_spot(&self, now: &Now, begin: i64, end: i64) -> Result<i64, QueryError> {
        let rows = self.read(PRICES, [now.run.into(), begin.into(), end.into()]).await?;
        // Hours count four quarter-hours, so that a month in which the step changes has one mean.
        let (mut sum, mut quarters) = (0, 0);
        for row in &rows {
            let day: SpotPriceUpdated = message(row, 0);
            let weight = i64::from(day.step_minutes / 15).max(1);
            sum += day.prices.iter().sum::<i64>() * weight;
            quarters += day.prices.len() as i64 * weight;
        }
        Ok(sum.checked_div(quarters).unwrap_or(0))
    }
}

/// A contract in a month.
struct Held {
    contract: ContractConfirmed,
    days: u32,
    traded: MonthTraded,
}

impl Held {
    fn new(contract: ContractConfirmed) -> Self {
        Self { contract, days: 0, traded: MonthTraded::default() }
    }
}

/// The contracts that held on a day of the month that has begun, with their days.
fn held(
    contracts: &Contracts,
    home_id: &str,
    region: Region,
    month: Month,
    now: &Now,
) -> BTreeMap<String, Held> {
    let mut held: BTreeMap<String, Held> = BTreeMap::new();
    for day in 0..month.days() {
        let begin = month.first_day().plus(day.into()).start().time();
        if begin < now.start_time || begin >= now.time {
            continue;
        }
        let contract = contracts.at(begin).contract.confirmed(now.run, home_id, region);
        held.entry(contract.contract_id.clone()).or_insert_with(|| Held::new(contract)).days += 1;
    }
    held
}

const CONTRACTS: &str = "SELECT message FROM contracts WHERE run = $1 AND home = $2 ORDER BY start_time";
const TRADES: &str =
    "SELECT c.name, p.name, CAST(sum(t.import_wh) AS bigint), CAST(sum(t.export_wh) AS bigint),
    CAST(sum(t.cost) AS bigint), CAST(sum(t.revenue) AS bigint)
    FROM trades t JOIN names c ON c.id = t.contract JOIN names p ON p.id = t.provider
    WHERE t.run = $1 AND t.home = $2 AND t.hour >= $3 AND t.hour < $4 GROUP BY c.name, p.name";
const SAVINGS: &str = "SELECT saving FROM savings WHERE run = $1 AND home = $2 AND month = $3";
const PRICES: &str = "SELECT message FROM prices WHERE run = $1 AND time >= $2 AND time < $3";
/// Days hold their peaks also when retention has removed their quarter-hours.
const PEAK: &str = "SELECT import_wh, quarter FROM (
        SELECT import_wh, quarter FROM measurements WHERE run = $1 AND home = $2 AND quarter >= $3 AND quarter < $4
        UNION ALL
        SELECT peak_wh, peak_quarter FROM daily WHERE run = $1 AND home = $2 AND quarter >= $3 AND until <= $4
    ) peaks ORDER BY import_wh DESC, quarter LIMIT 1";

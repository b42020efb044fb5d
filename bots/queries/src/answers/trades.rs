//! A home's hours in money.

use cortexiq_projections::store::Row;
use cortexiq_proto::{GetHomeTradesRequest, HomeTraded, HomeTrades};

use super::Answers;
use crate::arguments::{cut, page_size, period, required, time_cursor};
use crate::error::QueryError;

impl Answers {
    /// A home's trades, oldest first.
    pub async fn get_home_trades(&self, request: &GetHomeTradesRequest) -> Result<HomeTrades, QueryError> {
        let home_id = required("home_id", &request.home_id)?;
        let size = page_size(request.page_size)?;
        let after = time_cursor(&request.cursor)?;
        let now = self.now().await?;
        let (from, until) = period(request.from_time, request.until_time, &now)?;
        let (home, _) = self.home(&now, home_id).await?;
        // An hour belongs to a period by its beginning.
        let first = after.map_or((from + 3599).div_euclid(3600), |time| time / 3600 + 1);
        let last = (until + 3599).div_euclid(3600);
        let limit = (size as i64 + 1).into();
        let values = [now.run.into(), home.into(), first.into(), last.into(), limit];
        let rows = self.read(TRADES, values).await?;
        let mut trades: Vec<HomeTraded> = rows.iter().map(|row| trade(now.run, home_id, row)).collect();
        let next_cursor = cut(&mut trades, size, |last| last.time.to_string());
        Ok(HomeTrades { trades, next_cursor })
    }
}

fn trade(run: u64, home_id: &str, row: &Row) -> HomeTraded {
    HomeTraded {
        run,
        home_id: home_id.to_owned(),
        time: row.int(0) * 3600,
        contract_id: row.text(1).to_owned(),
        provider_id: row.text(2).to_owned(),
        left_contract_id: row.text(3).to_owned(),
        left_provider_id: row.text(4).to_owned(),
        import_wh: row.int(5) as u32,
        export_wh: row.int(6) as u32,
        cost: row.int(7),
        revenue: row.int(8),
        import_price: row.int(9),
        export_price: row.int(10),
        left_cost: row.int(11),
        left_revenue: row.int(12),
    }
}

const TRADES: &str =
    "SELECT t.hour, c.name, p.name, l.name, q.name, t.import_wh, t.export_wh, t.cost, t.revenue,
    t.import_price, t.export_price, t.left_cost, t.left_revenue
    FROM trades t
    LEFT JOIN names c ON c.id = t.contract
    LEFT JOIN names p ON p.id = t.provider
    LEFT JOIN names l ON l.id = t.left_contract
    LEFT JOIN names q ON q.id = t.left_provider
    WHERE t.run = $1 AND t.home = $2 AND t.hour >= $3 AND t.hour < $4 ORDER BY t.hour LIMIT $5";

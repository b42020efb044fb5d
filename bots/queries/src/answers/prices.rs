//! Day-ahead prices.

use cortexiq_proto::{GetPricesRequest, PricesPage, SpotPriceUpdated};

use super::{Answers, message};
use crate::arguments::{cut, page_size, period, time_cursor};
use crate::error::QueryError;

impl Answers {
    /// Days with their prices, oldest first; without an end also those that are known ahead.
    pub async fn get_prices(&self, request: &GetPricesRequest) -> Result<PricesPage, QueryError> {
        let size = page_size(request.page_size)?;
        let after = time_cursor(&request.cursor)?;
        let now = self.now().await?;
        let (from, until) = period(request.from_time, request.until_time, &now)?;
        let until = if request.until_time == 0 { until + AHEAD } else { until };
        // A day belongs to a period that begins within it.
        let first = after.map_or(from - 86_399, |time| time + 1);
        let limit = (size as i64 + 1).into();
        let rows = self.read(PRICES, [now.run.into(), first.into(), until.into(), limit]).await?;
        let mut days: Vec<SpotPriceUpdated> = rows.iter().map(|row| message(row, 0)).collect();
        let next_cursor = cut(&mut days, size, |last| last.time.to_string());
        Ok(PricesPage { days, next_cursor })
    }
}

const PRICES: &str =
    "SELECT message FROM prices WHERE run = $1 AND time >= $2 AND time < $3 ORDER BY time LIMIT $4";
/// Prices are known at most until the end of tomorrow.
const AHEAD: i64 = 2 * 86_400;

//! Savings by local month.

use std::collections::BTreeMap;

use cortexiq_domain::time::Day;
use cortexiq_proto::{GetSavingsHistoryRequest, SavingsHistory, SavingsPoint};

use super::{Answers, number};
use crate::arguments::period;
use crate::error::QueryError;

impl Answers {
    /// Savings of a home or of all, month by month; the running month as it stands.
    pub async fn get_savings_history(
        &self,
        request: &GetSavingsHistoryRequest,
    ) -> Result<SavingsHistory, QueryError> {
        let now = self.now().await?;
        let (from, until) = period(request.from_time, request.until_time, &now)?;
        if now.run == 0 {
            return Ok(SavingsHistory::default());
        }
        let home = match request.home_id.as_str() {
            "" => 0,
            home_id => self.home(&now, home_id).await?.0,
        };
        let [first, last] = [from, (until - 1).max(from)].map(|time| number(Day::containing(time).month()));
        let mut months: BTreeMap<i64, SavingsPoint> = BTreeMap::new();
        let (savings, switches) =
            if home == 0 { (SAVINGS, SWITCHES) } else { (SAVINGS_OF_HOME, SWITCHES_OF_HOME) };
        for row in self.read(savings, [now.run.into(), first.into(), last.into(), home.into()]).await? {
            let point = months.entry(row.int(0)).or_default();
            point.savings += row.int(1);
            point.commission += row.int(2);
        }
        for row in self.read(switches, [now.run.into(), from.into(), until.into(), home.into()]).await? {
            months.entry(number(Day::containing(row.int(0)).month())).or_default().switches += 1;
        }
        let named = |(month, point): (i64, SavingsPoint)| {
            let month = format!("{:04}-{:02}", month / 100, month % 100);
            SavingsPoint { month, ..point }
        };
        Ok(SavingsHistory { points: months.into_iter().map(named).collect() })
    }
}

/// Months that were rolled up, and those that were not from the registers of homes. What a home did not save in a month is not
/// settled.
const SAVINGS: &str = "SELECT month, CAST(sum(savings) AS bigint), CAST(sum(commission) AS bigint)
    FROM saving_months WHERE run = $1 AND month >= $2 AND month <= $3 GROUP BY month
    UNION ALL
    SELECT month, CAST(sum(CASE WHEN saving > 0 THEN saving ELSE 0 END) AS bigint),
        CAST(sum(CASE WHEN saving > 0 THEN saving / 5 ELSE 0 END) AS bigint)
    FROM (
        SELECT month, CAST(sum(saving) AS bigint) AS saving FROM monthly
        WHERE run = $1 AND month >= $2 AND month <= $3
            AND month > (SELECT coalesce(max(month), 0) FROM saving_months WHERE run = $1)
        GROUP BY home, month
    ) s GROUP BY month";
const SAVINGS_OF_HOME: &str = "SELECT month, CASE WHEN saving > 0 THEN saving ELSE 0 END,
    CASE WHEN saving > 0 THEN saving / 5 ELSE 0 END
    FROM savings WHERE run = $1 AND month >= $2 AND month <= $3 AND home = $4";
const SWITCHES: &str = "SELECT time FROM contract_switches WHERE run = $1 AND time >= $2 AND time < $3";
const SWITCHES_OF_HOME: &str =
    "SELECT time FROM contract_switches WHERE run = $1 AND time >= $2 AND time < $3 AND home = $4";

//! Savings by local month.

use std::collections::BTreeMap;

use cortexiq_domain::bill::commission;
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
        let values = [now.run.into(), home.into(), first.into(), last.into()];
        for row in self.read(SAVINGS, values).await? {
            let point = months.entry(row.int(0)).or_default();
            // What a month did not save is not settled.
            point.savings += row.int(1).max(0);
            point.commission += commission(row.int(1));
        }
        for row in self.read(SWITCHES, [now.run.into(), home.into(), from.into(), until.into()]).await? {
            months.entry(number(Day::containing(row.int(0)).month())).or_default().switches += 1;
        }
        let named = |(month, point): (i64, SavingsPoint)| {
            let month = format!("{:04}-{:02}", month / 100, month % 100);
            SavingsPoint { month, ..point }
        };
        Ok(SavingsHistory { points: months.into_iter().map(named).collect() })
    }
}

const SAVINGS: &str = "SELECT month, saving FROM savings
    WHERE run = $1 AND ($2 = 0 OR home = $2) AND month >= $3 AND month <= $4";
const SWITCHES: &str = "SELECT time FROM contract_switches
    WHERE run = $1 AND ($2 = 0 OR home = $2) AND time >= $3 AND time < $4";

//! A home's energy over time, in steps of the local calendar.

use cortexiq_domain::time::{Day, Quarter};
use cortexiq_projections::store::Row;
use cortexiq_proto::{GetHomeHistoryRequest, HistoryPoint, HomeHistory, Resolution};

use super::Answers;
use crate::arguments::{page_size, period, required, time_cursor};
use crate::error::QueryError;

impl Answers {
    /// A home's history, oldest first. Steps without stored quarter-hours are left out.
    pub async fn get_home_history(&self, request: &GetHomeHistoryRequest) -> Result<HomeHistory, QueryError> {
        let home_id = required("home_id", &request.home_id)?;
        let size = page_size(request.page_size)?;
        let cursor = time_cursor(&request.cursor)?;
        let step = Resolution::try_from(request.resolution)
            .map_err(|_| QueryError::argument("resolution", format!("{} is unknown", request.resolution)))?;
        let now = self.now().await?;
        let (from, until) = period(request.from_time, request.until_time, &now)?;
        let (home, _) = self.home(&now, home_id).await?;
        let begin = cursor.unwrap_or(from).max(begin_of(step, from));
        // The page ends after so many steps, whether or not they hold anything.
        let mut end = begin_of(step, begin);
        for _ in 0..size {
            end = end_of(step, end);
            if end >= until {
                break;
            }
        }
        let first = Quarter::from(begin_of(step, begin).max(from)).number();
        let last = Quarter::from(end.min(until)).number();
        let rows = match step {
            Resolution::Day | Resolution::Month => self.by_days(now.run, home, first, last).await?,
            _ => self.by_quarters(now.run, home, first, last).await?,
        };
        let kept_from_time = self.kept_from(now.run).await?;
        let next_cursor = if end < until { end.to_string() } else { String::new() };
        Ok(HomeHistory {
            home_id: home_id.to_owned(),
            points: points(step, &rows),
            next_cursor,
            kept_from_time,
        })
    }
}

impl Answers {
    async fn by_quarters(&self, run: u64, home: i64, first: i64, last: i64) -> Result<Vec<Row>, QueryError> {
        self.read(QUARTERS, [run.into(), home.into(), first.into(), last.into()]).await
    }

    /// Whole days that have ended as they were summed up, and the quarter-hours before, between and after them.
    async fn by_days(&self, run: u64, home: i64, first: i64, last: i64) -> Result<Vec<Row>, QueryError> {
        let days = self.read(DAYS, [run.into(), home.into(), first.into(), last.into()]).await?;
        let (mut rows, mut end) = (Vec::with_capacity(days.len()), first);
        for day in days {
            if end < day.int(0) {
                rows.extend(self.by_quarters(run, home, end, day.int(0)).await?);
            }
            end = day.int(10);
            rows.push(day);
        }
        if end < last {
            rows.extend(self.by_quarters(run, home, end, last).await?);
        }
        Ok(rows)
    }

    /// The first instant of which quarter-hours are kept; 0 where all of them are.
    async fn kept_from(&self, run: u64) -> Result<i64, QueryError> {
        let rows = self.read(KEPT_FROM, [run.into()]).await?;
        Ok(rows.first().map_or(0, |row| row.int(0) * 900))
    }
}

/// Rows are sums of quarter-hours, in order.
fn points(step: Resolution, rows: &[Row]) -> Vec<HistoryPoint> {
    let mut points: Vec<HistoryPoint> = Vec::new();
    let mut end = i64::MIN;
    for row in rows {
        let time = row.int(0) * 900;
        if time >= end {
            points.push(HistoryPoint { time: begin_of(step, time), ..HistoryPoint::default() });
            end = end_of(step, time);
        }
        let point = points.last_mut().expect("just there");
        point.production_wh += row.int(1) as u64;
        point.consumption_wh += row.int(2) as u64;
        point.import_wh += row.int(3) as u64;
        point.export_wh += row.int(4) as u64;
        point.charge_wh += row.int(5) as u64;
        point.discharge_wh += row.int(6) as u64;
        point.state_of_charge_pct = row.int(7) as u32;
        point.peak_w = point.peak_w.max(row.int(8) as u32 * 4);
        point.quarter_hours += row.int(9) as u32;
    }
    points
}

/// The first instant of the step that an instant lies in.
fn begin_of(step: Resolution, time: i64) -> i64 {
    match step {
        Resolution::Unspecified | Resolution::QuarterHour => Quarter::containing(time).time(),
        Resolution::Hour => Quarter::containing(time).hour_time(),
        Resolution::Day => Day::containing(time).start().time(),
        Resolution::Month => Day::containing(time).month().first_day().start().time(),
    }
}

/// The first instant after the step that an instant lies in.
fn end_of(step: Resolution, time: i64) -> i64 {
    match step {
        Resolution::Unspecified | Resolution::QuarterHour => Quarter::containing(time).next().time(),
        Resolution::Hour => Quarter::containing(time).hour_time() + 3600,
        Resolution::Day => Day::containing(time).end().time(),
        Resolution::Month => Day::containing(time).month().first_day().plus_months(1).start().time(),
    }
}

const QUARTERS: &str =
    "SELECT quarter, pv_wh, load_wh, import_wh, export_wh, charge_wh, discharge_wh, state_of_charge, import_wh, 1
    FROM measurements WHERE run = $1 AND home = $2 AND quarter >= $3 AND quarter < $4 ORDER BY quarter";

const KEPT_FROM: &str = "SELECT quarter FROM retention WHERE run = $1";

/// The same of days, with the quarter-hour after their last.
const DAYS: &str =
    "SELECT quarter, pv_wh, load_wh, import_wh, export_wh, charge_wh, discharge_wh, state_of_charge, peak_wh, quarters, until
    FROM daily WHERE run = $1 AND home = $2 AND quarter >= $3 AND until <= $4 ORDER BY quarter";

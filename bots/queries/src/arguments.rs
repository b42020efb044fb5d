//! Checking what is asked, before anything is read.

use cortexiq_domain::region::Region;
use cortexiq_domain::time::{Day, Month, in_range};

use crate::answers::Now;
use crate::error::QueryError;

/// Longest page.
pub const LARGEST_PAGE: u32 = 100;
/// What 0 means.
const USUAL_PAGE: u32 = 50;

pub(crate) fn page_size(asked: u32) -> Result<usize, QueryError> {
    match asked {
        0 => Ok(USUAL_PAGE as usize),
        1..=LARGEST_PAGE => Ok(asked as usize),
        _ => Err(QueryError::argument("page_size", format!("{asked} is more than {LARGEST_PAGE}"))),
    }
}

pub(crate) fn required<'a>(field: &'static str, text: &'a str) -> Result<&'a str, QueryError> {
    match text.trim() {
        "" => Err(QueryError::argument(field, "is missing")),
        text => Ok(text),
    }
}

/// The region's full name; empty when not limited.
pub(crate) fn region(text: &str) -> Result<&'static str, QueryError> {
    if text.is_empty() {
        return Ok("");
    }
    let region: Result<Region, _> = text.parse();
    region.map(Region::name).map_err(|error| QueryError::argument("region", error.to_string()))
}

/// The period asked for: by default from the beginning of the run until its newest tick, both included.
pub(crate) fn period(from: i64, until: i64, now: &Now) -> Result<(i64, i64), QueryError> {
    for (field, time) in [("from_time", from), ("until_time", until)] {
        if time != 0 && !in_range(time) {
            return Err(QueryError::argument(field, format!("{time} is not between 2000 and 2100")));
        }
    }
    let from = if from == 0 { now.start_time } else { from };
    let until = if until == 0 { now.time + 1 } else { until };
    match from <= until {
        true => Ok((from, until)),
        false => Err(QueryError::argument("until_time", format!("{until} is before from_time {from}"))),
    }
}

/// A cursor that is a time; none at the beginning.
pub(crate) fn time_cursor(cursor: &str) -> Result<Option<i64>, QueryError> {
    if cursor.is_empty() {
        return Ok(None);
    }
    let time: Option<i64> = cursor.parse().ok().filter(|time| in_range(*time));
    time.map(Some).ok_or_else(|| no_cursor(cursor))
}

pub(crate) fn no_cursor(cursor: &str) -> QueryError {
    QueryError::argument("cursor", format!("{cursor:?} does not come from a result before"))
}

pub(crate) fn month(text: &str) -> Result<Month, QueryError> {
    let first: Result<Day, _> = format!("{}-01", required("month", text)?).parse();
    let first =
        first.map_err(|_| QueryError::argument("month", format!("{text:?} is no month like 2025-01")))?;
    Ok(first.month())
}

/// Cuts what is more than a page off, and gives the cursor of the last that stays if there was more.
pub(crate) fn cut<T>(rows: &mut Vec<T>, size: usize, cursor: impl Fn(&T) -> String) -> String {
    if rows.len() <= size {
        return String::new();
    }
    rows.truncate(size);
    rows.last().map(cursor).unwrap_or_default()
}

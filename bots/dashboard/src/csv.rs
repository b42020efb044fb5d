//! `GET /api/home_history.csv`: a home's history as a table, as long as it is.

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use cortexiq_domain::topics::GET_HOME_HISTORY;
use cortexiq_proto::{GetHomeHistoryRequest, HistoryPoint, Payload as _, json};
use futures_util::stream::unfold;
use macula_sdk::Code;
use serde::Deserialize;
use std::fmt::Write as _;

use crate::api::call_typed;
use crate::problem::Problem;
use crate::state::App;

/// What a table is asked for.
#[derive(Debug, Deserialize)]
pub(crate) struct Wanted {
    home_id: String,
    #[serde(default)]
    from_time: i64,
    #[serde(default)]
    until_time: i64,
    resolution: Option<String>,
}

/// `GET /api/home_history.csv`.
pub(crate) async fn serve(State(app): State<App>, Query(wanted): Query<Wanted>) -> Result<Response, Problem> {
    let resolution = wanted.resolution.as_deref().unwrap_or("quarter_hour");
    let object = serde_json::json!({ "resolution": resolution, "page_size": LARGEST_PAGE });
    let request = json::from_json(GetHomeHistoryRequest::CONTENT_TYPE, &object)
        .map_err(|error| Problem::new(Code::InvalidArgument, error.to_string()))?;
    let request = prost::Message::decode(&request[..]).unwrap_or_default();
    let (from_time, until_time) = (wanted.from_time, wanted.until_time);
    let request = GetHomeHistoryRequest { home_id: wanted.home_id, from_time, until_time, ..request };
    // Whatever is wrong with the request shows with the first page, while an error can still be told.
    let first = call_typed(&app, &GET_HOME_HISTORY, &request).await?;
    let name = format!("attachment; filename=\"{}-{resolution}.csv\"", first.home_id);
    let head = Bytes::from_static(HEAD.as_bytes());
    let pages = unfold(Some((app, request, Some(first))), |state| async {
        let (app, mut request, first) = state?;
        let page = match first {
            Some(page) => page,
            None => match call_typed(&app, &GET_HOME_HISTORY, &request).await {
                Ok(page) => page,
                // A table that breaks off must not look complete.
                Err(problem) => return Some((Err(std::io::Error::other(format!("{problem:?}"))), None)),
            },
        };
        let rows: String = page.points.iter().map(row).collect();
        let more = !page.next_cursor.is_empty();
        request.cursor = page.next_cursor;
        Some((Ok(Bytes::from(rows)), more.then_some((app, request, None))))
    });
    let body = futures_util::StreamExt::chain(futures_util::stream::iter([Ok(head)]), pages);
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, name),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, Body::from_stream(body)).into_response())
}

fn row(point: &HistoryPoint) -> String {
    let time = jiff::Timestamp::from_second(point.time);
    let mut row = time.map_or_else(|_| point.time.to_string(), |time| time.to_string());
    for number in [
        point.production_wh,
        point.consumption_wh,
        point.import_wh,
        point.export_wh,
        point.charge_wh,
        point.discharge_wh,
    ] {
        let _ = write!(row, ",{number}");
    }
    let (whole, tenth) = (point.state_of_charge_pct / 10, point.state_of_charge_pct % 10);
    let _ = writeln!(row, ",{whole}.{tenth},{},{}", point.peak_w, point.quarter_hours);
    row
}

const LARGEST_PAGE: u32 = 100;
const HEAD: &str = "time,production_wh,consumption_wh,import_wh,export_wh,charge_wh,discharge_wh,\
                    state_of_charge_pct,peak_w,quarter_hours\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_a_value_for_every_column() {
        let point = HistoryPoint {
            time: 1_735_689_600,
            production_wh: 12,
            state_of_charge_pct: 505,
            ..Default::default()
        };
        assert_eq!(row(&point), "2025-01-01T00:00:00Z,12,0,0,0,0,0,50.5,0,0\n");
        assert_eq!(row(&point).matches(',').count(), HEAD.matches(',').count());
    }
}

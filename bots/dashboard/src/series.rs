//! The totals of the last minutes, so that a page that is opened has a curve to show at once.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use cortexiq_proto::TotalsCalculated;
use serde_json::json;

use crate::state::App;

/// The newest totals of the newest run, oldest first, one for each simulated time.
#[derive(Debug, Default)]
pub(crate) struct Series(Mutex<VecDeque<TotalsCalculated>>);

impl Series {
    /// Takes what the projections tell.
    pub(crate) fn on_totals(&self, totals: TotalsCalculated) {
        // Before the first quarter-hour there is nothing to show.
        if totals.time == 0 {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = kept.back().copied() {
            if totals.run < last.run || (totals.run == last.run && totals.time < last.time) {
                return;
            }
            if totals.run > last.run {
                kept.clear();
            } else if totals.time == last.time {
                kept.pop_back();
            }
        }
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(totals);
    }

    fn columns(&self) -> serde_json::Value {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let column = |field: fn(&TotalsCalculated) -> i64| kept.iter().map(field).collect::<Vec<_>>();
        json!({
            "run": kept.back().map_or(0, |last| last.run),
            "time": column(|totals| totals.time),
            "production_w": column(|totals| totals.production_w as i64),
            "consumption_w": column(|totals| totals.consumption_w as i64),
            "production_wh": column(|totals| totals.production_wh as i64),
            "consumption_wh": column(|totals| totals.consumption_wh as i64),
        })
    }
}

/// `GET /api/series`.
pub(crate) async fn serve(State(app): State<App>) -> impl IntoResponse {
    Json(app.series.columns())
}

/// Ten minutes at two a second: two simulated years at the usual speed.
const KEPT: usize = 1200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_of_one_run_and_goes_forward() {
        let series = Series::default();
        let tell = |run, time, production_w| {
            series.on_totals(TotalsCalculated { run, time, production_w, ..Default::default() });
        };
        for (run, time, production) in [(1, 900, 1), (1, 1800, 2), (1, 900, 3), (1, 1800, 4)] {
            tell(run, time, production);
        }
        assert_eq!(series.columns()["time"], json!([900, 1800]));
        assert_eq!(series.columns()["production_w"], json!([1, 4]));
        tell(2, 450, 5);
        tell(1, 9000, 6);
        assert_eq!((&series.columns()["run"], &series.columns()["time"]), (&json!(2), &json!([450])));
        tell(3, 0, 7);
        (0..2 * KEPT as i64).for_each(|time| tell(2, 450 + time, 7));
        assert_eq!(series.columns()["time"].as_array().map(Vec::len), Some(KEPT));
    }
}

//! `verify` computes what a run must have stored from its decisions alone, and names what differs.

mod common;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Mutex;

use common::plan;
use cortexiq_domain::agent::HomeEvent;
use cortexiq_domain::ledger::{Plan, RUN, observed};
use cortexiq_domain::time::Day;
use cortexiq_domain::totals::RegionTotals;
use cortexiq_domain::verify::{Recorded, Report, Stored, StoredDay, StoredMeasurement, verify};
use cortexiq_proto::HomeTraded;

/// Long enough for homes to switch, and over before the clocks change.
const DAYS: i64 = 85;
const HOMES: usize = 8;

#[derive(Default)]
struct ReadModels {
    measurements: BTreeMap<String, Vec<StoredMeasurement>>,
    trades: BTreeMap<String, Vec<HomeTraded>>,
    totals: RegionTotals,
    /// Quarter-hours before this instant were removed when their days had been summed up.
    kept_from: i64,
}

impl Stored for ReadModels {
    type Error = Infallible;

    fn kept_from(&mut self) -> Result<i64, Infallible> {
        Ok(self.kept_from)
    }

    fn days(&mut self, home_id: &str) -> Result<Vec<StoredDay>, Infallible> {
        let mut days: BTreeMap<i64, StoredDay> = BTreeMap::new();
        for row in self.measurements[home_id].iter().filter(|row| row.time < self.kept_from) {
            let time = Day::containing(row.time).start().time();
            let day = days.entry(time).or_insert(StoredDay { time, ..StoredDay::default() });
            day.pv_wh += u64::from(row.pv_wh);
            day.load_wh += u64::from(row.load_wh);
            day.import_wh += u64::from(row.import_wh);
            day.export_wh += u64::from(row.export_wh);
            day.charge_wh += u64::from(row.charge_wh);
            day.discharge_wh += u64::from(row.discharge_wh);
            day.quarters += 1;
        }
        Ok(days.into_values().collect())
    }

    fn measurements(&mut self, home_id: &str) -> Result<Vec<StoredMeasurement>, Infallible> {
        let kept = |row: &&StoredMeasurement| row.time >= self.kept_from;
        Ok(self.measurements[home_id].iter().filter(kept).copied().collect())
    }

    fn trades(&mut self, home_id: &str) -> Result<Vec<HomeTraded>, Infallible> {
        Ok(self.trades[home_id].clone())
    }

    fn totals(&mut self) -> Result<RegionTotals, Infallible> {
        Ok(self.totals.clone())
    }
}

fn run() -> (Recorded, ReadModels) {
    run_of(plan(7, "2025-01-01", DAYS, HOMES))
}

fn run_of(plan: Plan) -> (Recorded, ReadModels) {
    let models: Mutex<ReadModels> = Mutex::default();
    let ledger = observed(&plan, &|home, event| {
        let mut models = models.lock().expect("no test panics with it");
        match event {
            HomeEvent::Measured(reading) => {
                // As it comes off the wire.
                let measured = reading.measured(RUN, &home.id);
                models.measurements.entry(home.id.clone()).or_default().push((&measured).into());
            }
            HomeEvent::Traded(trade) => {
                models.trades.entry(home.id.clone()).or_default().push(trade.traded(RUN, &home.id));
            }
            _ => {}
        }
    });
    let mut models = models.into_inner().expect("no test panicked with it");
    models.totals = ledger.totals.clone();
    let recorded = Recorded {
        seed: plan.seed,
        run: RUN,
        start_time: plan.start_time,
        end_time: plan.end_time,
        homes: plan.homes,
        prices: ledger.prices,
        contracts: ledger.confirmed,
    };
    (recorded, models)
}

fn report(recorded: &Recorded, models: &mut ReadModels) -> Report {
    verify(recorded, models).expect("the record is complete")
}

#[test]
fn a_run_equals_what_is_computed_from_its_decisions() {
    let (recorded, mut models) = run();
    assert!(recorded.contracts.len() > recorded.homes.len(), "some homes have switched");
    let report = report(&recorded, &mut models);
    assert!(report.equal, "{:#?}", report.differences);
    assert_eq!((report.lost, report.computed), (0, 3 * HOMES as u64 * DAYS as u64 * 96));
    assert_eq!(report.totals, models.totals);
}

#[test]
fn a_dropped_measurement_a_doubled_trade_and_an_altered_register_are_named() {
    let (recorded, mut models) = run();

    let rows = models.measurements.get_mut("bra_002").expect("a home");
    let dropped = rows.remove(1234);
    let found = report(&recorded, &mut models);
    assert!(!found.equal);
    assert_eq!(found.lost, 1);
    assert_eq!((found.differences[0].home.as_str(), found.differences[0].time), ("bra_002", dropped.time));
    models.measurements.get_mut("bra_002").expect("a home").insert(1234, dropped);

    let rows = models.trades.get_mut("ant_003").expect("a home");
    let doubled = rows[77].clone();
    rows.insert(78, doubled.clone());
    let found = report(&recorded, &mut models);
    assert!(!found.equal);
    assert_eq!((found.differences[0].home.as_str(), found.differences[0].time), ("ant_003", doubled.time));
    assert_eq!(found.differences[0].field, "trade");
    models.trades.get_mut("ant_003").expect("a home").remove(78);

    let row = &mut models.measurements.get_mut("efl_001").expect("a home")[99];
    row.registers_wh.as_mut().expect("the row holds registers")[2] += 1;
    let time = row.time;
    let found = report(&recorded, &mut models);
    assert!(!found.equal);
    assert_eq!((found.differences[0].home.as_str(), found.differences[0].time), ("efl_001", time));
    assert_eq!(found.differences[0].field, "export_t1_wh");
    assert!(found.differences[0].to_string().contains("efl_001 at 2025-01-0"), "{}", found.differences[0]);
}

/// Of quarter-hours that were removed the sums of their days still tell.
#[test]
fn what_was_lost_before_it_was_removed_is_named_by_its_day() {
    let (recorded, mut models) = run();
    models.kept_from = "2025-02-01".parse::<Day>().expect("a day").start().time();
    let whole = report(&recorded, &mut models);
    assert!(whole.equal, "{:#?}", whole.differences);
    assert_eq!((whole.lost, whole.stored), (0, whole.computed));

    let dropped = models.measurements.get_mut("bra_002").expect("a home").remove(1234);
    let found = report(&recorded, &mut models);
    let day = Day::containing(dropped.time).start().time();
    assert!(!found.equal);
    assert_eq!((found.lost, found.differences[0].time), (1, day));
    assert_eq!((&*found.differences[0].home, found.differences[0].field), ("bra_002", "quarters"));

    models.measurements.get_mut("bra_002").expect("a home").insert(1234, dropped);
    models
        .measurements
        .get_mut("efl_001")
        .expect("a home")
        .retain(|row| Day::containing(row.time).start().time() != day);
    let found = report(&recorded, &mut models);
    assert_eq!((found.lost, found.different), (96, 1));
    assert_eq!((found.differences[0].field, &*found.differences[0].found), ("day", "none"));
}

#[test]
fn money_counted_twice_in_a_total_is_named_by_region() {
    let (recorded, mut models) = run();
    models.totals.region(cortexiq_domain::region::Region::Brabant).cost += 1;
    let found = report(&recorded, &mut models);
    assert_eq!(found.different, 1);
    assert_eq!((found.differences[0].home.as_str(), found.differences[0].field), ("brabant", "cost"));
}

#[test]
fn runs_that_begin_and_end_within_a_local_day_and_cross_a_change_day_are_equal_too() {
    // From midnight UTC, which is 01:00 or 02:00 in Brussels, and once from within a quarter-hour.
    for (first, offset) in
        [("2025-01-01", 3600), ("2025-03-27", 3600), ("2025-10-22", 7200), ("2025-06-30", 8000)]
    {
        let mut plan = plan(11, first, 7, 2);
        plan.start_time += offset;
        plan.end_time = plan.start_time + 7 * 86_400;
        let quarters = cortexiq_domain::ledger::quarters_between(plan.start_time, plan.end_time);
        let (recorded, mut models) = run_of(plan);
        let found = report(&recorded, &mut models);
        assert!(found.equal, "{first}: {:#?}", found.differences);
        assert_eq!(found.computed, 6 * quarters, "{first}");
    }
}

//! A year of homes under changing contracts: what must hold in every quarter-hour, and what a year must look like.

mod common;

use std::collections::BTreeMap;
use std::sync::Mutex;

use common::plan;
use cortexiq_domain::agent::HomeEvent;
use cortexiq_domain::home::Home;
use cortexiq_domain::ledger::observed;
use cortexiq_domain::state::Reading;
use cortexiq_domain::time::Month;

#[derive(Default)]
struct Seen {
    last: Option<Reading>,
    quarters: u64,
    /// Highest load of every month so far, W.
    load_peaks: BTreeMap<Month, u32>,
    bought_wh: u64,
    sold_wh: u64,
}

#[test]
fn every_quarter_hour_of_a_year_balances() {
    let seen: Mutex<BTreeMap<String, Seen>> = Mutex::default();
    let ledger = observed(&plan(3, "2025-01-01", 365, 7), &|home, event| {
        let mut seen = seen.lock().expect("no test panics with it");
        let seen = seen.entry(home.id.clone()).or_default();
        match event {
            HomeEvent::Measured(reading) => check(home, seen, reading),
            HomeEvent::Traded(trade) => {
                seen.bought_wh += u64::from(trade.hour.import_wh);
                seen.sold_wh += u64::from(trade.hour.export_wh);
            }
            _ => {}
        }
    });
    assert_eq!(ledger.measured, 21 * 365 * 96);
    for (home, seen) in seen.into_inner().expect("no test panicked with it") {
        let registers = seen.last.expect("it was measured").registers;
        assert_eq!(
            seen.quarters,
            365 * 96,
            "{home}: days of 92 and 100 quarter-hours make up for each other"
        );
        assert_eq!(
            seen.bought_wh,
            registers.import_wh.iter().sum::<u64>(),
            "{home}: trades are what the meter counted"
        );
        assert_eq!(seen.sold_wh, registers.export_wh.iter().sum::<u64>(), "{home}");
        assert!(registers.import_wh.iter().all(|wh| *wh > 0), "{home}: both tariffs count");
        let high = seen.load_peaks.values().filter(|peak| **peak > 2500).count();
        assert!(high >= 11, "{home}: {:?}", seen.load_peaks);
    }
    let total = ledger.totals.total();
    assert!(total.cost > 0 && total.revenue > 0, "{total:?}");
    assert!((60_000..110_000).contains(&ledger.mean_spot_price), "{}", ledger.mean_spot_price);
    assert!((100..3000).contains(&ledger.negative_quarter_hours), "{}", ledger.negative_quarter_hours);
}

fn check(home: &Home, seen: &mut Seen, reading: &Reading) {
    let at = || format!("{} at {}", home.id, reading.quarter.time());
    let flows = reading.flows;
    assert_eq!(
        flows.pv + flows.import + flows.discharge,
        flows.load + flows.export + flows.charge,
        "{}",
        at()
    );
    assert!(flows.import == 0 || flows.export == 0, "{}", at());
    assert!(flows.charge == 0 || flows.discharge == 0, "{}", at());
    match home.battery {
        Some(battery) => {
            let full = u64::from(battery.capacity_wh) * 1000;
            assert!((full / 20..=full).contains(&reading.battery_mwh), "{}", at());
            assert!(flows.charge.max(flows.discharge) <= battery.power_w / 4, "{}", at());
        }
        None => assert_eq!((flows.charge, flows.discharge), (0, 0), "{}", at()),
    }
    let before = seen.last.map(|last| last.registers).unwrap_or_default();
    let now = reading.registers;
    for tariff in 0..2 {
        let counts = reading.tariff.index() == tariff;
        let (import, export) = if counts { (flows.import, flows.export) } else { (0, 0) };
        assert_eq!(now.import_wh[tariff], before.import_wh[tariff] + u64::from(import), "{}", at());
        assert_eq!(now.export_wh[tariff], before.export_wh[tariff] + u64::from(export), "{}", at());
    }
    assert_eq!(now.production_wh, before.production_wh + u64::from(flows.pv), "{}", at());
    assert_eq!(now.consumption_wh, before.consumption_wh + u64::from(flows.load), "{}", at());
    if let Some(last) = seen.last {
        assert_eq!(reading.quarter, last.quarter.next(), "{}: none is skipped", at());
    }
    let month = reading.quarter.day().month();
    let peak = seen.load_peaks.entry(month).or_default();
    *peak = flows.load.saturating_mul(4).max(*peak);
    assert!(flows.import * 4 <= reading.month_peak.0, "{}", at());
    seen.last = Some(*reading);
    seen.quarters += 1;
}

#[test]
fn a_january_and_a_july_week_look_like_winter_and_summer() {
    let totals = |first| cortexiq_domain::ledger::ledger(&plan(5, first, 7, 20)).totals.total();
    let (winter, summer) = (totals("2025-01-13"), totals("2025-07-07"));
    assert!(summer.production_wh > 3 * winter.production_wh, "{summer:?} {winter:?}");
    assert!(winter.consumption_wh > summer.consumption_wh);
    assert!(winter.import_wh > 3 * winter.export_wh);
    assert!(summer.export_wh > summer.import_wh / 2);
}

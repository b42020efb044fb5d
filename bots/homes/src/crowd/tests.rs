//! A crowd driven by hand.

use cortexiq_domain::home_file;
use cortexiq_domain::market::MarketAgent;

use super::*;

const REGION: Region = Region::Antwerp;

fn start() -> i64 {
    "2025-01-01".parse::<Day>().expect("a day").start().time()
}

fn tick(time: i64) -> TimeAdvanced {
    TimeAdvanced { run: 7, seed: 1, simulation_time: time, start_time: start(), ..Default::default() }
}

fn crowd() -> Crowd {
    let homes = home_file::parse("antwerp", home_file::builtin(REGION)).expect("a right file");
    Crowd::new(&tick(start()), REGION, &homes, 5)
}

fn prices(days: usize) -> Vec<SpotPriceUpdated> {
    let mut market = MarketAgent::new(1, 7, start());
    let mut published = market.advance(start() + days as i64 * 86_400);
    published.truncate(days);
    published
}

fn drain(crowd: &mut Crowd) -> Vec<Output> {
    let mut out = Vec::new();
    while crowd.is_restless() {
        let begun = out.len();
        crowd.slice(&mut out);
        assert!(out.len() - begun <= 5 * 6, "a slice is small: {}", out.len() - begun);
    }
    out
}

fn measured(out: &[Output]) -> Vec<&HomeMeasured> {
    out.iter()
        .filter_map(|output| match output {
            Output::Measured(measured) => Some(measured),
            _ => None,
        })
        .collect()
}

#[test]
fn every_quarter_hour_that_has_passed_is_computed_and_none_of_the_future() {
    let mut crowd = crowd();
    crowd.on_prices(&prices(1)[0]).unwrap();
    crowd.on_time(start() + 5 * 3600 + 899);
    let out = drain(&mut crowd);
    assert_eq!(measured(&out).len(), 5 * 20);
    assert!(measured(&out).iter().all(|measured| measured.time < start() + 5 * 3600));
    assert_eq!(out.iter().filter(|output| matches!(output, Output::Traded(_))).count(), 5 * 5);
    assert_eq!(crowd.lag(), 899);
}

#[test]
fn homes_wait_for_prices_and_catch_up_when_they_come() {
    let mut crowd = crowd();
    crowd.on_time(start() + 2 * 86_400);
    assert_eq!(measured(&drain(&mut crowd)).len(), 0);
    assert_eq!(crowd.waits().prices, 5);
    assert!(crowd.waits().example.as_ref().unwrap().ends_with("waits for the prices of 2025-01-01"));
    for prices in prices(2) {
        crowd.on_prices(&prices).unwrap();
    }
    let out = drain(&mut crowd);
    assert_eq!(measured(&out).len(), 5 * 192);
    assert_eq!(out.iter().filter(|output| matches!(output, Output::Balanced(_))).count(), 2);
    assert_eq!((crowd.lag(), crowd.waits()), (0, &Waits::default()));
}

#[test]
fn prices_of_another_run_are_not_taken() {
    let mut crowd = crowd();
    crowd.on_time(start() + 3600);
    crowd.on_prices(&SpotPriceUpdated { run: 6, ..prices(1)[0].clone() }).unwrap();
    assert!(measured(&drain(&mut crowd)).is_empty());
}

#[test]
fn restored_homes_go_on_as_if_nothing_had_happened() {
    let mut whole = crowd();
    whole.on_prices(&prices(1)[0]).unwrap();
    whole.on_time(start() + 20 * 3600);
    let all = drain(&mut whole);

    let mut last = HashMap::new();
    for measured in measured(&all).into_iter().filter(|measured| measured.time < start() + 10 * 3600) {
        last.insert(&measured.home_id, measured);
    }
    let mut again = crowd();
    assert_eq!(again.restore(last.into_values()), 5);
    again.on_prices(&prices(1)[0]).unwrap();
    again.on_time(start() + 20 * 3600);
    let out = drain(&mut again);
    let later: Vec<_> =
        measured(&all).into_iter().filter(|measured| measured.time >= start() + 10 * 3600).collect();
    assert_eq!(measured(&out), later);
}

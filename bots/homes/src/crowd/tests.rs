//! A crowd driven by hand.

use std::collections::{BTreeSet, HashMap};

use cortexiq_domain::home_file;
use cortexiq_domain::market::MarketAgent;
use cortexiq_domain::provider::roster;
use cortexiq_domain::provider_agent::ProviderAgent;
use cortexiq_domain::random::{Random, of_name};

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
    Crowd::new(&tick(start()), REGION, &homes.into(), 5)
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
        assert!(out.len() - begun <= 5 * 7, "a slice is small: {}", out.len() - begun);
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

/// Some days of a crowd whose acceptances are answered at once; what the mesh remembers comes first.
fn live(remembered: &Remembered, providers: &mut [ProviderAgent], offers: &[ContractOffered]) -> Vec<Output> {
    let mut crowd = crowd();
    for prices in prices(DAYS) {
        crowd.on_prices(&prices).unwrap();
    }
    offers.iter().for_each(|offer| crowd.on_offer(offer.clone()));
    let mut out = Vec::new();
    crowd.restore(remembered, &mut out);
    crowd.on_time(start() + DAYS as i64 * 86_400);
    let mut answered = 0;
    loop {
        while answered < out.len() {
            if let Output::Accept(accept) = out[answered].clone() {
                let provider = providers.iter_mut().find(|other| other.provider().id == accept.provider_id);
                let answer = provider.expect("homes ask whom they know").accept(&accept.request);
                crowd.on_answer(&accept.request.home_id, &answer.result, &mut out);
            }
            answered += 1;
        }
        if !crowd.is_restless() {
            return out;
        }
        crowd.slice(&mut out);
    }
}

/// The newest of every retained value at some point of a life.
fn remembered(said: &[Output]) -> Remembered {
    let (mut measured, mut checkpoints, mut held) = (HashMap::new(), HashMap::new(), HashMap::new());
    for output in said {
        match output {
            Output::Measured(last) => {
                measured.insert(&last.home_id, last);
            }
            Output::Checkpointed(last) => {
                checkpoints.insert(&last.home_id, last);
            }
            Output::Held(last) | Output::Accept(Accept { held: last, .. }) => {
                held.insert(&last.home_id, last);
            }
            _ => {}
        }
    }
    Remembered {
        measured: measured.into_values().cloned().collect(),
        checkpoints: checkpoints.into_values().cloned().collect(),
        held: held.into_values().cloned().collect(),
    }
}

/// What read models keep, as texts in order; a repeated row is the same row.
fn rows<'a>(said: impl IntoIterator<Item = &'a Output>) -> BTreeSet<String> {
    let kept = said.into_iter().filter(|output| {
        matches!(
            output,
            Output::Measured(_)
                | Output::Traded(_)
                | Output::Signed(_)
                | Output::Switched(_)
                | Output::Expired(_)
        )
    });
    kept.map(|output| format!("{output:?}")).collect()
}

#[test]
fn homes_restarted_at_any_moment_leave_the_same_rows() {
    let mut providers: Vec<_> =
        roster(REGION, 5).into_iter().map(|provider| ProviderAgent::new(provider, 7, start())).collect();
    let mut offers = Vec::new();
    for provider in &mut providers {
        prices(DAYS).iter().for_each(|prices| provider.on_prices(prices).unwrap());
        offers.extend(provider.advance(start() + DAYS as i64 * 86_400));
    }
    let whole = live(&Remembered::default(), &mut providers, &offers);
    assert_eq!(measured(&whole).len(), 5 * DAYS * 96);
    let signed = whole.iter().filter(|output| matches!(output, Output::Signed(_))).count();
    assert_eq!(signed, 5, "every home signs, so that contracts are at stake");

    let random = Random::new(1, of_name("restarts"));
    for restart in 0..24 {
        let died = random.at(0, restart) as usize % whole.len();
        let after = live(&remembered(&whole[..died]), &mut providers, &offers);
        assert_eq!(rows(whole[..died].iter().chain(&after)), rows(&whole), "died after {died} messages");
        let twice = measured(&whole[..died]).len() + measured(&after).len();
        assert_eq!(twice, measured(&whole).len(), "no quarter-hour is published twice; died after {died}");
    }
}

/// Long enough for contracts to begin and for several midnights.
const DAYS: usize = 4;

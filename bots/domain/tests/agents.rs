//! What agents promise to the shells that drive them: waiting, restarting, repeating.

mod common;

use common::homes;
use cortexiq_domain::agent::{HomeAgent, HomeEvent, Shared, Wait};
use cortexiq_domain::market::MarketAgent;
use cortexiq_domain::provider::roster;
use cortexiq_domain::provider_agent::ProviderAgent;
use cortexiq_domain::region::Region;
use cortexiq_domain::time::Day;
use cortexiq_proto::accept_offer_result::Answer;
use cortexiq_proto::{
    AcceptOfferRequest, ContractConfirmed, ContractReason, ContractSwitched, ContractsHeld, HomeMeasured,
    RegionBalanced, RejectReason, SpotPriceUpdated,
};

const RUN: u64 = 4;
const SEED: u64 = 9;

fn start() -> i64 {
    "2025-06-10".parse::<Day>().expect("a day").start().time()
}

fn hours(count: i64) -> i64 {
    start() + count * 3600
}

/// A world with prices and one provider's offers for the first ten days.
fn world() -> (Shared, ProviderAgent) {
    let mut shared = Shared::new(SEED);
    let mut market = MarketAgent::new(SEED, RUN, start());
    let mut provider = ProviderAgent::new(roster(Region::Brabant, 1).remove(0), RUN, start());
    for published in market.advance(hours(240)) {
        shared.on_prices(&published).expect("right prices");
        provider.on_prices(&published).expect("right prices");
    }
    provider.advance(hours(240)).into_iter().for_each(|offer| shared.on_offer(offer));
    (shared, provider)
}

fn home() -> HomeAgent {
    HomeAgent::new(&homes(3).remove(1), SEED, RUN, start())
}

#[test]
fn a_home_waits_for_prices_and_says_for_which() {
    let mut shared = Shared::new(SEED);
    let mut home = home();
    let wait = home.advance(hours(24), &mut shared, &mut |event| panic!("{event:?}"));
    assert_eq!(wait, Wait::Prices("2025-06-10".parse().expect("a day")));
}

#[test]
fn a_home_waits_for_the_answer_when_the_contract_would_begin() {
    let (mut shared, mut provider) = world();
    let mut home = home();
    let mut accepts = Vec::new();
    let mut emit = |event| {
        if let HomeEvent::Accept { provider_id, request, .. } = event {
            accepts.push((provider_id, request));
        }
    };
    let wait = home.advance(hours(240), &mut shared, &mut emit);
    assert!(matches!(wait, Wait::Answer { .. }), "{wait:?}");
    assert_eq!(
        home.next().day().to_string(),
        "2025-06-13",
        "two days can be lived before the answer is needed"
    );
    let (provider_id, request) = accepts.pop().expect("it has accepted");
    assert_eq!(provider_id, "bra_p01");

    let first = provider.accept(&request);
    assert!(!first.repeated && matches!(first.result.answer, Some(Answer::Confirmed(_))));
    let second = provider.accept(&request);
    assert!(second.repeated);
    assert_eq!(first.result, second.result, "one acceptance, one confirmation");
    assert_eq!(provider.customers(), 1);

    let mut signed = 0;
    let mut emit = |event| signed += usize::from(matches!(event, HomeEvent::Signed(_)));
    home.on_accept_answer(&first.result, &mut shared, &mut emit);
    home.on_accept_answer(&second.result, &mut shared, &mut emit);
    assert_eq!(home.advance(hours(240), &mut shared, &mut emit), Wait::Time);
    assert_eq!(signed, 1);
}

#[test]
fn an_unknown_or_late_offer_is_rejected() {
    let (mut shared, mut provider) = world();
    let mut accepts = Vec::new();
    home().advance(hours(48), &mut shared, &mut |event| {
        if let HomeEvent::Accept { request, .. } = event {
            accepts.push(request);
        }
    });
    let mut request = accepts.pop().expect("it has accepted");
    request.time += 10 * 86_400;
    let reason = |result| match result {
        Some(Answer::Rejected(rejected)) => rejected.reason(),
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(provider.accept(&request).result.answer), RejectReason::OfferNotValid);
    request.offer_id = "bra_p01_1999-01-01".into();
    assert_eq!(reason(provider.accept(&request).result.answer), RejectReason::UnknownOffer);
}

#[test]
fn a_home_restarted_at_any_quarter_hour_goes_on_as_if_nothing_happened() {
    let (mut shared, mut provider) = world();
    let mut home = home();
    let mut events = Vec::new();
    home.advance(hours(240), &mut shared, &mut |event| events.push(event));
    let accept = events.iter().find_map(|event| match event {
        HomeEvent::Accept { request, .. } => Some(request.clone()),
        _ => None,
    });
    let result = provider.accept(&accept.expect("it has accepted")).result;
    let Some(Answer::Confirmed(contract)) = &result.answer else { panic!("{result:?}") };
    home.on_accept_answer(&result, &mut shared, &mut |event| events.push(event));
    home.advance(hours(240), &mut shared, &mut |event| events.push(event));
    let measured: Vec<HomeMeasured> = events
        .iter()
        .filter_map(|event| match event {
            HomeEvent::Measured(reading) => Some(reading.measured(RUN, home.id())),
            _ => None,
        })
        .collect();
    assert_eq!(measured.len(), 960);
    for restart in [0, 1, 2, 3, 200, 287, 501, 802] {
        let mut again = self::home();
        again.restore(&measured[restart]);
        again.restore_contract(contract, &mut shared);
        let mut readings = measured[restart + 1..].iter();
        again.advance(hours(240), &mut shared, &mut |event| {
            if let HomeEvent::Measured(reading) = event {
                assert_eq!(&reading.measured(RUN, home.id()), readings.next().expect("no more"), "{restart}");
            }
        });
        assert_eq!(readings.len(), 0);
    }
}

#[test]
fn a_provisional_reading_advances_nothing() {
    let (mut shared, _) = world();
    let mut home = home();
    home.advance(hours(2), &mut shared, &mut |_| {});
    let before = home.state().clone();
    let provisional = home.provisional(&mut shared).expect("the day's prices are held");
    assert!(provisional.provisional);
    assert_eq!(provisional.time, hours(2));
    assert_eq!(
        provisional.import_t1_wh + provisional.import_t2_wh,
        before.registers().import_wh.iter().sum::<u64>()
    );
    assert_eq!(home.state(), &before);
}

#[test]
fn the_market_names_a_missing_region_and_hears_the_others() {
    let price = |balanced: &[(&str, i64)]| {
        let mut market = MarketAgent::new(SEED, RUN, start());
        let first = market.advance(start());
        assert_eq!(first.len(), 1, "the first day's prices are there at the start");
        assert!(first[0].missing_regions.is_empty(), "nothing can be missing yet");
        assert_eq!(market.advance(hours(12)).len(), 0);
        assert_eq!(market.advance(hours(13)).len(), 1);
        for (region, net) in balanced {
            market.on_region_balanced(&RegionBalanced {
                run: RUN,
                region: (*region).into(),
                day: "2025-06-10".into(),
                homes: 10,
                net_demand_wh: vec![*net; 24],
                ..Default::default()
            });
        }
        let mut due = market.advance(hours(24 + 13));
        if balanced.len() < 3 {
            assert!(due.is_empty(), "a region that is late is waited for");
            due = market.advance(hours(24 + 22));
            assert_eq!(due[0].missing_regions.len(), 1);
            assert_eq!(market.advance(hours(48 + 12)).len(), 0);
        }
        due.remove(0)
    };
    let calm = price(&[("antwerp", 2500), ("brabant", 2500), ("east-flanders", 2500)]);
    let hungry = price(&[("antwerp", 20_000), ("brabant", 20_000), ("east-flanders", 20_000)]);
    assert!(calm.missing_regions.is_empty() && calm.homes == 30);
    assert!(
        hungry.prices.iter().zip(&calm.prices).all(|(hungry, calm)| hungry > calm),
        "demand raises the price"
    );
    let partial = price(&[("antwerp", 2500), ("brabant", 2500)]);
    assert_eq!(partial.missing_regions, ["east-flanders"]);
    assert_eq!(partial.prices, calm.prices, "the missing region is taken to be as the others");
}

#[test]
fn offers_depend_on_what_was_decided_and_not_on_when_it_was_heard() {
    let days = 12;
    let mut prices = MarketAgent::new(SEED, RUN, start()).advance(hours(days * 24));
    prices.iter_mut().for_each(|day| day.homes = 20);
    let new = || ProviderAgent::new(roster(Region::Brabant, 1).remove(0), RUN, start());
    // Three homes come on the first day, one on the third; two of them leave on the sixth.
    let come = [(0, 7), (1, 8), (2, 21), (3, 50)];
    let leave = [(0, 130), (3, 140)];
    let home = |number: i64| format!("ant_{number:03}");
    let accept = |provider: &mut ProviderAgent, number: i64, hour: i64| -> ContractConfirmed {
        let day = Day::containing(hours(hour));
        let day = if hour < 48 { Day::containing(start()) } else { day };
        let request = AcceptOfferRequest {
            run: RUN,
            home_id: home(number),
            home_region: "antwerp".into(),
            offer_id: format!("bra_p01_{day}"),
            time: hours(hour),
            reason: ContractReason::New.into(),
        };
        match provider.accept(&request).result.answer {
            Some(Answer::Confirmed(confirmed)) => confirmed,
            other => panic!("{other:?}"),
        }
    };
    let gone = |number: i64, hour: i64, from: &ContractConfirmed| ContractSwitched {
        run: RUN,
        time: hours(hour),
        home_id: home(number),
        from_contract_id: from.contract_id.clone(),
        ..Default::default()
    };

    // One hears everything at once, another as late as may be and with prices of the future.
    let life = |delay: i64, known: i64| {
        let (mut provider, mut offers, mut contracts) = (new(), Vec::new(), Vec::new());
        for hour in 0..days * 24 {
            let published = |day: &SpotPriceUpdated| day.time <= hours(hour + known);
            prices
                .iter()
                .filter(|day| published(day))
                .for_each(|day| provider.on_prices(day).expect("right"));
            for (number, at) in come.iter().filter(|(_, at)| at + delay == hour) {
                contracts.push((*number, accept(&mut provider, *number, *at)));
            }
            for (number, at) in leave.iter().filter(|(_, at)| at + delay == hour) {
                let from = contracts.iter().find(|(other, _)| other == number).expect("it came");
                provider.on_switched(&gone(*number, *at, &from.1));
            }
            offers.extend(provider.advance(hours(hour)));
        }
        (offers, contracts)
    };
    let (offers, contracts) = life(0, 11);
    assert!(offers.len() as i64 == days && offers[3].margin_level != offers[9].margin_level);
    assert_eq!(life(23, 72).0, offers);

    // A third is restarted on the seventh day, with what the mesh remembers of it.
    let mut restarted = new();
    prices.iter().for_each(|day| restarted.on_prices(day).expect("right"));
    let begun = 6;
    restarted.restore_offer(&offers[begun]);
    for number in 0..4 {
        let mut contracts: Vec<_> = contracts
            .iter()
            .filter(|(other, _)| *other == number)
            .map(|(_, contract)| contract.clone())
            .collect();
        if let Some((_, hour)) = leave.iter().find(|(other, _)| *other == number) {
            let accepted_time = hours(*hour);
            let start_time = cortexiq_domain::contract::begins(accepted_time);
            let provider_id = "efl_p02".to_owned();
            contracts.push(ContractConfirmed {
                provider_id,
                accepted_time,
                start_time,
                ..contracts[0].clone()
            });
        }
        restarted.restore_held(&ContractsHeld {
            run: RUN,
            home_id: home(number),
            contracts,
            ..Default::default()
        });
    }
    assert_eq!(restarted.customers(), 2);
    assert_eq!(restarted.advance(hours(days * 24 - 1)), offers[begun + 1..]);
}

#[test]
fn prices_come_in_hours_until_autumn_2025_and_then_in_quarter_hours() {
    let count = |day: &str| {
        let day: Day = day.parse().expect("a day");
        let first = MarketAgent::new(SEED, RUN, day.start().time()).advance(day.start().time()).remove(0);
        (first.step_minutes, first.prices.len())
    };
    assert_eq!(count("2025-03-30"), (60, 23));
    assert_eq!(count("2025-09-30"), (60, 24));
    assert_eq!(count("2025-10-01"), (15, 96));
    assert_eq!(count("2025-10-26"), (15, 100));
    assert_eq!(count("2026-03-29"), (15, 92));
}

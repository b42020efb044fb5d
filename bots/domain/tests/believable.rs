//! What an energy engineer would ask of a year: peaks, profiles, self-consumption, prices, switches.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use common::{homes, plan};
use cortexiq_domain::agent::HomeEvent;
use cortexiq_domain::contract::Prices;
use cortexiq_domain::environment::Environment;
use cortexiq_domain::home::{Battery, Home, Solar};
use cortexiq_domain::ledger::{RUN, ledger, observed};
use cortexiq_domain::standard::LoadProfile;
use cortexiq_domain::state::{Inputs, Model, Reading};
use cortexiq_domain::time::{Day, Month, days_of_year};
use cortexiq_proto::{ContractReason, ContractType};

/// Lives a home under a fixed contract.
fn live(
    home: &Home,
    environment: &mut Environment,
    days: impl Iterator<Item = Day>,
    mut see: impl FnMut(Day, usize, &Reading),
) {
    let model = Model::new(home, environment.seed());
    let mut state = None;
    for day in days {
        let state = state.get_or_insert_with(|| model.initial(day.month()));
        let place = environment.day(model.place(), day);
        for (index, conditions) in place.quarters.iter().enumerate() {
            let inputs = Inputs {
                quarter: day.start().plus(index as i64),
                month: day.month(),
                conditions,
                prices: Prices { import: 0, export: 0 },
                left: None,
                dynamic: None,
            };
            let reading = state.step(&model, &inputs);
            see(day, usize::from(conditions.wall_quarter), &reading);
        }
    }
}

/// A home of a file without car and heat pump, so that its load is the household's.
fn plain(home: &Home) -> Home {
    Home { heat_pump_kwh: 0, electric_vehicle_kwh: 0, solar: None, battery: None, ..home.clone() }
}

#[test]
fn the_mean_of_a_thousand_homes_is_the_profile_and_each_has_its_peaks() {
    let mut environment = Environment::new(7);
    let first: Day = "2025-03-01".parse().expect("a day");
    let month = || (0..31).map(|offset| first.plus(offset));
    let (mut hours, mut annual, mut peaks) = ([0_u64; 24], 0_u64, Vec::new());
    let homes: Vec<_> = homes(334).iter().take(1000).map(plain).collect();
    for home in &homes {
        let mut peak = 0;
        live(home, &mut environment, month(), |_, wall_quarter, reading| {
            hours[wall_quarter / 4] += u64::from(reading.flows.load);
            peak = peak.max(reading.flows.load * 4);
        });
        peaks.push(peak);
        annual += u64::from(home.annual_consumption_kwh) * 1000;
    }
    let all = |days: &mut dyn Iterator<Item = Day>| -> [f64; 24] {
        let mut sums = [0.0; 24];
        for day in days {
            for index in 0..day.quarters() {
                let wall_quarter = day.wall_quarter(index);
                sums[wall_quarter / 4] += LoadProfile::H25.expected(day, wall_quarter);
            }
        }
        sums
    };
    let year: f64 = all(&mut days_of_year(2025)).iter().sum();
    for (hour, (seen, expected)) in hours.iter().zip(all(&mut month())).enumerate() {
        let off = *seen as f64 / (expected / year * annual as f64) - 1.0;
        assert!(off.abs() < 0.03, "hour {hour}: off by {:.1} %", off * 100.0);
    }
    let high = peaks.iter().filter(|peak| **peak > 2500).count();
    assert!(high >= 950, "{high} of 1000 homes had more than 2.5 kW in that month");
    let highest = peaks.iter().max().expect("a thousand homes");
    assert!((4_000..15_000).contains(highest), "{highest} W");
}

#[test]
fn a_home_keeps_its_annual_consumption() {
    let mut environment = Environment::new(3);
    for home in homes(5).iter().map(plain) {
        let mut load = 0;
        live(&home, &mut environment, days_of_year(2025), |_, _, reading| {
            load += u64::from(reading.flows.load)
        });
        let off = load as f64 / f64::from(home.annual_consumption_kwh) / 1000.0 - 1.0;
        assert!(off.abs() < 0.03, "{}: {load} Wh of {} kWh", home.id, home.annual_consumption_kwh);
    }
}

#[test]
fn self_consumption_is_a_third_without_a_battery_and_more_than_half_with_one() {
    let mut environment = Environment::new(5);
    let roofs: Vec<_> = homes(10).into_iter().filter(|home| home.solar.is_some()).collect();
    assert!(roofs.len() >= 20);
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for (index, roof) in roofs.iter().enumerate() {
        // As much PV as the home needs in a year, at some 950 kWh/kWp.
        let solar =
            Solar { peak_w: roof.annual_consumption_kwh * 1000 / 950, ..roof.solar.expect("filtered") };
        let bare = Home { solar: Some(solar), ..plain(roof) };
        let capacity_wh = solar.peak_w * (100 + 10 * (index as u32 % 6)) / 100;
        let battery = Battery { capacity_wh, power_w: capacity_wh / 2, efficiency_pct: 95 };
        let stored = Home { battery: Some(battery), ..bare.clone() };
        for (home, shares) in [(bare, &mut without), (stored, &mut with)] {
            let (mut produced, mut exported) = (0_u64, 0_u64);
            live(&home, &mut environment, days_of_year(2025), |_, _, reading| {
                produced += u64::from(reading.flows.pv);
                exported += u64::from(reading.flows.export);
            });
            shares.push(1.0 - exported as f64 / produced as f64);
        }
    }
    assert!(without.iter().all(|share| (0.25..0.40).contains(share)), "{without:.2?}");
    assert!(with.iter().all(|share| (0.50..0.75).contains(share)), "{with:.2?}");
}

#[test]
fn a_year_of_prices_is_that_of_a_sunny_market() {
    let ledger = ledger(&plan(7, "2025-01-01", 365, 4));
    let (mut hours, mut negative) = ([(0_i64, 0_i64); 24], BTreeMap::<(u8, usize), usize>::new());
    for published in &ledger.prices {
        let day: Day = published.day.parse().expect("a day");
        let each = published.step_minutes as usize / 15;
        for (index, price) in published.prices.iter().enumerate() {
            let hour = day.wall_quarter(index * each) / 4;
            hours[hour].0 += price * each as i64;
            hours[hour].1 += each as i64;
            if *price < 0 {
                *negative.entry((day.month().month, hour)).or_default() += each;
            }
        }
    }
    let mean = ledger.mean_spot_price as f64 / 1000.0;
    assert!((60.0..110.0).contains(&mean), "{mean} €/MWh");
    let hour = |hour: usize| hours[hour].0 / hours[hour].1;
    let dearest = (0..24).max_by_key(|index| hour(*index));
    assert!(dearest.is_some_and(|hour| (17..21).contains(&hour)), "the evening is dearest: {dearest:?}");
    assert!(hour(13) < hour(3), "noon is cheaper than the night");
    // In 2025 Belgium had more than 520 (CREG); ours shall be of that kind, in a year and with half and double as bounds.
    let all = negative.values().sum::<usize>() / 4;
    assert!((260..1040).contains(&all), "{all} negative hours");
    let bright =
        |((month, hour), _): &((u8, usize), usize)| (4..=9).contains(month) && (10..17).contains(hour);
    let at_noon = negative.into_iter().filter(bright).map(|(_, count)| count).sum::<usize>() / 4;
    assert!(at_noon * 10 > all * 8, "{at_noon} of {all} negative hours at spring and summer middays");
}

#[test]
fn a_year_of_contracts_is_that_of_a_calm_market() {
    let plan = plan(7, "2025-01-01", 365, 20);
    let ledger = ledger(&plan);
    let (mut switches, mut dynamic) = (BTreeMap::<_, usize>::new(), 0);
    for contract in &ledger.confirmed {
        *switches.entry(&contract.home_id).or_default() +=
            usize::from(contract.reason() == ContractReason::Switch);
        let kind = contract.terms.expect("contracts have terms").contract_type();
        dynamic += usize::from(contract.reason() == ContractReason::New && kind == ContractType::Dynamic);
    }
    // VREG counted one household in four or five that changed in a year; here a program looks every day.
    let each = switches.values().sum::<usize>() as f64 / plan.homes.len() as f64;
    assert!((0.2..1.2).contains(&each), "{each:.2} switches a home");
    assert!(switches.values().all(|count| *count <= 4), "nobody lives on welcomes: {switches:?}");
    let share = dynamic as f64 / plan.homes.len() as f64;
    assert!((0.25..0.75).contains(&share), "{share:.2} of the first contracts are dynamic");
    let providers: BTreeSet<_> = ledger.confirmed.iter().map(|contract| &contract.provider_id).collect();
    assert!(providers.len() >= 12, "most providers find customers: {providers:?}");
}

#[test]
fn a_heat_pump_works_in_winter_and_keeps_its_year() {
    let mut environment = Environment::new(6);
    let home = homes(1).remove(0);
    let bare = Home { annual_consumption_kwh: 1, ..plain(&home) };
    let with = Home { heat_pump_kwh: 3000, ..bare };
    let (mut months, mut highest, mut still) = ([0_u64; 12], 0, 0);
    live(&with, &mut environment, days_of_year(2025), |day, _, reading| {
        months[usize::from(day.month().month) - 1] += u64::from(reading.flows.load);
        highest = highest.max(reading.flows.load * 4);
        still += u32::from(reading.flows.load < 10 && day.month().month == 10);
    });
    let year: u64 = months.iter().sum();
    assert!((2_700_000..3_300_000).contains(&year), "{year} Wh");
    assert!(months[0] > 5 * months[6], "{months:?}");
    assert!(months[6] > 30_000, "hot water in summer too: {months:?}");
    assert!((900..3500).contains(&highest), "{highest} W");
    assert!(still > 300, "in mild weather it goes on and off: {still} quarter-hours of October without it");
}

#[test]
fn a_car_charges_its_year_in_the_evening_or_at_cheap_hours() {
    // From a small car to the largest that a file may name.
    for yearly in [1500, 4000, 12_000, 20_000] {
        let home = Home { annual_consumption_kwh: 1, electric_vehicle_kwh: yearly, ..plain(&homes(1)[0]) };
        let mut environment = Environment::new(6);
        let (mut charged, mut evening) = (0_u64, 0_u64);
        live(&home, &mut environment, days_of_year(2025), |_, wall_quarter, reading| {
            charged += u64::from(reading.flows.load);
            evening += if wall_quarter >= 68 { u64::from(reading.flows.load) } else { 0 };
            assert!(!(28..68).contains(&wall_quarter) || reading.flows.load < 100, "it is away by day");
        });
        let off = charged as f64 / f64::from(yearly) / 1000.0 - 1.0;
        assert!(off.abs() < 0.08, "{yearly} kWh: {charged} Wh");
        assert!(evening * 10 > charged * 6, "{yearly} kWh: {evening} of {charged} Wh in the evening");
    }
}

#[test]
fn every_traded_amount_is_once_with_its_home_and_once_with_its_provider() {
    let plan = plan(9, "2025-03-20", 60, 8);
    let trades = Mutex::new(Vec::new());
    let ledger = observed(&plan, &|home, event| {
        if let HomeEvent::Traded(trade) = event {
            trades.lock().expect("no test panics with it").push((home.clone(), trade.traded(RUN, &home.id)));
        }
    });
    let trades = trades.into_inner().expect("no test panicked with it");
    let (mut by_home, mut by_provider, mut hours) =
        (BTreeMap::<_, i64>::new(), BTreeMap::<_, i64>::new(), BTreeMap::<_, u32>::new());
    for (home, trade) in &trades {
        let signed: Vec<_> = ledger.confirmed.iter().filter(|contract| contract.home_id == home.id).collect();
        let holds = signed
            .iter()
            .filter(|contract| contract.start_time <= trade.time)
            .max_by_key(|contract| contract.start_time);
        let expected = holds.map_or_else(
            || (format!("{}_spot", home.id), format!("{}_p01", home.address.region.prefix())),
            |contract| (contract.contract_id.clone(), contract.provider_id.clone()),
        );
        assert_eq!(
            (&trade.contract_id, &trade.provider_id),
            (&expected.0, &expected.1),
            "{} at {}",
            home.id,
            trade.time
        );
        *hours.entry((&home.id, trade.time)).or_default() += 1;
        *by_home.entry(&home.id).or_default() += trade.cost - trade.revenue;
        *by_provider.entry(&trade.provider_id).or_default() += trade.cost - trade.revenue;
    }
    assert!(hours.values().all(|count| *count == 1), "an hour of a home is traded once");
    assert_eq!(hours.len(), plan.homes.len() * (60 * 24 - 1), "60 days, one of 23 hours");
    let total = ledger.totals.total();
    assert_eq!(by_home.values().sum::<i64>(), total.cost - total.revenue);
    assert_eq!(by_provider.values().sum::<i64>(), total.cost - total.revenue);
    assert!(by_provider.len() > 5, "{by_provider:?}");
}

#[test]
fn a_month_has_one_peak_and_it_is_the_highest_import() {
    let mut environment = Environment::new(2);
    let home = homes(1).remove(0);
    let mut highest: BTreeMap<Month, u32> = BTreeMap::new();
    let first: Day = "2025-01-20".parse().expect("a day");
    live(&home, &mut environment, (0..60).map(|offset| first.plus(offset)), |day, _, reading| {
        let highest = highest.entry(day.month()).or_default();
        *highest = (*highest).max(reading.flows.import * 4);
        assert_eq!(reading.month_peak.0, *highest);
    });
    assert_eq!(highest.len(), 3);
}

//! What must hold for any home, any contract and any prices, on days of 92, 96 and 100 quarter-hours.

mod common;

use common::homes;
use cortexiq_domain::contract::{Contracts, Deals, Prices};
use cortexiq_domain::environment::Environment;
use cortexiq_domain::home::{Battery, Home, Solar};
use cortexiq_domain::prices::DayPrices;
use cortexiq_domain::region::Region;
use cortexiq_domain::standard::LoadProfile;
use cortexiq_domain::state::{Dynamic, HomeState, Inputs, Model, Registers};
use cortexiq_domain::time::Day;
use cortexiq_proto::{ContractConfirmed, SpotPriceUpdated, Terms};
use proptest::prelude::*;

fn home() -> impl Strategy<Value = Home> {
    let solar = proptest::option::of((1..20_000_u32, 0..=90_u32, 0..=360_u32)).prop_map(|solar| {
        solar.map(|(peak_w, tilt_deg, azimuth_deg)| Solar { peak_w, tilt_deg, azimuth_deg })
    });
    let battery = proptest::option::of((1..30_000_u32, 1..20_000_u32, 50..=100_u32)).prop_map(|battery| {
        battery.map(|(capacity_wh, power_w, efficiency_pct)| Battery { capacity_wh, power_w, efficiency_pct })
    });
    let profile = prop_oneof![Just(LoadProfile::H25), Just(LoadProfile::H0)];
    (0..3_usize, solar, battery, 1..20_000_u32, profile, 0..8000_u32, 0..6000_u32).prop_map(
        |(
            like,
            solar,
            battery,
            annual_consumption_kwh,
            load_profile,
            heat_pump_kwh,
            electric_vehicle_kwh,
        )| Home {
            solar,
            battery,
            annual_consumption_kwh,
            load_profile,
            heat_pump_kwh,
            electric_vehicle_kwh,
            ..homes(1)[like].clone()
        },
    )
}

/// Days around both changes of the clock and any other.
fn day() -> impl Strategy<Value = Day> {
    prop_oneof![
        Just("2025-03-30"),
        Just("2025-10-26"),
        Just("2024-02-29"),
        Just("2026-06-20"),
        Just("2025-12-31")
    ]
    .prop_map(|day| day.parse::<Day>().expect("a day"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn energy_is_kept_and_nothing_goes_back(
        home in home(),
        first in day(),
        seed: u64,
        prices in proptest::collection::vec(-200_000..400_000_i64, 25),
        is_dynamic: bool,
    ) {
        let model = Model::new(&home, seed);
        let mut state: HomeState = model.initial(first.month());
        let (mut environment, mut before) = (Environment::new(seed), Registers::default());
        for day in [first, first.next()] {
            let published = SpotPriceUpdated {
                day: day.to_string(),
                step_minutes: 60,
                prices: prices[..day.hours()].to_vec(),
                ..SpotPriceUpdated::default()
            };
            let spot = DayPrices::read(&published).expect("a price for every hour");
            let place = environment.day(model.place(), day);
            prop_assert_eq!(place.quarters.len(), day.quarters());
            for (index, conditions) in place.quarters.iter().enumerate() {
                let price = spot.quarters[index];
                let reading = state.step(&model, &Inputs {
                    quarter: day.start().plus(index as i64),
                    month: day.month(),
                    conditions,
                    prices: Prices { import: price + 20_000, export: price - 10_000 },
                    left: None,
                    dynamic: is_dynamic.then(|| Dynamic { mode: spot.plan[index], day: &spot.quarters, index }),
                });
                let flows = reading.flows;
                prop_assert_eq!(flows.pv + flows.import + flows.discharge, flows.load + flows.export + flows.charge);
                prop_assert!(flows.import == 0 || flows.export == 0);
                prop_assert!(flows.charge == 0 || flows.discharge == 0);
                prop_assert!(flows.pv == 0 || home.solar.is_some());
                match home.battery {
                    Some(battery) => {
                        let full = u64::from(battery.capacity_wh) * 1000;
                        prop_assert!((full / 20..=full).contains(&reading.battery_mwh), "{}", reading.battery_mwh);
                        prop_assert!(flows.charge.max(flows.discharge) <= battery.power_w / 4);
                    }
                    None => prop_assert_eq!((flows.charge, flows.discharge, reading.battery_mwh), (0, 0, 0)),
                }
                let now = reading.registers;
                for tariff in 0..2 {
                    prop_assert!(now.import_wh[tariff] >= before.import_wh[tariff]);
                    prop_assert!(now.export_wh[tariff] >= before.export_wh[tariff]);
                }
                prop_assert_eq!(now.production_wh, before.production_wh + u64::from(flows.pv));
                prop_assert_eq!(now.consumption_wh, before.consumption_wh + u64::from(flows.load));
                // What a restarted home would know is what this one knows.
                let restored = HomeState::restore(&reading.measured(1, &home.id));
                prop_assert_eq!(&restored, &state);
                before = now;
            }
        }
    }

    #[test]
    fn exactly_one_contract_holds_at_any_time(
        periods in proptest::collection::vec((0..400_i64, proptest::option::of(1..400_i64), 0..400_i64), 0..8),
    ) {
        let (mut contracts, mut deals) = (Contracts::new(Region::Antwerp, 0), Deals::default());
        for (index, (start_time, length, accepted_time)) in periods.iter().enumerate() {
            let confirmed = ContractConfirmed {
                contract_id: format!("c{index}"),
                start_time: *start_time,
                end_time: length.map_or(0, |length| start_time + length),
                accepted_time: *accepted_time,
                terms: Some(Terms::default()),
                ..ContractConfirmed::default()
            };
            contracts.add(deals.contract(&confirmed).expect("it has terms"));
        }
        // Walking from change to change meets every instant once, with the contract that `at` names anywhere between.
        let mut time = 0;
        while time < 1000 {
            let held = contracts.at(time);
            prop_assert!(held.until > time);
            for within in time..held.until.min(1000) {
                prop_assert_eq!(contracts.at(within).contract, held.contract.clone());
            }
            let (begun, ended) = (held.contract.start_time, held.contract.end_time);
            prop_assert!(begun <= time && (ended == 0 || ended > time));
            time = held.until;
        }
    }
}

//! Writes what the plots of `docs/` are drawn from: `cargo run --release -p cortexiq-domain --example story -- DIRECTORY`.
//!
//! One year of the 150 homes of the region files with seed 7. `python/plots.py DIRECTORY docs` draws it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Mutex;

use cortexiq_domain::agent::HomeEvent;
use cortexiq_domain::ledger::{Plan, observed};
use cortexiq_domain::region::Region;
use cortexiq_domain::state::Reading;
use cortexiq_domain::time::{Day, Quarter};
use cortexiq_domain::{home_file, provider};

/// Panels, battery and car in Leuven; heat pump and car, and no panels.
const HOMES: [&str; 2] = ["bra_001", "bra_009"];
const WEEKS: [(&str, &str); 2] = [("january", "2025-01-13"), ("june", "2025-06-16")];

fn main() -> std::io::Result<()> {
    let directory = PathBuf::from(std::env::args().nth(1).expect("story DIRECTORY"));
    std::fs::create_dir_all(&directory)?;
    let first = day("2025-01-01");
    let homes = Region::ALL.into_iter().flat_map(|region| {
        home_file::parse(region.name(), home_file::builtin(region)).expect("a test reads every built-in file")
    });
    let plan = Plan {
        seed: 7,
        start_time: first.start().time(),
        end_time: first.plus(365).start().time(),
        homes: homes.collect(),
        providers: Region::ALL.into_iter().flat_map(|region| provider::roster(region, 5)).collect(),
        threads: 1,
    };
    let seen: Mutex<Seen> = Mutex::default();
    let ledger = observed(&plan, &|home, event| {
        if let HomeEvent::Measured(reading) = event {
            let mut seen = seen.lock().expect("nobody panics with it");
            seen.month(reading, home.address.region);
            if let Some(place) = HOMES.iter().position(|id| *id == home.id) {
                seen.readings[place].push(*reading);
            }
        }
    });
    let seen = seen.into_inner().expect("nobody panicked with it");
    let stories = HOMES.iter().zip(&seen.readings).flat_map(|home| WEEKS.map(|week| (home, week)));
    for ((home, readings), (name, monday)) in stories {
        let monday = day(monday);
        let week = monday.start()..monday.plus(7).start();
        let rows = readings.iter().filter(|reading| week.contains(&reading.quarter)).map(row);
        let header = "day,pv_w,load_w,import_w,export_w,battery_w,charge_pct\n".to_owned();
        std::fs::write(
            directory.join(format!("{home}_{name}.csv")),
            rows.fold(header, |text, row| text + &row),
        )?;
    }
    let mut text = "region,month,production_kwh,consumption_kwh,import_kwh,export_kwh\n".to_owned();
    for ((region, month), wh) in &seen.months {
        let [production, consumption, import, export] = wh.map(|wh| wh / 1000);
        let _ = writeln!(text, "{region},{month},{production},{consumption},{import},{export}");
    }
    std::fs::write(directory.join("regions.csv"), text)?;
    let mut text = "day,hour,euro_per_mwh\n".to_owned();
    for published in &ledger.prices {
        let each = published.step_minutes as usize / 15;
        for (index, price) in published.prices.iter().enumerate() {
            let wall = day(&published.day).wall_quarter(index * each) as f64 / 4.0;
            let _ = writeln!(text, "{},{wall},{}", published.day, *price as f64 / 1000.0);
        }
    }
    std::fs::write(directory.join("market.csv"), text)?;
    for home in HOMES {
        for contract in ledger.confirmed.iter().filter(|contract| contract.home_id == home) {
            let kind = contract.terms.unwrap_or_default().contract_type();
            println!(
                "{home}: {kind:?} by {} from {}",
                contract.offer_id,
                Day::containing(contract.start_time)
            );
        }
    }
    println!("{} contracts, spot price {} €/MWh on average", ledger.contracts, ledger.mean_spot_price / 1000);
    Ok(())
}

#[derive(Default)]
struct Seen {
    readings: [Vec<Reading>; 2],
    months: BTreeMap<(&'static str, u8), [u64; 4]>,
}

impl Seen {
    fn month(&mut self, reading: &Reading, region: Region) {
        let month = reading.quarter.day().month().month;
        let flows = reading.flows;
        let sums = self.months.entry((region.name(), month)).or_default();
        for (sum, wh) in sums.iter_mut().zip([flows.pv, flows.load, flows.import, flows.export]) {
            *sum += u64::from(wh);
        }
    }
}

/// Day as a fraction since Monday.
fn row(reading: &Reading) -> String {
    let flows = reading.flows;
    let since_monday = |quarter: Quarter| {
        let day = quarter.day();
        f64::from(day.weekday()) + quarter.since(day.start()) as f64 / 96.0
    };
    let battery = (i64::from(flows.charge) - i64::from(flows.discharge)) * 4;
    let charge = f64::from(reading.charge_permille) / 10.0;
    let [pv, load, import, export] = [flows.pv, flows.load, flows.import, flows.export].map(|wh| wh * 4);
    format!("{:.5},{pv},{load},{import},{export},{battery},{charge}\n", since_monday(reading.quarter))
}

fn day(text: &str) -> Day {
    text.parse().expect("a day")
}

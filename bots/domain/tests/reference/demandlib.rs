//! The expected load against demandlib, for every quarter-hour of two years, by naive local time and with holidays.

use crate::python;

use cortexiq_domain::standard::LoadProfile;
use cortexiq_domain::time::days_of_year;

#[test]
fn profiles_are_those_of_demandlib() {
    let holidays = concat!(env!("CARGO_MANIFEST_DIR"), "/data/holidays.csv");
    for year in [2024, 2025] {
        let told = python::json("load.py", &[&year.to_string(), holidays]);
        assert_eq!(told["holidays"], 10, "{year}");
        for profile in LoadProfile::ALL {
            let theirs: Vec<f64> = told[profile.name()]
                .as_array()
                .expect("values")
                .iter()
                .map(|value| value.as_f64().expect("a number"))
                .collect();
            // Naive time: every day has 96 quarter-hours, whatever the clocks do.
            let ours: Vec<f64> = days_of_year(year)
                .flat_map(|day| (0..96).map(move |wall_quarter| profile.expected(day, wall_quarter)))
                .collect();
            assert_eq!(ours.len(), theirs.len(), "{year}");
            let (our_year, their_year): (f64, f64) = (ours.iter().sum(), theirs.iter().sum());
            let mut farthest = 0.0_f64;
            for (index, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
                let off = (ours / our_year) / (theirs / their_year) - 1.0;
                assert!(
                    off.abs() < 0.001,
                    "{profile} {year}, quarter-hour {index}: off by {:.4} %",
                    off * 100.0
                );
                farthest = farthest.max(off.abs());
            }
            println!("{profile} {year}: off by at most {:.6} %", farthest * 100.0);
        }
    }
}

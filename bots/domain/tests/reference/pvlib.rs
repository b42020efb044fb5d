//! The sun and the clear sky against pvlib, over a year, at three places.

use crate::python;

use cortexiq_domain::pv::Plane;
use cortexiq_domain::sun::{Sun, clear_sky, extraterrestrial};
use serde_json::Value;

const QUARTERS: usize = 365 * 96;

#[test]
fn sun_and_clear_sky_are_those_of_pvlib() {
    let told = python::json("sun.py", &[]);
    let start = told["start"].as_i64().expect("a time");
    assert_eq!(start, 1_735_689_600, "2025-01-01 00:00 UTC");
    let suns: Vec<_> = (0..QUARTERS as i64).map(|quarter| Sun::at(start + quarter * 900 + 450)).collect();
    let places = told["places"].as_array().expect("places");
    assert_eq!(places.len(), 3);
    let mut widest = 0.0_f64;
    let mut farthest = 0.0_f64;
    for place in places {
        let (latitude, longitude) = (number(&place["latitude"]), number(&place["longitude"]));
        let directions: Vec<_> = suns.iter().map(|sun| sun.direction(latitude, longitude)).collect();
        let (elevations, azimuths) = (numbers(&place["elevation"]), numbers(&place["azimuth"]));
        assert_eq!((elevations.len(), azimuths.len()), (QUARTERS, QUARTERS));
        for ((ours, elevation), azimuth) in directions.iter().zip(elevations).zip(azimuths) {
            // Below the horizon nobody sees the sun, and refraction is extrapolated differently.
            if elevation > 0.0 {
                widest = widest.max(angle(*ours, elevation, azimuth));
            }
        }
        for plane in place["planes"].as_array().expect("planes") {
            let ours = Plane::new(number(&plane["tilt"]), number(&plane["azimuth"]));
            let theirs = numbers(&plane["wh_per_day"]);
            assert_eq!(theirs.len(), 365);
            for (day, theirs) in theirs.into_iter().enumerate() {
                let quarters = directions[day * 96..(day + 1) * 96].iter();
                let wh: f64 = quarters
                    .map(|sun| ours.irradiance(*sun, clear_sky(*sun, extraterrestrial(day as u16 + 1))) / 4.0)
                    .sum();
                let off = (wh / theirs - 1.0).abs();
                assert!(off < 0.02, "day {day} on {plane}: {wh} Wh/m² where pvlib has {theirs}");
                farthest = farthest.max(off);
            }
        }
    }
    println!("farthest position {widest:.5}°, farthest day {:.5} %", farthest * 100.0);
    assert!(widest < 0.1, "{widest}°");
}

/// Between our direction and pvlib's, degrees.
fn angle(ours: [f64; 3], elevation: f64, azimuth: f64) -> f64 {
    let (elevation, azimuth) = (elevation.to_radians(), azimuth.to_radians());
    let theirs = [elevation.cos() * azimuth.sin(), elevation.cos() * azimuth.cos(), elevation.sin()];
    let apart = (0..3).map(|axis| (ours[axis] - theirs[axis]).powi(2)).sum::<f64>().sqrt();
    (2.0 * (apart / 2.0).asin()).to_degrees()
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("an array").iter().map(number).collect()
}

//! Populations of any size, grown from a file by a seed.

use std::collections::HashSet;

use crate::ean::Ean;
use crate::home::{Address, Battery, Home, Solar};
use crate::random::{Random, of_name, unit};

/// The first `count` homes, and as many more as are missing: each like one of the file's in the same municipality, with
/// its own size, roof, number and consumption. The same seed grows the same homes.
///
/// # Panics
/// When `homes` is empty.
pub fn population(homes: &[Home], count: usize, seed: u64) -> Vec<Home> {
    grow(homes, count, seed).collect()
}

/// As [`population`], one after the other: whoever keeps file and seed need not keep names and addresses of all.
///
/// # Panics
/// When it comes to the first home that `homes` is too short for and `homes` is empty.
pub fn grow(homes: &[Home], count: usize, seed: u64) -> impl Iterator<Item = Home> {
    let random = Random::new(seed, of_name("population"));
    let taken: HashSet<&str> = homes.iter().map(|home| home.id.as_str()).collect();
    (0..count).map(move |index| match homes.get(index) {
        Some(home) => home.clone(),
        None => grown(homes, index, random, &taken),
    })
}

fn grown(homes: &[Home], index: usize, random: Random, taken: &HashSet<&str>) -> Home {
    let model = &homes[index % homes.len()];
    let region = model.address.region;
    let who = of_name(region.name());
    let mut draw = 0;
    let mut number = || {
        draw += 1;
        unit(random.at(who ^ draw, index as i64))
    };
    let scaled = |value: u32, factor: f64, least: f64, most: f64| {
        libm::round((f64::from(value) * factor).clamp(least, most)) as u32
    };
    let around = |number: f64| 0.75 + 0.5 * number;
    let ean = |kind: u64| {
        let lead = 54_144_886_u64 + region as u64;
        // Files use numbers below a million.
        Ean::with_check_digit(lead * 1_000_000_000 + 1_000_000 + (index as u64) * 2 + kind)
            .expect("17 digits from 54")
    };
    let mut id = format!("{}_{:03}", region.prefix(), index + 1);
    // A file may number its homes as it likes.
    while taken.contains(id.as_str()) {
        id.push('x');
    }
    Home {
        id,
        name: format!("{} {}", model.name, index / homes.len() + 1),
        iot_provider: model.iot_provider.clone(),
        meter_ean: ean(0),
        injection_ean: model.solar.map(|_| ean(1)),
        address: Address {
            street: format!("{} bis {}", model.address.street, index / homes.len()),
            latitude: model.address.latitude + (number() - 0.5) * 0.02,
            longitude: model.address.longitude + (number() - 0.5) * 0.02,
            ..model.address.clone()
        },
        solar: model.solar.map(|solar| Solar {
            peak_w: scaled(solar.peak_w, around(number()), 2500.0, 10_000.0),
            tilt_deg: 20 + (number() * 26.0) as u32,
            azimuth_deg: 110 + (number() * 141.0) as u32,
        }),
        battery: model.battery.map(|battery| Battery {
            capacity_wh: scaled(battery.capacity_wh, around(number()), 4000.0, 15_000.0),
            ..battery
        }),
        annual_consumption_kwh: scaled(model.annual_consumption_kwh, around(number()), 2000.0, 6000.0),
        load_profile: model.load_profile,
        heat_pump_kwh: model.heat_pump_kwh,
        electric_vehicle_kwh: model.electric_vehicle_kwh,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::population;
    use crate::home_file::{builtin, parse};
    use crate::region::Region;

    #[test]
    fn a_population_keeps_the_file_and_repeats_nobody() {
        let homes = parse("brabant", builtin(Region::Brabant)).expect("a right file");
        let grown = population(&homes, 500, 7);
        assert_eq!(grown[..50], homes[..]);
        assert_eq!(grown, population(&homes, 500, 7));
        assert_ne!(grown, population(&homes, 500, 8));
        let ids: HashSet<_> = grown.iter().map(|home| &home.id).collect();
        let eans: HashSet<_> =
            grown.iter().flat_map(|home| [Some(home.meter_ean), home.injection_ean]).flatten().collect();
        assert_eq!(ids.len(), 500);
        assert_eq!(eans.len(), grown.iter().map(|home| 1 + usize::from(home.solar.is_some())).sum::<usize>());
        assert_eq!(population(&homes, 10, 7).len(), 10);
        // Also where the file's own numbers begin elsewhere.
        let late = population(&homes[40..], 60, 7);
        assert_eq!(late.iter().map(|home| &home.id).collect::<HashSet<_>>().len(), 60);
    }
}

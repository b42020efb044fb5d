//! Writes the three region files of 50 homes: `cargo run -p cortexiq-domain --example make_homes`.
//!
//! Municipalities with postal codes and centres are the largest of `data/municipalities.csv`; families, streets and
//! equipment are invented from a fixed seed within the ranges of the domain: PV 3 to 8 kWp on four of five roofs,
//! batteries of 5 to 13 kWh in three of five homes, 2,000 to 6,000 kWh a year with a median near 3,500.

use std::path::Path;

use cortexiq_domain::ean::Ean;
use cortexiq_domain::random::{Random, of_name, unit};
use cortexiq_domain::region::Region;
use serde_json::{Map, Value, json};

fn main() -> std::io::Result<()> {
    for region in Region::ALL {
        let homes: Vec<Value> = (0..HOMES).map(|index| home(region, index)).collect();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("data/homes/{region}.json"));
        std::fs::create_dir_all(path.parent().expect("the path has a folder"))?;
        std::fs::write(&path, format!("{:#}\n", Value::Array(homes)))?;
        println!("{}", path.display());
    }
    Ok(())
}

fn home(region: Region, index: usize) -> Value {
    let random = Random::new(2025, of_name(region.name()));
    let mut draws = 0;
    let mut number = || {
        draws += 1;
        unit(random.at(draws, index as i64))
    };
    let mut pick = |list: &[&'static str]| list[(number() * list.len() as f64) as usize];
    let towns = towns(region);
    let Town { city, postal_code, latitude, longitude } = towns[index % towns.len()];
    let walloon = WALLOON_BRABANT.contains(&postal_code);
    let street = if walloon { pick(&RUES) } else { pick(&STREETS) };
    let family = if walloon { pick(&FAMILLES) } else { pick(&FAMILIES) };
    let iot_provider = pick(&GATEWAYS);
    let place = |degrees: f64, number: f64| ((degrees + (number - 0.5) * 0.02) * 1e4).round() / 1e4;
    let tenth = |value: f64| (value * 10.0).round() / 10.0;

    let mut home = Map::new();
    home.insert("id".into(), format!("{}_{:03}", region.prefix(), index + 1).into());
    home.insert("name".into(), format!("{} {family}", if walloon { "Famille" } else { "Familie" }).into());
    home.insert("iot_provider".into(), iot_provider.into());
    home.insert("meter_ean".into(), ean(region, index, 0).into());
    let solar = index % 5 != 3;
    if solar {
        home.insert("injection_ean".into(), ean(region, index, 1).into());
    }
    home.insert(
        "address".into(),
        json!({
            "street": format!("{street} {}", 1 + (number() * 180.0) as u32),
            "city": city,
            "postal_code": postal_code.to_string(),
            "region": region.name(),
            "latitude": place(latitude, number()),
            "longitude": place(longitude, number()),
        }),
    );
    if solar {
        home.insert("solar_capacity_kw".into(), tenth(3.0 + 5.0 * number()).into());
        home.insert("solar_tilt_deg".into(), (25 + (number() * 21.0) as u32).into());
        home.insert("solar_azimuth_deg".into(), (120 + 5 * (number() * 25.0) as u32).into());
    } else {
        home.insert("solar_capacity_kw".into(), 0.into());
    }
    if index % 5 < 3 {
        let capacity = tenth(5.0 + 8.0 * number());
        home.insert("battery_capacity_kwh".into(), capacity.into());
        home.insert("battery_power_kw".into(), tenth(capacity / 2.0).into());
    } else {
        home.insert("battery_capacity_kwh".into(), 0.into());
    }
    let skewed = number();
    home.insert("annual_consumption_kwh".into(), (2000 + 10 * (400.0 * skewed.powf(1.4)) as u32).into());
    if number() < 0.2 {
        home.insert("heat_pump_kwh".into(), (2200 + 100 * (number() * 20.0) as u32).into());
    }
    if number() < 0.22 {
        home.insert("electric_vehicle_kwh".into(), (1500 + 100 * (number() * 15.0) as u32).into());
    }
    Value::Object(home)
}

fn ean(region: Region, index: usize, kind: u64) -> String {
    let lead = 54_144_886_u64 + region as u64;
    let number = lead * 1_000_000_000 + (index as u64 + 1) * 2 + kind;
    Ean::with_check_digit(number).expect("17 digits from 54").to_string()
}

#[derive(Debug, Clone, Copy)]
struct Town {
    city: &'static str,
    postal_code: u32,
    latitude: f64,
    longitude: f64,
}

/// The municipalities with most inhabitants; in Brabant some on either side of the language border.
fn towns(region: Region) -> Vec<Town> {
    let of_region = || {
        MUNICIPALITIES.lines().skip(1).filter_map(move |line| {
            let fields: Vec<_> = line.split(',').collect();
            let number = |index: usize| fields[index].parse::<f64>().expect("the data file holds numbers");
            (fields[0] == region.name()).then(|| Town {
                city: fields[1],
                postal_code: number(2) as u32,
                latitude: number(3),
                longitude: number(4),
            })
        })
    };
    let walloon = |town: &Town| WALLOON_BRABANT.contains(&town.postal_code);
    match region {
        Region::Brabant => of_region()
            .filter(|town| !walloon(town))
            .take(TOWNS - 6)
            .chain(of_region().filter(walloon).take(6))
            .collect(),
        _ => of_region().take(TOWNS).collect(),
    }
}

const MUNICIPALITIES: &str = include_str!("../data/municipalities.csv");
const WALLOON_BRABANT: std::ops::Range<u32> = 1300..1500;
/// Municipalities of a region that have homes.
const TOWNS: usize = 16;
const HOMES: usize = 50;

const STREETS: [&str; 12] = [
    "Kerkstraat",
    "Stationsstraat",
    "Molenstraat",
    "Nieuwstraat",
    "Schoolstraat",
    "Kapelstraat",
    "Dorpsstraat",
    "Veldstraat",
    "Beekstraat",
    "Lindelaan",
    "Eikenlaan",
    "Bergstraat",
];
const RUES: [&str; 5] =
    ["Rue de la Gare", "Rue de l'Église", "Avenue des Tilleuls", "Rue du Moulin", "Chemin du Bois"];
const FAMILIES: [&str; 20] = [
    "Peeters",
    "Janssens",
    "Maes",
    "Jacobs",
    "Mertens",
    "Willems",
    "Claes",
    "Goossens",
    "Wouters",
    "De Smet",
    "Vermeulen",
    "Pauwels",
    "Hermans",
    "Aerts",
    "Michiels",
    "Lambrecht",
    "De Clercq",
    "Van Damme",
    "Desmet",
    "Verstraete",
];
const FAMILLES: [&str; 6] = ["Dubois", "Lambert", "Dupont", "Martin", "Simon", "Laurent"];
const GATEWAYS: [&str; 7] =
    ["HomeWizard", "Homey", "Smappee", "SolarEdge", "SMA_Sunny_Portal", "Enphase", "Huawei_FusionSolar"];

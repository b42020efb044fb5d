//! Writes the three region files of 50 homes: `cargo run -p cortexiq-domain --example make_homes`.
//!
//! Municipalities with postal codes and centres are real (public geographical facts, entered by hand); families, streets and
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
    let (city, postal_code, latitude, longitude) = towns[index % towns.len()];
    let walloon = (1300..1500).contains(&postal_code);
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

type Town = (&'static str, u32, f64, f64);

fn towns(region: Region) -> &'static [Town] {
    match region {
        Region::Antwerp => &ANTWERP,
        Region::Brabant => &BRABANT,
        Region::EastFlanders => &EAST_FLANDERS,
    }
}

const HOMES: usize = 50;

const ANTWERP: [Town; 16] = [
    ("Antwerpen", 2000, 51.2194, 4.4025),
    ("Mechelen", 2800, 51.0259, 4.4776),
    ("Turnhout", 2300, 51.3225, 4.9447),
    ("Lier", 2500, 51.1313, 4.5704),
    ("Geel", 2440, 51.1620, 4.9900),
    ("Mol", 2400, 51.1919, 5.1166),
    ("Herentals", 2200, 51.1766, 4.8325),
    ("Hoogstraten", 2320, 51.4003, 4.7610),
    ("Brasschaat", 2930, 51.2912, 4.4918),
    ("Schoten", 2900, 51.2525, 4.5027),
    ("Boom", 2850, 51.0874, 4.3667),
    ("Heist-op-den-Berg", 2220, 51.0752, 4.7270),
    ("Kapellen", 2950, 51.3137, 4.4353),
    ("Mortsel", 2640, 51.1703, 4.4574),
    ("Westerlo", 2260, 51.0878, 4.9148),
    ("Kalmthout", 2920, 51.3842, 4.4756),
];

const BRABANT: [Town; 16] = [
    ("Leuven", 3000, 50.8798, 4.7005),
    ("Wavre", 1300, 50.7172, 4.6014),
    ("Vilvoorde", 1800, 50.9281, 4.4294),
    ("Nivelles", 1400, 50.5974, 4.3273),
    ("Halle", 1500, 50.7339, 4.2345),
    ("Tienen", 3300, 50.8074, 4.9378),
    ("Aarschot", 3200, 50.9841, 4.8365),
    ("Waterloo", 1410, 50.7147, 4.3991),
    ("Diest", 3290, 50.9892, 5.0506),
    ("Ottignies-Louvain-la-Neuve", 1340, 50.6653, 4.5670),
    ("Asse", 1730, 50.9101, 4.1984),
    ("Braine-l'Alleud", 1420, 50.6837, 4.3678),
    ("Tervuren", 3080, 50.8235, 4.5140),
    ("Jodoigne", 1370, 50.7236, 4.8693),
    ("Haacht", 3150, 50.9772, 4.6374),
    ("Overijse", 3090, 50.7744, 4.5346),
];

const EAST_FLANDERS: [Town; 16] = [
    ("Gent", 9000, 51.0543, 3.7174),
    ("Aalst", 9300, 50.9378, 4.0410),
    ("Sint-Niklaas", 9100, 51.1651, 4.1437),
    ("Dendermonde", 9200, 51.0286, 4.1011),
    ("Oudenaarde", 9700, 50.8431, 3.6048),
    ("Eeklo", 9900, 51.1872, 3.5567),
    ("Lokeren", 9160, 51.1036, 3.9930),
    ("Ninove", 9400, 50.8280, 4.0260),
    ("Geraardsbergen", 9500, 50.7736, 3.8822),
    ("Ronse", 9600, 50.7453, 3.6005),
    ("Deinze", 9800, 50.9821, 3.5306),
    ("Zottegem", 9620, 50.8696, 3.8105),
    ("Wetteren", 9230, 51.0053, 3.8834),
    ("Beveren", 9120, 51.2117, 4.2563),
    ("Temse", 9140, 51.1272, 4.2134),
    ("Maldegem", 9990, 51.2081, 3.4453),
];

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

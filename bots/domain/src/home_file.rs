//! Files of homes: JSON arrays, and every mistake in them at once.
//!
//! ```json
//! [{ "id": "ant_001", "name": "Familie Janssens", "iot_provider": "HomeWizard",
//!    "meter_ean": "541448860000000028", "injection_ean": "541448860000000035",
//!    "address": { "street": "Meir 1", "city": "Antwerpen", "postal_code": "2000", "region": "antwerp",
//!                 "latitude": 51.2194, "longitude": 4.4025 },
//!    "solar_capacity_kw": 4.2, "solar_tilt_deg": 35, "solar_azimuth_deg": 180,
//!    "battery_capacity_kwh": 10.5, "battery_power_kw": 5.0,
//!    "annual_consumption_kwh": 3500, "load_profile": "H25", "heat_pump_kwh": 0, "electric_vehicle_kwh": 0 }]
//! ```
//!
//! `id` may be left out: homes of a region are then numbered as they come. Tilt, azimuth, battery power, heat pump and car
//! have defaults; `meters`, which other files of this shape carry, is not used. The same as a JSON Schema: [`SCHEMA`].

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::ean::Ean;
pub use crate::fields::Mistake;
use crate::fields::{Fields, entries, read_all};
use crate::home::{Address, Battery, Home, Solar};
use crate::region::Region;
use crate::standard::LoadProfile;

/// The JSON Schema of these files, for editors and other programs.
pub const SCHEMA: &str = include_str!("../data/homes.schema.json");

/// The file of a region that the program carries, of 50 homes.
pub const fn builtin(region: Region) -> &'static str {
    match region {
        Region::Antwerp => include_str!("../data/homes/antwerp.json"),
        Region::Brabant => include_str!("../data/homes/brabant.json"),
        Region::EastFlanders => include_str!("../data/homes/east-flanders.json"),
    }
}

/// The file that a name stands for: `antwerp`, `ant` or `antwerp.json`. Anything else is a path.
pub fn builtin_named(name: &str) -> Option<&'static str> {
    name.strip_suffix(".json").unwrap_or(name).parse().ok().map(builtin)
}

/// Reads what `HOMES_SOURCES` lists, separated by commas: names of the program's own files, or paths for `read`. A file
/// that cannot be read is a mistake like any other, told with all the rest.
pub fn load(
    sources: &str,
    read: impl Fn(&str) -> std::io::Result<String>,
) -> Result<Vec<Home>, Vec<Mistake>> {
    let files = read_all("HOMES_SOURCES", sources, |source| match builtin_named(source) {
        Some(text) => Ok(text.to_owned()),
        None => read(source),
    });
    let (files, mut mistakes) = files;
    match parse_all(files.iter().map(|(file, text)| (file.as_str(), text.as_str()))) {
        Ok(homes) if mistakes.is_empty() => Ok(homes),
        Ok(_) => Err(mistakes),
        Err(more) => {
            mistakes.extend(more);
            Err(mistakes)
        }
    }
}

/// Reads a file of homes. On failure every mistake is told, not only the first.
pub fn parse(file: &str, text: &str) -> Result<Vec<Home>, Vec<Mistake>> {
    parse_all([(file, text)])
}

/// Reads several files as one population: ids and EANs must not repeat across them.
pub fn parse_all<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Vec<Home>, Vec<Mistake>> {
    let (mut homes, mut mistakes) = (Vec::new(), Vec::new());
    let (mut ids, mut eans, mut numbers) = (HashSet::new(), HashSet::new(), [0_usize; 3]);
    for (file, text) in files {
        let Some(entries) = entries(file, text, "homes", &mut mistakes) else { continue };
        for (index, entry) in entries.iter().enumerate() {
            let Some(mut fields) = Fields::of(file, index, entry, &mut mistakes) else { continue };
            let before = fields.mistakes.len();
            let home = fields.home(&mut numbers);
            if !home.id.is_empty() && !ids.insert(home.id.clone()) {
                fields.mistake("id", &format!("{:?} stands twice", home.id));
            }
            for (field, ean) in [("meter_ean", Some(home.meter_ean)), ("injection_ean", home.injection_ean)] {
                if !fields.is_wrong(field) && ean.is_some_and(|ean| !eans.insert(ean)) {
                    fields.mistake(field, "this EAN stands twice");
                }
            }
            if fields.mistakes.len() == before {
                homes.push(home);
            }
        }
    }
    if mistakes.is_empty() { Ok(homes) } else { Err(mistakes) }
}

impl Fields<'_> {
    fn home(&mut self, numbers: &mut [usize; 3]) -> Home {
        self.known(&[
            "id",
            "name",
            "iot_provider",
            "meter_ean",
            "injection_ean",
            "meters",
            "address",
            "solar_capacity_kw",
            "solar_tilt_deg",
            "solar_azimuth_deg",
            "battery_capacity_kwh",
            "battery_power_kw",
            "battery_efficiency_pct",
            "annual_consumption_kwh",
            "load_profile",
            "heat_pump_kwh",
            "electric_vehicle_kwh",
        ]);
        let address = self.address();
        let place =
            Region::ALL.iter().position(|region| *region == address.region).expect("ALL has every region");
        numbers[place] += 1;
        let id = match self.object.get("id") {
            Some(_) => self.id(),
            None => format!("{}_{:03}", address.region.prefix(), numbers[place]),
        };
        let peak_w = self.kilo("solar_capacity_kw", Some(0.0), 0.0, 100.0);
        let solar = Solar {
            peak_w,
            tilt_deg: self.number("solar_tilt_deg", Some(35.0), 0.0, 90.0) as u32,
            azimuth_deg: self.number("solar_azimuth_deg", Some(180.0), 0.0, 360.0) as u32,
        };
        let capacity_wh = self.kilo("battery_capacity_kwh", Some(0.0), 0.0, 200.0);
        let battery = Battery {
            capacity_wh,
            power_w: self.kilo("battery_power_kw", Some(f64::from(capacity_wh) / 2000.0), 0.0, 50.0),
            efficiency_pct: self.number("battery_efficiency_pct", Some(95.0), 50.0, 100.0) as u32,
        };
        let injection_ean = self.object.contains_key("injection_ean").then(|| self.ean("injection_ean"));
        if peak_w > 0 && injection_ean.is_none() {
            self.mistake("injection_ean", "a home with PV needs one");
        }
        Home {
            id,
            name: self.text("name"),
            iot_provider: self.text("iot_provider"),
            meter_ean: self.ean("meter_ean"),
            injection_ean,
            address,
            solar: (peak_w > 0).then_some(solar),
            battery: (capacity_wh > 0).then_some(battery),
            annual_consumption_kwh: self.number("annual_consumption_kwh", None, 1.0, 100_000.0) as u32,
            load_profile: self.load_profile(),
            heat_pump_kwh: self.number("heat_pump_kwh", Some(0.0), 0.0, 50_000.0) as u32,
            electric_vehicle_kwh: self.number("electric_vehicle_kwh", Some(0.0), 0.0, 20_000.0) as u32,
        }
    }

    fn load_profile(&mut self) -> LoadProfile {
        if !self.object.contains_key("load_profile") {
            return LoadProfile::default();
        }
        let text = self.text("load_profile");
        text.parse().unwrap_or_else(|error: crate::standard::NoProfile| {
            if !text.is_empty() {
                self.mistake("load_profile", &error.to_string());
            }
            LoadProfile::default()
        })
    }

    fn address(&mut self) -> Address {
        let empty = Map::new();
        let object = match self.object.get("address") {
            Some(Value::Object(object)) => object,
            Some(_) => {
                self.mistake("address", "an object is needed");
                &empty
            }
            None => {
                self.mistake("address", "is missing");
                &empty
            }
        };
        if object.is_empty() {
            let none = String::new;
            let region = Region::Antwerp;
            return Address {
                street: none(),
                city: none(),
                postal_code: none(),
                region,
                latitude: 0.0,
                longitude: 0.0,
            };
        }
        let mistakes = &mut *self.mistakes;
        let mut fields = Fields { file: self.file, index: self.index, path: "address.", object, mistakes };
        fields.known(&["street", "city", "postal_code", "region", "latitude", "longitude"]);
        let region = fields.region();
        let postal_code = fields.text("postal_code");
        let digits = postal_code.len() == 4 && postal_code.bytes().all(|digit| digit.is_ascii_digit());
        if !postal_code.is_empty() && (!digits || postal_code.starts_with('0')) {
            fields.mistake("postal_code", "four digits are needed");
        }
        Address {
            street: fields.text("street"),
            city: fields.text("city"),
            postal_code,
            region,
            latitude: fields.number("latitude", None, 49.4, 51.6),
            longitude: fields.number("longitude", None, 2.5, 6.5),
        }
    }

    /// A number in thousands as whole units.
    fn kilo(&mut self, name: &str, default: Option<f64>, least: f64, most: f64) -> u32 {
        libm::round(self.number(name, default, least, most) * 1000.0) as u32
    }

    fn ean(&mut self, name: &str) -> Ean {
        let text = self.text(name);
        text.parse().unwrap_or_else(|error: crate::ean::BadEan| {
            if !text.is_empty() {
                self.mistake(name, &error.to_string());
            }
            Ean::with_check_digit(54_000_000_000_000_000).expect("17 digits from 54")
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{builtin, load, parse};
    use crate::region::Region;

    #[test]
    fn the_files_of_the_regions_are_right() {
        for region in Region::ALL {
            let homes =
                parse(region.name(), builtin(region)).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
            assert_eq!(homes.len(), 50);
            assert!(homes.iter().all(|home| home.address.region == region));
            assert!((25..=35).contains(&homes.iter().filter(|home| home.battery.is_some()).count()));
            assert!((35..50).contains(&homes.iter().filter(|home| home.solar.is_some()).count()));
            assert!(homes.iter().all(|home| (2000..=6000).contains(&home.annual_consumption_kwh)));
        }
    }

    #[test]
    fn sources_are_names_or_paths_and_a_missing_file_is_told_with_the_rest() {
        let read = |path: &str| match path {
            "mine.json" => Ok("[3]".to_owned()),
            _ => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
        };
        assert_eq!(load("antwerp, brabant.json,", read).expect("our own files").len(), 100);
        let told: Vec<_> = load("efl,absent.json,mine.json", read)
            .expect_err("two are wrong")
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(told, ["absent.json: entity not found", "mine.json[0]: an object is needed"]);
        assert!(load(" ", read).is_err());
    }

    #[test]
    fn every_mistake_is_told_with_file_index_and_field() {
        let text = r#"[
            { "name": "A", "iot_provider": "Homey", "meter_ean": "541448860000000000", "annual_consumption_kwh": 3500,
              "address": { "street": "Meir 1", "city": "Antwerpen", "postal_code": "2000", "region": "namur",
                           "latitude": 51.2, "longitude": 44.0 } },
            { "name": "B", "solar": 3 }
        ]"#;
        let mistakes = parse("homes.json", text).expect_err("full of mistakes");
        let told: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
        for beginning in [
            "homes.json[0].address.region: \"namur\" is no region; the regions are",
            "homes.json[0].address.longitude: 44 is not between",
            "homes.json[0].meter_ean: \"541448860000000000\" ends with the wrong check digit",
            "homes.json[1].solar: no such field",
            "homes.json[1].address: is missing",
            "homes.json[1].meter_ean: is missing",
        ] {
            assert!(told.iter().any(|mistake| mistake.starts_with(beginning)), "{beginning} in {told:#?}");
        }
        assert_eq!(parse("x", "{}").expect_err("no array")[0].to_string(), "x: an array of homes is needed");
        assert_eq!(parse("x", "[]").expect_err("no homes")[0].to_string(), "x: there are no homes in it");
    }

    #[test]
    fn a_number_that_stands_twice_is_told_beside_other_mistakes() {
        let mut homes: Vec<Value> = serde_json::from_str(builtin(Region::Antwerp)).expect("JSON");
        homes.truncate(2);
        homes[1]["meter_ean"] = homes[0]["meter_ean"].clone();
        homes[1]["annual_consumption_kwh"] = (-5).into();
        homes[1]["address"]["postal_code"] = 2000.into();
        // As some editors write it.
        let text = format!("\u{feff}{}", Value::from(homes));
        let told: Vec<_> =
            parse("x", &text).expect_err("three mistakes").iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "x[1].address.postal_code: a text is needed",
                "x[1].annual_consumption_kwh: -5 is not between 1 and 100000",
                "x[1].meter_ean: this EAN stands twice",
            ]
        );
    }
}

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
use std::fmt;

use serde_json::{Map, Value};

use crate::ean::Ean;
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
    let (mut files, mut mistakes) = (Vec::new(), Vec::new());
    let whole = |file: &str, problem: String| Mistake {
        file: file.to_owned(),
        index: None,
        field: String::new(),
        problem,
    };
    for source in sources.split(',').map(str::trim).filter(|source| !source.is_empty()) {
        match builtin_named(source) {
            Some(text) => files.push((source, text.to_owned())),
            None => match read(source) {
                Ok(text) => files.push((source, text)),
                Err(error) => mistakes.push(whole(source, error.to_string())),
            },
        }
    }
    if files.is_empty() && mistakes.is_empty() {
        mistakes.push(whole("HOMES_SOURCES", "names no file".into()));
    }
    match parse_all(files.iter().map(|(file, text)| (*file, text.as_str()))) {
        Ok(homes) if mistakes.is_empty() => Ok(homes),
        Ok(_) => Err(mistakes),
        Err(more) => {
            mistakes.extend(more);
            Err(mistakes)
        }
    }
}

/// One mistake in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file.
    pub file: String,
    /// Which home of the array, from 0; none when the file as a whole is wrong.
    pub index: Option<usize>,
    /// Which field, such as `address.latitude`.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) if self.field.is_empty() => write!(f, "{}[{index}]: {}", self.file, self.problem),
            Some(index) => write!(f, "{}[{index}].{}: {}", self.file, self.field, self.problem),
            None => write!(f, "{}: {}", self.file, self.problem),
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
        let whole =
            |problem: String| Mistake { file: file.into(), index: None, field: String::new(), problem };
        let entries = match serde_json::from_str::<Value>(text) {
            Ok(Value::Array(entries)) => entries,
            Ok(_) => {
                mistakes.push(whole("an array of homes is needed".into()));
                continue;
            }
            Err(error) => {
                mistakes.push(whole(format!("no JSON: {error}")));
                continue;
            }
        };
        for (index, entry) in entries.iter().enumerate() {
            let empty = Map::new();
            let object = entry.as_object().unwrap_or(&empty);
            let mut fields = Fields { file, index, path: "", object, mistakes: &mut mistakes };
            if !entry.is_object() {
                fields.mistake("", "an object is needed");
                continue;
            }
            let before = fields.mistakes.len();
            let home = fields.home(&mut numbers);
            if !home.id.is_empty() && !ids.insert(home.id.clone()) {
                fields.mistake("id", &format!("{:?} stands twice", home.id));
            }
            for (field, ean) in [("meter_ean", Some(home.meter_ean)), ("injection_ean", home.injection_ean)] {
                if fields.mistakes.len() == before && ean.is_some_and(|ean| !eans.insert(ean)) {
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

/// The fields of one object, noting what is wrong with them; a wrong field gets a value that is thrown away later.
struct Fields<'a> {
    file: &'a str,
    index: usize,
    path: &'static str,
    object: &'a Map<String, Value>,
    mistakes: &'a mut Vec<Mistake>,
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
            Some(_) => self.text("id"),
            None => format!("{}_{:03}", address.region.prefix(), numbers[place]),
        };
        if !id.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"_-".contains(&letter)) {
            self.mistake("id", "only letters, digits, _ and - may be in an id");
        }
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
        let region = fields.text("region");
        let region = region.parse().unwrap_or_else(|error: crate::region::NoRegion| {
            if fields.object.get("region").is_some_and(Value::is_string) {
                fields.mistake("region", &error.to_string());
            }
            Region::Antwerp
        });
        let postal_code = fields.text("postal_code");
        let digits = postal_code.len() == 4 && postal_code.bytes().all(|digit| digit.is_ascii_digit());
        if !digits || postal_code.starts_with('0') {
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

    fn known(&mut self, names: &[&str]) {
        for name in self.object.keys().filter(|name| !names.contains(&name.as_str())) {
            self.mistake(name, "no such field");
        }
    }

    fn text(&mut self, name: &str) -> String {
        match self.object.get(name) {
            Some(Value::String(text)) if !text.trim().is_empty() => return text.clone(),
            Some(_) => self.mistake(name, "a text is needed"),
            None => self.mistake(name, "is missing"),
        }
        String::new()
    }

    fn number(&mut self, name: &str, default: Option<f64>, least: f64, most: f64) -> f64 {
        let found = self.object.get(name);
        match (found, default) {
            (None, Some(default)) => return default,
            (None, None) => self.mistake(name, "is missing"),
            (Some(value), _) => match value.as_f64() {
                Some(number) if (least..=most).contains(&number) => return number,
                Some(number) => self.mistake(name, &format!("{number} is not between {least} and {most}")),
                None => self.mistake(name, "a number is needed"),
            },
        }
        least
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

    fn mistake(&mut self, field: &str, problem: &str) {
        self.mistakes.push(Mistake {
            file: self.file.to_owned(),
            index: Some(self.index),
            field: format!("{}{field}", self.path),
            problem: problem.to_owned(),
        });
    }
}

#[cfg(test)]
mod tests {
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
    }
}

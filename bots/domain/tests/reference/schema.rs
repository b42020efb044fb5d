//! The JSON Schema of home files against an independent validator, and against our own reading of the same files.

use std::path::Path;

use cortexiq_domain::home_file::{SCHEMA, builtin, parse};
use cortexiq_domain::region::Region;
use serde_json::{Value, json};

use crate::python;

#[test]
fn the_schema_and_the_reader_agree() {
    let mut good = vec![json!([home()])];
    good.extend(Region::ALL.map(|region| serde_json::from_str(builtin(region)).expect("JSON")));
    good.push(changed("load_profile", json!("H0")));
    good.push(changed("solar_capacity_kw", json!(0)));
    let bad = [
        json!({}),
        json!([]),
        json!([3]),
        without("name"),
        without("meter_ean"),
        without("injection_ean"),
        without("address"),
        without("annual_consumption_kwh"),
        changed("id", json!("ant.001")),
        changed("name", json!(" ")),
        changed("iot_provider", json!(7)),
        changed("meter_ean", json!("12")),
        changed("solar_capacity_kw", json!(-1)),
        changed("solar_tilt_deg", json!(91)),
        changed("solar_azimuth_deg", json!("south")),
        changed("battery_capacity_kwh", json!(201)),
        changed("battery_power_kw", json!(51)),
        changed("battery_efficiency_pct", json!(49)),
        changed("annual_consumption_kwh", json!(0)),
        changed("load_profile", json!("H1")),
        changed("heat_pump_kwh", json!(null)),
        changed("electric_vehicle_kwh", json!(20_001)),
        changed("solar", json!(3)),
        changed("address", json!("Meir 1")),
        changed("address/street", json!("")),
        changed("address/postal_code", json!("200")),
        changed("address/postal_code", json!(2000)),
        changed("address/region", json!("namur")),
        changed("address/latitude", json!(48.8)),
        changed("address/longitude", json!(44)),
        changed("address/country", json!("Belgium")),
    ];
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("schema");
    std::fs::create_dir_all(&directory).expect("the target directory is writable");
    let write = |name: String, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, text).expect("the target directory is writable");
        path.to_str().expect("the target directory has a plain name").to_owned()
    };
    let mut arguments = vec![write("schema.json".into(), SCHEMA)];
    for (index, homes) in good.iter().chain(&bad).enumerate() {
        arguments.push(write(format!("{index}.json"), &homes.to_string()));
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let found = python::json("schema.py", &arguments);
    let found = found.as_array().expect("a number for each file");
    assert_eq!(found.len(), good.len() + bad.len());
    for ((homes, mistakes), right) in
        good.iter().chain(&bad).zip(found).zip(0..).map(|(pair, index)| (pair, index < good.len()))
    {
        assert_eq!(mistakes == &json!(0), right, "the schema on {homes}");
        assert_eq!(parse("homes.json", &homes.to_string()).is_ok(), right, "the reader on {homes}");
    }
}

fn home() -> Value {
    let mut home = serde_json::from_str::<Value>(builtin(Region::Antwerp)).expect("JSON")[0].clone();
    home["battery_efficiency_pct"] = json!(95);
    home["heat_pump_kwh"] = json!(0);
    assert!(home["solar_capacity_kw"].as_f64().expect("a number") > 0.0);
    home
}

fn changed(field: &str, value: Value) -> Value {
    let mut home = home();
    match field.split_once('/') {
        Some((outer, inner)) => home[outer][inner] = value,
        None => home[field] = value,
    }
    json!([home])
}

fn without(field: &str) -> Value {
    let mut home = home();
    home.as_object_mut().expect("an object").remove(field);
    json!([home])
}

//! `cortexiq homes`: checks files of homes before anybody lives in them.

use std::process::ExitCode;

use cortexiq_domain::home::Home;
use cortexiq_domain::home_file::{self, Mistake};
use serde_json::json;

use crate::cli::{Output, print_json};

/// Checks files as one population and tells every mistake of all of them.
pub(crate) fn check(files: &[String], output: Output) -> ExitCode {
    let checked = home_file::load(&files.join(","), |path| std::fs::read_to_string(path));
    match output {
        Output::Text => print!("{}", text(&checked)),
        Output::Json => print_json(&as_json(&checked)),
    }
    ExitCode::from(u8::from(checked.is_err()))
}

fn text(checked: &Result<Vec<Home>, Vec<Mistake>>) -> String {
    match checked {
        Ok(homes) => format!("{} homes, no mistake.\n", homes.len()),
        Err(mistakes) => {
            let mut text: String = mistakes.iter().map(|mistake| format!("{mistake}\n")).collect();
            text += &format!(
                "{} {}.\n",
                mistakes.len(),
                if mistakes.len() == 1 { "mistake" } else { "mistakes" }
            );
            text
        }
    }
}

fn as_json(checked: &Result<Vec<Home>, Vec<Mistake>>) -> serde_json::Value {
    let (homes, mistakes) = match checked {
        Ok(homes) => (homes.len(), &[][..]),
        Err(mistakes) => (0, &mistakes[..]),
    };
    let mistakes: Vec<_> = mistakes
        .iter()
        .map(|Mistake { file, index, field, problem }| {
            json!({ "file": file, "index": index, "field": field, "problem": problem })
        })
        .collect();
    json!({ "homes": homes, "mistakes": mistakes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_of_a_file_is_told_with_its_place() {
        let read = |_: &str| Ok(r#"[{"name": "A", "solar": 3, "meter_ean": "1"}]"#.to_owned());
        let checked = home_file::load("mine.json", read);
        let told = text(&checked);
        for line in [
            "mine.json[0].solar: no such field",
            "mine.json[0].meter_ean: \"1\" has not 18 digits",
            "mine.json[0].address: is missing",
            "mine.json[0].iot_provider: is missing",
            "mine.json[0].annual_consumption_kwh: is missing",
            "5 mistakes.",
        ] {
            assert!(told.lines().any(|told| told == line), "{line:?} is not in {told}");
        }
        let json = as_json(&checked);
        assert_eq!((json["homes"].as_u64(), json["mistakes"].as_array().map(Vec::len)), (Some(0), Some(5)));
        assert_eq!(json["mistakes"][0]["index"], 0);
    }

    #[test]
    fn right_files_are_counted_together() {
        let checked = home_file::load("antwerp,brabant.json", |path| std::fs::read_to_string(path));
        assert_eq!(text(&checked), "100 homes, no mistake.\n");
    }
}

//! Reading arrays of JSON objects that people write: every mistake of every file at once, with its place.

use std::fmt;

use serde_json::{Map, Value};

use crate::region::{NoRegion, Region};

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

/// Reads what a setting lists, separated by commas. A file that cannot be read is a mistake like any other.
pub(crate) fn read_all(
    setting: &str,
    sources: &str,
    read: impl Fn(&str) -> std::io::Result<String>,
) -> (Vec<(String, String)>, Vec<Mistake>) {
    let (mut files, mut mistakes) = (Vec::new(), Vec::new());
    for source in sources.split(',').map(str::trim).filter(|source| !source.is_empty()) {
        match read(source) {
            Ok(text) => files.push((source.to_owned(), text)),
            Err(error) => mistakes.push(Mistake::of_file(source, error.to_string())),
        }
    }
    if files.is_empty() && mistakes.is_empty() {
        mistakes.push(Mistake::of_file(setting, "names no file".into()));
    }
    (files, mistakes)
}

/// The array of a file.
pub(crate) fn entries(file: &str, text: &str, what: &str, mistakes: &mut Vec<Mistake>) -> Option<Vec<Value>> {
    // Some editors begin a file with a byte order mark.
    let problem = match serde_json::from_str::<Value>(text.trim_start_matches('\u{feff}')) {
        Ok(Value::Array(entries)) if entries.is_empty() => format!("there are no {what} in it"),
        Ok(Value::Array(entries)) => return Some(entries),
        Ok(_) => format!("an array of {what} is needed"),
        Err(error) => format!("no JSON: {error}"),
    };
    mistakes.push(Mistake::of_file(file, problem));
    None
}

impl Mistake {
    fn of_file(file: &str, problem: String) -> Self {
        Self { file: file.to_owned(), index: None, field: String::new(), problem }
    }
}

/// The fields of one object, noting what is wrong with them; a wrong field gets a value that is thrown away later.
pub(crate) struct Fields<'a> {
    pub(crate) file: &'a str,
    pub(crate) index: usize,
    pub(crate) path: &'static str,
    pub(crate) object: &'a Map<String, Value>,
    pub(crate) mistakes: &'a mut Vec<Mistake>,
}

impl<'a> Fields<'a> {
    /// The fields of an entry of the array; none, and a mistake, when it is no object.
    pub(crate) fn of(
        file: &'a str,
        index: usize,
        entry: &'a Value,
        mistakes: &'a mut Vec<Mistake>,
    ) -> Option<Self> {
        if let Some(object) = entry.as_object() {
            return Some(Self { file, index, path: "", object, mistakes });
        }
        let (file, field) = (file.to_owned(), String::new());
        mistakes.push(Mistake { file, index: Some(index), field, problem: "an object is needed".into() });
        None
    }
}

impl Fields<'_> {
    /// What is part of topics' keys and of procedures' names.
    pub(crate) fn id(&mut self) -> String {
        let id = self.text("id");
        if !id.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"_-".contains(&letter)) {
            self.mistake("id", "only letters, digits, _ and - may be in an id");
        }
        id
    }

    pub(crate) fn region(&mut self) -> Region {
        let text = self.text("region");
        text.parse().unwrap_or_else(|error: NoRegion| {
            if !text.is_empty() {
                self.mistake("region", &error.to_string());
            }
            Region::Antwerp
        })
    }

    pub(crate) fn known(&mut self, names: &[&str]) {
        for name in self.object.keys().filter(|name| !names.contains(&name.as_str())) {
            self.mistake(name, "no such field");
        }
    }

    pub(crate) fn text(&mut self, name: &str) -> String {
        match self.object.get(name) {
            Some(Value::String(text)) if !text.trim().is_empty() => return text.clone(),
            Some(_) => self.mistake(name, "a text is needed"),
            None => self.mistake(name, "is missing"),
        }
        String::new()
    }

    pub(crate) fn number(&mut self, name: &str, default: Option<f64>, least: f64, most: f64) -> f64 {
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

    /// Whether something is wrong with a field of this object.
    pub(crate) fn is_wrong(&self, field: &str) -> bool {
        let here = |mistake: &&Mistake| mistake.file == self.file && mistake.index == Some(self.index);
        self.mistakes.iter().rev().take_while(here).any(|mistake| mistake.field == field)
    }

    pub(crate) fn mistake(&mut self, field: &str, problem: &str) {
        self.mistakes.push(Mistake {
            file: self.file.to_owned(),
            index: Some(self.index),
            field: format!("{}{field}", self.path),
            problem: problem.to_owned(),
        });
    }
}

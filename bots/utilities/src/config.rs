//! Settings of the utilities.

use std::sync::Arc;

use cortexiq_domain::provider::{Provider, parse_roster, roster};
use cortexiq_domain::region::Region;
use cortexiq_shell::{Admin, Mesh};
use macula_proto::vars::{Problems, Setting, Vars};

use crate::progress::Progress;

/// Settings of `cortex-iq-utilities`, without those of the mesh.
pub const SETTINGS: &[Setting] = &[
    Setting { name: "CORTEXIQ_REGION", default: "", help: "Required: antwerp, brabant or east-flanders" },
    Setting {
        name: "PROVIDERS_COUNT",
        default: "5",
        help: "How many providers: the five strategies in turn, or the first of the files",
    },
    Setting {
        name: "PROVIDERS_SOURCES",
        default: "the built-in roster",
        help: "JSON files of providers, separated by commas",
    },
];

/// Providers of a region unless told otherwise: one of each strategy.
pub const DEFAULT_PROVIDERS: usize = 5;

/// What the providers of one region are told.
#[derive(Debug, Clone)]
pub struct Config {
    /// The mesh.
    pub mesh: Mesh,
    /// Where they are at home.
    pub region: Region,
    /// Who they are.
    pub providers: Vec<Provider>,
    /// Where they tell what they did.
    pub progress: Arc<Progress>,
    /// Where the admin port listens.
    pub admin: Admin,
}

impl Config {
    /// The first `count` providers of the built-in roster.
    pub fn builtin(mesh: Mesh, region: Region, count: usize) -> Self {
        Self {
            mesh,
            region,
            providers: roster(region, count),
            progress: Arc::default(),
            admin: Admin::default(),
        }
    }

    /// Reads and checks all settings, and the files that they name.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn read(mut vars: Vars) -> Result<Self, Problems> {
        let mesh = Mesh::read(&mut vars);
        let region = match vars.optional("CORTEXIQ_REGION").map(|text| text.parse()) {
            Some(Ok(region)) => region,
            Some(Err(error)) => {
                vars.problem(format!("CORTEXIQ_REGION: {error}"));
                Region::Antwerp
            }
            None => {
                vars.problem("CORTEXIQ_REGION is required: antwerp, brabant or east-flanders".to_owned());
                Region::Antwerp
            }
        };
        let files = vars.list("PROVIDERS_SOURCES");
        let providers = match files.is_empty() {
            true => roster(region, vars.parse("PROVIDERS_COUNT", DEFAULT_PROVIDERS)),
            false => {
                let mut providers = from_files(&mut vars, &files);
                let count = vars.parse("PROVIDERS_COUNT", providers.len());
                if count > providers.len() {
                    let found = providers.len();
                    vars.problem(format!("PROVIDERS_COUNT={count}: the files have {found} providers"));
                }
                providers.truncate(count);
                providers
            }
        };
        for (index, provider) in providers.iter().enumerate() {
            if providers[..index].iter().any(|other| other.id == provider.id) {
                vars.problem(format!("PROVIDERS_SOURCES: {:?} stands twice", provider.id));
            }
            // The id is a segment of a procedure's name.
            let legal = |letter: u8| letter.is_ascii_alphanumeric() || b"_-".contains(&letter);
            if provider.id.is_empty() || !provider.id.bytes().all(legal) {
                let id = &provider.id;
                vars.problem(format!("PROVIDERS_SOURCES: id {id:?}: letters, digits, _ and - make an id"));
            }
        }
        let admin = Admin::read(&mut vars);
        vars.finish()?;
        Ok(Self { mesh, region, providers, progress: Arc::default(), admin })
    }
}

fn from_files(vars: &mut Vars, files: &[String]) -> Vec<Provider> {
    let mut providers = Vec::new();
    for file in files {
        let read = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"));
        let parsed = read.and_then(|text| parse_roster(file, &text).map_err(|error| error.to_string()));
        match parsed {
            Ok(found) => providers.extend(found),
            Err(problem) => vars.problem(format!("PROVIDERS_SOURCES: {problem}")),
        }
    }
    providers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[(&str, &str)]) -> Result<Config, Problems> {
        Config::read(Vars::new(values.iter().map(|(name, value)| ((*name).into(), (*value).into()))))
    }

    #[test]
    fn a_region_is_enough() {
        let config = read(&[("CORTEXIQ_REGION", "efl")]).expect("the rest has defaults");
        assert_eq!(config.providers.len(), DEFAULT_PROVIDERS);
        assert_eq!(config.providers[0].id, "efl_p01");
    }

    #[test]
    fn every_problem_is_told() {
        let values =
            [("PROVIDERS_COUNT", "some"), ("MACULA_URL", "http://x"), ("PROVIDERS_SOURCES", "none.json")];
        let problems = read(&values).expect_err("four mistakes").0;
        assert_eq!(problems.len(), 4, "{problems:#?}");
        assert!(problems.iter().any(|problem| problem.contains("none.json: ")));
    }
}

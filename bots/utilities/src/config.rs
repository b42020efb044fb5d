//! Settings of the utilities.

use std::sync::Arc;

use cortexiq_domain::provider::{Provider, roster};
use cortexiq_domain::provider_file;
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

/// As many as the command line of the whole world allows.
const MOST_PROVIDERS: usize = 100;

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
        let providers = match vars.optional("PROVIDERS_SOURCES") {
            None => {
                let count = vars.parse("PROVIDERS_COUNT", DEFAULT_PROVIDERS);
                if !(1..=MOST_PROVIDERS).contains(&count) {
                    vars.problem(format!(
                        "PROVIDERS_COUNT={count}: between 1 and {MOST_PROVIDERS} providers"
                    ));
                }
                roster(region, count.min(MOST_PROVIDERS))
            }
            Some(sources) => {
                let mut providers = from_files(&mut vars, &sources, region);
                let count = vars.parse("PROVIDERS_COUNT", providers.len());
                if count > providers.len() && !providers.is_empty() {
                    let found = providers.len();
                    vars.problem(format!("PROVIDERS_COUNT={count}: the files have {found} providers"));
                }
                providers.truncate(count);
                providers
            }
        };
        let admin = Admin::read(&mut vars);
        vars.finish()?;
        Ok(Self { mesh, region, providers, progress: Arc::default(), admin })
    }
}

fn from_files(vars: &mut Vars, sources: &str, region: Region) -> Vec<Provider> {
    match provider_file::load(sources, |path| std::fs::read_to_string(path)) {
        Ok(providers) => {
            for Provider { id, region: elsewhere, .. } in
                providers.iter().filter(|provider| provider.region != region)
            {
                vars.problem(format!(
                    "PROVIDERS_SOURCES: {id} is of {elsewhere}, CORTEXIQ_REGION is {region}"
                ));
            }
            providers
        }
        Err(mistakes) => {
            mistakes.iter().for_each(|mistake| vars.problem(format!("PROVIDERS_SOURCES: {mistake}")));
            Vec::new()
        }
    }
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
        let many = [("CORTEXIQ_REGION", "efl"), ("PROVIDERS_COUNT", "0")];
        assert!(read(&many).expect_err("none").0[0].contains("between 1 and 100"));
    }
}

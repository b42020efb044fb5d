//! Settings of the homes.

use std::sync::Arc;

use cortexiq_domain::home::Home;
use cortexiq_domain::home_file;
use cortexiq_domain::region::Region;
use cortexiq_shell::{Admin, Mesh};
use macula_proto::vars::{Problems, Setting, Vars};

use crate::progress::Progress;

/// Settings of `cortex-iq-homes`, without those of the mesh.
pub const SETTINGS: &[Setting] = &[
    Setting { name: "CORTEXIQ_REGION", default: "", help: "Required: antwerp, brabant or east-flanders" },
    Setting {
        name: "HOMES_SOURCES",
        default: "the region's own file of 50 homes",
        help: "JSON files of homes, separated by commas; a region's name stands for its own file",
    },
    Setting {
        name: "HOMES_COUNT",
        default: "as in the files",
        help: "How many homes, at most 100000: the first of the files, and others grown from them with the simulation's seed",
    },
];

/// Homes of one process, about a kilobyte each; the largest population that is tested.
const MOST_HOMES: usize = 100_000;

/// What the homes of one region are told.
#[derive(Debug, Clone)]
pub struct Config {
    /// The mesh.
    pub mesh: Mesh,
    /// Their region.
    pub region: Region,
    /// The homes of the files, at least one.
    pub homes: Arc<[Home]>,
    /// How many homes there shall be; those beyond the files are grown.
    pub count: usize,
    /// Where they tell how far they are.
    pub progress: Arc<Progress>,
    /// Where the admin port listens.
    pub admin: Admin,
}

impl Config {
    /// The first `count` homes of the region's own file, more if it has fewer.
    pub fn builtin(mesh: Mesh, region: Region, count: Option<usize>) -> Self {
        let homes = home_file::parse(region.name(), home_file::builtin(region));
        let homes: Arc<[Home]> = homes.expect("a test of the domain reads every built-in file").into();
        let count = count.unwrap_or(homes.len());
        Self { mesh, region, homes, count, progress: Arc::default(), admin: Admin::default() }
    }

    /// Reads and checks all settings, and the files that they name.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn read(mut vars: Vars) -> Result<Self, Problems> {
        let mesh = Mesh::read(&mut vars);
        let region = region(&mut vars);
        let sources = vars.text("HOMES_SOURCES", region.name());
        let homes =
            home_file::load(&sources, |path| std::fs::read_to_string(path)).unwrap_or_else(|mistakes| {
                mistakes.iter().for_each(|mistake| vars.problem(format!("HOMES_SOURCES: {mistake}")));
                Vec::new()
            });
        for home in homes.iter().filter(|home| home.address.region != region) {
            let elsewhere = home.address.region;
            vars.problem(format!(
                "HOMES_SOURCES: {} is in {elsewhere}, CORTEXIQ_REGION is {region}",
                home.id
            ));
        }
        let count = vars.parse("HOMES_COUNT", homes.len());
        if vars.optional("HOMES_COUNT").is_some() && !(1..=MOST_HOMES).contains(&count) {
            vars.problem(format!("HOMES_COUNT={count}: between 1 and {MOST_HOMES} homes live in a process"));
        }
        let admin = Admin::read(&mut vars);
        vars.finish()?;
        Ok(Self { mesh, region, homes: homes.into(), count, progress: Arc::default(), admin })
    }
}

/// `CORTEXIQ_REGION`, which has no default: two regions under one name would publish each other's homes.
fn region(vars: &mut Vars) -> Region {
    match vars.optional("CORTEXIQ_REGION").map(|text| text.parse()) {
        Some(Ok(region)) => region,
        Some(Err(error)) => {
            vars.problem(format!("CORTEXIQ_REGION: {error}"));
            Region::Antwerp
        }
        None => {
            vars.problem("CORTEXIQ_REGION is required: antwerp, brabant or east-flanders".to_owned());
            Region::Antwerp
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
        let config = read(&[("CORTEXIQ_REGION", "brabant")]).expect("the rest has defaults");
        assert_eq!((config.homes.len(), config.count), (50, 50));
        let config = read(&[("CORTEXIQ_REGION", "brabant"), ("HOMES_COUNT", "120")]).expect("right");
        assert_eq!((config.homes.len(), config.count), (50, 120));
    }

    #[test]
    fn every_problem_is_told_with_file_index_and_field() {
        let file = std::env::temp_dir().join(format!("homes-{}.json", std::process::id()));
        let text =
            home_file::builtin(Region::Brabant).replacen("\"annual_consumption_kwh\"", "\"annual\"", 1);
        std::fs::write(&file, text).expect("writes");
        let sources = format!("{},missing.json", file.display());
        let problems = read(&[("HOMES_SOURCES", &sources), ("HOMES_COUNT", "few")]).expect_err("wrong").0;
        std::fs::remove_file(&file).expect("removes");
        let told = |part: &str| problems.iter().any(|problem| problem.contains(part));
        assert!(told("CORTEXIQ_REGION is required"), "{problems:#?}");
        assert!(told("[0].annual: no such field") && told("[0].annual_consumption_kwh: is missing"));
        assert!(told("missing.json: ") && told("HOMES_COUNT=few"), "{problems:#?}");
    }

    #[test]
    fn homes_of_another_region_are_refused() {
        let values = [("CORTEXIQ_REGION", "brabant"), ("HOMES_SOURCES", "antwerp")];
        let problems = read(&values).expect_err("wrong").0;
        assert_eq!(problems[0], "HOMES_SOURCES: ant_001 is in antwerp, CORTEXIQ_REGION is brabant");
    }
}

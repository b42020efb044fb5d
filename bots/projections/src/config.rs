//! Settings of the projections.

use cortexiq_shell::{Admin, Mesh};
use macula_proto::vars::{Problems, Setting, Vars};

use crate::store::Database;

/// Settings of `cortex-iq-projections`, without those of the mesh.
pub const SETTINGS: &[Setting] =
    &[Setting { name: "DATABASE_URL", default: DEFAULT_DATABASE, help: DATABASE_HELP }];

/// Where the read models are unless told otherwise: a file in the working directory.
pub const DEFAULT_DATABASE: &str = "sqlite://cortexiq.db";
/// What `--help` says of `DATABASE_URL`.
pub const DATABASE_HELP: &str =
    "Read models: postgres://user:password@host:5432/name (ecto:// is read the same) or sqlite://path";

/// What the projections are told.
#[derive(Debug, Clone)]
pub struct Config {
    /// The mesh.
    pub mesh: Mesh,
    /// Where the read models are.
    pub database: Database,
    /// Where the admin port listens.
    pub admin: Admin,
}

impl Config {
    /// Without an admin port.
    pub fn new(mesh: Mesh, database: Database) -> Self {
        Self { mesh, database, admin: Admin::default() }
    }

    /// Reads and checks all settings.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn read(mut vars: Vars) -> Result<Self, Problems> {
        let mesh = Mesh::read(&mut vars);
        let config = Self { mesh, database: read_database(&mut vars), admin: Admin::read(&mut vars) };
        vars.finish()?;
        Ok(config)
    }
}

/// Reads `DATABASE_URL`. The value is not repeated in a problem: it may hold a password.
pub fn read_database(vars: &mut Vars) -> Database {
    vars.text("DATABASE_URL", DEFAULT_DATABASE).parse().unwrap_or_else(|error| {
        vars.problem(format!("DATABASE_URL: {error}"));
        DEFAULT_DATABASE.parse().expect("the default is right")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[(&str, &str)]) -> Result<Config, Problems> {
        Config::read(Vars::new(values.iter().map(|(name, value)| ((*name).into(), (*value).into()))))
    }

    #[test]
    fn an_embedded_file_is_the_default() {
        let config = read(&[]).expect("nothing is required");
        assert_eq!(config.database.shown(), DEFAULT_DATABASE);
    }

    #[test]
    fn a_bad_database_is_named_without_its_password() {
        let problems = read(&[("DATABASE_URL", "mysql://root:secret@db/x"), ("MACULA_ADMIN_PORT", "many")])
            .expect_err("two mistakes")
            .0;
        assert_eq!(problems.len(), 2, "{problems:#?}");
        assert!(problems.iter().any(|problem| problem.starts_with("DATABASE_URL: ")));
        assert!(problems.iter().all(|problem| !problem.contains("secret")));
    }
}

//! Settings of the queries.

use cortexiq_projections::{DATABASE_HELP, DEFAULT_DATABASE, Database, read_database};
use cortexiq_shell::{Admin, Mesh};
use macula_proto::vars::{Problems, Setting, Vars};

/// Settings of `cortex-iq-queries`, without those of the mesh.
pub const SETTINGS: &[Setting] =
    &[Setting { name: "DATABASE_URL", default: DEFAULT_DATABASE, help: DATABASE_HELP }];

/// What the queries are told.
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
    /// Answers from this database.
    pub fn new(mesh: Mesh, database: Database) -> Self {
        Self { mesh, database, admin: Admin::default() }
    }

    /// Reads and checks all settings.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn read(mut vars: Vars) -> Result<Self, Problems> {
        let config = Self {
            mesh: Mesh::read(&mut vars),
            database: read_database(&mut vars),
            admin: Admin::read(&mut vars),
        };
        vars.finish()?;
        Ok(config)
    }
}

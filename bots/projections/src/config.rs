//! Settings of the projections.

use std::net::SocketAddr;

use cortexiq_shell::Mesh;
use macula_proto::vars::{Problems, Setting, Vars};

use crate::store::Database;

/// Settings of `cortex-iq-projections`, without those of the mesh.
pub const SETTINGS: &[Setting] = &[
    Setting { name: "DATABASE_URL", default: DEFAULT_DATABASE, help: DATABASE_HELP },
    Setting {
        name: "MACULA_ADMIN_PORT",
        default: "",
        help: "TCP port of /healthz, /readyz and /metrics; none unless given",
    },
    Setting { name: "MACULA_ADMIN_HOST", default: "::", help: "Address that the admin port listens on" },
];

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
    /// Where the admin port listens; none for no admin port.
    pub admin: Option<SocketAddr>,
}

impl Config {
    /// Without an admin port.
    pub fn new(mesh: Mesh, database: Database) -> Self {
        Self { mesh, database, admin: None }
    }

    /// Reads and checks all settings.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn read(mut vars: Vars) -> Result<Self, Problems> {
        let mesh = Mesh::read(&mut vars);
        let config = Self { mesh, database: read_database(&mut vars), admin: read_admin(&mut vars) };
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

/// Reads `MACULA_ADMIN_PORT` and `MACULA_ADMIN_HOST`; none unless a port is given.
pub fn read_admin(vars: &mut Vars) -> Option<SocketAddr> {
    let host = vars.parse("MACULA_ADMIN_HOST", std::net::IpAddr::from([0_u16; 8]));
    vars.optional("MACULA_ADMIN_PORT")?;
    Some(SocketAddr::new(host, vars.parse("MACULA_ADMIN_PORT", 0)))
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
        assert_eq!((config.database.shown().as_str(), config.admin), (DEFAULT_DATABASE, None));
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

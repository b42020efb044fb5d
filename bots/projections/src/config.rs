//! Settings of the projections.

use cortexiq_shell::{Admin, Mesh};
use macula_proto::vars::{Problems, Setting, Vars};

use crate::store::{Database, Keep};

/// Settings of `cortex-iq-projections`, without those of the mesh.
pub const SETTINGS: &[Setting] = &[
    Setting { name: "DATABASE_URL", default: DEFAULT_DATABASE, help: DATABASE_HELP },
    Setting {
        name: "PROJECTIONS_SESSION",
        default: "",
        help: "Name under which the next process takes over what this one has not stored, one process at a time; \
               cortex-iq-projections unless in a group, where others take over",
    },
    Setting {
        name: "PROJECTIONS_GROUP",
        default: "",
        help: "Share the work, home by home, with all projections of this group and the same PostgreSQL database",
    },
    Setting {
        name: "PROJECTIONS_KEEP_MONTHS",
        default: "0",
        help: "Newest simulated months of which a run's quarter-hours are kept, at least 2; sums of days and trades stay; 0 for \
               all",
    },
    Setting {
        name: "PROJECTIONS_KEEP_RUNS",
        default: "0",
        help: "Newest runs that are kept, the current one among them; of others everything is removed; 0 for all",
    },
];

/// The session of projections that are alone.
const SESSION: &str = "cortex-iq-projections";

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
    /// The session that the next process of the same name takes over; empty for none.
    pub session: String,
    /// The group that shares the work; empty for projections that are alone.
    pub group: String,
    /// What is not removed.
    pub keep: Keep,
}

impl Config {
    /// Without an admin port.
    pub fn new(mesh: Mesh, database: Database) -> Self {
        let (session, group) = (SESSION.to_owned(), String::new());
        Self { mesh, database, admin: Admin::default(), session, group, keep: Keep::default() }
    }

    /// Reads and checks all settings.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn read(mut vars: Vars) -> Result<Self, Problems> {
        let mesh = Mesh::read(&mut vars);
        let group = vars.text("PROJECTIONS_GROUP", "");
        let alone = if group.is_empty() { SESSION } else { "" };
        let session = vars.text("PROJECTIONS_SESSION", alone);
        let database = read_database(&mut vars);
        if !group.is_empty() && matches!(database, Database::Sqlite(_)) {
            vars.problem(
                "PROJECTIONS_GROUP: one process writes a SQLite file; a group needs PostgreSQL".into(),
            );
        }
        let keep = Keep {
            months: vars.parse("PROJECTIONS_KEEP_MONTHS", 0),
            runs: vars.parse("PROJECTIONS_KEEP_RUNS", 0),
        };
        if keep.months == 1 {
            vars.problem(
                "PROJECTIONS_KEEP_MONTHS: 1 is too few: rows of a month may come when the next one has begun; \
                 use 2 or more, or 0 for all"
                    .into(),
            );
        }
        let config = Self { mesh, database, admin: Admin::read(&mut vars), session, group, keep };
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
    fn a_group_shares_a_server() {
        let alone = read(&[]).expect("nothing is required");
        assert_eq!((&*alone.session, &*alone.group), (super::SESSION, ""));
        let server = ("DATABASE_URL", "postgres://user@db/x");
        let shared = read(&[server, ("PROJECTIONS_GROUP", "g")]).expect("right settings");
        assert_eq!((&*shared.session, &*shared.group), ("", "g"));
        let problems = read(&[("PROJECTIONS_GROUP", "g")]).expect_err("a file").0;
        assert!(problems[0].starts_with("PROJECTIONS_GROUP: one process writes"), "{problems:?}");
    }

    #[test]
    fn what_is_kept_is_told() {
        assert!(read(&[]).expect("nothing is required").keep.is_everything());
        let kept = read(&[("PROJECTIONS_KEEP_MONTHS", "3"), ("PROJECTIONS_KEEP_RUNS", "1")]);
        assert_eq!(kept.expect("right settings").keep, Keep { months: 3, runs: 1 });
        let problems = read(&[("PROJECTIONS_KEEP_MONTHS", "1")]).expect_err("too few").0;
        assert!(problems[0].starts_with("PROJECTIONS_KEEP_MONTHS: 1 is too few"), "{problems:?}");
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

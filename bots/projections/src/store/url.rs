//! Where the read models are: `DATABASE_URL`.

use std::path::PathBuf;
use std::str::FromStr;

/// A database, as its URL names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// An embedded SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL server, as a URL that its client understands.
    Postgres(String),
}

/// A text that names no database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// Another scheme, or none.
    #[error(
        "{0:?} is no database: write postgres://user:password@host:5432/name or sqlite://path/to/file.db"
    )]
    Scheme(String),
    /// `sqlite://` without a file.
    #[error("the file is missing: write sqlite://path/to/file.db")]
    NoFile,
    /// PostgreSQL's client does not understand it. The text is left out: it may hold a password.
    #[error("{0}: write postgres://user:password@host:5432/name")]
    Postgres(String),
}

impl Database {
    /// Without user and password, for logs.
    pub fn shown(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite://{}", path.display()),
            Self::Postgres(url) => {
                let rest = url.trim_start_matches("postgres://");
                let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
                format!("postgres://{}", place.split('?').next().unwrap_or(place))
            }
        }
    }
}

impl FromStr for Database {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| BadUrl::Scheme(scheme_only(text)))?;
        match scheme {
            "sqlite" if rest.is_empty() => Err(BadUrl::NoFile),
            "sqlite" => Ok(Self::Sqlite(rest.into())),
            // The scheme of Elixir's database library, which an earlier deployment wrote.
            "postgres" | "postgresql" | "ecto" => {
                let url = format!("postgres://{rest}");
                let parsed: Result<tokio_postgres::Config, _> = url.parse();
                let config = parsed.map_err(|error| BadUrl::Postgres(told(&error)))?;
                if config.get_hosts().is_empty() {
                    return Err(BadUrl::Postgres("the host is missing".into()));
                }
                Ok(Self::Postgres(url))
            }
            other => Err(BadUrl::Scheme(format!("{other}://…"))),
        }
    }
}

/// Nothing behind the scheme is repeated in an error: it may be a password.
fn scheme_only(text: &str) -> String {
    text.split(['/', '@', ':']).next().unwrap_or_default().to_owned()
}

fn told(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{BadUrl, Database};

    #[test]
    fn every_scheme_of_postgresql_is_understood() {
        let wanted = Database::Postgres("postgres://macula:secret@db:5432/cortexiq".into());
        for scheme in ["postgres", "postgresql", "ecto"] {
            assert_eq!(format!("{scheme}://macula:secret@db:5432/cortexiq").parse(), Ok(wanted.clone()));
        }
        assert_eq!(wanted.shown(), "postgres://db:5432/cortexiq");
    }

    #[test]
    fn a_file_is_relative_or_absolute() {
        assert_eq!("sqlite://a/b.db".parse(), Ok(Database::Sqlite("a/b.db".into())));
        assert_eq!("sqlite:///a/b.db".parse(), Ok(Database::Sqlite("/a/b.db".into())));
    }

    #[test]
    fn a_mistake_tells_the_remedy_and_no_password() {
        let wrong = |text: &str| text.parse::<Database>().expect_err("no database").to_string();
        assert!(wrong("mysql://root:secret@db/x").contains("write postgres://"));
        assert!(!wrong("mysql://root:secret@db/x").contains("secret"));
        assert!(wrong("db.sqlite").contains("write postgres://"));
        assert_eq!("sqlite://".parse::<Database>(), Err(BadUrl::NoFile));
        assert!(wrong("postgres://db:port/x").contains("write postgres://user"));
        assert!(wrong("ecto://").contains("host is missing"));
    }
}

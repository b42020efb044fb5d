//! Settings by environment variable and flag, for every binary of the project.
//!
//! A binary lists its [`Setting`]s once; from that come its `--help`, its flags (the same names in kebab-case)
//! and the values. [`Vars`] collects every problem, so that a user mends all of them in one go. Nothing here
//! reads the process environment but `Vars::from_process`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Exit code of a program whose settings are wrong: EX_CONFIG of sysexits.h.
pub const EXIT_CONFIG: i32 = 78;

/// One setting of a binary.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Name of the environment variable; the flag is the same in kebab-case.
    pub name: &'static str,
    /// Value when nothing is said, as the help shows it; empty for none.
    pub default: &'static str,
    /// What it does.
    pub help: &'static str,
}

/// Values of settings, and the problems found in them so far.
#[derive(Debug, Default)]
pub struct Vars {
    values: BTreeMap<String, String>,
    problems: Vec<String>,
}

impl Vars {
    /// Takes these values, without those that Kubernetes injects for its Services.
    pub fn new(values: impl IntoIterator<Item = (String, String)>) -> Self {
        let values = values.into_iter().filter(|(name, value)| !is_service_variable(name, value)).collect();
        Self { values, problems: Vec::new() }
    }

    /// Reads flags and environment of this process; a flag wins. Handles `--help` and `--version`, and ends the
    /// process on a flag that is not among `settings`.
    #[cfg(feature = "cli")]
    pub fn from_process(command: clap::Command, settings: &'static [Setting]) -> Self {
        let matches = with_flags(command, settings).get_matches();
        Self::from_matches(&matches, settings)
    }

    /// Reads the flags that `with_flags` added, and the environment of this process.
    #[cfg(feature = "cli")]
    pub fn from_matches(matches: &clap::ArgMatches, settings: &'static [Setting]) -> Self {
        let mut vars = Self::new(
            std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        );
        for setting in settings {
            if let Some(value) = matches.get_one::<String>(setting.name) {
                vars.values.insert(setting.name.to_owned(), value.clone());
            }
        }
        vars.check_names(settings);
        vars
    }

    /// Makes a problem of every `MACULA_` name that is none of `settings` nor known to other programs of the
    /// project, with the nearest name.
    pub fn check_names(&mut self, settings: &[Setting]) {
        let known =
            |name: &str| settings.iter().any(|setting| setting.name == name) || ELSEWHERE.contains(&name);
        let unknown: Vec<String> =
            self.values.keys().filter(|name| name.starts_with("MACULA_") && !known(name)).cloned().collect();
        for name in unknown {
            let nearest =
                settings.iter().map(|setting| setting.name).min_by_key(|other| distance(&name, other));
            let hint = nearest.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            self.problem(format!("{name}: there is no such setting{hint}"));
        }
    }

    /// The value of this name, if it has one. Empty is none.
    pub fn optional(&self, name: &str) -> Option<String> {
        self.values.get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The value of this name, or `default`.
    pub fn text(&self, name: &str, default: &str) -> String {
        self.optional(name).unwrap_or_else(|| default.to_owned())
    }

    /// The values of a comma-separated list.
    pub fn list(&self, name: &str) -> Vec<String> {
        let text = self.optional(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    /// The parsed value of this name, or `default`; what cannot be parsed is a problem.
    pub fn parse<T: FromStr>(&mut self, name: &str, default: T) -> T
    where
        T::Err: fmt::Display,
    {
        let Some(text) = self.optional(name) else { return default };
        match text.parse() {
            Ok(value) => value,
            Err(error) => {
                self.problem(format!("{name}={text}: {error}"));
                default
            }
        }
    }

    /// Adds a problem.
    pub fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// Done reading.
    ///
    /// # Errors
    /// All problems at once.
    pub fn finish(self) -> Result<(), Problems> {
        if self.problems.is_empty() { Ok(()) } else { Err(Problems(self.problems)) }
    }
}

/// Everything that is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Problems {}

/// Adds a flag for each setting.
#[cfg(feature = "cli")]
pub fn with_flags(mut command: clap::Command, settings: &'static [Setting]) -> clap::Command {
    for setting in settings {
        let mut help = format!("{} [env: {}]", setting.help, setting.name);
        if !setting.default.is_empty() {
            help += &format!(" [default: {}]", setting.default);
        }
        command = command.arg(
            clap::Arg::new(setting.name)
                .long(setting.name.to_ascii_lowercase().replace('_', "-"))
                .value_name("VALUE")
                .help(help),
        );
    }
    command
}

/// Names that other programs of the project read: a shared environment disturbs nobody.
const ELSEWHERE: [&str; 23] = [
    "MACULA_URL",
    "MACULA_CA",
    "MACULA_TOKEN",
    "MACULA_TOKEN_FILE",
    "MACULA_REALM",
    "MACULA_GATEWAY_PORT",
    "MACULA_ADMIN_PORT",
    "MACULA_ADVERTISE",
    "MACULA_NODE_NAME",
    "MACULA_STATE_DIR",
    "MACULA_TLS_CERT",
    "MACULA_TLS_KEY",
    "MACULA_TLS_CA",
    "MACULA_AUTH",
    "MACULA_JWKS",
    "MACULA_ORIGINS",
    "MACULA_SCHEMAS",
    "MACULA_ADMIN_TOKEN_FILE",
    "MACULA_PUBLIC_URL",
    "MACULA_LOG",
    "MACULA_LOG_FORMAT",
    "MACULA_GATEWAY_HOST",
    "MACULA_ADMIN_HOST",
];

/// Whether Kubernetes made this variable for a Service; one called `macula-gateway` would otherwise set
/// `MACULA_GATEWAY_PORT` to a URL in every pod.
fn is_service_variable(name: &str, value: &str) -> bool {
    let numbered_port = || {
        let Some((_, tail)) = name.split_once("_PORT_") else { return false };
        tail.starts_with(|first: char| first.is_ascii_digit())
    };
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || numbered_port()
        || (name.ends_with("_PORT") && (value.starts_with("tcp://") || value.starts_with("udp://")))
}

/// Letters to change, add or remove to make one name of the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: &[Setting] = &[
        Setting { name: "MACULA_GATEWAY_PORT", default: "9443", help: "UDP port" },
        Setting { name: "MACULA_REALM", default: "", help: "realm" },
    ];

    fn vars(values: &[(&str, &str)]) -> Vars {
        let mut vars =
            Vars::new(values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        vars.check_names(SETTINGS);
        vars
    }

    #[test]
    fn variables_of_kubernetes_services_disturb_nothing() {
        let mut vars = vars(&[
            ("MACULA_GATEWAY_PORT", "udp://10.96.0.12:9443"),
            ("MACULA_GATEWAY_SERVICE_HOST", "10.96.0.12"),
            ("MACULA_GATEWAY_SERVICE_PORT_QUIC", "9443"),
            ("MACULA_GATEWAY_PORT_9443_UDP_PROTO", "udp"),
        ]);
        assert_eq!(vars.parse("MACULA_GATEWAY_PORT", 9443u16), 9443);
        assert_eq!(vars.finish(), Ok(()));
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let mut vars = vars(&[("MACULA_GATEWAY_PORT", "many"), ("MACULA_RELAM", "x")]);
        vars.parse("MACULA_GATEWAY_PORT", 9443u16);
        let problems = vars.finish().unwrap_err().0;
        assert_eq!(problems.len(), 2);
        assert!(problems.iter().any(|problem| problem.contains("did you mean MACULA_REALM?")));
        assert!(problems.iter().any(|problem| problem.starts_with("MACULA_GATEWAY_PORT=many: ")));
    }
}

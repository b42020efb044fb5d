//! From flags and environment to a connected client.

use crate::args::ConnectionArgs;
use crate::error::Error;
use macula_proto::vars::{Setting, Vars};
use macula_sdk::{Builder, Client, ConnectError, SettingsError};
use std::time::Duration;

/// What the command reads from the environment.
const SETTINGS: &[Setting] = &[
    Setting { name: "MACULA_URL", default: DEFAULT_URL, help: "" },
    Setting { name: "MACULA_REALM", default: DEFAULT_REALM, help: "" },
    Setting { name: "MACULA_CA", default: "", help: "" },
    Setting { name: "MACULA_TOKEN", default: "", help: "" },
    Setting { name: "MACULA_TOKEN_FILE", default: "", help: "" },
    Setting { name: "MACULA_LOG", default: "warn", help: "" },
];

/// A gateway on this machine.
const DEFAULT_URL: &str = "https://localhost:9443";

/// The realm of CortexIQ, as in the seed document.
pub(crate) const DEFAULT_REALM: &str = "be.cortexiq.energy";

/// Where to connect, and as whom; checked as far as that goes without a gateway.
#[derive(Debug)]
pub(crate) struct Connection {
    vars: Vars,
    urls: Vec<String>,
    connect_timeout: Duration,
    warnings: Vec<String>,
}

impl Connection {
    /// Flags win over the environment.
    pub(crate) fn new(
        args: &ConnectionArgs,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Error> {
        // A token on the command line replaces either kind of token in the environment.
        let own_token = args.token.is_some() || args.token_file.is_some();
        let values: Vec<_> = environment
            .into_iter()
            .filter(|(name, _)| !(own_token && name.starts_with("MACULA_TOKEN")))
            .chain(args.as_vars())
            .collect();
        let warnings = unknown_names(&values);
        let vars = Vars::new(values);
        let mut urls = vars.list("MACULA_URL");
        if urls.is_empty() {
            urls.push(DEFAULT_URL.to_owned());
        }
        let connection = Self { vars, urls, connect_timeout: args.connect_timeout, warnings };
        connection
            .builder(&connection.urls.join(","))
            .map_err(|problems| Error::Usage(problems.to_string()))?;
        Ok(connection)
    }

    /// Settings that look like a slip.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// How long one gateway may take to answer.
    pub(crate) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// The realm that gateways have to serve.
    pub(crate) fn realm(&self) -> String {
        self.vars.text("MACULA_REALM", DEFAULT_REALM)
    }

    /// Whether a token is shown to gateways.
    pub(crate) fn has_token(&self) -> bool {
        ["MACULA_TOKEN", "MACULA_TOKEN_FILE"].into_iter().any(|name| self.vars.optional(name).is_some())
    }

    /// The gateways, in the order in which they are tried.
    pub(crate) fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Connects to the first gateway that answers.
    pub(crate) async fn connect(&self) -> Result<Client, Error> {
        Ok(self.connect_to(&self.urls.join(",")).await?)
    }

    /// Connects to these gateways and no others.
    pub(crate) async fn connect_to(&self, urls: &str) -> Result<Client, ConnectError> {
        self.builder(urls)?.connect().await
    }

    /// How clients connect, without a gateway to connect to.
    #[cfg(feature = "bench")]
    pub(crate) fn base(&self) -> Result<Builder, Error> {
        Ok(self.builder("").map_err(ConnectError::Settings)?)
    }

    fn builder(&self, urls: &str) -> Result<Builder, SettingsError> {
        let builder = Builder::from_vars(|name| match name {
            "MACULA_URL" => Some(urls.to_owned()),
            _ => self.vars.optional(name),
        })?;
        Ok(builder.name(concat!("macula ", env!("CARGO_PKG_VERSION"))).connect_timeout(self.connect_timeout))
    }
}

fn unknown_names(values: &[(String, String)]) -> Vec<String> {
    let mut vars = Vars::new(values.iter().cloned());
    vars.check_names(SETTINGS);
    vars.finish().err().map(|problems| problems.0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(args: &ConnectionArgs, environment: &[(&str, &str)]) -> Result<Connection, Error> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Connection::new(args, environment.iter().map(own))
    }

    #[test]
    fn a_flag_wins_over_the_environment() {
        let args = ConnectionArgs { url: Some("https://b:1,https://c:2".to_owned()), ..Default::default() };
        let connection = connection(&args, &[("MACULA_URL", "https://a:1")]).expect("both are fine");
        assert_eq!(connection.urls(), ["https://b:1", "https://c:2"]);
    }

    #[test]
    fn a_token_flag_replaces_a_token_file_of_the_environment() {
        let args = ConnectionArgs { token: Some("t".to_owned()), ..Default::default() };
        assert!(connection(&args, &[("MACULA_TOKEN_FILE", "/nowhere")]).is_ok());
        assert!(connection(&ConnectionArgs::default(), &[("MACULA_TOKEN_FILE", "/nowhere")]).is_err());
    }

    #[test]
    fn all_problems_are_told_in_one_line() {
        let args = ConnectionArgs {
            url: Some("http://a".to_owned()),
            ca: Some("/nowhere".to_owned()),
            ..Default::default()
        };
        let text = connection(&args, &[]).expect_err("both are wrong").to_string();
        assert!(text.contains("`http://a`") && text.contains("/nowhere") && !text.contains('\n'), "{text}");
    }

    #[test]
    fn a_slip_in_a_name_is_told_and_disturbs_nothing() {
        let connection =
            connection(&ConnectionArgs::default(), &[("MACULA_RELAM", "x")]).expect("it is ignored");
        assert!(connection.warnings()[0].contains("did you mean MACULA_REALM?"));
    }
}

//! Settings that every bot has.

use std::time::Duration;

use macula_proto::vars::{Setting, Vars};
use macula_sdk::{Builder, Client, Code, ConnectError};

use crate::admin::ADMIN;
use crate::error::RunError;

/// What a bot is told of the mesh.
const MESH: [Setting; 7] = [
    Setting {
        name: "MACULA_URL",
        default: "https://localhost:9443",
        help: "The local gateway; several, separated by commas, are tried in turn",
    },
    Setting { name: "MACULA_REALM", default: "be.cortexiq.energy", help: "Realm of the mesh" },
    Setting {
        name: "MACULA_CA",
        default: "",
        help: "PEM file with the only certificates to trust; by default those of this machine's development authority",
    },
    Setting { name: "MACULA_TOKEN", default: "", help: "Bearer token for gateways that ask for one" },
    Setting { name: "MACULA_TOKEN_FILE", default: "", help: "File with the bearer token" },
    Setting {
        name: "MACULA_LOG",
        default: "info",
        help: "Log filter, for instance info or cortexiq_homes=debug",
    },
    Setting { name: "MACULA_LOG_FORMAT", default: "text", help: "text or json" },
];

/// A bot's own settings followed by those of the mesh and the admin port. Called once in a process.
pub fn merged(own: &[Setting]) -> &'static [Setting] {
    own.iter().chain(&MESH).chain(&ADMIN).copied().collect::<Vec<_>>().leak()
}

/// How to reach the mesh.
#[derive(Clone, Debug, Default)]
pub struct Mesh(Builder);

impl Mesh {
    /// Reads `MACULA_URL` and its kin; what is wrong becomes problems of `vars`.
    pub fn read(vars: &mut Vars) -> Self {
        match Builder::from_vars(|name| vars.optional(name)) {
            Ok(builder) => Self(builder),
            Err(error) => {
                error.problems.into_iter().for_each(|problem| vars.problem(problem));
                Self::default()
            }
        }
    }

    /// One gateway, everything else by default.
    pub fn at(url: impl Into<String>) -> Self {
        Self(Client::builder().url(url))
    }

    /// Connects under a name for the gateway's logs, trying until a gateway is there. A gateway that is there and will
    /// never take this client, for instance because it serves another realm, is an error.
    pub async fn connect(&self, name: &str) -> Result<Client, RunError> {
        until_connected(self.0.clone().name(name)).await
    }

    /// As [`connect`](Self::connect), with a session that the next process of this session's name takes over; without one if
    /// that name is empty.
    pub async fn connect_session(&self, name: &str, session: &str) -> Result<Client, RunError> {
        until_connected(self.0.clone().name(name).session_name(session)).await
    }
}

async fn until_connected(builder: Builder) -> Result<Client, RunError> {
    loop {
        match builder.clone().connect().await {
            Ok(client) => return Ok(client),
            Err(error) if is_final(&error) => return Err(error.into()),
            Err(error) => tracing::warn!(%error, "no gateway yet; trying again"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Whether trying again is of no use until somebody changes something.
fn is_final(error: &ConnectError) -> bool {
    match error.refusal() {
        Some((code, _)) => !matches!(code, Code::Unavailable | Code::ResourceExhausted),
        None => !matches!(error, ConnectError::Failed { .. }),
    }
}

/// Between attempts to connect at the start.
const AGAIN: Duration = Duration::from_secs(1);

/// Closes a client at the end of a bot's life. A gateway that is gone by then is told in the log, and no failure: it
/// may be stopping too.
pub async fn close(client: &Client) {
    if let Err(error) = client.close().await {
        tracing::warn!(%error, "not everything was accepted before the end");
    }
}

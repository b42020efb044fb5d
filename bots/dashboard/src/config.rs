//! Settings of the dashboard.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use cortexiq_shell::{Admin, Mesh};
use macula_proto::vars::{Problems, Setting, Vars};
use macula_transport::client::Roots;

use crate::sessions::{Password, Secret};
use crate::transport::GatewayUrl;

/// As in the deployment.
pub const DEFAULT_PORT: u16 = 4000;
/// As in the deployment.
pub const DEFAULT_HOST_NAME: &str = "dashboard.cortexiq.local";
const DEFAULT_URL: &str = "https://localhost:9443";
const DEFAULT_REALM: &str = "be.cortexiq.energy";

/// Settings of `cortex-iq-dashboard`, without those of the mesh.
pub const SETTINGS: &[Setting] = &[
    Setting { name: "PORT", default: "4000", help: "TCP port of the page" },
    Setting { name: "DASHBOARD_HOST", default: "::", help: "Address to listen on; :: takes IPv4 too" },
    Setting {
        name: "PHX_HOST",
        default: DEFAULT_HOST_NAME,
        help: "Name under which people open the page; pages of this machine may control without it",
    },
    Setting {
        name: "SECRET_KEY_BASE",
        default: "",
        help: "Signs sessions, at least 32 characters; made at every start unless given, which ends all sessions",
    },
    Setting {
        name: "DASHBOARD_PASSWORD_FILE",
        default: "",
        help: "File with the password for control; without one only this machine may control",
    },
    Setting {
        name: "DASHBOARD_TLS_CERT",
        default: "",
        help: "Certificate chain, PEM: the page is served by https",
    },
    Setting { name: "DASHBOARD_TLS_KEY", default: "", help: "Private key of the certificate, PEM" },
    Setting {
        name: "MACULA_PUBLIC_URL",
        default: "MACULA_URL's first",
        help: "Where browsers reach the gateway, https://host:port",
    },
    Setting {
        name: "DATABASE_URL",
        default: "",
        help: "Accepted and not used: the dashboard reads through the queries",
    },
];

/// What the dashboard is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// The mesh.
    pub mesh: Mesh,
    /// The gateway of the dashboard itself.
    pub gateway: GatewayUrl,
    /// Where browsers reach a gateway, when that is elsewhere.
    pub public: Option<GatewayUrl>,
    /// The realm that browsers ask for.
    pub realm: String,
    /// Whose certificates are trusted.
    pub roots: Roots,
    /// Where the page listens.
    pub listen: SocketAddr,
    /// The name under which people open it, besides those of this machine.
    pub host_name: String,
    /// Signs sessions.
    pub secret: Secret,
    /// Who knows it may control.
    pub password: Option<Password>,
    /// Serve by https.
    pub certificate: Option<Certificate>,
    /// Where the admin port listens.
    pub admin: Admin,
}

/// A certificate with its key, PEM files that are read anew when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Chain, leaf first.
    pub chain: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

impl Config {
    /// A page on this port for the mesh behind the gateway at `url`; control from this machine only.
    ///
    /// # Panics
    /// When `url` is not `https://host:port`.
    pub fn new(url: &str, port: u16) -> Self {
        Self {
            mesh: Mesh::at(url),
            gateway: url.parse().unwrap_or_else(|error| panic!("{url}: {error}")),
            public: None,
            realm: DEFAULT_REALM.to_owned(),
            roots: Roots::Development,
            listen: SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port),
            host_name: DEFAULT_HOST_NAME.to_owned(),
            secret: Secret::random(),
            password: None,
            certificate: None,
            admin: Admin::default(),
        }
    }

    /// Reads and checks all settings, and the files that they name.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn read(mut vars: Vars) -> Result<Self, Problems> {
        let mesh = Mesh::read(&mut vars);
        let admin = Admin::read(&mut vars);
        let host = vars.parse("DASHBOARD_HOST", IpAddr::from(Ipv6Addr::UNSPECIFIED));
        let listen = SocketAddr::new(host, vars.parse("PORT", DEFAULT_PORT));
        // What is wrong with it, `Mesh` tells.
        let first = vars.list("MACULA_URL").into_iter().next().unwrap_or_else(|| DEFAULT_URL.to_owned());
        let gateway = first.parse().unwrap_or_else(|_| DEFAULT_URL.parse().expect("a constant"));
        let public = vars.optional("MACULA_PUBLIC_URL").and_then(|url| {
            url.parse().map_err(|error| vars.problem(format!("MACULA_PUBLIC_URL={url}: {error}"))).ok()
        });
        let secret = match vars.optional("SECRET_KEY_BASE").map(|text| text.parse()) {
            None => Secret::random(),
            Some(Ok(secret)) => secret,
            Some(Err(error)) => {
                vars.problem(format!("SECRET_KEY_BASE: {error}"));
                Secret::random()
            }
        };
        let password = vars.optional("DASHBOARD_PASSWORD_FILE").map(PathBuf::from).and_then(|file| {
            let read = Password::read(&file);
            read.map_err(|error| vars.problem(format!("DASHBOARD_PASSWORD_FILE: {error}"))).ok()
        });
        let config = Self {
            mesh,
            gateway,
            public,
            realm: vars.text("MACULA_REALM", DEFAULT_REALM),
            roots: vars.optional("MACULA_CA").map_or(Roots::Development, |path| Roots::File(path.into())),
            listen,
            host_name: host_name(&mut vars),
            secret,
            password,
            certificate: certificate(&mut vars),
            admin,
        };
        if vars.optional("DATABASE_URL").is_some() {
            tracing::info!("DATABASE_URL is not used: the dashboard reads through the queries");
        }
        vars.finish()?;
        Ok(config)
    }
}

fn host_name(vars: &mut Vars) -> String {
    let name = vars.text("PHX_HOST", DEFAULT_HOST_NAME).to_ascii_lowercase();
    if name.contains(['/', ':', '@', ' ']) {
        vars.problem(format!("PHX_HOST={name}: a host name without scheme and port is needed"));
    }
    name
}

fn certificate(vars: &mut Vars) -> Option<Certificate> {
    match (vars.optional("DASHBOARD_TLS_CERT"), vars.optional("DASHBOARD_TLS_KEY")) {
        (Some(chain), Some(key)) => Some(Certificate { chain: chain.into(), key: key.into() }),
        (None, None) => None,
        (Some(_), None) => {
            vars.problem("DASHBOARD_TLS_CERT has no key; set DASHBOARD_TLS_KEY too".to_owned());
            None
        }
        (None, Some(_)) => {
            vars.problem("DASHBOARD_TLS_KEY has no certificate; set DASHBOARD_TLS_CERT too".to_owned());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[(&str, &str)]) -> Result<Config, Problems> {
        Config::read(Vars::new(values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))))
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let problems = read(&[
            ("PORT", "many"),
            ("SECRET_KEY_BASE", "short"),
            ("DASHBOARD_PASSWORD_FILE", "/nowhere/password"),
            ("DASHBOARD_TLS_KEY", "key.pem"),
            ("MACULA_PUBLIC_URL", "gateway:9443"),
            ("PHX_HOST", "https://dash"),
        ]);
        let problems = problems.expect_err("six mistakes").0;
        let names = [
            "PORT",
            "SECRET_KEY_BASE",
            "DASHBOARD_PASSWORD_FILE",
            "DASHBOARD_TLS_KEY",
            "MACULA_PUBLIC_URL",
            "PHX_HOST",
        ];
        for name in names {
            assert!(
                problems.iter().any(|problem| problem.starts_with(name)),
                "{name} is not in {problems:#?}"
            );
        }
        assert_eq!(problems.len(), names.len(), "{problems:#?}");
    }

    #[test]
    fn the_deployment_s_settings_are_taken() {
        let config = read(&[
            ("PORT", "4000"),
            ("PHX_HOST", "dashboard.cortexiq.local"),
            ("DATABASE_URL", "ecto://cortexiq@db/cortexiq"),
            ("SECRET_KEY_BASE", "0123456789abcdef0123456789abcdef"),
            ("MACULA_URL", "https://macula-gateway-service:9443"),
        ]);
        let config = config.expect("they are right");
        assert_eq!(config.gateway.to_string(), "https://macula-gateway-service:9443");
        assert_eq!((config.listen.port(), config.password), (4000, None));
    }
}

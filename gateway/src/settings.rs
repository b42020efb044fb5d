//! What a gateway is told from outside, read once at the start.

use crate::origins::Origins;
use crate::schemas::Schemas;
use macula_core::membership::{ADDRESSES, CONTACT_BYTES};
use macula_proto::limits;
use macula_proto::vars::{Problems, Setting, Vars};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Settings of `macula-gateway`, as `--help` lists them.
pub const SETTINGS: &[Setting] = &[
    Setting { name: "MACULA_GATEWAY_PORT", default: "9443", help: "UDP port for clients and other gateways" },
    Setting { name: "MACULA_GATEWAY_HOST", default: "::", help: "Address to listen on; :: takes IPv4 too" },
    Setting {
        name: "MACULA_ADMIN_PORT",
        default: "9444",
        help: "TCP port of /healthz, /readyz and /metrics",
    },
    Setting { name: "MACULA_ADMIN_HOST", default: "::", help: "Address that the admin port listens on" },
    Setting {
        name: "MACULA_ADMIN_TOKEN_FILE",
        default: "",
        help: "File with the token that the rest of the admin port asks for from other machines; without it they get none of it",
    },
    Setting {
        name: "MACULA_REALM",
        default: DEFAULT_REALM,
        help: "Namespace shared by all gateways of the mesh",
    },
    Setting {
        name: "MESH_PEERS",
        default: "",
        help: "Gateways to start from, comma-separated, as https://host:port; one is enough, the others are learnt",
    },
    Setting { name: "HUB_GATEWAY_URL", default: "", help: "One more gateway to start from" },
    Setting {
        name: "MACULA_ADVERTISE",
        default: "",
        help: "Addresses that other gateways dial, host:port list; else host name and port",
    },
    Setting { name: "MACULA_NODE_NAME", default: "", help: "Name of this gateway; its id derives from it" },
    Setting {
        name: "MACULA_STATE_DIR",
        default: "",
        help: "Directory that keeps the name of a gateway that is given none",
    },
    Setting { name: "MACULA_TLS_CERT", default: "", help: "Certificate chain, PEM; needs MACULA_TLS_KEY" },
    Setting { name: "MACULA_TLS_KEY", default: "", help: "Private key of the certificate, PEM" },
    Setting {
        name: "MACULA_TLS_CA",
        default: "",
        help: "CA of other gateways and of clients' certificates, PEM",
    },
    Setting {
        name: "MACULA_ORIGINS",
        default: "loopback",
        help: "Web pages that may connect: https://host[:port] list; loopback is pages of this machine, * all",
    },
    Setting {
        name: "MACULA_PAYLOAD_BYTES",
        default: "16777216",
        help: "Largest payload of a message that clients may send, in bytes; at most 16777216",
    },
    Setting {
        name: "MACULA_SCHEMAS",
        default: "",
        help: "FileDescriptorSet files, comma-separated: HTTP shows and takes these message types as JSON",
    },
    Setting {
        name: "MACULA_LOG",
        default: "info",
        help: "Log filter, for instance info or macula_gateway=debug",
    },
    Setting { name: "MACULA_LOG_FORMAT", default: "text", help: "text or json" },
];

/// Realm of a gateway that is told none.
pub const DEFAULT_REALM: &str = "be.cortexiq.energy";

/// Settings of a gateway, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where clients and other gateways connect to.
    pub listen: SocketAddr,
    /// Where the admin port listens; `None` for no admin port.
    pub admin: Option<SocketAddr>,
    /// File with the token for what the admin port does not tell everybody.
    pub admin_token_file: Option<PathBuf>,
    /// Namespace of the mesh.
    pub realm: String,
    /// Addresses to start from.
    pub peers: Vec<PeerAddress>,
    /// Addresses that others dial.
    pub advertise: Vec<String>,
    /// Name of this gateway, if it was given one.
    pub name: Option<String>,
    /// Where the name of a gateway that is given none is kept.
    pub state_dir: Option<PathBuf>,
    /// Certificate that was mounted; `None` for one of the development authority.
    pub certificate: Option<CertificateFiles>,
    /// Largest payload that clients may send.
    pub payload_bytes: usize,
    /// Web pages that may connect.
    pub origins: Origins,
    /// Message types that HTTP shows and takes as JSON.
    pub schemas: Schemas,
}

/// A mounted certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// Chain, leaf first, PEM.
    pub cert: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
    /// Authority of peers and clients, PEM; the platform's when none is given.
    pub ca: Option<PathBuf>,
}

/// A gateway to dial. The name is resolved anew at every attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerAddress {
    /// Host name or IP address.
    pub host: String,
    /// UDP port.
    pub port: u16,
}

impl Default for Settings {
    /// What a gateway is that is told nothing.
    fn default() -> Self {
        Self::read(Vars::new([])).expect("the defaults are right")
    }
}

impl Settings {
    /// Reads and checks all settings.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn read(mut vars: Vars) -> Result<Self, Problems> {
        let port = vars.parse("MACULA_GATEWAY_PORT", 9443u16);
        let host = vars.parse("MACULA_GATEWAY_HOST", std::net::IpAddr::from([0u16; 8]));
        let admin_port = vars.parse("MACULA_ADMIN_PORT", 9444u16);
        let admin_host = vars.parse("MACULA_ADMIN_HOST", std::net::IpAddr::from([0u16; 8]));
        let payload_bytes = vars.parse("MACULA_PAYLOAD_BYTES", limits::PAYLOAD_BYTES);
        if !(1..=limits::PAYLOAD_BYTES).contains(&payload_bytes) {
            let most = limits::PAYLOAD_BYTES;
            vars.problem(format!("MACULA_PAYLOAD_BYTES={payload_bytes}: write a number from 1 to {most}"));
        }
        let realm = vars.text("MACULA_REALM", DEFAULT_REALM);
        if let Err(error) = realm.parse::<macula_proto::Topic>() {
            vars.problem(format!("MACULA_REALM={realm}: {error}"));
        }
        let mut peers = Vec::new();
        for name in ["MESH_PEERS", "HUB_GATEWAY_URL"] {
            for text in vars.list(name) {
                match text.parse::<PeerAddress>() {
                    Ok(peer) if !peers.contains(&peer) => peers.push(peer),
                    Ok(_) => {}
                    Err(error) => vars.problem(format!("{name}: {error}")),
                }
            }
        }
        let advertise = vars.list("MACULA_ADVERTISE");
        for text in &advertise {
            if let Err(error) = text.parse::<PeerAddress>() {
                vars.problem(format!("MACULA_ADVERTISE: {error}"));
            }
        }
        let bytes: usize = advertise.iter().map(String::len).sum();
        if advertise.len() > ADDRESSES || bytes > CONTACT_BYTES / 2 {
            let most = CONTACT_BYTES / 2;
            vars.problem(format!(
                "MACULA_ADVERTISE: at most {ADDRESSES} addresses, of {most} bytes together"
            ));
        }
        let name = vars.optional("MACULA_NODE_NAME");
        if name.as_ref().is_some_and(|name| name.len() > CONTACT_BYTES / 2) {
            vars.problem(format!("MACULA_NODE_NAME: more than {} bytes", CONTACT_BYTES / 2));
        }
        let admin_token_file = Self::admin_token_file(&mut vars);
        let certificate = Self::certificate(&mut vars);
        let origins = Self::origins(&mut vars);
        let schemas = Self::schemas(&mut vars);
        let settings = Self {
            listen: SocketAddr::new(host, port),
            admin: Some(SocketAddr::new(admin_host, admin_port)),
            admin_token_file,
            realm,
            peers,
            advertise,
            name,
            state_dir: vars.optional("MACULA_STATE_DIR").map(PathBuf::from),
            certificate,
            payload_bytes,
            origins,
            schemas,
        };
        vars.finish()?;
        Ok(settings)
    }

    fn admin_token_file(vars: &mut Vars) -> Option<PathBuf> {
        let file = vars.optional("MACULA_ADMIN_TOKEN_FILE").map(PathBuf::from)?;
        match std::fs::read_to_string(&file) {
            Ok(token) if token.trim().is_empty() => {
                vars.problem(format!("MACULA_ADMIN_TOKEN_FILE: {} is empty", file.display()));
            }
            Ok(_) => {}
            Err(error) => {
                vars.problem(format!("MACULA_ADMIN_TOKEN_FILE: cannot read {}: {error}", file.display()));
            }
        }
        Some(file)
    }

    fn origins(vars: &mut Vars) -> Origins {
        let items = vars.list("MACULA_ORIGINS");
        if items.is_empty() {
            return Origins::default();
        }
        Origins::parse(items.iter().map(String::as_str)).unwrap_or_else(|errors| {
            errors.iter().for_each(|error| vars.problem(format!("MACULA_ORIGINS: {error}")));
            Origins::default()
        })
    }

    fn schemas(vars: &mut Vars) -> Schemas {
        let files: Vec<PathBuf> = vars.list("MACULA_SCHEMAS").into_iter().map(PathBuf::from).collect();
        Schemas::load(&files).unwrap_or_else(|errors| {
            errors.iter().for_each(|error| vars.problem(format!("MACULA_SCHEMAS: {error}")));
            Schemas::default()
        })
    }

    fn certificate(vars: &mut Vars) -> Option<CertificateFiles> {
        let file = |name: &str| vars.optional(name).map(PathBuf::from);
        let (cert, key, ca) = (file("MACULA_TLS_CERT"), file("MACULA_TLS_KEY"), file("MACULA_TLS_CA"));
        match (cert, key) {
            (Some(cert), Some(key)) => Some(CertificateFiles { cert, key, ca }),
            (None, None) => {
                if ca.is_some() {
                    vars.problem(
                        "MACULA_TLS_CA is set without MACULA_TLS_CERT and MACULA_TLS_KEY".to_owned(),
                    );
                }
                None
            }
            (Some(_), None) => {
                vars.problem(
                    "MACULA_TLS_CERT is set without MACULA_TLS_KEY: set both, or none for development"
                        .to_owned(),
                );
                None
            }
            (None, Some(_)) => {
                vars.problem(
                    "MACULA_TLS_KEY is set without MACULA_TLS_CERT: set both, or none for development"
                        .to_owned(),
                );
                None
            }
        }
    }
}

impl std::str::FromStr for PeerAddress {
    type Err = PeerAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |reason| PeerAddressError { text: text.to_owned(), reason };
        let rest = text.strip_prefix("https://").unwrap_or(text).trim_end_matches('/');
        if rest.contains("://") || rest.contains('/') {
            return Err(wrong("write it as https://host:port"));
        }
        let (host, port) =
            rest.rsplit_once(':').ok_or_else(|| wrong("the port is missing: write https://host:9443"))?;
        let port = port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| wrong("the port is no number from 1 to 65535"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(wrong("the host is missing"));
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl std::fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Text that is no address of a gateway.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no gateway address: {reason}")]
pub struct PeerAddressError {
    text: String,
    reason: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[(&str, &str)]) -> Result<Settings, Problems> {
        let mut vars =
            Vars::new(values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        vars.check_names(SETTINGS);
        Settings::read(vars)
    }

    #[test]
    fn the_seed_configuration_is_understood() {
        let settings = read(&[
            ("MACULA_GATEWAY_PORT", "9443"),
            ("MACULA_REALM", "be.cortexiq.energy"),
            (
                "MESH_PEERS",
                "https://gateway-antwerp:9443,https://gateway-brabant:9443, https://gateway-efl:9443",
            ),
            ("HUB_GATEWAY_URL", "https://gateway-antwerp:9443"),
            ("MACULA_GATEWAY_SERVICE_PORT", "9443"),
        ])
        .unwrap();
        let peers: Vec<String> = settings.peers.iter().map(ToString::to_string).collect();
        assert_eq!(peers, ["gateway-antwerp:9443", "gateway-brabant:9443", "gateway-efl:9443"]);
    }

    #[test]
    fn every_problem_is_told() {
        let problems = read(&[
            ("MACULA_GATEWAY_PORT", "99999"),
            ("MACULA_TLS_CERT", "/tls.crt"),
            ("MESH_PEERS", "gateway-antwerp"),
            ("MACULA_REALM", "a..b"),
            ("MACULA_ORIGINS", "example.com, https://example.com/page"),
            ("MACULA_SCHEMAS", "/nowhere/a.bin, Cargo.toml"),
            ("MACULA_ADMIN_TOKEN_FILE", "/nowhere/token"),
        ])
        .unwrap_err()
        .0;
        assert_eq!(problems.len(), 9, "{problems:#?}");
        assert!(
            problems.iter().any(|problem| problem.contains("/nowhere/a.bin: No such file")),
            "{problems:#?}"
        );
    }
}

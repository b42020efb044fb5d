//! Who this gateway is: name, id, epoch, certificate.

use crate::settings::{CertificateFiles, Settings};
use macula_core::{Identity, NodeId};
use macula_transport::tls::{self, CertSlot, ClientTls, DevAuthority, GatewayUri, RootCertStore, ServerTls};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// The identity of a gateway that listens on `port`.
pub(crate) fn identity(settings: &Settings, port: u16) -> Result<Identity, String> {
    let host = host_name();
    let (name, node) = match (&settings.name, &settings.state_dir) {
        (Some(name), _) => (name.clone(), derived(&settings.realm, name)),
        (None, Some(dir)) => {
            let id = stored(dir)?;
            (format!("{host}-{}", &id.simple().to_string()[..8]), id)
        }
        (None, None) => {
            // A port that the system chooses says nothing about who we are.
            let suffix = if port == 0 { Uuid::new_v4().simple().to_string() } else { port.to_string() };
            let name = format!("{host}-{suffix}");
            let id = derived(&settings.realm, &name);
            (name, id)
        }
    };
    let advertise = if settings.advertise.is_empty() {
        vec![format!("{host}:{port}")]
    } else {
        settings.advertise.clone()
    };
    let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    Ok(Identity { node: NodeId(node.into_bytes()), name, realm: settings.realm.clone(), epoch, advertise })
}

/// The same name in the same realm is the same gateway, on whatever machine it runs.
fn derived(realm: &str, name: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("macula://{realm}/gateway/{name}").as_bytes())
}

/// The id in the state directory, made at the first start.
fn stored(dir: &Path) -> Result<Uuid, String> {
    let path = dir.join("node-id");
    let wrong = |error: &dyn std::fmt::Display| format!("MACULA_STATE_DIR: {}: {error}", path.display());
    match std::fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map_err(|error: uuid::Error| wrong(&error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let id = Uuid::new_v4();
            std::fs::create_dir_all(dir).map_err(|error| wrong(&error))?;
            std::fs::write(&path, format!("{id}\n")).map_err(|error| wrong(&error))?;
            Ok(id)
        }
        Err(error) => Err(wrong(&error)),
    }
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let legal: String =
        name.trim().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '.').collect();
    if legal.is_empty() { "localhost".to_owned() } else { legal }
}

/// Certificates of the gateway, and whom it trusts.
pub(crate) struct Trust {
    slot: Arc<CertSlot>,
    roots: RootCertStore,
    /// The same after a restart, and known to nobody else.
    reset_secret: Vec<u8>,
    /// Who renews the certificate; none for a mounted one.
    authority: Option<(DevAuthority, Vec<String>, GatewayUri)>,
}

impl Trust {
    /// Loads the mounted certificate, or has the development authority issue one.
    pub(crate) fn establish(identity: &Identity, files: Option<&CertificateFiles>) -> Result<Self, String> {
        match files {
            Some(files) => Self::mounted(identity, files),
            None => Self::development(identity),
        }
    }

    fn mounted(own: &Identity, files: &CertificateFiles) -> Result<Self, String> {
        let loaded = tls::load(Some(&files.cert), Some(&files.key), files.ca.as_deref())
            .map_err(|error| crate::chain(&error))?;
        let identity = loaded.identity.ok_or("MACULA_TLS_CERT holds no certificate")?;
        let roots = match loaded.roots {
            Some(roots) => roots,
            None => tls::platform_roots().map_err(|error| crate::chain(&error))?,
        };
        let key = std::fs::read(&files.key).map_err(|error| format!("{}: {error}", files.key.display()))?;
        let reset_secret = [&key[..], &own.node.0[..]].concat();
        Ok(Self { slot: CertSlot::new(identity), roots, reset_secret, authority: None })
    }

    fn development(identity: &Identity) -> Result<Self, String> {
        let dir = DevAuthority::default_dir(|name| std::env::var_os(name));
        let authority = DevAuthority::open_or_create(&dir).map_err(|error| crate::chain(&error))?;
        let uri = GatewayUri::new(&identity.realm, &identity.name).map_err(|error| crate::chain(&error))?;
        let names: Vec<String> = identity
            .advertise
            .iter()
            .filter_map(|address| address.parse::<crate::settings::PeerAddress>().ok())
            .map(|address| address.host)
            .collect();
        let leaf = authority.issue(&names, Some(&uri)).map_err(|error| crate::chain(&error))?;
        let reset_secret = authority.secret(&format!("stateless resets of {}", identity.node));
        let roots = authority.roots();
        let authority = Some((authority, names, uri));
        Ok(Self { slot: CertSlot::new(leaf), roots, reset_secret, authority })
    }

    /// What the listener's stateless resets are made from, so that clients of a killed gateway notice at once.
    pub(crate) fn reset_secret(&self) -> &[u8] {
        &self.reset_secret
    }

    /// TLS of the listener.
    pub(crate) fn server(&self) -> Result<ServerTls, String> {
        ServerTls::new(self.slot.clone(), Some(self.roots.clone())).map_err(|error| crate::chain(&error))
    }

    /// TLS of links that this gateway dials.
    pub(crate) fn link(&self) -> Result<ClientTls, String> {
        ClientTls::link(self.roots.clone(), self.slot.clone()).map_err(|error| crate::chain(&error))
    }

    /// TLS of the look at our own listener.
    pub(crate) fn own(&self) -> Result<ClientTls, String> {
        ClientTls::own(self.slot.clone()).map_err(|error| crate::chain(&error))
    }

    /// Renews a development certificate before it expires, for ever.
    pub(crate) async fn renew(&self) {
        let Some((authority, names, uri)) = &self.authority else { return std::future::pending().await };
        loop {
            let due = self.slot.current().renew_at();
            let wait = due.duration_since(SystemTime::now()).unwrap_or_default();
            // In steps, since a suspended machine does not count sleep.
            tokio::time::sleep(wait.min(std::time::Duration::from_secs(3600))).await;
            if SystemTime::now() < due {
                continue;
            }
            match authority.issue(names, Some(uri)) {
                Ok(leaf) => {
                    self.slot.replace(leaf);
                    tracing::info!("the development certificate was renewed");
                }
                Err(error) => {
                    tracing::error!(
                        error = crate::chain(&error),
                        "the development certificate cannot be renewed"
                    );
                    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
                }
            }
        }
    }
}

//! Certificates of the gateway, and whom it trusts: from the development authority, or mounted and taken up when they
//! change, for the listener and for links.

use crate::settings::CertificateFiles;
use macula_core::Identity;
use macula_transport::tls::{
    self, CertSlot, ClientTls, DevAuthority, GatewayUri, Mounted, RootCertStore, ServerTls, TrustSlot,
};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How often mounted files are read. Kubernetes itself needs up to a minute to bring a changed Secret to a node, and
/// three small files cost nothing.
const LOOK: Duration = Duration::from_secs(2);

/// Certificates of the gateway, and whom it trusts.
pub(crate) struct Trust {
    slot: Arc<CertSlot>,
    peers: Arc<TrustSlot>,
    /// The same after a restart, and known to nobody else.
    reset_secret: Vec<u8>,
    source: Source,
}

/// Where certificates come from, also the next ones.
enum Source {
    Development { authority: Box<DevAuthority>, names: Vec<String>, uri: GatewayUri },
    Mounted(RefCell<Watch>),
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
        let mut watch = Watch::new(files.clone());
        let Mounted { identity, roots } = watch.read()?;
        let identity = identity.ok_or("MACULA_TLS_CERT holds no certificate")?;
        let roots = match roots {
            Some(roots) => roots,
            None => tls::platform_roots().map_err(|error| crate::chain(&error))?,
        };
        if identity.gateway().is_none_or(|gateway| gateway.realm() != own.realm) {
            let realm = &own.realm;
            tracing::warn!(
                realm,
                "the certificate names no gateway of this realm: other gateways will refuse it"
            );
        }
        let key = std::fs::read(&files.key).map_err(|error| format!("{}: {error}", files.key.display()))?;
        let reset_secret = [&key[..], &own.node.0[..]].concat();
        Self::new(identity, roots, reset_secret, Source::Mounted(RefCell::new(watch)))
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
        Self::new(
            leaf,
            roots,
            reset_secret,
            Source::Development { authority: Box::new(authority), names, uri },
        )
    }

    fn new(
        identity: tls::Identity,
        roots: RootCertStore,
        reset_secret: Vec<u8>,
        source: Source,
    ) -> Result<Self, String> {
        let peers = TrustSlot::new(roots).map_err(|error| crate::chain(&error))?;
        Ok(Self { slot: CertSlot::new(identity), peers, reset_secret, source })
    }

    /// What the listener's stateless resets are made from, so that clients of a killed gateway notice at once.
    pub(crate) fn reset_secret(&self) -> &[u8] {
        &self.reset_secret
    }

    /// TLS of the listener.
    pub(crate) fn server(&self) -> Result<ServerTls, String> {
        ServerTls::new(self.slot.clone(), Some(self.peers.clone())).map_err(|error| crate::chain(&error))
    }

    /// TLS of links that this gateway dials.
    pub(crate) fn link(&self) -> Result<ClientTls, String> {
        ClientTls::link(self.peers.clone(), self.slot.clone()).map_err(|error| crate::chain(&error))
    }

    /// TLS of the look at our own listener.
    pub(crate) fn own(&self) -> Result<ClientTls, String> {
        ClientTls::own(self.slot.clone()).map_err(|error| crate::chain(&error))
    }

    /// Renews a development certificate before it expires, or takes up mounted ones that change, for ever.
    pub(crate) async fn renew(&self) {
        match &self.source {
            Source::Development { authority, names, uri } => self.reissue(authority, names, uri).await,
            Source::Mounted(watch) => self.reload(watch).await,
        }
    }

    async fn reload(&self, watch: &RefCell<Watch>) {
        loop {
            tokio::time::sleep(LOOK).await;
            let Some(outcome) = watch.borrow_mut().look() else { continue };
            match outcome.and_then(|mounted| self.take_up(mounted)) {
                Ok(()) => tracing::info!("the mounted certificates were reloaded"),
                Err(reason) => {
                    tracing::error!(reason, "the mounted certificates are unusable; the last good ones stay");
                }
            }
        }
    }

    /// Both or neither: a certificate whose authority is not trusted yet would cut the gateway off.
    fn take_up(&self, mounted: Mounted) -> Result<(), String> {
        let identity = mounted.identity.ok_or("MACULA_TLS_CERT holds no certificate")?;
        if let Some(roots) = mounted.roots {
            self.peers.replace(roots).map_err(|error| crate::chain(&error))?;
        }
        self.slot.replace(identity);
        Ok(())
    }

    async fn reissue(&self, authority: &DevAuthority, names: &[String], uri: &GatewayUri) {
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

/// Mounted files, and what they held when they were last read.
struct Watch {
    files: CertificateFiles,
    seen: Vec<Option<Vec<u8>>>,
}

impl Watch {
    fn new(files: CertificateFiles) -> Self {
        Self { files, seen: Vec::new() }
    }

    /// What is mounted now.
    fn read(&mut self) -> Result<Mounted, String> {
        self.seen = self.contents();
        let CertificateFiles { cert, key, ca } = &self.files;
        tls::load(Some(cert), Some(key), ca.as_deref()).map_err(|error| crate::chain(&error))
    }

    /// What is mounted now, if that is another thing than at the last look. Files that are being replaced one by one are
    /// an error until all are there, and that is a change again.
    fn look(&mut self) -> Option<Result<Mounted, String>> {
        (self.contents() != self.seen).then(|| self.read())
    }

    /// Kubernetes exchanges a link to a folder, so neither times nor inodes of the files say anything.
    fn contents(&self) -> Vec<Option<Vec<u8>>> {
        let CertificateFiles { cert, key, ca } = &self.files;
        [Some(cert), Some(key), ca.as_ref()]
            .into_iter()
            .flatten()
            .map(|path| std::fs::read(path).ok())
            .collect()
    }
}

#[cfg(test)]
mod tests;

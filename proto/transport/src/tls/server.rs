//! TLS of a listener: one certificate for clients and links, client certificates welcome.

use std::sync::Arc;

use quinn::crypto::rustls::QuicServerConfig;
use rustls::version::TLS13;

use super::{CertSlot, TlsError, TrustSlot, provider};
use crate::{ALPN_H3, ALPN_MESH};

/// TLS settings of a listener.
#[derive(Clone, Debug)]
pub struct ServerTls {
    config: Arc<rustls::ServerConfig>,
    slot: Arc<CertSlot>,
}

impl ServerTls {
    /// Presents what `slot` holds. A client certificate is requested and, when given, must be issued by one whom
    /// `clients` trusts; a client without one is let in, and links check with [`peer_gateway`](super::peer_gateway).
    /// Without `clients` none is requested, and links are impossible.
    ///
    /// # Errors
    /// When rustls refuses the settings.
    pub fn new(slot: Arc<CertSlot>, clients: Option<Arc<TrustSlot>>) -> Result<Self, TlsError> {
        let builder =
            rustls::ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13])?;
        let builder = match clients {
            Some(trust) => builder.with_client_cert_verifier(trust),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(slot.clone());
        config.alpn_protocols = vec![ALPN_H3.to_vec(), ALPN_MESH.to_vec()];
        // Most clients name AES-256 first; both are strong, and the server pays for all of them.
        config.ignore_client_order = true;
        Ok(Self { config: Arc::new(config), slot })
    }

    /// Where its certificate is taken from, to replace it.
    pub fn slot(&self) -> &Arc<CertSlot> {
        &self.slot
    }

    pub(crate) fn quic(&self) -> Arc<QuicServerConfig> {
        let config = QuicServerConfig::try_from(self.config.clone());
        Arc::new(config.expect("our provider has the cipher of QUIC's first packets"))
    }
}

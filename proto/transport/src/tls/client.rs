//! TLS of a dialling peer: a client's session, or a gateway's link.

use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use rustls::RootCertStore;
use rustls::version::TLS13;

use super::pinned::OwnCertificate;
use super::{CertSlot, TlsError, TrustSlot, provider};
use crate::{ALPN_H3, ALPN_MESH};

/// TLS settings of a dialling peer. Keep and reuse them: they remember sessions for a quicker handshake.
#[derive(Clone, Debug)]
pub struct ClientTls {
    config: Arc<rustls::ClientConfig>,
}

impl ClientTls {
    /// For sessions and plain HTTP/3: trusts `roots`, and presents the certificate in `slot` if there is one.
    ///
    /// # Errors
    /// When rustls refuses the settings.
    pub fn session(roots: RootCertStore, slot: Option<Arc<CertSlot>>) -> Result<Self, TlsError> {
        let builder = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots);
        let mut config = match slot {
            Some(slot) => builder.with_client_cert_resolver(slot),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![ALPN_H3.to_vec()];
        Ok(Self { config: Arc::new(config) })
    }

    /// For links between gateways: both sides present and verify certificates.
    ///
    /// # Errors
    /// When rustls refuses the settings.
    pub fn link(trust: Arc<TrustSlot>, slot: Arc<CertSlot>) -> Result<Self, TlsError> {
        let mut config = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(trust)
            .with_client_cert_resolver(slot);
        config.alpn_protocols = vec![ALPN_MESH.to_vec()];
        Ok(Self { config: Arc::new(config) })
    }

    /// For a gateway's look at its own listener: trusts the certificate in `slot` and no other.
    ///
    /// # Errors
    /// When rustls refuses the settings.
    pub fn own(slot: Arc<CertSlot>) -> Result<Self, TlsError> {
        let mut config = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(OwnCertificate(slot)))
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN_H3.to_vec()];
        Ok(Self { config: Arc::new(config) })
    }

    pub(crate) fn quic(&self) -> Arc<QuicClientConfig> {
        let config = QuicClientConfig::try_from(self.config.clone());
        Arc::new(config.expect("our provider has the cipher of QUIC's first packets"))
    }
}

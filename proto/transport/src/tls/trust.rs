//! Whom both ends trust, replaceable while they run.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

use super::{TlsError, provider};

/// Holds the authorities that certificates of new connections have to come from. Replacing them leaves running
/// connections alone.
#[derive(Debug)]
pub struct TrustSlot {
    verifiers: ArcSwap<Verifiers>,
    /// Tells clients which of their certificates are of interest; those of the beginning, since this is borrowed.
    hints: Vec<DistinguishedName>,
}

#[derive(Debug)]
struct Verifiers {
    clients: Arc<dyn ClientCertVerifier>,
    servers: Arc<WebPkiServerVerifier>,
}

impl TrustSlot {
    /// A slot that trusts `roots`.
    ///
    /// # Errors
    /// When the roots are unusable.
    pub fn new(roots: RootCertStore) -> Result<Arc<Self>, TlsError> {
        let verifiers = Verifiers::new(roots)?;
        let hints = verifiers.clients.root_hint_subjects().to_vec();
        Ok(Arc::new(Self { verifiers: ArcSwap::from_pointee(verifiers), hints }))
    }

    /// Trusts `roots`, and no others, from now on.
    ///
    /// # Errors
    /// When the roots are unusable; the old ones stay then.
    pub fn replace(&self, roots: RootCertStore) -> Result<(), TlsError> {
        self.verifiers.store(Arc::new(Verifiers::new(roots)?));
        Ok(())
    }
}

impl Verifiers {
    fn new(roots: RootCertStore) -> Result<Self, TlsError> {
        let roots = Arc::new(roots);
        let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider())
            .allow_unauthenticated()
            .build()?;
        let servers = WebPkiServerVerifier::builder_with_provider(roots, provider()).build()?;
        Ok(Self { clients, servers })
    }
}

/// A certificate is welcome and not demanded.
impl ClientCertVerifier for TrustSlot {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verifiers.load().clients.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifiers.load().clients.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifiers.load().clients.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifiers.load().clients.supported_verify_schemes()
    }
}

impl ServerCertVerifier for TrustSlot {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verifiers = self.verifiers.load();
        verifiers.servers.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifiers.load().servers.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifiers.load().servers.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifiers.load().servers.supported_verify_schemes()
    }
}

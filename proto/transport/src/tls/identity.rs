//! A certificate with its key, and the slot from which connections take the current one.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::oid_registry::OID_EC_P256;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::{GatewayUri, provider};

/// A certificate chain with the key of its leaf, known to belong together.
#[derive(Clone, Debug)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Identity {
    /// Puts a chain (leaf first) and the leaf's key together.
    ///
    /// # Errors
    /// [`IdentityError`] when the chain is empty or unreadable, or the key is not the leaf's.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, IdentityError> {
        let leaf = chain.first().ok_or(IdentityError::NoCertificate)?;
        let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| IdentityError::BadCertificate)?;
        let not_before = time_of(parsed.validity().not_before.timestamp());
        let not_after = time_of(parsed.validity().not_after.timestamp());
        let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => IdentityError::OtherKey,
            source => IdentityError::BadKey(source),
        })?;
        Ok(Self { certified: Arc::new(certified), not_before, not_after })
    }

    /// The chain, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// SHA-256 of the leaf, as browsers take it in `serverCertificateHashes`.
    pub fn sha256(&self) -> [u8; 32] {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.certified.cert[0]);
        digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    /// The end of its validity.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// When to replace it: after half of its life, so that a page that knows the old hash still has time.
    pub fn renew_at(&self) -> SystemTime {
        self.not_before + self.not_after.duration_since(self.not_before).unwrap_or_default() / 2
    }

    /// The host names and IP addresses that it is for, sorted.
    pub fn names(&self) -> Vec<String> {
        let Ok((_, parsed)) = X509Certificate::from_der(&self.certified.cert[0]) else { return Vec::new() };
        let Ok(Some(extension)) = parsed.subject_alternative_name() else { return Vec::new() };
        let name = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress([a, b, c, d]) => Some(IpAddr::from([*a, *b, *c, *d]).to_string()),
            GeneralName::IPAddress(bytes) => {
                <[u8; 16]>::try_from(*bytes).ok().map(|ip| IpAddr::from(ip).to_string())
            }
            _ => None,
        };
        let mut names: Vec<String> = extension.value.general_names.iter().filter_map(name).collect();
        names.sort();
        names
    }

    /// The gateway it names, if it names one.
    pub fn gateway(&self) -> Option<GatewayUri> {
        GatewayUri::of_certificate(&self.certified.cert[0]).ok()
    }
}

/// SHA-256 of a certificate if browsers take it by that, as `serverCertificateHashes`: its key is ECDSA P-256 and it lives at
/// most 14 days. Others have to be signed by an authority that the browser knows.
pub fn hash_for_browsers(certificate: &CertificateDer<'_>) -> Option<[u8; 32]> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let validity = parsed.validity();
    let seconds = validity.not_after.timestamp() - validity.not_before.timestamp();
    let parameters = parsed.public_key().algorithm.parameters.as_ref()?;
    let is_p256 = parameters.as_oid().is_ok_and(|curve| curve == OID_EC_P256);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
    (is_p256 && seconds <= BROWSERS_LONGEST_LIFE)
        .then(|| digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

/// Two weeks in seconds, from the specification of WebTransport.
const BROWSERS_LONGEST_LIFE: i64 = 14 * 24 * 60 * 60;

fn time_of(unix: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(unix.max(0).unsigned_abs())
}

/// Certificate and key do not make an identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// There is no certificate.
    #[error("no certificate")]
    NoCertificate,
    /// The leaf is no X.509 certificate.
    #[error("the first certificate cannot be read")]
    BadCertificate,
    /// The key belongs to another certificate.
    #[error("the key does not belong to the first certificate")]
    OtherKey,
    /// The key is unusable.
    #[error("the key cannot be used")]
    BadKey(#[source] rustls::Error),
}

/// Holds the identity that new connections present. Replacing it leaves running connections alone.
#[derive(Debug)]
pub struct CertSlot(ArcSwap<Identity>);

impl CertSlot {
    /// A slot that holds `identity`.
    pub fn new(identity: Identity) -> Arc<Self> {
        Arc::new(Self(ArcSwap::from_pointee(identity)))
    }

    /// Presents `identity` from now on.
    pub fn replace(&self, identity: Identity) {
        self.0.store(Arc::new(identity));
    }

    /// What is presented now.
    pub fn current(&self) -> Arc<Identity> {
        self.0.load_full()
    }
}

impl ResolvesServerCert for CertSlot {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load().certified.clone())
    }
}

impl ResolvesClientCert for CertSlot {
    fn resolve(&self, _roots: &[&[u8]], _schemes: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load().certified.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

//! The name of a gateway inside its certificate: `macula://<realm>/gateway/<name>`.

use std::fmt;
use std::str::FromStr;

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

const SCHEME: &str = "macula://";

/// Identity of a gateway, as a URI in its certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GatewayUri {
    realm: String,
    name: String,
}

impl GatewayUri {
    /// The gateway `name` of `realm`.
    ///
    /// # Errors
    /// [`GatewayUriError`] when a part is empty or has other characters than letters, digits, `.`, `-` and `_`.
    pub fn new(realm: &str, name: &str) -> Result<Self, GatewayUriError> {
        for part in [realm, name] {
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
            if part.is_empty() || !part.bytes().all(legal) {
                return Err(GatewayUriError(part.to_owned()));
            }
        }
        Ok(Self { realm: realm.to_owned(), name: name.to_owned() })
    }

    /// The realm it belongs to.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Its name in the realm.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The gateway that a certificate names. The certificate is read, not verified.
    ///
    /// # Errors
    /// [`PeerGatewayError`] when it names none.
    pub fn of_certificate(certificate: &CertificateDer<'_>) -> Result<Self, PeerGatewayError> {
        let (_, parsed) =
            X509Certificate::from_der(certificate).map_err(|_| PeerGatewayError::BadCertificate)?;
        let names = parsed.subject_alternative_name().map_err(|_| PeerGatewayError::BadCertificate)?;
        names
            .iter()
            .flat_map(|extension| &extension.value.general_names)
            .find_map(|name| match name {
                GeneralName::URI(uri) => uri.parse().ok(),
                _ => None,
            })
            .ok_or(PeerGatewayError::NoGateway)
    }
}

impl fmt::Display for GatewayUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/gateway/{}", self.realm, self.name)
    }
}

impl FromStr for GatewayUri {
    type Err = GatewayUriError;

    fn from_str(uri: &str) -> Result<Self, Self::Err> {
        let parts = uri.strip_prefix(SCHEME).and_then(|rest| rest.split_once("/gateway/"));
        let (realm, name) = parts.ok_or_else(|| GatewayUriError(uri.to_owned()))?;
        Self::new(realm, name)
    }
}

/// Not the URI of a gateway, or not a part of one.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} does not fit macula://<realm>/gateway/<name>")]
pub struct GatewayUriError(String);

/// The gateway at the other end of a connection, by its verified certificate.
///
/// # Errors
/// [`PeerGatewayError`] when it presented no certificate, or one that names no gateway.
pub fn peer_gateway(connection: &quinn::Connection) -> Result<GatewayUri, PeerGatewayError> {
    let chain = connection
        .peer_identity()
        .and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok())
        .ok_or(PeerGatewayError::NoCertificate)?;
    GatewayUri::of_certificate(chain.first().ok_or(PeerGatewayError::NoCertificate)?)
}

/// A peer is not known to be a gateway.
#[derive(Debug, thiserror::Error)]
pub enum PeerGatewayError {
    /// It presented no certificate.
    #[error("the peer presented no certificate")]
    NoCertificate,
    /// Its certificate cannot be read.
    #[error("the certificate of the peer cannot be read")]
    BadCertificate,
    /// Its certificate is not a gateway's.
    #[error("the certificate of the peer has no macula://<realm>/gateway/<name> name")]
    NoGateway,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_parsed() {
        let uri = GatewayUri::new("be.cortexiq.energy", "be-antwerp").unwrap();
        assert_eq!(uri.to_string(), "macula://be.cortexiq.energy/gateway/be-antwerp");
        assert_eq!(uri.to_string().parse::<GatewayUri>().unwrap(), uri);
    }

    #[test]
    fn other_uris_are_refused() {
        for uri in
            ["https://a/gateway/b", "macula://a/b", "macula:///gateway/b", "macula://a/gateway/b/c", ""]
        {
            uri.parse::<GatewayUri>().unwrap_err();
        }
    }
}

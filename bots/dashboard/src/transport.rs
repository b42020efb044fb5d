//! How a page reaches the gateway by itself: its address, and the certificate that it shows at this moment.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use macula_transport::client::{Dialer, Roots};
use macula_transport::tls::hash_for_browsers;
use serde_json::json;
use tokio::sync::Mutex;

use crate::state::App;
use crate::visitor::{Visitor, is_loopback_name};

/// `https://host:port` of a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayUrl {
    host: String,
    port: u16,
}

impl FromStr for GatewayUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "write it as https://host:port";
        let uri: Uri = text.parse().map_err(|_| wrong)?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(wrong)?;
        let is_bare = uri.path() == "/" && uri.query().is_none();
        match uri.scheme_str() == Some("https") && is_bare {
            true => Ok(Self {
                host: host.trim_matches(['[', ']']).to_owned(),
                port: uri.port_u16().unwrap_or(GATEWAY_PORT),
            }),
            false => Err(wrong),
        }
    }
}

impl fmt::Display for GatewayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "https://[{}]:{}", self.host, self.port),
            false => write!(f, "https://{}:{}", self.host, self.port),
        }
    }
}

/// Where browsers go, and what they have to trust there.
#[derive(Debug)]
pub(crate) struct Transport {
    gateway: GatewayUrl,
    public: Option<GatewayUrl>,
    realm: String,
    roots: Roots,
    looked: Mutex<Option<Look>>,
}

/// What a look at the gateway gave: newest first, the hash that is shown now and the one before it.
#[derive(Debug, Clone)]
struct Look {
    at: Instant,
    hashes: Vec<String>,
    problem: Option<String>,
}

impl Transport {
    pub(crate) fn new(gateway: GatewayUrl, public: Option<GatewayUrl>, realm: String, roots: Roots) -> Self {
        Self { gateway, public, realm, roots, looked: Mutex::default() }
    }

    /// Where a page that was opened under this name reaches the gateway. `localhost` is another machine for a page that
    /// was opened from there.
    pub(crate) fn url_for(&self, page: &str) -> GatewayUrl {
        match &self.public {
            Some(public) => public.clone(),
            None if is_loopback_name(&self.gateway.host) && !page.is_empty() => {
                GatewayUrl { host: page.to_owned(), port: self.gateway.port }
            }
            None => self.gateway.clone(),
        }
    }

    /// The hashes of the gateway's certificate, as far as browsers take it by hash. Asked of the gateway itself, so that a
    /// gateway that has just been started or has changed its certificate is never spoken of wrongly for long.
    async fn look(&self) -> Look {
        let mut looked = self.looked.lock().await;
        if let Some(look) = looked.as_ref().filter(|look| look.at.elapsed() < FRESH) {
            return look.clone();
        }
        let shown = match &self.public {
            // Not every cluster can reach itself by its public address.
            Some(public) => match self.shown_by(public).await {
                Ok(shown) => Ok(shown),
                Err(_) => self.shown_by(&self.gateway).await,
            },
            None => self.shown_by(&self.gateway).await,
        };
        let mut hashes = looked.take().map_or_else(Vec::new, |look| look.hashes);
        let problem = match shown {
            Ok(Some(hash)) => {
                hashes.retain(|known| *known != hash);
                hashes.insert(0, hash);
                hashes.truncate(2);
                None
            }
            // One that the web's own authorities vouch for needs no hash.
            Ok(None) => {
                hashes.clear();
                None
            }
            Err(problem) => Some(problem),
        };
        let look = Look { at: Instant::now(), hashes, problem };
        *looked = Some(look.clone());
        look
    }

    async fn shown_by(&self, gateway: &GatewayUrl) -> Result<Option<String>, String> {
        // A new one each time: one that remembers a session would be shown nothing.
        let dialer = Dialer::new(&self.roots).map_err(|error| error.to_string())?;
        let asked = tokio::time::timeout(PATIENCE, dialer.certificate(&gateway.host, gateway.port)).await;
        match asked {
            Ok(Ok(certificate)) => Ok(hash_for_browsers(&certificate).map(|hash| BASE64.encode(hash))),
            Ok(Err(error)) => Err(format!("{gateway} does not answer: {error}")),
            Err(_) => Err(format!("{gateway} does not answer")),
        }
    }
}

/// `GET /api/transport`.
pub(crate) async fn serve(State(app): State<App>, visitor: Visitor) -> impl IntoResponse {
    let look = app.transport.look().await;
    Json(json!({
        "url": app.transport.url_for(visitor.host_name()).to_string(),
        "realm": app.transport.realm,
        "certificate_hashes": look.hashes,
        "problem": look.problem,
    }))
}

const GATEWAY_PORT: u16 = 9443;
/// Pages that connect at the same time share a look.
const FRESH: Duration = Duration::from_millis(500);
/// Longer than any handshake on the way to one's own gateway.
const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> GatewayUrl {
        text.parse().expect("a URL")
    }

    #[test]
    fn a_gateway_s_url_is_https_host_and_port() {
        assert_eq!(url("https://gateway").to_string(), "https://gateway:9443");
        assert_eq!(url("https://[::1]:9543/").to_string(), "https://[::1]:9543");
        for text in ["gateway:9443", "http://gateway", "https://", "https://gateway/v1", ""] {
            assert!(text.parse::<GatewayUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_page_from_another_machine_is_not_sent_to_its_own() {
        let transport = |gateway, public: Option<&str>| {
            Transport::new(url(gateway), public.map(url), String::new(), Roots::Development)
        };
        let local = transport("https://localhost:9443", None);
        assert_eq!(local.url_for("192.0.2.7").to_string(), "https://192.0.2.7:9443");
        assert_eq!(local.url_for("127.0.0.1").to_string(), "https://127.0.0.1:9443");
        let cluster = transport("https://macula-gateway-service:9443", Some("https://gw.example:30080"));
        assert_eq!(cluster.url_for("dash.example").to_string(), "https://gw.example:30080");
    }
}

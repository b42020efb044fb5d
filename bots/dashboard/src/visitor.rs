//! Who asks: from which address, through which page, signed in or not. From this follows who may control.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Uri, header};
use macula_sdk::Code;

use crate::listener::Peer;
use crate::problem::Problem;
use crate::state::App;

/// What a request says of who sends it.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    address: IpAddr,
    /// Passed on by a proxy, so the address says nothing.
    forwarded: bool,
    /// What the page's address bar says, with port.
    pub(crate) host: String,
    origin: Option<String>,
    cookies: String,
    is_json: bool,
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<Peer>>();
        let peer = peer.map_or(SocketAddr::from(([0, 0, 0, 0], 0)), |ConnectInfo(Peer(peer))| *peer);
        Ok(Self::new(peer.ip(), &parts.headers, &parts.uri))
    }
}

impl Visitor {
    fn new(address: IpAddr, headers: &HeaderMap, uri: &Uri) -> Self {
        let text = |name: HeaderName| {
            headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_ascii_lowercase()
        };
        let host = match text(header::HOST) {
            host if host.is_empty() => {
                uri.authority().map_or_else(String::new, |authority| authority.to_string())
            }
            host => host,
        };
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        Self {
            address: address.to_canonical(),
            forwarded: FORWARDED.iter().any(|name| headers.contains_key(*name)),
            host,
            origin: headers.contains_key(header::ORIGIN).then(|| text(header::ORIGIN)),
            cookies: cookies.collect::<Vec<_>>().join("; "),
            is_json: text(header::CONTENT_TYPE).split(';').next() == Some("application/json"),
        }
    }

    /// The host's name without port and brackets.
    pub(crate) fn host_name(&self) -> &str {
        name_of(&self.host)
    }

    /// Where the request came from.
    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    /// Whether it came from this machine.
    fn is_near(&self) -> bool {
        self.address.is_loopback() && !self.forwarded
    }

    /// Whether somebody signed in sends it.
    pub(crate) fn is_signed_in(&self, app: &App) -> bool {
        app.sessions.is_signed_in(&self.cookies)
    }

    /// A request that changes something has to come from our own page under a name that is ours, or from no page at all.
    /// Pages cannot send JSON to elsewhere without being asked first, which is refused.
    pub(crate) fn comes_from_our_page(&self, app: &App) -> Result<(), Problem> {
        let refused = |text: String| Err(Problem::new(Code::PermissionDenied, text));
        if !self.is_json {
            return refused("send content-type: application/json".to_owned());
        }
        let Some(origin) = &self.origin else { return Ok(()) };
        let own = origin.split_once("://").is_some_and(|(_, authority)| authority == self.host);
        let known = is_loopback_name(self.host_name()) || self.host_name() == app.host_name;
        match (own, known) {
            (true, true) => Ok(()),
            (true, false) => refused(format!(
                "control is for pages opened as localhost or {}; this one was opened as {}",
                app.host_name,
                self.host_name()
            )),
            (false, _) => refused(format!("control is not for pages of {origin}")),
        }
    }

    /// Whether this visitor may control; else why not.
    pub(crate) fn may_control(&self, app: &App) -> Result<(), Problem> {
        match app.sessions.needs_password() {
            true if self.is_signed_in(app) => Ok(()),
            true => Err(Problem::new(Code::Unauthenticated, "sign in to control the simulation")),
            false if self.is_near() => Ok(()),
            false => Err(Problem::new(
                Code::PermissionDenied,
                "without DASHBOARD_PASSWORD_FILE only the machine of the dashboard itself may control",
            )),
        }
    }
}

/// What proxies add.
const FORWARDED: [&str; 3] = ["forwarded", "x-forwarded-for", "x-real-ip"];

fn name_of(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

/// Names that mean this machine for every browser.
pub(crate) fn is_loopback_name(name: &str) -> bool {
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visitor(address: [u8; 4], headers: &[(&'static str, &str)]) -> Visitor {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a header's value")));
        Visitor::new(address.into(), &headers.collect(), &Uri::from_static("/"))
    }

    const JSON: (&str, &str) = ("content-type", "application/json");

    fn from_page(host: &str, origin: &str, app: &App) -> bool {
        visitor([127, 0, 0, 1], &[JSON, ("host", host), ("origin", origin)]).comes_from_our_page(app).is_ok()
    }

    #[tokio::test]
    async fn only_our_own_page_may_change_anything() {
        let app = App::for_tests(None);
        assert!(from_page("localhost:30000", "http://localhost:30000", &app));
        assert!(from_page("[::1]:4000", "http://[::1]:4000", &app));
        assert!(from_page("dashboard.cortexiq.local", "https://dashboard.cortexiq.local", &app));
        assert!(
            !from_page("localhost:30000", "http://localhost:8080", &app),
            "another program of this machine"
        );
        assert!(!from_page("localhost:30000", "https://evil.example", &app));
        assert!(!from_page("localhost:30000", "null", &app), "a sandboxed frame");
        assert!(
            !from_page("evil.example:30000", "http://evil.example:30000", &app),
            "a name that was rebound"
        );
        let form = visitor([127, 0, 0, 1], &[("content-type", "text/plain"), ("host", "localhost")]);
        assert!(form.comes_from_our_page(&app).is_err(), "what a form of elsewhere can send");
        assert!(visitor([127, 0, 0, 1], &[JSON]).comes_from_our_page(&app).is_ok(), "curl");
    }

    #[tokio::test]
    async fn without_a_password_this_machine_controls_and_nobody_else() {
        let app = App::for_tests(None);
        assert!(visitor([127, 0, 0, 1], &[]).may_control(&app).is_ok());
        assert!(visitor([192, 0, 2, 7], &[]).may_control(&app).is_err());
        let proxied = visitor([127, 0, 0, 1], &[("x-forwarded-for", "192.0.2.7")]);
        assert!(proxied.may_control(&app).is_err(), "a proxy on this machine speaks for others");
    }

    #[tokio::test]
    async fn with_a_password_whoever_is_signed_in_controls() {
        let app = App::for_tests(Some("sesame"));
        let cookie = app.sessions.sign_in("sesame", [192, 0, 2, 7].into()).expect("the password");
        let cookie = cookie.split(';').next().expect("name and value");
        assert!(visitor([192, 0, 2, 7], &[("cookie", cookie)]).may_control(&app).is_ok());
        assert!(visitor([127, 0, 0, 1], &[]).may_control(&app).is_err(), "also from this machine");
    }
}

//! The admin port of a bot: `/healthz`, `/readyz` and `/metrics` over HTTP/1.1.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::get;
use macula_proto::vars::{Setting, Vars};
use macula_sdk::{Client, Status};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::error::RunError;

/// What a bot is told of its admin port.
pub(crate) const ADMIN: [Setting; 2] = [
    Setting {
        name: "MACULA_ADMIN_PORT",
        default: "",
        help: "TCP port of /healthz, /readyz and /metrics; none unless given",
    },
    Setting { name: "MACULA_ADMIN_HOST", default: "::", help: "Address that the admin port listens on" },
];

/// What the admin port asks of a running bot, at any time and from another task.
pub trait Health: Send + Sync + 'static {
    /// What the names of its metrics begin with, such as `cortexiq_homes`.
    const PREFIX: &'static str;

    /// Whether it does its work; else why not.
    fn ready(&self) -> Result<(), String>;

    /// Adds its metrics; whether it is ready is added for all bots alike.
    fn metrics(&self, metrics: &mut Metrics);
}

/// Where the admin port listens, if there is one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Admin(Option<SocketAddr>);

impl Admin {
    /// Reads `MACULA_ADMIN_PORT` and `MACULA_ADMIN_HOST`; none unless a port is given.
    pub fn read(vars: &mut Vars) -> Self {
        let host = vars.parse("MACULA_ADMIN_HOST", IpAddr::from(Ipv6Addr::UNSPECIFIED));
        if vars.optional("MACULA_ADMIN_PORT").is_none() {
            return Self(None);
        }
        Self(Some(SocketAddr::new(host, vars.parse("MACULA_ADMIN_PORT", 0))))
    }

    /// Where it listens.
    pub fn address(self) -> Option<SocketAddr> {
        self.0
    }

    /// Serves until the handle is dropped. Answering at all is the sign of life: the bot's work is on the same thread.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn serve<H: Health>(self, health: Arc<H>) -> Result<Option<AbortOnDropHandle<()>>, RunError> {
        let Some(address) = self.0 else { return Ok(None) };
        let listener = listen(address).await.map_err(|source| RunError::Admin { address, source })?;
        let router = router(health);
        Ok(Some(AbortOnDropHandle::new(tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the admin port has ended");
            }
        }))))
    }
}

fn router<H: Health>(health: Arc<H>) -> Router {
    let metrics = Arc::clone(&health);
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route(
            "/readyz",
            get(async move || match health.ready() {
                Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
                Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
            }),
        )
        .route(
            "/metrics",
            get(async move || {
                let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
                (kind, Metrics::of(&*metrics)).into_response()
            }),
        )
}

/// Listens, also where `[::]` means a machine without IPv6.
async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(error)
            if address.ip() == Ipv6Addr::UNSPECIFIED && error.kind() != std::io::ErrorKind::AddrInUse =>
        {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        result => result,
    }
}

/// Metrics of a bot as Prometheus reads them.
#[derive(Debug)]
pub struct Metrics {
    prefix: &'static str,
    text: String,
}

impl Metrics {
    fn of<H: Health>(health: &H) -> String {
        let mut metrics = Self { prefix: H::PREFIX, text: String::new() };
        health.metrics(&mut metrics);
        metrics.gauge("ready", "Whether it does its work.", u8::from(health.ready().is_ok()));
        metrics.text
    }

    /// What only grows while the process lives, or begins anew with a run.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help, value);
    }

    /// What goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, "gauge", help, value);
    }

    fn family(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        let name = format!("{}_{name}", self.prefix);
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    }
}

/// Whether a bot is part of the mesh. Its admin port opens before it connects, so at first it is not.
#[derive(Debug, Default)]
pub struct Presence(OnceLock<watch::Receiver<Status>>);

impl Presence {
    /// The bot has connected and told the mesh what it wants and offers.
    pub fn joined(&self, client: &Client) {
        // A bot joins once; its client finds the way back by itself.
        let _ = self.0.set(client.status());
    }

    /// Whether it is connected; else what it waits for.
    ///
    /// # Errors
    /// The reason, for `/readyz`.
    pub fn ready(&self) -> Result<(), String> {
        let Some(status) = self.0.get() else { return Err("joining the mesh".to_owned()) };
        match *status.borrow() {
            Status::Connected { .. } | Status::Moving => Ok(()),
            _ => Err("the gateway cannot be reached; trying again".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sleeper;

    impl Health for Sleeper {
        const PREFIX: &'static str = "cortexiq_sleeper";

        fn ready(&self) -> Result<(), String> {
            Err("asleep".to_owned())
        }

        fn metrics(&self, metrics: &mut Metrics) {
            metrics.counter("dreams_total", "Dreams.", 3);
        }
    }

    #[test]
    fn metrics_have_help_type_and_readiness() {
        let expected = "# HELP cortexiq_sleeper_dreams_total Dreams.\n# TYPE cortexiq_sleeper_dreams_total counter\n\
                        cortexiq_sleeper_dreams_total 3\n# HELP cortexiq_sleeper_ready Whether it does its work.\n\
                        # TYPE cortexiq_sleeper_ready gauge\ncortexiq_sleeper_ready 0\n";
        assert_eq!(Metrics::of(&Sleeper), expected);
    }

    #[test]
    fn there_is_no_admin_port_unless_one_is_given() {
        assert!(Admin::read(&mut Vars::new([])).0.is_none());
        let mut vars = Vars::new([("MACULA_ADMIN_PORT".to_owned(), "9444".to_owned())]);
        assert_eq!(Admin::read(&mut vars).0, Some(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 9444)));
    }

    #[test]
    fn a_bot_that_has_not_joined_says_so() {
        assert_eq!(Presence::default().ready(), Err("joining the mesh".to_owned()));
    }
}

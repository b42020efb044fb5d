//! The dashboard as a process: part of the mesh, and a web server.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use cortexiq_domain::topics;
use cortexiq_proto::TotalsCalculated;
use cortexiq_shell::{Feeds, close};
use macula_sdk::Client;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::config::Config;
use crate::error::DashboardError;
use crate::gauges::Gauges;
use crate::listener::{Door, Peer};
use crate::pages::router;
use crate::state::App;

/// A dashboard that listens.
#[derive(Debug)]
pub struct Dashboard {
    client: Client,
    feeds: Feeds<TotalsCalculated>,
    totals: tokio::sync::mpsc::Receiver<TotalsCalculated>,
    app: App,
    router: Router,
    door: Door,
    address: SocketAddr,
    _admin: Option<AbortOnDropHandle<()>>,
}

/// Serves the page until told to stop.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), DashboardError> {
    let dashboard = tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        started = Dashboard::start(config) => started?,
    };
    dashboard.run(shutdown).await
}

impl Dashboard {
    /// Listens and connects; pages are answered from [`run`](Self::run) on.
    ///
    /// # Errors
    /// [`DashboardError`]; nothing keeps running then.
    pub async fn start(config: Config) -> Result<Self, DashboardError> {
        let gauges = Arc::new(Gauges::default());
        let admin = config.admin.serve(Arc::clone(&gauges)).await?;
        let (listener, address) = listen(config.listen).await?;
        let door = Door::new(listener, config.certificate.clone())?;
        let client = config.mesh.connect("cortex-iq-dashboard").await?;
        let (mut feeds, totals) = Feeds::new(&client);
        feeds.subscribe(&topics::TOTALS_CALCULATED, |totals| totals).await?;
        gauges.presence.joined(&client);
        let app = App::new(&config, Some(client.clone()), gauges);
        let router = router(app.clone());
        let scheme = if config.certificate.is_some() { "https" } else { "http" };
        tracing::info!(%address, "the page is at {scheme}://localhost:{}", address.port());
        Ok(Self { client, feeds, totals, app, router, door, address, _admin: admin })
    }

    /// Where the page is, with the port that was chosen for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Answers until told to stop; answers that are under way get a moment to end.
    ///
    /// # Errors
    /// What ended it by itself.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), DashboardError> {
        let Self { client, mut feeds, mut totals, app, router, door, .. } = self;
        let service = router.into_make_service_with_connect_info::<Peer>();
        let stopping = app.stopping.clone();
        let server = axum::serve(door, service).with_graceful_shutdown(stopping.clone().cancelled_owned());
        let mut server = std::pin::pin!(server.into_future());
        let ended = loop {
            tokio::select! {
                () = shutdown.cancelled() => break Ok(()),
                Some(told) = totals.recv() => app.series.on_totals(told),
                ended = feeds.ended() => break Err(DashboardError::from(ended)),
                result = &mut server => {
                    let error = result.err().unwrap_or_else(|| std::io::Error::other("nobody stopped it"));
                    return Err(DashboardError::Ended(error));
                }
            }
        };
        stopping.cancel();
        // Whoever is slower than this has left.
        let _ = tokio::time::timeout(GRACE, server).await;
        close(&client).await;
        ended
    }
}

/// Listens, also where `[::]` means a machine without IPv6.
async fn listen(wanted: SocketAddr) -> Result<(TcpListener, SocketAddr), DashboardError> {
    let failed = |source| DashboardError::Listen { address: wanted, source };
    let listener = match TcpListener::bind(wanted).await {
        Err(error)
            if wanted.ip() == Ipv6Addr::UNSPECIFIED && error.kind() != std::io::ErrorKind::AddrInUse =>
        {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, wanted.port())).await
        }
        result => result,
    };
    let listener = listener.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// For answers that are under way when it stops.
const GRACE: Duration = Duration::from_secs(2);

//! What all requests share.

use std::ops::Deref;
use std::sync::Arc;

use macula_sdk::Client;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::gauges::Gauges;
use crate::live::MOST_FEEDS;
use crate::series::Series;
use crate::sessions::Sessions;
use crate::transport::Transport;

/// Handle to what all requests share.
#[derive(Debug, Clone)]
pub(crate) struct App(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    /// None in tests that ask nobody.
    client: Option<Client>,
    pub(crate) sessions: Sessions,
    pub(crate) transport: Transport,
    pub(crate) series: Series,
    pub(crate) host_name: String,
    /// Served by https.
    pub(crate) secure: bool,
    pub(crate) gauges: Arc<Gauges>,
    pub(crate) feeds: Arc<Semaphore>,
    /// Ends what would go on for ever.
    pub(crate) stopping: CancellationToken,
}

impl App {
    pub(crate) fn new(config: &Config, client: Option<Client>, gauges: Arc<Gauges>) -> Self {
        let secure = config.certificate.is_some();
        let Config { gateway, public, realm, roots, .. } = config;
        Self(Arc::new(Shared {
            client,
            sessions: Sessions::new(&config.secret, config.password.clone(), secure),
            transport: Transport::new(gateway.clone(), public.clone(), realm.clone(), roots.clone()),
            series: Series::default(),
            host_name: config.host_name.clone(),
            secure,
            gauges,
            feeds: Arc::new(Semaphore::new(MOST_FEEDS)),
            stopping: CancellationToken::new(),
        }))
    }

    /// The way to the mesh.
    pub(crate) fn client(&self) -> &Client {
        self.client.as_ref().expect("only tests that ask nobody have none")
    }

    #[cfg(test)]
    pub(crate) fn for_tests(password: Option<&str>) -> Self {
        let password = password.map(crate::sessions::Password::new);
        let config = Config { password, ..Config::new("https://localhost:9443", 0) };
        Self::new(&config, None, Arc::default())
    }
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

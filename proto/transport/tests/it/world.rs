//! A listener and a client on this machine, with an authority of their own.

use std::net::SocketAddr;

use http::HeaderMap;
use macula_transport::endpoint::{self, ServerEndpoint};
use macula_transport::profile::TransportProfile;
use macula_transport::session::{Event, ServerConnection, Session, connect_session, serve};
use macula_transport::tls::{
    CertSlot, ClientTls, DevAuthority, GatewayUri, RootCertStore, ServerTls, TrustSlot,
};

pub(crate) struct World {
    pub(crate) server: ServerEndpoint,
    pub(crate) client: quinn::Endpoint,
    pub(crate) tls: ClientTls,
    pub(crate) link_tls: ClientTls,
    pub(crate) slot: std::sync::Arc<CertSlot>,
    pub(crate) authority: DevAuthority,
    pub(crate) roots: RootCertStore,
    pub(crate) trust: std::sync::Arc<TrustSlot>,
    _dir: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = DevAuthority::open_or_create(&dir.path().join("ca")).unwrap();
        let roots = authority.roots();
        let trust = TrustSlot::new(roots.clone()).unwrap();
        let gateway = GatewayUri::new("realm", "hub").unwrap();
        let slot = CertSlot::new(authority.issue(&[], Some(&gateway)).unwrap());
        let server_tls = ServerTls::new(slot.clone(), Some(trust.clone())).unwrap();
        let any = "[::]:0".parse().unwrap();
        let server = ServerEndpoint::bind(any, &server_tls, &TransportProfile::SESSION, None).unwrap();
        Self {
            server,
            client: endpoint::client_endpoint().unwrap(),
            tls: ClientTls::session(roots.clone(), None).unwrap(),
            link_tls: ClientTls::link(trust.clone(), slot.clone()).unwrap(),
            slot,
            authority,
            roots,
            trust,
            _dir: dir,
        }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.server.local_addr().unwrap().port()))
    }

    /// A connection, seen from the client and from the server.
    pub(crate) async fn connect(&self, tls: &ClientTls) -> (quinn::Connection, quinn::Connection) {
        let dial = endpoint::connect(&self.client, self.addr(), "localhost", tls, &TransportProfile::SESSION);
        let accept = async {
            let incoming = self.server.accept().await.unwrap();
            self.server.admit(incoming).unwrap().await.unwrap()
        };
        let (dialled, accepted) = tokio::join!(dial, accept);
        (dialled.unwrap(), accepted)
    }

    /// A connection that is served, seen from both sides.
    pub(crate) async fn connect_http(&self) -> (quinn::Connection, ServerConnection) {
        let (client, server) = self.connect(&self.tls).await;
        let (server, driver) = serve(server);
        tokio::spawn(driver);
        (client, server)
    }

    /// A session, seen from the client and from the server, which accepted it.
    pub(crate) async fn session(&self) -> (Session, Session, ServerConnection) {
        let (client, mut server) = self.connect_http().await;
        let accept = async {
            let Some(Event::Session(request)) = server.next_event().await else { panic!("no session") };
            request.accept().await.unwrap()
        };
        let ask = async {
            let asked = connect_session(client, "localhost", "/v1/session", HeaderMap::new());
            let (session, driver) = asked.await.unwrap();
            tokio::spawn(driver);
            session
        };
        let (accepted, session) = tokio::join!(accept, ask);
        (session, accepted, server)
    }
}

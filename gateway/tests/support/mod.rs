//! What the tests of the gateway share: gateways on free ports, and the clients of others.

#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod doomed;
pub(crate) mod path;
pub(crate) mod process;
pub(crate) mod tools;

use macula_gateway::{Gateway, PeerAddress, Settings};
use macula_transport::endpoint;
use macula_transport::profile::TransportProfile;
use macula_transport::tls::{ClientTls, DevAuthority};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

/// Settings of a gateway on free ports of the loopback interface.
pub(crate) fn settings(name: &str) -> Settings {
    Settings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        admin: None,
        realm: "test.realm".to_owned(),
        advertise: vec!["localhost:1".to_owned()],
        name: Some(name.to_owned()),
        ..Settings::default()
    }
}

/// A running gateway.
pub(crate) async fn gateway(name: &str) -> Gateway {
    Gateway::start(settings(name)).await.expect("a gateway starts on a free port")
}

/// A running gateway that dials these.
pub(crate) async fn gateway_with_peers(name: &str, peers: &[&Gateway]) -> Gateway {
    let peers = peers
        .iter()
        .map(|peer| PeerAddress { host: "localhost".to_owned(), port: peer.local_addr().port() })
        .collect();
    let gateway = Gateway::start(Settings { peers, ..settings(name) }).await.expect("a gateway starts");
    gateway.ready().await;
    gateway
}

/// What the admin port answers.
pub(crate) fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the admin port listens");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("answered");
    text
}

/// URL of a gateway for clients.
pub(crate) fn url(gateway: &Gateway) -> String {
    format!("https://localhost:{}", gateway.local_addr().port())
}

/// The certificate that the gateway shows.
pub(crate) async fn certificate(address: SocketAddr) -> Vec<u8> {
    let dir = DevAuthority::default_dir(|name| std::env::var_os(name));
    let roots = DevAuthority::open_or_create(&dir).expect("the gateway has made it").roots();
    let tls = ClientTls::session(roots, None).expect("legal settings");
    let socket = endpoint::client_endpoint().expect("a socket");
    let connecting = endpoint::connect(&socket, address, "localhost", &tls, &TransportProfile::SESSION);
    let connection = connecting.await.expect("the gateway listens");
    let chain = connection.peer_identity().expect("a certificate");
    let chain = chain.downcast::<Vec<rustls::pki_types::CertificateDer<'static>>>().expect("a chain");
    chain[0].to_vec()
}

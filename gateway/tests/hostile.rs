//! Peers that are not what they say, or do what they may not: each is turned away with a reason and counted, and those who
//! behave do not notice.

mod support;

use macula_gateway::{Gateway, NodeId, Settings};
use macula_proto::frame::put_message;
use macula_proto::kind::{self, StreamKind};
use macula_proto::limits;
use macula_proto::v1::{Interest, InterestDelta, LinkHello, Windows};
use macula_sdk::{Client, Pattern, Topic};
use macula_transport::endpoint;
use macula_transport::profile::TransportProfile;
use macula_transport::tls::{CertSlot, ClientTls, DevAuthority, GatewayUri, TrustSlot};
use prost::Message as _;
use std::net::SocketAddr;
use std::time::Duration;
use support::{gateway_with_peers, settings, url};

const REALM: &str = "test.realm";

/// A gateway under attack, one that is linked to it, and a stream of events from the one to the other.
struct Mesh {
    attacked: Gateway,
    _peer: Gateway,
    publisher: Client,
    subscription: macula_sdk::Subscription,
    sent: u64,
}

impl Mesh {
    async fn new() -> Self {
        let admin = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        let attacked = Gateway::start(Settings { admin, ..settings("attacked") }).await.expect("it starts");
        let peer = gateway_with_peers("peer", &[&attacked]).await;
        let client = async |gateway| {
            Client::builder()
                .url(url(gateway))
                .realm(REALM)
                .connect()
                .await
                .expect("the gateway accepts clients")
        };
        let (publisher, subscriber) = (client(&attacked).await, client(&peer).await);
        let subscribe = subscriber.subscribe("test.*".parse::<Pattern>().expect("a pattern")).scope_mesh();
        let subscription = subscribe.await.expect("subscribed");
        assert_eq!(subscription.confirmed(), 2);
        Self { attacked, _peer: peer, publisher, subscription, sent: 0 }
    }

    /// Somebody who dials the gateway with this certificate, up to the byte of the control stream.
    async fn intruder(&self, tls: &ClientTls) -> Intruder {
        let socket = endpoint::client_endpoint().expect("a socket");
        let address = self.attacked.local_addr();
        let connection = endpoint::connect(&socket, address, "localhost", tls, &TransportProfile::LINK).await;
        let connection = connection.expect("the handshake ends before anything is checked");
        let mut control = None;
        if let Ok((mut send, receive)) = connection.open_bi().await
            && send.write_all(&[StreamKind::Control as u8]).await.is_ok()
        {
            control = Some((send, receive));
        }
        Intruder { _socket: socket, connection, control }
    }

    /// The link and the stream of events go on, and so many links were refused with this code.
    async fn goes_on(&mut self, code: &str, refused: u64) {
        for _ in 0..100 {
            self.sent += 1;
            let publish = self.publisher.publish(Topic::from_static("test.goes-on"), self.sent.to_string());
            publish.send().await.expect("it is taken");
        }
        for number in self.sent - 99..=self.sent {
            let next = tokio::time::timeout(Duration::from_secs(5), self.subscription.next()).await;
            let next = next.expect("in time").expect("the client is not closed");
            let message = next.message().expect("nothing is lost");
            assert_eq!(message.payload(), number.to_string().as_bytes());
        }
        let status = self.attacked.status().await.expect("alive");
        let peers: Vec<&str> = status.peers.iter().map(|peer| &peer.name[..]).collect();
        assert_eq!(peers, ["peer"]);
        let metrics = self.metrics().await;
        let line = format!("macula_refused_links_total{{code=\"{code}\"}} {refused}");
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }

    async fn metrics(&self) -> String {
        let address = self.attacked.admin_addr().expect("it has one");
        tokio::task::spawn_blocking(move || support::get(address, "/metrics")).await.expect("no panic")
    }
}

struct Intruder {
    _socket: quinn::Endpoint,
    connection: quinn::Connection,
    control: Option<(quinn::SendStream, quinn::RecvStream)>,
}

impl Intruder {
    async fn say(&mut self, bytes: &[u8]) {
        if let Some((send, _)) = &mut self.control {
            let _ = send.write_all(bytes).await;
        }
    }

    async fn hello(&mut self, name: &str, node: NodeId, versions: &[u32]) {
        let hello = LinkHello {
            versions: versions.to_vec(),
            realm: REALM.to_owned(),
            node: node.0.to_vec().into(),
            name: name.to_owned(),
            epoch: 1,
            windows: Some(Windows { rpc: 1 << 20, event: 1 << 20, telemetry: 1 << 20 }),
            ..LinkHello::default()
        };
        let mut frames = Vec::new();
        put_message(&mut frames, kind::LINK_HELLO, &hello);
        self.say(&frames).await;
    }

    /// Why the gateway closed the connection.
    async fn end(self) -> String {
        let closed = tokio::time::timeout(Duration::from_secs(10), self.connection.closed()).await;
        closed.expect("the gateway closes the connection").to_string()
    }
}

/// A link's TLS with a certificate of the authority that the gateways trust.
fn tls(realm: &str, name: &str) -> ClientTls {
    let gateway = GatewayUri::new(realm, name).expect("a legal name");
    let authority = authority();
    let leaf = authority.issue(&[], Some(&gateway)).expect("a certificate");
    with(&authority, CertSlot::new(leaf))
}

fn with(authority: &DevAuthority, slot: std::sync::Arc<CertSlot>) -> ClientTls {
    ClientTls::link(TrustSlot::new(authority.roots()).expect("roots"), slot).expect("legal settings")
}

fn authority() -> DevAuthority {
    let dir = DevAuthority::default_dir(|name| std::env::var_os(name));
    DevAuthority::open_or_create(&dir).expect("the gateway has made it")
}

#[tokio::test]
async fn garbage_is_closed_with_a_reason() {
    let mut mesh = Mesh::new().await;
    let mut intruder = mesh.intruder(&tls(REALM, "intruder")).await;
    intruder.say(&[0xff; 64]).await;
    let reason = intruder.end().await;
    assert!(reason.contains("64 bits") || reason.contains("LinkHello"), "{reason}");
    mesh.goes_on("INVALID_ARGUMENT", 1).await;

    let mut intruder = mesh.intruder(&tls(REALM, "intruder")).await;
    intruder.hello("intruder", NodeId::derived(REALM, "intruder"), &[1]).await;
    intruder.connection.send_datagram(vec![1; 100].into()).expect("datagrams are on");
    // It may come before the hello, and is not looked at then.
    while intruder.connection.close_reason().is_none() {
        let _ = intruder.connection.send_datagram(vec![1; 100].into());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let reason = intruder.end().await;
    assert!(reason.contains("membership datagram"), "{reason}");
    mesh.goes_on("INVALID_ARGUMENT", 2).await;
}

#[tokio::test]
async fn a_version_that_is_not_spoken_here_is_named() {
    let mut mesh = Mesh::new().await;
    let mut intruder = mesh.intruder(&tls(REALM, "intruder")).await;
    intruder.hello("intruder", NodeId::derived(REALM, "intruder"), &[7, 8]).await;
    let reason = intruder.end().await;
    assert!(reason.contains("version 1") && reason.contains("[7, 8]"), "{reason}");
    mesh.goes_on("INVALID_ARGUMENT", 1).await;
}

#[tokio::test]
async fn a_certificate_of_another_realm_or_none_is_refused() {
    let mut mesh = Mesh::new().await;
    let intruder = mesh.intruder(&tls("other.realm", "intruder")).await;
    let reason = intruder.end().await;
    assert!(reason.contains("test.realm") && reason.contains("other.realm"), "{reason}");
    mesh.goes_on("PERMISSION_DENIED", 1).await;

    let authority = authority();
    let leaf = authority.issue(&[], None).expect("a certificate");
    let intruder = mesh.intruder(&with(&authority, CertSlot::new(leaf))).await;
    let reason = intruder.end().await;
    assert!(reason.contains("no macula://"), "{reason}");
    mesh.goes_on("PERMISSION_DENIED", 2).await;

    // The dialler of links presents what its slot holds; one that presents nothing is made of rustls itself.
    let mut config =
        rustls::ClientConfig::builder().with_root_certificates(authority.roots()).with_no_client_auth();
    config.alpn_protocols = vec![macula_transport::ALPN_MESH.to_vec()];
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(config).expect("TLS 1.3");
    let config = quinn::ClientConfig::new(std::sync::Arc::new(crypto));
    let socket = endpoint::client_endpoint().expect("a socket");
    let connecting = socket.connect_with(config, mesh.attacked.local_addr(), "localhost").expect("it dials");
    let closed = connecting.await.expect("clients need no certificate").closed().await.to_string();
    assert!(closed.contains("no certificate"), "{closed}");
    mesh.goes_on("UNAUTHENTICATED", 1).await;

    // Another authority's is refused by the handshake itself.
    let dir = tempfile::tempdir().expect("a directory");
    let stranger = DevAuthority::open_or_create(&dir.path().join("ca")).expect("an authority");
    let gateway = GatewayUri::new(REALM, "peer").expect("a legal name");
    let slot = CertSlot::new(stranger.issue(&[], Some(&gateway)).expect("a certificate"));
    let tls = with(&authority, slot);
    let dialled =
        endpoint::connect(&socket, mesh.attacked.local_addr(), "localhost", &tls, &TransportProfile::LINK);
    if let Ok(connection) = dialled.await {
        connection.closed().await;
    }
    mesh.goes_on("UNAUTHENTICATED", 1).await;
    let metrics = mesh.metrics().await;
    assert!(metrics.contains("macula_failed_handshakes_total 1"), "{metrics}");
}

#[tokio::test]
async fn nobody_takes_the_place_of_another() {
    let mut mesh = Mesh::new().await;
    // Under the name of another.
    let mut intruder = mesh.intruder(&tls(REALM, "intruder")).await;
    intruder.hello("peer", NodeId::derived(REALM, "peer"), &[1]).await;
    let reason = intruder.end().await;
    assert!(reason.contains("`intruder`") && reason.contains("`peer`"), "{reason}");
    mesh.goes_on("PERMISSION_DENIED", 1).await;
    // Under its own name, with the id of another.
    let mut intruder = mesh.intruder(&tls(REALM, "intruder")).await;
    intruder.hello("intruder-1", NodeId::derived(REALM, "peer"), &[1]).await;
    let reason = intruder.end().await;
    assert!(reason.contains("belongs to another gateway"), "{reason}");
    mesh.goes_on("PERMISSION_DENIED", 2).await;
}

#[tokio::test]
async fn a_flood_of_interest_ends_the_link_that_brings_it() {
    let mut mesh = Mesh::new().await;
    let mut intruder = mesh.intruder(&tls(REALM, "intruder")).await;
    intruder.hello("intruder", NodeId::derived(REALM, "intruder"), &[1]).await;
    let each = 10_000;
    for version in 1..=limits::INTEREST_PER_LINK as u64 / each + 1 {
        let wanted = (0..each)
            .map(|number| Interest { pattern: format!("flood.{version}.{number}"), ..Interest::default() });
        let delta = InterestDelta { version, added: wanted.collect(), ..InterestDelta::default() };
        let mut frame = Vec::with_capacity(delta.encoded_len() + 16);
        put_message(&mut frame, kind::INTEREST_DELTA, &delta);
        intruder.say(&frame).await;
    }
    let reason = intruder.end().await;
    assert!(reason.contains("more than 250000"), "{reason}");
    mesh.goes_on("RESOURCE_EXHAUSTED", 1).await;
}

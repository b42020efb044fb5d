//! Certificates and settings of connections.

use macula_transport::endpoint::{self, DialError};
use macula_transport::profile::{MAX_UDP_PAYLOAD, TransportProfile};
use macula_transport::tls::{
    CertSlot, ClientTls, DevAuthority, GatewayUri, LoadError, PeerGatewayError, load, peer_gateway,
};
use macula_transport::{ALPN_H3, ALPN_MESH};

use crate::world::World;

#[tokio::test]
async fn both_ends_of_a_link_know_each_other() {
    let world = World::new();
    let (dialled, accepted) = world.connect(&world.link_tls).await;
    for end in [&dialled, &accepted] {
        assert_eq!(peer_gateway(end).unwrap(), GatewayUri::new("realm", "hub").unwrap());
        assert_eq!(endpoint::alpn(end).as_deref(), Some(ALPN_MESH));
    }
    TransportProfile::LINK.apply(&accepted);
}

#[tokio::test]
async fn a_client_needs_no_certificate() {
    let world = World::new();
    let (_dialled, accepted) = world.connect(&world.tls).await;
    assert!(matches!(peer_gateway(&accepted), Err(PeerGatewayError::NoCertificate)));
    assert_eq!(endpoint::alpn(&accepted).as_deref(), Some(ALPN_H3));
}

#[tokio::test]
async fn a_certificate_of_a_stranger_is_refused() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let stranger = DevAuthority::open_or_create(&dir.path().join("ca")).unwrap();
    let gateway = GatewayUri::new("realm", "hub").unwrap();
    let slot = CertSlot::new(stranger.issue(&[], Some(&gateway)).unwrap());

    let client = ClientTls::session(stranger.roots(), None).unwrap();
    let serve = async {
        let incoming = world.server.accept().await.unwrap();
        world.server.admit(incoming).unwrap().await
    };
    let dial =
        endpoint::connect(&world.client, world.addr(), "localhost", &client, &TransportProfile::SESSION);
    let (dialled, accepted) = tokio::join!(dial, serve);
    assert!(matches!(dialled, Err(DialError::Failed { .. })), "{dialled:?}");
    accepted.unwrap_err();

    // A client learns only after its handshake that its certificate was refused.
    let link = ClientTls::link(world.trust.clone(), slot).unwrap();
    let serve = async {
        let incoming = world.server.accept().await.unwrap();
        world.server.admit(incoming).unwrap().await
    };
    let dial = endpoint::connect(&world.client, world.addr(), "localhost", &link, &TransportProfile::LINK);
    let (_, accepted) = tokio::join!(dial, serve);
    accepted.unwrap_err();
}

#[tokio::test]
async fn a_new_authority_is_trusted_by_both_ends_and_the_old_one_no_more() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let next = DevAuthority::open_or_create(&dir.path().join("ca")).unwrap();
    let gateway = GatewayUri::new("realm", "hub").unwrap();
    let old = ClientTls::link(world.trust.clone(), CertSlot::new(world.authority.issue(&[], None).unwrap()))
        .unwrap();

    // One slot is both ends' here: the listener's for links that come, the dialler's for the listener.
    world.trust.replace(next.roots()).unwrap();
    world.slot.replace(next.issue(&[], Some(&gateway)).unwrap());
    let (_dialled, accepted) = world.connect(&world.link_tls).await;
    assert_eq!(peer_gateway(&accepted).unwrap(), gateway);

    let serve = async {
        let incoming = world.server.accept().await.unwrap();
        world.server.admit(incoming).unwrap().await
    };
    let dial = endpoint::connect(&world.client, world.addr(), "localhost", &old, &TransportProfile::LINK);
    let (_, accepted) = tokio::join!(dial, serve);
    accepted.unwrap_err();
}

#[tokio::test]
async fn a_new_certificate_is_presented_to_new_connections() {
    let world = World::new();
    let leaf = |connection: &quinn::Connection| {
        let chain = connection.peer_identity().unwrap();
        chain.downcast::<Vec<rustls::pki_types::CertificateDer<'static>>>().unwrap()[0].clone()
    };
    let (first, _accepted) = world.connect(&world.tls).await;
    assert_eq!(leaf(&first), world.slot.current().chain()[0]);
    world.slot.replace(world.authority.issue(&[], None).unwrap());
    let (second, _accepted) = world.connect(&ClientTls::session(world.roots.clone(), None).unwrap()).await;
    assert_eq!(leaf(&second), world.slot.current().chain()[0]);
    assert_ne!(leaf(&second), leaf(&first));
}

#[tokio::test]
async fn packets_on_this_machine_are_large_from_the_start() {
    let world = World::new();
    let (dialled, accepted) = world.connect(&world.tls).await;
    assert_eq!(dialled.stats().path.current_mtu, MAX_UDP_PAYLOAD);
    assert_eq!(accepted.stats().path.current_mtu, MAX_UDP_PAYLOAD);
}

#[tokio::test]
async fn a_stock_client_is_not_sent_more_than_it_takes() {
    let world = World::new();
    let mut tls =
        rustls::ClientConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(world.roots.clone())
            .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN_H3.to_vec()];
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
    let config = quinn::ClientConfig::new(std::sync::Arc::new(crypto));
    let client = quinn::Endpoint::client("[::]:0".parse().unwrap()).unwrap();
    let serve = async {
        let incoming = world.server.accept().await.unwrap();
        world.server.admit(incoming).unwrap().await.unwrap()
    };
    let dial = client.connect_with(config, world.addr(), "localhost").unwrap();
    let (dialled, accepted) = tokio::join!(dial, serve);
    assert!(accepted.stats().path.current_mtu <= 1472);
    let mut send = accepted.open_uni().await.unwrap();
    let write = async {
        send.write_all(&[1; 200_000]).await.unwrap();
        send.finish().unwrap();
    };
    let dialled = dialled.unwrap();
    let read = async { dialled.accept_uni().await.unwrap().read_to_end(1 << 20).await.unwrap() };
    let ((), read) = tokio::join!(write, read);
    assert_eq!(read.len(), 200_000);
}

#[test]
fn mounted_files_are_read_and_their_faults_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let ca = DevAuthority::open_or_create(&dir.path().join("ca")).unwrap();
    let cert = ca.certificate_path();
    let key = cert.with_file_name("ca-key.pem");

    let mounted = load(Some(&cert), Some(&key), Some(&cert)).unwrap();
    assert!(mounted.identity.is_some() && mounted.roots.is_some());
    assert!(load(None, None, None).unwrap().identity.is_none());

    let error = load(Some(&cert), None, None).unwrap_err();
    assert!(
        matches!(error, LoadError::NoKey { .. }) && error.to_string().contains("MACULA_TLS_KEY"),
        "{error}"
    );
    assert!(matches!(load(None, Some(&key), None), Err(LoadError::NoCertificate { .. })));
    assert!(matches!(load(Some(&key), Some(&key), None), Err(LoadError::NoIdentity { .. })));
    assert!(matches!(load(Some(&cert), Some(&cert), None), Err(LoadError::NotPem { .. })));

    let missing = dir.path().join("missing.pem");
    let error = load(Some(&missing), Some(&key), None).unwrap_err();
    assert!(error.to_string().contains("missing.pem"), "{error}");
    let error = load(None, None, Some(&key)).unwrap_err();
    assert!(error.to_string().contains("ca-key.pem"), "{error}");

    let other = DevAuthority::open_or_create(&dir.path().join("other")).unwrap();
    let other_key = other.certificate_path().with_file_name("ca-key.pem");
    assert!(matches!(load(Some(&cert), Some(&other_key), None), Err(LoadError::NoIdentity { .. })));
}

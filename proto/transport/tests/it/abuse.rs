//! Clients that do what they should not.

use bytes::Bytes;
use http::HeaderMap;
use macula_transport::session::{ConnectError, Event, connect_session};
use macula_transport::varint;

use crate::world::World;

const EXCESSIVE_LOAD: u64 = 0x107;
const FRAME_ERROR: u64 = 0x106;
const ID_ERROR: u64 = 0x108;

fn header(kind: u64, length: u64) -> Vec<u8> {
    let mut out = Vec::new();
    varint::put(&mut out, kind);
    varint::put(&mut out, length);
    out
}

async fn close_code(connection: &quinn::Connection) -> u64 {
    match connection.closed().await {
        quinn::ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
        other => panic!("closed otherwise: {other}"),
    }
}

#[tokio::test]
async fn half_a_gigabyte_of_headers_is_refused_at_once() {
    for kind in [0x01, 0x21] {
        let world = World::new();
        let (client, _server) = world.connect_http().await;
        let (mut send, _recv) = client.open_bi().await.unwrap();
        send.write_all(&header(kind, 512 << 20)).await.unwrap();
        assert_eq!(close_code(&client).await, EXCESSIVE_LOAD);
    }
}

#[tokio::test]
async fn a_long_frame_on_the_control_stream_is_refused_too() {
    let world = World::new();
    let (client, _server) = world.connect_http().await;
    let mut control = client.open_uni().await.unwrap();
    control.write_all(&[0x00, 0x04, 0x00]).await.unwrap();
    control.write_all(&header(0x21, 512 << 20)).await.unwrap();
    assert_eq!(close_code(&client).await, EXCESSIVE_LOAD);
}

/// h3 takes a frame that ends too early for one that has not come whole, and would keep all that follows.
#[tokio::test]
async fn frames_after_a_malformed_one_do_not_pile_up() {
    let world = World::new();
    let (client, _server) = world.connect_http().await;
    let mut control = client.open_uni().await.unwrap();
    control.write_all(&[0x00, 0x04, 0x00]).await.unwrap();
    control.write_all(&header(0x07, 0)).await.unwrap();
    let mut filler = header(0x21, 60 << 10);
    filler.resize(filler.len() + (60 << 10), 0);
    // The connection may be closed while this is written.
    let _ = control.write_all(&filler).await;
    assert_eq!(close_code(&client).await, FRAME_ERROR);
}

#[tokio::test]
async fn a_response_is_metered_like_a_request() {
    let world = World::new();
    let (client, server) = world.connect(&world.tls).await;
    let evil = async {
        let (mut send, _recv) = server.accept_bi().await.unwrap();
        send.write_all(&header(0x01, 512 << 20)).await.unwrap();
        assert_eq!(close_code(&server).await, EXCESSIVE_LOAD);
    };
    let asked = connect_session(client, "localhost", "/v1/session", HeaderMap::new());
    let (asked, ()) = tokio::join!(asked, evil);
    assert!(matches!(asked, Err(ConnectError::Connection(_))), "{asked:?}");
}

#[tokio::test]
async fn a_session_id_that_no_client_can_have_closes_the_connection() {
    let world = World::new();
    let (client, _server) = world.connect_http().await;
    let mut stream = client.open_uni().await.unwrap();
    stream.write_all(&[0x40, 0x54, 0x03]).await.unwrap();
    assert_eq!(close_code(&client).await, ID_ERROR);
}

#[tokio::test]
async fn a_second_session_on_a_connection_is_rejected() {
    let world = World::new();
    let (client, mut server) = world.connect_http().await;
    let (_h3, mut requests) = h3::client::builder()
        .enable_extended_connect(true)
        .build::<_, _, Bytes>(h3_quinn::Connection::new(client))
        .await
        .unwrap();
    let request = || {
        http::Request::builder()
            .method("CONNECT")
            .uri("https://localhost/v1/session")
            .extension(h3::ext::Protocol::WEB_TRANSPORT)
            .body(())
            .unwrap()
    };
    let mut first = requests.send_request(request()).await.unwrap();
    let Some(Event::Session(asked)) = server.next_event().await else { panic!("no session") };
    let _session = asked.accept().await.unwrap();
    assert_eq!(first.recv_response().await.unwrap().headers()["sec-webtransport-http3-draft"], "draft02");
    let mut second = requests.send_request(request()).await.unwrap();
    let Err(h3::error::StreamError::RemoteTerminate { code, .. }) = second.recv_response().await else {
        panic!("not rejected")
    };
    assert_eq!(code, h3::error::Code::H3_REQUEST_REJECTED);
}

#[tokio::test]
async fn a_stream_that_says_nothing_does_not_hold_up_requests() {
    let world = World::new();
    let (client, mut server) = world.connect_http().await;
    let mut silent = Vec::new();
    for _ in 0..12 {
        let (mut send, recv) = client.open_bi().await.unwrap();
        // Half of an integer.
        send.write_all(&[0x40]).await.unwrap();
        silent.push((send, recv));
    }
    let (_h3, mut requests) = h3::client::new(h3_quinn::Connection::new(client)).await.unwrap();
    let request = http::Request::get("https://localhost/healthz").body(()).unwrap();
    let _stream = requests.send_request(request).await.unwrap();
    let Some(Event::Request(request, _)) = server.next_event().await else { panic!("no request") };
    assert_eq!(request.uri().path(), "/healthz");
}

#[tokio::test]
async fn goaway_stops_further_requests_and_keeps_what_runs() {
    let world = World::new();
    let (client, mut server) = world.connect_http().await;
    let (mut h3, mut requests) = h3::client::new(h3_quinn::Connection::new(client)).await.unwrap();
    tokio::spawn(async move { std::future::poll_fn(|cx| h3.poll_close(cx)).await });
    let get = || http::Request::get("https://localhost/").body(()).unwrap();
    let mut running = requests.send_request(get()).await.unwrap();
    let Some(Event::Request(_, mut stream)) = server.next_event().await else { panic!("no request") };
    server.shutdown();
    // The client learns of it between two requests; how many it still makes is up to chance.
    loop {
        match requests.send_request(get()).await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break assert_eq!(error.to_string(), "Remote is closing the connection"),
        }
    }
    stream.send_response(http::Response::new(())).await.unwrap();
    stream.finish().await.unwrap();
    assert_eq!(running.recv_response().await.unwrap().status(), 200);
}

//! WebTransport sessions between our client and our server.

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, StatusCode};
use macula_transport::h3quic::WAITING_STREAMS;
use macula_transport::session::{ConnectError, Event, Session, SessionEnd, SessionError, connect_session};
use macula_transport::varint;

use crate::world::World;

async fn read(mut stream: quinn::RecvStream) -> Vec<u8> {
    stream.read_to_end(1 << 20).await.unwrap()
}

async fn write(mut stream: quinn::SendStream, data: &[u8]) {
    stream.write_all(data).await.unwrap();
    stream.finish().unwrap();
}

async fn exchange(from: &Session, to: &Session) {
    write(from.open_uni().await.unwrap(), b"uni").await;
    assert_eq!(read(to.accept_uni().await.unwrap()).await, b"uni");

    let (send, recv) = from.open_bi().await.unwrap();
    write(send, b"question").await;
    let (answer, question) = to.accept_bi().await.unwrap();
    assert_eq!(read(question).await, b"question");
    write(answer, b"answer").await;
    assert_eq!(read(recv).await, b"answer");
}

#[tokio::test]
async fn streams_pass_in_both_directions() {
    let world = World::new();
    let (client, server, _http) = world.session().await;
    exchange(&client, &server).await;
    exchange(&server, &client).await;
    assert_eq!(client.id(), server.id());
}

#[tokio::test]
async fn an_opened_stream_is_seen_before_anything_is_written() {
    let world = World::new();
    let (client, server, _http) = world.session().await;
    let (_send, _recv) = client.open_bi().await.unwrap();
    server.accept_bi().await.unwrap();
}

#[tokio::test]
async fn a_session_lives_on_one_thread_without_send() {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let world = World::new();
            let (client, server, _http) = world.session().await;
            let echo =
                tokio::task::spawn_local(async move { read(server.accept_uni().await.unwrap()).await });
            write(client.open_uni().await.unwrap(), b"local").await;
            assert_eq!(echo.await.unwrap(), b"local");
        })
        .await;
}

#[tokio::test]
async fn path_and_headers_reach_the_server() {
    let world = World::new();
    let (client, mut server) = world.connect_http().await;
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_static("Bearer token"));
    headers.insert("macula-realm", HeaderValue::from_static("realm"));
    let asked =
        tokio::spawn(
            async move { connect_session(client, "localhost:9443", "/v1/session?a=b", headers).await },
        );
    let Some(Event::Session(request)) = server.next_event().await else { panic!("no session") };
    assert_eq!(request.path(), "/v1/session?a=b");
    assert_eq!(request.authority(), Some("localhost:9443"));
    assert_eq!(request.headers()["authorization"], "Bearer token");
    assert_eq!(request.headers()["macula-realm"], "realm");
    let _session = request.accept().await.unwrap();
    let (_session, _driver) = asked.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_refusal_tells_status_headers_and_body() {
    let world = World::new();
    let (client, mut server) = world.connect_http().await;
    let refuse = async {
        let Some(Event::Session(request)) = server.next_event().await else { panic!("no session") };
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", HeaderValue::from_static("3"));
        let body = Bytes::from_static(br#"{"title":"draining"}"#);
        request.reject(StatusCode::SERVICE_UNAVAILABLE, headers, body).await.unwrap();
    };
    let asked = connect_session(client, "localhost", "/v1/session", HeaderMap::new());
    let (asked, ()) = tokio::join!(asked, refuse);
    let Err(ConnectError::Refused(refusal)) = asked else { panic!("not refused") };
    assert_eq!(refusal.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refusal.headers["retry-after"], "3");
    assert_eq!(refusal.body, &br#"{"title":"draining"}"#[..]);
}

#[tokio::test]
async fn a_request_that_is_dropped_is_reset() {
    let world = World::new();
    let (client, mut server) = world.connect_http().await;
    let drop_it = async { drop(server.next_event().await) };
    let asked = connect_session(client, "localhost", "/v1/session", HeaderMap::new());
    let (asked, ()) = tokio::join!(asked, drop_it);
    assert!(matches!(asked, Err(ConnectError::Reset { .. })), "{asked:?}");
}

async fn closing_tells(closer: Session, other: Session) {
    closer.close(4001, "moving elsewhere");
    let SessionEnd::Closed { code, reason, by_peer } = other.closed().await else { panic!("not closed") };
    assert_eq!((code, reason.as_str(), by_peer), (4001, "moving elsewhere", true));
    let end = closer.closed().await;
    assert!(matches!(end, SessionEnd::Closed { code: 4001, by_peer: false, .. }), "{end:?}");
    for session in [&closer, &other] {
        assert!(matches!(session.open_uni().await, Err(SessionError::Over(_))));
        assert!(matches!(session.accept_uni().await, Err(SessionError::Over(_))));
        assert!(matches!(session.accept_bi().await, Err(SessionError::Over(_))));
    }
}

#[tokio::test]
async fn a_close_of_the_server_arrives_with_code_and_reason() {
    let world = World::new();
    let (client, server, _http) = world.session().await;
    closing_tells(server, client).await;
}

#[tokio::test]
async fn a_close_of_the_client_arrives_with_code_and_reason() {
    let world = World::new();
    let (client, server, _http) = world.session().await;
    closing_tells(client, server).await;
}

#[tokio::test]
async fn dropping_the_last_handle_closes_with_code_zero() {
    let world = World::new();
    let (client, server, _http) = world.session().await;
    drop(client.clone());
    exchange(&client, &server).await;
    drop(client);
    assert!(matches!(server.closed().await, SessionEnd::Closed { code: 0, by_peer: true, .. }));
}

#[tokio::test]
async fn a_lost_connection_ends_the_session() {
    let world = World::new();
    let (client, server, _http) = world.session().await;
    client.connection().close(7u32.into(), b"gone");
    assert!(matches!(
        server.closed().await,
        SessionEnd::Connection(quinn::ConnectionError::ApplicationClosed(_))
    ));
    assert!(matches!(client.closed().await, SessionEnd::Connection(quinn::ConnectionError::LocallyClosed)));
}

#[tokio::test]
async fn a_dropped_driver_ends_the_session() {
    let world = World::new();
    let (client, mut server) = world.connect_http().await;
    let accept = async {
        let Some(Event::Session(request)) = server.next_event().await else { panic!("no session") };
        request.accept().await.unwrap()
    };
    let asked = connect_session(client, "localhost", "/v1/session", HeaderMap::new());
    let (asked, _accepted) = tokio::join!(asked, accept);
    let (session, driver) = asked.unwrap();
    drop(driver);
    assert!(matches!(session.closed().await, SessionEnd::Connection(_)));
}

#[tokio::test]
async fn streams_beyond_the_waiting_ones_are_rejected() {
    let world = World::new();
    let (client, server, _http) = world.session().await;
    let mut streams = Vec::new();
    for _ in 0..=WAITING_STREAMS {
        streams.push(client.open_uni().await.unwrap());
    }
    let stopped = streams.last_mut().unwrap().stopped().await.unwrap();
    assert_eq!(stopped.map(quinn::VarInt::into_inner), Some(0x3994_bd84));
    for _ in 0..WAITING_STREAMS {
        server.accept_uni().await.unwrap();
    }
    write(client.open_uni().await.unwrap(), b"again").await;
    assert_eq!(read(server.accept_uni().await.unwrap()).await, b"again");
}

#[tokio::test]
async fn a_stream_of_another_session_is_rejected() {
    let world = World::new();
    let (client, _server, _http) = world.session().await;
    let mut stream = client.connection().open_uni().await.unwrap();
    stream.write_all(&[0x40, 0x54, 0x40, 0xc8]).await.unwrap();
    assert!(stream.stopped().await.unwrap().is_some());
}

/// A prefix may come in as many packets as it has bytes, and other streams do not wait for it.
#[tokio::test]
async fn a_prefix_may_arrive_byte_by_byte() {
    let world = World::new();
    let (client, server, _http) = world.session().await;
    let mut slow = client.connection().open_uni().await.unwrap();
    let mut silent = client.connection().open_uni().await.unwrap();
    // Opens the stream at the server, where it stays without a first byte that would complete a prefix.
    silent.write_all(&[0x40]).await.unwrap();
    for (count, byte) in [0x40, 0x54, 0x40, client.id() as u8].into_iter().enumerate() {
        slow.write_all(&[byte]).await.unwrap();
        // A round trip, after which the byte is known to have been received by itself.
        let mark = [count as u8];
        write(client.open_uni().await.unwrap(), &mark).await;
        let stream = server.accept_uni().await.unwrap();
        if count < 3 {
            assert_eq!(read(stream).await, mark);
        } else {
            // Both streams are complete now, in either order.
            slow.write_all(b"slow").await.unwrap();
            slow.finish().unwrap();
            let mut both = [read(stream).await, read(server.accept_uni().await.unwrap()).await];
            both.sort();
            assert_eq!(both, [mark.to_vec(), b"slow".to_vec()]);
            return;
        }
    }
}

#[tokio::test]
async fn plain_requests_go_on_beside_a_session() {
    let world = World::new();
    let (client, server, mut http) = world.session().await;
    let get = async {
        // A second connection of the same client socket, with stock h3-quinn.
        let (dialled, accepted) = world.connect(&world.tls).await;
        let (mut plain, driver) = macula_transport::session::serve(accepted);
        tokio::spawn(driver);
        let answer = async {
            let Some(Event::Request(request, mut stream)) = plain.next_event().await else {
                panic!("no request")
            };
            assert_eq!(request.uri().path(), "/v1/realm");
            let mut body = Vec::new();
            while let Some(mut data) = stream.recv_data().await.unwrap() {
                body.extend_from_slice(&data.copy_to_bytes(data.remaining()));
            }
            stream.send_response(http::Response::new(())).await.unwrap();
            stream.send_data(Bytes::from(body)).await.unwrap();
            stream.finish().await.unwrap();
        };
        let ask = async {
            let (mut h3, mut requests) = h3::client::new(h3_quinn::Connection::new(dialled)).await.unwrap();
            tokio::spawn(async move { std::future::poll_fn(|cx| h3.poll_close(cx)).await });
            let request = http::Request::get("https://localhost/v1/realm").body(()).unwrap();
            let mut stream = requests.send_request(request).await.unwrap();
            let body = Bytes::from(vec![b'x'; 300_000]);
            let send = async {
                stream.send_data(body.clone()).await.unwrap();
                // Many small frames, which must not pile up at the server.
                for _ in 0..1000 {
                    stream.send_data(Bytes::from_static(b"y")).await.unwrap();
                }
                stream.finish().await.unwrap();
            };
            send.await;
            assert_eq!(stream.recv_response().await.unwrap().status(), StatusCode::OK);
            let mut echoed = Vec::new();
            while let Some(mut data) = stream.recv_data().await.unwrap() {
                echoed.extend_from_slice(&data.copy_to_bytes(data.remaining()));
            }
            assert_eq!(echoed.len(), 301_000);
        };
        tokio::join!(answer, ask);
    };
    tokio::join!(get, exchange(&client, &server));
    http.shutdown();
    exchange(&client, &server).await;
    client.close(0, "");
    assert!(http.next_event().await.is_none());
}

#[tokio::test]
async fn the_settings_are_those_that_browsers_look_for() {
    let world = World::new();
    let (client, _server) = world.connect_http().await;
    let settings = loop {
        let mut stream = client.accept_uni().await.unwrap();
        let mut kind = [0; 1];
        stream.read_exact(&mut kind).await.unwrap();
        if kind[0] != 0x00 {
            continue;
        }
        // A SETTINGS frame shorter than 64 bytes.
        let mut header = [0; 2];
        stream.read_exact(&mut header).await.unwrap();
        assert_eq!(header[0], 0x04);
        let mut body = vec![0; usize::from(header[1])];
        stream.read_exact(&mut body).await.unwrap();
        break body;
    };
    let mut found = std::collections::HashMap::new();
    let mut rest = &settings[..];
    while !rest.is_empty() {
        let (id, at) = varint::get(rest).unwrap();
        let (value, end) = varint::get(&rest[at..]).unwrap();
        found.insert(id, value);
        rest = &rest[at + end..];
    }
    for id in [0x2b60_3742, 0x08, 0x33] {
        assert_eq!(found.get(&id), Some(&1), "{id:#x}");
    }
    assert_eq!(found.get(&0x06), Some(&macula_transport::session::MAX_FIELD_SECTION));
}

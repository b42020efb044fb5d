//! Clients that are slow on purpose: how long the gateway bears it.

use crate::client::{self, Http, Reader};
use crate::support;
use bytes::Bytes;
use h3::error::StreamError;
use std::time::{Duration, Instant};

/// What the gateway grants bodies and readers, and idle connections; and what may come on top.
const BOUND: Duration = Duration::from_secs(20);
const IDLE: Duration = Duration::from_secs(30);
const SLACK: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let gateway = support::gateway("slow").await;
    let mut http = Http::connect(&gateway).await;
    let begun = Instant::now();
    let mut stream = http.begin("POST", "/v1/topics/test.slow", &[]).await;
    stream.send_data(Bytes::from_static(b"x")).await.expect("sent");
    let response = tokio::time::timeout(BOUND + SLACK, stream.recv_response()).await;
    let response = response.expect("an answer in time").expect("an answer");
    assert!(begun.elapsed() >= BOUND, "not before {BOUND:?}");
    assert_eq!(response.status(), 408);
    assert!(Reader::new(stream).rest().await.contains("20 seconds"));
}

#[tokio::test]
async fn a_connection_that_asks_for_nothing_is_closed_and_one_that_listens_is_not() {
    const H3_NO_ERROR: u64 = 0x100;
    let gateway = support::gateway("idle").await;
    let mut http = Http::connect(&gateway).await;
    let (_, events) = http.send("GET", "/v1/topics/test.idle?limit=1", &[], b"").await;
    let idle = client::connect(gateway.local_addr()).await;
    // Of a request only the beginning: HEADERS of a hundred bytes.
    let (mut request, _response) = idle.open_bi().await.expect("opened");
    request.write_all(&[0x01, 0x40, 100]).await.expect("sent");
    let begun = Instant::now();
    let closed = tokio::time::timeout(IDLE + SLACK, idle.closed()).await.expect("closed in time");
    assert!(begun.elapsed() > IDLE - SLACK, "{:?} is too early", begun.elapsed());
    match closed {
        quinn::ConnectionError::ApplicationClosed(close) => {
            assert_eq!(close.error_code.into_inner(), H3_NO_ERROR)
        }
        other => panic!("{other}"),
    }
    assert_eq!(http.exchange("POST", "/v1/topics/test.idle", &[], "x").await.status, 202);
    assert!(Reader::new(events).rest().await.contains("test.idle"));
}

#[tokio::test]
async fn a_reader_that_takes_nothing_loses_its_stream_and_delays_nobody() {
    let gateway = support::gateway("stalled").await;
    let (mut stalled, mut http) = (Http::connect(&gateway).await, Http::connect(&gateway).await);
    // It drops what finds no room, so that nobody waits for it.
    let (_, mut unread) = stalled.send("GET", "/v1/topics/test.flood?events=drop_oldest", &[], b"").await;
    let (_, other) = http.send("GET", "/v1/topics/test.other", &[], b"").await;
    let mut other = Reader::new(other);

    // More than the windows on the way hold, so that the gateway has to wait for the reader.
    let piece = vec![b'x'; 1 << 19];
    for _ in 0..64 {
        assert_eq!(http.exchange("POST", "/v1/topics/test.flood", &[], &piece).await.status, 202);
    }
    let full = Instant::now();
    assert_eq!(http.exchange("POST", "/v1/topics/test.other", &[], "x").await.status, 202);
    assert_eq!(other.event().await.1["topic"], "test.other");
    while gateway.status().await.expect("alive").gauges.subscriptions > 1 {
        assert!(full.elapsed() < BOUND + SLACK, "the stalled reader is still subscribed");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(full.elapsed() > BOUND / 2, "it was given time");
    let end = loop {
        match unread.recv_data().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a stream that was cut short must not look complete"),
            Err(error) => break error,
        }
    };
    assert!(matches!(end, StreamError::RemoteTerminate { .. }), "{end}");
}

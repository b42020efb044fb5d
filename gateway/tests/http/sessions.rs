//! Requests for a session that are refused by an HTTP status, and what a session may do before it is welcomed.

use crate::support;
use macula_proto::frame;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{Accepted, Code, Hello, Message, Publish, TopicAlias, Windows};
use macula_transport::client::{Dialer, Roots, SessionDialError};
use macula_transport::session::{ConnectError, Refusal, Session, SessionEnd};
use prost::Message as _;
use std::time::Duration;

/// H3_WEBTRANSPORT_BUFFERED_STREAM_REJECTED of draft-ietf-webtrans-http3.
const REJECTED: u32 = 0x3994_bd84;

/// A session in which nobody has said anything.
pub(crate) struct Silent {
    pub(crate) session: Session,
    _dialer: Dialer,
}

impl Silent {
    pub(crate) async fn open(port: u16) -> Self {
        let dialer = Dialer::new(&Roots::Development).expect("a socket");
        let opened = dialer.connect("localhost", port, &[]).await;
        let (session, driver) = opened.expect("sessions are served");
        tokio::spawn(driver);
        Self { session, _dialer: dialer }
    }

    /// Says Hello and waits for the answer; its frame, and the streams that keep the session alive.
    pub(crate) async fn hello(&self) -> (u8, quinn::SendStream, quinn::RecvStream) {
        let hello = Hello {
            versions: vec![1],
            realm: "test.realm".to_owned(),
            publisher: vec![7; 16].into(),
            epoch: 1,
            windows: Some(Windows { rpc: 1 << 20, event: 1 << 20, telemetry: 1 << 20 }),
            ..Hello::default()
        };
        let mut bytes = vec![StreamKind::Control as u8];
        frame::put_message(&mut bytes, kind::HELLO, &hello);
        let (mut send, mut recv) = self.session.open_bi().await.expect("opened");
        send.write_all(&bytes).await.expect("sent");
        let (kind, _) = read_frame(&mut recv).await;
        (kind, send, recv)
    }

    async fn closed(&self) -> (u32, String) {
        match self.session.closed().await {
            SessionEnd::Closed { code, reason, by_peer: true } => (code, reason),
            other => panic!("{other:?}"),
        }
    }
}

/// One frame: its kind and its body.
async fn read_frame(stream: &mut quinn::RecvStream) -> (u8, Vec<u8>) {
    let mut length = Vec::new();
    let length = loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.expect("a frame");
        length.push(byte[0]);
        if let Ok(Some((length, _))) = macula_proto::varint::get(&length) {
            break length as usize;
        }
    };
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame).await.expect("a whole frame");
    (frame[0], frame.split_off(1))
}

pub(crate) async fn refused(port: u16, headers: &[(&str, &str)]) -> Refusal {
    let dialer = Dialer::new(&Roots::Development).expect("a socket");
    match dialer.connect("localhost", port, headers).await {
        Err(SessionDialError::Session(ConnectError::Refused(refusal))) => *refusal,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("not refused"),
    }
}

#[tokio::test]
async fn whoever_sets_headers_is_refused_by_a_status_and_a_problem() {
    let gateway = support::gateway("refusals").await;
    for (header, status, code, hint) in [
        (("macula-realm", "other.realm"), 400, "INVALID_ARGUMENT", "test.realm"),
        (("authorization", "Basic eA=="), 401, "UNAUTHENTICATED", "Bearer"),
        (("origin", "https://example.com"), 403, "PERMISSION_DENIED", "MACULA_ORIGINS"),
    ] {
        let refusal = refused(gateway.local_addr().port(), &[header]).await;
        assert_eq!(refusal.status, status, "{header:?}");
        assert_eq!(refusal.headers["content-type"], "application/problem+json");
        let problem: serde_json::Value = serde_json::from_slice(&refusal.body).expect("JSON");
        assert_eq!(problem["code"], code);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(hint)), "{problem}");
    }
    let dialer = Dialer::new(&Roots::Development).expect("a socket");
    let right = [("macula-realm", "test.realm"), ("origin", "http://localhost:4000")];
    let opened = dialer.connect("localhost", gateway.local_addr().port(), &right).await;
    assert!(opened.is_ok(), "these are in order");
}

#[tokio::test]
async fn a_class_stream_that_comes_before_hello_waits_for_welcome() {
    let gateway = support::gateway("early").await;
    let early = Silent::open(gateway.local_addr().port()).await;
    let mut bytes = vec![StreamKind::Event as u8];
    let alias = TopicAlias { alias: 1, topic: "test.early".to_owned(), ..TopicAlias::default() };
    frame::put_message(&mut bytes, kind::TOPIC_ALIAS, &alias);
    let message = Some(Message { payload: "x".into(), ..Message::default() });
    frame::put_message(&mut bytes, kind::PUBLISH, &Publish { topic: 1, sequence: 1, message, report: false });
    early.session.open_uni().await.expect("opened").write_all(&bytes).await.expect("sent");
    // Everything that was sent has arrived before Hello is said.
    tokio::time::timeout(Duration::from_millis(100), early.session.closed())
        .await
        .expect_err("nothing is wrong");
    let (kind, _control, mut answers) = early.hello().await;
    assert_eq!(kind, kind::WELCOME);
    loop {
        let (kind, body) = read_frame(&mut answers).await;
        if kind == kind::ACCEPTED {
            assert_eq!(Accepted::decode(&body[..]).expect("Accepted").sequence, 1);
            break;
        }
    }
}

#[tokio::test]
async fn at_most_sixteen_streams_wait_for_welcome() {
    let gateway = support::gateway("streams").await;
    let early = Silent::open(gateway.local_addr().port()).await;
    let mut streams = Vec::new();
    for _ in 0..17 {
        let mut stream = early.session.open_uni().await.expect("opened");
        stream.write_all(&[StreamKind::Event as u8]).await.expect("sent");
        streams.push(stream);
    }
    let stopped = streams.pop().expect("the last").stopped().await.expect("the connection is there");
    assert_eq!(stopped, Some(REJECTED.into()), "the seventeenth");
    let stopped = tokio::time::timeout(Duration::from_millis(100), streams[15].stopped()).await;
    assert!(stopped.is_err(), "the sixteenth waits");
}

#[tokio::test]
async fn at_most_64_kib_wait_for_welcome_and_hello_for_five_seconds() {
    let gateway = support::gateway("bytes").await;
    let early = Silent::open(gateway.local_addr().port()).await;
    let opened = std::time::Instant::now();
    let mut stream = early.session.open_uni().await.expect("opened");
    let mut taken = 0;
    let filler = [StreamKind::Event as u8; 8 << 10];
    while let Ok(written) = tokio::time::timeout(Duration::from_millis(300), stream.write(&filler)).await {
        taken += written.expect("the stream is open");
    }
    assert!((32 << 10..=64 << 10).contains(&taken), "{taken} bytes were taken");
    let (code, reason) = early.closed().await;
    assert_eq!(code, Code::DeadlineExceeded as u32);
    assert!(reason.contains("Hello"), "{reason}");
    let after = opened.elapsed();
    assert!((4..8).contains(&after.as_secs()), "{after:?}");
}

#[tokio::test]
async fn a_welcomed_session_may_send_more_than_a_newcomer() {
    let gateway = support::gateway("wide").await;
    let session = Silent::open(gateway.local_addr().port()).await;
    let (kind, mut control, _answers) = session.hello().await;
    assert_eq!(kind, kind::WELCOME);
    // A frame that is not complete is held, not answered; more than a newcomer's window of it.
    let mut begun = Vec::new();
    macula_proto::varint::put(&mut begun, 900_000);
    begun.push(0x80);
    control.write_all(&begun).await.expect("sent");
    control.write_all(&vec![0; 800_000]).await.expect("taken");
}

//! A client that writes its bytes itself: what PROTOCOL.md says about streams.

mod support;

use macula_gateway::Gateway;
use macula_proto::frame;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{Code, Hello, Windows};
use macula_transport::client::{Dialer, Roots};
use macula_transport::session::{Session, SessionEnd};
use std::time::Duration;

/// A welcomed session, with what keeps it open.
struct Raw {
    session: Session,
    _control: (quinn::SendStream, quinn::RecvStream),
    _dialer: Dialer,
}

impl Raw {
    async fn connect(gateway: &Gateway) -> Self {
        let dialer = Dialer::new(&Roots::Development).unwrap();
        let (session, driver) = dialer.connect("localhost", gateway.local_addr().port(), &[]).await.unwrap();
        tokio::spawn(driver);
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
        let (mut send, mut recv) = session.open_bi().await.unwrap();
        send.write_all(&bytes).await.unwrap();
        let mut answer = [0; 2];
        recv.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer[1], kind::WELCOME);
        Self { session, _control: (send, recv), _dialer: dialer }
    }

    async fn open(&self, first: u8) -> quinn::SendStream {
        let mut stream = self.session.open_uni().await.unwrap();
        stream.write_all(&[first]).await.unwrap();
        stream
    }

    /// Code and text with which the gateway closes the session.
    async fn closed(&self) -> (u32, String) {
        match tokio::time::timeout(Duration::from_secs(5), self.session.closed()).await.unwrap() {
            SessionEnd::Closed { code, reason, by_peer: true } => (code, reason),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_second_stream_of_a_kind_ends_the_session() {
    let gateway = support::gateway("second").await;
    let raw = Raw::connect(&gateway).await;
    let _event = raw.open(StreamKind::Event as u8).await;
    let _telemetry = raw.open(StreamKind::Telemetry as u8).await;
    let _again = raw.open(StreamKind::Event as u8).await;
    let (code, text) = raw.closed().await;
    assert_eq!(code, Code::InvalidArgument as u32);
    assert!(text.contains("a second Event stream"), "{text}");
}

#[tokio::test]
async fn a_stream_of_no_kind_ends_the_session() {
    let gateway = support::gateway("no-kind").await;
    let raw = Raw::connect(&gateway).await;
    let _stream = raw.open(9).await;
    let (code, text) = raw.closed().await;
    assert_eq!(code, Code::InvalidArgument as u32);
    assert!(text.contains("0x09"), "{text}");
}

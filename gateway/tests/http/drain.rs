//! A gateway that is about to stop: what is under way, who is there, and who comes now.

use crate::client::{Http, Reader};
use crate::sessions::{Silent, refused};
use crate::support;
use macula_proto::kind;
use std::time::{Duration, Instant};

#[tokio::test]
async fn live_connections_get_goaway_and_newcomers_are_told_to_come_back() {
    let gateway = support::gateway("drain").await;
    let address = gateway.local_addr();
    let mut live = Http::connect(&gateway).await;
    let (_, events) = live.send("GET", "/v1/topics/test.%23", &[], b"").await;
    // It does not move when it is told to, and so gives us the time to look.
    let stubborn = Silent::open(address.port()).await;
    let (kind, _control, _answers) = stubborn.hello().await;
    assert_eq!(kind, kind::WELCOME);
    let stopping = tokio::spawn(gateway.shutdown());

    let mut events = Reader::new(events);
    assert_eq!(events.event().await.0, "moving");
    assert_eq!(events.rest().await, "", "the stream ends in order");

    let refusal = refused(address.port(), &[]).await;
    assert_eq!(
        (refusal.status.as_u16(), &refusal.headers["retry-after"]),
        (503, &"1".parse().expect("legal"))
    );
    let answer = Http::connect_to(address).await.exchange("GET", "/v1/realm", &[], "").await;
    assert_eq!((answer.status.as_u16(), &answer.headers["retry-after"]), (503, &"1".parse().expect("legal")));
    assert_eq!(answer.json()["code"], "UNAVAILABLE");

    // GOAWAY may still be on its way; what comes before it is answered as newcomers are.
    let until = Instant::now() + Duration::from_secs(2);
    loop {
        let request = http::Request::get(format!("https://localhost:{}/v1/realm", address.port()));
        match live.requests.send_request(request.body(()).expect("legal")).await {
            Err(error) => {
                // h3 keeps this kind of error to itself, but for its text.
                assert_eq!(error.to_string(), "Remote is closing the connection");
                break;
            }
            Ok(_) => assert!(Instant::now() < until, "GOAWAY never came"),
        }
        tokio::task::yield_now().await;
    }

    stubborn.session.close(0, "");
    stopping.await.expect("it stops");
}

//! Calls by plain HTTP: streams of results, answers of all providers, errors with what their providers add.

use crate::client::{Http, Reader};
use crate::support;
use macula_gateway::Gateway;
use macula_sdk::{CallFailure, CallPolicy, Client, Code, Pattern, Registration, Reply};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const SSE: [(&str, &str); 1] = [("accept", "text/event-stream")];
const LINES: [(&str, &str); 1] = [("accept", "application/x-ndjson")];

async fn client(gateway: &Gateway) -> Client {
    let connecting = Client::builder().url(support::url(gateway)).realm("test.realm").connect();
    connecting.await.expect("connected")
}

fn pattern(text: &str) -> Pattern {
    text.parse().expect("legal")
}

/// Answers with so many parts of so many bytes, then fails if a third number says so; counts the parts.
async fn parts(client: &Client, sent: &Arc<AtomicUsize>) -> Registration {
    let sent = Arc::clone(sent);
    let register = client.register_stream(pattern("test.parts"), move |request, mut replies| {
        let sent = Arc::clone(&sent);
        async move {
            let text = String::from_utf8_lossy(request.payload()).into_owned();
            let numbers: Vec<usize> =
                text.split(' ').map(|number| number.parse().expect("a number")).collect();
            for number in 0..numbers[0] {
                let json = json!({ "number": number, "filler": "x".repeat(numbers[1]) });
                replies.send(Reply::new(json.to_string()).with_content_type("application/json")).await?;
                sent.fetch_add(1, Ordering::SeqCst);
            }
            match numbers.get(2) {
                None => Ok(()),
                Some(_) => Err(CallFailure::new(Code::Aborted, "enough").with_details("why")),
            }
        }
    });
    register.await.expect("registered")
}

#[tokio::test]
async fn results_come_one_by_one_as_events_or_lines() {
    let gateway = support::gateway("http").await;
    let client = client(&gateway).await;
    let _registration = parts(&client, &Arc::default()).await;
    let mut http = Http::connect(&gateway).await;
    let (response, stream) = http.send("POST", "/v1/rpc/test.parts", &SSE, b"3 0").await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"text/event-stream".parse().expect("legal"))
    );
    let mut reader = Reader::new(stream);
    for number in 0..3 {
        let (event, object) = reader.event().await;
        assert_eq!((event.as_str(), &object["json"]["number"]), ("", &number.into()));
    }
    assert_eq!(reader.event().await, ("end".to_owned(), json!({})));
    assert_eq!(reader.rest().await, "");

    let lines = http.exchange("POST", "/v1/rpc/test.parts", &LINES, "2 0 1").await;
    let lines: Vec<serde_json::Value> =
        lines.body.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1]["json"]["number"], 1);
    assert_eq!(
        lines[2],
        json!({ "event": "error", "code": "ABORTED", "detail": "enough", "details": "d2h5" })
    );
}

#[tokio::test]
async fn a_reader_that_stops_holds_the_provider_back() {
    let gateway = support::gateway("http").await;
    let client = client(&gateway).await;
    let sent = Arc::new(AtomicUsize::new(0));
    let _registration = parts(&client, &sent).await;
    let mut http = Http::connect(&gateway).await;
    let (_, stream) = http.send("POST", "/v1/rpc/test.parts", &LINES, b"500 100000").await;
    let mut last = usize::MAX;
    // It comes to rest long before all has been sent.
    while sent.load(Ordering::SeqCst) != last {
        last = sent.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!((5..100).contains(&last), "{last} parts of 100 kB were sent to nobody");
    let mut reader = Reader::new(stream);
    for number in 0..500 {
        let line: serde_json::Value = serde_json::from_str(&reader.until("\n").await).expect("JSON");
        assert_eq!(line["json"]["number"], number);
    }
    assert_eq!(reader.rest().await, "{\"event\":\"end\"}\n");
}

#[tokio::test]
async fn what_fails_before_its_first_result_is_a_problem_with_details() {
    let gateway = support::gateway("http").await;
    let client = client(&gateway).await;
    let _registration = parts(&client, &Arc::default()).await;
    let mut http = Http::connect(&gateway).await;
    for headers in [&[][..], &SSE, &LINES, &[("macula-all", "true")]] {
        let nobody = http.exchange("POST", "/v1/rpc/test.nobody", headers, "").await;
        assert_eq!((nobody.status.as_u16(), &nobody.json()["code"]), (404, &"NOT_FOUND".into()));
        assert_eq!(nobody.headers["content-type"], "application/problem+json");
    }
    for headers in [&[][..], &SSE] {
        let failed = http.exchange("POST", "/v1/rpc/test.parts", headers, "0 0 1").await;
        let problem = failed.json();
        assert_eq!(
            (failed.status.as_u16(), &problem["code"], &problem["details"]),
            (409, &"ABORTED".into(), &"d2h5".into())
        );
    }
    let two = http.exchange("POST", "/v1/rpc/test.parts", &[], "2 0").await;
    assert_eq!(two.status, 400, "a single result was asked for: {}", two.body);
    assert!(two.body.contains("stream"), "{}", two.body);
    let hang = |_| std::future::pending::<Result<Reply, CallFailure>>();
    let _hangs = client.register(pattern("test.hang"), hang).await.expect("registered");
    let late = http.exchange("POST", "/v1/rpc/test.hang", &[("macula-timeout-ms", "200")], "").await;
    assert_eq!((late.status.as_u16(), &late.json()["code"]), (504, &"DEADLINE_EXCEEDED".into()));
    let text = http.exchange("POST", "/v1/rpc/test.hang", &[("macula-timeout-ms", "soon")], "").await;
    assert_eq!(text.status, 400);
}

#[tokio::test]
async fn all_providers_answer_with_their_names() {
    let gateway = support::gateway("http").await;
    let providers = [client(&gateway).await, client(&gateway).await];
    let mut registrations = Vec::new();
    for (number, provider) in providers.iter().enumerate() {
        let handler = move |request: macula_sdk::Request| async move {
            match number {
                0 => Ok(Reply::new(request.header("name").unwrap_or("nobody").to_owned())
                    .with_content_type("text/plain")
                    .with_header("seen", "yes")),
                _ => Err(CallFailure::new(Code::Aborted, "not today")),
            }
        };
        let register = provider.register(pattern("test.who"), handler).policy(CallPolicy::Last);
        registrations.push(register.await.expect("registered"));
    }
    let mut http = Http::connect(&gateway).await;
    let headers = [("macula-all", "true"), ("macula-header-name", "ann")];
    let answers = http.exchange("POST", "/v1/rpc/test.who", &headers, "").await;
    assert_eq!(answers.headers["content-type"], "application/x-ndjson");
    let mut lines: Vec<serde_json::Value> =
        answers.body.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.pop(), Some(json!({ "event": "end", "answers": 2 })));
    let of = |client: &Client| {
        let name = client.publisher_id().to_string();
        lines.iter().find(|line| line["provider"] == name).expect("it has answered")
    };
    let result = of(&providers[0]);
    assert_eq!((&result["base64"], &result["headers"]["seen"]), (&"YW5u".into(), &"yes".into()));
    assert_eq!(
        (&of(&providers[1])["event"], &of(&providers[1])["code"]),
        (&"error".into(), &"ABORTED".into())
    );

    registrations.pop();
    // Until the gateway has heard that the second one offers it no longer.
    let mut one = http.exchange("POST", "/v1/rpc/test.who", &headers[1..], "").await;
    while one.status != 200 {
        one = http.exchange("POST", "/v1/rpc/test.who", &headers[1..], "").await;
    }
    assert_eq!(
        (one.body.as_str(), &one.headers["macula-header-seen"]),
        ("ann", &"yes".parse().expect("legal"))
    );
}

//! Errors: the right status, a code for programs, and what to do in words.

use crate::client::Http;
use crate::support;
use macula_gateway::{Gateway, Settings};

#[tokio::test]
async fn mistakes_are_answered_with_a_problem_that_says_what_to_do() {
    let gateway = support::gateway("http").await;
    let mut http = Http::connect(&gateway).await;
    for (method, path, headers, status, code, hint) in [
        ("POST", "/v1/topics/a..b", &[][..], 400, "INVALID_ARGUMENT", "empty"),
        ("GET", "/v1/topics/test.", &[], 400, "INVALID_ARGUMENT", "%23"),
        ("POST", "/v1/topics/test.", &[], 400, "INVALID_ARGUMENT", "%23"),
        ("GET", "/v1/topics/%ff", &[], 400, "INVALID_ARGUMENT", "UTF-8"),
        ("GET", "/v1/topics/a.%23.b", &[], 400, "INVALID_ARGUMENT", "last"),
        ("POST", "/v1/topics/a.*", &[], 400, "INVALID_ARGUMENT", "pattern"),
        (
            "POST",
            "/v1/topics/a.b",
            &[("macula-class", "rumour")],
            400,
            "INVALID_ARGUMENT",
            "event or telemetry",
        ),
        ("POST", "/v1/topics/a.b", &[("macula-retain", "maybe")], 400, "INVALID_ARGUMENT", "true or false"),
        ("POST", "/v1/topics/a.b", &[("macula-ttl-ms", "1s")], 400, "INVALID_ARGUMENT", "milliseconds"),
        ("POST", "/v1/topics/a.b", &[("macula-realm", "other")], 400, "INVALID_ARGUMENT", "test.realm"),
        ("POST", "/v1/topics/a.b", &[("content-length", "5")], 400, "INVALID_ARGUMENT", "content-length"),
        ("POST", "/v1/topics/a.b", &[("authorization", "Basic eA==")], 401, "UNAUTHENTICATED", "Bearer"),
        ("POST", "/v1/topics/a.b", &[("content-type", "plain")], 415, "INVALID_ARGUMENT", "type/subtype"),
        ("POST", "/v1/topics/a.b", &[("content-encoding", "gzip")], 415, "INVALID_ARGUMENT", "as it is"),
        (
            "POST",
            "/v1/topics/a.b",
            &[("content-type", "application/json; type=no.Such")],
            415,
            "INVALID_ARGUMENT",
            "MACULA_SCHEMAS",
        ),
        ("POST", "/v1/topics/a.b", &[("content-length", "20000000")], 413, "INVALID_ARGUMENT", "16777216"),
        ("GET", "/v1/topics/a.b?retaind", &[], 400, "INVALID_ARGUMENT", "there is retained"),
        ("GET", "/v1/topics/a.b?limit=x", &[], 400, "INVALID_ARGUMENT", "number"),
        ("GET", "/v1/topics/a.b?events=forget", &[], 400, "INVALID_ARGUMENT", "drop_oldest"),
        ("GET", "/v1/topics/a.b?share=fair", &[], 400, "INVALID_ARGUMENT", "round_robin"),
        ("GET", "/v1/topics/a.b", &[("accept", "text/html")], 406, "INVALID_ARGUMENT", "x-ndjson"),
        ("GET", "/v1/realm", &[("accept", "text/html")], 406, "INVALID_ARGUMENT", "application/json"),
        (
            "GET",
            "/v1/realm",
            &[("origin", "https://example.com")],
            403,
            "PERMISSION_DENIED",
            "MACULA_ORIGINS",
        ),
        ("POST", "/v1/rpc/test.nobody", &[], 404, "NOT_FOUND", "test.nobody"),
        ("GET", "/v1/rpc/test.nobody", &[], 405, "INVALID_ARGUMENT", "POST"),
        ("DELETE", "/v1/topics/a.b", &[], 405, "INVALID_ARGUMENT", "GET, HEAD, POST, OPTIONS"),
        ("GET", "/v1/topics/", &[], 404, "NOT_FOUND", "/v1/topics/{topic}"),
        ("GET", "/elsewhere", &[], 404, "NOT_FOUND", "/v1/topics/{topic}"),
        ("GET", "/v1/session", &[], 404, "NOT_FOUND", "/v1/realm"),
    ] {
        let answer = http.exchange(method, path, headers, "").await;
        let told = format!("{method} {path} {headers:?}: {answer:?}");
        assert_eq!(answer.status, status, "{told}");
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{told}");
        let problem = answer.json();
        assert_eq!((&problem["status"], &problem["code"]), (&status.into(), &code.into()), "{told}");
        assert!(problem["title"].is_string(), "{told}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(hint)), "{told}");
    }
    // None of it has broken the connection, or let anybody in.
    assert_eq!(http.exchange("GET", "/v1/realm", &[], "").await.status, 200);
    assert_eq!(gateway.status().await.expect("alive").gauges.sessions, 0);
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_with_and_without_an_announcement() {
    let gateway = support::gateway("http").await;
    let mut http = Http::connect(&gateway).await;
    let long = vec![b'x'; 17 << 20];
    for headers in [&[("content-length", "17825792")][..], &[]] {
        let answer = http.exchange("POST", "/v1/topics/a.b", headers, &long).await;
        assert_eq!(answer.status, 413, "{answer:?}");
    }
    let most = vec![b'x'; macula_proto::limits::PAYLOAD_BYTES];
    assert_eq!(http.exchange("POST", "/v1/topics/a.b", &[], &most).await.status, 202);

    let narrow = Settings { payload_bytes: 10, ..support::settings("narrow") };
    let narrow = Gateway::start(narrow).await.expect("it starts");
    let mut http = Http::connect(&narrow).await;
    assert_eq!(http.exchange("POST", "/v1/topics/a.b", &[], [0; 11]).await.status, 413);
    assert_eq!(http.exchange("POST", "/v1/topics/a.b", &[], [0; 10]).await.status, 202);
}

#[tokio::test]
async fn what_the_core_refuses_is_told_with_its_code() {
    let gateway = support::gateway("http").await;
    let mut http = Http::connect(&gateway).await;
    let key = "k".repeat(300);
    for class in ["event", "telemetry"] {
        let headers = [("macula-key", key.as_str()), ("macula-class", class)];
        let answer = http.exchange("POST", "/v1/topics/a.b", &headers, "").await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["code"]),
            (400, &"INVALID_ARGUMENT".into()),
            "{class}"
        );
        assert!(answer.body.contains("255"), "{class}: {answer:?}");
    }
}

//! Web pages: which origins are served, and what browsers are told about it.

use crate::client::Http;
use crate::support;
use macula_gateway::{Gateway, Origins, Settings};

#[tokio::test]
async fn a_page_that_is_listed_may_read_answers_and_another_gets_none() {
    let origins = Origins::parse(["https://dash.example.com"]).expect("an origin");
    let gateway =
        Gateway::start(Settings { origins, ..support::settings("pages") }).await.expect("it starts");
    let mut http = Http::connect(&gateway).await;
    let listed = [("origin", "https://dash.example.com")];

    // Errors too: a page should be able to show them.
    for (method, path, status) in
        [("GET", "/v1/realm", 200), ("GET", "/v1/topics/a.", 400), ("GET", "/x", 404)]
    {
        let answer = http.exchange(method, path, &listed, "").await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.headers["access-control-allow-origin"], "https://dash.example.com", "{path}");
        assert_eq!(answer.headers["vary"], "origin", "{path}");
    }

    let wanted = ("access-control-request-headers", "authorization,macula-header-room");
    let preflight = [listed[0], ("access-control-request-method", "POST"), wanted];
    let answer = http.exchange("OPTIONS", "/v1/topics/a.b", &preflight, "").await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.headers["access-control-allow-methods"], "GET, HEAD, POST, OPTIONS");
    assert_eq!(answer.headers["access-control-allow-headers"], wanted.1);

    for origin in ["https://example.com", "http://localhost:4000", "null"] {
        for method in ["GET", "OPTIONS"] {
            let answer = http.exchange(method, "/v1/realm", &[("origin", origin)], "").await;
            assert_eq!(answer.status, 403, "{origin}");
            assert!(!answer.headers.contains_key("access-control-allow-origin"), "{origin}");
        }
    }
    assert_eq!(http.exchange("GET", "/v1/realm", &[], "").await.status, 200, "no page asks");
}

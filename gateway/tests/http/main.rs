//! Plain HTTP/3 by the stock client: every resource, method and error, as `HTTP.md` tells them.

#[path = "../support/mod.rs"]
mod support;

mod bounds;
mod calls;
mod client;
mod drain;
mod messages;
mod mistakes;
mod pages;
mod sessions;

use client::{Http, Reader};
use http::StatusCode;
use macula_sdk::{Client, Pattern, Reply, Topic};

#[tokio::test]
async fn curl_can_publish_subscribe_and_call() {
    let gateway = support::gateway("http").await;
    let mut http = Http::connect(&gateway).await;

    let realm = http.exchange("GET", "/v1/realm", &[], "").await;
    assert_eq!(realm.status, 200);
    assert_eq!((&realm.json()["realm"], &realm.json()["gateway"]), (&"test.realm".into(), &"http".into()));

    let (response, events) = http.send("GET", "/v1/topics/test.%23", &[], b"").await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let headers = [("macula-key", "k1"), ("content-type", "application/json")];
    let published = http.exchange("POST", "/v1/topics/test.http", &headers, "{\"a\":1}").await;
    assert_eq!((published.status.as_u16(), &published.json()["matches"]), (202, &1.into()));
    let (_, object) = Reader::new(events).event().await;
    assert_eq!(
        (&object["topic"], &object["key"], &object["json"]["a"]),
        (&"test.http".into(), &"k1".into(), &1.into())
    );
    assert_eq!(object["class"], "event");

    let client =
        Client::builder().url(support::url(&gateway)).realm("test.realm").connect().await.expect("connected");
    let procedure: Pattern = "test.shout".parse().expect("legal");
    let _registration = client
        .register(procedure, |request| async move {
            Ok(Reply::new(request.payload().to_ascii_uppercase()).with_content_type("text/plain"))
        })
        .await
        .expect("registered");
    let long = http.exchange("POST", "/v1/rpc/test.shout", &[], "x".repeat(900_000)).await;
    assert_eq!((long.status, long.body.len()), (StatusCode::OK, 900_000), "longer than a window");
    let short = http.exchange("POST", "/v1/rpc/test.shout", &[], "hello").await;
    assert_eq!((short.status, short.body.as_str()), (StatusCode::OK, "HELLO"));

    let mut subscription =
        client.subscribe("test.#".parse::<Pattern>().expect("legal")).await.expect("subscribed");
    assert_eq!(http.exchange("POST", "/v1/topics/test.two", &[], "x").await.status, 202);
    let message = subscription.next_message().await.expect("it comes");
    assert_eq!(message.topic(), &"test.two".parse::<Topic>().expect("legal"));
}

#[tokio::test]
async fn what_there_is_can_be_found_out() {
    let gateway = support::gateway("http").await;
    let mut http = Http::connect(&gateway).await;
    let index = http.exchange("GET", "/", &[], "").await;
    assert_eq!(index.status, 200);
    for resource in index.json()["resources"].as_array().expect("a list") {
        let path = resource["path"].as_str().expect("a path");
        let documented = format!("| `{}` |", path.replace("{topic}", "{pattern}"));
        assert!(include_str!("../../HTTP.md").contains(&documented), "{path} is missing in HTTP.md");
        let path = path.replace(['{', '}'], "");
        let options = http.exchange("OPTIONS", &path, &[], "").await;
        assert_eq!(options.status, StatusCode::NO_CONTENT, "{path}");
        let methods = resource["methods"].as_str().expect("methods");
        assert_eq!(options.headers["allow"], methods, "{path}");
        // Whatever is not listed is refused with the list.
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] {
            if !methods.contains(method) {
                let refused = http.exchange(method, &path, &[], "").await;
                assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
                assert_eq!(refused.headers["allow"], methods, "{method} {path}");
            }
        }
    }
    for (path, content_type) in [
        ("/", "application/json"),
        ("/v1/realm", "application/json"),
        ("/v1/topics/a.%23", "text/event-stream"),
    ] {
        let head = http.exchange("HEAD", path, &[], "").await;
        assert_eq!((head.status, head.body.as_str()), (StatusCode::OK, ""), "{path}");
        assert_eq!(head.headers["content-type"], content_type, "{path}");
    }
}

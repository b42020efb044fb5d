//! Plain HTTP/3 by the stock client: publish, subscribe as an event stream, call, errors as problem+json.

mod support;

use bytes::{Buf, Bytes};
use http::{Request, StatusCode};
use macula_gateway::Gateway;
use macula_sdk::{Client, Pattern, Reply, Topic};
use macula_transport::endpoint;
use macula_transport::profile::TransportProfile;
use macula_transport::tls::{ClientTls, DevAuthority};

/// What is sent on: the stock client of h3 and h3-quinn.
struct Http {
    requests: h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>,
    authority: String,
}

impl Http {
    async fn connect(gateway: &Gateway) -> Self {
        let dir = DevAuthority::default_dir(|name| std::env::var_os(name));
        let roots = DevAuthority::open_or_create(&dir).expect("the gateway has made it").roots();
        let tls = ClientTls::session(roots, None).expect("legal settings");
        let socket = endpoint::client_endpoint().expect("a socket");
        let address = gateway.local_addr();
        let connection = endpoint::connect(&socket, address, "localhost", &tls, &TransportProfile::SESSION)
            .await
            .expect("the gateway listens");
        let (mut driver, requests) =
            h3::client::new(h3_quinn::Connection::new(connection)).await.expect("HTTP/3");
        tokio::spawn(async move { std::future::poll_fn(|context| driver.poll_close(context)).await });
        Self { requests, authority: format!("localhost:{}", address.port()) }
    }

    async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &'static str,
    ) -> (http::Response<()>, h3::client::RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>) {
        let mut request = Request::builder().method(method).uri(format!("https://{}{path}", self.authority));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut stream = self.requests.send_request(request.body(()).expect("legal")).await.expect("sent");
        stream.send_data(Bytes::from_static(body.as_bytes())).await.expect("sent");
        stream.finish().await.expect("sent");
        (stream.recv_response().await.expect("answered"), stream)
    }

    async fn exchange(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &'static str,
    ) -> (StatusCode, String) {
        let (response, mut stream) = self.send(method, path, headers, body).await;
        let mut text = String::new();
        while let Some(chunk) = stream.recv_data().await.expect("the body comes") {
            text.push_str(std::str::from_utf8(chunk.chunk()).expect("text"));
        }
        (response.status(), text)
    }
}

#[tokio::test]
async fn curl_can_publish_subscribe_and_call() {
    let gateway = support::gateway("http").await;
    let mut http = Http::connect(&gateway).await;

    let (status, realm) = http.exchange("GET", "/v1/realm", &[], "").await;
    assert_eq!(status, 200);
    assert!(realm.contains("\"realm\":\"test.realm\"") && realm.contains("\"gateway\":\"http\""), "{realm}");

    let (response, mut events) = http.send("GET", "/v1/topics/test.%23", &[], "").await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let headers = [("macula-key", "k1"), ("content-type", "application/json")];
    let (status, _) = http.exchange("POST", "/v1/topics/test.http", &headers, "{\"a\":1}").await;
    assert_eq!(status, 202);
    let chunk = events.recv_data().await.expect("it comes").expect("an event");
    let text = String::from_utf8(chunk.chunk().to_vec()).expect("text");
    let object: serde_json::Value =
        serde_json::from_str(text.trim().trim_start_matches("data: ")).expect("JSON");
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
    let long: &'static str = "x".repeat(900_000).leak();
    let (status, body) = http.exchange("POST", "/v1/rpc/test.shout", &[], long).await;
    assert_eq!((status, body.len()), (StatusCode::OK, 900_000), "longer than a window");
    assert_eq!(
        http.exchange("POST", "/v1/rpc/test.shout", &[], "hello").await,
        (StatusCode::OK, "HELLO".to_owned())
    );

    let mut subscription =
        client.subscribe("test.#".parse::<Pattern>().expect("legal")).await.expect("subscribed");
    assert_eq!(http.exchange("POST", "/v1/topics/test.two", &[], "x").await.0, 202);
    let message = subscription.next_message().await.expect("it comes");
    assert_eq!(message.topic(), &"test.two".parse::<Topic>().expect("legal"));
}

#[tokio::test]
async fn mistakes_are_answered_with_a_problem_that_says_what_to_do() {
    let gateway = support::gateway("http").await;
    let mut http = Http::connect(&gateway).await;
    for (method, path, headers, status, hint) in [
        ("POST", "/v1/topics/a..b", &[][..], 400, "empty"),
        ("GET", "/v1/topics/test.", &[], 400, "%23"),
        ("POST", "/v1/topics/a.*", &[], 400, "pattern"),
        ("POST", "/v1/topics/a.b", &[("macula-class", "rumour")], 400, "event or telemetry"),
        ("POST", "/v1/rpc/test.nobody", &[], 404, "test.nobody"),
        ("GET", "/v1/rpc/test.nobody", &[], 405, "POST"),
        ("DELETE", "/v1/topics/a.b", &[], 405, "GET, HEAD, POST, OPTIONS"),
        ("GET", "/elsewhere", &[], 404, "/v1/topics"),
        ("GET", "/v1/realm", &[("origin", "https://example.com")], 403, "MACULA_ORIGINS"),
    ] {
        let (got, body) = http.exchange(method, path, headers, "").await;
        assert_eq!(got, status, "{method} {path}: {body}");
        assert!(body.contains(hint), "{method} {path}: {body}");
        assert!(
            serde_json::from_str::<serde_json::Value>(&body).is_ok_and(|problem| problem["code"].is_string())
        );
    }
}

#[tokio::test]
async fn what_there_is_can_be_found_out() {
    let gateway = support::gateway("http").await;
    let mut http = Http::connect(&gateway).await;
    let (status, index) = http.exchange("GET", "/", &[], "").await;
    assert_eq!(status, 200);
    let index: serde_json::Value = serde_json::from_str(&index).expect("JSON");
    for resource in index["resources"].as_array().expect("a list") {
        let path = resource["path"].as_str().expect("a path").replace(['{', '}'], "");
        let (response, _) = http.send("OPTIONS", &path, &[], "").await;
        assert_eq!(response.status(), StatusCode::NO_CONTENT, "{path}");
        assert_eq!(response.headers()["allow"], resource["methods"].as_str().expect("methods"), "{path}");
    }
    let (response, _) = http.send("HEAD", "/v1/realm", &[], "").await;
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(http.exchange("HEAD", "/v1/realm", &[], "").await, (StatusCode::OK, String::new()));
    let (status, body) = http.exchange("HEAD", "/v1/topics/test.%23", &[], "").await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, ""), "a stream has a head too, and it ends");
}

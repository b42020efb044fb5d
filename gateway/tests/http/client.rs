//! Plain HTTP/3 by the stock client of h3 and h3-quinn.

use bytes::{Buf, Bytes};
use http::{HeaderMap, Request, Response, StatusCode};
use macula_gateway::Gateway;
use macula_transport::endpoint;
use macula_transport::profile::TransportProfile;
use macula_transport::tls::{ClientTls, DevAuthority};
use std::net::SocketAddr;
use std::time::Duration;

type Stream = h3::client::RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>;

/// Longest wait for an answer that has to come.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Http {
    pub(crate) requests: h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>,
    authority: String,
}

/// A connection of which HTTP/3 knows nothing yet.
pub(crate) async fn connect(address: SocketAddr) -> quinn::Connection {
    let dir = DevAuthority::default_dir(|name| std::env::var_os(name));
    let roots = DevAuthority::open_or_create(&dir).expect("the gateway has made it").roots();
    let tls = ClientTls::session(roots, None).expect("legal settings");
    let socket = endpoint::client_endpoint().expect("a socket");
    let connecting = endpoint::connect(&socket, address, "localhost", &tls, &TransportProfile::SESSION);
    connecting.await.expect("the gateway listens")
}

/// A response whose body has been read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Http {
    pub(crate) async fn connect(gateway: &Gateway) -> Self {
        Self::connect_to(gateway.local_addr()).await
    }

    pub(crate) async fn connect_to(address: SocketAddr) -> Self {
        let connection = connect(address).await;
        let (mut driver, requests) =
            h3::client::new(h3_quinn::Connection::new(connection)).await.expect("HTTP/3");
        tokio::spawn(async move { std::future::poll_fn(|context| driver.poll_close(context)).await });
        Self { requests, authority: format!("localhost:{}", address.port()) }
    }

    fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().method(method).uri(format!("https://{}{path}", self.authority));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a legal request")
    }

    /// Sends a request without its body, which the caller writes.
    pub(crate) async fn begin(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Stream {
        let request = self.request(method, path, headers);
        self.requests.send_request(request).await.expect("sent")
    }

    /// Sends a request; the head of the response, and a stream to read the body from.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> (Response<()>, Stream) {
        let mut stream = self.begin(method, path, headers).await;
        // A gateway that refuses may do so before it has the whole body.
        let whole = stream.send_data(Bytes::copy_from_slice(body)).await.is_ok();
        if whole {
            let _ = stream.finish().await;
        }
        let answered = tokio::time::timeout(PATIENCE, stream.recv_response()).await;
        (answered.expect("an answer in time").expect("an answer"), stream)
    }

    /// Sends a request and reads the whole response.
    pub(crate) async fn exchange(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Answer {
        let (response, stream) = self.send(method, path, headers, body.as_ref()).await;
        let mut reader = Reader::new(stream);
        Answer { status: response.status(), headers: response.headers().clone(), body: reader.rest().await }
    }
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// Reads a body piece by piece.
pub(crate) struct Reader {
    stream: Stream,
    text: String,
}

impl Reader {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, text: String::new() }
    }

    /// The text up to the next `end`, without it.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        let mut searched = 0;
        loop {
            if let Some(at) = self.text[searched..].find(end) {
                let rest = self.text.split_off(searched + at + end.len());
                let mut piece = std::mem::replace(&mut self.text, rest);
                piece.truncate(searched + at);
                return piece;
            }
            searched = self.text.floor_char_boundary(self.text.len().saturating_sub(end.len()));
            assert!(self.more().await, "the body ends with `{}`", self.text);
        }
    }

    /// The next server-sent event, its data as JSON and, if it has one, its name.
    pub(crate) async fn event(&mut self) -> (String, serde_json::Value) {
        let text = self.until("\n\n").await;
        let field = |name| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        (field("event: ").to_owned(), serde_json::from_str(field("data: ")).expect("JSON"))
    }

    /// The text up to the end of the body.
    pub(crate) async fn rest(&mut self) -> String {
        while self.more().await {}
        std::mem::take(&mut self.text)
    }

    async fn more(&mut self) -> bool {
        let chunk = tokio::time::timeout(PATIENCE, self.stream.recv_data()).await;
        let Some(mut chunk) = chunk.expect("more in time").expect("the body goes on") else { return false };
        let bytes = chunk.copy_to_bytes(chunk.remaining());
        self.text.push_str(std::str::from_utf8(&bytes).expect("text in whole characters"));
        true
    }
}

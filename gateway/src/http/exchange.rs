//! One request and its response on an HTTP/3 stream.

use super::problem::Problem;
use bytes::{Buf, Bytes};
use http::{Response, StatusCode};
use macula_transport::session::RequestStream;

/// A request whose head has been read.
pub(super) struct Exchange {
    stream: RequestStream,
    /// The method is HEAD: bodies are left out.
    bodiless: bool,
}

impl Exchange {
    pub(super) fn new(stream: RequestStream, bodiless: bool) -> Self {
        Self { stream, bodiless }
    }

    /// The whole body, of at most `limit` bytes.
    pub(super) async fn body(&mut self, limit: usize) -> Result<Vec<u8>, Problem> {
        let mut body = Vec::new();
        loop {
            match self.stream.recv_data().await {
                Ok(Some(chunk)) if body.len() + chunk.remaining() > limit => {
                    let text = format!("the body is longer than the {limit} bytes that are accepted");
                    return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "INVALID_ARGUMENT", text));
                }
                Ok(Some(mut chunk)) => {
                    while chunk.has_remaining() {
                        let part = chunk.chunk();
                        body.extend_from_slice(part);
                        let taken = part.len();
                        chunk.advance(taken);
                    }
                }
                Ok(None) => return Ok(body),
                Err(error) => return Err(Problem::invalid(format!("the body broke off: {error}"))),
            }
        }
    }

    /// A whole response.
    pub(super) async fn respond(&mut self, response: Response<()>, body: Bytes) {
        // The client may be gone; there is nobody to tell.
        if self.stream.send_response(response).await.is_err() {
            return;
        }
        if !body.is_empty() && !self.bodiless && self.stream.send_data(body).await.is_err() {
            return;
        }
        let _ = self.stream.finish().await;
    }

    pub(super) async fn json(&mut self, status: StatusCode, body: &serde_json::Value) {
        self.respond(head(status, "application/json"), Bytes::from(format!("{body}\n"))).await;
    }

    /// The answer to OPTIONS.
    pub(super) async fn options(&mut self, allowed: &str) {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::NO_CONTENT;
        if let Ok(allowed) = http::HeaderValue::from_str(allowed) {
            response.headers_mut().insert(http::header::ALLOW, allowed);
        }
        self.respond(response, Bytes::new()).await;
    }

    pub(super) async fn problem(&mut self, problem: &Problem) {
        let mut response = head(problem.status, "application/problem+json");
        if let Some((name, value)) = &problem.header
            && let Ok(value) = http::HeaderValue::from_str(value)
        {
            response.headers_mut().insert(*name, value);
        }
        self.respond(response, Bytes::from(format!("{}\n", problem.body()))).await;
    }

    /// Begins a response whose body comes piece by piece; false when the client is gone.
    pub(super) async fn begin(&mut self, content_type: &'static str) -> bool {
        self.stream.send_response(head(StatusCode::OK, content_type)).await.is_ok()
    }

    /// Ends a body that came piece by piece.
    pub(super) async fn end(&mut self) {
        let _ = self.stream.finish().await;
    }

    /// The next piece of the body; false when the client is gone.
    pub(super) async fn piece(&mut self, piece: String) -> bool {
        self.stream.send_data(Bytes::from(piece)).await.is_ok()
    }
}

pub(super) fn head(status: StatusCode, content_type: &str) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    if let Ok(value) = http::HeaderValue::from_str(content_type) {
        response.headers_mut().insert(http::header::CONTENT_TYPE, value);
    }
    response.headers_mut().insert(http::header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    response
}

//! One request and its response on an HTTP/3 stream, within bounds of time and memory.

use super::problem::Problem;
use bytes::{Buf, BufMut, Bytes};
use h3::error::Code;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use macula_transport::session::RequestStream;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// Time for each [`PART`] of a body to arrive, and so for a short one: 420 kbit/s. A guess, not measured.
const BODY_TIME: Duration = Duration::from_secs(20);
/// Time for each [`PART`] of a response to find room; a reader that takes nothing for so long has gone. A guess, not
/// measured; twice the time that `block` holds publishers back by default.
const STALL_TIME: Duration = Duration::from_secs(20);
const PART: usize = 1 << 20;
/// Bodies of all requests together, while they are read and answered. A guess, not measured: eight of the longest.
const BODIES_BYTES: usize = 128 << 20;
/// Time for which a browser may remember what a preflight allowed, in seconds.
const PREFLIGHT_AGE: &str = "600";
/// A request whose head has been read.
pub(super) struct Exchange {
    stream: RequestStream,
    /// The method is HEAD: bodies are left out.
    bodiless: bool,
    /// What `content-length` says.
    announced: Option<u64>,
    /// The body has been read to its end.
    read: bool,
    /// The page that asks, when it may read the answer.
    origin: Option<HeaderValue>,
    bodies: Rc<Bodies>,
    /// Bytes of the body, counted in `bodies`.
    held: usize,
}

/// Bytes of request bodies that a gateway holds.
#[derive(Debug, Default)]
pub(super) struct Bodies(Cell<usize>);

impl Exchange {
    pub(super) fn new(stream: RequestStream, head: &Request<()>, bodies: Rc<Bodies>) -> Self {
        let announced = head.headers().get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|value| value.to_str().ok()?.parse().ok());
        let bodiless = head.method() == Method::HEAD;
        Self { stream, bodiless, announced, read: false, origin: None, bodies, held: 0 }
    }

    /// The page of this origin may read the answer.
    pub(super) fn allow_origin(&mut self, origin: Option<&HeaderValue>) {
        self.origin = origin.cloned();
    }

    /// The whole body, of at most `limit` bytes. Counts as held until the exchange is over.
    pub(super) async fn body(&mut self, limit: usize) -> Result<Bytes, Problem> {
        if self.announced.is_some_and(|announced| announced > limit as u64) {
            return Err(too_large(limit));
        }
        let mut body = Vec::new();
        let mut deadline = Instant::now() + BODY_TIME;
        while let Some(mut chunk) = tokio::time::timeout_at(deadline, self.stream.recv_data())
            .await
            .map_err(|_| too_slow())?
            .map_err(|error| Problem::invalid(format!("the body broke off: {error}")))?
        {
            let length = chunk.remaining();
            if body.len() + length > limit {
                return Err(too_large(limit));
            }
            if !self.bodies.take(length) {
                let text = "the gateway is reading as many bodies as it can hold; try again later";
                return Err(Problem::of(macula_proto::v1::Code::ResourceExhausted, text));
            }
            self.held += length;
            if body.len() / PART != (body.len() + length) / PART {
                deadline = Instant::now() + BODY_TIME;
            }
            body.put(&mut chunk);
        }
        self.read = true;
        match self.announced {
            Some(announced) if announced != body.len() as u64 => {
                let text = format!("content-length is {announced}, the body has {} bytes", body.len());
                Err(Problem::invalid(text))
            }
            _ => Ok(body.into()),
        }
    }

    /// A whole response.
    pub(super) async fn respond(&mut self, response: Response<()>, body: Bytes) {
        // The client may be gone; there is nobody to tell.
        if !self.begin(response).await {
            return;
        }
        if !body.is_empty() && !self.bodiless && !self.piece(body).await {
            return;
        }
        self.end().await;
    }

    pub(super) async fn json(&mut self, status: StatusCode, body: &serde_json::Value) {
        self.respond(head(status, "application/json"), Bytes::from(format!("{body}\n"))).await;
    }

    /// The answer to OPTIONS, of scripts and of browsers that ask in advance what a page may do: whatever it wants,
    /// once it is served at all.
    pub(super) async fn options(&mut self, allowed: &str, wanted: Option<&HeaderValue>) {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        if let Ok(allowed) = HeaderValue::from_str(allowed) {
            if self.origin.is_some() {
                headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, allowed.clone());
                headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_AGE));
                if let Some(wanted) = wanted {
                    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
                }
            }
            headers.insert(header::ALLOW, allowed);
        }
        self.respond(response, Bytes::new()).await;
    }

    pub(super) async fn problem(&mut self, problem: &Problem) {
        let mut response = Response::new(());
        *response.status_mut() = problem.status();
        *response.headers_mut() = problem.headers();
        self.respond(response, Bytes::from(problem.body())).await;
    }

    /// Begins a response whose body comes piece by piece; false when the client is gone.
    pub(super) async fn begin(&mut self, mut response: Response<()>) -> bool {
        if let Some(origin) = &self.origin {
            let headers: &mut HeaderMap = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
            headers.insert(header::VARY, HeaderValue::from_static("origin"));
        }
        let sent = tokio::time::timeout(STALL_TIME, self.stream.send_response(response)).await;
        self.went(sent)
    }

    /// The next piece of the body; false when the client is gone, or has read nothing for long.
    pub(super) async fn piece(&mut self, piece: impl Into<Bytes>) -> bool {
        let mut rest: Bytes = piece.into();
        while !rest.is_empty() {
            let part = rest.split_to(rest.len().min(PART));
            let sent = tokio::time::timeout(STALL_TIME, self.stream.send_data(part)).await;
            if !self.went(sent) {
                return false;
            }
        }
        true
    }

    /// Ends the response.
    pub(super) async fn end(&mut self) {
        let sent = tokio::time::timeout(STALL_TIME, self.stream.finish()).await;
        if self.went(sent) && !self.read {
            // The answer is complete; whatever of the body is still to come is of no use.
            self.stream.stop_sending(Code::H3_NO_ERROR);
        }
    }

    /// Ends the response in its middle, so that the client does not take it for complete.
    pub(super) fn break_off(&mut self) {
        self.stream.stop_stream(Code::H3_INTERNAL_ERROR);
    }

    fn went<E>(&mut self, sent: Result<Result<(), E>, tokio::time::error::Elapsed>) -> bool {
        match sent {
            Ok(result) => result.is_ok(),
            Err(_) => {
                self.stream.stop_stream(Code::H3_REQUEST_CANCELLED);
                false
            }
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.bodies.give_back(self.held);
    }
}

impl Bodies {
    fn take(&self, bytes: usize) -> bool {
        let sum = self.0.get() + bytes;
        let fits = sum <= BODIES_BYTES;
        if fits {
            self.0.set(sum);
        }
        fits
    }

    fn give_back(&self, bytes: usize) {
        self.0.set(self.0.get() - bytes);
    }
}

fn too_slow() -> Problem {
    let text = format!("nothing more of the body has come for {} seconds", BODY_TIME.as_secs());
    Problem::new(StatusCode::REQUEST_TIMEOUT, "DEADLINE_EXCEEDED", text)
}

fn too_large(limit: usize) -> Problem {
    let text = format!("the body is longer than the {limit} bytes that are accepted");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "INVALID_ARGUMENT", text)
}

/// The head of a response that is not to be stored.
pub(super) fn head(status: StatusCode, content_type: &str) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    if let Ok(value) = HeaderValue::from_str(content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bodies_together_are_bounded() {
        let bodies = Bodies::default();
        assert!(bodies.take(BODIES_BYTES - 1) && bodies.take(1));
        assert!(!bodies.take(1), "full");
        bodies.give_back(2);
        assert!(bodies.take(2) && !bodies.take(1));
    }
}

//! Errors as problem+json (RFC 9457).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use macula_proto::v1::Code;
use serde_json::{Map, Value};

/// Seconds after which a client may try again what is impossible just now. A guess, not measured.
const RETRY_AFTER: u32 = 1;

/// What a request is answered with when it fails.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    /// Whatever else a provider says, in base64.
    details: String,
    /// What belongs to the status, as `allow` does to 405.
    headers: Vec<(&'static str, String)>,
}

impl Problem {
    /// `code` is for programs, `detail` for people: what is wrong, and what to do.
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let problem =
            Self { status, code, detail: detail.into(), details: String::new(), headers: Vec::new() };
        match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                problem.header("retry-after", RETRY_AFTER.to_string())
            }
            StatusCode::UNAUTHORIZED => problem.header("www-authenticate", "Bearer".to_owned()),
            _ => problem,
        }
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::of(Code::InvalidArgument, detail)
    }

    /// The gateway is about to stop.
    pub(crate) fn draining() -> Self {
        Self::of(Code::Unavailable, "this gateway is about to stop; come back, or go to another one")
    }

    /// The problem that a result code of the protocol means.
    pub(crate) fn of(code: Code, detail: impl Into<String>) -> Self {
        let status = match code {
            Code::Ok | Code::InvalidArgument => 400,
            Code::Unauthenticated => 401,
            Code::PermissionDenied => 403,
            Code::NotFound => 404,
            Code::AlreadyExists | Code::Aborted => 409,
            Code::ResourceExhausted => 429,
            Code::Cancelled => 499,
            Code::Internal => 500,
            Code::Unavailable => 503,
            Code::DeadlineExceeded => 504,
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::new(status, code.as_str_name(), detail)
    }

    /// What a provider adds for programs.
    pub(crate) fn details(mut self, details: &[u8]) -> Self {
        self.details = STANDARD.encode(details);
        self
    }

    /// A header beside the problem.
    pub(crate) fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// All headers of the response.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            // All of them are made here, of names and numbers; one that were no header would be left out.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers
    }

    pub(crate) fn body(&self) -> String {
        let mut problem = self.object();
        problem.insert(
            "title".to_owned(),
            self.status.canonical_reason().unwrap_or("Client Closed Request").into(),
        );
        problem.insert("status".to_owned(), self.status.as_u16().into());
        format!("{}\n", Value::Object(problem))
    }

    /// What is wrong, without what only a response has.
    pub(crate) fn object(&self) -> Map<String, Value> {
        let mut object = Map::new();
        object.insert("code".to_owned(), self.code.into());
        object.insert("detail".to_owned(), self.detail.as_str().into());
        if !self.details.is_empty() {
            object.insert("details".to_owned(), self.details.as_str().into());
        }
        object
    }
}

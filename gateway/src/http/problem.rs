//! Errors as problem+json (RFC 9457).

use http::StatusCode;
use macula_proto::v1::Code;

/// What a request is answered with when it fails.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(super) status: StatusCode,
    /// One header that belongs to the status, as `allow` does to 405.
    pub(super) header: Option<(&'static str, String)>,
    code: &'static str,
    detail: String,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, header: None, code, detail: detail.into() }
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::of(Code::InvalidArgument, detail)
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::of(Code::Unavailable, detail)
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

    pub(crate) fn header(mut self, name: &'static str, value: String) -> Self {
        self.header = Some((name, value));
        self
    }

    pub(crate) fn retry_after(self, seconds: u32) -> Self {
        self.header("retry-after", seconds.to_string())
    }

    pub(crate) fn body(&self) -> String {
        serde_json::json!({ "status": self.status.as_u16(), "code": self.code, "detail": self.detail })
            .to_string()
    }
}

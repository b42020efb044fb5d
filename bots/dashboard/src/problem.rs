//! Errors of the API, as `application/problem+json`: the same as those of a gateway's HTTP interface.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use macula_sdk::{CallError, Code};
use serde_json::json;

/// Why a request was not answered.
#[derive(Debug)]
pub(crate) struct Problem {
    code: Code,
    detail: String,
    retry_after: Option<u64>,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), retry_after: None }
    }

    /// To be tried again after so many seconds.
    pub(crate) fn later(code: Code, detail: impl Into<String>, seconds: u64) -> Self {
        Self { code, detail: detail.into(), retry_after: Some(seconds) }
    }

    /// What people are told.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    fn status(&self) -> StatusCode {
        match self.code {
            Code::InvalidArgument => StatusCode::BAD_REQUEST,
            Code::Unauthenticated => StatusCode::UNAUTHORIZED,
            Code::PermissionDenied => StatusCode::FORBIDDEN,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
            Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        // Nobody offering the procedure is not the same as no such home: the former comes back by itself.
        let nobody = error.code == Code::NotFound && error.message.starts_with("nobody has registered");
        match nobody {
            true => Self::new(
                Code::Unavailable,
                format!("nobody on the mesh answers `{}` at the moment: {}", error.procedure, error.message),
            ),
            false => Self::new(error.code, error.message),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = json!({
            "title": status.canonical_reason().unwrap_or_default(),
            "status": status.as_u16(),
            "code": self.code.as_str_name(),
            "detail": self.detail,
        });
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

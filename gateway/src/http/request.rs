//! What a handler is told: the head of its request, and the gateway behind it.

use super::problem::Problem;
use crate::hub::Hub;
use crate::local::Local;
use http::Method;

/// The head of one request.
pub(super) struct Request<'a> {
    hub: &'a Hub,
    head: &'a http::Request<()>,
    argument: String,
}

impl<'a> Request<'a> {
    /// `argument` is the end of the path as it came.
    pub(super) fn new(hub: &'a Hub, head: &'a http::Request<()>, argument: &str) -> Result<Self, Problem> {
        let decoded = percent_encoding::percent_decode_str(argument)
            .decode_utf8()
            .map_err(|_| Problem::invalid("the path is no UTF-8 after percent-decoding"))?;
        if decoded.ends_with('.') {
            return Err(Problem::invalid(format!("`{decoded}` ends with a dot; in a path, write # as %23")));
        }
        Ok(Self { hub, head, argument: decoded.into_owned() })
    }

    pub(super) fn hub(&self) -> &Hub {
        self.hub
    }

    /// True when only the head of the response is wanted.
    pub(super) fn is_head(&self) -> bool {
        self.head.method() == Method::HEAD
    }

    /// What the path has in the place of the braces.
    pub(super) fn argument(&self) -> &str {
        &self.argument
    }

    /// The value of a header; empty when there is none, or none that is text.
    pub(super) fn header(&self, name: &str) -> &str {
        self.head.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// A client inside the gateway, with the rights of whoever asks.
    pub(super) fn open(&self) -> Local {
        Local::open(self.hub, self.hub.identity().realm, "http")
    }
}

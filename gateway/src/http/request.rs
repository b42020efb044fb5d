//! What a handler is told: the head of its request, and the gateway behind it.

use super::Service;
use super::accept;
use super::problem::Problem;
use super::query::Query;
use crate::hub::Hub;
use crate::local::Local;
use crate::schemas::Schemas;
use http::{Method, StatusCode};
use macula_transport::profile::TransportProfile;

/// The head of one request.
pub(super) struct Request<'a> {
    service: &'a Service,
    connection: quinn::Connection,
    head: &'a http::Request<()>,
    argument: String,
}

impl<'a> Request<'a> {
    /// `argument` is the end of the path as it came.
    pub(super) fn new(
        service: &'a Service,
        connection: quinn::Connection,
        head: &'a http::Request<()>,
        argument: &str,
    ) -> Result<Self, Problem> {
        Ok(Self { service, connection, head, argument: decoded(argument)? })
    }

    pub(super) fn hub(&self) -> &Hub {
        &self.service.hub
    }

    pub(super) fn schemas(&self) -> &Schemas {
        &self.service.schemas
    }

    /// Bytes that a body may have at most.
    pub(super) fn payload_limit(&self) -> usize {
        self.service.payload_bytes
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

    /// A header that is true or false; false when there is none.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.header(name) {
            "" | "false" | "0" => Ok(false),
            "true" | "1" => Ok(true),
            other => Err(Problem::invalid(format!("{name} is true or false, not `{other}`"))),
        }
    }

    /// A header that is a number of milliseconds; 0 when there is none.
    pub(super) fn millis(&self, name: &str) -> Result<u32, Problem> {
        match self.header(name) {
            "" => Ok(0),
            number => number
                .parse()
                .map_err(|_| Problem::invalid(format!("{name} is a number of milliseconds, not `{number}`"))),
        }
    }

    /// Names and values of the headers whose names begin so, without that beginning.
    pub(super) fn headers_under(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        self.head.headers().iter().filter_map(move |(name, value)| {
            Some((name.as_str().strip_prefix(prefix).filter(|rest| !rest.is_empty())?, value.to_str().ok()?))
        })
    }

    /// The query parameters, all of which have to be among `names`.
    pub(super) fn query(&self, names: &'static [&'static str]) -> Result<Query, Problem> {
        Query::parse(self.head.uri().query().unwrap_or_default(), names)
    }

    /// Which of `offers` the client likes best; the first is for those who do not care.
    pub(super) fn choose(&self, offers: &[&'static str]) -> Result<&'static str, Problem> {
        let wanted = self.header("accept");
        accept::choose(wanted, offers).ok_or_else(|| {
            let text = format!("nothing that `accept: {wanted}` takes; there is {}", offers.join(", "));
            Problem::new(StatusCode::NOT_ACCEPTABLE, "INVALID_ARGUMENT", text)
        })
    }

    /// A client inside the gateway, with the rights of whoever asks. To be opened before the body is read: only
    /// who is let in may send much.
    pub(super) fn open(&self) -> Result<Local, Problem> {
        let own = self.hub().identity().realm;
        let realm = match self.header("macula-realm") {
            "" => own,
            named => named.to_owned(),
        };
        let token = bearer(self.header("authorization"))?.to_owned();
        let local = Local::open(self.hub(), realm, token, "http");
        local.welcomed().map_err(|closing| Problem::of(closing.code, closing.message))?;
        TransportProfile::REQUESTS.apply(&self.connection);
        Ok(local)
    }
}

/// A name in a path, without its percent-encoding.
pub(super) fn decoded(argument: &str) -> Result<String, Problem> {
    let decoded = percent_encoding::percent_decode_str(argument)
        .decode_utf8()
        .map_err(|_| Problem::invalid("the path is no UTF-8 after percent-decoding"))?;
    if decoded.ends_with('.') {
        return Err(Problem::invalid(format!("`{decoded}` ends with a dot; in a path, write # as %23")));
    }
    Ok(decoded.into_owned())
}

/// The token of an `authorization` header; empty when there is none.
pub(crate) fn bearer(authorization: &str) -> Result<&str, Problem> {
    if authorization.is_empty() {
        return Ok("");
    }
    match authorization.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => {
            let text = "write `authorization: Bearer <token>`; other schemes are not known";
            Err(Problem::of(macula_proto::v1::Code::Unauthenticated, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::bearer;

    #[test]
    fn a_token_is_a_bearers() {
        assert_eq!(bearer("").unwrap(), "");
        assert_eq!(bearer("bearer  abc").unwrap(), "abc");
        assert_eq!(bearer("Basic abc").unwrap_err().status(), 401);
    }
}

//! Which web pages may speak to the gateway.
//!
//! Any page that a user opens could otherwise reach a gateway on the user's own machine or network. Only browsers
//! send `origin`, so a request without one is not from a page, and allowed.

use std::str::FromStr;

/// Origins that are served, as `MACULA_ORIGINS` lists them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origins(Vec<Origin>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// `loopback`: pages that this machine itself serves.
    Loopback,
    /// `*`: every page.
    Any,
    /// One origin, in the form that browsers send.
    Exactly(String),
}

impl Origins {
    /// Whether a request with this `origin` header is served.
    pub(crate) fn allow(&self, origin: &[u8]) -> bool {
        let Ok(origin) = std::str::from_utf8(origin) else { return false };
        self.0.iter().any(|allowed| match allowed {
            Origin::Loopback => is_loopback(origin),
            Origin::Any => true,
            Origin::Exactly(exactly) => origin.eq_ignore_ascii_case(exactly),
        })
    }

    /// Reads the items of the list.
    ///
    /// # Errors
    /// What is wrong with each item that is wrong.
    pub fn parse<'a>(items: impl IntoIterator<Item = &'a str>) -> Result<Self, Vec<OriginError>> {
        let (good, bad): (Vec<_>, Vec<_>) = items.into_iter().map(Origin::from_str).partition(Result::is_ok);
        if bad.is_empty() {
            Ok(Self(good.into_iter().flatten().collect()))
        } else {
            Err(bad.into_iter().filter_map(Result::err).collect())
        }
    }
}

impl Default for Origins {
    /// Loopback pages only.
    fn default() -> Self {
        Self(vec![Origin::Loopback])
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let wrong = |reason| OriginError { text: text.to_owned(), reason };
        match text {
            "*" => return Ok(Self::Any),
            "loopback" => return Ok(Self::Loopback),
            _ => {}
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(wrong("write it as https://host or https://host:port, or `loopback`, or `*`"));
        };
        let host = rest.trim_end_matches('/');
        if host.is_empty() || host.contains(['/', '?', '#', '@', '*']) {
            return Err(wrong("an origin is scheme, host and port, without a path or wildcard"));
        }
        // Browsers leave the port of the scheme out.
        let usual = match scheme {
            "https" => ":443",
            "http" => ":80",
            _ => return Err(wrong("the scheme of a page is http or https")),
        };
        Ok(Self::Exactly(format!("{scheme}://{}", host.strip_suffix(usual).unwrap_or(host))))
    }
}

/// Text that names no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no origin: {reason}")]
pub struct OriginError {
    text: String,
    reason: &'static str,
}

fn is_loopback(origin: &str) -> bool {
    let Some((_, rest)) = origin.split_once("://") else { return false };
    let host = match rest.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or_default(),
        None => rest.split(':').next().unwrap_or_default(),
    };
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_this_machine_are_loopback_pages() {
        let origins = Origins::default();
        for origin in ["http://localhost:4000", "https://127.0.0.1", "http://[::1]:80", "http://x.localhost"]
        {
            assert!(origins.allow(origin.as_bytes()), "{origin}");
        }
        for origin in
            ["https://example.com", "null", "http://localhost.example.com", "http://127.0.0.1.nip.io", ""]
        {
            assert!(!origins.allow(origin.as_bytes()), "{origin}");
        }
    }

    #[test]
    fn a_listed_origin_is_allowed_as_browsers_write_it() {
        let origins = Origins::parse(["https://Dash.example.com:443/", "http://intern:4000"]).unwrap();
        for origin in ["https://dash.example.com", "http://intern:4000"] {
            assert!(origins.allow(origin.as_bytes()), "{origin}");
        }
        for origin in ["http://dash.example.com", "http://intern", "http://localhost", "https://example.com"]
        {
            assert!(!origins.allow(origin.as_bytes()), "{origin}: the list replaces the default");
        }
        assert!(Origins::parse(["*"]).unwrap().allow(b"https://anything.example"));
    }

    #[test]
    fn every_item_that_is_no_origin_is_told() {
        let errors = Origins::parse(["dash.example.com", "https://*.example.com", "ftp://x", "loopback"]);
        assert_eq!(errors.unwrap_err().len(), 3);
    }
}

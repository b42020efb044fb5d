//! A path of the HTTP interface, and who answers which method there.

use super::exchange::Exchange;
use super::problem::Problem;
use super::request::Request;
use http::Method;
use std::pin::Pin;

/// Answers a request. What it returns as an error is answered for it, unless it has begun a response.
pub(super) type Handler = for<'a> fn(&'a Request<'a>, &'a mut Exchange) -> Answering<'a>;

pub(super) type Answering<'a> = Pin<Box<dyn Future<Output = Result<(), Problem>> + 'a>>;

/// One line of the routing table.
pub(super) struct Resource {
    /// The path; a name in braces at its end stands for whatever the request has there.
    pub(super) path: &'static str,
    /// What it is for, in a few words.
    pub(super) about: &'static str,
    get: Option<Handler>,
    post: Option<Handler>,
}

impl Resource {
    pub(super) const fn at(path: &'static str, about: &'static str) -> Self {
        Self { path, about, get: None, post: None }
    }

    /// Also answers HEAD, which is GET whose body is left out.
    pub(super) const fn get(mut self, handler: Handler) -> Self {
        self.get = Some(handler);
        self
    }

    pub(super) const fn post(mut self, handler: Handler) -> Self {
        self.post = Some(handler);
        self
    }

    /// What `path` has in the place of the braces, still percent-encoded; `None` when it is another resource.
    pub(super) fn argument<'a>(&self, path: &'a str) -> Option<&'a str> {
        match self.path.split_once('{') {
            Some((prefix, _)) => path.strip_prefix(prefix).filter(|rest| !rest.is_empty()),
            None => (path == self.path).then_some(""),
        }
    }

    pub(super) fn handler(&self, method: &Method) -> Option<Handler> {
        match *method {
            Method::GET | Method::HEAD => self.get,
            Method::POST => self.post,
            _ => None,
        }
    }

    /// The methods, as `allow` lists them.
    pub(super) fn methods(&self) -> String {
        let get = self.get.is_some().then_some("GET, HEAD");
        let post = self.post.is_some().then_some("POST");
        [get, post, Some("OPTIONS")].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_with_what_stands_in_the_braces() {
        let topics = Resource::at("/v1/topics/{topic}", "");
        assert_eq!(topics.argument("/v1/topics/a.b"), Some("a.b"));
        assert_eq!(topics.argument("/v1/topics/"), None, "an empty topic is no topic");
        assert_eq!(topics.argument("/v1/topic"), None);
        assert_eq!(Resource::at("/", "").argument("/v1"), None);
        assert_eq!(Resource::at("/", "").argument("/"), Some(""));
    }
}

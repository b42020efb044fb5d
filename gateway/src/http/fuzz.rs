//! Any text for what a request is read by.

use super::query::Query;
use super::{RESOURCES, accept, bearer, request};
use crate::origins::Origins;
use macula_proto::{Pattern, Topic};

/// A request, a line for each part: path, origin, `accept`, `authorization`, query.
pub fn http(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let path = line();
    if let Some(argument) = RESOURCES.iter().find_map(|resource| resource.argument(path))
        && let Ok(name) = request::decoded(argument)
    {
        let (topic, pattern) = (name.parse::<Topic>(), name.parse::<Pattern>());
        assert!(topic.is_err() || pattern.is_ok());
    }
    let origin = line();
    let allowed = Origins::default().allow(origin.as_bytes());
    assert!(!allowed || origin.contains("://"));
    if let Ok(origins) = Origins::parse([origin]) {
        let _ = origins.allow(origin.as_bytes());
    }
    let offers = ["application/json", "text/event-stream"];
    let chosen = accept::choose(line(), &offers);
    assert!(chosen.is_none_or(|chosen| offers.contains(&chosen)));
    if let Ok(token) = bearer(line()) {
        assert_eq!(token, token.trim());
    }
    const NAMES: &[&str] = &["retained", "group", "limit"];
    if let Ok(query) = Query::parse(line(), NAMES) {
        let _ = (query.flag("retained"), query.number::<u64>("limit"), query.word("group", &[("a", 1)]));
    }
}

//! Content negotiation (RFC 9110, 12.5.1).

/// Which of `offers` an `accept` header takes, the one of the highest quality and of these the first; without a
/// header, the first. `None` when it takes none.
pub(super) fn choose(accept: &str, offers: &[&'static str]) -> Option<&'static str> {
    if accept.trim().is_empty() {
        return offers.first().copied();
    }
    let mut best: Option<(&'static str, f32)> = None;
    for &offer in offers {
        let quality = quality(accept, offer);
        if quality > best.map_or(0.0, |(_, quality)| quality) {
            best = Some((offer, quality));
        }
    }
    best.map(|(offer, _)| offer)
}

/// The quality of the most specific range that covers `offer`; 0 when none does.
fn quality(accept: &str, offer: &str) -> f32 {
    let ranges = accept.split(',').filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let specific = specificity(parts.next()?, offer)?;
        let quality =
            parts.find_map(|parameter| parameter.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse().ok());
        Some((specific, quality?))
    });
    ranges.max_by_key(|(specific, _)| *specific).map_or(0.0, |(_, quality)| quality)
}

/// How narrowly a range covers a media type; `None` when it does not.
fn specificity(range: &str, offer: &str) -> Option<u8> {
    let (kind, subtype) = range.split_once('/')?;
    let (offered_kind, offered_subtype) = offer.split_once('/')?;
    match (kind, subtype) {
        ("*", "*") => Some(0),
        (kind, "*") if kind.eq_ignore_ascii_case(offered_kind) => Some(1),
        (kind, subtype)
            if kind.eq_ignore_ascii_case(offered_kind) && subtype.eq_ignore_ascii_case(offered_subtype) =>
        {
            Some(2)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_liked_offer_is_chosen() {
        let offers = ["text/event-stream", "application/x-ndjson"];
        for (accept, chosen) in [
            ("", Some(offers[0])),
            ("*/*", Some(offers[0])),
            ("application/*", Some(offers[1])),
            ("Application/X-NDJSON", Some(offers[1])),
            ("text/event-stream;q=0.5, application/x-ndjson", Some(offers[1])),
            ("*/*, text/event-stream;q=0", Some(offers[1])),
            ("text/html", None),
            ("text/html, */*;q=0.1", Some(offers[0])),
            ("*/*;q=0", None),
            ("nonsense", None),
        ] {
            assert_eq!(choose(accept, &offers), chosen, "accept: {accept}");
        }
    }
}

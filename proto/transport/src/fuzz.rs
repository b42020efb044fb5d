//! What a fuzzer feeds: one function for each decoder, which takes any bytes and panics when a promise is broken.
//!
//! Behind the feature `fuzz`, for `proto/fuzz` and the tests, which run the committed seeds through the same functions.
//! No part of the API.

pub use crate::h3quic::fuzz::{meter, prefix};
pub use crate::session::fuzz::capsules;

use crate::tls::GatewayUri;
use crate::varint;

/// An integer that is read is written in at most as many bytes, and read again as itself.
pub fn varints(data: &[u8]) {
    if let Some((value, taken)) = varint::get(data) {
        assert!(value <= varint::MAX && taken == varint::len_from_first(data[0]));
        let mut out = Vec::new();
        varint::put(&mut out, value);
        assert!(out.len() <= taken);
        assert_eq!(varint::get(&out), Some((value, out.len())));
    }
}

/// The name in a certificate, as text and as a certificate.
pub fn gateway_uri(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(uri) = text.parse::<GatewayUri>()
    {
        assert_eq!(uri.to_string(), text);
    }
    let _ = GatewayUri::of_certificate(&data.into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use macula_proto::fuzz::replay;
    use std::path::{Path, PathBuf};

    fn seeds(target: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target)
    }

    #[test]
    fn seeds_of_the_prefixes() {
        replay(&seeds("prefix"), prefix);
    }

    #[test]
    fn seeds_of_the_meter() {
        replay(&seeds("meter"), meter);
    }

    #[test]
    fn seeds_of_the_capsules() {
        replay(&seeds("capsules"), capsules);
    }

    #[test]
    fn seeds_of_the_integers() {
        replay(&seeds("quic_varints"), varints);
    }

    #[test]
    fn seeds_of_the_names_in_certificates() {
        replay(&seeds("gateway_uri"), gateway_uri);
    }
}

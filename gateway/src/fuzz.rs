//! What a fuzzer feeds: text that reaches the gateway from outside of the protocol.
//!
//! Behind the feature `fuzz`, for `gateway/fuzz` and the tests, which run the committed seeds through the same functions.
//! No part of the API.

pub use crate::http::fuzz::http;

use crate::settings::{PeerAddress, Settings};
use macula_proto::vars::Vars;

/// Settings, one a line as `NAME=value`: legal ones, or problems in words.
pub fn settings(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let values = text.lines().filter_map(|line| line.split_once('='));
    // Files that these name would be read.
    let values = values.filter(|(name, _)| *name != "MACULA_SCHEMAS");
    let mut vars = Vars::new(values.map(|(name, value)| (name.to_owned(), value.to_owned())));
    vars.check_names(crate::SETTINGS);
    match Settings::read(vars) {
        Ok(settings) => {
            for peer in settings.peers {
                assert_eq!(peer.to_string().parse::<PeerAddress>(), Ok(peer));
            }
        }
        Err(problems) => assert!(!problems.0.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use macula_proto::fuzz::replay;
    use std::path::{Path, PathBuf};

    fn seeds(target: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target)
    }

    #[test]
    fn seeds_of_the_settings() {
        replay(&seeds("settings"), settings);
    }

    #[test]
    fn seeds_of_the_requests() {
        replay(&seeds("http"), http);
    }
}

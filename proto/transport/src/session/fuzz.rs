//! Any bytes for the capsules of a session.

use macula_proto::fuzz::Choices;

use super::MAX_REASON;
use super::capsule::Capsules;

/// However the capsules are cut, the same end is found, or the same mistake.
pub fn capsules(data: &[u8]) {
    let mut choices = Choices(data);
    let cut = choices.below(40) + 1;
    let body = choices.0;
    let whole = Capsules::default().read(body);
    let mut cut_up = Capsules::default();
    let pieces = body.chunks(cut).map(|piece| cut_up.read(piece)).find(|read| *read != Ok(None));
    assert_eq!(whole, pieces.unwrap_or(Ok(None)));
    if let Ok(Some(close)) = whole {
        assert!(close.reason.len() <= MAX_REASON);
        assert_eq!(Capsules::default().read(close.encode()), Ok(Some(close)));
    }
}

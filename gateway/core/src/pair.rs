//! Which link of a pair of gateways there is: who dials, and which of two stays.
//!
//! Each gateway dials the peers of larger ids at once, and the others after a while: one of the two may be unable to dial.
//! Where links cross all the same, both ends keep the one that the smaller id dialled.

use crate::key::NodeId;

/// How long the gateway of the larger id leaves it to the other to dial.
const PATIENCE_MS: u64 = 2_000;
/// Links of one pair that come up within this time of each other have crossed. A dialler opens none while it has one, so a
/// later one means that it has lost the earlier. Longer than a dial may take.
const CROSSING_MS: u64 = 5_000;

/// A link as far as the rule goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// Run of the peer.
    pub(crate) epoch: u64,
    /// The gateway of the smaller id dialled it.
    pub(crate) by_smaller: bool,
}

/// How long `own` waits before it dials `peer`, in milliseconds.
pub fn patience_ms(own: NodeId, peer: NodeId) -> u64 {
    if own < peer { 0 } else { PATIENCE_MS }
}

/// Whether the link that `new` says of itself is worth having for its dialler, which has `old` already.
pub(crate) fn is_worth_dialling(old: Candidate, new: Candidate) -> bool {
    new.epoch > old.epoch || new.epoch == old.epoch && new.by_smaller && !old.by_smaller
}

/// Whether `new`, which has just come up, takes the place of `old`, which did so `old_age_ms` ago.
pub(crate) fn takes_place(old: Candidate, old_age_ms: u64, new: Candidate) -> bool {
    match new.epoch.cmp(&old.epoch) {
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => new.by_smaller || !old.by_smaller || old_age_ms >= CROSSING_MS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(epoch: u64, by_smaller: bool) -> Candidate {
        Candidate { epoch, by_smaller }
    }

    #[test]
    fn the_smaller_id_dials_first() {
        let [small, large] = [[1; 16], [2; 16]].map(NodeId);
        assert_eq!(patience_ms(small, large), 0);
        assert_eq!(patience_ms(large, small), PATIENCE_MS);
    }

    #[test]
    fn links_that_cross_end_as_the_one_of_the_smaller_id_in_whatever_order_they_come_up() {
        let (by_smaller, by_larger) = (link(1, true), link(1, false));
        for first_age_ms in [0, CROSSING_MS - 1] {
            assert!(takes_place(by_larger, first_age_ms, by_smaller));
            assert!(!takes_place(by_smaller, first_age_ms, by_larger));
        }
        assert!(is_worth_dialling(by_larger, by_smaller));
        assert!(!is_worth_dialling(by_smaller, by_larger));
    }

    #[test]
    fn a_peer_that_dials_again_has_lost_the_link_it_had() {
        for (old, new) in [(true, true), (false, false), (false, true)] {
            assert!(takes_place(link(1, old), 0, link(1, new)), "{old} {new}");
        }
        assert!(takes_place(link(1, true), CROSSING_MS, link(1, false)));
        assert!(!is_worth_dialling(link(1, true), link(1, true)), "and who has one opens none");
    }

    #[test]
    fn the_newer_run_of_a_peer_stays_whoever_dialled() {
        for (a, b) in [(true, true), (true, false), (false, true), (false, false)] {
            assert!(takes_place(link(1, a), 0, link(2, b)) && is_worth_dialling(link(1, a), link(2, b)));
            assert!(
                !takes_place(link(2, a), 99_999, link(1, b)) && !is_worth_dialling(link(2, a), link(1, b))
            );
        }
    }
}

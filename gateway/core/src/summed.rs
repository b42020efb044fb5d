//! A table of patterns whose sum is always at hand.

use crate::hash::HashMap;
use crate::interest::mark_of_pattern;
use macula_proto::Pattern;
use macula_proto::v1::Overflow;

/// The patterns that a gateway wants, with their policies, as peers are told. What their marks come to is kept with each change:
/// to sum up a quarter of a million takes 40 ms, in which no message would move.
#[derive(Debug, Default)]
pub(crate) struct Summed {
    policies: HashMap<Pattern, Overflow>,
    sum: u64,
}

impl Summed {
    pub(crate) fn get(&self, pattern: &Pattern) -> Option<Overflow> {
        self.policies.get(pattern).copied()
    }

    pub(crate) fn insert(&mut self, pattern: Pattern, policy: Overflow) {
        self.sum = self.sum.wrapping_add(mark_of_pattern(&pattern, policy));
        self.remove(&pattern);
        self.policies.insert(pattern, policy);
    }

    pub(crate) fn remove(&mut self, pattern: &Pattern) -> Option<Overflow> {
        let policy = self.policies.remove(pattern)?;
        self.sum = self.sum.wrapping_sub(mark_of_pattern(pattern, policy));
        Some(policy)
    }

    pub(crate) fn len(&self) -> usize {
        self.policies.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Pattern, Overflow)> {
        self.policies.iter().map(|(pattern, policy)| (pattern, *policy))
    }

    pub(crate) fn into_policies(self) -> HashMap<Pattern, Overflow> {
        self.policies
    }

    /// What the marks of all come to.
    pub(crate) fn sum(&self) -> u64 {
        let marks = || self.iter().map(|(pattern, policy)| mark_of_pattern(pattern, policy));
        debug_assert_eq!(self.sum, marks().fold(0, u64::wrapping_add), "each change is in the sum");
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_sum_is_that_of_what_is_there(
            changes in prop::collection::vec((0..6u8, prop::option::of(0..3i32)), 0..40),
        ) {
            let mut table = Summed::default();
            for (name, policy) in changes {
                let pattern: Pattern = format!("home.{name}.*").parse().unwrap();
                match policy {
                    Some(policy) => table.insert(pattern, Overflow::try_from(policy).unwrap()),
                    None => drop(table.remove(&pattern)),
                }
                let marks = table.iter().map(|(pattern, policy)| mark_of_pattern(pattern, policy));
                prop_assert_eq!(table.sum, marks.fold(0, u64::wrapping_add));
            }
        }
    }
}

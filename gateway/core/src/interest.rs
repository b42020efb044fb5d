//! What this gateway asks of its peers: patterns and procedures of its own sessions, counted, versioned.

use crate::groups::Name;
use crate::hash::HashMap;
use crate::hash::{FNV_BASIS, fnv, scramble};
use crate::routes::stronger;
use crate::summed::Summed;
use bytes::Bytes;
use macula_proto::Pattern;
use macula_proto::v1::{CallPolicy, Interest, InterestDelta, InterestSnapshot, Offer, Overflow, Share};

/// The interest that peers are told: a snapshot when a link comes up, then deltas without holes.
#[derive(Debug, Default)]
pub(crate) struct InterestLog {
    version: u64,
    wanted: HashMap<Pattern, Vec<Overflow>>,
    /// Patterns with wildcards, for which narrower ones need not be told.
    wide: Vec<Pattern>,
    /// What peers have been told of the patterns that are wanted.
    told: Summed,
    offered: HashMap<Pattern, Vec<Offered>>,
    /// Groups with members here.
    groups: HashMap<Name, Shared>,
}

/// The members of a group that are here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shared {
    pub(crate) share: Share,
    /// Their strongest policy.
    pub(crate) telemetry: Overflow,
    pub(crate) members: Vec<u64>,
}

/// One registration, as far as peers have to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offered {
    pub(crate) policy: CallPolicy,
    /// Hybrid logical time of the registration; no two of one gateway have the same.
    pub(crate) since: u64,
    pub(crate) publisher: [u8; 16],
}

impl InterestLog {
    /// Wide patterns that narrower ones are compared with: each takes a third of a microsecond at every subscription.
    /// Narrower ones than those of further patterns are told, too.
    const WIDE: usize = 32;

    /// Version of the last change.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// One more subscription; what peers have to be told, if anything.
    pub(crate) fn want(&mut self, pattern: &Pattern, telemetry: Overflow) -> Option<InterestDelta> {
        let policies = self.wanted.entry_ref(pattern).or_default();
        let before = strongest(policies);
        policies.push(on_link(telemetry));
        let changed = strongest(policies) != before;
        if before.is_none() && !pattern.is_literal() && self.wide.len() < Self::WIDE {
            self.wide.push(pattern.clone());
        }
        if changed { self.tell_anew(pattern) } else { None }
    }

    /// One subscription less; what peers have to be told, if anything.
    pub(crate) fn unwant(&mut self, pattern: &Pattern, telemetry: Overflow) -> Option<InterestDelta> {
        let telemetry = on_link(telemetry);
        let policies = self.wanted.get_mut(pattern)?;
        let before = strongest(policies);
        if let Some(index) = policies.iter().position(|policy| *policy == telemetry) {
            policies.swap_remove(index);
        }
        let after = strongest(policies);
        if after.is_none() {
            self.wanted.remove(pattern);
        }
        let delta = if before == after { None } else { self.tell_anew(pattern) };
        if after.is_none() {
            self.wide.retain(|wide| wide != pattern);
        }
        delta
    }

    /// What is wanted of a pattern has changed: that has to be told, and what it covers, or covers no longer.
    fn tell_anew(&mut self, pattern: &Pattern) -> Option<InterestDelta> {
        let mut changed = vec![pattern.clone()];
        if self.wide.contains(pattern) {
            let covered = self.wanted.keys().filter(|narrow| *narrow != pattern && pattern.covers(narrow));
            changed.extend(covered.cloned());
        }
        let mut delta = InterestDelta::default();
        for pattern in changed {
            let needed = self.needed(&pattern);
            if self.told.get(&pattern) == needed {
                continue;
            }
            match needed {
                Some(policy) => {
                    delta.added.push(interest(&pattern, policy));
                    self.told.insert(pattern, policy);
                }
                None => {
                    delta.removed.push(pattern.to_string());
                    self.told.remove(&pattern);
                }
            }
        }
        let any = !delta.added.is_empty() || !delta.removed.is_empty();
        any.then(|| {
            self.version += 1;
            InterestDelta { version: self.version, ..delta }
        })
    }

    /// What peers have to know of a pattern: nothing when a wider one asks for as much. Of two that are alike in all
    /// but their text, the first in the alphabet is told.
    fn needed(&self, pattern: &Pattern) -> Option<Overflow> {
        let policy = strongest(self.wanted.get(pattern)?)?;
        let covered = self.wide.iter().filter(|wide| *wide != pattern && wide.covers(pattern)).any(|wide| {
            let Some(other) = self.wanted.get(wide).and_then(|policies| strongest(policies)) else {
                return false;
            };
            stronger(other, policy) == other
                && (other != policy || !pattern.covers(wide) || wide.as_str() < pattern.as_str())
        });
        (!covered).then_some(policy)
    }

    /// One more registration; what peers have to be told, if anything. They know the earliest of each procedure.
    pub(crate) fn offer(&mut self, procedure: &Pattern, offered: Offered) -> Option<InterestDelta> {
        let before = self.offered(procedure);
        self.offered.entry_ref(procedure).or_default().push(offered);
        self.offered_anew(procedure, before)
    }

    /// One registration less; what peers have to be told, if anything.
    pub(crate) fn withdraw(&mut self, procedure: &Pattern, since: u64) -> Option<InterestDelta> {
        let before = self.offered(procedure);
        let all = self.offered.get_mut(procedure)?;
        all.retain(|offered| offered.since != since);
        if all.is_empty() {
            self.offered.remove(procedure);
        }
        self.offered_anew(procedure, before)
    }

    /// The earliest registration of a procedure, which peers are told.
    pub(crate) fn offered(&self, procedure: &Pattern) -> Option<Offered> {
        self.offered.get(procedure).and_then(|all| earliest(all))
    }

    fn offered_anew(&mut self, procedure: &Pattern, before: Option<Offered>) -> Option<InterestDelta> {
        let after = self.offered(procedure);
        (before != after).then(|| {
            let mut delta = self.delta();
            match after {
                Some(offered) => delta.offered.push(offer(procedure, offered)),
                None => delta.withdrawn.push(procedure.to_string()),
            }
            delta
        })
    }

    /// These are the members of a group that are here now; what peers have to be told.
    pub(crate) fn set_group(&mut self, name: &Name, group: Shared) -> InterestDelta {
        let mut delta = self.delta();
        delta.added.push(shared(name, &group));
        if group.members.is_empty() {
            self.groups.remove(name);
        } else {
            self.groups.insert(name.clone(), group);
        }
        delta
    }

    /// All of it, in a fixed order.
    pub(crate) fn snapshot(&self) -> InterestSnapshot {
        let mut interests: Vec<Interest> =
            self.told.iter().map(|(pattern, policy)| interest(pattern, policy)).collect();
        interests.extend(self.groups.iter().map(|(name, group)| shared(name, group)));
        interests.sort_by(|a, b| (&a.pattern, &a.group).cmp(&(&b.pattern, &b.group)));
        let mut offers: Vec<Offer> = self
            .offered
            .iter()
            .filter_map(|(procedure, all)| Some(offer(procedure, earliest(all)?)))
            .collect();
        offers.sort_by(|a, b| a.procedure.cmp(&b.procedure));
        InterestSnapshot { version: self.version, interests, offers }
    }

    /// What peers have been told, summed up by marks.
    pub(crate) fn sum(&self) -> u64 {
        let members = self.groups.iter().flat_map(|(name, group)| {
            group.members.iter().map(move |member| mark_of_member(name, *member, group.telemetry))
        });
        let offers = self.offered.iter().filter_map(|(procedure, all)| {
            let Offered { policy, since, publisher } = earliest(all)?;
            Some(mark_of_offer(procedure, policy, since, &publisher))
        });
        members.chain(offers).fold(self.told.sum(), u64::wrapping_add)
    }

    fn delta(&mut self) -> InterestDelta {
        self.version += 1;
        InterestDelta { version: self.version, ..InterestDelta::default() }
    }
}

/// A subscriber that would rather be disconnected than miss a message must not cost the link that serves others.
pub(crate) fn on_link(telemetry: Overflow) -> Overflow {
    if telemetry == Overflow::Disconnect { Overflow::Block } else { telemetry }
}

/// A pattern in the sum of a gateway's interest.
pub(crate) fn mark_of_pattern(pattern: &Pattern, telemetry: Overflow) -> u64 {
    scramble(fnv(fnv(FNV_BASIS, pattern.as_str().as_bytes()), &[0, telemetry as u8]))
}

/// A member of a group in it, with the strongest policy of those at its gateway.
pub(crate) fn mark_of_member(name: &Name, member: u64, telemetry: Overflow) -> u64 {
    let pattern = fnv(fnv(FNV_BASIS, name.pattern.as_str().as_bytes()), &[1, telemetry as u8]);
    let group = fnv(pattern, name.group.as_bytes());
    scramble(fnv(group, &member.to_le_bytes()))
}

/// An offer in it.
pub(crate) fn mark_of_offer(
    procedure: &Pattern,
    policy: CallPolicy,
    since: u64,
    publisher: &[u8; 16],
) -> u64 {
    let name = fnv(fnv(FNV_BASIS, procedure.as_str().as_bytes()), &[2, policy as u8]);
    scramble(fnv(fnv(name, &since.to_le_bytes()), publisher))
}

fn strongest(policies: &[Overflow]) -> Option<Overflow> {
    policies.iter().copied().reduce(stronger)
}

fn shared(name: &Name, group: &Shared) -> Interest {
    Interest {
        pattern: name.pattern.to_string(),
        telemetry: group.telemetry.into(),
        group: name.group.clone(),
        share: group.share.into(),
        members: group.members.clone(),
    }
}

fn interest(pattern: &Pattern, telemetry: Overflow) -> Interest {
    Interest { pattern: pattern.to_string(), telemetry: telemetry.into(), ..Interest::default() }
}

fn earliest(all: &[Offered]) -> Option<Offered> {
    all.iter().copied().min_by_key(|offered| offered.since)
}

fn offer(procedure: &Pattern, offered: Offered) -> Offer {
    Offer {
        procedure: procedure.to_string(),
        policy: offered.policy.into(),
        since: offered.since,
        publisher: Bytes::copy_from_slice(&offered.publisher),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    fn told(delta: Option<InterestDelta>) -> (Vec<String>, Vec<String>) {
        let delta = delta.unwrap_or_default();
        let (mut added, mut removed) =
            (delta.added.into_iter().map(|interest| interest.pattern).collect::<Vec<_>>(), delta.removed);
        added.sort_unstable();
        removed.sort_unstable();
        (added, removed)
    }

    fn texts(all: &[&str]) -> Vec<String> {
        all.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn what_a_wider_pattern_covers_is_not_told() {
        let mut log = InterestLog::default();
        assert_eq!(told(log.want(&pattern("a.b"), Overflow::Default)), (texts(&["a.b"]), texts(&[])));
        assert_eq!(told(log.want(&pattern("a.c"), Overflow::Block)), (texts(&["a.c"]), texts(&[])));
        let wide = log.want(&pattern("a.*"), Overflow::Default);
        assert_eq!(told(wide), (texts(&["a.*"]), texts(&["a.b"])), "the other asks for more");
        assert_eq!(log.want(&pattern("a.d"), Overflow::Conflate), None);
        assert_eq!(log.want(&pattern("a.*"), Overflow::Default), None);
        assert_eq!(log.unwant(&pattern("a.*"), Overflow::Default), None, "another wants it still");
        let version = log.version();
        let narrow = log.unwant(&pattern("a.*"), Overflow::Default);
        assert_eq!(told(narrow), (texts(&["a.b", "a.d"]), texts(&["a.*"])));
        assert_eq!(log.version(), version + 1, "at one stroke");
        assert_eq!(told(log.unwant(&pattern("a.d"), Overflow::Conflate)), (texts(&[]), texts(&["a.d"])));
    }

    #[test]
    fn of_two_patterns_for_the_same_topics_one_is_told() {
        let mut log = InterestLog::default();
        log.want(&pattern("a.*"), Overflow::Default);
        let same = log.want(&pattern("a.+.#"), Overflow::Default);
        assert_eq!(log.snapshot().interests.len(), 1, "{same:?}");
        log.unwant(&pattern("a.*"), Overflow::Default);
        assert_eq!(log.snapshot().interests[0].pattern, "a.+.#");
    }

    /// Random changes, against what follows from the subscriptions alone: every topic reaches those who want it, and
    /// with a policy as strong as theirs; and the deltas make up the snapshot.
    #[test]
    fn what_is_told_is_as_much_as_what_is_wanted() {
        let names = ["a", "a.b", "a.c", "b", "a.*", "a.+", "a.+.#", "#", "+", "b.#", "+.b", "*.c"];
        let topics = ["a", "a.b", "a.c", "a.b.c", "b", "b.b", "c"].map(|text| text.parse().unwrap());
        let policies = [Overflow::Default, Overflow::Conflate, Overflow::Block];
        let mut dice = 1u64;
        let mut below = |bound: usize| {
            dice = scramble(dice);
            (dice % bound as u64) as usize
        };
        let (mut log, mut wanted, mut peer) = (InterestLog::default(), Vec::new(), HashMap::default());
        for _ in 0..3_000 {
            let delta = if wanted.len() < 12 && below(2) == 0 {
                let (pattern, policy) = (pattern(names[below(names.len())]), policies[below(3)]);
                wanted.push((pattern.clone(), policy));
                log.want(&pattern, policy)
            } else if wanted.is_empty() {
                None
            } else {
                let (pattern, policy) = wanted.swap_remove(below(wanted.len()));
                log.unwant(&pattern, policy)
            };
            for removed in delta.iter().flat_map(|delta| &delta.removed) {
                assert!(peer.remove(&pattern(removed)).is_some());
            }
            for added in delta.iter().flat_map(|delta| &delta.added) {
                peer.insert(pattern(&added.pattern), added.telemetry());
            }
            for topic in &topics {
                let strongest = |all: Vec<Overflow>| all.into_iter().reduce(stronger);
                let needs =
                    wanted.iter().filter(|(pattern, _)| pattern.matches(topic)).map(|(_, policy)| *policy);
                let has =
                    peer.iter().filter(|(pattern, _)| pattern.matches(topic)).map(|(_, policy)| *policy);
                assert_eq!(strongest(needs.collect()), strongest(has.collect()), "{topic}: {peer:?}");
            }
            let told = log.told.iter().map(|(pattern, policy)| (pattern.clone(), policy));
            assert_eq!(told.collect::<HashMap<_, _>>(), peer);
        }
    }
}

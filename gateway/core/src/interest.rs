//! What this gateway asks of its peers: patterns and procedures of its own sessions, counted, versioned.

use crate::groups::Name;
use crate::routes::stronger;
use bytes::Bytes;
use hashbrown::HashMap;
use macula_proto::Pattern;
use macula_proto::v1::{CallPolicy, Interest, InterestDelta, InterestSnapshot, Offer, Overflow, Share};

/// The interest that peers are told: a snapshot when a link comes up, then deltas without holes.
#[derive(Debug, Default)]
pub(crate) struct InterestLog {
    version: u64,
    wanted: HashMap<Pattern, Vec<Overflow>>,
    offered: HashMap<Pattern, Vec<Offered>>,
    /// Groups with members here.
    groups: HashMap<Name, (Share, Vec<u64>)>,
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
    /// Version of the last change.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// One more subscription; what peers have to be told, if anything.
    pub(crate) fn want(&mut self, pattern: &Pattern, telemetry: Overflow) -> Option<InterestDelta> {
        let telemetry = on_link(telemetry);
        let policies = self.wanted.entry_ref(pattern).or_default();
        let before = strongest(policies);
        policies.push(telemetry);
        let after = strongest(policies);
        (before != after).then(|| self.told_anew(pattern, after))
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
        (before != after).then(|| self.told_anew(pattern, after))
    }

    fn told_anew(&mut self, pattern: &Pattern, telemetry: Option<Overflow>) -> InterestDelta {
        let mut delta = self.delta();
        match telemetry {
            Some(policy) => delta.added.push(interest(pattern, policy)),
            None => delta.removed.push(pattern.to_string()),
        }
        delta
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
    pub(crate) fn set_group(&mut self, name: &Name, share: Share, members: Vec<u64>) -> InterestDelta {
        let mut delta = self.delta();
        delta.added.push(shared(name, share, &members));
        if members.is_empty() {
            self.groups.remove(name);
        } else {
            self.groups.insert(name.clone(), (share, members));
        }
        delta
    }

    /// All of it, in a fixed order.
    pub(crate) fn snapshot(&self) -> InterestSnapshot {
        let mut interests: Vec<Interest> = self
            .wanted
            .iter()
            .filter_map(|(pattern, policies)| Some(interest(pattern, strongest(policies)?)))
            .collect();
        interests.extend(self.groups.iter().map(|(name, (share, members))| shared(name, *share, members)));
        interests.sort_by(|a, b| (&a.pattern, &a.group).cmp(&(&b.pattern, &b.group)));
        let mut offers: Vec<Offer> = self
            .offered
            .iter()
            .filter_map(|(procedure, all)| Some(offer(procedure, earliest(all)?)))
            .collect();
        offers.sort_by(|a, b| a.procedure.cmp(&b.procedure));
        InterestSnapshot { version: self.version, interests, offers }
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

fn strongest(policies: &[Overflow]) -> Option<Overflow> {
    policies.iter().copied().reduce(stronger)
}

fn shared(name: &Name, share: Share, members: &[u64]) -> Interest {
    Interest {
        pattern: name.pattern.to_string(),
        group: name.group.clone(),
        share: share.into(),
        members: members.to_vec(),
        ..Interest::default()
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

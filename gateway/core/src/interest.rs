//! What this gateway asks of its peers: patterns and procedures of its own sessions, counted, versioned.

use crate::routes::stronger;
use hashbrown::HashMap;
use macula_proto::Pattern;
use macula_proto::v1::{CallPolicy, Interest, InterestDelta, InterestSnapshot, Offer, Overflow};

/// The interest that peers are told: a snapshot when a link comes up, then deltas without holes.
#[derive(Debug, Default)]
pub(crate) struct InterestLog {
    version: u64,
    wanted: HashMap<Pattern, Vec<Overflow>>,
    offered: HashMap<Pattern, (u32, CallPolicy)>,
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

    /// One more registration; what peers have to be told, if anything.
    pub(crate) fn offer(&mut self, procedure: &Pattern, policy: CallPolicy) -> Option<InterestDelta> {
        let (count, known) = self.offered.entry_ref(procedure).or_insert((0, policy));
        *count += 1;
        let news = *count == 1 || *known != policy;
        *known = policy;
        news.then(|| {
            let mut delta = self.delta();
            delta.offered.push(offer(procedure, policy));
            delta
        })
    }

    /// One registration less; what peers have to be told, if anything.
    pub(crate) fn withdraw(&mut self, procedure: &Pattern) -> Option<InterestDelta> {
        let (count, _) = self.offered.get_mut(procedure)?;
        *count -= 1;
        if *count > 0 {
            return None;
        }
        self.offered.remove(procedure);
        let mut delta = self.delta();
        delta.withdrawn.push(procedure.to_string());
        Some(delta)
    }

    /// All of it, in a fixed order.
    pub(crate) fn snapshot(&self) -> InterestSnapshot {
        let mut interests: Vec<Interest> = self
            .wanted
            .iter()
            .filter_map(|(pattern, policies)| Some(interest(pattern, strongest(policies)?)))
            .collect();
        interests.sort_by(|a, b| a.pattern.cmp(&b.pattern));
        let mut offers: Vec<Offer> =
            self.offered.iter().map(|(procedure, (_, policy))| offer(procedure, *policy)).collect();
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

fn interest(pattern: &Pattern, telemetry: Overflow) -> Interest {
    Interest { pattern: pattern.to_string(), telemetry: telemetry.into(), ..Interest::default() }
}

fn offer(procedure: &Pattern, policy: CallPolicy) -> Offer {
    Offer { procedure: procedure.to_string(), policy: policy.into(), ..Offer::default() }
}

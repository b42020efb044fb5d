//! Who answers which procedure: registrations of local sessions and offers of peers.

use crate::hash::HashMap;
use crate::key::{ConnKey, NodeId, ProviderKey};
use crate::trie::Trie;
use macula_proto::pattern::Segment;
use macula_proto::v1::CallPolicy;
use macula_proto::{Pattern, Topic};
use slotmap::SlotMap;
use std::cmp::Ordering;

/// All providers, found by procedure.
#[derive(Debug)]
pub(crate) struct Procedures {
    trie: Trie<ProviderKey>,
    providers: SlotMap<ProviderKey, Provider>,
    /// Providers of exactly this procedure or pattern.
    by_pattern: HashMap<Pattern, Vec<ProviderKey>>,
    /// Calls routed so far; turns `ROUND_ROBIN` and seeds `RANDOM`.
    turn: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Provider {
    pub(crate) conn: ConnKey,
    /// A peer rather than a session of this gateway.
    pub(crate) link: bool,
    /// The client's number for it; 0 on links.
    pub(crate) number: u32,
    pub(crate) procedure: Pattern,
    pub(crate) policy: CallPolicy,
    /// Hybrid logical time of the registration; of a peer's several the earliest.
    pub(crate) since: u64,
    /// Gateway at which it was registered.
    pub(crate) node: NodeId,
    /// Who registered it.
    pub(crate) publisher: [u8; 16],
    /// Calls that it has not answered.
    pub(crate) load: u32,
}

impl Procedures {
    pub(crate) fn new() -> Self {
        let (providers, by_pattern) = (SlotMap::with_key(), HashMap::default());
        Self { trie: Trie::new(), providers, by_pattern, turn: 0 }
    }

    /// Adds a provider.
    pub(crate) fn add(&mut self, provider: Provider) -> ProviderKey {
        let procedure = provider.procedure.clone();
        let key = self.providers.insert(provider);
        self.trie.insert(&procedure, key);
        self.by_pattern.entry(procedure).or_default().push(key);
        key
    }

    pub(crate) fn remove(&mut self, key: ProviderKey) -> Option<Provider> {
        let provider = self.providers.remove(key)?;
        self.trie.remove(&provider.procedure, key);
        if let Some(keys) = self.by_pattern.get_mut(&provider.procedure) {
            keys.retain(|other| *other != key);
            if keys.is_empty() {
                self.by_pattern.remove(&provider.procedure);
            }
        }
        Some(provider)
    }

    /// Providers of exactly this procedure or pattern that cannot stand beside one of this policy.
    pub(crate) fn conflicts(
        &self,
        procedure: &Pattern,
        policy: CallPolicy,
    ) -> impl Iterator<Item = (ProviderKey, &Provider)> {
        let same = self.by_pattern.get(procedure).into_iter().flatten();
        let known = same.filter_map(|key| Some((*key, self.providers.get(*key)?)));
        known.filter(move |(_, other)| policy == CallPolicy::Single || other.policy == CallPolicy::Single)
    }

    pub(crate) fn providers(&self) -> impl Iterator<Item = &Provider> {
        self.providers.values()
    }

    pub(crate) fn get(&self, key: ProviderKey) -> Option<&Provider> {
        self.providers.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: ProviderKey) -> Option<&mut Provider> {
        self.providers.get_mut(key)
    }

    /// The provider that a call goes to: a local one if there is any, and peers may be asked only if `anywhere`. Of
    /// several patterns that match, the most specific decides.
    pub(crate) fn choose(&mut self, procedure: &Topic, anywhere: bool) -> Option<Choice> {
        self.turn += 1;
        let mut found = self.find(procedure);
        let local = found.iter().any(|(_, provider)| !provider.link);
        found.retain(|(_, provider)| if local { !provider.link } else { anywhere });
        let best =
            found.iter().map(|(_, provider)| &provider.procedure).min_by(|a, b| by_specificity(a, b))?;
        if found.iter().any(|(_, provider)| provider.procedure != *best) {
            let best = best.clone();
            found.retain(|(_, provider)| provider.procedure == best);
        }
        found.sort_by_key(|(_, provider)| provider.seniority());
        let (_, first) = found.first()?;
        let index = match first.policy {
            CallPolicy::Single | CallPolicy::First => 0,
            CallPolicy::Last => found.len() - 1,
            CallPolicy::RoundRobin => (self.turn % found.len() as u64) as usize,
            CallPolicy::Random => (scramble(self.turn) % found.len() as u64) as usize,
            CallPolicy::LeastLoaded => {
                // Of equals the next in turn.
                let turn = (self.turn % found.len() as u64) as usize;
                let order = (turn..found.len()).chain(0..turn);
                order.min_by_key(|&index| found[index].1.load).unwrap_or(0)
            }
        };
        Some(Choice::of(found[index]))
    }

    /// Every connection that answers a procedure, once, and peers only if `anywhere`.
    pub(crate) fn all(&self, procedure: &Topic, anywhere: bool) -> Vec<Choice> {
        let mut found = self.find(procedure);
        found.retain(|(_, provider)| anywhere || !provider.link);
        found.sort_by(|(_, a), (_, b)| {
            by_specificity(&a.procedure, &b.procedure).then(a.seniority().cmp(&b.seniority()))
        });
        let mut choices: Vec<Choice> = Vec::new();
        for entry in found {
            if choices.iter().all(|choice| choice.conn != entry.1.conn) {
                choices.push(Choice::of(entry));
            }
        }
        choices
    }

    fn find(&self, procedure: &Topic) -> Vec<(ProviderKey, &Provider)> {
        let mut found = Vec::new();
        self.trie.for_each_match(procedure, |key| {
            if let Some(provider) = self.providers.get(key) {
                found.push((key, provider));
            }
        });
        found
    }
}

impl Provider {
    /// Orders providers by the time of their registration, the same at every gateway.
    fn seniority(&self) -> (u64, NodeId) {
        (self.since, self.node)
    }

    /// Of two providers that cannot both stand, whether this one does: the earlier; or, when one client has moved and
    /// its old gateway has not noticed, the later.
    pub(crate) fn outlasts(&self, other: &Provider) -> bool {
        if self.publisher == other.publisher {
            return self.seniority() > other.seniority();
        }
        self.seniority() < other.seniority()
    }
}

/// A provider that was chosen for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) provider: ProviderKey,
    pub(crate) conn: ConnKey,
    /// A peer, which chooses among its own.
    pub(crate) link: bool,
    pub(crate) registration: u32,
}

impl Choice {
    fn of((key, provider): (ProviderKey, &Provider)) -> Self {
        Self { provider: key, conn: provider.conn, link: provider.link, registration: provider.number }
    }
}

/// Orders patterns that match one procedure: who says more about it comes first, as in WAMP.
fn by_specificity(a: &Pattern, b: &Pattern) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    let rank = |segment: Segment<'_>| match segment {
        Segment::Literal(_) => 0,
        Segment::One => 1,
        Segment::OneOrMore => 2,
        Segment::ZeroOrMore => 3,
    };
    a.segments().map(rank).cmp(b.segments().map(rank)).then_with(|| a.as_str().cmp(b.as_str()))
}

/// Spreads a counter evenly: the finalizer of SplitMix64.
fn scramble(mut value: u64) -> u64 {
    value = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

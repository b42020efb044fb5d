//! Who answers which procedure: registrations of local sessions and offers of peers.

use crate::key::{ConnKey, ProviderKey};
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
    /// Order of registration here.
    pub(crate) since: u64,
    /// Calls that it has not answered.
    pub(crate) load: u32,
}

impl Procedures {
    pub(crate) fn new() -> Self {
        Self { trie: Trie::new(), providers: SlotMap::with_key(), turn: 0 }
    }

    /// Adds a provider.
    pub(crate) fn add(&mut self, mut provider: Provider) -> ProviderKey {
        self.turn += 1;
        provider.since = self.turn;
        let procedure = provider.procedure.clone();
        let key = self.providers.insert(provider);
        self.trie.insert(&procedure, key);
        key
    }

    pub(crate) fn remove(&mut self, key: ProviderKey) -> Option<Provider> {
        let provider = self.providers.remove(key)?;
        self.trie.remove(&provider.procedure, key);
        Some(provider)
    }

    /// True when a provider of exactly this procedure or pattern tolerates no second one.
    pub(crate) fn taken(&self, procedure: &Pattern, policy: CallPolicy) -> bool {
        let single = |other: &Provider| policy == CallPolicy::Single || other.policy == CallPolicy::Single;
        self.providers.values().any(|other| other.procedure == *procedure && single(other))
    }

    pub(crate) fn providers(&self) -> impl Iterator<Item = &Provider> {
        self.providers.values()
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
        found.sort_by_key(|(_, provider)| provider.since);
        let (_, first) = found.first()?;
        let index = match first.policy {
            CallPolicy::Single | CallPolicy::First => 0,
            CallPolicy::Last => found.len() - 1,
            CallPolicy::RoundRobin => (self.turn % found.len() as u64) as usize,
            CallPolicy::Random => (scramble(self.turn) % found.len() as u64) as usize,
            CallPolicy::LeastLoaded => {
                let least = found.iter().enumerate().min_by_key(|(_, (_, provider))| provider.load);
                least.map_or(0, |(index, _)| index)
            }
        };
        Some(Choice::of(found[index]))
    }

    /// Every connection that answers a procedure, once, and peers only if `anywhere`.
    pub(crate) fn all(&self, procedure: &Topic, anywhere: bool) -> Vec<Choice> {
        let mut found = self.find(procedure);
        found.retain(|(_, provider)| anywhere || !provider.link);
        found
            .sort_by(|(_, a), (_, b)| by_specificity(&a.procedure, &b.procedure).then(a.since.cmp(&b.since)));
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

//! Who gets what: the subscriptions of local sessions and the interest of peers, in one trie.

use crate::key::{ConnKey, GroupKey, SubscriptionKey};
use crate::trie::Trie;
use macula_proto::v1::Overflow;
use macula_proto::{Pattern, Topic, wire};
use slotmap::SlotMap;

/// All subscriptions and all interest. Every change starts a new generation, at which cached routes are stale.
#[derive(Debug)]
pub(crate) struct Routes {
    trie: Trie<Wanted>,
    subscriptions: SlotMap<SubscriptionKey, Subscription>,
    generation: u64,
}

/// What the trie holds at the end of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Subscription(SubscriptionKey),
    Peer { link: ConnKey, telemetry: Overflow },
    Group(GroupKey),
}

/// A subscription of a session.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) conn: ConnKey,
    /// The client's number for it.
    pub(crate) number: u32,
    pub(crate) pattern: Pattern,
    pub(crate) echo: bool,
    pub(crate) events: Overflow,
    pub(crate) telemetry: Overflow,
    pub(crate) block_ms: u32,
    /// Name of the group that it shares messages with; empty for none.
    pub(crate) group: String,
    /// Its number in that group.
    pub(crate) member: u64,
}

/// One receiver of a topic: a session with all its subscriptions that match, or a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) conn: ConnKey,
    pub(crate) link: bool,
    /// Strongest policy of the matching subscriptions, per class.
    pub(crate) policy: [Overflow; 2],
    pub(crate) block_ms: u32,
    /// Encoded subscriptions field; empty for a link.
    pub(crate) subscriptions: Box<[u8]>,
    /// The same for the session's own messages: those subscriptions that asked for echo; empty for none.
    pub(crate) echo: Box<[u8]>,
}

impl Routes {
    pub(crate) fn new() -> Self {
        Self { trie: Trie::new(), subscriptions: SlotMap::with_key(), generation: 1 }
    }

    /// Routes that were cached at another generation are stale.
    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn subscribe(&mut self, subscription: Subscription) -> SubscriptionKey {
        let pattern = subscription.group.is_empty().then(|| subscription.pattern.clone());
        let key = self.subscriptions.insert(subscription);
        // A member of a group gets what its group is given.
        if let Some(pattern) = pattern {
            self.trie.insert(&pattern, Wanted::Subscription(key));
        }
        self.generation += 1;
        key
    }

    pub(crate) fn unsubscribe(&mut self, key: SubscriptionKey) -> Option<Subscription> {
        let subscription = self.subscriptions.remove(key)?;
        self.trie.remove(&subscription.pattern, Wanted::Subscription(key));
        self.generation += 1;
        Some(subscription)
    }

    pub(crate) fn subscription(&self, key: SubscriptionKey) -> Option<&Subscription> {
        self.subscriptions.get(key)
    }

    /// A subscription belongs to another connection from now on.
    pub(crate) fn rehome(&mut self, key: SubscriptionKey, conn: ConnKey) {
        if let Some(subscription) = self.subscriptions.get_mut(key) {
            subscription.conn = conn;
            self.generation += 1;
        }
    }

    /// A subscription is made anew: the one before, whose pattern and connection are the same.
    pub(crate) fn renew(
        &mut self,
        key: SubscriptionKey,
        mut subscription: Subscription,
    ) -> Option<Subscription> {
        let known = self.subscriptions.get_mut(key)?;
        self.generation += 1;
        // Its peers know it by that number.
        subscription.member = known.member;
        Some(std::mem::replace(known, subscription))
    }

    pub(crate) fn add_group(&mut self, group: GroupKey, pattern: &Pattern) {
        self.trie.insert(pattern, Wanted::Group(group));
        self.generation += 1;
    }

    pub(crate) fn remove_group(&mut self, group: GroupKey, pattern: &Pattern) {
        self.trie.remove(pattern, Wanted::Group(group));
        self.generation += 1;
    }

    pub(crate) fn add_interest(&mut self, link: ConnKey, pattern: &Pattern, telemetry: Overflow) {
        self.trie.insert(pattern, Wanted::Peer { link, telemetry });
        self.generation += 1;
    }

    pub(crate) fn remove_interest(&mut self, link: ConnKey, pattern: &Pattern, telemetry: Overflow) {
        self.trie.remove(pattern, Wanted::Peer { link, telemetry });
        self.generation += 1;
    }

    pub(crate) fn subscriptions(&self) -> impl Iterator<Item = &Subscription> {
        self.subscriptions.values()
    }

    /// The receivers of a topic, one entry each, and the groups that share it.
    pub(crate) fn find(&self, topic: &Topic) -> (Box<[Route]>, Box<[GroupKey]>) {
        let mut groups = Vec::new();
        let mut found: Vec<(Route, Vec<&Subscription>)> = Vec::new();
        self.trie.for_each_match(topic, |wanted| {
            let (route, subscription) = match wanted {
                Wanted::Group(group) => return groups.push(group),
                Wanted::Peer { link, telemetry } => (Route::to_peer(link, telemetry), None),
                Wanted::Subscription(key) => {
                    let subscription = &self.subscriptions[key];
                    (Route::to(subscription), Some(subscription))
                }
            };
            match found.iter_mut().find(|(other, _)| other.conn == route.conn) {
                Some((other, subscriptions)) => {
                    other.merge(&route);
                    subscriptions.extend(subscription);
                }
                None => found.push((route, Vec::from_iter(subscription))),
            }
        });
        let finish = |(mut route, mut subscriptions): (Route, Vec<&Subscription>)| {
            subscriptions.sort_unstable_by_key(|subscription| subscription.number);
            route.subscriptions = field(subscriptions.iter().map(|subscription| subscription.number));
            let echo = subscriptions.iter().filter(|subscription| subscription.echo);
            route.echo = field(echo.map(|subscription| subscription.number));
            route
        };
        (found.into_iter().map(finish).collect(), groups.into())
    }
}

impl Route {
    /// To a peer, with this policy for telemetry.
    pub(crate) fn to_peer(link: ConnKey, telemetry: Overflow) -> Self {
        Self {
            conn: link,
            link: true,
            policy: [Overflow::Block, telemetry],
            block_ms: DEFAULT_BLOCK_MS,
            subscriptions: Box::default(),
            echo: Box::default(),
        }
    }

    /// To one subscription, which is not named yet.
    pub(crate) fn to(subscription: &Subscription) -> Self {
        Self {
            conn: subscription.conn,
            link: false,
            policy: [subscription.events, subscription.telemetry],
            block_ms: subscription.block_ms,
            subscriptions: Box::default(),
            echo: Box::default(),
        }
    }

    fn merge(&mut self, other: &Route) {
        for (mine, theirs) in self.policy.iter_mut().zip(other.policy) {
            *mine = stronger(*mine, theirs);
        }
        self.block_ms = self.block_ms.max(other.block_ms);
    }
}

/// The encoded subscriptions field of these numbers; empty for none.
fn field(numbers: impl Iterator<Item = u32>) -> Box<[u8]> {
    let numbers: Vec<u32> = numbers.collect();
    let mut field = Vec::new();
    if !numbers.is_empty() {
        wire::encode_subscriptions(&mut field, &numbers);
    }
    field.into()
}

/// Time that `block` holds publishers back unless the subscriber says otherwise.
pub(crate) const DEFAULT_BLOCK_MS: u32 = 10_000;

/// Longest time that a subscriber may hold publishers back. A guess, not measured: longer than a reader that is
/// still alive pauses, and short enough that one subscriber cannot stop a publisher for good.
pub(crate) const LONGEST_BLOCK_MS: u32 = 60_000;

/// Of two policies for one message the one that loses less.
pub(crate) fn stronger(a: Overflow, b: Overflow) -> Overflow {
    let strength = |policy| match policy {
        Overflow::Disconnect => 0,
        Overflow::Conflate => 1,
        // Conflates what has a key, but drops only the oldest of what has none.
        Overflow::Default => 2,
        Overflow::DropOldest => 3,
        Overflow::DropNewest => 4,
        Overflow::Block => 5,
    };
    if strength(b) > strength(a) { b } else { a }
}

//! Groups of subscriptions that share messages: each message of a pattern goes to one member of the group, wherever in
//! the mesh the members are.
//!
//! Every gateway knows all members and chooses for the messages that enter the mesh with it. A group that shares by hash
//! divides 256 slots among its members by rendezvous. A slot that moves to another member while the one before lives
//! is fenced: its events wait until that one has acknowledged what it was sent.

use crate::hash::HashMap;
use crate::key::{ConnKey, GroupKey, SubscriptionKey};
use macula_proto::v1::{Overflow, Share};
use macula_proto::{Pattern, slot};
use slotmap::SlotMap;
use std::collections::VecDeque;

/// All groups.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    entries: SlotMap<GroupKey, Group>,
    by_name: HashMap<Name, GroupKey>,
    /// Members with a session here.
    local: HashMap<u64, (GroupKey, SubscriptionKey)>,
    /// Members that were here or behind a link, the oldest first: not all peers may know yet that they are gone.
    departed: VecDeque<(u64, Name)>,
    /// False when no group has a fence.
    pub(crate) any_fences: bool,
}

/// Pattern and name of a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    pub(crate) pattern: Pattern,
    pub(crate) group: String,
}

/// One group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: Name,
    pub(crate) share: Share,
    /// In the order of their numbers, which is the same at every gateway. A client that has moved is a member at two places
    /// until its old gateway has noticed; where it came last is behind the other.
    members: Vec<Member>,
    /// What the links with members behind them are to do with telemetry.
    telemetry: Vec<(ConnKey, Overflow)>,
    /// Owner of each slot; empty until the first message after a change of members.
    owners: Vec<Member>,
    /// Slots that wait for the owner before.
    pub(crate) fences: Vec<Fence>,
    turn: usize,
}

/// One member of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) id: u64,
    pub(crate) place: Place,
}

/// Where a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A subscription of a session of this gateway.
    Here(SubscriptionKey),
    /// Behind this link.
    Peer(ConnKey),
}

/// A slot whose events wait until its owner before has acknowledged what it was sent.
#[derive(Debug)]
pub(crate) struct Fence {
    pub(crate) slot: u8,
    pub(crate) before: Member,
    /// Position in the queue of the owner before that it has to acknowledge.
    pub(crate) position: u64,
    pub(crate) waiting: Vec<super::node::Parked>,
    pub(crate) bytes: usize,
}

impl Groups {
    /// Members that are remembered after they left. More than leave within the time in which a peer hears of it.
    const DEPARTED: usize = 4_096;

    /// The group of this name, if it has members.
    pub(crate) fn find(&self, name: &Name) -> Option<GroupKey> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn get(&self, key: GroupKey) -> Option<&Group> {
        self.entries.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: GroupKey) -> Option<&mut Group> {
        self.entries.get_mut(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds a member; the group, and whether it is new.
    pub(crate) fn join(&mut self, name: &Name, share: Share, member: Member) -> (GroupKey, bool) {
        let (key, new) = match self.by_name.get(name) {
            Some(&key) => (key, false),
            None => {
                let group = Group {
                    name: name.clone(),
                    share,
                    members: Vec::new(),
                    telemetry: Vec::new(),
                    owners: Vec::new(),
                    fences: Vec::new(),
                    turn: 0,
                };
                let key = self.entries.insert(group);
                self.by_name.insert(name.clone(), key);
                (key, true)
            }
        };
        if let Place::Here(subscription) = member.place {
            self.local.insert(member.id, (key, subscription));
        }
        if let Some(group) = self.entries.get_mut(key)
            && !group.has(member)
        {
            let place = group.members.partition_point(|known| known.id <= member.id);
            group.members.insert(place, member);
        }
        (key, new)
    }

    /// Takes a member out; whether it was the last, with which the group ends.
    pub(crate) fn leave(&mut self, key: GroupKey, gone: Member) -> bool {
        let Some(group) = self.entries.get_mut(key) else { return false };
        group.members.retain(|member| *member != gone);
        group
            .telemetry
            .retain(|(link, _)| group.members.iter().any(|member| member.place == Place::Peer(*link)));
        let empty = group.members.is_empty();
        if let Place::Here(subscription) = gone.place
            && self.local.get(&gone.id) == Some(&(key, subscription))
        {
            self.local.remove(&gone.id);
        }
        self.departed.push_back((gone.id, group.name.clone()));
        if self.departed.len() > Self::DEPARTED {
            self.departed.pop_front();
        }
        if empty {
            self.by_name.remove(&group.name);
        }
        empty
    }

    /// Forgets a group without members.
    pub(crate) fn remove(&mut self, key: GroupKey) -> Option<Group> {
        self.entries.remove(key)
    }

    /// The subscription of a member with a session here.
    pub(crate) fn local(&self, id: u64) -> Option<SubscriptionKey> {
        self.local.get(&id).map(|(_, subscription)| *subscription)
    }

    /// The group of a member that is here, or was.
    pub(crate) fn group_of(&self, id: u64) -> Option<Name> {
        if let Some((key, _)) = self.local.get(&id) {
            return self.entries.get(*key).map(|group| group.name.clone());
        }
        self.departed.iter().rev().find(|(departed, _)| *departed == id).map(|(_, name)| name.clone())
    }

    /// Groups with members behind this link, and those.
    pub(crate) fn behind(&self, link: ConnKey) -> Vec<(GroupKey, Member)> {
        let mut found = Vec::new();
        for (key, group) in &self.entries {
            let behind = group.members.iter().filter(|member| member.place == Place::Peer(link));
            found.extend(behind.map(|member| (key, *member)));
        }
        found
    }

    /// What was behind one link is behind another from now on.
    pub(crate) fn rehome(&mut self, from: ConnKey, to: ConnKey) {
        for group in self.entries.values_mut() {
            let fenced = group.fences.iter_mut().map(|fence| &mut fence.before);
            for member in group.members.iter_mut().chain(fenced) {
                if member.place == Place::Peer(from) {
                    member.place = Place::Peer(to);
                }
            }
            if let Some(telemetry) = group.telemetry(from) {
                group.telemetry.retain(|(link, _)| *link != from);
                group.set_telemetry(to, telemetry);
            }
        }
    }

    /// The queue of this link begins anew: what slots wait for lies before this position.
    pub(crate) fn fence_again(&mut self, link: ConnKey, position: u64) {
        let fences = self.entries.values_mut().flat_map(|group| &mut group.fences);
        let behind = fences.filter(|fence| fence.before.place == Place::Peer(link));
        behind.for_each(|fence| fence.position = fence.position.min(position));
    }

    /// Groups in which slots wait.
    pub(crate) fn fenced(&self) -> Vec<GroupKey> {
        self.entries.iter().filter(|(_, group)| !group.fences.is_empty()).map(|(key, _)| key).collect()
    }
}

impl Group {
    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    /// The strongest policy for telemetry of the members behind a link, if there are any.
    pub(crate) fn telemetry(&self, link: ConnKey) -> Option<Overflow> {
        self.telemetry.iter().find(|(known, _)| *known == link).map(|(_, telemetry)| *telemetry)
    }

    pub(crate) fn set_telemetry(&mut self, link: ConnKey, telemetry: Overflow) {
        match self.telemetry.iter_mut().find(|(known, _)| *known == link) {
            Some(known) => known.1 = telemetry,
            None => self.telemetry.push((link, telemetry)),
        }
    }

    /// Where the member of this number came last.
    pub(crate) fn member(&self, id: u64) -> Option<Member> {
        let behind = self.members.partition_point(|member| member.id <= id);
        self.members[..behind].last().copied().filter(|member| member.id == id)
    }

    /// Whether it is a member, at this very place.
    pub(crate) fn has(&self, member: Member) -> bool {
        let first = self.members.partition_point(|known| known.id < member.id);
        self.members[first..].iter().take_while(|known| known.id == member.id).any(|known| *known == member)
    }

    /// The owner of a slot before the members changed, if there was another, and the owner from now on.
    pub(crate) fn owner(&mut self, slot: u8) -> (Option<Member>, Option<Member>) {
        let ids = || self.members.iter().map(|member| member.id);
        let owner = |slot| slot::owner(slot, ids()).and_then(|id| self.member(id));
        let Some(now) = owner(slot) else { return (None, None) };
        if self.owners.is_empty() {
            self.owners = (0..=255).filter_map(owner).collect();
        }
        let before = std::mem::replace(&mut self.owners[usize::from(slot)], now);
        (Some(before).filter(|before| *before != now), Some(now))
    }

    /// The next of the members that are wanted, in turn.
    pub(crate) fn in_turn(&mut self, wanted: impl Fn(&Member) -> bool) -> Option<Member> {
        let count = self.members.len();
        let found =
            (0..count).map(|step| (self.turn + step) % count).find(|&index| wanted(&self.members[index]))?;
        self.turn = found + 1;
        self.members.get(found).copied()
    }

    /// The wanted member with the least load; of equals the next in turn.
    pub(crate) fn least_loaded(
        &mut self,
        wanted: impl Fn(&Member) -> bool,
        load: impl Fn(&Member) -> usize,
    ) -> Option<Member> {
        let count = self.members.len();
        let found = (0..count)
            .map(|step| (self.turn + step) % count)
            .filter(|&index| wanted(&self.members[index]))
            .min_by_key(|&index| load(&self.members[index]))?;
        self.turn = found + 1;
        self.members.get(found).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> Name {
        Name { pattern: "a".parse().unwrap(), group: "g".to_owned() }
    }

    fn here(id: u64) -> Member {
        Member { id, place: Place::Here(SubscriptionKey::default()) }
    }

    #[test]
    fn a_group_lives_as_long_as_it_has_members() {
        let mut groups = Groups::default();
        let (key, new) = groups.join(&name(), Share::Hash, here(1));
        assert!(new && !groups.join(&name(), Share::Hash, here(2)).1);
        assert!(!groups.leave(key, here(1)));
        assert_eq!(groups.group_of(1), Some(name()), "it is remembered where a member was");
        assert!(groups.leave(key, here(2)));
        assert_eq!((groups.find(&name()), groups.local(2)), (None, None));
    }

    #[test]
    fn a_slot_tells_who_had_it_before() {
        let mut groups = Groups::default();
        let (key, _) = groups.join(&name(), Share::Hash, here(1));
        let group = groups.get_mut(key).unwrap();
        assert_eq!(group.owner(9), (None, Some(here(1))));
        for id in 2..50 {
            groups.join(&name(), Share::Hash, here(id));
        }
        let group = groups.get_mut(key).unwrap();
        let moved = (0..=255).filter(|slot| group.owner(*slot).0 == Some(here(1))).count();
        assert!(moved > 200, "{moved}");
        assert!((0..=255).all(|slot| group.owner(slot).0.is_none()), "and only once");
    }

    #[test]
    fn a_member_that_moves_is_at_its_new_place_and_its_slots_tell_where_it_was() {
        let mut groups = Groups::default();
        let (key, _) = groups.join(&name(), Share::Hash, here(1));
        let there = Member { id: 1, place: Place::Peer(ConnKey::default()) };
        let group = groups.get_mut(key).unwrap();
        assert_eq!(group.owner(9), (None, Some(here(1))));
        groups.join(&name(), Share::Hash, there);
        // Its old gateway names it again, with another.
        groups.join(&name(), Share::Hash, here(1));
        let group = groups.get_mut(key).unwrap();
        assert_eq!(group.member(1), Some(there));
        assert_eq!(group.owner(9), (Some(here(1)), Some(there)));
        assert!(group.has(here(1)) && !groups.leave(key, here(1)));
        let group = groups.get_mut(key).unwrap();
        assert_eq!((group.has(here(1)), group.member(1)), (false, Some(there)));
        assert!(groups.leave(key, there));
    }

    #[test]
    fn members_take_turns() {
        let mut groups = Groups::default();
        let keys: Vec<_> = (1..=3).map(|id| groups.join(&name(), Share::RoundRobin, here(id)).0).collect();
        let key = keys[0];
        let group = groups.get_mut(key).unwrap();
        let turns: Vec<u64> =
            (0..4).filter_map(|_| group.in_turn(|_| true)).map(|member| member.id).collect();
        assert_eq!(turns, [1, 2, 3, 1]);
        assert_eq!(group.in_turn(|member| member.id == 1).map(|member| member.id), Some(1));
        assert_eq!(group.in_turn(|_| false), None);
    }
}

//! Members of groups whose gateway runs anew, until they are back: what they had and did not acknowledge waits for them, who
//! know what of it they have done.
//!
//! The gateways that have chosen them go on doing so, and await them. The new run of theirs holds what comes for them; when
//! they have had their time, it gives that back, and others are chosen.

use super::messages::Moving;
use super::{Node, Parked};
use crate::groups::{Member, Name, Place};
use crate::hash::HashSet;
use crate::key::{ConnKey, GroupKey, SubscriptionKey};
use crate::time::Now;

/// An event for a member that is not back.
#[derive(Debug)]
pub(super) struct Absent {
    member: u64,
    from: ConnKey,
    event: Parked,
}

impl Node {
    /// The members behind a link that is gone are awaited behind the link to the later run of the peer, whose queue begins with
    /// what was held, up to this position.
    pub(super) fn await_members(&mut self, gone: ConnKey, to: ConnKey, held: u64) {
        let behind: HashSet<u64> = self.groups.behind(gone).iter().map(|(_, member)| member.id).collect();
        self.groups.rehome(gone, to);
        self.groups.fence_again(to, held);
        if let Some(link) = self.link_mut(to) {
            link.awaited = behind;
        }
    }

    /// A peer names these members; those that are awaited all the same.
    pub(super) fn name_awaited(&mut self, from: ConnKey, members: &[u64]) -> HashSet<u64> {
        let Some(link) = self.link_mut(from) else { return HashSet::default() };
        link.awaited.retain(|id| !members.contains(id));
        link.awaited.iter().copied().collect()
    }

    /// A peer has given back what a member should get: if it was awaited, it is no longer.
    pub(super) fn miss_member(&mut self, from: ConnKey, id: u64, now: Now) {
        let Some(link) = self.link_mut(from) else { return };
        if link.awaited.remove(&id) {
            self.remove_behind(from, |member| member == id, now);
        }
    }

    /// Members that have not come back to a peer in time are gone.
    pub(super) fn await_no_longer(&mut self, key: ConnKey, now: Now) {
        let Some(link) = self.link_mut(key) else { return };
        let awaited = std::mem::take(&mut link.awaited);
        if !awaited.is_empty() {
            self.remove_behind(key, |id| awaited.contains(&id), now);
        }
    }

    fn remove_behind(&mut self, link: ConnKey, gone: impl Fn(u64) -> bool, now: Now) {
        let behind: Vec<(GroupKey, Member)> =
            self.groups.behind(link).into_iter().filter(|(_, member)| gone(member.id)).collect();
        for (group, member) in behind {
            self.remove_member(group, member, now);
            self.lift_fences(group, now);
        }
    }

    /// The group of a member that is behind this link, or was.
    pub(super) fn group_behind(&self, link: ConnKey, id: u64) -> Option<Name> {
        let behind = self.groups.behind(link);
        let group = behind.iter().find(|(_, member)| *member == Member { id, place: Place::Peer(link) });
        match group {
            Some((group, _)) => self.groups.get(*group).map(|group| group.name.clone()),
            None => self.groups.group_of(id),
        }
    }

    /// Holds an event for a member that may come back; false when none does any more.
    pub(super) fn waits_for(&mut self, from: ConnKey, member: u64, moving: Moving<'_>) -> bool {
        if self.recovery.is_none() {
            return false;
        }
        let event = self.park(Moving { resent: true, ..moving });
        if let Some(recovery) = &mut self.recovery {
            recovery.absent.push(Absent { member, from, event });
        }
        true
    }

    /// A member has come, perhaps back: what was held for it is its own.
    pub(super) fn give_absent(&mut self, key: SubscriptionKey, now: Now) {
        let Some(member) = self.routes.subscription(key).map(|subscription| subscription.member) else {
            return;
        };
        let Some(recovery) = &mut self.recovery else { return };
        let all = std::mem::take(&mut recovery.absent).into_iter();
        let (own, others): (Vec<Absent>, _) = all.partition(|absent| absent.member == member);
        recovery.absent = others;
        for Absent { event, .. } in own {
            self.give_here(key, event.moving(), now);
            self.unpark(event, now);
        }
    }

    /// What comes back over one link goes over another from now on.
    pub(super) fn rehome_absent(&mut self, from: ConnKey, to: ConnKey) {
        let absent = self.recovery.iter_mut().flat_map(|recovery| &mut recovery.absent);
        absent.filter(|absent| absent.from == from).for_each(|absent| absent.from = to);
    }

    /// A member has not come in time: who has chosen it chooses another.
    pub(super) fn give_back(&mut self, Absent { member, from, event }: Absent, now: Now) {
        self.send_back(from, member, None, event.moving());
        self.unpark(event, now);
    }
}

//! Messages for groups: each goes to one member, chosen by the gateway where the message enters the mesh.

use super::messages::{Moving, expires_ms, tell_aliases};
use super::wanted::parse;
use super::{Node, Violation};
use crate::conn::Conn;
use crate::groups::{Fence, Member, Name, Place};
use crate::interest::{Shared, on_link};
use crate::key::{ConnKey, GroupKey, MessageClass, SubscriptionKey};
use crate::origins::Mark;
use crate::routes::{Route, stronger};
use crate::time::Now;
use macula_proto::kind;
use macula_proto::v1::{Code, Deliver, Interest, Message, NotHere, Overflow, Share};
use macula_proto::{Pattern, frame, slot, wire};
use prost::Message as _;

/// Events of a group that wait for slots to move; over it, they go to the owner before, who keeps the slot for longer.
/// A guess, not measured: a second of ten thousand events.
const WAITING_BYTES: usize = 4 << 20;

/// A message that is kept outside of queues. It holds references to its topic, publisher and segment.
#[derive(Debug)]
pub(crate) struct Parked {
    class: MessageClass,
    topic: u32,
    publisher: u32,
    sequence: u64,
    stamp: u64,
    resent: bool,
    key: Box<str>,
    message: Box<[u8]>,
    mark: Mark,
    expires_ms: u64,
}

/// A peer that a message goes to for members of groups behind it.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) link: ConnKey,
    pub(super) members: Vec<u64>,
    /// The strongest policy of theirs.
    pub(super) telemetry: Overflow,
}

/// What becomes of a message for a group.
enum Choice {
    Give(Member),
    /// It waits at this fence.
    Wait(usize),
    Nobody,
}

impl Node {
    /// Adds a subscription to a group; the refusal when the group shares in another way.
    pub(super) fn join_group(
        &mut self,
        key: SubscriptionKey,
        name: &Name,
        share: Share,
        recover: bool,
        now: Now,
    ) -> Result<bool, (Code, String)> {
        if let Some(group) = self.groups.find(name).and_then(|key| self.groups.get(key))
            && group.share != share
        {
            let text = format!(
                "group `{}` of `{}` shares by {}, not by {}",
                name.group,
                name.pattern,
                group.share.as_str_name(),
                share.as_str_name()
            );
            return Err((Code::InvalidArgument, text));
        }
        let id = self.routes.subscription(key).map_or(0, |subscription| subscription.member);
        let member = Member { id, place: Place::Here(key) };
        let first = self.add_member(name, share, member, recover, now);
        self.announce_group(name, share);
        Ok(first)
    }

    fn add_member(&mut self, name: &Name, share: Share, member: Member, recover: bool, now: Now) -> bool {
        let (group, first) = self.groups.join(name, share, member);
        if first {
            self.routes.add_group(group, &name.pattern);
        }
        self.gather(group, first, recover, now);
        first
    }

    /// Takes a subscription out of its group. Fences behind it are not lifted yet: what it leaves comes first.
    pub(super) fn leave_group(&mut self, key: SubscriptionKey, id: u64, name: &Name, now: Now) {
        let Some(group) = self.groups.find(name) else { return };
        let Some(share) = self.groups.get(group).map(|group| group.share) else { return };
        self.remove_member(group, Member { id, place: Place::Here(key) }, now);
        self.announce_group(name, share);
    }

    pub(super) fn remove_member(&mut self, key: GroupKey, member: Member, now: Now) {
        let last = self.groups.leave(key, member);
        if last && let Some(group) = self.groups.remove(key) {
            self.routes.remove_group(key, &group.name.pattern);
            for parked in group.fences.into_iter().flat_map(|fence| fence.waiting) {
                self.counters.lost[parked.class as usize] += 1;
                self.unpark(parked, now);
            }
        }
    }

    /// Tells peers which members of a group are here.
    pub(super) fn announce_group(&mut self, name: &Name, share: Share) {
        let group = self.groups.find(name).and_then(|key| self.groups.get(key));
        let mut shared = Shared { share, telemetry: Overflow::Default, members: Vec::new() };
        for member in group.iter().flat_map(|group| group.members()) {
            if let Place::Here(subscription) = member.place {
                let known = self.routes.subscription(subscription);
                let telemetry = known.map_or(Overflow::Default, |known| on_link(known.telemetry));
                let first = shared.members.is_empty();
                shared.telemetry = if first { telemetry } else { stronger(shared.telemetry, telemetry) };
                shared.members.push(member.id);
            }
        }
        let delta = self.interest.set_group(name, shared);
        self.announce_interest(Some(delta));
    }

    /// A peer says which members of a group it has.
    pub(super) fn set_group(
        &mut self,
        from: ConnKey,
        interest: &Interest,
        now: Now,
    ) -> Result<(), Violation> {
        let pattern: Pattern =
            interest.pattern.parse().map_err(|error| Violation::invalid(format!("{error}")))?;
        let name = Name { pattern, group: interest.group.clone() };
        let awaited = self.name_awaited(from, &interest.members);
        if let Some(key) = self.groups.find(&name) {
            let gone: Vec<Member> = self.groups.get(key).map_or(Vec::new(), |group| {
                let theirs = group.members().iter().filter(|member| member.place == Place::Peer(from));
                let kept = |id| interest.members.contains(&id) || awaited.contains(&id);
                theirs.filter(|member| !kept(member.id)).copied().collect()
            });
            gone.into_iter().for_each(|member| self.remove_member(key, member, now));
            self.lift_fences(key, now);
        }
        for &id in &interest.members {
            let member = Member { id, place: Place::Peer(from) };
            self.add_member(&name, interest.share(), member, true, now);
        }
        if let Some(group) = self.groups.find(&name).and_then(|key| self.groups.get_mut(key))
            && !interest.members.is_empty()
        {
            group.set_telemetry(from, on_link(interest.telemetry()));
        }
        Ok(())
    }

    /// The members behind a link are gone, but for some.
    pub(super) fn forget_groups(&mut self, link: ConnKey, except: impl Fn(u64) -> bool, now: Now) {
        for (group, member) in self.groups.behind(link) {
            if !except(member.id) {
                self.remove_member(group, member, now);
            }
        }
    }

    /// Gives the message to one member of each group. Those behind links are added to `targets`.
    pub(super) fn share_out(
        &mut self,
        groups: &[GroupKey],
        moving: Moving<'_>,
        targets: &mut Vec<Target>,
        now: Now,
    ) -> u32 {
        let slot = slot::of(moving.key, self.topics.get(moving.topic).topic.as_str());
        let mut matches = 0;
        for &key in groups {
            matches += 1;
            if moving.class == MessageClass::Event
                && self.recovery.as_ref().is_some_and(|recovery| recovery.gathers(key))
            {
                continue;
            }
            self.lift_fences(key, now);
            match self.choose(key, slot, moving.class, None) {
                Choice::Give(Member { place: Place::Here(subscription), .. }) => {
                    self.give_here(subscription, moving, now);
                }
                Choice::Give(Member { id, place: Place::Peer(link) }) => {
                    let telemetry = self.telemetry_behind(key, link);
                    match targets.iter_mut().find(|target| target.link == link) {
                        Some(target) => {
                            target.members.push(id);
                            target.telemetry = stronger(target.telemetry, telemetry);
                        }
                        None => targets.push(Target { link, members: vec![id], telemetry }),
                    }
                }
                Choice::Wait(fence) => self.wait_at(key, fence, moving, now),
                Choice::Nobody => matches -= 1,
            }
        }
        matches
    }

    /// The member that gets a message of this slot; not one behind `except`, if there is another.
    fn choose(&mut self, key: GroupKey, slot: u8, class: MessageClass, except: Option<ConnKey>) -> Choice {
        let Some(group) = self.groups.get_mut(key) else { return Choice::Nobody };
        let (routes, conns) = (&self.routes, &self.conns);
        let conn = |member: &Member| match member.place {
            Place::Here(subscription) => routes.subscription(subscription).map(|known| known.conn),
            Place::Peer(link) => Some(link),
        };
        let queue = |member: &Member| conns.get(conn(member)?).map(|conn| conn.events());
        let there = |member: &Member| {
            let awaited = |conn: &Conn| conn.link().is_some_and(|link| link.awaited.contains(&member.id));
            conn(member).and_then(|key| conns.get(key)).is_some_and(|conn| !conn.is_away() && !awaited(conn))
        };
        let other = |member: &Member| except.is_none_or(|except| member.place != Place::Peer(except));
        let load = |member: &Member| queue(member).map_or(usize::MAX, |queue| queue.weight());
        let chosen = match group.share {
            Share::RoundRobin => group
                .in_turn(|member| there(member) && other(member))
                .or_else(|| group.in_turn(other))
                .or_else(|| group.in_turn(|_| true)),
            Share::LeastLoaded => group
                .least_loaded(|member| there(member) && other(member), load)
                .or_else(|| group.least_loaded(other, load))
                .or_else(|| group.least_loaded(|_| true, load)),
            Share::Hash => {
                let (before, owner) = group.owner(slot);
                if class == MessageClass::Event {
                    let stands = |fence: &Fence| fence.slot == slot && group.has(fence.before);
                    if let Some(fence) = group.fences.iter().position(stands) {
                        return Choice::Wait(fence);
                    }
                    let before = before.filter(|before| group.has(*before));
                    let owed = before.and_then(|before| Some((before, queue(&before)?)));
                    if let Some((before, queue)) = owed.filter(|(_, queue)| queue.owes_acknowledgement()) {
                        let position = queue.position();
                        group.fences.push(Fence { slot, before, position, waiting: Vec::new(), bytes: 0 });
                        return Choice::Wait(group.fences.len() - 1);
                    }
                }
                owner
            }
        };
        chosen.map_or(Choice::Nobody, Choice::Give)
    }

    /// Queues a message for a member with a session here.
    pub(super) fn give_here(&mut self, key: SubscriptionKey, moving: Moving<'_>, now: Now) {
        let Some(subscription) = self.routes.subscription(key) else { return };
        let mut subscriptions = Vec::new();
        wire::encode_subscriptions(&mut subscriptions, &[subscription.number]);
        let route = Route::to(subscription);
        self.body.encode(moving);
        self.push(&route, &subscriptions, moving, now);
    }

    /// What a link does with telemetry for the members of a group behind it.
    fn telemetry_behind(&self, key: GroupKey, link: ConnKey) -> Overflow {
        self.groups.get(key).and_then(|group| group.telemetry(link)).unwrap_or_default()
    }

    /// Queues a message for members behind a link.
    pub(super) fn give_peer(
        &mut self,
        link: ConnKey,
        members: &[u64],
        telemetry: Overflow,
        moving: Moving<'_>,
        now: Now,
    ) {
        let mut field = Vec::new();
        wire::encode_members(&mut field, members);
        let route = Route::to_peer(link, telemetry);
        self.body.encode(moving);
        self.push(&route, &field, moving, now);
    }

    /// Gives a message that has been to a member before to another.
    pub(super) fn redirect(&mut self, key: GroupKey, parked: Parked, except: Option<ConnKey>, now: Now) {
        let moving = parked.moving();
        let slot = slot::of(moving.key, self.topics.get(moving.topic).topic.as_str());
        match self.choose(key, slot, moving.class, except) {
            Choice::Give(Member { place: Place::Here(subscription), .. }) => {
                self.give_here(subscription, moving, now);
            }
            Choice::Give(Member { id, place: Place::Peer(link) }) => {
                let telemetry = self.telemetry_behind(key, link);
                self.give_peer(link, &[id], telemetry, Moving { redirected: true, ..moving }, now);
            }
            Choice::Wait(fence) => {
                let redirected = Moving { redirected: true, ..moving };
                self.wait_at(key, fence, redirected, now);
            }
            Choice::Nobody => self.counters.lost[moving.class as usize] += 1,
        }
        self.unpark(parked, now);
    }

    /// Has an event wait until its slot has moved, unless too much waits already.
    fn wait_at(&mut self, key: GroupKey, index: usize, moving: Moving<'_>, now: Now) {
        let parked = self.park(moving);
        self.groups.any_fences = true;
        let Some(group) = self.groups.get_mut(key) else { return self.unpark(parked, now) };
        let fence = &mut group.fences[index];
        fence.bytes += parked.message.len() + size_of::<Parked>();
        fence.waiting.push(parked);
        if group.fences.iter().map(|fence| fence.bytes).sum::<usize>() > WAITING_BYTES {
            let Fence { slot, before, waiting, .. } = group.fences.swap_remove(index);
            self.give_all(before, waiting, now);
            self.fence_again(key, slot, before);
        }
    }

    /// The slot stays with its owner before, until that has acknowledged what it was sent by now.
    fn fence_again(&mut self, key: GroupKey, slot: u8, before: Member) {
        let conn = match before.place {
            Place::Here(subscription) => self.routes.subscription(subscription).map(|known| known.conn),
            Place::Peer(link) => Some(link),
        };
        let position = conn.and_then(|conn| self.conns.get(conn)).map(|conn| conn.events().position());
        if let (Some(position), Some(group)) = (position, self.groups.get_mut(key)) {
            group.fences.push(Fence { slot, before, position, waiting: Vec::new(), bytes: 0 });
        }
    }

    fn give_all(&mut self, member: Member, waiting: Vec<Parked>, now: Now) {
        for parked in waiting {
            match member.place {
                Place::Here(subscription) => self.give_here(subscription, parked.moving(), now),
                Place::Peer(link) => {
                    let moving = Moving { redirected: true, ..parked.moving() };
                    // Only events wait.
                    self.give_peer(link, &[member.id], Overflow::Default, moving, now);
                }
            }
            self.unpark(parked, now);
        }
    }

    /// Lets the events of slots go on whose owner before has acknowledged what it was sent, or is gone.
    pub(super) fn lift_fences(&mut self, key: GroupKey, now: Now) {
        let mut index = 0;
        while let Some(group) = self.groups.get(key)
            && let Some(fence) = group.fences.get(index)
        {
            let member = Some(fence.before).filter(|before| group.has(*before));
            let conn = member.and_then(|member| match member.place {
                Place::Here(subscription) => self.routes.subscription(subscription).map(|known| known.conn),
                Place::Peer(link) => Some(link),
            });
            let queue = conn.and_then(|conn| self.conns.get(conn)).map(|conn| conn.events());
            let owes = |queue: &crate::queue::Queue| {
                queue.owes_acknowledgement() && queue.acknowledged() < fence.position
            };
            if queue.is_some_and(owes) {
                index += 1;
                continue;
            }
            let Some(group) = self.groups.get_mut(key) else { return };
            let fence = group.fences.swap_remove(index);
            let (_, owner) = group.owner(fence.slot);
            match owner {
                Some(owner) => self.give_all(owner, fence.waiting, now),
                None => fence.waiting.into_iter().for_each(|parked| self.unpark(parked, now)),
            }
        }
    }

    /// Lifts the fences of all groups that can be lifted.
    pub(super) fn lift_all_fences(&mut self, now: Now) {
        if self.groups.any_fences {
            let fenced = self.groups.fenced();
            self.groups.any_fences = !fenced.is_empty();
            fenced.into_iter().for_each(|key| self.lift_fences(key, now));
        }
    }

    /// A peer has sent a message for these members.
    pub(super) fn give_members(&mut self, from: ConnKey, members: &[u64], moving: Moving<'_>, now: Now) {
        for &id in members {
            if let Some(subscription) = self.groups.local(id) {
                self.give_here(subscription, moving, now);
                continue;
            }
            let Some(name) = self.groups.group_of(id) else {
                if moving.class == MessageClass::Telemetry || !self.waits_for(from, id, moving) {
                    self.send_back(from, id, None, moving);
                }
                continue;
            };
            let other = self.groups.find(&name).and_then(|key| self.groups.get(key)).and_then(|group| {
                let slot = slot::of(moving.key, self.topics.get(moving.topic).topic.as_str());
                let here = group.members().iter().filter(|member| matches!(member.place, Place::Here(_)));
                slot::owner(slot, here.map(|member| member.id))
            });
            match other.and_then(|other| self.groups.local(other)) {
                Some(subscription) => self.give_here(subscription, moving, now),
                None => self.send_back(from, id, Some(name), moving),
            }
        }
    }

    /// Gives a message back to the gateway that has chosen a member which is gone; of which group, that may know better.
    pub(super) fn send_back(&mut self, to: ConnKey, member: u64, name: Option<Name>, moving: Moving<'_>) {
        let Ok(message) = Message::decode(moving.message) else { return };
        let deliver = Deliver {
            topic: moving.topic,
            publisher: moving.publisher,
            sequence: moving.sequence,
            stamp: moving.stamp,
            resent: moving.resent,
            message: Some(message),
            members: vec![member],
            ..Deliver::default()
        };
        let (pattern, group) = name.map(|name| (name.pattern.to_string(), name.group)).unwrap_or_default();
        let back = NotHere { pattern, group, deliver: Some(deliver) };
        let Some(conn) = self.conns.get_mut(to) else {
            self.counters.lost[moving.class as usize] += 1;
            return self.tell_loss(moving.class, Some(1));
        };
        let queue = conn.messages(moving.class);
        let before = queue.weight();
        tell_aliases(queue, &self.topics, &self.publishers, moving);
        queue.append_frame(|out| frame::put_message(out, kind::NOT_HERE, &back));
        self.queued = self.queued + queue.weight() - before;
        self.announce(to, moving.class.stream());
    }

    /// A peer gives a message back whose members are gone: another gets it.
    pub(super) fn on_not_here(
        &mut self,
        from: ConnKey,
        class: MessageClass,
        back: NotHere,
        now: Now,
    ) -> Result<(), Violation> {
        let deliver = back.deliver.unwrap_or_default();
        let name = match (&back.pattern[..], &deliver.members[..]) {
            ("", members) => members.first().and_then(|id| self.group_behind(from, *id)),
            (pattern, _) => Some(Name { pattern: parse(pattern)?, group: back.group }),
        };
        // Its gateway has waited for them long enough; of telemetry it waits for nobody.
        if class == MessageClass::Event {
            deliver.members.iter().for_each(|id| self.miss_member(from, *id, now));
        }
        let message = deliver.message.unwrap_or_default();
        let Some(conn) = self.conns.get_mut(from) else { return Ok(()) };
        let inbound = conn.inbound(class.stream());
        let (Some(topic), Some(publisher)) =
            (inbound.topic(deliver.topic), inbound.publisher(deliver.publisher))
        else {
            return Err(Violation::invalid("a message that comes back names an alias that was never told"));
        };
        let encoded = message.encode_to_vec();
        let moving = Moving {
            class,
            topic,
            publisher,
            sequence: deliver.sequence,
            stamp: deliver.stamp,
            retained: false,
            resent: deliver.resent,
            redirected: false,
            key: &message.key,
            message: &encoded,
            mark: if class == MessageClass::Event { self.segment.0 } else { Mark::default() },
            expires_ms: expires_ms(message.time_to_live_ms, now),
        };
        match name.and_then(|name| self.groups.find(&name)) {
            Some(key) => {
                let parked = self.park(moving);
                self.redirect(key, parked, Some(from), now);
            }
            None => self.counters.lost[class as usize] += 1,
        }
        Ok(())
    }

    /// What a connection that ends for good, or leaves the group by this subscription, was sent for groups and has not
    /// acknowledged.
    pub(super) fn orphaned_shares(&mut self, key: ConnKey, only: Option<u32>) -> Vec<(GroupKey, Parked)> {
        let mut found = Vec::new();
        let Some(conn) = self.conns.get(key) else { return Vec::new() };
        let group_of = |subscription: u32| {
            if only.is_some_and(|only| only != subscription) {
                return None;
            }
            let key = *conn.session()?.subscriptions.get(&subscription)?;
            let known = self.routes.subscription(key).filter(|known| !known.group.is_empty())?;
            self.groups.find(&Name { pattern: known.pattern.clone(), group: known.group.clone() })
        };
        let behind: Vec<(GroupKey, Member)> =
            if conn.is_link() { self.groups.behind(key) } else { Vec::new() };
        let shares = conn.is_link() && !behind.is_empty()
            || conn.session().is_some_and(|session| {
                let mut keys = session.subscriptions.values();
                keys.any(|key| self.routes.subscription(*key).is_some_and(|known| !known.group.is_empty()))
            });
        if !shares {
            return Vec::new();
        }
        conn.events().unacknowledged(|body, marks, expires_ms| {
            let Ok(deliver) = wire::Deliver::decode(body) else { return };
            let mut groups: Vec<GroupKey> = deliver.subscriptions().filter_map(group_of).collect();
            let named = deliver.members().filter_map(|id| behind.iter().find(|(_, member)| member.id == id));
            groups.extend(named.map(|(group, _)| *group));
            let Ok(message) = wire::Message::decode(deliver.message) else { return };
            let settling = self.publishers.get(deliver.publisher).settling;
            // The first segment of its publisher in the batch is not settled before this message is.
            let mark = marks.iter().find(|mark| mark.is_of(settling)).or(marks.first()).copied();
            for group in groups {
                let parked = Parked {
                    class: MessageClass::Event,
                    topic: deliver.topic,
                    publisher: deliver.publisher,
                    sequence: deliver.sequence,
                    stamp: deliver.stamp,
                    resent: deliver.resent,
                    key: message.key.into(),
                    message: deliver.message.into(),
                    mark: mark.unwrap_or_default(),
                    expires_ms,
                };
                found.push((group, parked));
            }
        });
        for (_, parked) in &found {
            self.refer(parked);
        }
        found
    }

    /// Gives what a member has left behind to the others, then what has waited for it.
    pub(super) fn share_again(&mut self, orphaned: Vec<(GroupKey, Parked)>, now: Now) {
        for (group, parked) in orphaned {
            self.redirect(group, parked, None, now);
        }
        self.lift_all_fences(now);
    }

    pub(super) fn park(&mut self, moving: Moving<'_>) -> Parked {
        let parked = Parked::copy(moving);
        self.refer(&parked);
        parked
    }

    pub(super) fn refer(&mut self, parked: &Parked) {
        self.topics.refer_again(parked.topic);
        self.publishers.refer_again(parked.publisher);
        self.origins.refer(parked.mark);
    }

    pub(super) fn unpark(&mut self, parked: Parked, now: Now) {
        self.topics.release(parked.topic);
        self.publishers.release(parked.publisher, now.elapsed_ms);
        self.origins.release(parked.mark);
    }
}

impl Parked {
    /// A copy, without references of its own.
    pub(super) fn copy(moving: Moving<'_>) -> Self {
        Self {
            class: moving.class,
            topic: moving.topic,
            publisher: moving.publisher,
            sequence: moving.sequence,
            stamp: moving.stamp,
            resent: moving.resent,
            key: moving.key.into(),
            message: moving.message.into(),
            mark: moving.mark,
            expires_ms: moving.expires_ms,
        }
    }

    pub(super) fn moving(&self) -> Moving<'_> {
        Moving {
            class: self.class,
            topic: self.topic,
            publisher: self.publisher,
            sequence: self.sequence,
            stamp: self.stamp,
            retained: false,
            resent: self.resent,
            redirected: false,
            key: &self.key,
            message: &self.message,
            mark: self.mark,
            expires_ms: self.expires_ms,
        }
    }
}

//! What a peer wants and offers, as it tells: a snapshot, then deltas.

use super::parking::TOLD_MS;
use super::recovery::Recovery;
use super::{Node, Violation};
use crate::conn::Link;
use crate::hash::HashSet;
use crate::interest::{mark_of_member, mark_of_offer};
use crate::key::{ConnKey, MessageClass};
use crate::time::Now;
use macula_proto::v1::{
    Code, Interest, InterestApplied, InterestDelta, InterestDigest, InterestSnapshot, InterestWanted,
    Overflow,
};
use macula_proto::{Pattern, kind, limits};

impl Node {
    pub(super) fn on_snapshot(
        &mut self,
        from: ConnKey,
        snapshot: InterestSnapshot,
        now: Now,
    ) -> Result<(), Violation> {
        self.catch_up(from, &snapshot, now)?;
        self.forget_all_but(from, &snapshot, now)?;
        for interest in &snapshot.interests {
            self.add_interest(from, interest, now)?;
        }
        for offer in &snapshot.offers {
            self.check_room(from)?;
            self.add_offer(from, offer)?;
        }
        if let Some(link) = self.link_mut(from) {
            (link.snapshot, link.version) = (true, snapshot.version);
        }
        self.send_control(from, kind::INTEREST_APPLIED, &InterestApplied { version: snapshot.version });
        Ok(())
    }

    pub(super) fn on_delta(
        &mut self,
        from: ConnKey,
        delta: InterestDelta,
        now: Now,
    ) -> Result<(), Violation> {
        for pattern in delta.removed {
            self.remove_interest(from, &parse(&pattern)?);
        }
        for interest in &delta.added {
            self.add_interest(from, interest, now)?;
        }
        for procedure in delta.withdrawn {
            self.remove_offer(from, &parse(&procedure)?);
        }
        for offer in &delta.offered {
            self.check_room(from)?;
            self.add_offer(from, offer)?;
        }
        if let Some(link) = self.link_mut(from) {
            link.version = delta.version;
        }
        self.send_control(from, kind::INTEREST_APPLIED, &InterestApplied { version: delta.version });
        Ok(())
    }

    /// Tells all peers what our interest comes to.
    pub(super) fn tell_interest(&mut self) {
        let digest = InterestDigest { version: self.interest.version(), sum: self.interest.sum() };
        for index in 0..self.links.len() {
            self.send_control(self.links[index], kind::INTEREST_DIGEST, &digest);
        }
    }

    /// Asks for a snapshot where what is known of a peer is not what it has told.
    pub(super) fn on_interest_digest(&mut self, from: ConnKey, theirs: InterestDigest) {
        let known = self.link_mut(from).filter(|link| link.snapshot).map(|link| link.version);
        let Some(version) = known else { return };
        if version != theirs.version || self.sum_of(from) != theirs.sum {
            self.counters.resnapshots += 1;
            self.send_control(from, kind::INTEREST_WANTED, &InterestWanted {});
        }
    }

    /// What the routes to a peer come to, as [`crate::interest::InterestLog::sum`] has it.
    pub(super) fn sum_of(&self, key: ConnKey) -> u64 {
        let Some(link) = self.conns.get(key).and_then(|conn| conn.link()) else { return 0 };
        let behind = self.groups.behind(key);
        let members = behind.iter().filter(|(_, member)| !link.awaited.contains(&member.id)).filter_map(
            |(group, member)| {
                let group = self.groups.get(*group)?;
                Some(mark_of_member(&group.name, member.id, group.telemetry(key)?))
            },
        );
        let offers = link.offers.values().filter_map(|offer| {
            let offer = self.procedures.get(*offer)?;
            Some(mark_of_offer(&offer.procedure, offer.policy, offer.since, &offer.publisher))
        });
        members.chain(offers).fold(link.interest.sum(), u64::wrapping_add)
    }

    /// Forgets what is not in a snapshot. What is stays as it is, with all that waits for it.
    fn forget_all_but(
        &mut self,
        from: ConnKey,
        snapshot: &InterestSnapshot,
        now: Now,
    ) -> Result<(), Violation> {
        let (mut patterns, mut groups) = (HashSet::default(), HashSet::default());
        let mut members = HashSet::<u64>::default();
        for interest in &snapshot.interests {
            if interest.group.is_empty() {
                patterns.insert(parse(&interest.pattern)?);
            } else {
                groups.insert((interest.pattern.clone(), interest.group.clone()));
                members.extend(&interest.members);
            }
        }
        let procedures: Result<HashSet<Pattern>, Violation> =
            snapshot.offers.iter().map(|offer| parse(&offer.procedure)).collect();
        let procedures = procedures?;
        let Some(link) = self.link_mut(from) else { return Ok(()) };
        members.extend(&link.awaited);
        self.forget_groups(from, |id| members.contains(&id), now);
        let Some(link) = self.link_mut(from) else { return Ok(()) };
        link.groups.retain(|group| groups.contains(group));
        let known = link.interest.iter().map(|(pattern, _)| pattern);
        let gone: Vec<Pattern> = known.filter(|pattern| !patterns.contains(*pattern)).cloned().collect();
        let withdrawn: Vec<Pattern> =
            link.offers.keys().filter(|procedure| !procedures.contains(*procedure)).cloned().collect();
        gone.iter().for_each(|pattern| self.remove_interest(from, pattern));
        withdrawn.iter().for_each(|procedure| self.remove_offer(from, procedure));
        Ok(())
    }

    fn add_interest(&mut self, from: ConnKey, interest: &Interest, now: Now) -> Result<(), Violation> {
        if !interest.group.is_empty() {
            let members = interest.members.len();
            if members > limits::MEMBERS_PER_INTEREST {
                let most = limits::MEMBERS_PER_INTEREST;
                let message = format!("a group with {members} members, and {most} is the most");
                return Err(Violation { code: Code::ResourceExhausted, message });
            }
            self.set_group(from, interest, now)?;
            if let Some(link) = self.link_mut(from) {
                let name = (interest.pattern.clone(), interest.group.clone());
                if members == 0 {
                    link.groups.remove(&name);
                } else {
                    link.groups.insert(name);
                }
            }
            return self.check_room(from);
        }
        let pattern = parse(&interest.pattern)?;
        let telemetry = crate::interest::on_link(interest.telemetry());
        let known = self.link_mut(from).and_then(|link| link.interest.get(&pattern));
        if known == Some(telemetry) {
            return Ok(());
        }
        self.remove_interest(from, &pattern);
        self.disinherit(from, |inherited| *inherited == pattern);
        self.check_room(from)?;
        self.routes.add_interest(from, &pattern, telemetry);
        if let Some(link) = self.link_mut(from) {
            link.interest.insert(pattern, telemetry);
        }
        Ok(())
    }

    /// A peer may want and offer so much.
    fn check_room(&self, from: ConnKey) -> Result<(), Violation> {
        let link = self.conns.get(from).and_then(|conn| conn.link());
        let held = link.map_or(0, |link| link.interest.len() + link.offers.len() + link.groups.len());
        if held < limits::INTEREST_PER_LINK {
            return Ok(());
        }
        let most = limits::INTEREST_PER_LINK;
        let message = format!("more than {most} patterns, groups and procedures that a peer wants or offers");
        Err(Violation { code: Code::ResourceExhausted, message })
    }

    fn remove_interest(&mut self, from: ConnKey, pattern: &Pattern) {
        if let Some(telemetry) = self.link_mut(from).and_then(|link| link.interest.remove(pattern)) {
            self.routes.remove_interest(from, pattern, telemetry);
        }
    }

    /// Ends what an earlier run of a peer wanted, once it may not be asked for any more.
    pub(super) fn check_inherited(&mut self, key: ConnKey, now: Now) {
        let due = |link: &&mut Link| {
            !(link.inherited.is_empty() && link.awaited.is_empty())
                && now.elapsed_ms >= link.inherited_until_ms
        };
        if self.link_mut(key).filter(due).is_some() {
            self.disinherit(key, |_| true);
            self.await_no_longer(key, now);
        }
    }

    fn disinherit(&mut self, key: ConnKey, which: impl Fn(&Pattern) -> bool) {
        let Some(link) = self.link_mut(key) else { return };
        let ended: Vec<(Pattern, Overflow)> =
            link.inherited.extract_if(|pattern, _| which(pattern)).collect();
        for (pattern, telemetry) in ended {
            self.routes.remove_interest(key, &pattern, telemetry);
        }
    }

    /// A peer has told its interest for the first time. What came from clients here before is sent to it, if this gateway
    /// has just started and its clients come back: they are, and their events, before some of the links. Otherwise it is told
    /// a gap, for its clients may have wanted that of an earlier run, or before nothing was held for them any longer.
    fn catch_up(&mut self, to: ConnKey, snapshot: &InterestSnapshot, now: Now) -> Result<(), Violation> {
        // One whose earlier run was known has been sent what that wanted; what it lacks would come behind later events.
        let Some(link) = self.link_mut(to).filter(|link| link.is_fresh()) else { return Ok(()) };
        let sent_up_to = link.sent_up_to.take();
        let held_from = self.recovery.as_ref().and_then(Recovery::first).unwrap_or(self.events);
        let missed = sent_up_to.is_some_and(|sent_up_to| sent_up_to < held_from);
        if missed && let Some(link) = self.link_mut(to) {
            link.missed_until_ms = now.elapsed_ms + TOLD_MS;
        }
        if let Some(conn) = self.conns.get_mut(to).filter(|_| missed && !snapshot.interests.is_empty()) {
            conn.messages(MessageClass::Event).note_loss(None);
            self.announce(to, MessageClass::Event.stream());
        }
        let plain = snapshot.interests.iter().filter(|interest| interest.group.is_empty());
        let wanted: Result<Vec<Pattern>, Violation> =
            plain.map(|interest| parse(&interest.pattern)).collect();
        self.send_logged(to, &wanted?, now);
        Ok(())
    }

    pub(super) fn forget_interest(&mut self, from: ConnKey, now: Now) {
        self.forget_groups(from, |_| false, now);
        let Some(link) = self.link_mut(from) else { return };
        let interest = std::mem::take(&mut link.interest);
        let offers = std::mem::take(&mut link.offers);
        self.disinherit(from, |_| true);
        let Some(link) = self.link_mut(from) else { return };
        link.groups.clear();
        link.awaited.clear();
        for (pattern, telemetry) in interest.iter() {
            self.routes.remove_interest(from, pattern, telemetry);
        }
        for key in offers.into_values() {
            self.procedures.remove(key);
        }
    }
}

pub(super) fn parse(text: &str) -> Result<Pattern, Violation> {
    text.parse().map_err(|error| Violation::invalid(format!("{error}")))
}

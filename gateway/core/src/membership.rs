//! Which gateways there are: SWIM by the crate `foca`, over datagrams on the links.
//!
//! It says whom to dial, and whom to forget. Whether a peer can be reached is for its link to say, and forwarding, interest
//! and `UNAVAILABLE` go by that alone.
//!
//! A datagram goes to a member over its link or not at all. So a direct probe of a member without a link fails, and foca
//! asks others to probe it: while anybody still reaches it, it stays *alive*, which is what the mesh shows as a cut pair
//! (alive, no link, the error of the last dial). Only a member whom nobody reaches becomes *suspect*, and *down* if it
//! does not refute that. A member that is *down* is dialled all the same until it is forgotten: that is how two halves
//! find each other again.
//!
//! Time is attentive time: a process that was stopped for a while does not hold that against the others.

mod codec;
mod outbox;
mod run;

use crate::hash::{HashMap, HashSet, Hashes};
use crate::key::NodeId;
use codec::Wire;
use foca::{Codec as _, Foca, NoCustomBroadcast, PeriodicParams, State};
use outbox::{DATAGRAM, Outbox};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
pub use run::{ADDRESSES, CONTACT_BYTES, Run};
use std::fmt;
use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

/// Largest datagram, its first byte not counted. QUIC carries this over every path it runs on: 1,200 bytes less its own
/// headers.
pub const DATAGRAM_BYTES: usize = 1_100;
/// Members known at a time; news of further ones is dropped. Four times what is simulated.
pub const MEMBERS: usize = 4_096;
/// How long a member that is down or has left is remembered, and dialled in the first case.
pub const FORGET: Duration = Duration::from_secs(600);
/// One member is probed in this time. With [`PROBE_RTT`] and the suspicion of four periods, a gateway that dies in a mesh
/// of four is down after five to eight seconds; its links notice after four.
const PROBE_PERIOD: Duration = Duration::from_secs(1);
/// A probe that is not answered within this time goes by others. Paths round the world take 300 ms.
const PROBE_RTT: Duration = Duration::from_millis(400);
/// Suspicions last so many periods for each decimal digit of the number of members, as in memberlist.
const SUSPICION_PERIODS: u32 = 4;
/// News is told to so many members at a time, this often while there is any.
const GOSSIP: Duration = Duration::from_millis(250);
const FAN_OUT: NonZeroUsize = NonZeroUsize::new(3).unwrap();
/// A member is asked for others it knows this often, against news that was lost.
const ANNOUNCE: Duration = Duration::from_secs(10);
/// Where nothing was heard for so long, peers with a link are told that this gateway is there. Whoever takes it for down sends it
/// nothing, and foca, once it has told them once that it is not, waits for an answer: if that was lost, for ever. Otherwise there is
/// a probe or an answer every second.
const SILENCE_MS: u64 = 5_000;

/// The members of a mesh, as one of them sees it.
///
/// [`Membership::tick`] at least ten times a second; [`Membership::receive`] for what links bring;
/// [`Membership::link_up`] and [`Membership::link_down`] for the links themselves. After any of these, drain
/// [`Membership::poll_datagram`].
pub struct Membership {
    foca: Foca<Run, Wire, SmallRng, NoCustomBroadcast>,
    outbox: Outbox,
    known: HashMap<NodeId, Known>,
    /// When `known` was compared with what foca says.
    looked_ms: u64,
    /// Decimal digits of the number of members that foca is set up for.
    digits: u32,
    mode: Mode,
    /// When a datagram was taken, or peers were told that this gateway is there.
    heard_ms: u64,
    received: u64,
    refused: u64,
}

/// Whether this gateway takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Member,
    /// Another process with this id runs, and is newer.
    Replaced {
        since_ms: u64,
    },
    Left,
}

/// What was known of a member at the last look.
#[derive(Debug)]
struct Known {
    epoch: u64,
    state: MemberState,
    since_ms: u64,
}

/// How a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemberState {
    /// Somebody hears it.
    Alive,
    /// A probe of it failed; it has some seconds to refute that.
    Suspect,
    /// Nobody hears it.
    Down,
    /// It has said goodbye.
    Left,
}

impl MemberState {
    /// In lower case, as users read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Left => "left",
        }
    }
}

/// A member of the mesh.
#[derive(Clone, Debug)]
pub struct Member {
    /// Who it is, and where.
    pub run: Run,
    /// How it is.
    pub state: MemberState,
    /// Since when, in the time that ticks tell.
    pub since_ms: u64,
}

/// What has become of a member since the last look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The member as it is now.
    pub run: Run,
    /// Its state; `None` when it is forgotten.
    pub state: Option<MemberState>,
}

/// A datagram that no member sends.
#[derive(Debug, thiserror::Error)]
#[error("a membership datagram that is malformed: {0}")]
pub struct Malformed(String);

impl Membership {
    /// How long a replaced gateway waits until it looks whether the newer one is still there.
    const REPLACED_MS: u64 = 60_000;
    /// How often what foca knows is compared with what was known before.
    const LOOK_MS: u64 = 500;

    /// A mesh of which nobody else is known. Everything random comes from `seed`.
    pub fn new(own: Run, seed: u64) -> Self {
        let foca = Foca::new(own, config(1), SmallRng::seed_from_u64(seed), Wire);
        Self {
            foca,
            outbox: Outbox::default(),
            known: HashMap::default(),
            looked_ms: 0,
            digits: 1,
            mode: Mode::Member,
            heard_ms: 0,
            received: 0,
            refused: 0,
        }
    }

    /// A link leads to this run of a gateway: it is alive, and is asked whom it knows.
    pub fn link_up(&mut self, peer: &Run, now_ms: u64) {
        self.outbox.now_ms = now_ms;
        self.outbox.linked.insert(peer.node);
        if self.mode != Mode::Member || peer.node == self.node() {
            return;
        }
        let alive = std::iter::once(foca::Member::alive(peer.clone()));
        let applied = self.foca.apply_many(alive, true, &mut self.outbox);
        let announced = self.foca.announce(peer.clone(), &mut self.outbox);
        debug_assert!(applied.is_ok() && announced.is_ok(), "a run fits a datagram");
    }

    /// No link leads to this gateway any more.
    pub fn link_down(&mut self, peer: NodeId) {
        self.outbox.linked.remove(&peer);
    }

    /// Takes a datagram that came over the link to `from`. Kinds of datagrams that are not known are left alone.
    ///
    /// # Errors
    /// [`Malformed`] when it breaks the protocol, or speaks for somebody else.
    pub fn receive(&mut self, from: NodeId, datagram: &[u8], now_ms: u64) -> Result<(), Malformed> {
        let Some((&DATAGRAM, packet)) = datagram.split_first() else { return Ok(()) };
        let malformed = |error: &dyn fmt::Display| Malformed(error.to_string());
        let mut rest = packet;
        let header = Wire.decode_header(&mut rest).map_err(|error| malformed(&error))?;
        if header.src.node != from {
            return Err(Malformed(format!("it speaks for {}, not for its sender", header.src.node)));
        }
        let mut unknown = 0;
        if rest.len() >= 2 {
            let count = u16::from_be_bytes([rest[0], rest[1]]);
            rest = &rest[2..];
            for _ in 0..count {
                let member = Wire.decode_member(&mut rest).map_err(|error| malformed(&error))?;
                unknown += usize::from(!self.known.contains_key(&member.id().node));
                self.check_replaced(&member, now_ms);
            }
        }
        if self.mode != Mode::Member {
            return Ok(());
        }
        // Datagrams may be lost; one that would make the mesh too large is.
        if unknown > 0 && self.foca.iter_membership_state().len() + unknown > MEMBERS {
            self.refused += 1;
            return Ok(());
        }
        self.received += 1;
        self.outbox.now_ms = now_ms;
        self.heard_ms = now_ms;
        match self.foca.handle_data(packet, &mut self.outbox) {
            Ok(()) => Ok(()),
            // Races of probes and renewals.
            Err(foca::Error::DataFromOurselves | foca::Error::IndirectForOurselves) => Ok(()),
            Err(error) => Err(malformed(&error)),
        }
    }

    /// Does what is due by this time.
    pub fn tick(&mut self, now_ms: u64) {
        self.outbox.now_ms = now_ms;
        if let Mode::Replaced { since_ms } = self.mode
            && now_ms.saturating_sub(since_ms) >= Self::REPLACED_MS
        {
            self.mode = Mode::Member;
        }
        while let Some(timer) = self.outbox.take_due() {
            if self.mode == Mode::Left {
                continue;
            }
            // A probe that was cut short by a change of links starts again by itself.
            let _ = self.foca.handle_timer(timer, &mut self.outbox);
        }
        if now_ms >= self.heard_ms + SILENCE_MS && self.mode == Mode::Member {
            self.heard_ms = now_ms;
            self.break_silence();
        }
    }

    fn break_silence(&mut self) {
        let linked = self.others().filter(|member| self.outbox.linked.contains(&member.id().node));
        let peers: Vec<Run> = linked.map(|member| member.id().clone()).take(FAN_OUT.get()).collect();
        for peer in peers {
            let announced = self.foca.announce(peer, &mut self.outbox);
            debug_assert!(announced.is_ok(), "a run fits a datagram");
        }
    }

    /// The next datagram to send, over the link to this node.
    pub fn poll_datagram(&mut self) -> Option<(NodeId, Vec<u8>)> {
        let next = self.outbox.take_datagram()?;
        // While replaced nothing is said under an id that is somebody else's now.
        if matches!(self.mode, Mode::Replaced { .. }) { self.poll_datagram() } else { Some(next) }
    }

    /// What has changed since the last look; looks twice a second.
    pub fn changes(&mut self, now_ms: u64) -> Vec<Change> {
        if !std::mem::take(&mut self.outbox.changed) && now_ms < self.looked_ms + Self::LOOK_MS {
            return Vec::new();
        }
        self.looked_ms = now_ms;
        let mut changes = Vec::new();
        let mut seen = HashSet::with_capacity_and_hasher(self.known.len(), Hashes::default());
        let own = self.node();
        // Not `others`, which would borrow all of this.
        for member in self.foca.iter_membership_state().filter(|member| member.id().node != own) {
            let (run, state) = (member.id(), state_of(member));
            seen.insert(run.node);
            let known = self.known.get(&run.node);
            if known.is_some_and(|known| known.epoch == run.epoch && known.state == state) {
                continue;
            }
            self.known.insert(run.node, Known { epoch: run.epoch, state, since_ms: now_ms });
            changes.push(Change { run: run.clone(), state: Some(state) });
        }
        self.known.retain(|node, known| {
            let there = seen.contains(node);
            if !there {
                changes.push(Change { run: Run::new(*node, known.epoch, "", &[]), state: None });
            }
            there
        });
        let digits = (self.foca.num_members() as u32 + 1).ilog10().max(1);
        if digits != self.digits {
            self.digits = digits;
            let accepted = self.foca.set_config(config(digits));
            debug_assert!(accepted.is_ok(), "periods stay as they are");
        }
        changes
    }

    /// All members but this gateway itself, in no order.
    pub fn members(&self) -> impl Iterator<Item = Member> {
        self.others().map(|member| self.describe(member))
    }

    /// What is known of this gateway.
    pub fn member(&self, node: NodeId) -> Option<Member> {
        self.others().find(|member| member.id().node == node).map(|member| self.describe(member))
    }

    /// Members that there should be a link to and is none, in no order; nobody while this gateway is replaced.
    pub fn to_dial(&self) -> impl Iterator<Item = &Run> {
        let wanted = |member: &&foca::Member<Run>| {
            !self.outbox.linked.contains(&member.id().node)
                && state_of(member) != MemberState::Left
                && !member.id().addresses().is_empty()
        };
        let others = (self.mode == Mode::Member).then(|| self.others());
        others.into_iter().flatten().filter(wanted).map(foca::Member::id)
    }

    /// A newer process has this gateway's id: this one dials nobody.
    pub fn is_replaced(&self) -> bool {
        matches!(self.mode, Mode::Replaced { .. })
    }

    /// There is a newer process with this gateway's id: say nothing and dial nobody, and look again in a minute.
    pub fn replace(&mut self, now_ms: u64) {
        if self.mode != Mode::Left {
            self.mode = Mode::Replaced { since_ms: now_ms };
        }
    }

    /// Says goodbye. Afterwards nothing is taken or said any more.
    pub fn leave(&mut self, now_ms: u64) {
        self.outbox.now_ms = now_ms;
        if self.mode != Mode::Member {
            return;
        }
        let farewell = self.foca.identity().farewell();
        let changed = self.foca.change_identity(farewell, &mut self.outbox);
        let left = self.foca.leave_cluster(&mut self.outbox);
        debug_assert!(changed.is_ok() && left.is_ok(), "a run fits a datagram");
        self.mode = Mode::Left;
    }

    /// Datagrams that were taken.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Datagrams that were not sent since no link led to their receiver, or too many waited.
    pub fn unsent(&self) -> u64 {
        self.outbox.unsent
    }

    /// Datagrams that were not taken since the mesh would have had too many members.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn node(&self) -> NodeId {
        self.foca.identity().node
    }

    fn others(&self) -> impl Iterator<Item = &foca::Member<Run>> {
        let own = self.node();
        self.foca.iter_membership_state().filter(move |member| member.id().node != own)
    }

    fn describe(&self, member: &foca::Member<Run>) -> Member {
        let since_ms = self.known.get(&member.id().node).map_or(self.outbox.now_ms, |known| known.since_ms);
        Member { run: member.id().clone(), state: state_of(member), since_ms }
    }

    fn check_replaced(&mut self, member: &foca::Member<Run>, now_ms: u64) {
        let own = self.foca.identity();
        if member.id().node == own.node && member.id().epoch > own.epoch && member.state() != State::Down {
            self.replace(now_ms);
        }
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership")
            .field("own", self.foca.identity())
            .field("known", &self.known)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

fn state_of(member: &foca::Member<Run>) -> MemberState {
    match member.state() {
        _ if member.id().leaving => MemberState::Left,
        State::Alive => MemberState::Alive,
        State::Suspect => MemberState::Suspect,
        State::Down => MemberState::Down,
    }
}

/// For a mesh whose number of members has so many decimal digits after the first.
fn config(digits: u32) -> foca::Config {
    let every = |frequency, num_members| Some(PeriodicParams { frequency, num_members });
    foca::Config {
        probe_period: PROBE_PERIOD,
        probe_rtt: PROBE_RTT,
        num_indirect_probes: FAN_OUT,
        max_transmissions: NonZeroU8::new(4 + 4 * digits.min(5) as u8).unwrap_or(NonZeroU8::MIN),
        suspect_to_down_after: PROBE_PERIOD * SUSPICION_PERIODS * digits,
        remove_down_after: Some(FORGET),
        max_packet_size: NonZeroUsize::new(DATAGRAM_BYTES).unwrap_or(NonZeroUsize::MIN),
        notify_down_members: true,
        periodic_announce: every(ANNOUNCE, NonZeroUsize::MIN),
        // They are dialled instead.
        periodic_announce_to_down_members: None,
        periodic_gossip: every(GOSSIP, FAN_OUT),
    }
}

#[cfg(test)]
mod tests;

//! Membership and links: what datagrams say, whom to dial, who runs twice.

use super::link::replaced;
use super::{Node, Notice};
use crate::key::{ConnKey, NodeId};
use crate::membership::{Member, MemberState, Run};
use crate::time::Now;
use macula_proto::v1::Code;

/// Of more peers that are gone it is not remembered what they were sent.
const MOST_PARTED: usize = 1_000;

impl Node {
    /// The certificate at the other end of this link is that of the gateway `name`: it has to be the one that it says it is.
    pub fn certify(&mut self, key: ConnKey, name: &str) {
        if let Some(link) = self.link_mut(key) {
            link.certified = Some(name.into());
        }
    }

    /// This link was dialled to reach `node`, and is of no use if it leads elsewhere.
    pub fn expect(&mut self, key: ConnKey, node: NodeId) {
        if let Some(link) = self.link_mut(key) {
            link.expected = Some(node);
        }
    }

    /// Takes a datagram of a link.
    pub fn receive_datagram(&mut self, key: ConnKey, datagram: &[u8]) {
        let heard = self.attentive.read();
        let Some(conn) = self.conns.get_mut(key).filter(|conn| conn.live() && !conn.closing) else { return };
        conn.heard_ms = heard;
        let Some(node) = conn.link().map(|link| link.node) else { return };
        if let Err(error) = self.membership.receive(node, datagram, heard) {
            self.fail(key, Code::InvalidArgument, error.to_string());
        }
    }

    /// The next datagram to send; it may be lost on the way.
    pub fn poll_datagram(&mut self) -> Option<(ConnKey, Vec<u8>)> {
        loop {
            let (node, datagram) = self.membership.poll_datagram()?;
            if let Some(key) = self.link_to(node) {
                return Some((key, datagram));
            }
        }
    }

    /// Membership datagrams that were not sent for want of a link or of room, and those that named too many members.
    pub fn lost_datagrams(&self) -> [u64; 2] {
        [self.membership.unsent(), self.membership.refused()]
    }

    /// The members of the mesh but this gateway, by name.
    pub fn members(&self) -> Vec<Member> {
        let mut members: Vec<Member> = self.membership.members().collect();
        members.sort_by(|a, b| (a.run.name(), a.run.node).cmp(&(b.run.name(), b.run.node)));
        members
    }

    /// Members that there should be a link to, and is none.
    pub fn to_dial(&self) -> Vec<Run> {
        self.membership.to_dial().cloned().collect()
    }

    /// The time that members' states are told in: that during which this process was awake, in milliseconds.
    pub fn attentive_ms(&self) -> u64 {
        self.attentive.read()
    }

    /// What is known of a gateway.
    pub fn member(&self, node: NodeId) -> Option<Member> {
        self.membership.member(node)
    }

    /// Another process has this gateway's id and has started later.
    pub fn is_replaced(&self) -> bool {
        self.membership.is_replaced()
    }

    /// Says goodbye to the mesh. Links stay up.
    pub fn leave(&mut self, now: Now) {
        self.membership.leave(self.attentive.read());
        self.forget_state(now);
    }

    /// Datagrams about members have come.
    pub fn hears_members(&self) -> bool {
        self.membership.received() > 0
    }

    pub(super) fn tick_membership(&mut self, attentive_ms: u64) {
        self.membership.tick(attentive_ms);
        for change in self.membership.changes(attentive_ms) {
            // The link to an earlier run may not have noticed its end, or that run lives on.
            if matches!(change.state, Some(MemberState::Alive))
                && let Some(key) = self.link_to(change.run.node)
                && self
                    .conns
                    .get(key)
                    .and_then(|conn| conn.link())
                    .is_some_and(|link| link.epoch < change.run.epoch)
            {
                self.fail(key, Code::Aborted, replaced(change.run.name()));
            }
            if change.state.is_none() && self.parted.len() > MOST_PARTED {
                self.parted.remove(&change.run.node);
            }
            self.notices.push_back(Notice::Member(change));
        }
    }

    /// The link to a gateway that is up.
    pub(super) fn link_to(&self, node: NodeId) -> Option<ConnKey> {
        self.linked.get(&node).copied()
    }
}

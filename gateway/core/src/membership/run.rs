//! One run of a gateway as foca's identity: who it is, in which run, where to dial it.

use crate::key::NodeId;
use bytes::Bytes;
use macula_proto::v1;
use std::sync::Arc;

/// Longest name and addresses together, in bytes: a datagram names up to three gateways, and one of them in full.
pub const CONTACT_BYTES: usize = 512;
/// Most addresses of a gateway.
pub const ADDRESSES: usize = 8;

/// One run of a gateway. Two are equal when they are the same run, whatever is known of its name and addresses.
#[derive(Clone, Debug)]
pub struct Run {
    /// The gateway, in whatever run.
    pub node: NodeId,
    /// Run of the process; higher is newer.
    pub epoch: u64,
    /// Rises when the gateway finds that others took it for dead; of no meaning outside membership.
    pub(super) bump: u32,
    pub(super) leaving: bool,
    contact: Arc<Contact>,
}

/// What a member tells of itself; shared, since foca clones identities all the time.
#[derive(Debug, Default)]
struct Contact {
    name: String,
    addresses: Vec<String>,
}

impl Run {
    /// The first run of a gateway in this epoch. Addresses that do not fit [`CONTACT_BYTES`] or [`ADDRESSES`] are left
    /// out, the last ones first.
    pub fn new(node: NodeId, epoch: u64, name: &str, addresses: &[String]) -> Self {
        let mut contact = Contact { name: cut(name, CONTACT_BYTES / 2), addresses: Vec::new() };
        let mut room = CONTACT_BYTES - contact.name.len();
        for address in addresses.iter().take(ADDRESSES) {
            let Some(rest) = room.checked_sub(address.len()) else { break };
            room = rest;
            contact.addresses.push(address.clone());
        }
        Self { node, epoch, bump: 0, leaving: false, contact: Arc::new(contact) }
    }

    /// For people; empty where nothing is known yet.
    pub fn name(&self) -> &str {
        &self.contact.name
    }

    /// Addresses that other gateways dial, host:port.
    pub fn addresses(&self) -> &[String] {
        &self.contact.addresses
    }

    /// The same run as it says goodbye.
    pub(super) fn farewell(&self) -> Self {
        Self { leaving: true, bump: self.bump.saturating_add(1), ..self.clone() }
    }

    /// Of two runs of one gateway, the one that is newer.
    fn age(&self) -> (u64, u32, bool) {
        (self.epoch, self.bump, self.leaving)
    }

    /// With name and addresses.
    pub(super) fn in_full(&self) -> v1::Member {
        v1::Member {
            name: self.contact.name.clone(),
            addresses: self.contact.addresses.clone(),
            ..self.brief()
        }
    }

    /// What it takes to refer to it.
    pub(super) fn brief(&self) -> v1::Member {
        v1::Member {
            node: Bytes::copy_from_slice(&self.node.0),
            epoch: self.epoch,
            bump: self.bump,
            leaving: self.leaving,
            ..v1::Member::default()
        }
    }

    /// What came in a datagram; `None` when it is none.
    pub(super) fn read(member: Option<v1::Member>) -> Option<Self> {
        let v1::Member { node, epoch, bump, leaving, name, addresses } = member?;
        let node = NodeId(node[..].try_into().ok()?);
        let bytes = name.len() + addresses.iter().map(String::len).sum::<usize>();
        if bytes > CONTACT_BYTES || addresses.len() > ADDRESSES {
            return None;
        }
        Some(Self { node, epoch, bump, leaving, contact: Arc::new(Contact { name, addresses }) })
    }
}

impl PartialEq for Run {
    fn eq(&self, other: &Self) -> bool {
        self.node == other.node && self.age() == other.age()
    }
}

impl Eq for Run {}

impl foca::Identity for Run {
    type Addr = NodeId;

    fn renew(&self) -> Option<Self> {
        Some(Self { bump: self.bump.checked_add(1)?, leaving: false, ..self.clone() })
    }

    fn addr(&self) -> NodeId {
        self.node
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.age() > adversary.age()
    }
}

fn cut(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes)].to_owned()
}

//! The control stream of a link: who the peer is, what it wants and offers, whom it makes wait.

use super::announce::News;
use super::recovery::Recovery;
use super::session::VERSION;
use super::{Node, Notice, Violation, unknown};
use crate::conn::{Role, WINDOWS};
use crate::key::{ConnKey, MessageClass, NodeId, PublisherId};
use crate::membership::Run;
use crate::pair;
use crate::time::Now;
use macula_proto::kind;
use macula_proto::v1::{
    Ack, Close, Code, Credit, InterestApplied, InterestDelta, InterestDigest, InterestSnapshot,
    InterestWanted, LinkHello, Pause, Ping, Pong, Received, Resume, StoreDigest, StoreList,
};
use prost::Message as _;

/// A peer that says nothing for this long, of our own attentive time, is dead.
const DEAD_MS: u64 = 4_000;
/// A peer is pinged this often.
const PING_MS: u64 = 1_000;

impl Node {
    pub(super) fn link_hello(&self) -> LinkHello {
        LinkHello {
            versions: vec![VERSION],
            realm: self.identity.realm.clone(),
            node: self.identity.node.0.to_vec().into(),
            name: self.identity.name.clone(),
            epoch: self.identity.epoch,
            advertise: self.identity.advertise.clone(),
            windows: Some(WINDOWS),
        }
    }

    pub(super) fn link_control(
        &mut self,
        from: ConnKey,
        kind: u8,
        body: &[u8],
        now: Now,
    ) -> Result<(), Violation> {
        let live = self.conns.get(from).is_some_and(|conn| conn.live());
        if !live {
            return match kind {
                kind::LINK_HELLO => self.on_link_hello(from, LinkHello::decode(body)?, now),
                kind::CLOSE => self.on_link_close(from, Close::decode(body)?),
                _ => Err(Violation::invalid("the first frame of a link is LinkHello")),
            };
        }
        match kind {
            kind::INTEREST_SNAPSHOT => self.on_snapshot(from, InterestSnapshot::decode(body)?, now),
            kind::INTEREST_DELTA => self.on_delta(from, InterestDelta::decode(body)?, now),
            kind::INTEREST_APPLIED => {
                let InterestApplied { version } = InterestApplied::decode(body)?;
                if let Some(link) = self.link_mut(from) {
                    link.applied = link.applied.max(version);
                    let node = link.node;
                    self.peer_knows(node, version);
                }
                self.answer_barriers(now);
                Ok(())
            }
            kind::PAUSE => {
                let Pause { class, publisher, epoch } = Pause::decode(body)?;
                self.on_pause(from, class, &publisher, epoch, true)
            }
            kind::RESUME => {
                let Resume { class, publisher, epoch } = Resume::decode(body)?;
                self.on_pause(from, class, &publisher, epoch, false)
            }
            kind::CREDIT => self.on_credit(from, Credit::decode(body)?),
            kind::ACK => self.on_ack(from, Ack::decode(body)?, now),
            kind::INTEREST_DIGEST => {
                self.on_interest_digest(from, InterestDigest::decode(body)?);
                Ok(())
            }
            kind::INTEREST_WANTED => {
                InterestWanted::decode(body)?;
                let snapshot = self.interest.snapshot();
                self.send_control(from, kind::INTEREST_SNAPSHOT, &snapshot);
                Ok(())
            }
            kind::RECEIVED => self.on_received(from, Received::decode(body)?),
            kind::MOVING => {
                if let Some(link) = self.link_mut(from) {
                    link.leaving = true;
                }
                Ok(())
            }
            kind::STORE_DIGEST => {
                self.on_store_digest(from, &StoreDigest::decode(body)?);
                Ok(())
            }
            kind::STORE_LIST => {
                self.on_store_list(from, &StoreList::decode(body)?, now);
                Ok(())
            }
            kind::PING => {
                let Ping { nonce } = Ping::decode(body)?;
                self.send_control(from, kind::PONG, &Pong { nonce });
                Ok(())
            }
            kind::PONG => {
                let Pong { nonce } = Pong::decode(body)?;
                if let Some(link) = self.link_mut(from) {
                    link.round_trip_ms = now.elapsed_ms.saturating_sub(nonce);
                }
                Ok(())
            }
            kind::CLOSE => self.on_link_close(from, Close::decode(body)?),
            other => unknown(other),
        }
    }

    fn on_link_hello(&mut self, from: ConnKey, hello: LinkHello, now: Now) -> Result<(), Violation> {
        if !hello.versions.contains(&VERSION) {
            let text = format!("this gateway speaks version {VERSION}, the peer {:?}", hello.versions);
            return Err(Violation::invalid(text));
        }
        if hello.realm != self.identity.realm {
            let text = format!(
                "realm mismatch: `{}` serves realm `{}`, `{}` serves realm `{}`",
                self.identity.name, self.identity.realm, hello.name, hello.realm
            );
            return Err(Violation::invalid(text));
        }
        let node =
            NodeId(hello.node[..].try_into().map_err(|_| Violation::invalid("LinkHello.node has 16 bytes"))?);
        if node == self.identity.node {
            self.on_own_id(from, &hello);
            return Ok(());
        }
        let Some(conn) = self.conns.get_mut(from) else { return Ok(()) };
        conn.keep_events();
        conn.open_windows(hello.windows.unwrap_or_default());
        let Role::Link(link) = &mut conn.role else { return Ok(()) };
        if let Some(certificate) = &link.certified {
            check_name(certificate, &hello, node, &self.identity.realm)?;
        }
        if link.expected.is_some_and(|expected| expected != node) {
            return Err(Violation::invalid(format!(
                "the address leads to another gateway, `{}`",
                hello.name
            )));
        }
        link.node = node;
        link.name.clone_from(&hello.name);
        link.epoch = hello.epoch;
        if !self.settle_pair(from, now) {
            return Ok(());
        }
        self.answer_hello(from);
        let sent_up_to = self.meet(node, hello.epoch, now);
        let paused = self.rejoin(from, now);
        let logged = self.recovery.as_ref().map_or(0, Recovery::logged);
        if let Some(link) = self.link_mut(from) {
            link.live = true;
            link.logged = logged;
            link.sent_up_to = sent_up_to.or(link.sent_up_to);
            link.up_ms = now.elapsed_ms;
        }
        let run = Run::new(node, hello.epoch, &hello.name, &hello.advertise);
        self.links.push(from);
        self.linked.insert(node, from);
        self.greet(from, paused);
        let snapshot = self.interest.snapshot();
        self.send_control(from, kind::INTEREST_SNAPSHOT, &snapshot);
        self.send_store(from, now);
        self.notices.push_back(Notice::LinkUp { conn: from, node, name: hello.name });
        self.tell_link(News::LinkUp, from);
        self.membership.link_up(&run, self.attentive.read());
        Ok(())
    }

    /// The gateway that accepts says hello first. So the one that dialled can go without having disturbed a link that is
    /// there.
    fn answer_hello(&mut self, from: ConnKey) {
        if self.conns.get(from).and_then(|conn| conn.link()).is_some_and(|link| link.dialled) {
            self.send_control(from, kind::LINK_HELLO, &self.link_hello());
        }
    }

    fn on_own_id(&mut self, from: ConnKey, hello: &LinkHello) {
        if hello.epoch == self.identity.epoch {
            let text = "this address leads to the gateway itself".to_owned();
            return self.fail_with(from, Code::AlreadyExists, text, true);
        }
        self.answer_hello(from);
        if hello.epoch > self.identity.epoch {
            self.be_replaced();
        }
        self.fail(from, Code::Aborted, replaced(&hello.name));
    }

    /// Another process runs under this gateway's id, and is newer.
    pub(super) fn be_replaced(&mut self) {
        self.membership.replace(self.attentive.read());
    }

    /// Of two links of one pair one stays, by the rule of [`crate::pair`]. False when the one at hand goes.
    fn settle_pair(&mut self, from: ConnKey, now: Now) -> bool {
        let own = self.identity.node;
        let Some(new) = self.conns.get(from).and_then(|conn| conn.link()) else { return false };
        let Some(other) = self.link_to(new.node) else { return true };
        let Some(conn) = self.conns.get(other) else { return true };
        let (closing, Some(old)) = (conn.closing, conn.link()) else { return true };
        let [before, after] = [old, new].map(|link| link.candidate(own));
        let keep_new = if closing && after.epoch == before.epoch {
            // One that is about to close has lost already.
            true
        } else if new.dialled {
            pair::is_worth_dialling(before, after)
        } else {
            pair::takes_place(before, now.elapsed_ms.saturating_sub(old.up_ms), after)
        };
        let (loser, run) = if keep_new { (other, before) } else { (from, after) };
        if run.epoch < before.epoch.max(after.epoch) {
            let text = replaced(&new.name);
            if !keep_new {
                self.answer_hello(from);
            }
            self.fail(loser, Code::Aborted, text);
        } else {
            self.fail(loser, Code::AlreadyExists, "another link of this pair stays".to_owned());
        }
        if keep_new {
            self.park_link(other, now);
            self.detach(other, now);
        }
        keep_new
    }

    fn on_link_close(&mut self, from: ConnKey, close: Close) -> Result<(), Violation> {
        if close.code() == Code::Aborted {
            self.be_replaced();
        }
        self.fail(from, close.code(), close.message);
        Ok(())
    }

    /// A subscriber behind this link makes a publisher of ours wait, or no longer.
    fn on_pause(
        &mut self,
        from: ConnKey,
        class: i32,
        publisher: &[u8],
        epoch: u64,
        pause: bool,
    ) -> Result<(), Violation> {
        let class = macula_proto::v1::Class::try_from(class).ok().and_then(MessageClass::of);
        let (Some(class), Ok(id)) = (class, publisher.try_into()) else {
            return Err(Violation::invalid("a pause of no class or publisher"));
        };
        let Some(publisher) = self.publishers.find(&PublisherId { id, epoch }) else { return Ok(()) };
        let Some(link) = self.link_mut(from) else { return Ok(()) };
        if pause && link.paused.insert((publisher, class)) {
            self.hold(publisher, class);
        } else if !pause && link.paused.remove(&(publisher, class)) {
            self.unhold(publisher, class);
        }
        Ok(())
    }

    /// Pings a link that is due, gives up one that has been silent for too long.
    pub(super) fn check_link(&mut self, key: ConnKey, attentive_ms: u64, now: Now) {
        let Some(conn) = self.conns.get_mut(key) else { return };
        let silent = attentive_ms.saturating_sub(conn.heard_ms);
        let Some(link) = conn.link_mut() else { return };
        if link.parked_until_ms.is_some() {
            return self.check_parked(key, now);
        }
        self.check_inherited(key, now);
        let Some(link) = self.link_mut(key) else { return };
        if silent >= DEAD_MS {
            let text = format!("the peer has said nothing for {silent} ms");
            return self.fail(key, Code::Unavailable, text);
        }
        if link.live && now.elapsed_ms.saturating_sub(link.pinged_ms) >= PING_MS {
            link.pinged_ms = now.elapsed_ms;
            self.send_control(key, kind::PING, &Ping { nonce: now.elapsed_ms });
        }
    }

    /// Takes a link out of all tables.
    pub(super) fn detach_link(&mut self, key: ConnKey, now: Now) {
        self.forget_interest(key, now);
        let Some(link) = self.link_mut(key) else { return };
        let paused = std::mem::take(&mut link.paused);
        let was_live = std::mem::take(&mut link.live);
        let origin = link.origin;
        // Who stops has sent everything that it knew to be wanted, if there was time for it.
        let in_order = link.leaving && link.finished && link.applied > 0;
        self.origins.remove(origin);
        for (publisher, class) in paused {
            self.unhold(publisher, class);
        }
        if was_live {
            if !in_order {
                // Events that were under way on it, or are published behind it until it is back.
                self.tell_loss(MessageClass::Event, None);
            }
            self.tell_link_down(key);
        }
    }

    pub(super) fn link(&self, key: ConnKey) -> Option<&crate::conn::Link> {
        self.conns.get(key).and_then(|conn| conn.link())
    }

    pub(super) fn link_mut(&mut self, key: ConnKey) -> Option<&mut crate::conn::Link> {
        self.conns.get_mut(key).and_then(|conn| conn.link_mut())
    }
}

/// The id of a gateway follows from its name, and its name is that of its certificate: so none takes another's place.
fn check_name(certificate: &str, hello: &LinkHello, node: NodeId, realm: &str) -> Result<(), Violation> {
    let denied = |message| Err(Violation { code: Code::PermissionDenied, message });
    let name = &hello.name;
    if !is_named(name, certificate) {
        return denied(format!("the certificate is that of `{certificate}`, the peer calls itself `{name}`"));
    }
    if node != NodeId::derived(realm, name) {
        return denied(format!(
            "the peer calls itself `{name}`, and the id {node} belongs to another gateway"
        ));
    }
    Ok(())
}

/// Whether a gateway goes by the name in a certificate: the pods of a cluster share one, and their names begin with it.
fn is_named(name: &str, certificate: &str) -> bool {
    name.strip_prefix(certificate).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// What an older process of a gateway is told.
pub(super) fn replaced(name: &str) -> String {
    format!(
        "two processes have the id of `{name}`, and the other has started later: give each its own MACULA_NODE_NAME or \
         state directory"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_go_by_the_name_of_their_cluster() {
        assert!(is_named("be-antwerp", "be-antwerp"));
        assert!(is_named("be-antwerp-macula-gateway-service-7d4b9", "be-antwerp"));
        assert!(!is_named("be-antwerpen", "be-antwerp"));
        assert!(!is_named("be-antwerp", "be-antwerp-2"));
    }
}

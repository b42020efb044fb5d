//! Who offers which procedure: registrations of sessions here, offers of peers, and which of two stays that tolerate
//! no other.

use super::announce::News;
use super::wanted::parse;
use super::{Node, Violation};
use crate::interest::Offered;
use crate::key::{ConnKey, ProviderKey};
use crate::procedures::Provider;
use crate::time::Now;
use macula_proto::v1::acknowledged::Request;
use macula_proto::v1::{Code, Offer, Register};
use macula_proto::{Pattern, limits};

impl Node {
    pub(super) fn on_register(
        &mut self,
        from: ConnKey,
        register: &Register,
        now: Now,
    ) -> Result<(), Violation> {
        let request = Request::Registration(register.registration);
        let Some(session) = self.conns.get(from).and_then(|conn| conn.session()) else { return Ok(()) };
        if session.registrations.contains_key(&register.registration) {
            return Err(Violation::invalid(format!("registration {} is in use", register.registration)));
        }
        let registered = session.registrations.len();
        let publisher = self.publishers.get(session.publisher).id.id;
        match self.admit(from, register, registered, publisher, now) {
            Ok(provider) => {
                self.offer(provider);
                self.acknowledge_when_known(from, request, register.scope(), now);
            }
            Err((code, message)) => self.acknowledge(from, request, code, message),
        }
        Ok(())
    }

    /// The provider that a registration makes, or why it does not.
    fn admit(
        &mut self,
        from: ConnKey,
        register: &Register,
        registered: usize,
        publisher: [u8; 16],
        now: Now,
    ) -> Result<Provider, (Code, String)> {
        let procedure: Pattern =
            register.procedure.parse().map_err(|error| (Code::InvalidArgument, format!("{error}")))?;
        if procedure.is_system() {
            let text = format!("`{procedure}`: names that begin with `$` are the gateway's own");
            return Err((Code::PermissionDenied, text));
        }
        if registered >= limits::REGISTRATIONS_PER_SESSION {
            let text = format!("a session has at most {} registrations", limits::REGISTRATIONS_PER_SESSION);
            return Err((Code::ResourceExhausted, text));
        }
        let mut ghosts = Vec::new();
        for (key, other) in self.procedures.conflicts(&procedure, register.policy()) {
            if other.publisher != publisher || other.conn == from {
                let text = format!(
                    "`{procedure}` is registered already, at gateway `{}`, and one of the two tolerates no other",
                    self.gateway_of(other)
                );
                return Err((Code::AlreadyExists, text));
            }
            ghosts.push((key, other.link, other.since));
        }
        for (key, link, since) in ghosts {
            // A session that this client has left, which nobody has noticed. A peer's gives way to the later offer.
            self.clock.see(since, now);
            if !link {
                self.lose(
                    key,
                    Code::Aborted,
                    format!("`{procedure}` was registered anew by another session"),
                );
            }
        }
        Ok(Provider {
            conn: from,
            link: false,
            number: register.registration,
            procedure,
            policy: register.policy(),
            since: self.clock.stamp(now),
            node: self.identity.node,
            publisher,
            load: 0,
        })
    }

    fn offer(&mut self, provider: Provider) {
        self.tell_registration(News::RegistrationAdded, &provider);
        let Provider { conn, number, policy, since, publisher, .. } = provider;
        let procedure = provider.procedure.clone();
        let key = self.procedures.add(provider);
        if let Some(session) = self.conns.get_mut(conn).and_then(|conn| conn.session_mut()) {
            session.registrations.insert(number, key);
        }
        let delta = self.interest.offer(&procedure, Offered { policy, since, publisher });
        self.announce_interest(delta);
    }

    pub(super) fn on_unregister(&mut self, from: ConnKey, number: u32) {
        let session = self.conns.get_mut(from).and_then(|conn| conn.session_mut());
        let Some(key) = session.and_then(|session| session.registrations.remove(&number)) else { return };
        self.unregister(key);
    }

    pub(super) fn unregister(&mut self, key: ProviderKey) {
        if let Some(provider) = self.procedures.remove(key) {
            let delta = self.interest.withdraw(&provider.procedure, provider.since);
            self.announce_interest(delta);
            self.tell_registration(News::RegistrationRemoved, &provider);
        }
    }

    /// A registration does not stay; its client is told why. Calls under way go on.
    fn lose(&mut self, key: ProviderKey, code: Code, message: String) {
        let Some(provider) = self.procedures.get_mut(key) else { return };
        let (conn, number) = (provider.conn, provider.number);
        let request = Request::Registration(number);
        if let Some(session) = self.conns.get_mut(conn).and_then(|conn| conn.session_mut()) {
            session.registrations.remove(&number);
        }
        self.unregister(key);
        self.barriers.retain(|barrier| barrier.conn != conn || barrier.request != request);
        self.acknowledge(conn, request, code, message);
    }

    /// A peer offers a procedure. Where that and what is registered here cannot both stand, both gateways decide alike.
    pub(super) fn add_offer(&mut self, from: ConnKey, offer: &Offer) -> Result<(), Violation> {
        let procedure = parse(&offer.procedure)?;
        self.remove_offer(from, &procedure);
        if procedure.is_system() {
            return Err(Violation::invalid(format!("`{procedure}` is not for a peer to offer")));
        }
        let Some(link) = self.link_mut(from) else { return Ok(()) };
        let theirs = Provider {
            conn: from,
            link: true,
            number: 0,
            procedure: procedure.clone(),
            policy: offer.policy(),
            since: offer.since,
            node: link.node,
            publisher: offer.publisher[..].try_into().unwrap_or_default(),
            load: 0,
        };
        self.settle(&theirs);
        let key = self.procedures.add(theirs);
        if let Some(link) = self.link_mut(from) {
            link.offers.insert(procedure, key);
        }
        Ok(())
    }

    /// Withdraws what is registered here and has to give way to a peer's offer.
    fn settle(&mut self, theirs: &Provider) {
        let conflicts = self.procedures.conflicts(&theirs.procedure, theirs.policy);
        let ours: Vec<(ProviderKey, &Provider)> = conflicts.filter(|(_, other)| !other.link).collect();
        // Peers know the earliest of ours, and judge by it.
        let earliest = ours.iter().min_by_key(|(_, provider)| provider.since);
        if earliest.is_none_or(|(_, earliest)| earliest.outlasts(theirs)) {
            return;
        }
        let losers: Vec<ProviderKey> = ours.into_iter().map(|(key, _)| key).collect();
        let text = format!(
            "`{}` stays with gateway `{}`, and one of the two tolerates no other",
            theirs.procedure,
            self.gateway_of(theirs)
        );
        for key in losers {
            self.lose(key, Code::Aborted, text.clone());
        }
    }

    /// Name of the gateway at which a provider is registered.
    fn gateway_of(&self, provider: &Provider) -> &str {
        let link = self.conns.get(provider.conn).and_then(|conn| conn.link());
        link.map_or(&self.identity.name, |link| &link.name)
    }

    pub(super) fn remove_offer(&mut self, from: ConnKey, procedure: &Pattern) {
        if let Some(key) = self.link_mut(from).and_then(|link| link.offers.remove(procedure)) {
            self.procedures.remove(key);
        }
    }
}

//! What all handles of a client and its I/O thread share. No lock is held across `.await`, and the tables of
//! subscriptions and registrations are locked before the control lane, so that requests and reconnects do not mix.

use crate::acks::Acks;
use crate::block::Block;
use crate::builder::Config;
use crate::calls::Calls;
use crate::error::{RegisterError, SubscribeError};
use crate::events::{ConnectionEvent, Listeners};
use crate::inbox::Inbox;
use crate::inflow::Inflow;
use crate::intake::Intake;
use crate::lane::Lane;
use crate::message::{Class, PublisherId};
use crate::outlet::Outlet;
use crate::register::RegistrationState;
use crate::registrations::{Provider, Registrations};
use crate::relief::Relief;
use crate::session::{Opening, Session};
use crate::status::Status;
use crate::subscriptions::{Added, Subscriptions};
use crate::trace::TraceParent;
use macula_proto::kind;
use macula_proto::v1::{self, Acknowledged, Credit, Resumption, Welcome};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot, watch};

/// Nonce of the ping behind the last of a client's messages; others have 0.
pub(crate) const LAST_PING: u64 = 1;

/// How long a subscription without a reader waits to be claimed. From the design: a process that starts subscribes
/// within seconds.
const CLAIM: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) publisher: PublisherId,
    /// Run of this client: microseconds since 1970 at its start.
    pub(crate) epoch: u64,
    /// Runtime of the I/O thread, whose clock measures deadlines.
    pub(crate) io: OnceLock<Handle>,
    pub(crate) control: Lane,
    pub(crate) rpc: Lane,
    pub(crate) events: Outlet,
    pub(crate) telemetry: Outlet,
    pub(crate) rpc_inflow: Inflow,
    pub(crate) event_inflow: Inflow,
    pub(crate) telemetry_inflow: Inflow,
    pub(crate) event_intake: Mutex<Intake>,
    pub(crate) telemetry_intake: Mutex<Intake>,
    pub(crate) acks: Acks,
    pub(crate) relief: Relief,
    session: Mutex<Session>,
    /// Shown again by this process alone when its session goes on.
    pub(crate) secret: [u8; 16],
    subscriptions: Mutex<Subscriptions>,
    registrations: Mutex<Registrations>,
    pub(crate) calls: Calls,
    pub(crate) status: watch::Sender<Status>,
    pub(crate) listeners: Listeners,
    /// Why the client ends, if not because the application wants it.
    pub(crate) ended: OnceLock<String>,
    /// Whether the session is to end with the client.
    pub(crate) leaves_session: AtomicBool,
    /// True once the client is to end.
    pub(crate) closing: watch::Sender<bool>,
    /// The gateway answered the ping that says that everything has been sent.
    pub(crate) pong: Notify,
    pub(crate) connections: AtomicU64,
    /// Connections at which the session went on.
    pub(crate) resumptions: AtomicU64,
}

impl Core {
    pub(crate) fn new(config: Config) -> Self {
        let windows = config.windows;
        let publisher = config.publisher.unwrap_or_else(|| PublisherId(rand::random()));
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self {
            publisher,
            epoch: since.as_micros() as u64,
            io: OnceLock::new(),
            control: Lane::default(),
            rpc: Lane::default(),
            events: Outlet::new(Class::Event, config.outbox_bytes),
            telemetry: Outlet::new(Class::Telemetry, config.outbox_bytes),
            rpc_inflow: Inflow::new(windows.rpc),
            event_inflow: Inflow::new(windows.event),
            telemetry_inflow: Inflow::new(windows.telemetry),
            event_intake: Mutex::new(Intake::new(Class::Event)),
            telemetry_intake: Mutex::new(Intake::new(Class::Telemetry)),
            acks: Acks::new(windows.event),
            relief: Relief::default(),
            session: Mutex::default(),
            secret: rand::random(),
            subscriptions: Mutex::default(),
            registrations: Mutex::default(),
            calls: Calls::default(),
            status: watch::Sender::new(Status::Connecting),
            listeners: Listeners::default(),
            ended: OnceLock::new(),
            leaves_session: AtomicBool::new(!config.session_name.is_empty()),
            closing: watch::Sender::new(false),
            pong: Notify::new(),
            connections: AtomicU64::new(0),
            resumptions: AtomicU64::new(0),
            config,
        }
    }

    pub(crate) fn outlet(&self, class: Class) -> &Outlet {
        match class {
            Class::Event => &self.events,
            Class::Telemetry => &self.telemetry,
        }
    }

    pub(crate) fn inflow(&self, class: Class) -> &Inflow {
        match class {
            Class::Event => &self.event_inflow,
            Class::Telemetry => &self.telemetry_inflow,
        }
    }

    pub(crate) fn intake(&self, class: Class) -> MutexGuard<'_, Intake> {
        let intake = match class {
            Class::Event => &self.event_intake,
            Class::Telemetry => &self.telemetry_intake,
        };
        intake.lock().expect("no holder of this lock panics")
    }

    /// What to tell the gateway of the session that was lost.
    pub(crate) fn resumption(&self) -> Option<Resumption> {
        self.session().resumption(self.acks.received())
    }

    /// The session is not to go on: something in it cannot be understood.
    pub(crate) fn forget_session(&self) {
        self.session().forget();
    }

    /// Whether this is the session of another process of our session's name, while we have subscriptions of our own.
    pub(crate) fn is_taken_over(&self, welcome: &Welcome) -> bool {
        !welcome.inherited.is_empty() && !self.subscriptions().is_empty()
    }

    /// A connection begins: everything that the gateway has to know goes out first.
    pub(crate) fn open(&self, welcome: &Welcome) {
        let opening = self.session().open(welcome);
        let resumed = opening == Opening::Resumed;
        let windows = welcome.windows.unwrap_or_default();
        [&self.rpc_inflow, &self.event_inflow, &self.telemetry_inflow].into_iter().for_each(Inflow::restart);
        self.intake(Class::Event).restart(resumed);
        self.intake(Class::Telemetry).restart(false);
        self.acks.restart(resumed);
        {
            let (mut subscriptions, mut registrations) = (self.subscriptions(), self.registrations());
            self.control.open(u64::MAX);
            registrations.restart().iter().for_each(|request| self.control.send(kind::REGISTER, request));
            let requests = subscriptions.restart(opening);
            for subscription in requests.unsubscribe {
                self.control.send(kind::UNSUBSCRIBE, &v1::Unsubscribe { subscription });
            }
            requests.subscribe.iter().for_each(|request| self.control.send(kind::SUBSCRIBE, request));
            subscriptions.inherit(&welcome.inherited, Instant::now() + CLAIM);
        }
        self.rpc.open(windows.rpc);
        self.calls.open();
        self.events.update(|outbox| outbox.open(windows.event, welcome));
        self.telemetry.update(|outbox| outbox.open(windows.telemetry, welcome));
        self.connections.fetch_add(1, Ordering::Relaxed);
        if resumed {
            self.resumptions.fetch_add(1, Ordering::Relaxed);
        }
        let gateway = welcome.gateway.clone();
        self.listeners.tell(&ConnectionEvent::Connected { gateway: gateway.clone(), resumed });
        self.status.send_replace(Status::Connected { gateway });
    }

    /// Asks again for what the gateway refused to restore, and ends what nobody has claimed.
    pub(crate) fn retry(&self) {
        {
            let mut registrations = self.registrations();
            registrations.retry().iter().for_each(|request| self.control.send(kind::REGISTER, request));
        }
        let expired = {
            let mut subscriptions = self.subscriptions();
            subscriptions.retry().iter().for_each(|request| self.control.send(kind::SUBSCRIBE, request));
            let expired = subscriptions.expire(Instant::now());
            for subscription in expired.iter().map(|expired| expired.number) {
                self.control.send(kind::UNSUBSCRIBE, &v1::Unsubscribe { subscription });
            }
            expired
        };
        for expired in expired {
            expired.inbox.drain().iter().for_each(|block| self.release(block));
            self.acks.forget(expired.number);
        }
    }

    /// The connection is lost.
    pub(crate) fn lose(&self) {
        self.control.close();
        self.calls.lose();
        self.rpc.close();
        self.registrations().lose();
        self.events.update(crate::outbox::Outbox::lose);
        self.telemetry.update(crate::outbox::Outbox::lose);
    }

    /// The client ends. Each table takes nothing more once it is closed; the status tells when all of them are.
    pub(crate) fn end(&self) {
        self.lose();
        self.calls.close();
        self.events.close();
        self.telemetry.close();
        self.subscriptions().close();
        let entries = self.registrations().close();
        drop(entries);
        self.listeners.tell(&ConnectionEvent::Closed { reason: self.ended.get().cloned() });
        self.status.send_replace(Status::Closed);
    }

    /// True when nobody waits for this connection: the events that were sent are settled and all calls answered.
    pub(crate) fn is_quiet(&self) -> bool {
        self.calls.is_empty()
            && self.registrations().is_idle()
            && self.events.update(|outbox| outbox.is_quiet())
    }

    /// Asks the I/O thread to end.
    pub(crate) fn request_close(&self) {
        self.closing.send_replace(true);
    }

    pub(crate) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    pub(crate) fn subscribe(&self, request: v1::Subscribe, manual: bool) -> Result<Added, SubscribeError> {
        let mut subscriptions = self.subscriptions();
        if subscriptions.is_closed() {
            return Err(SubscribeError::Closed);
        }
        let added = subscriptions.add(request, manual);
        self.control.send(kind::SUBSCRIBE, &added.request);
        Ok(added)
    }

    /// A subscription has lost its reader, which leaves what it has not used. In a session with a name it waits for
    /// another one, in this process or the next; else it ends.
    pub(crate) fn unsubscribe(&self, number: u32, inbox: &Inbox, unused: VecDeque<Block>) {
        let mut subscriptions = self.subscriptions();
        if !self.config.session_name.is_empty() {
            inbox.put_back(unused);
            subscriptions.release(number, Instant::now() + CLAIM);
            return;
        }
        // What a member of a group has not used goes to another one: the gateway has to know exactly.
        if let Some(block) = unused.front() {
            self.acks.progress(block);
        }
        self.acks.flush(|position| self.acknowledge(position));
        if subscriptions.remove(number) {
            self.control.send(kind::UNSUBSCRIBE, &v1::Unsubscribe { subscription: number });
        }
        drop(subscriptions);
        unused.iter().chain(&inbox.drain()).for_each(|block| self.release(block));
        self.acks.forget(number);
    }

    pub(crate) fn register(
        &self,
        request: v1::Register,
        provider: Provider,
        state: watch::Sender<RegistrationState>,
    ) -> Result<(u32, oneshot::Receiver<Result<Acknowledged, RegisterError>>), RegisterError> {
        let mut registrations = self.registrations();
        if registrations.is_closed() {
            return Err(RegisterError::Closed);
        }
        let (request, answer) = registrations.add(request, provider, state);
        self.control.send(kind::REGISTER, &request);
        Ok((request.registration, answer))
    }

    pub(crate) fn unregister(&self, number: u32) {
        let removed = {
            let mut registrations = self.registrations();
            let removed = registrations.remove(number);
            if removed.is_some() {
                self.control.send(kind::UNREGISTER, &v1::Unregister { registration: number });
            }
            removed
        };
        drop(removed);
    }

    /// The application is done with a block.
    pub(crate) fn release(&self, block: &Block) {
        self.give_back(block);
        self.acks.release(block, |position| self.acknowledge(position));
    }

    /// The application has taken a block, which it acknowledges by hand.
    pub(crate) fn give_back(&self, block: &Block) {
        let class = block.class;
        self.take_in(block);
        self.inflow(class).release(block.bytes, |total| self.grant(class.wire(), total));
    }

    /// The trace that what is sent now belongs to.
    pub(crate) fn trace(&self) -> Option<TraceParent> {
        let asked = self.config.trace.as_ref().and_then(|source| (source.0)());
        asked.or_else(TraceParent::current)
    }

    /// Grants credit to the gateway.
    pub(crate) fn grant(&self, class: v1::Class, total: u64) {
        self.control.send(kind::CREDIT, &Credit { class: class.into(), total });
    }

    /// Tells the gateway which frames of the event stream have been dealt with.
    pub(crate) fn acknowledge(&self, position: u64) {
        self.control.send(kind::ACK, &v1::Ack { position });
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().expect("no holder of this lock panics")
    }

    pub(crate) fn subscriptions(&self) -> MutexGuard<'_, Subscriptions> {
        self.subscriptions.lock().expect("no holder of this lock panics")
    }

    pub(crate) fn registrations(&self) -> MutexGuard<'_, Registrations> {
        self.registrations.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::Builder;
    use crate::lane::Source as _;
    use macula_proto::frame::{FrameError, Splitter};
    use macula_proto::limits;
    use macula_proto::v1::Code;
    use std::sync::Arc;

    fn core() -> Core {
        Core::new(Builder::default().url("https://localhost:9443").check().unwrap())
    }

    fn provider() -> Provider {
        Provider::new(Arc::new(|_, _| Box::pin(async { Ok(None) })), None)
    }

    #[test]
    fn nothing_is_added_to_a_table_that_is_closed() {
        let core = core();
        core.subscriptions().close();
        drop(core.registrations().close());
        assert_ne!(*core.status.borrow(), Status::Closed, "as between the two halves of the end");
        let subscribed = core.subscribe(v1::Subscribe::default(), false);
        assert!(matches!(subscribed, Err(SubscribeError::Closed)));
        let registered = core.register(
            v1::Register::default(),
            provider(),
            watch::Sender::new(RegistrationState::Registered),
        );
        assert!(matches!(registered, Err(RegisterError::Closed)));
    }

    /// Kinds of the frames that the control stream has to write.
    fn control(core: &Core) -> Vec<u8> {
        let mut kinds = Vec::new();
        let mut splitter = Splitter::new(limits::FRAME_BYTES);
        while let Some(bytes) = core.control.take() {
            let split = splitter.split(&bytes, |kind, _| {
                kinds.push(kind);
                Ok::<(), FrameError>(())
            });
            split.unwrap();
        }
        kinds
    }

    #[test]
    fn what_a_new_connection_does_not_restore_is_sent_again() {
        let core = core();
        let state = watch::Sender::new(RegistrationState::Registered);
        let (registration, _) = core.register(v1::Register::default(), provider(), state).unwrap();
        let subscription = core.subscribe(v1::Subscribe::default(), false).unwrap().request.subscription;
        let answer = |code: Code| {
            let acknowledged = Acknowledged { code: code.into(), ..Acknowledged::default() };
            core.subscriptions().acknowledge(subscription, acknowledged.clone());
            drop(core.registrations().acknowledge(registration, acknowledged));
        };
        for _ in 0..2 {
            core.open(&Welcome::default());
            assert_eq!(control(&core), [kind::REGISTER, kind::SUBSCRIBE]);
            answer(Code::Ok);
        }
        core.retry();
        assert!(control(&core).is_empty());
        answer(Code::Unavailable);
        core.retry();
        assert_eq!(control(&core), [kind::REGISTER, kind::SUBSCRIBE]);
        answer(Code::Ok);
        core.retry();
        assert!(control(&core).is_empty());
    }
}

//! A welcomed connection: one writer for each stream out, one reader for each stream in, until one of them ends.

use super::greeting::Greeted;
use super::liveness::{Liveness, TICK, Verdict};
use super::{closing, reading, writing};
use crate::core::{Core, LAST_PING};
use crate::error::ConnectError;
use crate::events::ConnectionEvent;
use crate::relief;
use crate::status::Status;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{Close, Code, Ping};
use macula_transport::session::Session;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinSet};
use tokio::time::MissedTickBehavior;
use tracing::Instrument as _;

/// How long a client that ends takes to send what it holds and to hear that it arrived.
const CLOSE_GRACE: Duration = Duration::from_secs(1);
/// How long a client stays with a gateway that is about to leave, for the events that it was sent to settle and calls to
/// be answered. Later events wait for the next gateway, which is sent those that have not settled before them. Shorter than the five seconds that a gateway waits for its clients.
const LEAVE_GRACE: Duration = Duration::from_secs(2);
/// How often a client that is about to leave looks whether it can.
const LEAVE_CHECK: Duration = Duration::from_millis(20);
/// How often, on average, a client asks again for what the gateway refused to restore. A guess, not measured: a
/// gateway takes up to twenty seconds to notice that the session before is gone.
const RETRY: Duration = Duration::from_secs(1);
/// How long the session may take to close.
const CLOSE_WAIT: Duration = Duration::from_millis(500);

/// Serves the connection; gives the time to wait before the next one, where the gateway has asked for it.
pub(super) async fn serve(
    core: &Arc<Core>,
    greeted: Greeted,
    connected: Option<oneshot::Sender<Result<(), ConnectError>>>,
) -> Option<Duration> {
    let (gateway, remote) = (greeted.welcome.gateway.clone(), greeted.session.remote_address());
    let span = tracing::info_span!("connection", %gateway, %remote);
    async {
        if core.is_taken_over(&greeted.welcome) {
            tracing::warn!("another process has had this session; it ends, and a new one begins");
            greeted.leave().await;
            return None;
        }
        tracing::info!("connected");
        core.open(&greeted.welcome);
        if let Some(connected) = connected {
            let _ = connected.send(Ok(()));
        }
        let session = greeted.session.clone();
        let mut connection = Connection::start(core, greeted);
        let reason = connection.run().await;
        core.lose();
        // A client that only closes says nothing more; others are told what they wait for.
        match reason {
            Some(reason) => {
                let end = session.end();
                if let Some(code) = end.as_ref().and_then(|end| Code::try_from(end.code() as i32).ok()) {
                    core.on_close(code, &reason);
                }
                let reason = end.map_or(reason, |end| end.reason());
                tracing::warn!(reason, "connection lost");
                core.listeners.tell(&ConnectionEvent::Reconnecting { reason });
                core.set_status(Status::Reconnecting);
            }
            None => tracing::info!("closed"),
        }
        session.close(0, "");
        let _ = tokio::time::timeout(CLOSE_WAIT, session.closed()).await;
        connection.tasks.shutdown().await;
        connection.writers.shutdown().await;
        connection.retry_after()
    }
    .instrument(span)
    .await
}

struct Connection {
    core: Arc<Core>,
    session: Session,
    /// The driver, the control stream and the readers.
    tasks: JoinSet<Result<(), String>>,
    /// The writers of the class streams, which end when the client does.
    writers: JoinSet<Result<(), String>>,
    moving: Arc<reading::Moving>,
}

impl Connection {
    fn start(core: &Arc<Core>, greeted: Greeted) -> Self {
        let Greeted { session, mut tasks, send, recv, splitter, early, .. } = greeted;
        let moving = Arc::new(reading::Moving::default());
        let mut writers = JoinSet::new();
        for stream in [StreamKind::Rpc, StreamKind::Event, StreamKind::Telemetry] {
            writers.spawn(writing::class(Arc::clone(core), session.clone(), stream));
        }
        tasks.spawn(writing::control(Arc::clone(core), send));
        tasks.spawn(writing::acknowledgements(Arc::clone(core)));
        let relieved = Arc::clone(core);
        tasks.spawn(async move {
            relief::run(&relieved).await;
            Ok(())
        });
        tasks.spawn(reading::control(Arc::clone(core), Arc::clone(&moving), recv, splitter, early));
        Self { core: Arc::clone(core), session, tasks, writers, moving }
    }

    /// Runs until the connection is lost, and gives the reason; none when the client is to end.
    async fn run(&mut self) -> Option<String> {
        let mut liveness = Liveness::default();
        let mut leave_by: Option<Instant> = None;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut retry = pin!(tokio::time::sleep(retry_wait()));
        loop {
            let ended = tokio::select! {
                _ = ticks.tick() => {
                    match liveness.tick(self.session.connection().stats().udp_rx.datagrams) {
                        Verdict::Alive => {}
                        Verdict::Ask => self.core.control.send(kind::PING, &Ping { nonce: 0 }),
                        Verdict::Lost => return Some("the gateway has fallen silent".to_owned()),
                    }
                    continue;
                }
                () = &mut retry => {
                    self.core.retry();
                    retry.as_mut().reset(tokio::time::Instant::now() + retry_wait());
                    continue;
                }
                () = closing(&self.core) => {
                    let _ = tokio::time::timeout(CLOSE_GRACE, self.drain()).await;
                    return None;
                }
                () = self.moving.told() => {
                    leave_by = Some(Instant::now() + LEAVE_GRACE);
                    continue;
                }
                () = tokio::time::sleep(LEAVE_CHECK), if leave_by.is_some() => {
                    if self.core.is_quiet() || leave_by.is_some_and(|by| Instant::now() >= by) {
                        return Some("the gateway is about to leave".to_owned());
                    }
                    continue;
                }
                end = self.session.closed() => return Some(end.reason()),
                stream = self.session.accept_uni() => match stream {
                    Ok(stream) => {
                        self.tasks.spawn(reading::class(Arc::clone(&self.core), stream));
                        continue;
                    }
                    Err(error) => return Some(error.to_string()),
                },
                Some(ended) = self.tasks.join_next() => ended,
                Some(ended) = self.writers.join_next() => ended,
            };
            if let Some(reason) = reason(ended) {
                return Some(reason);
            }
        }
    }

    /// Waits until all that was handed over has been sent and the gateway has read it.
    async fn drain(&mut self) {
        let read_on = async {
            loop {
                tokio::select! {
                    Ok(stream) = self.session.accept_uni() => {
                        self.tasks.spawn(reading::class(Arc::clone(&self.core), stream));
                    }
                    Some(ended) = self.tasks.join_next() => {
                        if reason(ended).is_some() {
                            return;
                        }
                    }
                    else => return,
                }
            }
        };
        let (core, writers) = (&self.core, &mut self.writers);
        let write_out = async {
            while writers.join_next().await.is_some() {}
            core.acks.flush(|position| core.acknowledge(position));
            core.control.send(kind::PING, &Ping { nonce: LAST_PING });
            core.pong.notified().await;
            // The gateway answers by closing the session.
            if !core.leaves_session.load(Ordering::Relaxed) {
                core.control.send(kind::CLOSE, &Close { code: Code::Ok.into(), message: String::new() });
                self.session.closed().await;
            }
        };
        tokio::select! {
            () = write_out => {}
            () = read_on => {}
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        self.moving.retry_after()
    }
}

/// Random, so that the clients of one gateway do not all ask at once.
fn retry_wait() -> Duration {
    RETRY.mul_f64(rand::random_range(0.75..1.25))
}

/// Why a task's end is the end of the connection.
fn reason(ended: Result<Result<(), String>, JoinError>) -> Option<String> {
    match ended {
        Ok(Ok(())) => None,
        Ok(Err(reason)) => Some(reason),
        Err(error) => {
            tracing::error!(%error, "a task of the connection failed");
            Some(error.to_string())
        }
    }
}

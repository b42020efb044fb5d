//! Clients on one connection: the WebTransport session and plain requests, side by side.

use crate::http::{self, Problem, Service};
use crate::hub::Hub;
use crate::server::Readiness;
use crate::streams::{End, Wire, serve as serve_streams};
use dashmap::DashMap;
use macula_core::ConnKey;
use macula_proto::kind::StreamKind;
use macula_proto::v1::Code;
use macula_transport::profile::TransportProfile;
use macula_transport::session::{self, Event, Session, SessionRequest};
use serde::Serialize;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Path of the session.
const PATH: &str = macula_transport::client::SESSION_PATH;
/// Time that a client has to open its control stream and say Hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Time that the tasks of a lost connection get to end by themselves.
const FAREWELL: Duration = Duration::from_secs(1);
const NO_HELLO: &str = "no Hello within five seconds; it is the first frame on the control stream";

/// Time that a connection may be there without asking for anything, or with a request whose head does not come to its
/// end. A guess, not measured; browsers give up idle connections after as long.
const IDLE: Duration = Duration::from_secs(30);

/// The sessions that are open, for the admin port.
#[derive(Debug, Default)]
pub(crate) struct Sessions(DashMap<ConnKey, SessionInfo>);

/// What is told of a session.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SessionInfo {
    /// Address of the client.
    remote: String,
    /// Seconds since 1970 at which it connected.
    since: u64,
}

impl Sessions {
    pub(crate) fn list(&self) -> Vec<SessionInfo> {
        self.0.iter().map(|entry| entry.value().clone()).collect()
    }

    fn list_until_dropped(self: &Arc<Self>, key: ConnKey, info: SessionInfo) -> Listed {
        self.0.insert(key, info);
        Listed { sessions: self.clone(), key }
    }
}

/// A session in the list, as long as its task lives.
struct Listed {
    sessions: Arc<Sessions>,
    key: ConnKey,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.sessions.0.remove(&self.key);
    }
}

/// Serves HTTP/3 until the connection ends.
pub(crate) async fn serve(
    service: Rc<Service>,
    connection: quinn::Connection,
    sessions: &Arc<Sessions>,
    mut readiness: watch::Receiver<Readiness>,
) {
    let now = readiness.clone();
    let draining = || *now.borrow() == Readiness::Draining;
    let (mut server, driver) = session::serve(connection.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn_local(driver);
    // Who comes during the drain is told by an answer, which GOAWAY would forestall.
    let mut live = !draining();
    loop {
        tokio::select! {
            event = server.next_event() => match event {
                None => break,
                Some(Event::Request(head, stream)) => {
                    let (service, connection) = (service.clone(), connection.clone());
                    tasks.spawn_local(http::serve(service, connection, head, stream, draining()));
                }
                Some(Event::Session(request)) => {
                    tasks.spawn_local(answer(service.clone(), request, sessions.clone(), draining()));
                }
            },
            _ = readiness.wait_for(|readiness| *readiness == Readiness::Draining), if live => {
                server.shutdown();
                live = false;
            }
            Some(result) = tasks.join_next() => {
                if let Err(error) = result && error.is_panic() {
                    tracing::error!(%error, "the task of a request failed");
                }
            }
            // Only the driver is left. Dropping it closes the connection in order.
            () = tokio::time::sleep(IDLE), if tasks.len() == 1 => return tasks.shutdown().await,
        }
    }
    // The connection is lost; its tasks notice, and read what had arrived before.
    let all = async { while tasks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(FAREWELL, all).await;
    tasks.shutdown().await;
}

async fn answer(service: Rc<Service>, request: SessionRequest, sessions: Arc<Sessions>, draining: bool) {
    if let Err(problem) = admit(&service, &request, draining) {
        // The client may be gone; there is nobody to tell.
        let _ = request.reject(problem.status(), problem.headers(), problem.body().into()).await;
        return;
    }
    let remote = request.remote_address();
    match request.accept().await {
        Ok(session) => run(&service.hub, session, sessions).await,
        Err(error) => tracing::debug!(%remote, %error, "a session could not be opened"),
    }
}

/// What can be refused before the session is open. A browser shows none of it to its page.
fn admit(service: &Service, request: &SessionRequest, draining: bool) -> Result<(), Problem> {
    service.check_origin(request.headers())?;
    if draining {
        return Err(Problem::draining());
    }
    if request.path() != PATH {
        let text = format!("sessions are at {PATH}, not at `{}`", request.path());
        return Err(Problem::of(Code::NotFound, text));
    }
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    http::bearer(header("authorization"))?;
    let (own, named) = (service.hub.identity().realm, header("macula-realm"));
    if !named.is_empty() && named != own {
        let text = format!("this gateway serves realm `{own}`, the client asks for `{named}`");
        return Err(Problem::invalid(text));
    }
    Ok(())
}

async fn run(hub: &Hub, session: Session, sessions: Arc<Sessions>) {
    let remote = session.remote_address();
    let connection = session.connection().clone();
    let deadline = tokio::time::Instant::now() + HELLO_TIMEOUT;
    let control = match tokio::time::timeout_at(deadline, open_control(&session)).await {
        Ok(Ok(control)) => control,
        Ok(Err(text)) => return session.close(Code::InvalidArgument as u32, &text),
        Err(_) => return session.close(Code::DeadlineExceeded as u32, NO_HELLO),
    };
    let (key, outlet) = hub.open_session();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let _listed = sessions.list_until_dropped(key, SessionInfo { remote: remote.to_string(), since });
    let serving = serve_streams(hub.clone(), key, outlet.clone(), Wire::Session(session), control);
    tokio::pin!(serving);
    let letting_in = async {
        if tokio::time::timeout_at(deadline, outlet.welcomed()).await.is_ok() {
            TransportProfile::SESSION.apply(&connection);
        } else {
            hub.fail(key, Code::DeadlineExceeded, NO_HELLO.to_owned());
        }
    };
    let end = tokio::select! {
        end = &mut serving => end,
        () = letting_in => serving.await,
    };
    match end {
        End::Core(closing) => {
            tracing::info!(%remote, code = closing.code.as_str_name(), reason = closing.message, "a session was closed");
        }
        End::Peer(reason) => tracing::debug!(%remote, reason, "a session ended"),
    }
}

async fn open_control(session: &Session) -> Result<(quinn::SendStream, quinn::RecvStream), String> {
    let (send, mut recv) = session.accept_bi().await.map_err(|error| error.to_string())?;
    let mut first = [0];
    recv.read_exact(&mut first).await.map_err(|error| error.to_string())?;
    if first[0] == StreamKind::Control as u8 {
        Ok((send, recv))
    } else {
        Err(format!("the first stream is the control stream and begins with byte 0, not {:#04x}", first[0]))
    }
}

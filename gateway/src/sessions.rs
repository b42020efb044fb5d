//! Clients on one connection: the WebTransport session and plain requests, side by side.

use crate::http;
use crate::hub::Hub;
use crate::streams::{End, Wire, serve as serve_streams};
use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use bytes::Bytes;
use dashmap::DashMap;
use macula_core::ConnKey;
use macula_proto::kind::StreamKind;
use macula_proto::v1::Code;
use macula_transport::session::{self, Event, Session, SessionRequest};
use serde::Serialize;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;

/// Path of the session.
const PATH: &str = macula_transport::client::SESSION_PATH;
/// Time that a client has to open its control stream.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// Time that the tasks of a lost connection get to end by themselves.
const FAREWELL: Duration = Duration::from_secs(1);
/// Requests of one connection that are answered at a time; quinn lets no client open more streams than 64.
const REQUESTS: usize = 64;

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
pub(crate) async fn serve(hub: Hub, connection: quinn::Connection, sessions: &Arc<Sessions>, draining: bool) {
    let (mut server, driver) = session::serve(connection);
    let mut tasks = JoinSet::new();
    tasks.spawn_local(driver);
    loop {
        tokio::select! {
            event = server.next_event() => match event {
                None => break,
                Some(Event::Request(request, stream)) if tasks.len() < REQUESTS => {
                    tasks.spawn_local(http::serve(hub.clone(), request, stream, draining));
                }
                Some(Event::Request(..)) => {}
                Some(Event::Session(request)) => {
                    tasks.spawn_local(answer(hub.clone(), request, sessions.clone(), draining));
                }
            },
            Some(result) = tasks.join_next() => {
                if let Err(error) = result && error.is_panic() {
                    tracing::error!(%error, "the task of a request failed");
                }
            }
        }
    }
    // The connection is lost; its tasks notice, and read what had arrived before.
    let all = async { while tasks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(FAREWELL, all).await;
    tasks.shutdown().await;
}

async fn answer(hub: Hub, request: SessionRequest, sessions: Arc<Sessions>, draining: bool) {
    if let Err((status, problem)) = admit(&request, draining) {
        let mut headers = HeaderMap::new();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(HeaderName::from_static("content-type"), json);
        if draining {
            headers.insert(HeaderName::from_static("retry-after"), HeaderValue::from_static("1"));
        }
        let _ = request.reject(status, headers, Bytes::from(problem)).await;
        return;
    }
    let remote = request.remote_address();
    match request.accept().await {
        Ok(session) => run(hub, session, sessions).await,
        Err(error) => tracing::debug!(%remote, %error, "a session could not be opened"),
    }
}

/// What can be refused before the session is open.
fn admit(request: &SessionRequest, draining: bool) -> Result<(), (StatusCode, String)> {
    let problem = |status: StatusCode, code: &str, detail: &str| {
        (status, serde_json::json!({ "status": status.as_u16(), "code": code, "detail": detail }).to_string())
    };
    if draining {
        return Err(problem(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "this gateway is about to stop"));
    }
    if request.path() != PATH {
        return Err(problem(StatusCode::NOT_FOUND, "NOT_FOUND", "sessions are at /v1/session"));
    }
    if let Some(origin) = request.headers().get("origin")
        && !http::is_loopback_page(origin.as_bytes())
    {
        return Err(problem(
            StatusCode::FORBIDDEN,
            "PERMISSION_DENIED",
            "pages of this origin are not served",
        ));
    }
    Ok(())
}

async fn run(hub: Hub, session: Session, sessions: Arc<Sessions>) {
    let remote = session.remote_address();
    let control = tokio::time::timeout(HELLO_TIMEOUT, open_control(&session)).await;
    let Ok(Ok(control)) = control else {
        let text = "the session's first stream is the control stream, and its first frame Hello, within five seconds";
        return session.close(Code::InvalidArgument as u32, text);
    };
    let (key, outlet) = hub.open_session();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let _listed = sessions.list_until_dropped(key, SessionInfo { remote: remote.to_string(), since });
    let serving = serve_streams(hub.clone(), key, outlet.clone(), Wire::Session(session), control);
    tokio::pin!(serving);
    let end = tokio::select! {
        end = &mut serving => end,
        () = tokio::time::sleep(HELLO_TIMEOUT) => {
            if !outlet.joined() {
                hub.fail(key, Code::DeadlineExceeded, "no Hello within five seconds".to_owned());
            }
            serving.await
        }
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
    if first[0] == StreamKind::Control as u8 { Ok((send, recv)) } else { Err("no control stream".to_owned()) }
}

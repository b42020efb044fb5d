//! The server's side: plain requests and one session on a connection.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use h3::error::{Code, StreamError};
use h3::ext::Protocol;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::sync::{Notify, mpsc};

use super::connect_stream::{EndGuard, hold};
use super::handle::Shared;
use super::{DRAFT_HEADER, Driver, MAX_FIELD_SECTION, Session};
use crate::h3quic::{BidiStream, Connection, Router};
use crate::profile::TransportProfile;

/// A request with its response, of HTTP/3.
pub type RequestStream = h3::server::RequestStream<BidiStream, Bytes>;

type Http = h3::server::Connection<Connection, Bytes>;
type Holding = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Requests that wait for [`ServerConnection::next_event`]; further ones are reset. As many as a client may have
/// open by default.
const WAITING_EVENTS: usize = TransportProfile::REQUESTS.max_bidi_streams as usize;

/// Requests whose headers are on their way; further ones are reset.
const RESOLVING: usize = WAITING_EVENTS;

/// Serves HTTP/3 on a connection with ALPN `h3`.
///
/// The driver has to be spawned.
pub fn serve(connection: quinn::Connection) -> (ServerConnection, Driver) {
    let (event_sender, events) = mpsc::channel(WAITING_EVENTS);
    let shutdown = Arc::new(Notify::new());
    let driver = drive(connection.clone(), event_sender, shutdown.clone());
    (ServerConnection { events, shutdown, connection }, Driver::new(driver))
}

/// What happens on a connection.
#[derive(Debug)]
pub struct ServerConnection {
    /// Boxed, because a channel reserves room for 32.
    events: mpsc::Receiver<Box<Event>>,
    shutdown: Arc<Notify>,
    connection: quinn::Connection,
}

impl ServerConnection {
    /// The next request; `None` once the connection is closed. Cancelling it loses nothing.
    pub async fn next_event(&mut self) -> Option<Event> {
        self.events.recv().await.map(|event| *event)
    }

    /// Sends GOAWAY: the client makes no further requests here. What is under way goes on.
    pub fn shutdown(&self) {
        self.shutdown.notify_one();
    }

    /// The QUIC connection, to close it, or for its addresses and certificates.
    pub fn connection(&self) -> &quinn::Connection {
        &self.connection
    }
}

/// A request on a connection.
pub enum Event {
    /// A plain request. Its stream gives the body and takes the response.
    Request(Request<()>, RequestStream),
    /// A request for the session.
    Session(SessionRequest),
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Request(request, _) => f.debug_tuple("Request").field(request).finish(),
            Event::Session(request) => f.debug_tuple("Session").field(request).finish(),
        }
    }
}

/// A client asks for a session. Dropping it resets the request.
pub struct SessionRequest {
    request: Request<()>,
    /// Taken when the request is answered.
    stream: Option<RequestStream>,
    id: u64,
    connection: quinn::Connection,
    router: Arc<Router>,
    holdings: mpsc::Sender<Holding>,
}

impl SessionRequest {
    /// The path, with its query.
    pub fn path(&self) -> &str {
        self.request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str)
    }

    /// The host and port that the client believes to talk to.
    pub fn authority(&self) -> Option<&str> {
        self.request.uri().authority().map(http::uri::Authority::as_str)
    }

    /// The headers, among them perhaps `origin`, `authorization` and `macula-realm`.
    pub fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    /// Where the client is.
    pub fn remote_address(&self) -> std::net::SocketAddr {
        self.connection.remote_address()
    }

    /// Opens the session.
    ///
    /// # Errors
    /// When the client is gone.
    pub async fn accept(mut self) -> Result<Session, AnswerError> {
        let mut stream = self.stream.take().expect("only an answer takes the stream");
        let response = Response::builder().status(StatusCode::OK).header(DRAFT_HEADER.0, DRAFT_HEADER.1);
        stream.send_response(response.body(()).expect("the header is legal")).await?;
        let shared = Shared::new(self.connection.clone(), self.router.clone(), self.id);
        let (send, recv) = stream.split();
        let holding = hold(send, recv, EndGuard::new(shared.clone()));
        // Without a driver the holding is dropped, which ends the session.
        let _ = self.holdings.send(Box::pin(holding)).await;
        Ok(Session::new(shared))
    }

    /// Refuses the session with an HTTP response. A browser does not show it to the page. The client may ask again
    /// on the same connection.
    ///
    /// # Errors
    /// When the client is gone.
    pub async fn reject(
        mut self,
        status: StatusCode,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<(), AnswerError> {
        let mut stream = self.stream.take().expect("only an answer takes the stream");
        self.router.release();
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        stream.send_response(response).await?;
        if !body.is_empty() {
            stream.send_data(body).await?;
        }
        stream.finish().await?;
        stream.stop_sending(Code::H3_NO_ERROR);
        Ok(())
    }
}

impl Drop for SessionRequest {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            self.router.release();
            reset(stream, Code::H3_REQUEST_CANCELLED);
        }
    }
}

impl fmt::Debug for SessionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionRequest").field("request", &self.request).finish_non_exhaustive()
    }
}

/// A request for a session could not be answered.
#[derive(Debug, thiserror::Error)]
#[error("the client is gone")]
pub struct AnswerError(#[from] StreamError);

async fn drive(connection: quinn::Connection, events: mpsc::Sender<Box<Event>>, shutdown: Arc<Notify>) {
    let router = Arc::<Router>::default();
    let adapter = Connection::with_router(connection.clone(), router.clone());
    // Futures that are done with early or rarely are boxed, or each connection would have room for them all its life.
    let http = Box::pin(async {
        h3::server::builder()
            .max_field_section_size(MAX_FIELD_SECTION)
            .enable_webtransport(true)
            .enable_extended_connect(true)
            .enable_datagram(true)
            .max_webtransport_sessions(1)
            .send_grease(false)
            .build(adapter)
            .await
    });
    let mut http: Http = match http.await {
        Ok(http) => http,
        Err(error) => return tracing::debug!(%error, "no HTTP/3 on the connection"),
    };
    let (holdings, mut new_holdings) = mpsc::channel(1);
    let mut resolving = FuturesUnordered::new();
    let mut holding: Option<Holding> = None;
    loop {
        tokio::select! {
            accepted = http.accept() => match accepted {
                Ok(Some(resolver)) if resolving.len() < RESOLVING => resolving.push(Box::pin(resolver.resolve_request())),
                // Dropping the resolver finishes the response and stops the request.
                Ok(Some(_)) => {}
                // The client said GOAWAY and has all its answers.
                Ok(None) => break,
                Err(error) => break tracing::debug!(%error, "HTTP/3 connection ended"),
            },
            Some(resolved) = resolving.next(), if !resolving.is_empty() => match resolved {
                Ok((request, stream)) => {
                    if let Some(event) = event(request, stream, &connection, &router, &holdings) {
                        offer(&events, event);
                    }
                }
                Err(error) => tracing::debug!(%error, "request without usable headers"),
            },
            Some(new) = new_holdings.recv() => holding = Some(new),
            () = async { holding.as_mut().expect("checked beside").await }, if holding.is_some() => holding = None,
            () = shutdown.notified() => {
                // h3 announces the last id plus this number. What GOAWAY names, the client takes for not done.
                if let Err(error) = Box::pin(http.shutdown(1)).await {
                    break tracing::debug!(%error, "HTTP/3 connection ended");
                }
            }
        }
    }
    // The peer's last words may have come in one packet with the end of the connection.
    let _ = holding.as_mut().and_then(FutureExt::now_or_never);
}

fn event(
    request: Request<()>,
    stream: RequestStream,
    connection: &quinn::Connection,
    router: &Arc<Router>,
    holdings: &mpsc::Sender<Holding>,
) -> Option<Event> {
    let wants_session = request.method() == Method::CONNECT
        && request.extensions().get::<Protocol>() == Some(&Protocol::WEB_TRANSPORT);
    if !wants_session {
        return Some(Event::Request(request, stream));
    }
    let id = stream.id().into_inner();
    if !router.claim(id) {
        reset(stream, Code::H3_REQUEST_REJECTED);
        return None;
    }
    Some(Event::Session(SessionRequest {
        request,
        stream: Some(stream),
        id,
        connection: connection.clone(),
        router: router.clone(),
        holdings: holdings.clone(),
    }))
}

fn offer(events: &mpsc::Sender<Box<Event>>, event: Event) {
    match events.try_send(Box::new(event)) {
        Ok(()) => {}
        Err(error) => match *error.into_inner() {
            Event::Request(_, stream) => reset(stream, Code::H3_REQUEST_REJECTED),
            // Resets itself.
            Event::Session(request) => drop(request),
        },
    }
}

fn reset(mut stream: RequestStream, error: Code) {
    stream.stop_stream(error);
    stream.stop_sending(error);
}

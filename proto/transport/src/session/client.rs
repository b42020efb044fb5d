//! The client's side: asks for a session.

use std::fmt;
use std::future::poll_fn;

use bytes::{Buf, Bytes, BytesMut};
use h3::error::StreamError;
use h3::ext::Protocol;
use http::{HeaderMap, Method, Request, StatusCode};

use super::connect_stream::{EndGuard, hold};
use super::handle::Shared;
use super::{DRAFT_OFFER, Driver, MAX_FIELD_SECTION, Session};
use crate::h3quic::{BidiStream, Connection, Router};

/// How much of the body of a refusal is read.
const REFUSAL_BODY: usize = 64 << 10;

type RequestStream = h3::client::RequestStream<BidiStream, Bytes>;

/// Opens a session at `https://<authority><path>` on a fresh connection with ALPN `h3`.
///
/// The driver has to be spawned. The connection is closed when the session is over.
///
/// # Errors
/// [`ConnectError`]; the connection is of no more use.
pub async fn connect_session(
    connection: quinn::Connection,
    authority: &str,
    path: &str,
    headers: HeaderMap,
) -> Result<(Session, Driver), ConnectError> {
    let request = request(authority, path, headers)?;
    let router = std::sync::Arc::<Router>::default();
    let adapter = Connection::with_router(connection.clone(), router.clone());
    let (mut http, mut requests) = h3::client::builder()
        .max_field_section_size(MAX_FIELD_SECTION)
        .enable_datagram(true)
        .enable_extended_connect(true)
        .send_grease(false)
        .build::<_, _, Bytes>(adapter)
        .await
        .map_err(|error| ConnectError::lost(&connection, error))?;

    let exchange = async {
        let stream = requests.send_request(request).await;
        ask(stream.map_err(|error| ConnectError::of_stream(&connection, error))?, &connection).await
    };
    let stream = tokio::select! {
        answered = exchange => answered?,
        error = poll_fn(|cx| http.poll_close(cx)) => return Err(ConnectError::lost(&connection, error)),
    };

    let id = stream.id().into_inner();
    assert!(router.claim(id), "the router is new and has no session");
    let shared = Shared::new(connection.clone(), router, id);
    let (send, recv) = stream.split();
    let holding = hold(send, recv, EndGuard::new(shared.clone()));
    let driver = Driver::new(async move {
        tokio::select! {
            // First, since the peer's last words may have come in one packet with the end of the connection.
            biased;
            () = holding => {}
            _ = poll_fn(|cx| http.poll_close(cx)) => {}
        }
        // h3 closes the connection with the last sender of requests, so it is kept until here.
        drop(requests);
        connection.close(crate::h3quic::code(h3::error::Code::H3_NO_ERROR.value()), b"");
    });
    Ok((Session::new(shared), driver))
}

fn request(authority: &str, path: &str, headers: HeaderMap) -> Result<Request<()>, ConnectError> {
    let uri = http::Uri::builder().scheme("https").authority(authority).path_and_query(path);
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri(uri.build().map_err(ConnectError::BadTarget)?)
        .extension(Protocol::WEB_TRANSPORT)
        .header(DRAFT_OFFER.0, DRAFT_OFFER.1)
        .body(())
        .map_err(ConnectError::BadTarget)?;
    request.headers_mut().extend(headers);
    Ok(request)
}

async fn ask(
    mut stream: RequestStream,
    connection: &quinn::Connection,
) -> Result<RequestStream, ConnectError> {
    let response = stream.recv_response().await;
    let response = response.map_err(|error| ConnectError::of_stream(connection, error))?;
    if response.status().is_success() {
        return Ok(stream);
    }
    let mut body = BytesMut::new();
    // A refusal is one without its body too.
    while let Ok(Some(data)) = stream.recv_data().await {
        let room = REFUSAL_BODY - body.len();
        bytes::BufMut::put(&mut body, data.take(room));
        if body.len() == REFUSAL_BODY {
            break;
        }
    }
    Err(ConnectError::Refused(Box::new(Refusal {
        status: response.status(),
        headers: response.headers().clone(),
        body: body.freeze(),
    })))
}

/// A server's answer to a session that it does not want.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers, among them perhaps `retry-after` and `content-type`.
    pub headers: HeaderMap,
    /// The body, usually a problem in JSON; at most 64 KiB of it.
    pub body: Bytes,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)
    }
}

/// A session could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Authority or path are no part of a URL.
    #[error("no URL can be made of the authority and path of the session")]
    BadTarget(#[source] http::Error),
    /// The server answered, and refused.
    #[error("the server refused the session: {0}")]
    Refused(Box<Refusal>),
    /// The connection was lost before there was an answer.
    #[error("the connection was lost before the session was open")]
    Connection(#[source] quinn::ConnectionError),
    /// The server reset the request, as it does when it has taken its last one.
    #[error("the server reset the request for a session with code {code:#x}")]
    Reset {
        /// The code of HTTP/3.
        code: u64,
    },
    /// The server does not speak HTTP/3 as it should.
    #[error("HTTP/3: {0}")]
    Http(String),
}

impl ConnectError {
    fn of_stream(connection: &quinn::Connection, error: StreamError) -> Self {
        match error {
            StreamError::RemoteTerminate { code, .. } => Self::Reset { code: code.value() },
            error => Self::lost(connection, error),
        }
    }

    fn lost(connection: &quinn::Connection, error: impl fmt::Display) -> Self {
        match connection.close_reason() {
            Some(lost) => Self::Connection(lost),
            None => Self::Http(error.to_string()),
        }
    }
}

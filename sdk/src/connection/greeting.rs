//! From an address to a session that the gateway has welcomed.

use crate::builder::Url;
use crate::core::Core;
use crate::error::Failure;
use crate::will::LastWill;
use macula_proto::frame::{self, FrameError, Splitter};
use macula_proto::kind::{self, StreamKind};
use macula_proto::limits;
use macula_proto::v1::{Close, Code, Hello, Refused, Welcome};
use macula_transport::client::{Dialer, SessionDialError};
use macula_transport::endpoint::DialError;
use macula_transport::session::{ConnectError, Session, SessionEnd};
use prost::Message as _;
use std::error::Error;
use std::time::Duration;
use tokio::task::JoinSet;

/// The protocol version that this client speaks.
const VERSION: u32 = 1;
/// How long to wait for the reason why a stream ended.
const REASON_WAIT: Duration = Duration::from_millis(500);
/// QUIC's codes for errors of TLS.
const TLS_ERRORS: std::ops::Range<u64> = 0x100..0x200;

/// A session that is ready for use.
pub(super) struct Greeted {
    pub(super) session: Session,
    /// Holds the session's driver, and is to hold all tasks of the connection.
    pub(super) tasks: JoinSet<Result<(), String>>,
    pub(super) send: quinn::SendStream,
    pub(super) recv: quinn::RecvStream,
    pub(super) splitter: Splitter,
    /// Frames that came together with the welcome.
    pub(super) early: Vec<(u8, Vec<u8>)>,
    pub(super) welcome: Welcome,
}

pub(super) async fn greet(core: &Core, dialer: &Dialer, url: &Url) -> Result<Greeted, Failure> {
    let hello = hello(core)?;
    let (session, driver) = dialer.connect(&url.host, url.port, &[]).await.map_err(explain)?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        driver.await;
        Err("the connection has ended".to_owned())
    });
    let (mut send, recv) = session.open_bi().await.map_err(|error| Failure::Protocol(chain(&error)))?;
    // Control before calls, calls before events, events before telemetry.
    let _ = send.set_priority(3);
    if send.write_all(&hello).await.is_err() {
        return Err(why(&session).await);
    }
    let splitter = Splitter::new(limits::FRAME_BYTES);
    let mut greeted =
        Greeted { session, tasks, send, recv, splitter, early: Vec::new(), welcome: Welcome::default() };
    greeted.read_welcome().await?;
    Ok(greeted)
}

fn hello(core: &Core) -> Result<Vec<u8>, Failure> {
    let hello = Hello {
        versions: vec![VERSION],
        realm: core.config.realm.clone(),
        token: core.config.token.read()?,
        client: core.config.name.clone(),
        publisher: core.publisher.0.to_vec().into(),
        epoch: core.epoch,
        windows: Some(core.config.windows),
        session_name: core.config.session_name.clone(),
        secret: core.secret.to_vec().into(),
        resume: core.resumption(),
        acknowledges: true,
        resume_ms: crate::millis(core.config.resume_window),
        last_will: core.config.last_will.as_ref().map(LastWill::wire),
    };
    let mut out = vec![StreamKind::Control as u8];
    frame::put_message(&mut out, kind::HELLO, &hello);
    Ok(out)
}

impl Greeted {
    /// Ends the session that the gateway has just opened.
    pub(super) async fn leave(mut self) {
        let mut close = Vec::new();
        frame::put_message(&mut close, kind::CLOSE, &Close { code: Code::Ok.into(), message: String::new() });
        let _ = self.send.write_all(&close).await;
        let _ = tokio::time::timeout(REASON_WAIT, self.session.closed()).await;
        self.session.close(0, "");
    }

    async fn read_welcome(&mut self) -> Result<(), Failure> {
        let protocol = |error: &dyn Error| Failure::Protocol(format!("the answer is not Macula's: {error}"));
        let mut frames = Vec::new();
        while frames.is_empty() {
            let Ok(Some(chunk)) = self.recv.read_chunk(usize::MAX, true).await else {
                return Err(why(&self.session).await);
            };
            let split = self.splitter.split(&chunk.bytes, |kind, body| {
                frames.push((kind, body.to_vec()));
                Ok::<(), FrameError>(())
            });
            split.map_err(|error| protocol(&error))?;
        }
        let (kind, body) = frames.remove(0);
        match kind {
            kind::WELCOME => {
                self.welcome = Welcome::decode(&body[..]).map_err(|error| protocol(&error))?;
                check_version(self.welcome.version)?;
                self.early = frames;
                Ok(())
            }
            kind::REFUSED => {
                let refused = Refused::decode(&body[..]).map_err(|error| protocol(&error))?;
                Err(Failure::Refused {
                    code: refused.code(),
                    message: refused.message,
                    retry_after: Duration::from_millis(u64::from(refused.retry_after_ms)),
                })
            }
            other => Err(Failure::Protocol(format!(
                "the gateway answered Hello with a frame of kind {other:#04x}"
            ))),
        }
    }
}

pub(super) fn check_version(version: u32) -> Result<(), Failure> {
    match version {
        VERSION => Ok(()),
        other => Err(Failure::Protocol(format!(
            "the gateway welcomes with version {other} of the protocol, and this client speaks {VERSION}"
        ))),
    }
}

/// The reason why a session ended, as far as it is told in time.
async fn why(session: &Session) -> Failure {
    match tokio::time::timeout(REASON_WAIT, session.closed()).await {
        Ok(SessionEnd::Closed { code, reason, .. }) if code != 0 => Failure::Refused {
            code: Code::try_from(code as i32).unwrap_or(Code::Internal),
            message: reason,
            retry_after: Duration::ZERO,
        },
        Ok(end) => Failure::Protocol(format!("the session ended before it was welcomed: {}", end.reason())),
        Err(_) => Failure::Protocol("the gateway ended the control stream without a word".to_owned()),
    }
}

fn explain(error: SessionDialError) -> Failure {
    let text = chain(&error);
    match &error {
        SessionDialError::Unresolved { .. } => Failure::Unresolved(text),
        SessionDialError::Dial(DialError::Failed {
            source: quinn::ConnectionError::TransportError(error),
            ..
        }) if TLS_ERRORS.contains(&u64::from(error.code)) => Failure::Tls(text),
        SessionDialError::Dial(DialError::Failed { source: quinn::ConnectionError::TimedOut, .. }) => {
            Failure::Dial(format!("{text}; is the gateway running, and is UDP to its port open?"))
        }
        SessionDialError::Session(ConnectError::Refused(refusal)) => Failure::Refused {
            code: code_of(refusal.status.as_u16()),
            message: format!("{text} {}", String::from_utf8_lossy(&refusal.body)),
            retry_after: seconds(refusal.headers.get("retry-after").map(|value| value.as_bytes())),
        },
        _ => Failure::Dial(text),
    }
}

fn seconds(header: Option<&[u8]>) -> Duration {
    let number = header.and_then(|text| std::str::from_utf8(text).ok()?.trim().parse().ok());
    number.map_or(Duration::ZERO, Duration::from_secs)
}

/// The code that an HTTP status stands for.
fn code_of(status: u16) -> Code {
    match status {
        400 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        409 => Code::Aborted,
        413 | 429 => Code::ResourceExhausted,
        503 => Code::Unavailable,
        504 => Code::DeadlineExceeded,
        _ => Code::Internal,
    }
}

/// An error and what caused it, without what is said twice.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}

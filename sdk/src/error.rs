//! What can go wrong, one type per operation. Each says where, why, and what to do.

use crate::names::BadName;
use macula_proto::pattern::PatternError;
use macula_proto::topic::TopicError;
use macula_proto::v1::Code;
use std::time::Duration;
use thiserror::Error;

/// Settings of a [`Builder`](crate::Builder) that cannot be used; all problems at once.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", .problems.join("; "))]
pub struct SettingsError {
    /// One sentence for each problem, with the setting it is about.
    pub problems: Vec<String>,
}

/// The client has not connected.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The settings do not say where to connect, or how.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// No gateway of the list could be reached or took the client.
    #[error("{}", .attempts.iter().map(Attempt::to_string).collect::<Vec<_>>().join("; "))]
    Failed {
        /// What happened at each address, in the order in which they were tried.
        attempts: Vec<Attempt>,
    },
    /// The client's thread or its sockets could not be made.
    #[error("cannot start the client's I/O: {0}")]
    Io(String),
    /// The client was closed before it connected.
    #[error("the client was closed")]
    Closed,
}

impl ConnectError {
    /// Code and text of the first gateway that answered and refused the client.
    ///
    /// ```no_run
    /// # async fn example() -> macula_sdk::doc::Outcome {
    /// use macula_sdk::{Client, Code};
    /// if let Err(error) = Client::connect("https://localhost:9443").await
    ///     && let Some((Code::InvalidArgument, text)) = error.refusal()
    /// {
    ///     eprintln!("another realm? {text}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn refusal(&self) -> Option<(Code, &str)> {
        let Self::Failed { attempts } = self else { return None };
        attempts.iter().find_map(|attempt| match &attempt.failure {
            Failure::Refused { code, message, .. } => Some((*code, message.as_str())),
            _ => None,
        })
    }
}

/// One address that was tried.
#[derive(Debug, Error)]
#[error("{url}: {failure}")]
pub struct Attempt {
    /// The gateway's URL.
    pub url: String,
    /// Why it did not work.
    #[source]
    pub failure: Failure,
}

/// Why one address did not work.
#[derive(Debug, Error)]
pub enum Failure {
    /// The name has no address.
    #[error("{0}; check the host name in the URL")]
    Unresolved(String),
    /// The gateway's certificate is not trusted, or TLS failed otherwise.
    #[error("{0}; is MACULA_CA the authority of this gateway, and is the URL's host in its certificate?")]
    Tls(String),
    /// No session came about for another reason.
    #[error("{0}")]
    Dial(String),
    /// The gateway answered and refused, for instance because it serves another realm.
    #[error("refused, {}: {message}", .code.as_str_name())]
    Refused {
        /// The gateway's code.
        code: Code,
        /// The gateway's explanation.
        message: String,
        /// How long to wait before trying again.
        retry_after: Duration,
    },
    /// Nothing came back in time.
    #[error("no answer within {0:?}; is the gateway running, and is UDP to its port open?")]
    TimedOut(Duration),
    /// The other end does not speak this protocol, or the connection broke during the greeting.
    #[error("{0}")]
    Protocol(String),
    /// The token could not be read.
    #[error("cannot read the token file {path}: {reason}")]
    Token {
        /// The file.
        path: String,
        /// The system's words.
        reason: String,
    },
}

/// A message was not published.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PublishError {
    /// The text is no topic; nothing was sent.
    #[error("cannot publish to `{topic}`: {source}")]
    Topic {
        /// The text.
        topic: String,
        /// Where and why.
        source: TopicError,
    },
    /// The gateway refused this message; the session goes on.
    #[error("the gateway refused the message, {}: {message}", .code.as_str_name())]
    Refused {
        /// The gateway's code.
        code: Code,
        /// The gateway's explanation.
        message: String,
    },
    /// Larger than the gateway takes; nothing was sent.
    #[error("the {what} has {bytes} bytes, at most {limit} are allowed")]
    TooLarge {
        /// Payload, key or headers.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The gateway has answered, and the answer was lost with the connection. It took the event, or refused it; by far
    /// the most are taken. Publishing it again may double it.
    #[error("the connection was lost before the gateway's answer came; the event was probably accepted")]
    Unanswered,
    /// The client is closed. An event that had been handed over may or may not have been accepted.
    #[error("the client is closed")]
    Closed,
}

/// A message was not taken by [`Publisher::try_send`](crate::Publisher::try_send).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TrySendError {
    /// The buffer is full: wait, or send less.
    #[error("the send buffer is full")]
    Full,
    /// It cannot be published at all.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// Not all events that were handed over have been accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FlushError {
    /// All were answered, some with a refusal.
    #[error("the gateway refused {count} messages, the first with {}: {message}", .code.as_str_name())]
    Refused {
        /// Messages refused since the last flush whose publisher did not wait for the answer.
        count: u64,
        /// Code of the first.
        code: Code,
        /// Explanation of the first.
        message: String,
    },
    /// All were answered, and some answers were lost with a connection: each of these was accepted or refused, by far
    /// the most accepted.
    #[error("the answers to {count} messages were lost with a connection; they were probably accepted")]
    Unanswered {
        /// How many that nobody waited for one by one.
        count: u64,
    },
    /// The client is closed.
    #[error("the client is closed; events that were handed over may not have been accepted")]
    Closed,
}

/// A subscription was not made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SubscribeError {
    /// The text is no pattern; nothing was sent.
    #[error("cannot subscribe to `{pattern}`: {source}")]
    Pattern {
        /// The text.
        pattern: String,
        /// Where and why.
        source: PatternError,
    },
    /// The gateway refused it.
    #[error("cannot subscribe to `{pattern}`, {}: {message}", .code.as_str_name())]
    Refused {
        /// What was to be subscribed to.
        pattern: String,
        /// The gateway's code.
        code: Code,
        /// The gateway's explanation.
        message: String,
    },
    /// The client is closed.
    #[error("the client is closed")]
    Closed,
}

/// A procedure was not registered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RegisterError {
    /// The text is no procedure and no pattern of procedures; nothing was sent.
    #[error("cannot register `{procedure}`: {source}")]
    Procedure {
        /// The text.
        procedure: String,
        /// Where and why.
        source: PatternError,
    },
    /// The gateway refused it, for instance because another client has registered it.
    #[error("cannot register `{procedure}`, {}: {message}", .code.as_str_name())]
    Refused {
        /// What was to be registered.
        procedure: String,
        /// The gateway's code.
        code: Code,
        /// The gateway's explanation.
        message: String,
    },
    /// The client is closed.
    #[error("the client is closed")]
    Closed,
}

/// A call had no result. The callee, the gateway and this client all speak in codes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("call of `{procedure}` failed, {}: {message}", .code.as_str_name())]
pub struct CallError {
    /// What was called.
    pub procedure: String,
    /// `NotFound`: nobody has registered it. `InvalidArgument`: it is no topic, and nothing was sent. `Unavailable`: the callee or a connection was lost, and the call may
    /// or may not have been carried out. `DeadlineExceeded`: no answer in time. Others are the callee's.
    pub code: Code,
    /// Explanation for people.
    pub message: String,
    /// Whatever the callee added.
    pub details: bytes::Bytes,
}

impl CallError {
    pub(crate) fn of(procedure: &str, error: macula_proto::v1::CallError) -> Self {
        let (procedure, code) = (procedure.to_owned(), error.code());
        Self { procedure, code, message: error.message, details: error.details }
    }
}

impl From<BadName<TopicError>> for PublishError {
    fn from(BadName { text: topic, error: source }: BadName<TopicError>) -> Self {
        Self::Topic { topic, source }
    }
}

impl From<BadName<PatternError>> for SubscribeError {
    fn from(BadName { text: pattern, error: source }: BadName<PatternError>) -> Self {
        Self::Pattern { pattern, source }
    }
}

impl From<BadName<PatternError>> for RegisterError {
    fn from(BadName { text: procedure, error: source }: BadName<PatternError>) -> Self {
        Self::Procedure { procedure, source }
    }
}

impl From<BadName<TopicError>> for CallError {
    fn from(BadName { text: procedure, error }: BadName<TopicError>) -> Self {
        let (code, message) = (Code::InvalidArgument, error.to_string());
        Self { procedure, code, message, details: bytes::Bytes::new() }
    }
}

impl From<BadName<PatternError>> for CallError {
    fn from(BadName { text: procedure, error }: BadName<PatternError>) -> Self {
        let (code, message) = (Code::InvalidArgument, error.to_string());
        Self { procedure, code, message, details: bytes::Bytes::new() }
    }
}

/// A payload is not the protobuf message that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the payload of `{topic}` ({content_type}) is no {wanted}: {source}")]
pub struct DecodeError {
    /// Where the payload came from: a topic or a procedure.
    pub topic: String,
    /// The content type it was sent with.
    pub content_type: String,
    /// The type that was asked for.
    pub wanted: &'static str,
    /// What prost says.
    pub source: prost::DecodeError,
}

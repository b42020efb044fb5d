//! Calling a procedure.

use crate::calls::NotBegun;
use crate::client::Client;
use crate::core::Core;
use crate::error::CallError;
use crate::register::Reply;
use crate::status::Status;
use bytes::Bytes;
use macula_proto::v1::{self, Code};
use macula_proto::{Topic, kind, limits};
use std::future::IntoFuture;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Time that a call has unless it says otherwise: what users of gRPC and HTTP clients expect.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// A call about to be made; `.await` makes it. See [`Client::call`].
///
/// A call reaches at most one provider, once; nothing repeats it. Without a connection it waits for one, as long as
/// its time lasts. Dropping the future cancels the call at the provider.
#[must_use = "a call is made when it is awaited"]
#[derive(Debug)]
pub struct Call {
    client: Client,
    procedure: Topic,
    timeout: Duration,
    request: v1::Call,
}

impl Call {
    pub(crate) fn new(client: Client, procedure: Topic, payload: Bytes) -> Self {
        let request = v1::Call { procedure: procedure.to_string(), payload, ..v1::Call::default() };
        Self { client, procedure, timeout: DEFAULT_TIMEOUT, request }
    }

    /// How long to wait for the answer, 30 s by default. The gateway and the provider know it too.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.request.headers.push(v1::Header { name: name.into(), value: value.into() });
        self
    }

    /// Media type of the payload.
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.request.content_type = content_type.into();
        self
    }

    async fn make(self) -> Result<Reply, CallError> {
        let procedure = self.procedure.clone();
        let fail = |code: Code, message: &str| CallError {
            procedure: procedure.to_string(),
            code,
            message: message.to_owned(),
            details: Bytes::new(),
        };
        if self.request.payload.len() > limits::PAYLOAD_BYTES {
            let (bytes, limit) = (self.request.payload.len(), limits::PAYLOAD_BYTES);
            return Err(fail(
                Code::InvalidArgument,
                &format!("the payload has {bytes} bytes, at most {limit} are allowed"),
            ));
        }
        let core = Arc::clone(self.client.core());
        let deadline = Instant::now() + self.timeout;
        let mut overdue = pin!(core.sleep(self.timeout));
        let mut pending = loop {
            match Pending::begin(&core, &self.request, deadline) {
                Ok(pending) => break pending,
                Err(NotBegun::Closed) => return Err(fail(Code::Cancelled, "the client is closed")),
                Err(NotBegun::NotConnected) => {}
            }
            let mut status = core.status.subscribe();
            tokio::select! {
                () = &mut overdue => return Err(fail(Code::Unavailable, "no connection to a gateway within the call's time")),
                _ = status.wait_for(|status| matches!(status, Status::Connected { .. } | Status::Closed)) => {}
            }
        };
        let answer = tokio::select! {
            answer = &mut pending.answer => answer,
            () = &mut overdue => return Err(fail(Code::DeadlineExceeded, "no answer within the call's time")),
        };
        pending.answered = true;
        match answer {
            Ok(Ok(reply)) => Ok(Reply { procedure: procedure.to_string(), ..reply }),
            Ok(Err(error)) => Err(CallError {
                procedure: procedure.to_string(),
                code: error.code(),
                message: error.message,
                details: error.details,
            }),
            Err(_) => Err(fail(Code::Cancelled, "the client is closed")),
        }
    }
}

impl IntoFuture for Call {
    type Output = Result<Reply, CallError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.make())
    }
}

/// A call under way; dropping it before the answer cancels it.
struct Pending<'a> {
    core: &'a Core,
    number: u64,
    answer: oneshot::Receiver<crate::calls::Answer>,
    answered: bool,
}

impl<'a> Pending<'a> {
    fn begin(core: &'a Core, request: &v1::Call, deadline: Instant) -> Result<Self, NotBegun> {
        let (number, answer) = core.calls.begin(|number| {
            // At least a millisecond: none would mean the gateway's default.
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            let call = v1::Call { call: number, timeout_ms: crate::millis(left), ..request.clone() };
            core.rpc.send(kind::CALL, &call);
        })?;
        Ok(Self { core, number, answer, answered: false })
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.answered && self.core.calls.forget(self.number) {
            self.core.rpc.send(kind::CALL_CANCEL, &v1::CallCancel { call: self.number });
        }
    }
}

//! Answers that come one by one: the results of a stream, or what every provider says.

use crate::client::Client;
use crate::error::CallError;
use crate::mailbox::{Item, Mailbox};
use crate::message::PublisherId;
use crate::register::Reply;
use bytes::Bytes;
use macula_proto::v1::{self, Code};
use macula_proto::{Topic, kind};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

/// The results of a call, in order; see [`Call::stream`](crate::Call::stream).
///
/// At most [`Call::window`](crate::Call::window) bytes wait here: who takes them slowly holds the provider back. An
/// error is the last item. Dropping the stream before its end cancels the call at the provider.
#[must_use = "dropping it cancels the call"]
#[derive(Debug)]
pub struct Replies {
    answers: Gathered,
    window: u64,
    taken: u64,
    granted: u64,
}

/// What every provider of a procedure answers, in the order in which it comes; see
/// [`Client::call_all`](crate::Client::call_all). Dropping it before its end cancels the call at those that have not
/// answered.
#[must_use = "dropping it cancels the call"]
#[derive(Debug)]
pub struct Answers(pub(crate) Gathered);

/// What one provider answers when all are asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Who answers: the publisher id of its client. Where a whole gateway could not be asked, for instance because its link
    /// was lost meanwhile, it is the gateway's node id.
    pub provider: PublisherId,
    /// Its result, or why it has none.
    pub result: Result<Reply, CallError>,
}

/// A call whose answers wait in a mailbox.
pub(crate) struct Gathered {
    client: Client,
    procedure: Topic,
    number: u64,
    mailbox: Arc<Mailbox>,
    overdue: Pin<Box<dyn Future<Output = ()> + Send>>,
    ended: bool,
}

impl Gathered {
    pub(crate) fn new(
        client: Client,
        procedure: Topic,
        number: u64,
        mailbox: Arc<Mailbox>,
        deadline: Instant,
    ) -> Self {
        let overdue = client.core().sleep(deadline.saturating_duration_since(Instant::now()));
        Self { client, procedure, number, mailbox, overdue: Box::pin(overdue), ended: false }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Item, CallError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match self.mailbox.poll(context) {
            Poll::Ready(Ok(Some(mut item))) => {
                if let Ok(reply) = &mut item.result {
                    reply.procedure = self.procedure.to_string();
                }
                return Poll::Ready(Some(Ok(item)));
            }
            Poll::Ready(Ok(None)) => {
                self.ended = true;
                return Poll::Ready(None);
            }
            Poll::Ready(Err(error)) => {
                self.ended = true;
                return Poll::Ready(Some(Err(CallError::of(self.procedure.as_str(), error))));
            }
            Poll::Pending => {}
        }
        ready!(self.overdue.as_mut().poll(context));
        self.ended = true;
        self.client.core().cancel_call(self.number);
        Poll::Ready(Some(Err(CallError {
            procedure: self.procedure.to_string(),
            code: Code::DeadlineExceeded,
            message: "the answers have not ended within the call's time".to_owned(),
            details: Bytes::new(),
        })))
    }
}

impl Drop for Gathered {
    fn drop(&mut self) {
        if !self.ended {
            self.client.core().cancel_call(self.number);
        }
    }
}

impl fmt::Debug for Gathered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gathered")
            .field("procedure", &self.procedure)
            .field("number", &self.number)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl Replies {
    pub(crate) fn new(answers: Gathered, window: u64) -> Self {
        Self { answers, window, taken: 0, granted: window }
    }

    /// The next result; `None` at the end. An error is the last.
    ///
    /// ```no_run
    /// # async fn example(mut replies: macula_sdk::Replies) -> macula_sdk::doc::Outcome {
    /// while let Some(reply) = replies.next().await {
    ///     println!("{} bytes", reply?.payload().len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn next(&mut self) -> Option<Result<Reply, CallError>> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Reply, CallError>>> {
        let item = match ready!(self.answers.poll(context)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            Some(Ok(item)) => item,
        };
        if let Ok(reply) = &item.result {
            self.take(reply.payload.len() as u64);
        }
        let procedure = self.answers.procedure.as_str();
        Poll::Ready(Some(item.result.map_err(|error| CallError::of(procedure, error))))
    }

    /// The application has taken so many bytes; grants as many again, a quarter of the window at a time at least.
    fn take(&mut self, bytes: u64) {
        self.taken += bytes;
        let total = self.taken + self.window;
        if total - self.granted >= self.window.div_ceil(4) {
            self.granted = total;
            let credit = v1::CallCredit { call: self.answers.number, total };
            self.answers.client.core().rpc.send(kind::CALL_CREDIT, &credit);
        }
    }
}

impl futures_core::Stream for Replies {
    type Item = Result<Reply, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context)
    }
}

impl Answers {
    /// The next provider's answer; `None` when all have answered. An error is the last: it ended the call as a whole, for
    /// instance because nobody has registered the procedure.
    ///
    /// ```no_run
    /// # async fn example(mut answers: macula_sdk::Answers) -> macula_sdk::doc::Outcome {
    /// while let Some(answer) = answers.next().await {
    ///     println!("{:?}", answer?.result);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn next(&mut self) -> Option<Result<Answer, CallError>> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Answer, CallError>>> {
        let polled = ready!(self.0.poll(context));
        let procedure = self.0.procedure.as_str();
        Poll::Ready(polled.map(|item| {
            item.map(|Item { provider, result }| Answer {
                provider,
                result: result.map_err(|error| CallError::of(procedure, error)),
            })
        }))
    }
}

impl futures_core::Stream for Answers {
    type Item = Result<Answer, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context)
    }
}

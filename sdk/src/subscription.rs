//! A subscription as the application sees it.

use crate::block::Block;
use crate::client::Client;
use crate::core::Core;
use crate::error::SubscribeError;
use crate::inbox::Inbox;
use crate::message::Message;
use futures_core::Stream;
use macula_proto::Pattern;
use macula_proto::v1::{Acknowledged, Overflow, Scope, Subscribe as Request};
use std::collections::VecDeque;
use std::future::{IntoFuture, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// What a subscription yields: messages, and in between, at the place where it happened, every loss.
#[derive(Clone, Debug)]
pub enum Notification {
    /// A message.
    Message(Message),
    /// So many telemetry messages to this client were dropped here because it fell behind. The gateway counts them
    /// for the whole client; every subscription is told.
    Dropped(u64),
    /// Events were lost here: so many for the whole client, or an unknown number, as after a reconnect.
    Gap(Option<u64>),
    /// The retained values have come; what follows is live. Again after a reconnect, with the values of then.
    RetainedEnd,
}

impl Notification {
    /// The message, if it is one.
    pub fn message(self) -> Option<Message> {
        match self {
            Self::Message(message) => Some(message),
            _ => None,
        }
    }
}

/// A subscription about to be made; `.await` makes it. See [`Client::subscribe`].
#[must_use = "a subscription is made when it is awaited"]
#[derive(Debug)]
pub struct Subscribe {
    client: Client,
    request: Request,
}

impl Subscribe {
    pub(crate) fn new(client: Client, pattern: &Pattern) -> Self {
        let request = Request { pattern: pattern.as_str().to_owned(), ..Request::default() };
        Self { client, request }
    }

    /// Begin with the retained values that match, then [`Notification::RetainedEnd`].
    pub fn retained(mut self) -> Self {
        self.request.retained = true;
        self
    }

    /// Receive this client's own messages too.
    pub fn echo(mut self) -> Self {
        self.request.echo = true;
        self
    }

    /// Resolve when every gateway of the mesh knows the subscription, at most two seconds later;
    /// [`Subscription::missing`] names those that do not. Otherwise the local gateway is enough.
    pub fn scope_mesh(mut self) -> Self {
        self.request.scope = Scope::Mesh.into();
        self
    }

    /// What happens to telemetry that finds this client's queue full. By default the newest message of each topic
    /// and key is kept if there is a key, and the oldest messages are dropped if there is none.
    pub fn overflow_telemetry(mut self, overflow: Overflow) -> Self {
        self.request.telemetry = overflow.into();
        self
    }

    /// What happens to events that find this client's queue full. By default publishers are held back, for ten
    /// seconds at most.
    pub fn overflow_events(mut self, overflow: Overflow) -> Self {
        self.request.events = overflow.into();
        self
    }

    /// How long [`Overflow::Block`] holds publishers back, 10 s by default.
    pub fn block_for(mut self, longest: Duration) -> Self {
        self.request.block_ms = crate::millis(longest);
        self
    }
}

impl IntoFuture for Subscribe {
    type Output = Result<Subscription, SubscribeError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let inbox = Arc::new(Inbox::default());
            let (number, answer) = self.client.core().subscribe(self.request, Arc::clone(&inbox))?;
            // From here on, dropping this future unsubscribes.
            let mut subscription = Subscription {
                client: self.client,
                number,
                inbox,
                blocks: VecDeque::new(),
                emptied: None,
                acknowledged: Acknowledged::default(),
            };
            subscription.acknowledged = answer.await.unwrap_or(Err(SubscribeError::Closed))?;
            Ok(subscription)
        })
    }
}

/// Messages that match a pattern, in the order of each publisher. Dropping it unsubscribes.
///
/// Read it steadily: what is not read takes the window of the class from the gateway, which then treats this client
/// as slow. Messages that one client receives through several subscriptions come to each of them.
#[derive(Debug)]
pub struct Subscription {
    client: Client,
    number: u32,
    inbox: Arc<Inbox>,
    /// Taken from the inbox and not yet given to the application.
    blocks: VecDeque<Block>,
    emptied: Option<Block>,
    acknowledged: Acknowledged,
}

impl Subscription {
    /// The next notification; `None` when the client is closed or the gateway no longer allows the subscription.
    pub async fn next(&mut self) -> Option<Notification> {
        poll_fn(|context| self.poll_notification(context)).await
    }

    /// The next message. Losses in between are logged as warnings only; use [`next`](Self::next) to act on them.
    pub async fn next_message(&mut self) -> Option<Message> {
        loop {
            match self.next().await? {
                Notification::Message(message) => return Some(message),
                Notification::RetainedEnd => {}
                loss => tracing::warn!(subscription = self.number, ?loss, "messages were lost"),
            }
        }
    }

    /// Everything that has come, at least one notification; `None` at the end.
    pub async fn next_batch(&mut self) -> Option<Batch> {
        let block = poll_fn(|context| self.poll_block(context)).await?;
        Some(Batch { core: Arc::clone(self.client.core()), block })
    }

    /// Calls `each` with every notification until the end. The fastest way to receive.
    pub async fn for_each(mut self, mut each: impl FnMut(Notification)) {
        while let Some(batch) = self.next_batch().await {
            batch.for_each(&mut each);
        }
    }

    /// How many gateways knew the subscription when it was acknowledged, the local one included.
    pub fn confirmed(&self) -> u32 {
        self.acknowledged.confirmed
    }

    /// Names of the gateways that did not know it yet; see [`Subscribe::scope_mesh`].
    pub fn missing(&self) -> &[String] {
        &self.acknowledged.missing
    }

    #[inline]
    fn poll_notification(&mut self, context: &mut Context<'_>) -> Poll<Option<Notification>> {
        loop {
            if let Some(block) = self.blocks.front_mut() {
                if let Some(notification) = block.next() {
                    return Poll::Ready(Some(notification));
                }
                self.emptied = self.blocks.pop_front();
                self.release();
                continue;
            }
            if !ready!(self.inbox.poll_swap(&mut self.blocks, &mut self.emptied, context)) {
                return Poll::Ready(None);
            }
        }
    }

    fn poll_block(&mut self, context: &mut Context<'_>) -> Poll<Option<Block>> {
        loop {
            match self.blocks.pop_front() {
                Some(block) if block.remaining() > 0 => return Poll::Ready(Some(block)),
                Some(block) => {
                    self.emptied = Some(block);
                    self.release();
                }
                None if !ready!(self.inbox.poll_swap(&mut self.blocks, &mut self.emptied, context)) => {
                    return Poll::Ready(None);
                }
                None => {}
            }
        }
    }

    fn release(&self) {
        if let Some(block) = &self.emptied {
            self.client.core().release(block);
        }
    }
}

impl Stream for Subscription {
    type Item = Notification;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Notification>> {
        self.get_mut().poll_notification(context)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let core = self.client.core();
        core.unsubscribe(self.number);
        for block in self.blocks.drain(..).chain(self.inbox.drain()) {
            core.release(&block);
        }
    }
}

/// Notifications that have come together. The gateway may send more in their place once it is dropped.
#[derive(Debug)]
pub struct Batch {
    core: Arc<Core>,
    block: Block,
}

impl Iterator for Batch {
    type Item = Notification;

    #[inline]
    fn next(&mut self) -> Option<Notification> {
        self.block.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.block.remaining()))
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.core.release(&self.block);
    }
}

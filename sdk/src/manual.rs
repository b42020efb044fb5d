//! Subscriptions whose events the application acknowledges itself.

use crate::acks::Hold;
use crate::block::Block;
use crate::core::Core;
use crate::error::SubscribeError;
use crate::feed::Feed;
use crate::message::Message;
use crate::subscription::{Notification, Subscribe};
use futures_core::Stream;
use std::future::{IntoFuture, poll_fn};
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Messages that match a pattern, each to be acknowledged when the application has done with it. See
/// [`Subscribe::manual_ack`].
///
/// An event that was not acknowledged is delivered again to whoever takes the session over, that is, to the next process
/// with the same [session name](crate::Builder::session_name); so what is acknowledged after it was stored is neither
/// lost nor, if the store remembers up to which event it has come, done twice. Within one process nothing is delivered
/// twice. Acknowledging out of order is fine: the gateway is told up to where everything has been acknowledged.
///
/// **Bounded**: the gateway sends no more events to this client, whichever of its subscriptions they are for, while
/// 16 MiB of them are not acknowledged. Telemetry is not acknowledged; doing so has no effect.
///
/// ```no_run
/// # async fn store(_: &macula_sdk::Message) -> std::io::Result<()> { Ok(()) }
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = macula_sdk::Client::builder().session_name("ledger").connect().await?;
/// let mut trades = client.subscribe("trade.*").manual_ack().await?;
/// while let Some(trade) = trades.next_delivery().await {
///     store(&trade).await?;
///     trade.ack();
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ManualSubscription {
    feed: Feed,
}

impl IntoFuture for Subscribe<ManualSubscription> {
    type Output = Result<ManualSubscription, SubscribeError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { Ok(ManualSubscription { feed: self.open(true).await? }) })
    }
}

impl ManualSubscription {
    /// The next notification; `None` when the client is closed or the gateway no longer allows the subscription. Losses
    /// count as acknowledged when they are taken.
    ///
    /// ```no_run
    /// # async fn example(mut trades: macula_sdk::ManualSubscription) -> macula_sdk::doc::Outcome {
    /// use macula_sdk::Notification;
    /// while let Some(notification) = trades.next().await {
    ///     match notification {
    ///         Notification::Message(trade) => trade.ack(),
    ///         loss => eprintln!("{loss:?}"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn next(&mut self) -> Option<Notification<Delivery>> {
        poll_fn(|context| self.poll_notification(context)).await
    }

    /// The next message. Losses in between are logged as warnings only; use [`next`](Self::next) to act on them.
    ///
    /// ```no_run
    /// # async fn example(mut trades: macula_sdk::ManualSubscription) -> macula_sdk::doc::Outcome {
    /// while let Some(trade) = trades.next_delivery().await {
    ///     println!("{:?}", trade.payload());
    ///     trade.ack();
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn next_delivery(&mut self) -> Option<Delivery> {
        loop {
            match self.next().await? {
                Notification::Message(delivery) => return Some(delivery),
                Notification::RetainedEnd => {}
                loss => {
                    tracing::warn!(subscription = self.feed.number(), ?loss, "messages were lost");
                }
            }
        }
    }

    /// Everything that has come, at least one notification, to be acknowledged together; `None` at the end.
    ///
    /// ```no_run
    /// # async fn example(mut trades: macula_sdk::ManualSubscription) {
    /// while let Some(mut batch) = trades.next_batch().await {
    ///     for notification in &mut batch {
    ///         println!("{notification:?}");
    ///     }
    ///     // The transaction is committed here.
    ///     batch.ack();
    /// }
    /// # }
    /// ```
    pub async fn next_batch(&mut self) -> Option<ManualBatch> {
        let block = poll_fn(|context| self.feed.poll_block(context)).await?;
        let acknowledgement = Acknowledgement {
            core: self.feed.core(),
            subscription: self.feed.number(),
            // Of a block that was begun, what is left.
            hold: block.hold.map(|hold| hold.plus(block.len() - block.remaining())),
            items: block.remaining(),
            bytes: block.bytes,
        };
        Some(ManualBatch { acknowledgement: Some(acknowledgement), core: self.feed.core(), block })
    }

    /// How many gateways knew the subscription when it was acknowledged, the local one included.
    ///
    /// ```no_run
    /// # async fn example(mut trades: macula_sdk::ManualSubscription) -> macula_sdk::doc::Outcome {
    /// println!("{} gateways know of it", trades.confirmed());
    /// # Ok(())
    /// # }
    /// ```
    pub fn confirmed(&self) -> u32 {
        self.feed.acknowledged.confirmed
    }

    /// Names of the gateways that did not know it yet; see [`Subscribe::scope_mesh`].
    ///
    /// ```no_run
    /// # async fn example(mut trades: macula_sdk::ManualSubscription) -> macula_sdk::doc::Outcome {
    /// println!("not yet: {}", trades.missing().join(", "));
    /// # Ok(())
    /// # }
    /// ```
    pub fn missing(&self) -> &[String] {
        &self.feed.acknowledged.missing
    }

    fn poll_notification(&mut self, context: &mut Context<'_>) -> Poll<Option<Notification<Delivery>>> {
        let (core, subscription) = (self.feed.core(), self.feed.number());
        self.feed.poll_next(context, |block| {
            loop {
                let notification = block.step()?;
                let mut acknowledgement = Acknowledgement {
                    core: Arc::clone(&core),
                    subscription,
                    hold: block.given(),
                    items: 1,
                    bytes: 0,
                };
                match notification {
                    Some(Notification::Message(message)) => {
                        acknowledgement.bytes = message.size() as u64;
                        return Some(Notification::Message(Delivery { message, acknowledgement }));
                    }
                    Some(notice) => {
                        acknowledgement.ack();
                        // It has no message.
                        return Some(notice.map(|_| unreachable!("messages are matched above")));
                    }
                    // Not even the gateway's is without fault.
                    None => acknowledgement.ack(),
                }
            }
        })
    }
}

impl Stream for ManualSubscription {
    type Item = Notification<Delivery>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Notification<Delivery>>> {
        self.get_mut().poll_notification(context)
    }
}

/// A message that waits to be acknowledged. It reads like a [`Message`]; dropping it leaves it unacknowledged.
#[must_use = "a message that is not acknowledged is delivered again to the next process of this session's name"]
#[derive(Debug)]
pub struct Delivery {
    message: Message,
    acknowledgement: Acknowledgement,
}

impl Delivery {
    /// The application has done with the message.
    ///
    /// ```no_run
    /// # async fn example(delivery: macula_sdk::Delivery) -> macula_sdk::doc::Outcome {
    /// println!("{} is stored", delivery.key());
    /// delivery.ack();
    /// # Ok(())
    /// # }
    /// ```
    pub fn ack(self) {
        self.acknowledgement.ack();
    }

    /// Message and acknowledgement apart, where they go different ways.
    ///
    /// ```no_run
    /// # async fn example(delivery: macula_sdk::Delivery) -> macula_sdk::doc::Outcome {
    /// let (message, acknowledgement) = delivery.split();
    /// println!("{message:?}");
    /// acknowledgement.ack();
    /// # Ok(())
    /// # }
    /// ```
    pub fn split(self) -> (Message, Acknowledgement) {
        (self.message, self.acknowledgement)
    }
}

impl Deref for Delivery {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

/// What acknowledges a [`Delivery`] or a [`ManualBatch`] later, from whatever thread. Dropping it acknowledges nothing.
#[must_use = "nothing is acknowledged until ack() is called"]
#[derive(Debug)]
pub struct Acknowledgement {
    core: Arc<Core>,
    subscription: u32,
    hold: Option<Hold>,
    items: usize,
    bytes: u64,
}

impl Acknowledgement {
    /// Acknowledges. After the session has ended this has no effect: what was not acknowledged by then is not delivered
    /// to this process again, since it has it.
    ///
    /// ```no_run
    /// # async fn example(batch: macula_sdk::ManualBatch) -> macula_sdk::doc::Outcome {
    /// let acknowledgement = batch.into_acknowledgement();
    /// std::thread::spawn(move || acknowledgement.ack());
    /// # Ok(())
    /// # }
    /// ```
    pub fn ack(self) {
        if let Some(hold) = self.hold {
            let send = |position| self.core.acknowledge(position);
            self.core.acks.acknowledge(self.subscription, hold, self.items, self.bytes, send);
        }
    }
}

/// Notifications that have come together and are acknowledged together. Iterate over `&mut batch`, then
/// [`ack`](Self::ack) it.
#[must_use = "messages that are not acknowledged are delivered again to the next process of this session's name"]
#[derive(Debug)]
pub struct ManualBatch {
    acknowledgement: Option<Acknowledgement>,
    core: Arc<Core>,
    block: Block,
}

impl ManualBatch {
    /// The application has done with all of it, with what it did not look at as well.
    ///
    /// ```no_run
    /// # async fn example(mut batch: macula_sdk::ManualBatch) -> macula_sdk::doc::Outcome {
    /// let stored: Vec<_> = batch.by_ref().collect();
    /// batch.ack();
    /// # Ok(())
    /// # }
    /// ```
    pub fn ack(self) {
        self.into_acknowledgement().ack();
    }

    /// Gives the memory of the messages back, and keeps what acknowledges them: for several batches that are stored
    /// together.
    ///
    /// ```no_run
    /// # async fn example(batches: Vec<macula_sdk::ManualBatch>) -> macula_sdk::doc::Outcome {
    /// let stored: Vec<_> = batches.into_iter().map(|batch| batch.into_acknowledgement()).collect();
    /// stored.into_iter().for_each(|acknowledgement| acknowledgement.ack());
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_acknowledgement(mut self) -> Acknowledgement {
        self.acknowledgement.take().expect("it is taken once, here, where the batch ends")
    }
}

impl Iterator for ManualBatch {
    type Item = Notification;

    fn next(&mut self) -> Option<Notification> {
        self.block.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.block.remaining()))
    }
}

impl Drop for ManualBatch {
    fn drop(&mut self) {
        self.core.give_back(&self.block);
    }
}

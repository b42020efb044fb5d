//! A subscription as the application sees it.

use crate::block::Block;
use crate::client::Client;
use crate::core::Core;
use crate::error::SubscribeError;
use crate::feed::Feed;
use crate::manual::ManualSubscription;
use crate::message::Message;
use crate::names::BadName;
use crate::typed::TypedSubscription;
use futures_core::Stream;
use macula_proto::Pattern;
use macula_proto::pattern::PatternError;
use macula_proto::v1::{self, Overflow, Scope, Subscribe as Request};
use std::future::{IntoFuture, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// What a subscription yields: messages, and in between, at the place where it happened, every loss.
///
/// Counts are of the whole client: the gateway does not know for which of its subscriptions a message was meant that it
/// did not look at. Every subscription is told. What a subscription loses because it is not read itself is counted for
/// and told to it alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notification<M = Message> {
    /// A message.
    Message(M),
    /// So many telemetry messages to this client were dropped here because it fell behind. The gateway counts them
    /// for the whole client; every subscription is told.
    Dropped(u64),
    /// Events were lost here: so many for the whole client, or an unknown number, as after moving to another gateway.
    Gap(Option<u64>),
    /// The retained values have come; what follows is live. Again after a reconnect, with the values of then.
    RetainedEnd,
}

impl<M> Notification<M> {
    /// The message, if it is one.
    ///
    /// ```no_run
    /// # async fn example(notification: macula_sdk::Notification) -> macula_sdk::doc::Outcome {
    /// if let Some(message) = notification.message() {
    ///     println!("{}", message.topic());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn message(self) -> Option<M> {
        match self {
            Self::Message(message) => Some(message),
            _ => None,
        }
    }

    /// The same with another kind of message.
    ///
    /// ```no_run
    /// # async fn example(notification: macula_sdk::Notification) -> macula_sdk::doc::Outcome {
    /// let lengths = notification.map(|message| message.payload().len());
    /// # Ok(())
    /// # }
    /// ```
    pub fn map<N>(self, change: impl FnOnce(M) -> N) -> Notification<N> {
        match self {
            Self::Message(message) => Notification::Message(change(message)),
            Self::Dropped(count) => Notification::Dropped(count),
            Self::Gap(count) => Notification::Gap(count),
            Self::RetainedEnd => Notification::RetainedEnd,
        }
    }
}

/// A subscription about to be made; `.await` makes it. See [`Client::subscribe`].
///
/// What is awaited is a [`Subscription`], or another kind where that was asked for: [`manual_ack`](Self::manual_ack).
#[must_use = "a subscription is made when it is awaited"]
#[derive(Debug)]
pub struct Subscribe<S = Subscription> {
    pub(crate) client: Client,
    pub(crate) request: Request,
    pub(crate) pattern: Result<(), BadName<PatternError>>,
    kind: PhantomData<fn() -> S>,
}

impl Subscribe {
    pub(crate) fn new(client: Client, pattern: Result<Pattern, BadName<PatternError>>) -> Self {
        let mut request = Request::default();
        let pattern = pattern.map(|pattern| pattern.as_str().clone_into(&mut request.pattern));
        Self { client, request, pattern, kind: PhantomData }
    }

    /// The application acknowledges each event itself, when it has done what is to be done; see
    /// [`ManualSubscription`].
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// let mut trades = client.subscribe("trade.*").manual_ack().await?;
    /// while let Some(trade) = trades.next_delivery().await {
    ///     trade.ack();
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn manual_ack(self) -> Subscribe<ManualSubscription> {
        self.into_kind()
    }

    /// Every message is to be the protobuf message `T`; one that is not is an error in its place, and the subscription
    /// goes on. See [`TypedSubscription`].
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// # use macula_sdk::doc::Reading;
    /// let mut readings = client.subscribe("home.*").typed::<Reading>().await?;
    /// while let Some(reading) = readings.next_message().await {
    ///     println!("{} W", reading?.value.watts);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn typed<T>(self) -> Subscribe<TypedSubscription<T>> {
        self.into_kind()
    }
}

impl<S> Subscribe<S> {
    fn into_kind<T>(self) -> Subscribe<T> {
        let Self { client, request, pattern, .. } = self;
        Subscribe { client, request, pattern, kind: PhantomData }
    }

    /// Makes it.
    pub(crate) async fn open(self, manual: bool) -> Result<Feed, SubscribeError> {
        self.pattern?;
        Feed::open(self.client, self.request, manual).await
    }

    /// Share the messages with all subscriptions of this group and pattern in the mesh: each goes to one of them. How it
    /// is chosen tells [`share`](Self::share); by default messages of one key go to one member, for as long as it lives.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use macula_sdk::Share;
    /// let mut orders = client.subscribe("orders.*").group("billing").share(Share::LeastLoaded).await?;
    /// while let Some(order) = orders.next_message().await {
    ///     println!("slot {}: {}", order.slot(), order.topic());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn group(mut self, name: impl Into<String>) -> Self {
        self.request.group = name.into();
        self
    }

    /// How a member of the group is chosen for a message, [`Share::Hash`] by default.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// use macula_sdk::Share;
    /// let jobs = client.subscribe("job.*").group("workers").share(Share::RoundRobin).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn share(mut self, share: Share) -> Self {
        self.request.share = v1::Share::from(share).into();
        self
    }

    /// Begin with the retained values that match, then [`Notification::RetainedEnd`].
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// let readings = client.subscribe("home.*").retained().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn retained(mut self) -> Self {
        self.request.retained = true;
        self
    }

    /// Receive this client's own messages too.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// let everything = client.subscribe("home.*").echo().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn echo(mut self) -> Self {
        self.request.echo = true;
        self
    }

    /// Resolve when every gateway of the mesh knows the subscription, at most two seconds later;
    /// [`Subscription::missing`] names those that do not. Otherwise the local gateway is enough.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// let readings = client.subscribe("home.*").scope_mesh().await?;
    /// assert!(readings.missing().is_empty(), "every gateway knows");
    /// # Ok(())
    /// # }
    /// ```
    pub fn scope_mesh(mut self) -> Self {
        self.request.scope = Scope::Mesh.into();
        self
    }

    /// What happens to telemetry that finds this client's queue full. By default the newest message of each topic
    /// and key is kept if there is a key, and the oldest messages are dropped if there is none.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// use macula_sdk::Overflow;
    /// let power = client.subscribe("home.power").overflow_telemetry(Overflow::DropNewest).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn overflow_telemetry(mut self, overflow: Overflow) -> Self {
        self.request.telemetry = overflow.into();
        self
    }

    /// What happens to events that find this client's queue full. By default publishers are held back, for ten
    /// seconds at most.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// use macula_sdk::Overflow;
    /// let readings = client.subscribe("home.*").overflow_events(Overflow::DropOldest).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn overflow_events(mut self, overflow: Overflow) -> Self {
        self.request.events = overflow.into();
        self
    }

    /// How long [`Overflow::Block`] holds publishers back, 10 s by default.
    ///
    /// ```no_run
    /// # async fn example(client: macula_sdk::Client) -> macula_sdk::doc::Outcome {
    /// let minute = std::time::Duration::from_secs(60);
    /// let readings = client.subscribe("home.*").block_for(minute).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn block_for(mut self, longest: Duration) -> Self {
        self.request.block_ms = crate::millis(longest);
        self
    }
}

/// How one of several members of a group is chosen for a message; see [`Subscribe::group`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Share {
    /// By the message's [slot](Message::slot): messages of one key go to one member and stay in order. A slot moves to
    /// another member only when its own leaves, or when a newcomer wins it and the old one has nothing of it left to
    /// acknowledge.
    #[default]
    Hash,
    /// One after the other. No order among messages of one key.
    RoundRobin,
    /// The member that has the least to acknowledge. No order among messages of one key.
    LeastLoaded,
}

impl From<Share> for v1::Share {
    fn from(share: Share) -> Self {
        match share {
            Share::Hash => Self::Hash,
            Share::RoundRobin => Self::RoundRobin,
            Share::LeastLoaded => Self::LeastLoaded,
        }
    }
}

impl IntoFuture for Subscribe {
    type Output = Result<Subscription, SubscribeError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { Ok(Subscription { feed: self.open(false).await? }) })
    }
}

/// Messages that match a pattern, in the order of each publisher. Dropping it unsubscribes; in a session
/// [with a name](crate::Builder::session_name) it leaves the subscription to be claimed.
///
/// Read it steadily: what is not read takes the window of the class from the gateway, which then treats this client
/// as slow. Messages that one client receives through several subscriptions come to each of them.
///
/// **One that is not read does not hold up the others** of its client, nor calls. Beside others, up to
/// [`UNREAD_BYTES`](crate::UNREAD_BYTES) of each class wait for the subscriptions that are not read. When that is full, or
/// eight megabytes of other events have come since the oldest of theirs, a subscription that has not been read for about as
/// long as [`block_for`](Subscribe::block_for) says, under another policy than [`Overflow::Block`] for one second, loses its oldest
/// messages, and is told so by [`Notification::Gap`] or [`Notification::Dropped`] when it is read again; until that time is
/// over the others may wait. The application keeps what it has been given already, at most about 128 KiB, and as
/// long as it does these are not acknowledged: 16 MiB of events later the gateway waits for it.
///
/// Events count as dealt with when the application comes back for more, of a [`Batch`] when that is dropped. Until then
/// the gateway keeps them, and their publishers know them as not settled. Where that is too early, acknowledge
/// [by hand](Subscribe::manual_ack).
#[derive(Debug)]
pub struct Subscription {
    pub(crate) feed: Feed,
}

impl Subscription {
    /// The next notification; `None` when the client is closed or the gateway no longer allows the subscription.
    ///
    /// ```no_run
    /// # async fn example(mut readings: macula_sdk::Subscription) -> macula_sdk::doc::Outcome {
    /// use macula_sdk::Notification;
    /// match readings.next().await {
    ///     Some(Notification::Message(message)) => println!("{message:?}"),
    ///     Some(loss) => println!("{loss:?}"),
    ///     None => println!("the end"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn next(&mut self) -> Option<Notification> {
        poll_fn(|context| self.poll_notification(context)).await
    }

    /// The next message. Losses in between are logged as warnings only; use [`next`](Self::next) to act on them.
    ///
    /// ```no_run
    /// # async fn example(mut readings: macula_sdk::Subscription) -> macula_sdk::doc::Outcome {
    /// while let Some(message) = readings.next_message().await {
    ///     println!("{} {}", message.topic(), message.key());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn next_message(&mut self) -> Option<Message> {
        loop {
            match self.next().await? {
                Notification::Message(message) => return Some(message),
                Notification::RetainedEnd => {}
                loss => tracing::warn!(subscription = self.feed.number(), ?loss, "messages were lost"),
            }
        }
    }

    /// Everything that has come, at least one notification; `None` at the end.
    ///
    /// ```no_run
    /// # async fn example(mut readings: macula_sdk::Subscription) -> macula_sdk::doc::Outcome {
    /// while let Some(batch) = readings.next_batch().await {
    ///     println!("{} messages", batch.filter_map(|notification| notification.message()).count());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn next_batch(&mut self) -> Option<Batch> {
        let block = poll_fn(|context| self.feed.poll_block(context)).await?;
        Some(Batch { core: self.feed.core(), block })
    }

    /// Calls `each` with every notification until the end. The fastest way to receive.
    ///
    /// ```no_run
    /// # async fn example(mut readings: macula_sdk::Subscription) -> macula_sdk::doc::Outcome {
    /// readings.for_each(|notification| println!("{notification:?}")).await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn for_each(mut self, mut each: impl FnMut(Notification)) {
        while let Some(batch) = self.next_batch().await {
            batch.for_each(&mut each);
        }
    }

    /// How many gateways knew the subscription when it was acknowledged, the local one included.
    ///
    /// ```no_run
    /// # async fn example(mut readings: macula_sdk::Subscription) -> macula_sdk::doc::Outcome {
    /// println!("{} gateways know of it", readings.confirmed());
    /// # Ok(())
    /// # }
    /// ```
    pub fn confirmed(&self) -> u32 {
        self.feed.acknowledged.confirmed
    }

    /// Names of the gateways that did not know it yet; see [`Subscribe::scope_mesh`].
    ///
    /// ```no_run
    /// # async fn example(mut readings: macula_sdk::Subscription) -> macula_sdk::doc::Outcome {
    /// println!("not yet: {}", readings.missing().join(", "));
    /// # Ok(())
    /// # }
    /// ```
    pub fn missing(&self) -> &[String] {
        &self.feed.acknowledged.missing
    }

    #[inline]
    fn poll_notification(&mut self, context: &mut Context<'_>) -> Poll<Option<Notification>> {
        self.feed.poll_next(context, Block::next)
    }
}

impl Stream for Subscription {
    type Item = Notification;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Notification>> {
        self.get_mut().poll_notification(context)
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

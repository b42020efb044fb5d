//! Protobuf messages whose content type names their type: `application/x-protobuf; type=package.Name`.
//!
//! What is written by `publish_typed`, `call_typed` and `register_typed` says its type, so that the gateway and the `macula`
//! command can show it as JSON and a reader of another type is told. A payload that does not say one is read as what is
//! asked for.

use crate::block::Block;
use crate::error::{DecodeError, SubscribeError};
use crate::message::Message;
use crate::subscription::{Notification, Subscribe, Subscription};
use futures_core::Stream;
use std::future::{IntoFuture, poll_fn};
use std::marker::PhantomData;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Content type of a protobuf message that says its type.
pub(crate) fn content_type<T: prost::Name>() -> String {
    format!("application/x-protobuf; type={}", T::full_name())
}

pub(crate) fn decode<T: prost::Message + Default>(
    topic: &str,
    content_type: &str,
    payload: &[u8],
) -> Result<T, DecodeError> {
    T::decode(payload).map_err(|source| DecodeError {
        topic: topic.to_owned(),
        content_type: content_type.to_owned(),
        wanted: std::any::type_name::<T>(),
        source,
    })
}

pub(crate) fn decode_typed<T: prost::Message + prost::Name + Default>(
    topic: &str,
    content_type: &str,
    payload: &[u8],
) -> Result<T, DecodeError> {
    let named = content_type.split(';').find_map(|part| part.trim().strip_prefix("type="));
    if named.is_some_and(|named| named.trim_matches('"') != T::full_name()) {
        return Err(DecodeError {
            topic: topic.to_owned(),
            content_type: content_type.to_owned(),
            wanted: std::any::type_name::<T>(),
            #[expect(deprecated, reason = "prost has no other way to make one")]
            source: prost::DecodeError::new("it is another message"),
        });
    }
    decode(topic, content_type, payload)
}

/// Messages that match a pattern, each decoded; see [`Subscribe::typed`]. In all else it is a [`Subscription`].
///
/// ```no_run
/// # use macula_sdk::doc::Reading;
/// # async fn example(client: macula_sdk::Client) -> Result<(), Box<dyn std::error::Error>> {
/// let mut readings = client.subscribe("home.*").typed::<Reading>().await?;
/// while let Some(reading) = readings.next_message().await {
///     match reading {
///         Ok(reading) => println!("{}: {} W", reading.key(), reading.value.watts),
///         Err(error) => eprintln!("{error}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TypedSubscription<T> {
    subscription: Subscription,
    value: PhantomData<fn() -> T>,
}

/// A decoded message. It reads like a [`Message`].
///
/// A [removal](Message::is_removal) without a payload decodes to the value whose fields are all unset, as protobuf has it.
#[derive(Clone, Debug)]
pub struct TypedMessage<T> {
    /// What the publisher wrote.
    pub value: T,
    message: Message,
}

impl<T> TypedMessage<T> {
    /// The message and its decoded payload apart.
    ///
    /// ```no_run
    /// # async fn example(reading: macula_sdk::TypedMessage<macula_sdk::doc::Reading>) -> macula_sdk::doc::Outcome {
    /// let (message, reading) = reading.split();
    /// # Ok(())
    /// # }
    /// ```
    pub fn split(self) -> (Message, T) {
        (self.message, self.value)
    }
}

impl<T> Deref for TypedMessage<T> {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

/// A decoded message, or why it could not be decoded.
type Decoded<T> = Result<TypedMessage<T>, DecodeError>;

impl<T: prost::Message + prost::Name + Default> TypedSubscription<T> {
    /// The next notification; `None` when the client is closed or the gateway no longer allows the subscription. A
    /// message that is no `T` is an error in its place.
    ///
    /// ```no_run
    /// # async fn example(mut readings: macula_sdk::TypedSubscription<macula_sdk::doc::Reading>) -> macula_sdk::doc::Outcome {
    /// use macula_sdk::Notification;
    /// while let Some(notification) = readings.next().await {
    ///     match notification {
    ///         Notification::Message(Ok(reading)) => println!("{} W", reading.value.watts),
    ///         Notification::Message(Err(error)) => eprintln!("{error}"),
    ///         loss => eprintln!("{loss:?}"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn next(&mut self) -> Option<Notification<Decoded<T>>> {
        poll_fn(|context| self.poll_notification(context)).await
    }

    /// The next message. Losses in between are logged as warnings only; use [`next`](Self::next) to act on them.
    ///
    /// ```no_run
    /// # async fn example(mut readings: macula_sdk::TypedSubscription<macula_sdk::doc::Reading>) -> macula_sdk::doc::Outcome {
    /// while let Some(reading) = readings.next_message().await {
    ///     println!("{} W", reading?.value.watts);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn next_message(&mut self) -> Option<Decoded<T>> {
        self.subscription.next_message().await.map(read)
    }

    /// How many gateways knew the subscription when it was acknowledged, the local one included.
    ///
    /// ```no_run
    /// # async fn example(mut readings: macula_sdk::TypedSubscription<macula_sdk::doc::Reading>) -> macula_sdk::doc::Outcome {
    /// println!("{} gateways know of it", readings.confirmed());
    /// # Ok(())
    /// # }
    /// ```
    pub fn confirmed(&self) -> u32 {
        self.subscription.confirmed()
    }

    /// Names of the gateways that did not know it yet; see [`Subscribe::scope_mesh`].
    ///
    /// ```no_run
    /// # async fn example(mut readings: macula_sdk::TypedSubscription<macula_sdk::doc::Reading>) -> macula_sdk::doc::Outcome {
    /// println!("not yet: {}", readings.missing().join(", "));
    /// # Ok(())
    /// # }
    /// ```
    pub fn missing(&self) -> &[String] {
        self.subscription.missing()
    }

    fn poll_notification(&mut self, context: &mut Context<'_>) -> Poll<Option<Notification<Decoded<T>>>> {
        let polled = self.subscription.feed.poll_next(context, Block::next);
        polled.map(|next| next.map(|notification| notification.map(read)))
    }
}

fn read<T: prost::Message + prost::Name + Default>(message: Message) -> Decoded<T> {
    Ok(TypedMessage { value: message.decode_typed()?, message })
}

impl<T: prost::Message + prost::Name + Default> Stream for TypedSubscription<T> {
    type Item = Notification<Decoded<T>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_notification(context)
    }
}

impl<T: 'static> IntoFuture for Subscribe<TypedSubscription<T>> {
    type Output = Result<TypedSubscription<T>, SubscribeError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let subscription = Subscription { feed: self.open(false).await? };
            Ok(TypedSubscription { subscription, value: PhantomData })
        })
    }
}

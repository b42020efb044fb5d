//! What a bot hears: its subscriptions, decoded, in one bounded queue.

use cortexiq_domain::topics::{self, Subject};
use cortexiq_proto::{Payload, TimeAdvanced};
use macula_sdk::{Client, Notification, Pattern, Subscription};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::channel::topic;
use crate::error::RunError;

/// Messages that wait for the bot. A bot that is busy for so long that more come lets the gateway hold them.
const WAITING: usize = 4096;

/// Subscriptions that run into one queue of `E`. Each is read by a task of its own, so that a bot that is held up while
/// it publishes still hears; dropping the feeds ends them.
#[derive(Debug)]
pub struct Feeds<E> {
    client: Client,
    sink: mpsc::Sender<E>,
    tasks: JoinSet<String>,
}

impl<E: Send + 'static> Feeds<E> {
    /// No subscriptions yet, and the end of the queue at which the bot listens.
    pub fn new(client: &Client) -> (Self, mpsc::Receiver<E>) {
        let (sink, source) = mpsc::channel(WAITING);
        (Self { client: client.clone(), sink, tasks: JoinSet::new() }, source)
    }

    /// Another way into the queue, for what does not come by subscription.
    pub fn sink(&self) -> mpsc::Sender<E> {
        self.sink.clone()
    }

    /// Subscribes to a subject, beginning with its retained values if it has any; resolves when the whole mesh knows.
    /// Order is kept within a subject only.
    pub async fn subscribe<T: Payload>(
        &mut self,
        subject: &'static Subject<T>,
        wrap: fn(T) -> E,
    ) -> Result<(), RunError> {
        let mut subscription = subscription(&self.client, subject).await?;
        let sink = self.sink.clone();
        self.tasks.spawn(async move {
            while let Some(payload) = next(&mut subscription, subject).await {
                if sink.send(wrap(payload)).await.is_err() {
                    break;
                }
            }
            subject.topic.to_owned()
        });
        Ok(())
    }

    /// Subscribes to the clock. Only the newest tick counts, so it has no queue.
    pub async fn ticks(&mut self) -> Result<watch::Receiver<Option<TimeAdvanced>>, RunError> {
        let subject = &topics::TIME_ADVANCED;
        let mut subscription = subscription(&self.client, subject).await?;
        let (newest, ticks) = watch::channel(None);
        self.tasks.spawn(async move {
            while let Some(tick) = next(&mut subscription, subject).await {
                newest.send_if_modified(|known| {
                    let newer = known.as_ref().is_none_or(|known| is_newer(&tick, known));
                    if newer {
                        *known = Some(tick);
                    }
                    newer
                });
            }
            subject.topic.to_owned()
        });
        Ok(ticks)
    }

    /// Resolves when a subscription has ended by itself.
    pub async fn ended(&mut self) -> RunError {
        match self.tasks.join_next().await {
            Some(Ok(topic)) => RunError::Ended(topic),
            Some(Err(error)) => RunError::Ended(format!("a reader that failed: {error}")),
            None => std::future::pending().await,
        }
    }
}

async fn subscription<T: Payload>(
    client: &Client,
    subject: &'static Subject<T>,
) -> Result<Subscription, RunError> {
    let subscribe = client.subscribe(Pattern::from(topic(subject.topic))).scope_mesh();
    let subscribe = if subject.retained { subscribe.retained() } else { subscribe };
    let subscription = subscribe.await?;
    if !subscription.missing().is_empty() {
        let missing = subscription.missing().join(", ");
        tracing::warn!(topic = subject.topic, missing, "some gateways do not know the subscription yet");
    }
    Ok(subscription)
}

/// The next message that is what it should be; anything else is told in the log and passed over.
pub(crate) async fn next<T: Payload>(
    subscription: &mut Subscription,
    subject: &'static Subject<T>,
) -> Option<T> {
    loop {
        match subscription.next().await? {
            Notification::Message(message) => match message.decode() {
                Ok(payload) => return Some(payload),
                Err(error) => tracing::warn!(%error, publisher = %message.publisher(), "not understood"),
            },
            Notification::Dropped(count) => tracing::debug!(topic = subject.topic, count, "messages dropped"),
            Notification::Gap(count) => tracing::warn!(topic = subject.topic, ?count, "events were lost"),
            Notification::RetainedEnd => {}
        }
    }
}

/// Ticks may come late, from a retained value after a live one; time never goes back within a run, nor do runs.
fn is_newer(tick: &TimeAdvanced, known: &TimeAdvanced) -> bool {
    (tick.run, tick.tick) > (known.run, known.tick)
}

#[cfg(test)]
mod tests {
    use super::{TimeAdvanced, is_newer};

    #[test]
    fn a_retained_tick_never_sets_the_clock_back() {
        let tick = |run, tick| TimeAdvanced { run, tick, ..Default::default() };
        assert!(is_newer(&tick(1, 6), &tick(1, 5)));
        assert!(!is_newer(&tick(1, 5), &tick(1, 5)));
        assert!(is_newer(&tick(2, 1), &tick(1, 900)), "a new run counts from 1");
        assert!(!is_newer(&tick(1, 901), &tick(2, 1)));
    }
}

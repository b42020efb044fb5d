//! What happens to the connection, as a stream.

use crate::subscription::Notification;
use futures_core::Stream;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Events that wait for one listener; then the oldest go. A guess, not measured: a connection that is lost every second
/// fills it in half a minute.
const WAITING: usize = 64;

/// Something has happened to the connection; see [`Client::events`](crate::Client::events).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionEvent {
    /// Connected to this gateway.
    Connected {
        /// The gateway's name.
        gateway: String,
        /// The session before goes on: nothing was lost.
        resumed: bool,
    },
    /// The gateway is about to leave, and says when to come back.
    Moving {
        /// How long to stay away.
        retry_after: Duration,
    },
    /// The connection was lost; the client tries to connect, for ever.
    Reconnecting {
        /// Why it was lost.
        reason: String,
    },
    /// So many telemetry messages were dropped because this client fell behind. Its subscriptions are told at the place
    /// where it happened.
    Dropped(u64),
    /// Events were lost: so many, or an unknown number. The subscriptions are told too.
    Gap(Option<u64>),
    /// The client is closed, by the application, or because waiting would not help: another process has taken its session
    /// over, or every gateway refuses it for good. This is the last event.
    Closed {
        /// Why, if not because the application wanted it.
        reason: Option<String>,
    },
    /// So many events were not read in time; the client's [`status`](crate::Client::status) tells how it stands now.
    Lagged(u64),
}

/// Everyone who listens.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    state: Mutex<Vec<Weak<Queue>>>,
}

impl Listeners {
    pub(crate) fn listen(&self) -> ConnectionEvents {
        let queue = Arc::new(Queue::default());
        let mut listeners = self.lock();
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners.push(Arc::downgrade(&queue));
        ConnectionEvents { queue }
    }

    pub(crate) fn tell(&self, event: &ConnectionEvent) {
        for queue in self.lock().iter().filter_map(Weak::upgrade) {
            queue.push(event.clone());
        }
    }

    /// Tells of losses that a stream has brought.
    pub(crate) fn tell_losses(&self, losses: Vec<Notification>) {
        for loss in losses {
            match loss {
                Notification::Dropped(count) => self.tell(&ConnectionEvent::Dropped(count)),
                Notification::Gap(count) => self.tell(&ConnectionEvent::Gap(count)),
                Notification::Message(_) | Notification::RetainedEnd => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Queue>>> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

/// What happens to a client's connection, from the time that this was asked for. See
/// [`Client::events`](crate::Client::events).
#[derive(Debug)]
pub struct ConnectionEvents {
    queue: Arc<Queue>,
}

impl ConnectionEvents {
    /// The next event; `None` after [`ConnectionEvent::Closed`].
    ///
    /// ```no_run
    /// # async fn example(mut events: macula_sdk::ConnectionEvents) -> macula_sdk::doc::Outcome {
    /// while let Some(event) = events.next().await {
    ///     println!("{event:?}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn next(&mut self) -> Option<ConnectionEvent> {
        poll_fn(|context| self.queue.poll(context)).await
    }
}

impl Stream for ConnectionEvents {
    type Item = ConnectionEvent;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<ConnectionEvent>> {
        self.queue.poll(context)
    }
}

/// Events for one listener.
#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<ConnectionEvent>,
    lagged: u64,
    ended: bool,
    waker: Option<Waker>,
}

impl Queue {
    fn push(&self, event: ConnectionEvent) {
        let waker = {
            let mut state = self.lock();
            if state.waiting.len() == WAITING {
                state.waiting.pop_front();
                state.lagged += 1;
            }
            state.ended = matches!(event, ConnectionEvent::Closed { .. });
            state.waiting.push_back(event);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<ConnectionEvent>> {
        let mut state = self.lock();
        if state.lagged > 0 {
            return Poll::Ready(Some(ConnectionEvent::Lagged(std::mem::take(&mut state.lagged))));
        }
        match state.waiting.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None if state.ended => Poll::Ready(None),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(events: &ConnectionEvents) -> Poll<Option<ConnectionEvent>> {
        events.queue.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn who_lags_is_told_so_and_gets_the_newest() {
        let listeners = Listeners::default();
        let events = listeners.listen();
        assert!(poll(&events).is_pending());
        for count in 1..=WAITING as u64 + 2 {
            listeners.tell(&ConnectionEvent::Dropped(count));
        }
        assert_eq!(poll(&events), Poll::Ready(Some(ConnectionEvent::Lagged(2))));
        assert_eq!(poll(&events), Poll::Ready(Some(ConnectionEvent::Dropped(3))));
    }

    #[test]
    fn the_end_comes_after_everything_else() {
        let listeners = Listeners::default();
        let events = listeners.listen();
        let closed = ConnectionEvent::Closed { reason: None };
        listeners.tell(&ConnectionEvent::Gap(None));
        listeners.tell(&closed);
        assert_eq!(poll(&events), Poll::Ready(Some(ConnectionEvent::Gap(None))));
        assert_eq!(poll(&events), Poll::Ready(Some(closed)));
        assert_eq!(poll(&events), Poll::Ready(None));
    }

    #[test]
    fn who_no_longer_listens_is_forgotten() {
        let listeners = Listeners::default();
        drop(listeners.listen());
        let _events = listeners.listen();
        assert_eq!(listeners.lock().len(), 1);
    }
}

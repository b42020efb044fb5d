//! An [`Outbox`] that application threads fill and the I/O thread empties.

use crate::aliases::{Name, Remembered};
use crate::error::PublishError;
use crate::lane::Source;
use crate::message::Class;
use crate::outbox::{Answer, NotPushed, Outbox, Pushed};
use bytes::Bytes;
use macula_proto::wire;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};

/// One class of published messages.
#[derive(Debug)]
pub(crate) struct Outlet {
    outbox: Mutex<Outbox>,
    wake: Notify,
    space: Notify,
}

impl Outlet {
    pub(crate) fn new(class: Class, limit: usize) -> Self {
        Self { outbox: Mutex::new(Outbox::new(class, limit)), wake: Notify::new(), space: Notify::new() }
    }

    /// Takes over a message if there is room.
    #[inline]
    pub(crate) fn try_push(
        &self,
        name: &Name,
        remembered: Option<Remembered>,
        message: &wire::Message<'_>,
    ) -> Result<Pushed, NotPushed> {
        let pushed = self.lock().push(name, remembered, message, false)?;
        if pushed.wake {
            self.wake.notify_one();
        }
        Ok(pushed)
    }

    /// Takes over a message as soon as there is room.
    pub(crate) async fn push(
        &self,
        name: &Name,
        remembered: Option<Remembered>,
        message: &wire::Message<'_>,
    ) -> Result<Pushed, PublishError> {
        self.when_room(|| self.try_push(name, remembered, message)).await
    }

    /// Takes over a message as soon as there is room, and gives what resolves at its answer. Both under one lock:
    /// the answer may come before this returns.
    pub(crate) async fn push_and_wait(
        &self,
        name: &Name,
        message: &wire::Message<'_>,
    ) -> Result<oneshot::Receiver<Answer>, PublishError> {
        let attempt = || {
            let mut outbox = self.lock();
            let pushed = outbox.push(name, None, message, true)?;
            if pushed.wake {
                self.wake.notify_one();
            }
            Ok(outbox.wait_for(pushed.sequence))
        };
        self.when_room(attempt).await
    }

    async fn when_room<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, NotPushed>,
    ) -> Result<T, PublishError> {
        loop {
            match attempt() {
                Ok(pushed) => return Ok(pushed),
                Err(NotPushed::Failed(error)) => return Err(error),
                Err(NotPushed::Full) => {}
            }
            let mut space = pin!(self.space.notified());
            space.as_mut().enable();
            // Room may have come between the two.
            match attempt() {
                Ok(pushed) => return Ok(pushed),
                Err(NotPushed::Failed(error)) => return Err(error),
                Err(NotPushed::Full) => space.await,
            }
        }
    }

    /// Changes the outbox, then wakes whoever has to know.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut Outbox) -> T) -> T {
        let mut outbox = self.lock();
        let result = change(&mut outbox);
        let room = outbox.has_room();
        drop(outbox);
        if room {
            self.space.notify_waiters();
        }
        result
    }

    pub(crate) fn grant(&self, total: u64) {
        if self.lock().grant(total) {
            self.wake.notify_one();
        }
    }

    /// Ends everything; those who wait are told.
    pub(crate) fn close(&self) {
        self.lock().close();
        self.space.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().expect("no holder of this lock panics")
    }
}

impl Source for Outlet {
    fn take(&self) -> Option<Bytes> {
        self.update(Outbox::take)
    }

    fn is_drained(&self) -> bool {
        self.lock().is_drained()
    }

    fn wake(&self) -> &Notify {
        &self.wake
    }
}

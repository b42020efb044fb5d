//! A stream whose frames belong to one connection and are never sent again: control and rpc.

use crate::batches::Batches;
use bytes::Bytes;
use macula_proto::frame;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard};
use tokio::sync::Notify;

/// Bytes that may wait before those who can wait do. The gateway's windows are of this size.
const ROOM_BYTES: usize = 1 << 20;

/// What a writer takes its bytes from.
pub(crate) trait Source {
    /// The next bytes, if there are any now.
    fn take(&self) -> Option<Bytes>;
    /// True when nothing is left, not even for want of credit.
    fn is_drained(&self) -> bool;
    /// Told when there is something to take again.
    fn wake(&self) -> &Notify;
}

/// Frames for the control or the rpc stream.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    state: Mutex<State>,
    wake: Notify,
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    batches: Batches,
    connected: bool,
}

impl Lane {
    /// Adds a frame. Without a connection it is dropped: what has to survive is kept by whoever sends it.
    pub(crate) fn send(&self, kind: u8, message: &impl prost::Message) {
        let mut state = self.lock();
        if state.connected && state.batches.append(None, |out| frame::put_message(out, kind, message)) {
            self.wake.notify_one();
        }
    }

    /// Waits until little enough waits here, or there is no connection to wait for.
    pub(crate) async fn room(&self) {
        while !self.has_room() {
            let mut room = pin!(self.room.notified());
            room.as_mut().enable();
            // Room may have come between the two.
            if self.has_room() {
                return;
            }
            room.await;
        }
    }

    /// Whether so little waits here, or there is no connection to wait for.
    pub(crate) fn has_room(&self) -> bool {
        let state = self.lock();
        !state.connected || state.batches.unsent() < ROOM_BYTES
    }

    /// Begins a connection.
    pub(crate) fn open(&self, credit: u64) {
        let mut state = self.lock();
        state.batches.drain();
        state.batches.restart(credit);
        state.connected = true;
    }

    /// Ends the connection.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.batches.drain();
        state.connected = false;
        drop(state);
        self.room.notify_waiters();
    }

    pub(crate) fn grant(&self, total: u64) {
        if self.lock().batches.grant(total) {
            self.wake.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl Source for Lane {
    fn take(&self) -> Option<Bytes> {
        let mut state = self.lock();
        let full = state.batches.unsent() >= ROOM_BYTES;
        let taken = state.batches.take();
        let room = full && state.batches.unsent() < ROOM_BYTES;
        drop(state);
        if room {
            self.room.notify_waiters();
        }
        taken.map(|taken| taken.bytes)
    }

    fn is_drained(&self) -> bool {
        self.lock().batches.unsent() == 0
    }

    fn wake(&self) -> &Notify {
        &self.wake
    }
}

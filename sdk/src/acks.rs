//! Which frames of the event stream the application has dealt with, and when the gateway is told.
//!
//! An acknowledgement is one number: the first so many frames are done. What the application still has holds it back: a
//! block of a subscription that acknowledges by itself is one hold, at its first frame, so that the cost is that of a
//! block and not of a message; of a subscription that is acknowledged by hand every message is a hold of its own.
//! Frames that nobody holds are done when they have come.
//!
//! In a session that begins anew nothing is acknowledged before the application is done with what it has from the session
//! before: publishers send that again, it is dropped here as known, and were it acknowledged now, nobody would have it
//! any more if the process died.

use crate::block::Block;
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard};
use tokio::sync::Notify;

/// The acknowledgements of one client.
#[derive(Debug)]
pub(crate) struct Acks {
    state: Mutex<State>,
    /// Told when something has become due that can wait a little.
    due: Notify,
    /// Bytes that are told at once.
    soon: u64,
}

#[derive(Debug, Default)]
struct State {
    session: u32,
    /// Frames that have come.
    received: u64,
    /// What the gateway was told last on this connection.
    told: u64,
    /// Bytes that the application has dealt with since then.
    bytes: u64,
    /// The timer is on its way.
    armed: bool,
    held: Held,
    /// What is still held of earlier sessions.
    earlier: Vec<(u32, Held)>,
}

/// What the application has of one session.
#[derive(Debug, Default)]
struct Held {
    /// Blocks of all subscriptions that acknowledge by themselves.
    blocks: Holds,
    /// Messages of the others, by subscription.
    messages: HashMap<u32, Holds>,
}

/// A place in the order of what one subscription holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hold {
    session: u32,
    ordinal: u64,
}

impl Hold {
    /// The hold of the item that comes so many after this one's.
    pub(crate) fn plus(self, items: usize) -> Self {
        Self { ordinal: self.ordinal + items as u64, ..self }
    }
}

impl Acks {
    /// Acknowledgements of a client that grants the gateway this window for events.
    pub(crate) fn new(window: u64) -> Self {
        Self { state: Mutex::default(), due: Notify::new(), soon: window / 4 }
    }

    /// A read has brought the stream to `position`; what the application is to get of it is held in `hold`.
    pub(crate) fn receive(&self, position: u64, hold: impl FnOnce(&mut Holder<'_>)) {
        let mut state = self.lock();
        state.received = position;
        hold(&mut Holder { state: &mut state });
        self.arm(&mut state);
    }

    /// The application is done with a block. `send` is told what to acknowledge at once, if anything.
    #[inline]
    pub(crate) fn release(&self, block: &Block, send: impl FnOnce(u64)) {
        match (block.manual, block.hold) {
            (_, None) => {}
            // Staged when nobody knew who would read it.
            (Some(subscription), Some(hold)) => {
                self.acknowledge(subscription, hold, block.len(), block.bytes, send);
            }
            (None, Some(hold)) => {
                let mut state = self.lock();
                let end = |held: &mut Held| held.blocks.end(hold.ordinal..hold.ordinal + 1);
                if state.of_session(hold.session, end) {
                    self.advance(&mut state, block.bytes, send);
                }
            }
        }
    }

    /// The application acknowledges so many items of a subscription, from this one on.
    pub(crate) fn acknowledge(
        &self,
        subscription: u32,
        hold: Hold,
        items: usize,
        bytes: u64,
        send: impl FnOnce(u64),
    ) {
        let mut state = self.lock();
        let range = hold.ordinal..hold.ordinal + items as u64;
        let end =
            |held: &mut Held| held.messages.get_mut(&subscription).is_some_and(|holds| holds.end(range));
        if state.of_session(hold.session, end) {
            self.advance(&mut state, bytes, send);
        }
    }

    /// The application is done with the part of a block that it has been given.
    pub(crate) fn progress(&self, block: &Block) {
        let given = (block.len() - block.remaining()) as u64;
        if let (None, Some(hold)) = (block.manual, block.hold) {
            let mut state = self.lock();
            if hold.session == state.session {
                // Other frames may lie between those of the block, never fewer.
                state.held.blocks.raise(hold.ordinal, block.first + given);
            }
        }
    }

    /// A subscription is no more: what it holds will not be asked for again.
    pub(crate) fn forget(&self, subscription: u32) {
        let mut state = self.lock();
        let State { held, earlier, .. } = &mut *state;
        let all = std::iter::once(held).chain(earlier.iter_mut().map(|(_, held)| held));
        let held = all.filter_map(|held| held.messages.remove(&subscription)).count();
        earlier.retain(|(_, held)| held.lowest().is_some());
        if held > 0 {
            self.arm(&mut state);
        }
    }

    /// A connection begins. With `resumed` the count goes on, else it begins anew.
    pub(crate) fn restart(&self, resumed: bool) {
        let mut state = self.lock();
        if !resumed {
            let State { session, held, mut earlier, .. } = std::mem::take(&mut *state);
            if held.lowest().is_some() {
                earlier.push((session, held));
            }
            *state = State { session: session + 1, earlier, ..State::default() };
        }
        // What was told last may have been lost.
        state.told = 0;
        state.armed = false;
        self.arm(&mut state);
    }

    /// Resolves when there is something to acknowledge, which may wait for more.
    pub(crate) async fn due(&self) {
        self.due.notified().await;
    }

    /// Tells `send` what there is to acknowledge.
    pub(crate) fn flush(&self, send: impl FnOnce(u64)) {
        let mut state = self.lock();
        state.armed = false;
        state.tell(send);
    }

    /// Frames that have come, which a session that goes on need not send again.
    pub(crate) fn received(&self) -> u64 {
        self.lock().received
    }

    fn advance(&self, state: &mut State, bytes: u64, send: impl FnOnce(u64)) {
        state.bytes += bytes;
        if state.bytes >= self.soon {
            state.tell(send);
        }
        self.arm(state);
    }

    /// Starts the timer if there is something to tell.
    fn arm(&self, state: &mut State) {
        if !state.armed && state.position() > state.told {
            state.armed = true;
            self.due.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl State {
    /// The first so many frames are done.
    fn position(&self) -> u64 {
        if !self.earlier.is_empty() {
            return 0;
        }
        self.held.lowest().map_or(self.received, |position| position - 1)
    }

    /// Ends a hold of a session; true when what there is to acknowledge may have changed.
    fn of_session(&mut self, session: u32, end: impl FnOnce(&mut Held) -> bool) -> bool {
        if session == self.session {
            return end(&mut self.held);
        }
        let Some(index) = self.earlier.iter().position(|(earlier, _)| *earlier == session) else {
            return false;
        };
        let (_, held) = &mut self.earlier[index];
        end(held);
        if held.lowest().is_some() {
            return false;
        }
        self.earlier.swap_remove(index);
        self.earlier.is_empty()
    }

    /// Sent while the lock is held, so that no acknowledgement of one session is sent in another.
    fn tell(&mut self, send: impl FnOnce(u64)) {
        let position = self.position();
        if position > self.told {
            (self.told, self.bytes) = (position, 0);
            send(position);
        }
    }
}

impl Held {
    /// The lowest position that is held.
    fn lowest(&self) -> Option<u64> {
        self.messages.values().chain([&self.blocks]).filter_map(Holds::lowest).min()
    }
}

/// Takes the holds of one read.
#[derive(Debug)]
pub(crate) struct Holder<'a> {
    state: &'a mut State,
}

impl Holder<'_> {
    /// Holds the frames of a block that the application is to get. Blocks come in the order of their first frames.
    pub(crate) fn hold(&mut self, block: &mut Block) {
        let State { session, held: Held { blocks, messages }, .. } = &mut *self.state;
        let ordinal = match block.manual {
            _ if block.first == 0 => return,
            None => blocks.push(block.first),
            Some(subscription) => {
                let holds = messages.entry(subscription).or_default();
                let ordinal = holds.next();
                for &position in &block.positions {
                    holds.push(position);
                }
                ordinal
            }
        };
        block.hold = Some(Hold { session: *session, ordinal });
    }
}

/// Positions that are held, in order.
#[derive(Debug, Default)]
struct Holds {
    /// Ordinal of the first entry.
    first: u64,
    entries: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    position: u64,
    ended: bool,
}

impl Holds {
    /// Ordinal of the entry that comes next.
    fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    fn push(&mut self, position: u64) -> u64 {
        let ordinal = self.next();
        self.entries.push_back(Entry { position, ended: false });
        ordinal
    }

    /// Ends holds; true when the lowest has changed.
    fn end(&mut self, ordinals: Range<u64>) -> bool {
        for ordinal in ordinals {
            let index = ordinal.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
            if let Some(entry) = index.and_then(|index| self.entries.get_mut(index)) {
                entry.ended = true;
            }
        }
        let before = self.first;
        while self.entries.front().is_some_and(|entry| entry.ended) {
            self.entries.pop_front();
            self.first += 1;
        }
        self.first > before
    }

    /// Moves a hold up, though not past the one behind it.
    fn raise(&mut self, ordinal: u64, position: u64) {
        let Some(index) = ordinal.checked_sub(self.first).and_then(|index| usize::try_from(index).ok())
        else {
            return;
        };
        let next = self.entries.get(index + 1).map_or(u64::MAX, |entry| entry.position);
        if let Some(entry) = self.entries.get_mut(index) {
            entry.position = entry.position.max(position.min(next));
        }
    }

    fn lowest(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.position)
    }
}

#[cfg(test)]
mod tests;

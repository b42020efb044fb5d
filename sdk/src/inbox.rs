//! What waits for one subscription's application: filled by the I/O thread once per read, swapped out whole.

use crate::block::Block;
use crate::message::Class;
use crate::relief::{Attention, Look, Lost, Relieved};
use crate::subscription::Notification;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

/// Bytes that an application is given at once, or one block if that is larger. What it has been given and does not read
/// counts against the window for good. An eighth of a default window; a guess, not measured.
const HANDFUL: u64 = 128 << 10;

/// The queue of one subscription. Its bytes are bounded by the credit granted to the gateway, and by what may be set
/// aside when it is not read.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    /// The application has come for a message since somebody looked.
    came: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    blocks: VecDeque<Block>,
    /// An emptied block, kept for its memory.
    spare: Option<Block>,
    waker: Option<Waker>,
    closed: bool,
    /// Bytes of the blocks.
    bytes: u64,
    attention: Attention,
    /// What was dropped unread, by class: to be told before the blocks.
    lost: [Lost; 2],
}

impl Inbox {
    pub(crate) fn push(&self, block: Block) {
        self.change(|state| {
            state.bytes += block.size();
            state.blocks.push_back(block);
        });
    }

    pub(crate) fn notice(&self, notice: Notification) {
        let mut block = Block::default();
        block.notice(notice, 0, 0);
        self.push(block);
    }

    /// No more will come.
    pub(crate) fn close(&self) {
        self.change(|state| state.closed = true);
    }

    pub(crate) fn spare(&self) -> Option<Block> {
        self.lock().spare.take()
    }

    /// Moves what waits, or a handful of it, into the empty `blocks`, and leaves `emptied` for reuse. Ready with false
    /// when no more will come.
    pub(crate) fn poll_swap(
        &self,
        blocks: &mut VecDeque<Block>,
        emptied: &mut Option<Block>,
        context: &mut Context<'_>,
    ) -> Poll<bool> {
        let mut state = self.lock();
        if let Some(block) = emptied.take() {
            state.spare = Some(block);
        }
        state.give(blocks);
        if !blocks.is_empty() {
            return Poll::Ready(true);
        }
        if state.closed {
            return Poll::Ready(false);
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// The application has come for a message.
    #[inline]
    pub(crate) fn come(&self) {
        if !self.came.load(Ordering::Relaxed) {
            self.came.store(true, Ordering::Relaxed);
        }
    }

    /// Puts back, in front of everything, what was taken and not used.
    pub(crate) fn put_back(&self, blocks: VecDeque<Block>) {
        let mut state = self.lock();
        for block in blocks.into_iter().rev() {
            state.bytes += block.size();
            state.blocks.push_front(block);
        }
    }

    /// Takes out everything that waits.
    pub(crate) fn drain(&self) -> VecDeque<Block> {
        let mut state = self.lock();
        state.bytes = 0;
        std::mem::take(&mut state.blocks)
    }

    /// Sees to it that what nobody reads is not in the way of others.
    pub(crate) fn relieve(&self, look: &Look) -> Relieved {
        let mut state = self.lock();
        if self.came.swap(false, Ordering::Relaxed) || state.blocks.is_empty() {
            state.attention = Attention::default();
        } else if let Some(unread) = state.attention.unread_for(look.class, look.now) {
            let overtaken = look.patience.is_some_and(|patience| unread >= patience);
            return state.relieve(look, overtaken);
        }
        Relieved { stale: state.is_stale(look), ..Relieved::default() }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl State {
    /// Gives the application losses first, then blocks.
    fn give(&mut self, blocks: &mut VecDeque<Block>) {
        if self.bytes <= HANDFUL {
            std::mem::swap(&mut self.blocks, blocks);
            self.bytes = 0;
        } else {
            let mut given = 0;
            while given < HANDFUL
                && let Some(block) = self.blocks.pop_front()
            {
                given += block.size();
                blocks.push_back(block);
            }
            self.bytes -= given;
        }
        if self.lost != [Lost::default(); 2] {
            let mut notices = Block::default();
            for class in [Class::Event, Class::Telemetry] {
                let lost = std::mem::take(&mut self.lost[class as usize]);
                lost.notices(class).for_each(|notice| notices.notice(notice, 0, 0));
            }
            blocks.push_front(notices);
        }
    }

    fn relieve(&mut self, look: &Look, overtaken: bool) -> Relieved {
        let mut relieved = Relieved::default();
        let ours = |block: &Block| block.class == look.class;
        // What its oldest blocks leave is room for the newer ones.
        let mut room = look.room;
        let waiting: u64 = self.blocks.iter().filter(|block| ours(block)).map(|block| block.bytes).sum();
        let mut missing = waiting.saturating_sub(room);
        while overtaken
            && let Some(at) = self.blocks.iter().position(ours)
            && (missing > 0 || self.is_stale(look))
            && let Some(mut block) = self.blocks.remove(at)
        {
            self.bytes -= block.size();
            missing = missing.saturating_sub(block.size());
            room += block.aside;
            self.lost[look.class as usize].add(&mut block);
            relieved.lost.push(block);
        }
        for block in self.blocks.iter_mut().filter(|block| ours(block)) {
            if block.bytes <= room {
                room -= block.bytes;
                relieved.aside += block.bytes;
                block.aside += std::mem::take(&mut block.bytes);
            }
        }
        relieved.stale = self.is_stale(look);
        relieved
    }

    /// Whether its oldest event will soon be in the way of others.
    fn is_stale(&self, look: &Look) -> bool {
        let first = self.blocks.iter().find(|block| block.class == look.class);
        look.class == Class::Event && first.is_some_and(|block| block.at < look.stale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_swap_takes_all_in_order_and_then_the_end() {
        let inbox = Inbox::default();
        inbox.notice(Notification::Dropped(1));
        inbox.notice(Notification::Dropped(2));
        inbox.close();
        let (mut blocks, mut context) = (VecDeque::new(), Context::from_waker(Waker::noop()));
        assert!(matches!(inbox.poll_swap(&mut blocks, &mut None, &mut context), Poll::Ready(true)));
        let seen: Vec<Notification> = blocks.drain(..).flatten().collect();
        assert!(matches!(seen[..], [Notification::Dropped(1), Notification::Dropped(2)]));
        assert!(matches!(inbox.poll_swap(&mut blocks, &mut None, &mut context), Poll::Ready(false)));
    }

    /// A block of so many bytes, received when `at` had come in all.
    fn block(class: Class, bytes: u64, at: u64) -> Block {
        let mut block = Block::default();
        (block.class, block.at) = (class, at);
        block.notice(Notification::Dropped(1), bytes, 0);
        block
    }

    fn look(class: Class, seconds: u64, room: u64) -> Look {
        let patience = Some(std::time::Duration::from_secs(1));
        let now = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
        Look { class, now, patience, room, stale: 10 }
    }

    #[test]
    fn what_nobody_reads_is_set_aside_and_then_lost_from_its_oldest_end() {
        let inbox = Inbox::default();
        (1..=4).for_each(|at| inbox.push(block(Class::Telemetry, 100, at)));
        assert_eq!(inbox.relieve(&look(Class::Telemetry, 0, 250)).aside, 0, "nobody has had the time");
        let relieved = inbox.relieve(&look(Class::Telemetry, 0, 250));
        assert_eq!((relieved.aside, relieved.lost.len()), (200, 0));
        let relieved = inbox.relieve(&look(Class::Telemetry, 2, 50));
        assert_eq!((relieved.aside, relieved.lost.len()), (200, 2), "the new ones in place of the oldest");
        let (mut blocks, mut context) = (VecDeque::new(), Context::from_waker(Waker::noop()));
        assert!(matches!(inbox.poll_swap(&mut blocks, &mut None, &mut context), Poll::Ready(true)));
        let seen: Vec<Notification> = blocks.into_iter().flatten().collect();
        use Notification::Dropped;
        assert!(matches!(seen[..], [Dropped(2), Dropped(1), Dropped(1)]), "{seen:?}");
    }

    #[test]
    fn who_comes_loses_nothing_and_events_that_hold_up_acknowledgements_go() {
        let inbox = Inbox::default();
        [5, 20].into_iter().for_each(|at| inbox.push(block(Class::Event, 100, at)));
        for seconds in 0..3 {
            inbox.come();
            let relieved = inbox.relieve(&look(Class::Event, seconds, 0));
            assert_eq!((relieved.aside, relieved.lost.len()), (0, 0));
        }
        inbox.relieve(&look(Class::Event, 3, 1000));
        let relieved = inbox.relieve(&look(Class::Event, 5, 1000));
        assert_eq!((relieved.aside, relieved.lost.len()), (100, 1), "only the one before the tenth byte");
    }

    #[test]
    fn an_empty_inbox_takes_the_emptied_block_back() {
        let inbox = Inbox::default();
        let (mut blocks, mut context) = (VecDeque::new(), Context::from_waker(Waker::noop()));
        let mut emptied = Some(Block::default());
        assert!(inbox.poll_swap(&mut blocks, &mut emptied, &mut context).is_pending());
        assert!(emptied.is_none() && inbox.spare().is_some());
    }
}

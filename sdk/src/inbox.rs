//! What waits for one subscription's application: filled by the I/O thread once per read, swapped out whole.

use crate::block::Block;
use crate::subscription::Notification;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

/// The queue of one subscription. Its bytes are bounded by the credit granted to the gateway.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    blocks: VecDeque<Block>,
    /// An emptied block, kept for its memory.
    spare: Option<Block>,
    waker: Option<Waker>,
    closed: bool,
}

impl Inbox {
    pub(crate) fn push(&self, block: Block) {
        self.change(|state| state.blocks.push_back(block));
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

    /// Swaps everything that waits into the empty `blocks`, and leaves `emptied` for reuse. Ready with false when
    /// no more will come.
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
        std::mem::swap(&mut state.blocks, blocks);
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

    /// Puts back, in front of everything, what was taken and not used.
    pub(crate) fn put_back(&self, blocks: VecDeque<Block>) {
        let mut state = self.lock();
        for block in blocks.into_iter().rev() {
            state.blocks.push_front(block);
        }
    }

    /// Takes out everything that waits.
    pub(crate) fn drain(&self) -> VecDeque<Block> {
        std::mem::take(&mut self.lock().blocks)
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

    #[test]
    fn an_empty_inbox_takes_the_emptied_block_back() {
        let inbox = Inbox::default();
        let (mut blocks, mut context) = (VecDeque::new(), Context::from_waker(Waker::noop()));
        let mut emptied = Some(Block::default());
        assert!(inbox.poll_swap(&mut blocks, &mut emptied, &mut context).is_pending());
        assert!(emptied.is_none() && inbox.spare().is_some());
    }
}

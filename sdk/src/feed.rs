//! The reading end of a subscription: blocks are taken from the inbox and given back when they are used.

use crate::block::Block;
use crate::client::Client;
use crate::core::Core;
use crate::error::SubscribeError;
use crate::inbox::Inbox;
use crate::subscriptions::Added;
use macula_proto::v1::{Acknowledged, Subscribe as Request};
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// What every kind of subscription is made of. Dropping it gives the subscription up.
#[derive(Debug)]
pub(crate) struct Feed {
    client: Client,
    number: u32,
    inbox: Arc<Inbox>,
    /// Messages are acknowledged by hand, and not when they are taken.
    manual: bool,
    /// Taken from the inbox and not yet given to the application.
    blocks: VecDeque<Block>,
    emptied: Option<Block>,
    pub(crate) acknowledged: Acknowledged,
}

impl Feed {
    pub(crate) async fn open(client: Client, request: Request, manual: bool) -> Result<Self, SubscribeError> {
        let Added { request, inbox, answer } = client.core().subscribe(request, manual)?;
        // From here on, dropping this future unsubscribes.
        let mut feed = Self {
            client,
            number: request.subscription,
            inbox,
            manual,
            blocks: VecDeque::new(),
            emptied: None,
            acknowledged: Acknowledged::default(),
        };
        feed.acknowledged = answer.await.unwrap_or(Err(SubscribeError::Closed))?;
        Ok(feed)
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    pub(crate) fn core(&self) -> Arc<Core> {
        Arc::clone(self.client.core())
    }

    /// What `take` gives of the next block that it gives anything of.
    #[inline]
    pub(crate) fn poll_next<T>(
        &mut self,
        context: &mut Context<'_>,
        mut take: impl FnMut(&mut Block) -> Option<T>,
    ) -> Poll<Option<T>> {
        self.inbox.come();
        loop {
            if let Some(block) = self.blocks.front_mut() {
                if let Some(taken) = take(block) {
                    return Poll::Ready(Some(taken));
                }
                self.emptied = self.blocks.pop_front();
                self.release();
                continue;
            }
            if !ready!(self.inbox.poll_swap(&mut self.blocks, &mut self.emptied, context)) {
                return Poll::Ready(None);
            }
        }
    }

    /// The next block with anything left.
    pub(crate) fn poll_block(&mut self, context: &mut Context<'_>) -> Poll<Option<Block>> {
        self.inbox.come();
        loop {
            match self.blocks.pop_front() {
                Some(block) if block.remaining() > 0 => return Poll::Ready(Some(block)),
                Some(block) => {
                    self.emptied = Some(block);
                    self.release();
                }
                None if !ready!(self.inbox.poll_swap(&mut self.blocks, &mut self.emptied, context)) => {
                    return Poll::Ready(None);
                }
                None => {}
            }
        }
    }

    fn release(&self) {
        match &self.emptied {
            Some(block) if self.manual => self.client.core().give_back(block),
            Some(block) => self.client.core().release(block),
            None => {}
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let unused = std::mem::take(&mut self.blocks);
        self.client.core().unsubscribe(self.number, &self.inbox, unused);
    }
}

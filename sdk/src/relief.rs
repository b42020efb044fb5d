//! What keeps a subscription that is not read from holding up the others of its client.
//!
//! The gateway's credit is for a class, whichever subscriptions its messages are for, and so is the count of what is
//! acknowledged. A client with one subscription that reads slowly is a slow client, and the gateway deals with it by the
//! subscription's policy. Where there are others beside it, what waits for a subscription that nobody reads is **set
//! aside**: its credit is given back, as if it had been taken, and the others go on. So much memory is bounded by
//! [`UNREAD_BYTES`]. When that is full, or what is not acknowledged would soon stop the event stream, the subscription's
//! policy decides here as it does at the gateway: under `block` the others wait until its time is all but over, under other
//! policies a second; then the oldest messages of this subscription go, and are told to it alone.

use crate::block::Block;
use crate::core::Core;
use crate::inflow::Received;
use crate::message::Class;
use crate::subscription::Notification;
use macula_proto::v1::{self, Overflow};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Bytes of each class that may wait, over all subscriptions that are not read, beyond the window. A guess, not
/// measured: half of what the gateway sends without acknowledgement.
pub const UNREAD_BYTES: u64 = 8 << 20;

/// How often it is looked whether subscriptions are read while any hold others up. One that has not been read for so long
/// counts as unread.
const LOOK: Duration = Duration::from_millis(50);

/// How long a subscription whose policy is not to block may be unread before it loses what finds no room.
const PATIENCE: Duration = Duration::from_secs(1);

/// From the gateway's default.
const BLOCK_MS: u32 = 10_000;

/// How much earlier than the gateway, which would take the events of the whole client, at most. Looks and grants take less.
const AHEAD_MS: u32 = 500;

/// Bytes of events that may come behind one that is unread. The gateway stops at twice as many.
const UNACKNOWLEDGED_BYTES: u64 = 8 << 20;

/// State of the relief of one client.
#[derive(Debug, Default)]
pub(crate) struct Relief {
    /// Told when there may be something to do.
    pub(crate) pressed: Notify,
    /// Bytes set aside, by class.
    aside: [AtomicU64; 2],
    /// Messages that unread subscriptions have lost.
    pub(crate) lost: AtomicU64,
}

/// What one subscription has lost of one class since it was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) messages: u64,
    /// More was lost, nobody knows how much.
    pub(crate) unknown: bool,
    /// The end of the retained values was among it.
    pub(crate) retained_end: bool,
}

impl Lost {
    /// Takes account of a block that nobody is going to read.
    pub(crate) fn add(&mut self, block: &mut Block) {
        for notification in block {
            match notification {
                Notification::Message(_) => self.messages += 1,
                Notification::Dropped(count) | Notification::Gap(Some(count)) => self.messages += count,
                Notification::Gap(None) => self.unknown = true,
                Notification::RetainedEnd => self.retained_end = true,
            }
        }
    }

    /// What the application is told.
    pub(crate) fn notices(self, class: Class) -> impl Iterator<Item = Notification> {
        let loss = match class {
            _ if self.messages == 0 && !self.unknown => None,
            Class::Telemetry => Some(Notification::Dropped(self.messages)),
            Class::Event => Some(Notification::Gap((!self.unknown).then_some(self.messages))),
        };
        loss.into_iter().chain(self.retained_end.then_some(Notification::RetainedEnd))
    }
}

/// One look at one subscription.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) class: Class,
    pub(crate) now: Instant,
    /// How long it may be unread before it loses anything; none for ever.
    pub(crate) patience: Option<Duration>,
    /// Bytes that may be set aside.
    pub(crate) room: u64,
    /// Blocks of events that were received before so many bytes hold up the acknowledgements.
    pub(crate) stale: u64,
}

/// What has to be done about a subscription.
#[derive(Debug, Default)]
pub(crate) struct Relieved {
    /// Bytes that were set aside.
    pub(crate) aside: u64,
    /// What it loses.
    pub(crate) lost: Vec<Block>,
    /// It has what will soon be in the way.
    pub(crate) stale: bool,
}

/// How long a subscription of this request may be unread before it loses messages.
pub(crate) fn patience(request: &v1::Subscribe, class: Class) -> Option<Duration> {
    let (policy, default) = match class {
        Class::Event => (request.events(), Overflow::Block),
        Class::Telemetry => (request.telemetry(), Overflow::Conflate),
    };
    match if policy == Overflow::Default { default } else { policy } {
        Overflow::Block => {
            let block = if request.block_ms == 0 { BLOCK_MS } else { request.block_ms };
            Some(Duration::from_millis((block - AHEAD_MS.min(block / 4)).into()))
        }
        // The gateway closes the session of one that is too slow.
        Overflow::Disconnect => None,
        _ => Some(PATIENCE),
    }
}

/// Looks after the subscriptions for as long as the connection lasts.
pub(crate) async fn run(core: &Core) {
    loop {
        core.relief.pressed.notified().await;
        let mut pressed = true;
        while pressed {
            tokio::time::sleep(LOOK).await;
            pressed =
                core.relieve(Class::Event, Instant::now()) | core.relieve(Class::Telemetry, Instant::now());
        }
    }
}

impl Core {
    /// Sets aside what waits for subscriptions that are not read, and drops what may not wait any longer. False when
    /// nothing of this class holds anything up.
    fn relieve(&self, class: Class, now: Instant) -> bool {
        let inflow = self.inflow(class);
        let Received { total, mut pressed } = inflow.ask();
        let stale = total.saturating_sub(UNACKNOWLEDGED_BYTES);
        let aside = &self.relief.aside[class as usize];
        let mut given_back = 0;
        let mut lost = Vec::new();
        {
            let subscriptions = self.subscriptions();
            if subscriptions.len() < 2 {
                return false;
            }
            for (request, inbox) in subscriptions.inboxes() {
                let room = UNREAD_BYTES.saturating_sub(aside.load(Ordering::Relaxed));
                let patience = patience(request, class);
                let relieved = inbox.relieve(&Look { class, now, patience, room, stale });
                aside.fetch_add(relieved.aside, Ordering::Relaxed);
                pressed |= relieved.stale;
                given_back += relieved.aside;
                if !relieved.lost.is_empty() {
                    let messages = relieved.lost.iter().map(|block| block.len() as u64).sum::<u64>();
                    let pattern = &request.pattern;
                    tracing::warn!(
                        pattern,
                        messages,
                        "a subscription is not read; it loses its oldest messages, and the others go on"
                    );
                    self.relief.lost.fetch_add(messages, Ordering::Relaxed);
                    lost.extend(relieved.lost);
                }
            }
        }
        inflow.release(given_back, |total| self.grant(class.wire(), total));
        lost.iter().for_each(|block| self.release(block));
        pressed
    }

    /// A block that was set aside has been read.
    pub(crate) fn take_in(&self, block: &Block) {
        if block.aside > 0 {
            self.relief.aside[block.class as usize].fetch_sub(block.aside, Ordering::Relaxed);
        }
    }
}

/// Since when nobody has read an inbox, by class as it is looked at.
#[derive(Debug, Default)]
pub(crate) struct Attention([Option<Instant>; 2]);

impl Attention {
    /// How long nobody has come, if that is more than one look.
    pub(crate) fn unread_for(&mut self, class: Class, now: Instant) -> Option<Duration> {
        let since = self.0[class as usize].get_or_insert(now);
        let unread = now.duration_since(*since);
        (unread > Duration::ZERO).then_some(unread)
    }
}

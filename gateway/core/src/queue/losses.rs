//! Messages lost on their way to a receiver that has not been told of them.

use super::Queue;
use super::batch::Open;
use crate::origins::{Mark, Origins};
use macula_proto::v1::{Class, Dropped, Gap};
use macula_proto::{frame, kind};

#[derive(Debug, Default)]
pub(super) struct Losses {
    count: u64,
    /// Nobody knows how many more.
    unknown: bool,
    /// The first segment of each origin that lost an event here. It does not settle until the receiver knows of the loss:
    /// when this gateway dies before, the event is sent again.
    marks: Vec<Mark>,
}

impl Losses {
    /// True when the receiver has to be told.
    #[inline]
    pub(super) fn any(&self) -> bool {
        self.count > 0 || self.unknown
    }

    /// Messages that the receiver was not told of, as far as their number is known.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// `None` when nobody knows how many.
    pub(super) fn note(&mut self, count: Option<u64>) {
        match count {
            Some(count) => self.count = self.count.saturating_add(count),
            None => self.unknown = true,
        }
    }

    /// Takes over the reference of a lost event to its segment.
    pub(super) fn keep(&mut self, mark: Mark, origins: &mut Origins) {
        if mark.is_nothing() {
            return;
        }
        match self.marks.iter_mut().find(|kept| kept.same_origin(mark)) {
            // What comes later settles later anyway.
            Some(kept) if kept.is_before(mark) => origins.release(mark),
            Some(kept) => origins.release(std::mem::replace(kept, mark)),
            None => self.marks.push(mark),
        }
    }

    /// Writes what the receiver has to be told; it is settled as the batch is.
    pub(super) fn tell(&mut self, class: Class, open: &mut Open) {
        let Losses { count, unknown, marks } = std::mem::take(self);
        let count = if unknown { 0 } else { count };
        match class {
            Class::Event => frame::put_message(&mut open.bytes, kind::GAP, &Gap { count }),
            _ => frame::put_message(&mut open.bytes, kind::DROPPED, &Dropped { count }),
        }
        open.marks.extend(marks);
    }

    /// Nobody is going to be told.
    pub(super) fn forget(&mut self, origins: &mut Origins) {
        std::mem::take(self).marks.into_iter().for_each(|mark| origins.release(mark));
    }
}

impl Queue {
    /// Messages for this receiver were lost, here or on their way here; `None` when nobody knows how many.
    pub(crate) fn note_loss(&mut self, count: Option<u64>) {
        self.losses.note(count);
    }

    /// The same of events of this segment.
    pub(crate) fn note_loss_of(&mut self, count: Option<u64>, mark: Mark, origins: &mut Origins) {
        self.losses.note(count);
        origins.refer(mark);
        self.losses.keep(mark, origins);
    }

    /// Nothing was lost that the receiver has not been told of.
    pub(crate) fn is_whole(&self) -> bool {
        !self.losses.any()
    }
}

//! A connection as the simulator sees it: a first-in-first-out row of bytes per direction and stream.

use bytes::Bytes;
use macula_core::ConnKey;
use macula_proto::kind::StreamKind;
use std::collections::VecDeque;

/// One direction of one stream.
#[derive(Default)]
pub(crate) struct Fifo {
    chunks: VecDeque<Bytes>,
    /// When the last of them arrives, so that no later one comes before.
    pub(crate) last_ms: u64,
}

impl Fifo {
    pub(crate) fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.chunks.push_back(bytes);
        }
    }

    /// The next bytes, at most `limit` and perhaps fewer.
    pub(crate) fn pop(&mut self, limit: usize) -> Option<Bytes> {
        let front = self.chunks.front_mut()?;
        if front.len() <= limit { self.chunks.pop_front() } else { Some(front.split_to(limit)) }
    }
}

/// Who sits at an end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Gateway { index: usize, conn: ConnKey },
    Client(usize),
}

pub(crate) struct Pipe {
    pub(crate) ends: [End; 2],
    /// By sending end and stream.
    pub(crate) fifos: [[Fifo; 4]; 2],
    /// Bytes flow.
    pub(crate) alive: bool,
    /// The ends that know of the connection.
    pub(crate) attached: [bool; 2],
    /// This end has sent all its events, and finished their stream.
    pub(crate) finished: [bool; 2],
    /// This end closes once its control stream has been sent.
    pub(crate) closing: [bool; 2],
}

impl Pipe {
    pub(crate) fn new(ends: [End; 2]) -> Self {
        let (alive, attached) = (true, [true; 2]);
        Self { ends, fifos: Default::default(), alive, attached, finished: [false; 2], closing: [false; 2] }
    }

    pub(crate) fn is_link(&self) -> bool {
        self.ends.iter().all(|end| matches!(end, End::Gateway { .. }))
    }

    /// All events of this end have arrived, and there are no more.
    pub(crate) fn has_finished(&self, end: usize) -> bool {
        self.finished[end] && self.fifos[end][StreamKind::Event as usize].chunks.is_empty()
    }

    /// Forgets what is under way.
    pub(crate) fn clear(&mut self) {
        self.fifos.iter_mut().flatten().for_each(|fifo| fifo.chunks.clear());
    }

    /// The gateway at this end, if it is one.
    pub(crate) fn gateway(&self, end: usize) -> Option<(usize, ConnKey)> {
        match self.ends[end] {
            End::Gateway { index, conn } => Some((index, conn)),
            End::Client(_) => None,
        }
    }

    /// Both gateways of a link.
    pub(crate) fn pair(&self) -> Option<(usize, usize)> {
        Some((self.gateway(0)?.0, self.gateway(1)?.0))
    }
}

//! Acknowledgements: what receivers have dealt with, and how far senders are told that they need not keep more.

use super::{Node, Violation};
use crate::key::{ConnKey, MessageClass};
use crate::origins::Whose;
use crate::time::Now;
use macula_proto::kind::{self, StreamKind};
use macula_proto::v1::{Ack, Settled};

impl Node {
    /// The receiver of our events has dealt with them up to a position.
    pub(super) fn on_ack(&mut self, from: ConnKey, ack: Ack, now: Now) -> Result<(), Violation> {
        let Some(queue) = self.conns.get_mut(from).and_then(|conn| conn.queue(StreamKind::Event)) else {
            return Ok(());
        };
        let before = queue.weight();
        if !queue.acknowledge(ack.position, &mut self.origins) {
            let text = format!("position {} was never sent", ack.position);
            return Err(Violation::invalid(text));
        }
        self.queued = self.queued + queue.weight() - before;
        self.announce(from, StreamKind::Event);
        self.lift_all_fences(now);
        Ok(())
    }

    /// Tells the senders whose events have settled further.
    #[inline]
    pub(super) fn tell_settled(&mut self) {
        while let Some((whose, settled)) = self.origins.advanced() {
            match whose {
                Whose::Link(link) => self.send_control(link, kind::ACK, &Ack { position: settled }),
                Whose::Publisher(publisher) => self.tell_publisher(publisher, settled),
            }
        }
    }

    fn tell_publisher(&mut self, publisher: u32, settled: u64) {
        let Some(home) = self.publishers.get(publisher).home else { return };
        let Some(conn) = self.conns.get_mut(home) else { return };
        let told = conn.messages(MessageClass::Event).keeps;
        let Some(session) = conn.session_mut() else { return };
        if told && session.live && session.kept_until_ms.is_none() && settled > session.settled {
            session.settled = settled;
            self.send_control(home, kind::SETTLED, &Settled { sequence: settled });
        }
    }
}

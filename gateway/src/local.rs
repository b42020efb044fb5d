//! A client inside the gateway, for plain HTTP requests: the session protocol without a connection.
//!
//! It speaks the same frames as any other client, so that a request by curl has no code of its own in the core.

use crate::hub::{Closing, Hub, Outlet};
use bytes::Bytes;
use macula_core::ConnKey;
use macula_proto::frame::{self, FrameError, Splitter};
use macula_proto::kind::{self, StreamKind};
use macula_proto::limits;
use macula_proto::v1::{Ack, Class, Code, Credit, Hello, Windows};
use std::collections::VecDeque;
use std::rc::Rc;

/// A client that lives as long as a request does.
pub(crate) struct Local {
    hub: Hub,
    key: ConnKey,
    outlet: Rc<Outlet>,
    inbound: [Inbound; 4],
    /// Frames of the event stream that were handed out, and that the core was told of.
    events: u64,
    acknowledged: u64,
}

struct Inbound {
    splitter: Splitter,
    frames: VecDeque<(u8, Bytes)>,
    received: u64,
}

/// Bytes handed to the core at a time: a quarter of the credit that it grants.
const PART: usize = 256 << 10;
/// Credit of each class: a slow reader of a stream of events holds this much.
const WINDOW: u64 = 256 << 10;

impl Local {
    /// Opens a session, with an identity of its own.
    pub(crate) fn open(hub: &Hub, realm: String, token: String, client: &str) -> Self {
        let (key, outlet) = hub.open_session();
        let inbound =
            || Inbound { splitter: Splitter::new(limits::FRAME_BYTES), frames: VecDeque::new(), received: 0 };
        let inbound = std::array::from_fn(|_| inbound());
        let mut local = Self { hub: hub.clone(), key, outlet, inbound, events: 0, acknowledged: 0 };
        let hello = Hello {
            versions: vec![1],
            realm,
            token,
            client: client.to_owned(),
            publisher: uuid::Uuid::new_v4().as_bytes().to_vec().into(),
            epoch: 1,
            windows: Some(Windows { rpc: WINDOW, event: WINDOW, telemetry: WINDOW }),
            acknowledges: true,
            ..Hello::default()
        };
        local.send(StreamKind::Control, kind::HELLO, &hello);
        local
    }

    /// Whether the session was let in.
    ///
    /// # Errors
    /// Why it was not.
    pub(crate) fn welcomed(&self) -> Result<(), Closing> {
        if self.outlet.joined() {
            return Ok(());
        }
        // The core answers a Hello before it returns from it.
        Err(self.outlet.closed().unwrap_or_else(|| Closing {
            code: Code::Internal,
            message: "the gateway did not answer Hello".to_owned(),
            own_address: false,
            node: None,
        }))
    }

    /// Sends a frame.
    pub(crate) fn send(&mut self, stream: StreamKind, kind: u8, message: &impl prost::Message) {
        let mut bytes = Vec::new();
        frame::put_message(&mut bytes, kind, message);
        let mut rest = Bytes::from(bytes);
        while !rest.is_empty() {
            // The core grants credit for each part once it has it.
            let part = rest.split_to(rest.len().min(PART));
            self.hub.receive(self.key, stream, &[part]);
        }
    }

    /// The next frame on one of these streams.
    ///
    /// # Errors
    /// Why the session ended.
    pub(crate) async fn next(&mut self, streams: &[StreamKind]) -> Result<(StreamKind, u8, Bytes), Closing> {
        loop {
            for &stream in streams {
                while self.inbound[stream as usize].frames.is_empty() && self.take(stream)? {
                    // Part of a frame that is longer than the window, perhaps.
                    self.grant(stream);
                }
                if let Some((kind, body)) = self.inbound[stream as usize].frames.pop_front() {
                    self.events += u64::from(stream == StreamKind::Event);
                    self.grant(stream);
                    return Ok((stream, kind, body));
                }
            }
            let outlet = &self.outlet;
            tokio::select! {
                () = outlet.ready(StreamKind::Control), if streams.contains(&StreamKind::Control) => {}
                () = outlet.ready(StreamKind::Rpc), if streams.contains(&StreamKind::Rpc) => {}
                () = outlet.ready(StreamKind::Event), if streams.contains(&StreamKind::Event) => {}
                () = outlet.ready(StreamKind::Telemetry), if streams.contains(&StreamKind::Telemetry) => {}
                closing = outlet.closing() => return Err(closing),
            }
        }
    }

    /// Tells the core that everything which [`next`](Self::next) gave has been dealt with.
    pub(crate) fn acknowledge(&mut self) {
        if self.events > self.acknowledged {
            self.acknowledged = self.events;
            self.send(StreamKind::Control, kind::ACK, &Ack { position: self.events });
        }
    }

    /// Takes what the core has to send; false when it has nothing.
    fn take(&mut self, stream: StreamKind) -> Result<bool, Closing> {
        let Some(bytes) = self.hub.take(self.key, stream) else { return Ok(false) };
        let inbound = &mut self.inbound[stream as usize];
        inbound.received += bytes.len() as u64;
        let frames = &mut inbound.frames;
        inbound
            .splitter
            .split(&bytes, |kind, body| {
                frames.push_back((kind, Bytes::copy_from_slice(body)));
                Ok::<(), FrameError>(())
            })
            .map_err(|error| Closing {
                code: Code::Internal,
                message: error.to_string(),
                own_address: false,
                node: None,
            })?;
        Ok(true)
    }

    /// Grants more credit once everything that was received has been taken.
    fn grant(&mut self, stream: StreamKind) {
        let inbound = &self.inbound[stream as usize];
        let Some(class) = stream.class().filter(|_| inbound.frames.is_empty()) else { return };
        let credit = Credit { class: Class::into(class), total: inbound.received + WINDOW };
        self.send(StreamKind::Control, kind::CREDIT, &credit);
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.hub.remove(self.key);
    }
}

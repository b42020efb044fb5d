//! A wiretap on the links: what they carry, and that every live message passes one link at most, from its first gateway.

use crate::client::{index_of, is_client, slot};
use crate::model::{MessageId, Model};
use macula_proto::frame::{FrameError, Splitter};
use macula_proto::kind::{self, StreamKind};
use macula_proto::limits;
use macula_proto::v1::{self, Class};
use prost::Message as _;
use std::collections::{HashMap, HashSet};

#[derive(Default)]
pub(crate) struct Taps {
    streams: HashMap<(usize, usize, usize), Tap>,
    /// Publishers that the event stream from one gateway to another has told, over all connections.
    told: HashMap<(usize, usize), HashMap<u32, Vec<u8>>>,
    /// Messages that a link to this gateway has carried.
    pub(crate) crossed: HashSet<(MessageId, usize)>,
    /// The same by connection and sending end, and for which members of groups.
    carried: HashSet<(MessageId, (usize, usize), Vec<u64>)>,
    /// Losses told on links, by sender, receiver and class.
    pub(crate) losses: HashMap<(usize, usize, usize), u64>,
    /// Publishers go from one gateway to another, and send again from there.
    pub(crate) moving: bool,
}

/// What is known of one stream of a link.
struct Tap {
    splitter: Splitter,
    publishers: HashMap<u32, Vec<u8>>,
}

impl Taps {
    /// Bytes of a link's stream arrive: `pipe` and its sending end, and the gateways that they go between.
    pub(crate) fn listen(
        &mut self,
        (pipe, end): (usize, usize),
        (from, to): (usize, usize),
        stream: StreamKind,
        bytes: &[u8],
        model: &Model,
    ) {
        let Some(class) = stream.class().filter(|class| *class != Class::Rpc) else { return };
        let tap = self.streams.entry((pipe, end, stream as usize)).or_insert_with(|| Tap {
            splitter: Splitter::new(limits::FRAME_BYTES),
            publishers: HashMap::new(),
        });
        let Tap { splitter, publishers } = tap;
        let told = self.told.entry((from, to)).or_default();
        let split = splitter.split(bytes, |kind, body| {
            match kind {
                kind::PUBLISHER_ALIAS => {
                    let told = v1::PublisherAlias::decode(body).expect("a PublisherAlias");
                    publishers.insert(told.alias, told.publisher.to_vec());
                }
                kind::CONTINUE => {
                    let begin = v1::Continue::decode(body).expect("a Continue");
                    if begin.position.is_none() {
                        told.clear();
                    }
                    publishers.clone_from(told);
                }
                kind::DROPPED => {
                    let count = v1::Dropped::decode(body).expect("a Dropped").count;
                    *self.losses.entry((from, to, 1)).or_default() += count;
                }
                kind::GAP => {
                    let count = v1::Gap::decode(body).expect("a Gap").count;
                    *self.losses.entry((from, to, 0)).or_default() += count;
                }
                kind::DELIVER => {
                    let deliver = v1::Deliver::decode(body).expect("a Deliver");
                    if deliver.retained {
                        return Ok(());
                    }
                    let publisher = &publishers[&deliver.publisher];
                    if !is_client(publisher) {
                        return Ok(());
                    }
                    let client = index_of(publisher);
                    let message = (client, slot(class), deliver.sequence);
                    let published = &model.published[model.index[&message]];
                    // Where a member of a group dies, its gateway's next run or a peer picks another.
                    assert!(
                        published.gateway == from || deliver.redirected || self.moving && deliver.resent,
                        "a message passes one link, from where it was published: {message:?}, from {from} to {to}"
                    );
                    self.crossed.insert((message, to));
                    let again = !self.carried.insert((message, (pipe, end), deliver.members));
                    assert!(
                        !again || deliver.resent || deliver.redirected,
                        "a message passes a connection once"
                    );
                }
                _ => {}
            }
            Ok::<(), FrameError>(())
        });
        split.expect("gateways send frames");
        if stream == StreamKind::Event {
            told.extend(publishers.iter().map(|(alias, id)| (*alias, id.clone())));
        }
    }

    /// This connection is gone.
    pub(crate) fn forget(&mut self, pipe: usize) {
        for end in 0..2 {
            StreamKind::ALL
                .iter()
                .for_each(|stream| drop(self.streams.remove(&(pipe, end, *stream as usize))));
        }
    }
}

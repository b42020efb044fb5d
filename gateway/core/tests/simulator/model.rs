//! What a naive model knows: every client with its subscriptions, and every message that was published.

use crate::client::{Client, Keep, Publishing, Received, index_of, slot};
use macula_proto::Topic;
use macula_proto::v1::Class;
use std::collections::HashMap;

/// A message as its client published it.
pub(crate) struct Published {
    pub(crate) client: usize,
    pub(crate) gateway: usize,
    pub(crate) class: Class,
    pub(crate) sequence: u64,
    pub(crate) topic: Topic,
    pub(crate) key: &'static str,
    pub(crate) keep: Keep,
    pub(crate) time_to_live_ms: u32,
    pub(crate) at_ms: u64,
}

/// Client, class, sequence.
pub(crate) type MessageId = (usize, usize, u64);

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) clients: Vec<Client>,
    pub(crate) published: Vec<Published>,
    pub(crate) index: HashMap<MessageId, usize>,
}

impl Model {
    /// Takes down what a client has just published.
    pub(crate) fn publish(&mut self, client: usize, message: Publishing, at_ms: u64) {
        let Publishing { class, topic, key, keep, time_to_live_ms, .. } = message;
        let Client { sequences, gateway, .. } = &self.clients[client];
        let (sequence, gateway) = (sequences[slot(class)], *gateway);
        self.index.insert((client, slot(class), sequence), self.published.len());
        self.published.push(Published {
            client,
            gateway,
            class,
            sequence,
            topic,
            key,
            keep,
            time_to_live_ms,
            at_ms,
        });
    }

    /// The message that somebody received.
    pub(crate) fn message(&self, received: &Received) -> (usize, &Published) {
        let id = (index_of(&received.publisher), slot(received.class), received.sequence);
        let index = *self.index.get(&id).expect("it was published");
        let published = &self.published[index];
        assert_eq!(
            (published.topic.to_string(), published.key),
            (received.topic.clone(), &received.key[..]),
            "the right content"
        );
        (index, published)
    }
}

/// The subscriptions of a client, groups left out, that a message is for.
pub(crate) fn wanted(client: &Client, message: &Published) -> Vec<u32> {
    let own = client.index == message.client;
    let matching = client.subscriptions.iter().filter(|(_, subscription)| {
        !subscription.gone
            && subscription.group.is_empty()
            && subscription.pattern.matches(&message.topic)
            && (!own || subscription.echo)
    });
    matching.map(|(number, _)| *number).collect()
}

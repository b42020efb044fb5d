//! What the mesh remembers of a subject, read once.

use std::time::Duration;

use cortexiq_domain::topics::Subject;
use cortexiq_proto::Payload;
use macula_sdk::{Client, Notification, Pattern};

use crate::channel::topic;
use crate::error::RunError;

/// Longest wait for the retained values of one subject; a guess, not measured.
const PATIENCE: Duration = Duration::from_secs(10);

/// The retained messages of a subject that `wanted` accepts, one for each key.
pub async fn retained<T: Payload>(
    client: &Client,
    subject: &'static Subject<T>,
    wanted: impl Fn(&T) -> bool,
) -> Result<Vec<T>, RunError> {
    let mut subscription = client.subscribe(Pattern::from(topic(subject.topic))).retained().await?;
    let mut found = Vec::new();
    let reading = async {
        while let Some(notification) = subscription.next().await {
            match notification {
                Notification::Message(message) if message.retained() => match message.decode() {
                    Ok(payload) if wanted(&payload) => found.push(payload),
                    Ok(_) => {}
                    Err(error) => tracing::warn!(%error, "not understood"),
                },
                Notification::RetainedEnd => break,
                _ => {}
            }
        }
    };
    if tokio::time::timeout(PATIENCE, reading).await.is_err() {
        tracing::warn!(
            topic = subject.topic,
            found = found.len(),
            "the gateway has not told all it remembers"
        );
    }
    Ok(found)
}

//! `macula sub`.

use crate::args::SubArgs;
use crate::connect::Connection;
use crate::error::Error;
use crate::output::Output;
use crate::render;
use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, SelectAll};
use macula_sdk::{Client, Message, Notification, Pattern, Status, Topic};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Notifications taken at once, so that a burst is written with few system calls. A guess, not measured.
const AT_ONCE: usize = 256;

pub(crate) async fn run(args: SubArgs, connection: &Connection, output: Output) -> Result<(), Error> {
    let client = connection.connect().await?;
    let printed = tokio::select! {
        printed = print(args, &client, output) => printed,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    // Nothing was published that could have been refused.
    let _ = client.close().await;
    printed
}

async fn print(args: SubArgs, client: &Client, output: Output) -> Result<(), Error> {
    let streams = subscribe(client, &args.patterns, args.retained).await?;
    let mut notifications = streams.ready_chunks(AT_ONCE);
    let mut printer = Printer::new(args, output);
    if let Status::Connected { gateway } = &*client.status().borrow() {
        eprintln!("subscribed at {gateway}; Ctrl-C ends");
    }
    while let Some(chunk) = notifications.next().await {
        for (index, notification) in chunk {
            printer.print(index, notification)?;
            if printer.is_done() {
                return printer.output.flush();
            }
        }
        printer.output.flush()?;
    }
    Err(Error::Failed("the gateway has ended the subscription".to_owned()))
}

/// A stream for each pattern as one, each notification with the index of its pattern.
async fn subscribe(
    client: &Client,
    patterns: &[Pattern],
    retained: bool,
) -> Result<SelectAll<BoxStream<'static, (usize, Notification)>>, Error> {
    let mut streams = SelectAll::new();
    for (index, pattern) in patterns.iter().enumerate() {
        let subscribe = client.subscribe(pattern.clone());
        let subscription = if retained { subscribe.retained().await? } else { subscribe.await? };
        streams.push(subscription.map(move |notification| (index, notification)).boxed());
    }
    Ok(streams)
}

/// Writes what is to be seen.
struct Printer {
    output: Output,
    patterns: Vec<Pattern>,
    raw: bool,
    /// Messages still to be printed.
    left: Option<u64>,
    /// Patterns whose retained values are still coming.
    awaiting: BTreeSet<usize>,
}

impl Printer {
    fn new(args: SubArgs, output: Output) -> Self {
        let SubArgs { patterns, retained, count, raw } = args;
        let awaiting = if retained { (0..patterns.len()).collect() } else { BTreeSet::new() };
        Self { output, patterns, raw, left: count, awaiting }
    }

    fn is_done(&self) -> bool {
        self.left == Some(0)
    }

    fn print(&mut self, index: usize, notification: Notification) -> Result<(), Error> {
        match notification {
            Notification::Message(message) if is_first(&self.patterns, index, message.topic()) => {
                self.left = self.left.map(|left| left - 1);
                self.message(&message)
            }
            Notification::RetainedEnd => {
                if self.awaiting.remove(&index) && self.awaiting.is_empty() {
                    let object = json!({"notice": "retained_end"});
                    return self.notice(&object, "-- the retained values end here");
                }
                Ok(())
            }
            // Losses are of the whole client, and every subscription is told.
            Notification::Dropped(count) if index == 0 => {
                let object = json!({"notice": "dropped", "count": count});
                self.notice(&object, &format!("-- lost: {count} telemetry messages, this reader is too slow"))
            }
            Notification::Gap(count) if index == 0 => {
                let object = json!({"notice": "gap", "count": count});
                let count = count.map_or("an unknown number of".to_owned(), |count| count.to_string());
                self.notice(&object, &format!("-- lost: {count} events"))
            }
            _ => Ok(()),
        }
    }

    fn message(&mut self, message: &Message) -> Result<(), Error> {
        if self.raw {
            self.output.bytes(message.payload())
        } else if self.output.is_json() {
            self.output.object(&render::object(message))
        } else {
            self.output.line(&render::line(message))
        }
    }

    fn notice(&mut self, object: &Value, line: &str) -> Result<(), Error> {
        if self.output.is_json() && !self.raw {
            return self.output.object(object);
        }
        // So that it stands where it belongs when both go to one terminal.
        self.output.flush()?;
        eprintln!("{line}");
        Ok(())
    }
}

/// Whether no earlier pattern matches: a message comes once for each pattern, and is printed once.
fn is_first(patterns: &[Pattern], index: usize, topic: &Topic) -> bool {
    !patterns[..index].iter().any(|earlier| earlier.matches(topic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_several_patterns_is_printed_for_the_first() {
        let patterns = ["a.+", "a.*", "#"].map(|text| text.parse::<Pattern>().expect("a pattern"));
        let printed = |topic: &'static str| -> Vec<usize> {
            let topic = Topic::from_static(topic);
            (0..3)
                .filter(|&index| patterns[index].matches(&topic) && is_first(&patterns, index, &topic))
                .collect()
        };
        assert_eq!(printed("a.b"), [0]);
        assert_eq!(printed("a.b.c"), [1]);
        assert_eq!(printed("c"), [2]);
    }
}

//! `macula pub`.

use crate::args::{PubArgs, Source};
use crate::connect::Connection;
use crate::error::Error;
use crate::input::{self, Encoding};
use crate::output::Output;
use crate::render;
use macula_sdk::{Class, Client, Publish};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How far a publisher that fell behind its rate may catch up at once: timers are that coarse under load. A guess,
/// not measured.
const CATCH_UP: Duration = Duration::from_millis(50);

pub(crate) async fn run(mut args: PubArgs, connection: &Connection, output: Output) -> Result<(), Error> {
    input::check_headers(&args.headers)?;
    let encoding = Encoding::new(std::mem::take(&mut args.encoding));
    let payload = if args.lines {
        None
    } else {
        let text = input::read(Source::of(args.payload.take()))?;
        Some(encoding.encode(text).map_err(Error::Usage)?)
    };
    let client = connection.connect().await?;
    let content_type = encoding.content_type().into();
    let mut run = Run {
        pace: args.rate.map(Pace::new),
        args,
        client,
        content_type,
        published: 0,
        bytes: 0,
        began: Instant::now(),
    };
    match payload {
        Some(payload) => run.repeat(payload).await?,
        None => run.lines(&encoding).await?,
    }
    run.finish(output).await
}

/// Publishing under way.
struct Run {
    args: PubArgs,
    client: Client,
    content_type: Arc<str>,
    pace: Option<Pace>,
    published: u64,
    bytes: u64,
    began: Instant,
}

impl Run {
    async fn repeat(&mut self, payload: Vec<u8>) -> Result<(), Error> {
        for _ in 0..self.args.count {
            self.publish(payload.clone()).await?;
        }
        Ok(())
    }

    async fn lines(&mut self, encoding: &Encoding) -> Result<(), Error> {
        let mut lines = input::lines();
        while let Some(line) = lines.recv().await {
            let line = line.map_err(|error| Error::Failed(format!("cannot read stdin: {error}")))?;
            match encoding.encode(line) {
                Ok(payload) => self.publish(payload).await?,
                Err(problem) => {
                    // What came before is published all the same.
                    let number = self.published + 1;
                    self.client.flush().await?;
                    return Err(Error::Failed(format!("line {number}: {problem}")));
                }
            }
        }
        Ok(())
    }

    async fn publish(&mut self, payload: Vec<u8>) -> Result<(), Error> {
        if let Some(pace) = &mut self.pace {
            pace.wait().await;
        }
        self.bytes += payload.len() as u64;
        self.published += 1;
        let message = self.message(payload);
        // A single one says itself why it was refused; of many, flush tells.
        let alone = !self.args.lines && self.args.count == 1;
        Ok(if alone { message.await.map(drop) } else { message.send().await }?)
    }

    fn message(&self, payload: Vec<u8>) -> Publish {
        let mut publish = self.client.publish(&self.args.topic, payload).class(self.args.class);
        if !self.content_type.is_empty() {
            publish = publish.content_type(Arc::clone(&self.content_type));
        }
        if !self.args.key.is_empty() {
            publish = publish.key(&self.args.key);
        }
        if self.args.retain {
            publish = publish.retain();
        }
        if self.args.remove {
            publish = publish.remove();
        }
        if let Some(time) = self.args.ttl {
            publish = publish.time_to_live(time);
        }
        for (name, value) in &self.args.headers {
            publish = publish.header(name, value);
        }
        publish
    }

    async fn finish(self, mut output: Output) -> Result<(), Error> {
        self.client.flush().await?;
        self.client.close().await?;
        let dropped = self.client.statistics().telemetry_dropped;
        if dropped > 0 {
            return Err(Error::Failed(format!(
                "{dropped} of {} messages were dropped since the connection was lost; events would have waited for it",
                self.published
            )));
        }
        let elapsed = self.began.elapsed().as_secs_f64();
        if output.is_json() {
            output.object(&json!({
                "topic": self.args.topic.as_str(),
                "class": render::class(self.args.class),
                "published": self.published,
                "bytes": self.bytes,
                "elapsed_s": elapsed,
            }))?;
            output.flush()?;
        } else if self.published > 1 {
            let done = if self.args.class == Class::Event { "accepted" } else { "sent" };
            eprintln!("{} messages {done} in {elapsed:.2} s", self.published);
        }
        Ok(())
    }
}

/// Keeps a number of messages per second.
#[derive(Debug)]
struct Pace {
    period: Duration,
    due: Option<Instant>,
}

impl Pace {
    fn new(rate: f64) -> Self {
        let period = Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::MAX);
        Self { period, due: None }
    }

    async fn wait(&mut self) {
        let now = Instant::now();
        let due = self.next(now);
        if due > now {
            tokio::time::sleep_until(due.into()).await;
        }
    }

    /// When the next message may go.
    fn next(&mut self, now: Instant) -> Instant {
        let earliest = now.checked_sub(CATCH_UP).unwrap_or(now);
        let due = match self.due {
            None => now,
            Some(last) => last.checked_add(self.period).unwrap_or(last).max(earliest),
        };
        self.due = Some(due);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_go_at_their_rate_and_catch_up_a_little_only() {
        let mut pace = Pace::new(100.0);
        let start = Instant::now();
        assert_eq!(pace.next(start), start);
        assert_eq!(pace.next(start), start + Duration::from_millis(10));
        assert_eq!(pace.next(start), start + Duration::from_millis(20));
        let late = start + Duration::from_secs(60);
        assert_eq!(pace.next(late), late - CATCH_UP);
        assert_eq!(pace.next(late), late - CATCH_UP + Duration::from_millis(10));
    }
}

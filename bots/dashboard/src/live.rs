//! `GET /api/live`: live data as server-sent events, for pages that cannot reach the gateway by themselves.
//!
//! What comes is what a page would get from the gateway, payloads as they are, in base64: four times a second what is new,
//! of telemetry the newest of each topic and key. A page that reads slowly gets less often more.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::StreamExt as _;
use futures_util::stream::{SelectAll, select_all, unfold};
use macula_sdk::{Class, Code, Message, Notification, Overflow, Pattern, Subscription};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::gauges;
use crate::problem::Problem;
use crate::state::App;

/// Pages that are fed at the same time.
pub(crate) const MOST_FEEDS: usize = 128;

/// What a page wants.
#[derive(Debug, Deserialize)]
pub(crate) struct Wanted {
    /// Patterns, separated by commas.
    patterns: String,
}

/// `GET /api/live`.
pub(crate) async fn serve(State(app): State<App>, Query(wanted): Query<Wanted>) -> Result<Response, Problem> {
    let patterns = patterns(&wanted.patterns)?;
    let permit = app.feeds.clone().try_acquire_owned().map_err(|_| {
        let text = format!("{MOST_FEEDS} pages are fed already");
        Problem::later(Code::ResourceExhausted, text, 10)
    })?;
    let mut subscriptions = Vec::new();
    for pattern in patterns {
        // Nobody waits for a page: neither homes nor providers.
        let subscribe = app.client().subscribe(pattern).retained().overflow_events(Overflow::DropOldest);
        let subscription =
            subscribe.await.map_err(|error| Problem::new(Code::Unavailable, error.to_string()))?;
        subscriptions.push(subscription);
    }
    let mut due = interval(PERIOD);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let feed = Feed {
        subscriptions: select_all(subscriptions),
        news: News::default(),
        due,
        stopping: app.stopping.clone(),
        _counted: app.gauges.feed(),
        _permit: permit,
    };
    let events =
        unfold(feed, |mut feed| async { feed.next().await.map(|event| (Ok::<_, Infallible>(event), feed)) });
    Ok(Sse::new(events).into_response())
}

fn patterns(text: &str) -> Result<Vec<Pattern>, Problem> {
    let wrong = |text: String| Problem::new(Code::InvalidArgument, format!("patterns: {text}"));
    let names: Vec<&str> = text.split(',').filter(|name| !name.is_empty()).collect();
    if names.is_empty() || names.len() > MOST_PATTERNS {
        return Err(wrong(format!("1 to {MOST_PATTERNS} are needed, separated by commas")));
    }
    let parse = |name: &&str| {
        let of_ours = OURS.iter().any(|prefix| name.starts_with(prefix));
        let pattern = name.parse::<Pattern>().map_err(|error| wrong(error.to_string()))?;
        match of_ours {
            true => Ok(pattern),
            false => Err(wrong(format!("`{name}` does not begin with {}", OURS.join(" or ")))),
        }
    };
    names.iter().map(parse).collect()
}

/// One page's feed.
struct Feed {
    subscriptions: SelectAll<Subscription>,
    news: News,
    due: Interval,
    stopping: CancellationToken,
    _counted: gauges::Feed,
    _permit: OwnedSemaphorePermit,
}

impl Feed {
    /// The next event; one that is empty says that the feed lives.
    async fn next(&mut self) -> Option<Event> {
        loop {
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return None,
                _ = self.due.tick() => return Some(Event::default().data(self.news.take().to_string())),
                notification = self.subscriptions.next() => self.news.on(notification?),
            }
        }
    }
}

/// What has come since the last event.
#[derive(Default)]
struct News {
    /// Telemetry by topic and key.
    newest: HashMap<(String, String), Message>,
    events: VecDeque<Message>,
    lost: u64,
}

impl News {
    fn on(&mut self, notification: Notification) {
        match notification {
            Notification::Message(message) if message.class() == Class::Telemetry => {
                self.newest.insert((message.topic().to_string(), message.key().to_owned()), message);
            }
            Notification::Message(message) => {
                if self.events.len() == MOST_EVENTS {
                    self.events.pop_front();
                    self.lost += 1;
                }
                self.events.push_back(message);
            }
            Notification::Dropped(count) => self.lost += count,
            Notification::Gap(count) => self.lost += count.unwrap_or(1),
            Notification::RetainedEnd => {}
        }
    }

    fn take(&mut self) -> Value {
        let told = |message: Message| {
            json!([message.topic().as_str(), message.key(), BASE64.encode(message.payload())])
        };
        let events = self.events.drain(..).map(told);
        let messages: Vec<Value> =
            events.chain(self.newest.drain().map(|(_, message)| told(message))).collect();
        json!({ "messages": messages, "lost": std::mem::take(&mut self.lost) })
    }
}

const OURS: [&str; 2] = ["be.cortexiq.", "$sys."];
const MOST_PATTERNS: usize = 24;
/// Also the sign of life.
const PERIOD: Duration = Duration::from_millis(250);
/// Events that wait for a page; a guess, more than a country's homes say in a quarter of a second.
const MOST_EVENTS: usize = 20_000;

#[cfg(test)]
mod tests {
    use super::patterns;

    #[test]
    fn a_page_names_patterns_of_the_application() {
        assert_eq!(patterns("be.cortexiq.home.*,$sys.mesh.state").expect("legal").len(), 2);
        for wrong in ["", ",", "other.topic", "be.cortexiq.home.", "#", "be.cortexiq.home.measured,secret.#"]
        {
            assert!(patterns(wrong).is_err(), "{wrong}");
        }
        assert!(patterns(&vec!["be.cortexiq.a"; 25].join(",")).is_err());
    }
}

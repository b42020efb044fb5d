//! The message that speaks for a client that no longer can.

use crate::error::PublishError;
use crate::message::Class;
use crate::names::{BadName, IntoTopic};
use crate::publish::check;
use bytes::Bytes;
use macula_proto::topic::TopicError;
use macula_proto::{Topic, limits, v1};
use std::time::Duration;

/// A last will: the gateway publishes it when this client's session ends in any other way than by
/// [`Client::close`](crate::Client::close) or [`Client::end_session`](crate::Client::end_session): when the process dies,
/// or its connection is lost and not there again within the [resume window](crate::Builder::resume_window). See
/// [`Builder::last_will`](crate::Builder::last_will).
///
/// Subscribers receive it with this client's publisher id and epoch 0. A client that lost its gateway and goes on at another
/// one is dead to the first: its will is published there, so that whoever tells its presence by a retained value says
/// it again after [`Status::Connected`](crate::Status::Connected).
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use macula_sdk::{Client, LastWill};
///
/// let will = LastWill::new("meters.presence", "offline").key("meter-7").retain();
/// let client = Client::builder().last_will(will).connect().await?;
/// client.publish("meters.presence", "online").key("meter-7").retain().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct LastWill {
    topic: Result<Topic, BadName<TopicError>>,
    class: Class,
    content_type: String,
    message: v1::Message,
}

impl LastWill {
    /// A will of this topic and payload, an event. A text that is no topic is told by
    /// [`Builder::connect`](crate::Builder::connect).
    ///
    /// ```
    /// let will = macula_sdk::LastWill::new("meters.presence", "offline");
    /// ```
    pub fn new(topic: impl IntoTopic, payload: impl Into<Bytes>) -> Self {
        let message = v1::Message { payload: payload.into(), ..v1::Message::default() };
        Self { topic: topic.into_topic(), class: Class::Event, content_type: String::new(), message }
    }

    /// How it is delivered, as an event by default.
    ///
    /// ```
    /// use macula_sdk::{Class, LastWill};
    /// let will = LastWill::new("meters.presence", "offline").class(Class::Telemetry);
    /// ```
    pub fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// The record key. At most 255 bytes.
    ///
    /// ```
    /// let will = macula_sdk::LastWill::new("meters.presence", "offline").key("meter-7");
    /// ```
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.message.key = key.into();
        self
    }

    /// Keep it as the value of its topic and key.
    ///
    /// ```
    /// let will = macula_sdk::LastWill::new("meters.presence", "offline").retain();
    /// ```
    pub fn retain(mut self) -> Self {
        self.message.retain = true;
        self
    }

    /// Forget the value of its topic and key.
    ///
    /// ```
    /// let will = macula_sdk::LastWill::new("meters.presence", "").key("meter-7").remove();
    /// ```
    pub fn remove(mut self) -> Self {
        self.message.remove = true;
        self
    }

    /// Adds a header.
    ///
    /// ```
    /// let will = macula_sdk::LastWill::new("meters.presence", "offline").header("site", "antwerp");
    /// ```
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.message.headers.push(v1::Header { name: name.into(), value: value.into() });
        self
    }

    /// Media type of the payload.
    ///
    /// ```
    /// let will = macula_sdk::LastWill::new("meters.presence", "{}").content_type("application/json");
    /// ```
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = content_type.into();
        self
    }

    /// How long it is of use once it is published; for ever by default.
    ///
    /// ```
    /// let hour = std::time::Duration::from_secs(3600);
    /// let will = macula_sdk::LastWill::new("meters.presence", "offline").time_to_live(hour);
    /// ```
    pub fn time_to_live(mut self, time: Duration) -> Self {
        self.message.time_to_live_ms = crate::millis(time);
        self
    }

    /// What is wrong with it, as far as this side knows.
    pub(crate) fn problem(&self) -> Option<String> {
        let headers: usize =
            self.message.headers.iter().map(|header| header.name.len() + header.value.len()).sum();
        let checked = check("key", self.message.key.len(), limits::KEY_BYTES)
            .and_then(|()| check("payload", self.message.payload.len(), limits::WILL_BYTES))
            .and_then(|()| check("list of headers", headers, limits::HEADER_BYTES))
            .and_then(|()| check("content type", self.content_type.len(), limits::CONTENT_TYPE_BYTES));
        let topic = match &self.topic {
            Ok(topic) => topic,
            Err(BadName { text, error }) => return Some(format!("the last will on `{text}`: {error}")),
        };
        let problem = |text: String| format!("the last will on `{topic}`: {text}");
        if topic.is_system() {
            return Some(problem("names that begin with `$` belong to the gateways".to_owned()));
        }
        checked.err().map(|error: PublishError| problem(error.to_string()))
    }

    pub(crate) fn wire(&self) -> v1::LastWill {
        v1::LastWill {
            class: self.class.wire().into(),
            topic: self.topic.as_ref().map(Topic::to_string).unwrap_or_default(),
            content_type: self.content_type.clone(),
            message: Some(self.message.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_will_that_no_gateway_would_take_is_told_at_once() {
        let topic = Topic::from_static("a");
        assert_eq!(LastWill::new(&topic, "x").key("k").header("n", "v").problem(), None);
        let long = LastWill::new(&topic, "x").key("k".repeat(256)).problem().unwrap();
        assert!(long.contains("`a`") && long.contains("key"), "{long}");
        assert!(LastWill::new(&topic, vec![0; limits::WILL_BYTES + 1]).problem().is_some());
        assert!(LastWill::new(&topic, "").content_type("t".repeat(256)).problem().is_some());
        assert!(LastWill::new(Topic::from_static("$sys.slow"), "x").problem().is_some());
    }
}

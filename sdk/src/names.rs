//! What an operation takes for a topic or a pattern: a parsed one, or text that is parsed on the way.
//!
//! The traits are for these types alone. A text that is none becomes the operation's own error when it is awaited, so that
//! one `?` is enough; a parsed name costs a reference count, as it always did.

use macula_proto::pattern::PatternError;
use macula_proto::topic::TopicError;
use macula_proto::{Pattern, Topic};

/// A [`Topic`], or text that should be one.
///
/// ```no_run
/// # async fn example(client: macula_sdk::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use macula_sdk::Topic;
///
/// client.publish("home.measured", "3500 W").await?;
/// client.publish(format!("home.{}.measured", 7), "3500 W").await?;
/// // Parsed once, for many messages.
/// let topic: Topic = "home.measured".parse()?;
/// client.publish(&topic, "3500 W").await?;
/// # Ok(())
/// # }
/// ```
pub trait IntoTopic: sealed::Sealed {
    #[doc(hidden)]
    fn into_topic(self) -> Result<Topic, BadName<TopicError>>;
}

/// A [`Pattern`], a [`Topic`], which is a pattern without wildcards, or text that should be one.
///
/// ```no_run
/// # async fn example(client: macula_sdk::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use macula_sdk::Pattern;
///
/// let readings = client.subscribe("home.*").await?;
/// let pattern: Pattern = "home.+.measured".parse()?;
/// let rooms = client.subscribe(&pattern).await?;
/// # Ok(())
/// # }
/// ```
pub trait IntoPattern: sealed::Sealed {
    #[doc(hidden)]
    fn into_pattern(self) -> Result<Pattern, BadName<PatternError>>;
}

/// A text that is no name, and why.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct BadName<E> {
    pub(crate) text: String,
    pub(crate) error: E,
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for &str {}
    impl Sealed for String {}
    impl Sealed for &String {}
    impl Sealed for macula_proto::Topic {}
    impl Sealed for &macula_proto::Topic {}
    impl Sealed for macula_proto::Pattern {}
    impl Sealed for &macula_proto::Pattern {}
}

impl IntoTopic for &str {
    fn into_topic(self) -> Result<Topic, BadName<TopicError>> {
        self.parse().map_err(|error| BadName { text: self.to_owned(), error })
    }
}

impl IntoTopic for String {
    fn into_topic(self) -> Result<Topic, BadName<TopicError>> {
        self.as_str().into_topic()
    }
}

impl IntoTopic for &String {
    fn into_topic(self) -> Result<Topic, BadName<TopicError>> {
        self.as_str().into_topic()
    }
}

impl IntoTopic for Topic {
    fn into_topic(self) -> Result<Topic, BadName<TopicError>> {
        Ok(self)
    }
}

impl IntoTopic for &Topic {
    fn into_topic(self) -> Result<Topic, BadName<TopicError>> {
        Ok(self.clone())
    }
}

impl IntoPattern for &str {
    fn into_pattern(self) -> Result<Pattern, BadName<PatternError>> {
        self.parse().map_err(|error| BadName { text: self.to_owned(), error })
    }
}

impl IntoPattern for String {
    fn into_pattern(self) -> Result<Pattern, BadName<PatternError>> {
        self.as_str().into_pattern()
    }
}

impl IntoPattern for &String {
    fn into_pattern(self) -> Result<Pattern, BadName<PatternError>> {
        self.as_str().into_pattern()
    }
}

impl IntoPattern for Pattern {
    fn into_pattern(self) -> Result<Pattern, BadName<PatternError>> {
        Ok(self)
    }
}

impl IntoPattern for &Pattern {
    fn into_pattern(self) -> Result<Pattern, BadName<PatternError>> {
        Ok(self.clone())
    }
}

impl IntoPattern for Topic {
    fn into_pattern(self) -> Result<Pattern, BadName<PatternError>> {
        Ok(self.into())
    }
}

impl IntoPattern for &Topic {
    fn into_pattern(self) -> Result<Pattern, BadName<PatternError>> {
        Ok(self.into())
    }
}

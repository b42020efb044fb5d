//! W3C trace context: which trace a message or a call belongs to, told in the header `traceparent`.
//!
//! Inside of a handler, and of [`TraceParent::scope`], what is published and called says the trace by itself. Where there
//! is none this costs a look at a task-local variable for each publish and call, and nothing on a `Publisher`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Name of the header.
pub(crate) const HEADER: &str = "traceparent";

/// One step of a trace, as in the header `traceparent` of the W3C.
///
/// ```
/// use macula_sdk::TraceParent;
///
/// let received: TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse()?;
/// let next = received.child();
/// assert_eq!((next.trace_id, next.sampled), (received.trace_id, true));
/// # Ok::<(), macula_sdk::TraceParentError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// The trace; never 0.
    pub trace_id: u128,
    /// The step within it; never 0.
    pub parent_id: u64,
    /// Somebody records this trace.
    pub sampled: bool,
}

tokio::task_local! {
    static CURRENT: TraceParent;
}

/// Where the application's tracing says which trace is current.
#[derive(Clone)]
pub(crate) struct Source(pub(crate) Arc<dyn Fn() -> Option<TraceParent> + Send + Sync>);

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

/// A text that is no `traceparent`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no traceparent: it is written 00-<32 hexadecimal digits>-<16 digits>-<2 digits>, neither id being zero"
)]
pub struct TraceParentError(String);

impl TraceParent {
    /// A new trace.
    ///
    /// ```
    /// let trace = macula_sdk::TraceParent::root(true);
    /// assert!(trace.sampled && trace.trace_id != 0);
    /// ```
    pub fn root(sampled: bool) -> Self {
        Self {
            trace_id: rand::random_range(1..=u128::MAX),
            parent_id: rand::random_range(1..=u64::MAX),
            sampled,
        }
    }

    /// The next step of the same trace: what is sent on account of what was received.
    ///
    /// ```
    /// let step = macula_sdk::TraceParent::root(false);
    /// assert_eq!(step.child().trace_id, step.trace_id);
    /// ```
    pub fn child(self) -> Self {
        Self { parent_id: rand::random_range(1..=u64::MAX), ..self }
    }

    /// The step that the running task is part of: in a handler whose call names a trace a child of that, within
    /// [`scope`](Self::scope) what that says.
    ///
    /// ```
    /// use macula_sdk::TraceParent;
    ///
    /// assert_eq!(TraceParent::current(), None);
    /// ```
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|trace| *trace).ok()
    }

    /// Runs a future as part of this step: what it publishes and calls says so. For messages that are worked on, and for
    /// tasks that a handler spawns.
    ///
    /// ```no_run
    /// # async fn work(_: macula_sdk::Message) {}
    /// # async fn example(message: macula_sdk::Message) {
    /// match message.traceparent() {
    ///     Some(trace) => trace.child().scope(work(message)).await,
    ///     None => work(message).await,
    /// }
    /// # }
    /// ```
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        CURRENT.scope(self, future).await
    }
}

impl FromStr for TraceParent {
    type Err = TraceParentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read(text).ok_or_else(|| TraceParentError(text.chars().take(100).collect()))
    }
}

fn read(text: &str) -> Option<TraceParent> {
    let mut parts = text.split('-');
    let mut part = |digits: usize| {
        let part = parts.next()?;
        let legal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (part.len() == digits && part.bytes().all(legal)).then_some(part)
    };
    let version = part(2)?;
    let trace_id = u128::from_str_radix(part(32)?, 16).ok()?;
    let parent_id = u64::from_str_radix(part(16)?, 16).ok()?;
    let flags = u8::from_str_radix(part(2)?, 16).ok()?;
    // Later versions may have more behind; this one has not, and ff is none.
    let whole = version != "00" || parts.next().is_none();
    (whole && version != "ff" && trace_id != 0 && parent_id != 0).then_some(TraceParent {
        trace_id,
        parent_id,
        sampled: flags & 1 == 1,
    })
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.parent_id, u8::from(self.sampled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_it_is_read() {
        for text in [
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000001-ffffffffffffffff-00",
        ] {
            assert_eq!(text.parse::<TraceParent>().unwrap().to_string(), text);
        }
        let root = TraceParent::root(true);
        assert_eq!(root.to_string().parse(), Ok(root));
        assert_ne!(root.child(), root);
    }

    #[test]
    fn what_is_none_is_refused_and_later_versions_are_read() {
        for text in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert!(text.parse::<TraceParent>().is_err(), "{text}");
        }
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";
        assert!(later.parse::<TraceParent>().is_ok());
    }
}

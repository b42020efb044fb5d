//! Settings of a client.

use crate::client::Client;
use crate::connection;
use crate::core::Core;
use crate::error::{ConnectError, SettingsError};
use crate::message::PublisherId;
use crate::trace::{self, TraceParent};
use crate::will::LastWill;
use macula_proto::v1::Windows as Credit;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// The realm of CortexIQ, as in the seed document.
const DEFAULT_REALM: &str = "be.cortexiq.energy";
/// A gateway on this machine.
const DEFAULT_URL: &str = "https://localhost:9443";
/// The gateway's port.
const DEFAULT_PORT: u16 = 9443;
/// With half of it a fifth fewer messages came a second on loopback, with twice as much no more (`gateway/ARCHITECTURE.md`).
const DEFAULT_WINDOW: u64 = 2 * DEFAULT_RPC_WINDOW;
/// Two windows of the gateway a second at 10 ms distance; a guess, not measured.
const DEFAULT_RPC_WINDOW: u64 = macula_proto::limits::WINDOW_BYTES;
/// From the design.
const DEFAULT_OUTBOX: usize = 16 << 20;
/// Four of the largest calls, or tens of thousands of usual ones; a guess, not measured.
const DEFAULT_CALL_BYTES: usize = 64 << 20;
/// From the design; gateways keep no session longer.
const DEFAULT_RESUME_WINDOW: Duration = Duration::from_secs(30);
/// Long enough for a handshake over a slow mobile link; a guess, not measured.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Settings of a [`Client`]. Each has a default, so `Client::builder().connect()` connects to a gateway on this
/// machine.
#[derive(Clone, Debug)]
pub struct Builder {
    urls: Vec<String>,
    realm: String,
    ca: Option<PathBuf>,
    token: Token,
    name: String,
    publisher: Option<PublisherId>,
    session_name: String,
    resume_window: Duration,
    last_will: Option<LastWill>,
    trace: Option<trace::Source>,
    windows: Windows,
    outbox_bytes: usize,
    call_bytes: usize,
    connect_timeout: Duration,
    wait: bool,
    runtime: Option<Handle>,
}

/// Bytes that the gateway may send before the application has taken them, per class; at least 64 KiB each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Events, 2 MiB by default.
    pub event: u64,
    /// Telemetry, 2 MiB by default.
    pub telemetry: u64,
    /// Calls and results, 1 MiB by default.
    pub rpc: u64,
}

impl Default for Windows {
    fn default() -> Self {
        Self { event: DEFAULT_WINDOW, telemetry: DEFAULT_WINDOW, rpc: DEFAULT_RPC_WINDOW }
    }
}

/// Settings that have been checked.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) urls: Vec<Url>,
    pub(crate) realm: String,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) token: Token,
    pub(crate) name: String,
    pub(crate) publisher: Option<PublisherId>,
    pub(crate) session_name: String,
    pub(crate) resume_window: Duration,
    pub(crate) last_will: Option<LastWill>,
    pub(crate) trace: Option<trace::Source>,
    pub(crate) windows: Credit,
    pub(crate) outbox_bytes: usize,
    pub(crate) call_bytes: usize,
    pub(crate) connect_timeout: Duration,
    /// Keep trying where the first attempt to connect fails.
    pub(crate) wait: bool,
    /// Where the application wants the I/O done.
    pub(crate) runtime: Option<Handle>,
}

/// Where the token comes from.
#[derive(Clone, Default)]
pub(crate) enum Token {
    #[default]
    None,
    Text(String),
    File(PathBuf),
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Text(_) => f.write_str("Text(..)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// A gateway's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) text: String,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            realm: DEFAULT_REALM.to_owned(),
            ca: None,
            token: Token::None,
            name: default_name(),
            publisher: None,
            session_name: String::new(),
            resume_window: DEFAULT_RESUME_WINDOW,
            last_will: None,
            trace: None,
            windows: Windows::default(),
            outbox_bytes: DEFAULT_OUTBOX,
            call_bytes: DEFAULT_CALL_BYTES,
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            wait: false,
            runtime: None,
        }
    }
}

impl Builder {
    /// Reads `MACULA_URL` (a comma-separated list), `MACULA_REALM`, `MACULA_CA`, `MACULA_TOKEN` and
    /// `MACULA_TOKEN_FILE`. For the environment of the process: `Builder::from_vars(|name| std::env::var(name).ok())`.
    /// What is absent or empty keeps its default.
    ///
    /// ```no_run
    /// # async fn example() -> macula_sdk::doc::Outcome {
    /// let client = macula_sdk::Builder::from_vars(|name| std::env::var(name).ok())?.connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// All problems at once.
    pub fn from_vars(vars: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let var =
            |name: &str| vars(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let mut builder = Self::default();
        let mut problems = Vec::new();
        if let Some(urls) = var("MACULA_URL") {
            builder = builder.urls(urls.split(',').map(str::trim).filter(|url| !url.is_empty()));
            problems.extend(
                builder
                    .urls
                    .iter()
                    .filter_map(|url| Url::parse(url).err())
                    .map(|problem| format!("MACULA_URL: {problem}")),
            );
        }
        if let Some(realm) = var("MACULA_REALM") {
            builder.realm = realm;
        }
        if let Some(ca) = var("MACULA_CA") {
            let path = PathBuf::from(&ca);
            if let Err(error) = std::fs::metadata(&path) {
                problems.push(format!("MACULA_CA: cannot read {ca}: {error}"));
            }
            builder.ca = Some(path);
        }
        match (var("MACULA_TOKEN"), var("MACULA_TOKEN_FILE")) {
            (Some(_), Some(_)) => {
                problems.push("MACULA_TOKEN and MACULA_TOKEN_FILE: give one of them".to_owned())
            }
            (Some(token), None) => builder.token = Token::Text(token),
            (None, Some(file)) => {
                if let Err(error) = std::fs::metadata(&file) {
                    problems.push(format!("MACULA_TOKEN_FILE: cannot read {file}: {error}"));
                }
                builder.token = Token::File(file.into());
            }
            (None, None) => {}
        }
        if problems.is_empty() { Ok(builder) } else { Err(SettingsError { problems }) }
    }

    /// Adds a gateway, `https://host:port`, port 9443 by default. Several are tried in turn; without any it is
    /// `https://localhost:9443`. Names are resolved anew at every attempt.
    ///
    /// ```no_run
    /// # async fn example() -> macula_sdk::doc::Outcome {
    /// let client = macula_sdk::Client::builder().url("https://gateway.example").connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.urls.push(url.into());
        self
    }

    /// Adds several gateways.
    ///
    /// ```no_run
    /// # async fn example() -> macula_sdk::doc::Outcome {
    /// let near_and_far = ["https://gateway.here:9443", "https://gateway.there:9443"];
    /// let client = macula_sdk::Client::builder().urls(near_and_far).connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn urls<T: Into<String>>(mut self, urls: impl IntoIterator<Item = T>) -> Self {
        self.urls.extend(urls.into_iter().map(Into::into));
        self
    }

    /// The realm, `be.cortexiq.energy` by default. A gateway of another realm refuses the client.
    ///
    /// ```no_run
    /// # async fn example() -> macula_sdk::doc::Outcome {
    /// let client = macula_sdk::Client::builder().realm("be.cortexiq.energy").connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = realm.into();
        self
    }

    /// Trust the certificates in this PEM file, and no others. By default the development CA of this machine is
    /// trusted, or the platform's certificates if there is none.
    ///
    /// ```no_run
    /// # async fn example() -> macula_sdk::doc::Outcome {
    /// let client = macula_sdk::Client::builder().ca("/etc/macula/ca.pem").connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn ca(mut self, file: impl Into<PathBuf>) -> Self {
        self.ca = Some(file.into());
        self
    }

    /// Bearer token for gateways that ask for one.
    ///
    /// ```no_run
    /// # async fn example() -> macula_sdk::doc::Outcome {
    /// let client = macula_sdk::Client::builder().token(std::env::var("TOKEN")?).connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Token::Text(token.into());
        self
    }

    /// File with the bearer token, read anew at every attempt to connect.
    ///
    /// ```no_run
    /// # async fn example() -> macula_sdk::doc::Outcome {
    /// let client = macula_sdk::Client::builder().token_file("/run/secrets/macula").connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn token_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.token = Token::File(file.into());
        self
    }

    /// Name and version of the application, for the gateway's logs; the program's name by default.
    ///
    /// ```no_run
    /// # async fn example() -> macula_sdk::doc::Outcome {
    /// let client = macula_sdk::Client::builder().name("meter-reader 1.4").connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Identity under which this client publishes; random by default. Two clients with one identity at one time
    /// throw each other out.
    ///
    /// ```no_run
    /// # async fn example() -> macula_sdk::doc::Outcome {
    /// use macula_sdk::{Client, PublisherId};
    /// let stored = PublisherId(*b"meter-7-antwerp.");
    /// let client = Client::builder().publisher_id(stored).connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn publisher_id(mut self, publisher: PublisherId) -> Self {
        self.publisher = Some(publisher);
        self
    }

    /// Bytes that the gateway may send ahead of the application, 1 MiB of each class by default.
    ///
    /// ```no_run
    /// # async fn example() -> macula_sdk::doc::Outcome {
    /// use macula_sdk::{Client, Windows};
    /// let windows = Windows { telemetry: 4 << 20, ..Windows::default() };
    /// let client = Client::builder().windows(windows).connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn windows(mut self, windows: Windows) -> Self {
        self.windows = windows;
        self
    }

    /// Name of the session, none by default. The next process that connects with the same name, and the same identity
    /// where the gateway authenticates its clients, takes the session over: what this one has not acknowledged is
    /// delivered to it as soon as it subscribes to the same pattern and group. Subscriptions that it has not made again
    /// within ten seconds end. For processes of which there is to be one at a time: a second one throws the first out,
    /// whose client is then closed.
    ///
    /// A session with a name outlives [`Client::close`] and dropped subscriptions, for as long as its
    /// [resume window](Self::resume_window); [`Client::end_session`] ends it.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), macula_sdk::ConnectError> {
    /// let client = macula_sdk::Client::builder().session_name("ledger").connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn session_name(mut self, name: impl Into<String>) -> Self {
        self.session_name = name.into();
        self
    }

    /// How long the gateway keeps the session once the connection is lost, 30 s by default and at most. Meanwhile it
    /// keeps events, at most 32 MiB, and counts the telemetry that the client misses.
    ///
    /// ```no_run
    /// # async fn example() -> macula_sdk::doc::Outcome {
    /// let short = std::time::Duration::from_secs(2);
    /// let client = macula_sdk::Client::builder().resume_window(short).connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn resume_window(mut self, window: Duration) -> Self {
        self.resume_window = window;
        self
    }

    /// What the gateway publishes if this client dies; nothing by default.
    ///
    /// ```no_run
    /// # async fn example() -> macula_sdk::doc::Outcome {
    /// use macula_sdk::{Client, LastWill};
    /// let will = LastWill::new("meters.presence", "offline").key("meter-7").retain();
    /// let client = Client::builder().last_will(will).connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn last_will(mut self, will: LastWill) -> Self {
        self.last_will = Some(will);
        self
    }

    /// Asks the application's own tracing for the current trace, at each publish and call that does not say one: for
    /// OpenTelemetry. Where it knows none, [`TraceParent::current`] is said.
    ///
    /// ```ignore
    /// // With the crates opentelemetry and tracing-opentelemetry. Received contexts are joined by
    /// // `Span::current().set_parent(..)` in a handler, with `request.traceparent()`.
    /// let client = Client::builder().trace_source(|| {
    ///     let context = tracing::Span::current().context();
    ///     let span = context.span().span_context().clone();
    ///     span.is_valid().then(|| TraceParent {
    ///         trace_id: u128::from_be_bytes(span.trace_id().to_bytes()),
    ///         parent_id: u64::from_be_bytes(span.span_id().to_bytes()),
    ///         sampled: span.is_sampled(),
    ///     })
    /// });
    /// ```
    pub fn trace_source(mut self, source: impl Fn() -> Option<TraceParent> + Send + Sync + 'static) -> Self {
        self.trace = Some(trace::Source(Arc::new(source)));
        self
    }

    /// Bytes of events that are kept until they are settled, that is, acknowledged by all their receivers; 16 MiB by
    /// default. When they are full, the oldest leave that the gateway has accepted, counted in
    /// [`Statistics::unsettled`](crate::Statistics::unsettled); if there are none, publishing waits.
    ///
    /// ```no_run
    /// # async fn example() -> macula_sdk::doc::Outcome {
    /// let client = macula_sdk::Client::builder().outbox_bytes(256 << 20).connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn outbox_bytes(mut self, bytes: usize) -> Self {
        self.outbox_bytes = bytes;
        self
    }

    /// Bytes of calls that wait for this client's handlers or are being handled by them, over all its registrations; 64 MiB
    /// by default. A call that finds no room is answered `RESOURCE_EXHAUSTED` at once, and so is one that is larger than
    /// all of it. Each counts as payload, headers and a kilobyte.
    ///
    /// ```no_run
    /// # async fn example() -> macula_sdk::doc::Outcome {
    /// let client = macula_sdk::Client::builder().call_bytes(8 << 20).connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn call_bytes(mut self, bytes: usize) -> Self {
        self.call_bytes = bytes;
        self
    }

    /// How long one attempt at one address may take, 10 s by default.
    ///
    /// ```no_run
    /// # async fn example() -> macula_sdk::doc::Outcome {
    /// let quick = std::time::Duration::from_secs(1);
    /// let client = macula_sdk::Client::builder().connect_timeout(quick).connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Keep trying until a gateway can be reached, with a warning in the log, rather than fail at the first attempt. A
    /// client that every gateway refuses for what waiting does not change, such as another realm, fails all the same.
    ///
    /// ```no_run
    /// # async fn example() -> macula_sdk::doc::Outcome {
    /// let client = macula_sdk::Client::builder().wait_for_gateway().connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait_for_gateway(mut self) -> Self {
        self.wait = true;
        self
    }

    /// Do the client's I/O on this runtime of the application, and not on a thread for it. Then nothing waits until another
    /// thread wakes: one call after the other takes little more than half the time. In return, whatever keeps the runtime
    /// busy keeps the connection waiting, and the client ends with the runtime. For calls; where many clients publish or read
    /// as fast as they can, the default is faster.
    ///
    /// ```no_run
    /// # async fn example() -> macula_sdk::doc::Outcome {
    /// let here = tokio::runtime::Handle::current();
    /// let client = macula_sdk::Client::builder().runtime(here).connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// [`connect`](Self::connect) panics, as tokio does, where the runtime was built without its I/O driver; without its
    /// time driver it fails. `enable_all` is what a runtime needs.
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Connects. May be awaited on any executor: the client does its I/O in a thread for it, or on its own
    /// [`runtime`](Self::runtime).
    ///
    /// ```no_run
    /// # async fn example() -> macula_sdk::doc::Outcome {
    /// let client = macula_sdk::Client::builder().connect().await?;
    /// client.publish("home.measured", "3500 W").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Unusable settings, all at once, or what happened at each address.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let core = Arc::new(Core::new(self.check()?));
        // Made first, so that dropping this future ends the thread.
        let client = Client::from_core(Arc::clone(&core));
        connection::start(core)?.await.unwrap_or(Err(ConnectError::Closed))?;
        Ok(client)
    }

    pub(crate) fn check(self) -> Result<Config, SettingsError> {
        let texts = if self.urls.is_empty() { vec![DEFAULT_URL.to_owned()] } else { self.urls };
        let mut problems = Vec::new();
        let urls = texts
            .iter()
            .filter_map(|url| Url::parse(url).map_err(|problem| problems.push(problem)).ok())
            .collect();
        if self.realm.is_empty() {
            problems.push("the realm is empty".to_owned());
        }
        problems.extend(self.last_will.as_ref().and_then(LastWill::problem));
        if !problems.is_empty() {
            return Err(SettingsError { problems });
        }
        let window = |bytes: u64| bytes.max(MIN_WINDOW);
        Ok(Config {
            urls,
            realm: self.realm,
            ca: self.ca,
            token: self.token,
            name: self.name,
            publisher: self.publisher,
            session_name: self.session_name,
            resume_window: self.resume_window,
            last_will: self.last_will,
            trace: self.trace,
            windows: Credit {
                rpc: window(self.windows.rpc),
                event: window(self.windows.event),
                telemetry: window(self.windows.telemetry),
            },
            outbox_bytes: self.outbox_bytes.max(MIN_WINDOW as usize),
            call_bytes: self.call_bytes,
            connect_timeout: self.connect_timeout,
            wait: self.wait,
            runtime: self.runtime,
        })
    }
}

/// Below this, credit would be granted message by message.
const MIN_WINDOW: u64 = 64 << 10;

impl Token {
    /// Whether it may be another one next time.
    pub(crate) fn may_change(&self) -> bool {
        matches!(self, Self::File(_))
    }

    /// The token, read now.
    pub(crate) fn read(&self) -> Result<String, crate::error::Failure> {
        match self {
            Self::None => Ok(String::new()),
            Self::Text(token) => Ok(token.clone()),
            Self::File(path) => {
                std::fs::read_to_string(path).map(|text| text.trim().to_owned()).map_err(|error| {
                    crate::error::Failure::Token {
                        path: path.display().to_string(),
                        reason: error.to_string(),
                    }
                })
            }
        }
    }
}

impl Url {
    fn parse(text: &str) -> Result<Self, String> {
        let bad = |why: &str| format!("`{text}` is no gateway's URL: {why}, as in https://localhost:9443");
        let rest = text.strip_prefix("https://").ok_or_else(|| bad("it begins with https://"))?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#', '@']) {
            return Err(bad("it has only host and port"));
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or_else(|| bad("the bracket is not closed"))?,
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        if host.is_empty() {
            return Err(bad("it names a host"));
        }
        let port = match port.strip_prefix(':') {
            Some(port) => {
                port.parse().ok().filter(|&port| port > 0).ok_or_else(|| bad("its port is 1 to 65535"))?
            }
            None if port.is_empty() => DEFAULT_PORT,
            None => return Err(bad("a colon separates host and port")),
        };
        Ok(Self { text: text.to_owned(), host: host.to_owned(), port })
    }
}

fn default_name() -> String {
    let program =
        std::env::current_exe().ok().and_then(|path| Some(path.file_stem()?.to_string_lossy().into_owned()));
    program.unwrap_or_else(|| format!("macula-sdk {}", env!("CARGO_PKG_VERSION")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_scheme_host_and_port() {
        let parsed = |text: &str| Url::parse(text).map(|url| (url.host, url.port));
        assert_eq!(parsed("https://localhost:9443"), Ok(("localhost".to_owned(), 9443)));
        assert_eq!(parsed("https://gateway.example/"), Ok(("gateway.example".to_owned(), 9443)));
        assert_eq!(parsed("https://[::1]:7"), Ok(("::1".to_owned(), 7)));
        for bad in
            ["http://localhost", "https://", "https://h:0", "https://h:x", "https://h/v1", "https://[::1"]
        {
            assert!(parsed(bad).unwrap_err().contains(bad));
        }
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let vars = |name: &str| match name {
            "MACULA_URL" => Some("localhost:9443, https://ok".to_owned()),
            "MACULA_CA" => Some("/nowhere/ca.pem".to_owned()),
            "MACULA_TOKEN" | "MACULA_TOKEN_FILE" => Some("x".to_owned()),
            _ => None,
        };
        assert_eq!(Builder::from_vars(vars).unwrap_err().problems.len(), 3);
    }

    #[test]
    fn empty_variables_are_absent() {
        let builder = Builder::from_vars(|_| Some(" ".to_owned())).unwrap();
        let config = builder.check().unwrap();
        assert_eq!((config.urls[0].text.as_str(), config.realm.as_str()), (DEFAULT_URL, DEFAULT_REALM));
    }
}

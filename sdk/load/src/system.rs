//! What can be loaded.

use crate::Sink;
use anyhow::Context as _;

/// What a client is connected for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It publishes.
    Publisher,
    /// It subscribes.
    Subscriber,
    /// It calls.
    Caller,
    /// It answers calls.
    Callee,
    /// It does nothing.
    Idle,
}

/// Where the tasks of clients run, which is part of how each system does best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// On the runtime of the program.
    Shared,
    /// Each client on a thread and a runtime of its own.
    PerClient,
}

/// A router of messages, with its client library.
pub trait System: Clone + Send + Sync + 'static {
    /// A connection.
    type Client: Client;

    /// Connects.
    fn connect(&self, role: Role) -> impl Future<Output = anyhow::Result<Self::Client>> + Send;

    /// Where its clients run best.
    fn threads(&self) -> Threads;
}

/// A connection of a [`System`].
pub trait Client: Send + Sync + 'static {
    /// See [`publisher`](Self::publisher).
    type Publisher: Publisher;
    /// See [`subscribe`](Self::subscribe).
    type Subscription: Subscription;
    /// Answers calls until it is dropped.
    type Service: Send;

    /// Prepares to publish to the topic of this number.
    fn publisher(&self, topic: usize) -> impl Future<Output = anyhow::Result<Self::Publisher>> + Send;

    /// Subscribes to the topic of this number. What is published after this is delivered.
    fn subscribe(&self, topic: usize) -> impl Future<Output = anyhow::Result<Self::Subscription>> + Send;

    /// Offers the procedure of this number, which answers each call with its own payload.
    fn serve(&self, procedure: usize) -> impl Future<Output = anyhow::Result<Self::Service>> + Send;

    /// Calls the procedure of this number, and gives the payload of its answer to `check`.
    fn call(
        &self,
        procedure: usize,
        payload: &[u8],
        check: impl FnOnce(&[u8]) -> bool + Send,
    ) -> impl Future<Output = anyhow::Result<bool>> + Send;
}

/// Publishes to one topic.
pub trait Publisher: Send + Sync + 'static {
    /// Hands over a message; waits when the router is behind.
    fn send(&self, payload: &[u8]) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Sees to it that what was sent has left.
    fn flush(&self) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// The messages of one topic.
pub trait Subscription: Send + 'static {
    /// Hands all messages to the sink until it [has enough](Sink::is_done), and gives it back.
    fn run(self, sink: Sink) -> impl Future<Output = Sink> + Send;
}

/// Runs the task of a client where its system wants it.
///
/// # Errors
/// When no thread can be made.
pub fn run_on<T: Send + 'static>(
    threads: Threads,
    task: impl Future<Output = anyhow::Result<T>> + Send + 'static,
) -> anyhow::Result<tokio::task::JoinHandle<anyhow::Result<T>>> {
    match threads {
        Threads::Shared => Ok(tokio::spawn(task)),
        Threads::PerClient => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (send, receive) = tokio::sync::oneshot::channel();
            let run = move || {
                let _ = send.send(runtime.block_on(task));
                // Connections may have tasks that do not end by themselves.
                runtime.shutdown_background();
            };
            std::thread::Builder::new().name("load".to_owned()).spawn(run)?;
            Ok(tokio::spawn(async { receive.await.context("the thread of a client panicked")? }))
        }
    }
}

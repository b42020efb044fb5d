//! What can be loaded.

use crate::Sink;
use std::io;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::Handle;

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
    /// On one runtime of one thread for each core, in turn.
    PerCore,
}

/// A router of messages, with its client library.
pub trait System: Clone + Send + Sync + 'static {
    /// A connection.
    type Client: Client;

    /// Connects.
    fn connect(&self, role: Role) -> impl Future<Output = anyhow::Result<Self::Client>> + Send;

    /// Where its clients run best.
    fn threads(&self) -> Threads;

    /// Whether a subscriber may lose what it is told of, if it does not keep up.
    fn may_lose(&self) -> bool {
        false
    }
}

/// A connection of a [`System`].
pub trait Client: Send + Sync + 'static {
    /// See [`publisher`](Self::publisher).
    type Publisher: Publisher;
    /// See [`subscribe`](Self::subscribe).
    type Subscription: Subscription;
    /// Answers calls until it is dropped.
    type Service: Send;
    /// Names a procedure as calls need it.
    type Procedure: Send + Sync + 'static;

    /// Prepares to publish to the topic of this number.
    fn publisher(&self, topic: usize) -> impl Future<Output = anyhow::Result<Self::Publisher>> + Send;

    /// Subscribes to the topic of this number. What is published after this is delivered.
    fn subscribe(&self, topic: usize) -> impl Future<Output = anyhow::Result<Self::Subscription>> + Send;

    /// Offers the procedure of this number, which answers each call with its own payload.
    fn serve(&self, procedure: usize) -> impl Future<Output = anyhow::Result<Self::Service>> + Send;

    /// The name of the procedure of this number, made once for many calls.
    fn procedure(&self, number: usize) -> anyhow::Result<Self::Procedure>;

    /// Calls a procedure, and gives the payload of its answer to `check`.
    fn call(
        &self,
        procedure: &Self::Procedure,
        payload: &[u8],
        check: impl FnOnce(&[u8]) -> bool + Send,
    ) -> impl Future<Output = anyhow::Result<bool>> + Send;

    /// Takes leave, where the router waits for those who do not.
    fn close(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
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
        Threads::PerCore => {
            static THREADS: LazyLock<io::Result<Vec<Handle>>> = LazyLock::new(per_core);
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            let threads = THREADS.as_ref().map_err(|error| anyhow::anyhow!("threads of clients: {error}"))?;
            Ok(threads[NEXT.fetch_add(1, Ordering::Relaxed) % threads.len()].spawn(task))
        }
    }
}

/// Has all these clients take leave.
pub(crate) async fn close_all<S: System>(system: &S, clients: Vec<S::Client>) -> anyhow::Result<()> {
    let leave = |client: S::Client| {
        run_on(system.threads(), async move {
            client.close().await;
            Ok(())
        })
    };
    let leaving: Vec<_> = clients.into_iter().map(leave).collect::<anyhow::Result<_>>()?;
    for task in leaving {
        task.await??;
    }
    Ok(())
}

/// Threads with runtimes that last as long as the process.
fn per_core() -> io::Result<Vec<Handle>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let start = |_| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let thread = std::thread::Builder::new().name("load".to_owned());
        thread.spawn(move || runtime.block_on(std::future::pending::<()>()))?;
        Ok(handle)
    };
    (0..cores).map(start).collect()
}

//! The threads on which clients do their I/O: at most one for each core of the machine, however many clients a process has.
//!
//! The clients of a thread share its socket: quinn keeps 13 MB for what a socket receives at once.

use macula_transport::endpoint::client_endpoint;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// How long the socket may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// Those that run.
static THREADS: Mutex<Vec<Weak<IoThread>>> = Mutex::new(Vec::new());

/// A thread with a runtime. It ends, and its runtime with it, when nobody holds this any more.
#[derive(Debug)]
pub(crate) struct IoThread {
    handle: Handle,
    endpoint: quinn::Endpoint,
    /// Dropped, it ends the thread.
    _alive: oneshot::Sender<()>,
}

impl IoThread {
    /// A thread of its own for the next client, or the one with the fewest when there is one for each core.
    pub(crate) fn claim() -> io::Result<Arc<Self>> {
        claim(&mut threads(), std::thread::available_parallelism().map_or(1, usize::from))
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The socket of the thread.
    pub(crate) fn endpoint(&self) -> &quinn::Endpoint {
        &self.endpoint
    }

    /// Sees to it that a connection that was just closed has said so, should the process end now.
    pub(crate) async fn say_goodbye(self: &Arc<Self>) {
        // The connections have their turn.
        tokio::task::yield_now().await;
        if Arc::strong_count(self) == 1 {
            let _ = tokio::time::timeout(GOODBYE, self.endpoint.wait_idle()).await;
        }
    }

    fn start() -> io::Result<Arc<Self>> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let endpoint = {
            let _entered = handle.enter();
            client_endpoint()?
        };
        let (alive, ended) = oneshot::channel();
        let thread = move || {
            let _ = runtime.block_on(ended);
        };
        std::thread::Builder::new().name("macula-io".to_owned()).spawn(thread)?;
        Ok(Arc::new(Self { handle, endpoint, _alive: alive }))
    }
}

fn claim(threads: &mut Vec<Weak<IoThread>>, most: usize) -> io::Result<Arc<IoThread>> {
    let running: Vec<_> = threads.iter().filter_map(Weak::upgrade).collect();
    if running.len() >= most
        // Who looks for one holds each once more.
        && let Some(idlest) = running.iter().min_by_key(|thread| Arc::strong_count(thread))
    {
        return Ok(Arc::clone(idlest));
    }
    let started = IoThread::start()?;
    threads.retain(|thread| thread.strong_count() > 0);
    threads.push(Arc::downgrade(&started));
    Ok(started)
}

fn threads() -> MutexGuard<'static, Vec<Weak<IoThread>>> {
    THREADS.lock().expect("no holder of this lock panics")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_spread_evenly_and_threads_end_with_their_clients() {
        let mut threads = Vec::new();
        let clients: Vec<_> = (0..7).map(|_| claim(&mut threads, 3).unwrap()).collect();
        let on = |thread: &Weak<IoThread>| thread.strong_count();
        assert_eq!(threads.iter().map(on).sum::<usize>(), 7);
        assert!(threads.iter().all(|thread| (2..=3).contains(&on(thread))), "7 on 3 threads");
        drop(clients);
        assert!(threads.iter().all(|thread| on(thread) == 0));
        let _next = claim(&mut threads, 3).unwrap();
        assert_eq!(threads.len(), 1, "ended threads are forgotten");
    }
}

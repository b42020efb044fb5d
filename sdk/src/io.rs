//! Where clients do their I/O: on threads for it, at most one for each core of the machine however many clients a process
//! has, or on a runtime of the application.
//!
//! The clients of a runtime share its socket: quinn keeps 13 MB for what a socket receives at once.

use macula_transport::endpoint::client_endpoint;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Id};
use tokio::sync::oneshot;

/// How long the socket may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

static PLACES: LazyLock<Mutex<Places>> = LazyLock::new(Mutex::default);

/// Those that are used.
#[derive(Debug, Default)]
struct Places {
    threads: Vec<Weak<Io>>,
    /// Of the application.
    runtimes: HashMap<Id, Weak<Io>>,
}

/// A runtime with a socket. A thread for I/O ends, and its runtime with it, when nobody holds this any more.
#[derive(Debug)]
pub(crate) struct Io {
    handle: Handle,
    endpoint: quinn::Endpoint,
    /// Dropped, it ends the thread.
    _alive: Option<oneshot::Sender<()>>,
}

impl Io {
    /// On this runtime if there is one, else on a thread for I/O: one of its own for the next client, or the one with the
    /// fewest when there is one for each core.
    pub(crate) fn claim(runtime: Option<&Handle>) -> io::Result<Arc<Self>> {
        let mut places = places();
        match runtime {
            Some(runtime) => places.of_application(runtime),
            None => places.thread(std::thread::available_parallelism().map_or(1, usize::from)),
        }
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The socket that clients of this runtime share.
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

    fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (alive, ended) = oneshot::channel();
        let io = Self { _alive: Some(alive), ..Self::on(runtime.handle())? };
        let thread = move || {
            let _ = runtime.block_on(ended);
        };
        std::thread::Builder::new().name("macula-io".to_owned()).spawn(thread)?;
        Ok(io)
    }

    fn on(runtime: &Handle) -> io::Result<Self> {
        let _entered = runtime.enter();
        Ok(Self { handle: runtime.clone(), endpoint: client_endpoint()?, _alive: None })
    }
}

impl Places {
    fn thread(&mut self, most: usize) -> io::Result<Arc<Io>> {
        let running: Vec<_> = self.threads.iter().filter_map(Weak::upgrade).collect();
        if running.len() >= most
            // Who looks for one holds each once more.
            && let Some(idlest) = running.iter().min_by_key(|thread| Arc::strong_count(thread))
        {
            return Ok(Arc::clone(idlest));
        }
        let started = Arc::new(Io::start()?);
        self.threads.retain(|thread| thread.strong_count() > 0);
        self.threads.push(Arc::downgrade(&started));
        Ok(started)
    }

    fn of_application(&mut self, runtime: &Handle) -> io::Result<Arc<Io>> {
        if let Some(known) = self.runtimes.get(&runtime.id()).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let made = Arc::new(Io::on(runtime)?);
        self.runtimes.retain(|_, io| io.strong_count() > 0);
        self.runtimes.insert(runtime.id(), Arc::downgrade(&made));
        Ok(made)
    }
}

/// tokio panics at a runtime without an I/O driver. What is known of the others is whole all the same: a place is entered when it
/// has been made.
fn places() -> MutexGuard<'static, Places> {
    PLACES.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_spread_evenly_and_threads_end_with_their_clients() {
        let mut places = Places::default();
        let clients: Vec<_> = (0..7).map(|_| places.thread(3).unwrap()).collect();
        let on = |thread: &Weak<Io>| thread.strong_count();
        assert_eq!(places.threads.iter().map(on).sum::<usize>(), 7);
        assert!(places.threads.iter().all(|thread| (2..=3).contains(&on(thread))), "7 on 3 threads");
        drop(clients);
        assert!(places.threads.iter().all(|thread| on(thread) == 0));
        let _next = places.thread(3).unwrap();
        assert_eq!(places.threads.len(), 1, "ended threads are forgotten");
    }

    #[test]
    fn clients_of_a_runtime_of_the_application_share_its_socket() {
        let [one, other] = [(), ()].map(|()| Builder::new_current_thread().enable_all().build().unwrap());
        let mut places = Places::default();
        let first = places.of_application(one.handle()).unwrap();
        let second = places.of_application(one.handle()).unwrap();
        let third = places.of_application(other.handle()).unwrap();
        assert!(Arc::ptr_eq(&first, &second) && !Arc::ptr_eq(&first, &third));
        assert!(places.threads.is_empty());
        drop((first, second));
        let _again = places.of_application(one.handle()).unwrap();
        let _third = places.of_application(other.handle()).unwrap();
        assert_eq!(places.runtimes.len(), 2, "what nobody uses is forgotten");
    }

    #[test]
    fn a_runtime_that_can_do_no_io_harms_no_other() {
        let bare = Builder::new_current_thread().build().unwrap();
        std::panic::catch_unwind(|| Io::claim(Some(bare.handle()))).expect_err("tokio panics");
        Io::claim(None).expect("threads for I/O are as they were");
    }
}

//! A client's work where it does its I/O: connects, serves the connection until it is lost, and connects again.

mod greeting;
mod liveness;
mod reading;
mod serving;
mod writing;

use crate::core::Core;
use crate::error::{Attempt, ConnectError, Failure, SettingsError};
use crate::io::Io;
use crate::status::Status;
use greeting::Greeted;
use macula_proto::v1::Code;
use macula_transport::client::{Dialer, Roots};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Longest wait before the first attempt to reconnect. Random below this, so that the clients of a restarted
/// gateway do not all come at once.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// Longest wait between attempts.
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);
/// How long a connection must have lasted for the next loss to count as the first.
const STABLE: Duration = Duration::from_secs(5);

/// Starts the work. What it returns resolves when the client is connected or will not be.
pub(crate) fn start(core: Arc<Core>) -> Result<oneshot::Receiver<Result<(), ConnectError>>, ConnectError> {
    let io = Io::claim(core.config.runtime.as_ref()).map_err(|error| ConnectError::Io(error.to_string()))?;
    let _ = core.io.set(io.handle().clone());
    let (connected, receiver) = oneshot::channel();
    let handle = io.handle().clone();
    // Made here: a runtime that has ended never begins a task.
    let ended = EndOnDrop(core);
    handle.spawn(async move { run(&ended.0, &io, connected).await });
    Ok(receiver)
}

/// Tells everyone that the client has ended, even if its task panics.
struct EndOnDrop(Arc<Core>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}

async fn run(core: &Arc<Core>, io: &Arc<Io>, connected: oneshot::Sender<Result<(), ConnectError>>) {
    let roots = core.config.ca.clone().map_or(Roots::Development, Roots::File);
    let dialer = match Dialer::on(io.endpoint().clone(), &roots) {
        Ok(dialer) => dialer,
        Err(error) => {
            let problem = greeting::chain(&error);
            let _ = connected.send(Err(ConnectError::Settings(SettingsError { problems: vec![problem] })));
            return;
        }
    };
    let mut connected = Some(connected);
    let mut backoff = Backoff::default();
    let mut first = 0;
    while !core.is_closing() {
        let greeted = tokio::select! {
            greeted = greet_any(core, &dialer, first) => greeted,
            () = closing(core) => break,
        };
        let wait = match greeted {
            Ok((index, greeted)) => {
                let since = Instant::now();
                let retry_after = serving::serve(core, greeted, connected.take()).await;
                if since.elapsed() > STABLE {
                    backoff = Backoff::default();
                }
                // A gateway that leaves is tried last, and its wish to be left alone is no reason to keep the others
                // waiting.
                first = if retry_after.is_some() { index + 1 } else { index };
                match retry_after {
                    Some(_) if core.config.urls.len() > 1 => Duration::ZERO,
                    Some(wait) => wait,
                    None => backoff.next(),
                }
            }
            Err(attempts) => {
                let retry_after = longest_retry_after(&attempts);
                let hopeless = is_hopeless(&attempts, core.config.token.may_change());
                let error = ConnectError::Failed { attempts };
                if hopeless {
                    // Who has never been connected is given the error itself.
                    if core.connections.load(Ordering::Relaxed) > 0 {
                        tracing::error!(%error, "no gateway takes this client, and waiting does not help");
                    }
                    let _ = core.ended.set(error.to_string());
                }
                if (hopeless || !core.config.wait)
                    && let Some(connected) = connected.take()
                {
                    let _ = connected.send(Err(error));
                    break;
                }
                if hopeless {
                    break;
                }
                let wait = backoff.next().max(retry_after);
                tracing::warn!(%error, ?wait, "cannot connect, will try again");
                wait
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = closing(core) => break,
        }
    }
    io.say_goodbye().await;
}

/// Tries all gateways in turn, from this one on; gives the index of the one that answered.
async fn greet_any(core: &Core, dialer: &Dialer, first: usize) -> Result<(usize, Greeted), Vec<Attempt>> {
    let mut attempts = Vec::new();
    let urls = &core.config.urls;
    for index in (first..first + urls.len()).map(|index| index % urls.len()) {
        let url = &urls[index];
        let timeout = core.config.connect_timeout;
        let greeted = tokio::time::timeout(timeout, greeting::greet(core, dialer, url)).await;
        match greeted.unwrap_or(Err(Failure::TimedOut(timeout))) {
            Ok(greeted) => return Ok((index, greeted)),
            Err(failure) => attempts.push(Attempt { url: url.text.clone(), failure }),
        }
    }
    Err(attempts)
}

/// Whether every gateway has refused the client with a code that does not pass by waiting.
fn is_hopeless(attempts: &[Attempt], token_may_change: bool) -> bool {
    attempts.iter().all(|attempt| match &attempt.failure {
        Failure::Refused { code, .. } => does_not_pass(*code, token_may_change),
        _ => false,
    })
}

/// What is wrong with the client itself, for as long as it is what it is.
fn does_not_pass(code: Code, token_may_change: bool) -> bool {
    match code {
        Code::InvalidArgument | Code::PermissionDenied => true,
        Code::Unauthenticated => !token_may_change,
        _ => false,
    }
}

fn longest_retry_after(attempts: &[Attempt]) -> Duration {
    let asked = attempts.iter().filter_map(|attempt| match &attempt.failure {
        Failure::Refused { retry_after, .. } => Some(*retry_after),
        _ => None,
    });
    asked.max().unwrap_or_default()
}

/// Resolves when the client is to end.
async fn closing(core: &Core) {
    let mut closing = core.closing.subscribe();
    // An error means that the sender is gone, and `core` holds it.
    let _ = closing.wait_for(|closing| *closing).await;
}

/// Waits between attempts: random below a limit that doubles.
#[derive(Debug)]
struct Backoff {
    limit: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { limit: FIRST_BACKOFF }
    }
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let wait = self.limit.mul_f64(rand::random_range(0.5..1.0));
        self.limit = (self.limit * 2).min(LONGEST_BACKOFF);
        wait
    }
}

impl Core {
    /// The gateway ends the session. Where another process has taken it over by its name, this client has ended too:
    /// coming back would throw the other one out. So has one that is no longer let in. A fault in what it said may not come
    /// again, and if it does in its greeting it is refused there.
    pub(crate) fn on_close(&self, code: Code, reason: &str) {
        let taken_over = code == Code::Aborted && !self.config.session_name.is_empty();
        let shut_out = code != Code::InvalidArgument && does_not_pass(code, self.config.token.may_change());
        if taken_over || shut_out {
            let _ = self.ended.set(reason.to_owned());
            self.request_close();
        }
    }

    pub(crate) fn set_status(&self, status: Status) {
        self.status.send_replace(status);
    }

    /// Resolves after this time, on whatever executor it is polled. A runtime of the application may end, and its timers with it,
    /// before one on which somebody waits.
    pub(crate) fn sleep(&self, duration: Duration) -> tokio::time::Sleep {
        let waits_elsewhere = self.config.runtime.is_some() && Handle::try_current().is_ok();
        let _entered = self.io.get().filter(|_| !waits_elsewhere).map(Handle::enter);
        tokio::time::sleep(duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_limit_and_are_never_all_alike() {
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = (0..10).map(|_| backoff.next()).collect();
        assert!(waits[0] <= FIRST_BACKOFF && waits[0] >= FIRST_BACKOFF / 2);
        assert!(waits[9] <= LONGEST_BACKOFF && waits[9] >= LONGEST_BACKOFF / 2);
    }

    #[test]
    fn only_what_every_gateway_refuses_for_good_is_hopeless() {
        let refused = |code| Failure::Refused { code, message: String::new(), retry_after: Duration::ZERO };
        let hopeless = |failures: Vec<Failure>, token_may_change| {
            let attempt = |failure| Attempt { url: String::new(), failure };
            is_hopeless(&failures.into_iter().map(attempt).collect::<Vec<_>>(), token_may_change)
        };
        let realm = || refused(Code::InvalidArgument);
        assert!(hopeless(vec![realm(), refused(Code::PermissionDenied)], true));
        assert!(!hopeless(vec![realm(), refused(Code::Unavailable)], false), "it is stopping");
        assert!(!hopeless(vec![realm(), Failure::TimedOut(Duration::ZERO)], false), "it may take us");
        assert!(hopeless(vec![refused(Code::Unauthenticated)], false));
        assert!(!hopeless(vec![refused(Code::Unauthenticated)], true), "the file may be replaced");
    }
}

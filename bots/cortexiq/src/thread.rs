//! A bot on a thread of its own, so that the bots share nothing but the machine, as in a cluster.

use std::fmt::Display;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// A running bot. Dropping it tells it to stop and does not wait.
#[derive(Debug)]
pub struct Thread {
    name: String,
    shutdown: CancellationToken,
    ended: oneshot::Receiver<Result<(), String>>,
    stopped: bool,
}

/// A bot that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct Failed {
    /// Which.
    pub name: String,
    /// Why.
    pub reason: String,
}

impl Thread {
    /// Starts a bot in two steps on one thread, and resolves when the first one is done: `start` connects it, `run`
    /// lets it live until the token is cancelled.
    pub async fn spawn<B, E, S, R, F>(
        name: impl Into<String>,
        start: S,
        run: impl FnOnce(B, CancellationToken) -> R + Send + 'static,
    ) -> Result<Self, Failed>
    where
        E: Display,
        S: FnOnce() -> F + Send + 'static,
        F: Future<Output = Result<B, E>>,
        R: Future<Output = Result<(), E>>,
    {
        let name = name.into();
        let failed = |reason: String| Failed { name: name.clone(), reason };
        let (ready, started) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        let body = move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => {
                    let _ = ready.send(Err(error.to_string()));
                    return;
                }
            };
            let result = runtime.block_on(async {
                let starting = tokio::select! {
                    bot = start() => bot,
                    () = token.cancelled() => return Ok(()),
                };
                match starting {
                    Ok(bot) => {
                        let _ = ready.send(Ok(()));
                        run(bot, token.clone()).await.map_err(|error| error.to_string())
                    }
                    Err(error) => {
                        let _ = ready.send(Err(error.to_string()));
                        Ok(())
                    }
                }
            });
            let _ = end.send(result);
        };
        std::thread::Builder::new()
            .name(name.clone())
            .spawn(body)
            .map_err(|error| failed(error.to_string()))?;
        // Dropped on the way out, the thread is told to stop.
        let thread = Self { name: name.clone(), shutdown, ended, stopped: false };
        match started.await {
            Ok(Ok(())) => Ok(thread),
            Ok(Err(reason)) => Err(failed(reason)),
            Err(_) => Err(failed("it panicked while it started".into())),
        }
    }

    /// Why it has ended by itself; none while it lives.
    pub fn failure(&mut self) -> Option<Failed> {
        if self.stopped {
            return None;
        }
        let reason = match self.ended.try_recv() {
            Ok(Ok(())) => "it ended by itself".to_owned(),
            Ok(Err(reason)) => reason,
            Err(oneshot::error::TryRecvError::Closed) => "it panicked".to_owned(),
            Err(oneshot::error::TryRecvError::Empty) => return None,
        };
        self.stopped = true;
        Some(Failed { name: self.name.clone(), reason })
    }

    /// Tells it to stop and waits until it has, at most a grace period.
    pub async fn stop(mut self) {
        if std::mem::replace(&mut self.stopped, true) {
            return;
        }
        self.shutdown.cancel();
        match tokio::time::timeout(GRACE, &mut self.ended).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(reason))) => tracing::warn!(bot = self.name, reason, "stopped with an error"),
            Ok(Err(_)) => tracing::error!(bot = self.name, "panicked"),
            Err(_) => tracing::warn!(bot = self.name, "has not stopped in time"),
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// Projections may still be writing.
const GRACE: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::Thread;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
    }

    #[test]
    fn a_bot_that_cannot_start_says_why() {
        let failed = runtime().block_on(Thread::spawn(
            "bot",
            || async { Err::<(), _>("no gateway") },
            |(), _| async { Ok(()) },
        ));
        assert_eq!(failed.expect_err("it failed").to_string(), "bot: no gateway");
    }

    #[test]
    fn a_bot_that_ends_or_panics_is_noticed() {
        runtime().block_on(async {
            let start = || async { Ok::<_, String>(()) };
            let mut bot =
                Thread::spawn("bot", start, |(), _| async { Err("lost".into()) }).await.expect("starts");
            let mut other = Thread::spawn("other", start, |(), stop| async move {
                stop.cancelled().await;
                Ok(())
            })
            .await
            .expect("starts");
            let reason = loop {
                match bot.failure() {
                    Some(failed) => break failed.reason,
                    None => tokio::task::yield_now().await,
                }
            };
            assert_eq!((reason.as_str(), other.failure()), ("lost", None));
            other.stop().await;
        });
    }
}

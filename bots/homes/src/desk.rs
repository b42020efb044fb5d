//! Acceptances under way: each is asked until its answer is known.

use std::sync::Arc;
use std::time::Duration;

use cortexiq_domain::topics;
use cortexiq_proto::{AcceptOfferResult, ContractsHeld};
use cortexiq_shell::{Channel, topic};
use macula_sdk::{Client, Code};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::crowd::Accept;

/// All acceptances of a run that have no answer. Dropping it asks no more.
#[derive(Debug)]
pub(crate) struct Desk {
    client: Client,
    held: Arc<Channel<ContractsHeld>>,
    asking: JoinSet<Answered>,
    slots: Arc<Semaphore>,
}

/// The end of an acceptance.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) home_id: String,
    pub(crate) offer_id: String,
    /// None when the provider certainly never heard of it.
    pub(crate) result: Option<AcceptOfferResult>,
}

/// What a failed call tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// The provider may have heard it: only its answer helps.
    Again,
    /// It has not, and will not.
    Unheard,
}

impl Desk {
    pub(crate) fn new(client: &Client, held: &Arc<Channel<ContractsHeld>>) -> Self {
        let slots = Arc::new(Semaphore::new(AT_ONCE));
        Self { client: client.clone(), held: Arc::clone(held), asking: JoinSet::new(), slots }
    }

    /// Begins to ask, when the mesh has what a restart would need to ask again.
    pub(crate) fn ask(&mut self, accept: Accept) {
        let (client, slots, held) = (self.client.clone(), Arc::clone(&self.slots), Arc::clone(&self.held));
        self.asking.spawn(async move {
            let _slot = slots.acquire().await.expect("nobody closes the semaphore");
            if let Err(error) = held.publish(&accept.held).await {
                // The acceptance itself is worth more than its memory.
                tracing::warn!(home = accept.request.home_id, %error, "a restart now would choose again");
            }
            ask(&client, accept).await
        });
    }

    /// How many are being asked.
    pub(crate) fn len(&self) -> usize {
        self.asking.len()
    }

    /// An answer that has come.
    pub(crate) fn try_answered(&mut self) -> Option<Answered> {
        self.asking.try_join_next().map(unwound)
    }

    /// The next answer; waits for ever while nobody is asked.
    pub(crate) async fn answered(&mut self) -> Answered {
        match self.asking.join_next().await {
            Some(answered) => unwound(answered),
            None => std::future::pending().await,
        }
    }
}

/// A panic of the task goes on in its owner.
fn unwound(answered: Result<Answered, tokio::task::JoinError>) -> Answered {
    answered.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

async fn ask(client: &Client, accept: Accept) -> Answered {
    let Accept { provider_id, request, .. } = accept;
    let procedure = topics::accept_offer(&provider_id);
    let name = topic(&procedure.name);
    let answered =
        |result| Answered { home_id: request.home_id.clone(), offer_id: request.offer_id.clone(), result };
    let (mut heard, mut pause) = (false, FIRST_PAUSE);
    loop {
        let error = match client.call_typed(&name, &request).timeout(PATIENCE).await {
            Ok(result) => return answered(Some(result)),
            Err(error) if verdict(error.code, heard) == Verdict::Unheard => {
                tracing::info!(home = request.home_id, %error, "the home tries another provider");
                return answered(None);
            }
            Err(error) => error.to_string(),
        };
        heard = true;
        tracing::debug!(home = request.home_id, error, "asking again");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Once a call may have been heard, a provider that is missing has to come back: it may have confirmed.
fn verdict(code: Code, heard: bool) -> Verdict {
    match code {
        Code::NotFound | Code::PermissionDenied | Code::InvalidArgument if !heard => Verdict::Unheard,
        _ => Verdict::Again,
    }
}

/// Calls of one process under way at a time; a guess, not measured.
const AT_ONCE: usize = 64;
/// Longest wait for one answer. Providers answer from memory.
const PATIENCE: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_provider_that_never_heard_is_given_up() {
        assert_eq!(verdict(Code::NotFound, false), Verdict::Unheard);
        assert_eq!(verdict(Code::NotFound, true), Verdict::Again);
        assert_eq!(verdict(Code::Unavailable, false), Verdict::Again);
        assert_eq!(verdict(Code::DeadlineExceeded, false), Verdict::Again);
    }
}

//! Offering a procedure that only one process at a time may offer.

use std::time::Duration;

use macula_sdk::{CallFailure, Client, Code, Pattern, RegisterError, Registration, Reply, Request, Topic};

use crate::error::RunError;

/// Registers a procedure with the whole mesh. While another client offers it, perhaps the ghost of this bot before it was
/// restarted, it is asked for again; any other refusal is an error.
pub async fn register<H, F>(client: &Client, procedure: &Topic, handler: H) -> Result<Registration, RunError>
where
    H: Fn(Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Reply, CallFailure>> + Send + 'static,
{
    let mut told = false;
    loop {
        let pattern = Pattern::from(procedure.clone());
        match client.register(pattern, handler.clone()).scope_mesh().await {
            Ok(registration) => return Ok(registration),
            Err(RegisterError::Refused { code: Code::AlreadyExists, .. }) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%procedure, "somebody else offers this procedure; waiting until they are gone");
                }
                tokio::time::sleep(AGAIN).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// A dead session vanishes within seconds.
const AGAIN: Duration = Duration::from_millis(500);

//! Why a question has no answer.

use cortexiq_projections::store::Failure;
use macula_sdk::{CallFailure, Code};

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// An argument cannot be meant.
    #[error("{field}: {problem}")]
    Argument {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no such thing in the current run.
    #[error("there is no {0}")]
    Unknown(String),
    /// The read models could not be read.
    #[error("{0}")]
    Database(#[from] Failure),
}

impl QueryError {
    pub(crate) fn argument(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Argument { field, problem: problem.into() }
    }
}

impl From<QueryError> for CallFailure {
    fn from(error: QueryError) -> Self {
        let code = match &error {
            QueryError::Argument { .. } => Code::InvalidArgument,
            QueryError::Unknown(_) => Code::NotFound,
            QueryError::Database(Failure::Gone(_)) => Code::Unavailable,
            QueryError::Database(Failure::Refused(_)) => Code::Internal,
        };
        Self::new(code, error.to_string())
    }
}

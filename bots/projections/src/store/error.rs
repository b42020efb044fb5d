//! What goes wrong with a database, and what was written.

use std::fmt;

/// Why a statement failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The database cannot be reached; nothing is known about a transaction that was under way.
    #[error("the database cannot be reached: {0}")]
    Gone(String),
    /// The database answers, and refuses.
    #[error("the database refuses: {0}")]
    Refused(String),
}

impl Failure {
    pub(super) fn other(error: impl fmt::Display) -> Self {
        Self::Gone(error.to_string())
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{CannotOpen, DatabaseBusy, DatabaseLocked, NotADatabase, SystemIoFailure};
        match error.sqlite_error_code() {
            Some(CannotOpen | DatabaseBusy | DatabaseLocked | NotADatabase | SystemIoFailure) => {
                Self::Gone(error.to_string())
            }
            _ => Self::Refused(error.to_string()),
        }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        use tokio_postgres::error::SqlState;
        // A server on its way up or down refuses, and is gone all the same.
        const PASSING: [SqlState; 3] =
            [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::CANNOT_CONNECT_NOW];
        match error.as_db_error() {
            Some(passing) if PASSING.contains(passing.code()) => Self::Gone(passing.message().to_owned()),
            Some(refused) => Self::Refused(format!("{} ({})", refused.message(), refused.code().code())),
            None => match std::error::Error::source(&error) {
                Some(source) => Self::Gone(format!("{error}: {source}")),
                None => Self::Gone(error.to_string()),
            },
        }
    }
}

/// Rows that a batch added; those that were there already are not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Quarter-hours.
    pub measurements: u64,
    /// Hours.
    pub trades: u64,
    /// Switches of contract.
    pub switches: u64,
    /// Messages that could not be stored.
    pub rejected: u64,
    /// Rows that were not added, since what they are of was removed before they came.
    pub expired: u64,
}

impl Written {
    pub(super) fn count(&mut self, table: &str, rows: u64) {
        match table {
            "measurements" => self.measurements += rows,
            "trades" => self.trades += rows,
            "contract_switches" => self.switches += rows,
            "rejected" => self.rejected += rows,
            _ => {}
        }
    }
}

//! How the client stands with its gateway.

/// State of the connection; see [`Client::status`](crate::Client::status).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Not connected yet.
    Connecting,
    /// Connected to this gateway.
    Connected {
        /// The gateway's name.
        gateway: String,
    },
    /// The gateway is about to leave. The client sends it no more events, stays until those that it has are settled and
    /// calls are answered, two seconds at most, and connects anew, to the next gateway of its list if there are several.
    Moving,
    /// The connection was lost; the client tries to connect, for ever.
    Reconnecting,
    /// The client is closed. This is the last state.
    Closed,
}

/// Totals since the client was made; see [`Client::statistics`](crate::Client::statistics).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Connections that were made; more than one means reconnects.
    pub connections: u64,
    /// Reconnects at which the session went on where it had stopped.
    pub resumed: u64,
    /// Events handed over for publishing.
    pub events: u64,
    /// Telemetry messages handed over for publishing.
    pub telemetry: u64,
    /// Telemetry messages dropped here because there was no connection.
    pub telemetry_dropped: u64,
    /// Messages that the gateway refused.
    pub refused: u64,
    /// Events that were sent again after a connection was lost.
    pub resent: u64,
    /// Events that had to leave the outbox accepted but not settled, because it was full: these cannot be sent again
    /// should the gateway die. See [`Builder::outbox_bytes`](crate::Builder::outbox_bytes).
    pub unsettled: u64,
    /// Messages that subscriptions lost because they were not read while others of this client were; see
    /// [`Subscription`](crate::Subscription).
    pub unread: u64,
}

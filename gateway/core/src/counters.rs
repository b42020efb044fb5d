//! What a gateway counts. Plain numbers: the core runs on one thread, and the shell reads copies.

/// What one connection has carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages queued for it since somebody there wants them, by class: events, telemetry.
    pub sent: [u64; 2],
    /// Messages that came over it, by class, of a link those included that its peer's store keeps.
    pub received: [u64; 2],
    /// Messages for it that overflow policies dropped, by class.
    pub lost: [u64; 2],
    /// Retained values queued for it that all gateways keep, whoever wants them.
    pub values: u64,
    /// Bytes that came over it, and that were handed to it.
    pub bytes_in: u64,
    /// Bytes handed to it.
    pub bytes_out: u64,
}

/// Totals since the gateway started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages that sessions published, by class: events, telemetry.
    pub published: [u64; 2],
    /// Messages queued for sessions, by class.
    pub delivered: [u64; 2],
    /// Messages queued for peers, by class.
    pub forwarded: [u64; 2],
    /// Messages that came from peers, by class.
    pub received: [u64; 2],
    /// Messages dropped by overflow policies, by class; each is told to its receiver.
    pub lost: [u64; 2],
    /// Messages whose time to live ended in a queue.
    pub expired: u64,
    /// Messages that had been seen before, by class.
    pub duplicates: [u64; 2],
    /// Publishes that were refused.
    pub refused: u64,
    /// Retained values that were not kept because the store is full.
    pub unkept: u64,
    /// Retained values sent to peers whose stores lacked them.
    pub repaired: u64,
    /// Times that a peer's interest was not what is known of it here, and a snapshot was asked for.
    pub resnapshots: u64,
    /// Last wills published.
    pub wills: u64,
    /// Announcements on system topics that were left out because there were too many at a time.
    pub unannounced: u64,
    /// Times that a publisher was made to wait by a full queue.
    pub held: u64,
    /// Calls routed.
    pub calls: u64,
    /// Calls that ended in an error made by this gateway.
    pub calls_failed: u64,
    /// Bytes taken from connections and handed to them.
    pub bytes_in: u64,
    /// Bytes handed to connections.
    pub bytes_out: u64,
}

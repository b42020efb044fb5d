//! Settings of a QUIC connection, for the sessions of clients and for links between gateways.

use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::CubicConfig;
use quinn::{AckFrequencyConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

use crate::windows;

/// Largest UDP payload that is sent or received. Ten of them, the most that quinn hands to the kernel at once,
/// have to stay below the 65,507 bytes of one UDP send; beyond that the kernel drops the batch silently.
pub const MAX_UDP_PAYLOAD: u16 = 6500;

/// UDP payload that every path carries, and where path MTU discovery starts.
pub const BASE_UDP_PAYLOAD: u16 = 1200;

/// Settings of a connection, by what it is used for.
#[derive(Clone, Debug)]
pub struct TransportProfile {
    /// Silence after which the connection is lost.
    pub max_idle: Duration,
    /// Interval of keep-alive packets on a connection that is otherwise silent.
    pub keep_alive: Duration,
    /// Congestion window at the start, in bytes. 256 to 512 KiB suit a local gateway; a guess, not measured.
    pub initial_window: u64,
    /// Packets received before an acknowledgement is sent.
    pub ack_threshold: u32,
    /// Longest delay of an acknowledgement. Longer than what answers take, so that it goes in their packets: an event
    /// between two silent clients costs nine packets with 5 ms.
    pub max_ack_delay: Duration,
    /// Whether streams of the same priority share packets. Off: few streams, each written in large batches, are
    /// sent with fewer and larger frames one after the other.
    pub send_fairness: bool,
    /// QUIC receive window of a stream, in bytes.
    pub stream_receive_window: u32,
    /// QUIC receive window of the connection, in bytes.
    pub receive_window: u32,
    /// Bytes kept until they are acknowledged.
    pub send_window: u64,
    /// Bidirectional streams that the peer may have open: requests, and the control stream. quinn reserves memory for each, in
    /// a table of 56 entries for both kinds of stream together, and then of 112.
    pub max_bidi_streams: u32,
    /// Unidirectional streams that the peer may have open: three of HTTP/3, and one for each class, or more when they
    /// are not kept.
    pub max_uni_streams: u32,
    /// Buffer for QUIC datagrams, in bytes, in each direction.
    pub datagram_buffer: usize,
}

impl TransportProfile {
    /// For connections of clients and browsers.
    pub const SESSION: Self = Self {
        max_idle: Duration::from_secs(20),
        keep_alive: Duration::from_secs(5),
        initial_window: 384 << 10,
        ack_threshold: 10,
        max_ack_delay: Duration::from_millis(25),
        send_fairness: false,
        stream_receive_window: windows::STREAM_RECEIVE_WINDOW,
        receive_window: windows::RECEIVE_WINDOW,
        send_window: windows::SEND_WINDOW,
        max_bidi_streams: 16,
        max_uni_streams: 32,
        datagram_buffer: 256 << 10,
    };

    /// For connections that a server has accepted and of which it knows nothing yet: what they send before they are
    /// let in waits in QUIC's flow control, and is bounded by it.
    pub const NEWCOMER: Self = Self { receive_window: windows::NEWCOMER_WINDOW, ..Self::SESSION };

    /// For connections that plain requests come on: as many at a time as HTTP/3 recommends at least.
    pub const REQUESTS: Self = Self { max_bidi_streams: 100, ..Self::SESSION };

    /// For links between gateways. A lost peer is noticed by the link's own ping long before `max_idle`.
    pub const LINK: Self = Self { max_idle: Duration::from_secs(15), ..Self::SESSION };

    /// quinn's settings for a connection with this profile; `loopback` when the peer is on this machine, where
    /// large packets are known to arrive and need no discovery.
    pub fn transport_config(&self, loopback: bool) -> TransportConfig {
        let mut cubic = CubicConfig::default();
        cubic.initial_window(self.initial_window);
        let mut acks = AckFrequencyConfig::default();
        acks.ack_eliciting_threshold(VarInt::from_u32(self.ack_threshold));
        acks.max_ack_delay(Some(self.max_ack_delay));
        let mut discovery = MtuDiscoveryConfig::default();
        discovery.upper_bound(MAX_UDP_PAYLOAD);

        let mut config = TransportConfig::default();
        config
            .max_idle_timeout(Some(
                IdleTimeout::try_from(self.max_idle).expect("an idle timeout is seconds, not ages"),
            ))
            .keep_alive_interval(Some(self.keep_alive))
            .initial_mtu(if loopback { MAX_UDP_PAYLOAD } else { BASE_UDP_PAYLOAD })
            .mtu_discovery_config(Some(discovery))
            .congestion_controller_factory(Arc::new(cubic))
            .ack_frequency_config(Some(acks))
            .send_fairness(self.send_fairness)
            .stream_receive_window(VarInt::from_u32(self.stream_receive_window))
            .receive_window(VarInt::from_u32(self.receive_window))
            .send_window(self.send_window)
            .max_concurrent_bidi_streams(VarInt::from_u32(self.max_bidi_streams))
            .max_concurrent_uni_streams(VarInt::from_u32(self.max_uni_streams))
            .datagram_receive_buffer_size(Some(self.datagram_buffer))
            .datagram_send_buffer_size(self.datagram_buffer);
        config
    }

    /// Gives a running connection the windows and stream counts of this profile.
    ///
    /// A server accepts before it knows the ALPN, and so starts every connection with one profile. Timeouts and
    /// congestion control stay as they were.
    pub fn apply(&self, connection: &quinn::Connection) {
        connection.set_receive_window(VarInt::from_u32(self.receive_window));
        connection.set_send_window(self.send_window);
        connection.set_max_concurrent_bi_streams(VarInt::from_u32(self.max_bidi_streams));
        connection.set_max_concurrent_uni_streams(VarInt::from_u32(self.max_uni_streams));
    }
}

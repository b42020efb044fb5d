//! The admin port: health, readiness and metrics over HTTP/1.1.

use crate::admin_token::{self, AdminToken};
use crate::hub::Status;
use crate::sessions::Sessions;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use macula_core::Peer;
use std::fmt::Write as _;
use std::sync::Arc;

/// What the admin port asks of the running gateway.
pub(crate) trait Probe: Send + Sync + 'static {
    /// A view of the core; `None` when the data thread does not answer.
    fn status(&self) -> impl Future<Output = Option<Status>> + Send;
    /// Connects to the gateway's own port as a client does.
    fn handshake(&self) -> impl Future<Output = Result<(), String>> + Send;
    /// Whether sessions are accepted; else why not.
    fn ready(&self) -> Result<(), String>;
    /// The sessions that are open.
    fn sessions(&self) -> &Sessions;
}

/// The routes of the admin port: open to all what Kubernetes and Prometheus ask, the rest to this machine and who has the token.
pub(crate) fn router<P: Probe>(probe: Arc<P>, token: AdminToken) -> Router {
    let guarded = Router::new()
        .route("/v1/mesh", get(mesh::<P>))
        .route("/v1/sessions", get(sessions::<P>))
        .layer(middleware::from_fn_with_state(token, admin_token::require));
    Router::new()
        .route("/healthz", get(healthz::<P>))
        .route("/readyz", get(readyz::<P>))
        .route("/metrics", get(metrics::<P>))
        .merge(guarded)
        .with_state(probe)
}

async fn healthz<P: Probe>(State(probe): State<Arc<P>>) -> Response {
    match probe.handshake().await {
        Ok(()) => "ok\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn readyz<P: Probe>(State(probe): State<Arc<P>>) -> Response {
    match probe.ready() {
        Ok(()) => "ready\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn metrics<P: Probe>(State(probe): State<Arc<P>>) -> Response {
    let Some(status) = probe.status().await else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], exposition(&status)).into_response()
}

async fn sessions<P: Probe>(State(probe): State<Arc<P>>) -> Response {
    Json(probe.sessions().list()).into_response()
}

async fn mesh<P: Probe>(State(probe): State<Arc<P>>) -> Response {
    let Some(status) = probe.status().await else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    Json(status.mesh).into_response()
}

/// The Prometheus text format.
fn exposition(status: &Status) -> String {
    let (counters, gauges) = (&status.counters, &status.gauges);
    let mut out = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: &[(&str, u64)]| {
        let _ = writeln!(out, "# HELP macula_{name} {help}\n# TYPE macula_{name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(out, "macula_{name}{labels} {value}");
        }
    };
    let by_class =
        |values: [u64; 2]| [("{class=\"event\"}", values[0]), ("{class=\"telemetry\"}", values[1])];
    family("published_total", "counter", "Messages that sessions published.", &by_class(counters.published));
    family("delivered_total", "counter", "Messages queued for sessions.", &by_class(counters.delivered));
    family(
        "forwarded_total",
        "counter",
        "Messages queued for other gateways.",
        &by_class(counters.forwarded),
    );
    family(
        "received_total",
        "counter",
        "Messages that came from other gateways.",
        &by_class(counters.received),
    );
    family(
        "lost_total",
        "counter",
        "Messages dropped by overflow policies, all told.",
        &by_class(counters.lost),
    );
    family(
        "duplicates_total",
        "counter",
        "Messages seen before and dropped.",
        &by_class(counters.duplicates),
    );
    family(
        "expired_total",
        "counter",
        "Messages whose time to live ended in a queue.",
        &[("", counters.expired)],
    );
    family("refused_publishes_total", "counter", "Publishes that were refused.", &[("", counters.refused)]);
    family(
        "held_publishers_total",
        "counter",
        "Times a full queue made a publisher wait.",
        &[("", counters.held)],
    );
    family(
        "unkept_values_total",
        "counter",
        "Retained values for which the store has no room.",
        &[("", counters.unkept)],
    );
    family(
        "resnapshots_total",
        "counter",
        "Times that a peer's interest was not what was known of it.",
        &[("", counters.resnapshots)],
    );
    family(
        "repaired_values_total",
        "counter",
        "Retained values sent to gateways that lacked them.",
        &[("", counters.repaired)],
    );
    family("last_wills_total", "counter", "Last wills published.", &[("", counters.wills)]);
    family(
        "unannounced_total",
        "counter",
        "Announcements on system topics left out because there were too many.",
        &[("", counters.unannounced)],
    );
    family("calls_total", "counter", "Calls routed.", &[("", counters.calls)]);
    family(
        "failed_calls_total",
        "counter",
        "Calls that this gateway ended with an error.",
        &[("", counters.calls_failed)],
    );
    family(
        "received_bytes_total",
        "counter",
        "Bytes taken from sessions and links.",
        &[("", counters.bytes_in)],
    );
    family("sent_bytes_total", "counter", "Bytes handed to sessions and links.", &[("", counters.bytes_out)]);
    for (name, help, value) in [
        ("sessions", "Sessions, those that wait for their client included.", gauges.sessions),
        ("sessions_kept", "Sessions whose connection is lost and that may be resumed.", gauges.kept),
        ("mesh_peers_connected", "Links that are up.", gauges.links),
        ("mesh_peers_parked", "Gateways whose link is lost and for which events are held.", gauges.parked),
        ("parked_bytes", "Bytes of those events.", gauges.parked_bytes),
        ("subscriptions", "Subscriptions of local sessions.", gauges.subscriptions),
        ("groups", "Groups with members anywhere in the mesh.", gauges.groups),
        ("registrations", "Registrations of local sessions.", gauges.registrations),
        ("recoverable_events", "Events held for clients that come back after a start.", gauges.recoverable),
        ("topics", "Topics with an alias.", gauges.topics),
        ("retained_values", "Retained values.", gauges.retained),
        ("retained_bytes", "Bytes of retained values and tombstones.", gauges.retained_bytes),
        ("retained_tombstones", "Removed values that are remembered.", gauges.tombstones),
        ("queued_bytes", "Bytes that wait to be sent, or acknowledged.", gauges.queued_bytes),
        ("calls_in_flight", "Calls without an answer yet.", gauges.calls),
    ] {
        family(name, "gauge", help, &[("", value as u64)]);
    }
    let labelled = |label: &str, values: &[(&'static str, u64)]| -> Vec<(String, u64)> {
        values.iter().map(|(value, count)| (format!("{{{label}=\"{value}\"}}"), *count)).collect()
    };
    let [unsent, refused] = status.lost_datagrams;
    for (name, kind, help, samples) in [
        ("mesh_members", "gauge", "Other gateways known, by state.", labelled("state", &status.members)),
        (
            "refused_links_total",
            "counter",
            "Links that were refused, by code.",
            labelled("code", &status.refused),
        ),
        (
            "failed_handshakes_total",
            "counter",
            "Handshakes that failed.",
            vec![(String::new(), status.failed_handshakes)],
        ),
        (
            "lost_membership_datagrams_total",
            "counter",
            "Membership datagrams that no link led to, and those that named too many members.",
            labelled("why", &[("unsent", unsent), ("refused", refused)]),
        ),
    ] {
        let samples: Vec<(&str, u64)> = samples.iter().map(|(labels, value)| (&labels[..], *value)).collect();
        family(name, kind, help, &samples);
    }
    for (name, kind, help, samples) in links(status) {
        let samples: Vec<(&str, u64)> = samples.iter().map(|(labels, value)| (&labels[..], *value)).collect();
        family(name, kind, help, &samples);
    }
    let _ = writeln!(
        out,
        "# HELP macula_mesh_round_trip_seconds Time from ping to pong.\n# TYPE macula_mesh_round_trip_seconds gauge"
    );
    for peer in &status.peers {
        let seconds = peer.round_trip_ms as f64 / 1000.0;
        let _ = writeln!(out, "macula_mesh_round_trip_seconds{{peer=\"{}\"}} {seconds}", escaped(&peer.name));
    }
    out
}

/// What is counted for each link.
type Samples = Vec<(String, u64)>;

fn links(status: &Status) -> [(&'static str, &'static str, &'static str, Samples); 6] {
    let each = |value: &dyn Fn(&Peer) -> u64| -> Samples {
        status
            .peers
            .iter()
            .map(|peer| (format!("{{peer=\"{}\"}}", escaped(&peer.name)), value(peer)))
            .collect()
    };
    let by_class = |values: &dyn Fn(&Peer) -> [u64; 2]| -> Samples {
        let of = |peer: &Peer, class: &str, value| {
            (format!("{{peer=\"{}\",class=\"{class}\"}}", escaped(&peer.name)), value)
        };
        let both = |peer: &Peer| {
            let [event, telemetry] = values(peer);
            [of(peer, "event", event), of(peer, "telemetry", telemetry)]
        };
        status.peers.iter().flat_map(both).collect()
    };
    let queued = |peer: &Peer| [peer.queued[1] as u64, peer.queued[2] as u64];
    [
        (
            "link_sent_total",
            "counter",
            "Messages queued for a peer that somebody there wants.",
            by_class(&|peer| peer.traffic.sent),
        ),
        (
            "link_received_total",
            "counter",
            "Messages that came from a peer.",
            by_class(&|peer| peer.traffic.received),
        ),
        (
            "link_lost_total",
            "counter",
            "Messages for a peer that were dropped.",
            by_class(&|peer| peer.traffic.lost),
        ),
        ("link_sent_bytes_total", "counter", "Bytes handed to a link.", each(&|peer| peer.traffic.bytes_out)),
        (
            "link_received_bytes_total",
            "counter",
            "Bytes taken from a link.",
            each(&|peer| peer.traffic.bytes_in),
        ),
        (
            "link_queued_bytes",
            "gauge",
            "Bytes that wait to be sent to a peer, or acknowledged by it.",
            by_class(&queued),
        ),
    ]
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

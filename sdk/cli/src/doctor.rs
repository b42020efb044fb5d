//! `macula doctor`: the way to each gateway, step by step.

mod report;

use crate::connect::Connection;
use crate::error::Error;
use crate::output::Output;
use crate::probe::{Answer, probe};
use macula_sdk::{Attempt, Client, Code, ConnectError, Failure, Pattern, PublishError, Status, Topic};
use report::{Report, Step};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Longest wait for an answer to the first datagram: what TCP would wait for its second try. A guess, not measured.
const PROBE_PATIENCE: Duration = Duration::from_secs(2);
/// Port of a URL that names none.
const DEFAULT_PORT: u16 = 9443;

pub(crate) async fn run(connection: &Connection, mut output: Output) -> Result<(), Error> {
    let mut healthy = true;
    for url in connection.urls() {
        let report = examine(connection, url).await;
        healthy &= report.is_healthy();
        if output.is_json() {
            output.object(&report.object())?;
        } else {
            output.line(&report.text())?;
        }
        output.flush()?;
    }
    if healthy { Ok(()) } else { Err(Error::Reported) }
}

async fn examine(connection: &Connection, url: &str) -> Report {
    let mut report = Report::new(url);
    let addresses = resolve(&mut report, url).await;
    if addresses.is_empty() {
        return report;
    }
    let patience = PROBE_PATIENCE.min(connection.connect_timeout());
    let (address, answer) = probe_all(&addresses, patience).await;
    let began = Instant::now();
    match connection.connect_to(url).await {
        Ok(client) => {
            // Some networks drop what they do not know; a session is the better proof.
            let heard = match answer {
                Answer::Quic(after) => format!("QUIC answers at {address} after {}", millis(after)),
                _ => "QUIC answers".to_owned(),
            };
            report.ok(Step::Udp, heard);
            report.ok(Step::Certificate, "trusted");
            report.ok(Step::Realm, format!("the gateway serves {}", connection.realm()));
            report
                .ok(Step::Token, if connection.has_token() { "taken" } else { "none given, none asked for" });
            report.ok(
                Step::Session,
                format!("{} welcomes us after {}", gateway(&client), millis(began.elapsed())),
            );
            converse(&mut report, &client, connection.connect_timeout()).await;
            let _ = client.close().await;
        }
        Err(error) => diagnose(&mut report, &error, address, answer),
    }
    report
}

async fn resolve(report: &mut Report, url: &str) -> Vec<SocketAddr> {
    let authority = url.strip_prefix("https://").unwrap_or(url).trim_end_matches('/');
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let target = if has_port { authority.to_owned() } else { format!("{authority}:{DEFAULT_PORT}") };
    let remedy = "check the host name in --url, and the DNS server or hosts file of this machine";
    match tokio::net::lookup_host(&target).await.map(Vec::from_iter) {
        Ok(addresses) if !addresses.is_empty() => {
            let list: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
            report.ok(Step::Resolve, list.join(", "));
            addresses
        }
        Ok(_) => {
            report.failed(Step::Resolve, format!("{target} has no address"), remedy);
            Vec::new()
        }
        Err(error) => {
            report.failed(Step::Resolve, format!("{target}: {error}"), remedy);
            Vec::new()
        }
    }
}

/// The first address where QUIC answers, else what the last one did.
async fn probe_all(addresses: &[SocketAddr], patience: Duration) -> (SocketAddr, Answer) {
    let mut last = (addresses[0], Answer::Silence);
    for &address in addresses {
        last = (address, probe(address, patience).await.unwrap_or(Answer::Silence));
        if matches!(last.1, Answer::Quic(_)) {
            break;
        }
    }
    last
}

/// Where the connection ended, and what to do.
fn diagnose(report: &mut Report, error: &ConnectError, address: SocketAddr, answer: Answer) {
    let ConnectError::Failed { attempts } = error else {
        let remedy = "check --ca (MACULA_CA): it names a file with certificates in PEM";
        return report.failed(Step::Certificate, error.to_string(), remedy);
    };
    let Some(Attempt { failure, .. }) = attempts.first() else { return };
    let detail = failure.to_string();
    let reached = matches!(failure, Failure::Tls(_) | Failure::Refused { .. } | Failure::Protocol(_));
    if !matches!(answer, Answer::Quic(_)) && !reached {
        let (detail, remedy) = silence(address, answer);
        return report.failed(Step::Udp, detail, remedy);
    }
    report.ok(Step::Udp, format!("QUIC answers at {address}"));
    match failure {
        Failure::Tls(text) => {
            let remedy = "--ca (MACULA_CA) has to be the authority of this gateway's certificate, and the host in --url one of \
                          its names; a gateway on another machine has another development authority: copy its certificate";
            return report.failed(Step::Certificate, text.clone(), remedy);
        }
        Failure::Token { .. } => {
            let remedy = "check --token-file (MACULA_TOKEN_FILE), and who may read the file";
            return report.failed(Step::Token, detail, remedy);
        }
        _ => {}
    }
    let Failure::Refused { code, message, .. } = failure else {
        let remedy = "see the gateway's log; is a Macula gateway at this port, and does the network carry large datagrams?";
        return report.failed(Step::Session, detail, remedy);
    };
    report.ok(Step::Certificate, "trusted");
    match code {
        Code::InvalidArgument if message.contains("realm") => {
            report.failed(
                Step::Realm,
                message.clone(),
                "set --realm (MACULA_REALM) to the gateway's, or dial another gateway",
            );
        }
        Code::Unauthenticated | Code::PermissionDenied => {
            report.failed(
                Step::Token,
                message.clone(),
                "give a valid token with --token-file (MACULA_TOKEN_FILE)",
            );
        }
        Code::Unavailable => {
            report.failed(
                Step::Session,
                message.clone(),
                "the gateway starts or stops; try again, or dial another gateway",
            );
        }
        _ => report.failed(
            Step::Session,
            detail,
            "see the gateway's log; do client and gateway have the same version?",
        ),
    }
}

fn silence(address: SocketAddr, answer: Answer) -> (String, String) {
    let port = address.port();
    match answer {
        Answer::Closed => (
            format!("the host answers, but nobody listens at UDP {address}"),
            format!(
                "start the gateway, or correct the port in --url; it listens at UDP {DEFAULT_PORT} by default"
            ),
        ),
        Answer::Other => (
            format!("what answers at UDP {address} is not QUIC"),
            "correct the port in --url: another service listens there".to_owned(),
        ),
        Answer::Silence | Answer::Quic(_) => (
            format!("no answer from UDP {address}"),
            format!(
                "is the gateway running, and is UDP {port} open in every firewall, security group and port mapping on \
                 the way? There is no TCP fallback in version 1"
            ),
        ),
    }
}

/// Sends a message to ourselves, and asks who knows of the subscription.
async fn converse(report: &mut Report, client: &Client, patience: Duration) {
    // Nobody else knows this topic.
    let topic: Topic = format!("macula.doctor.{}", client.publisher_id())
        .parse()
        .expect("hexadecimal digits are legal in a topic");
    let began = Instant::now();
    let round_trip = tokio::time::timeout(patience, echo(report, client, &topic)).await;
    match round_trip {
        Ok(Ok(())) => {}
        Ok(Err(Trouble { detail, denied: true })) => {
            let remedy = format!(
                "the token has to allow publishing and subscribing to {topic}, or leave this step aside"
            );
            report.failed(Step::RoundTrip, detail, remedy);
        }
        Ok(Err(Trouble { detail, denied: false })) => {
            report.failed(Step::RoundTrip, detail, "see the gateway's log");
        }
        Err(_) => {
            let detail = format!("the message did not come back within {}", millis(began.elapsed()));
            report.failed(
                Step::RoundTrip,
                detail,
                "the gateway is overloaded or blocked; see its log and /metrics",
            );
        }
    }
}

/// Why there was no round trip.
struct Trouble {
    detail: String,
    denied: bool,
}

impl Trouble {
    fn new(error: impl ToString, code: Option<Code>) -> Self {
        Self { detail: error.to_string(), denied: code == Some(Code::PermissionDenied) }
    }
}

async fn echo(report: &mut Report, client: &Client, topic: &Topic) -> Result<(), Trouble> {
    let subscribe = client.subscribe(Pattern::from(topic)).echo().scope_mesh();
    let mut subscription = subscribe.await.map_err(|error| {
        let code = match &error {
            macula_sdk::SubscribeError::Refused { code, .. } => Some(*code),
            _ => None,
        };
        Trouble::new(error, code)
    })?;
    let began = Instant::now();
    client.publish(topic, "are you there?").await.map_err(|error| {
        let code = match &error {
            PublishError::Refused { code, .. } => Some(*code),
            _ => None,
        };
        Trouble::new(error, code)
    })?;
    let message = subscription.next_message().await;
    message.ok_or_else(|| Trouble::new("the gateway has ended the subscription", None))?;
    report.ok(Step::RoundTrip, format!("an event came back after {}", millis(began.elapsed())));
    let (confirmed, missing) = (subscription.confirmed(), subscription.missing());
    if missing.is_empty() {
        let gateways = if confirmed == 1 { "gateway knows" } else { "gateways know" };
        report.ok(Step::Mesh, format!("{confirmed} {gateways} the subscription"));
    } else {
        let detail = format!("{confirmed} know the subscription; not in time: {}", missing.join(", "));
        report.failed(
            Step::Mesh,
            detail,
            "see /v1/mesh on the admin port of the gateways, and the links between them",
        );
    }
    Ok(())
}

fn gateway(client: &Client) -> String {
    match &*client.status().borrow() {
        Status::Connected { gateway } => gateway.clone(),
        _ => "the gateway".to_owned(),
    }
}

fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests;

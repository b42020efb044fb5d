//! What can be asked for on the command line.

use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgGroup, Parser, Subcommand, ValueEnum};
use macula_proto::limits;
use macula_sdk::{CallPolicy, Class, Pattern, Topic};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Publish, subscribe, call and serve through a Macula gateway
#[derive(Debug, Parser)]
#[command(name = "macula", version, styles = STYLES, max_term_width = 110, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// How results are shown: lines for people, or one JSON object per line
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "text|json",
        display_order = 500,
        hide_possible_values = true
    )]
    pub(crate) output: Format,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  macula doctor                                  Is everything in order?
  macula mesh                                    Which gateways are there?
  macula sub 'be.cortexiq.provider.*'            Watch the offers of the energy market
  macula pub example.room.temperature 21.5       Publish a message
  macula get example.room.temperature            What was kept of it
  macula serve example.upper -- tr a-z A-Z       Offer a procedure
  macula call example.upper hello                Call it

Every command has examples of its own: macula help sub";

/// Where to connect, and as whom. A flag wins over its environment variable.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    /// Gateway, or a comma-separated list to try in turn [env: MACULA_URL] [default: https://localhost:9443]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Realm that the gateway has to serve [env: MACULA_REALM] [default: be.cortexiq.energy]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) realm: Option<String>,
    /// Authority that the gateway's certificate comes from, PEM [env: MACULA_CA] [default: this machine's development
    /// authority and the platform's]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca: Option<String>,
    /// Bearer token; other users of this machine may see it in the list of processes [env: MACULA_TOKEN]
    #[arg(long, global = true, value_name = "TOKEN", conflicts_with = "token_file")]
    pub(crate) token: Option<String>,
    /// File with the bearer token [env: MACULA_TOKEN_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<String>,
    /// How long one gateway may take to answer
    #[arg(long, global = true, value_name = "TIME", value_parser = duration, default_value = "10s")]
    pub(crate) connect_timeout: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Lines for people
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Publish messages to a topic
    #[command(long_about = PUB_ABOUT, after_help = PUB_EXAMPLES)]
    Pub(PubArgs),
    /// Subscribe, and print what is published
    #[command(long_about = SUB_ABOUT, after_help = SUB_EXAMPLES)]
    Sub(SubArgs),
    /// Print the retained values, and end
    #[command(after_help = GET_EXAMPLES)]
    Get(GetArgs),
    /// Call a procedure, and print its result
    #[command(after_help = CALL_EXAMPLES)]
    Call(CallArgs),
    /// Offer a procedure that a command answers
    #[command(long_about = SERVE_ABOUT, override_usage = SERVE_USAGE, after_help = SERVE_EXAMPLES)]
    Serve(ServeArgs),
    #[cfg(feature = "bench")]
    /// Load a gateway, and see what it does: every message counted, checked and timed
    #[command(long_about = BENCH_ABOUT)]
    Bench(macula_load::command::Bench),
    /// Show the gateways of the mesh and the links between them
    #[command(long_about = MESH_ABOUT, after_help = MESH_EXAMPLES)]
    Mesh,
    /// Make the certificates of a mesh
    #[command(subcommand, long_about = CERT_ABOUT, after_help = CERT_EXAMPLES)]
    Cert(CertCommand),
    /// Check the way to the gateway step by step, and say what to do
    #[command(long_about = DOCTOR_ABOUT, after_help = DOCTOR_EXAMPLES)]
    Doctor,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CertCommand {
    /// Make the authority of a mesh; one that is there is kept
    Ca {
        /// Directory for ca.pem and ca-key.pem; whoever reads the key can be any gateway
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
    /// Issue the certificate of a gateway; one that is good for longer than half of its life is kept
    Issue(IssueArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct IssueArgs {
    /// Directory of the authority
    #[arg(long, value_name = "DIR")]
    pub(crate) authority: PathBuf,
    /// Directory for tls.crt, tls.key and ca.crt, named as in a Secret of Kubernetes
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// The gateway: its node name, or what the node names of a cluster begin with
    #[arg(long, value_name = "NAME")]
    pub(crate) gateway: String,
    /// Host name or IP address under which it is reached; may be given several times
    #[arg(long = "name", value_name = "HOST", required = true)]
    pub(crate) names: Vec<String>,
    /// How long it is valid; browsers that know a certificate by its hash want at most 14
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub(crate) days: u32,
}

#[cfg(feature = "bench")]
const BENCH_ABOUT: &str = "\
Load a gateway, and see what it does. Every message is counted, checked for order and timed; one that is missing fails the run. \
The gateway's CPU time and memory are shown when it runs on this machine. Load no gateway that others need.";

const CERT_ABOUT: &str = "\
Make the certificates of a mesh: one authority, and from it a certificate for each gateway.

On one machine nothing of this is needed: gateways and clients of one user share a development authority. Gateways on \
several machines get their certificate, key and authority by MACULA_TLS_CERT, MACULA_TLS_KEY and MACULA_TLS_CA, clients \
the authority by MACULA_CA. The realm in the certificate is that of --realm.";

const CERT_EXAMPLES: &str = "\
Examples:
  macula cert ca --dir mesh-ca
  macula cert issue --authority mesh-ca --dir antwerp --gateway be-antwerp --name gateway-antwerp --name localhost
  MACULA_TLS_CERT=antwerp/tls.crt MACULA_TLS_KEY=antwerp/tls.key MACULA_TLS_CA=antwerp/ca.crt macula-gateway";

#[derive(Debug, clap::Args)]
pub(crate) struct PubArgs {
    /// Topic, such as be.cortexiq.home.measured
    #[arg(value_parser = topic)]
    pub(crate) topic: Topic,
    /// What to publish; - reads it from stdin, nothing is an empty message
    #[arg(allow_negative_numbers = true)]
    pub(crate) payload: Option<String>,
    #[command(flatten)]
    pub(crate) encoding: EncodingArgs,
    /// Publish every line of stdin as a message
    #[arg(long, conflicts_with_all = ["payload", "count"])]
    pub(crate) lines: bool,
    /// Record key: what the message is about
    #[arg(long, value_parser = key, default_value = "", hide_default_value = true)]
    pub(crate) key: String,
    /// Keep the message as the value of its topic and key, for subscribers to come
    #[arg(long)]
    pub(crate) retain: bool,
    /// Forget the value of its topic and key; subscribers are told by this message
    #[arg(long, conflicts_with = "retain")]
    pub(crate) remove: bool,
    /// How long the message is of use, such as 30s; as a retained value it then vanishes
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) ttl: Option<Duration>,
    /// Deliver at least once (event) or at most once (telemetry)
    #[arg(long, value_parser = class, default_value = "event", value_name = "event|telemetry")]
    pub(crate) class: Class,
    /// Header; may be given several times
    #[arg(long = "header", value_parser = header, value_name = "NAME=VALUE")]
    pub(crate) headers: Vec<(String, String)>,
    /// How many times to publish it
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) count: u64,
    /// Messages per second, where there are several; as fast as it goes by default
    #[arg(long, value_parser = rate, value_name = "N")]
    pub(crate) rate: Option<f64>,
}

const PUB_ABOUT: &str = "\
Publish messages to a topic.

An event is published when the gateway holds it for all its subscribers; then the command ends. Telemetry is sent and \
forgotten.";

const PUB_EXAMPLES: &str = "\
Examples:
  macula pub example.room.temperature 21.5 --key kitchen --retain
  macula pub example.room.temperature --key kitchen --remove
  macula pub example.door '{\"open\":true}' --json
  echo '{\"provider_id\":\"bra_p01\",\"day_price\":0.15}' |
    macula pub be.cortexiq.provider.contract.offered - --type cortexiq.v1.ContractOffered --key bra_p01
  tail -f app.log | macula pub example.log --lines --class telemetry
  macula pub example.tick now --count 100 --rate 10";

/// What the payload is made of.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct EncodingArgs {
    /// The payload is JSON: it is checked, and sent as application/json
    #[arg(long)]
    pub(crate) json: bool,
    /// The payload is JSON and sent as this protobuf message, such as cortexiq.v1.ContractOffered
    #[arg(long = "type", value_name = "MESSAGE", conflicts_with = "content_type", value_parser = crate::input::message_type)]
    pub(crate) message: Option<String>,
    /// Media type of the payload, such as text/plain
    #[arg(long, value_name = "TYPE", value_parser = content_type)]
    pub(crate) content_type: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SubArgs {
    /// Topic or pattern; quote it, since the shell knows * and # too
    #[arg(value_parser = pattern, required = true, value_name = "PATTERN")]
    pub(crate) patterns: Vec<Pattern>,
    /// Begin with the retained values
    #[arg(long)]
    pub(crate) retained: bool,
    /// End after so many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Write nothing but the payloads, byte for byte, with nothing in between
    #[arg(long)]
    pub(crate) raw: bool,
}

const SUB_ABOUT: &str = "\
Subscribe, and print what is published, until Ctrl-C.

In a pattern, + is one segment; * is one segment, and as the last one, one or more; # at the end is none or more. A \
message that several patterns match is printed once.

A line has topic, key (- is none) and payload. Payloads are shown as JSON where they are JSON or messages of CortexIQ, \
else as text, else in base64. Lost messages are told on stderr, or with --output json by objects with the member \
\"notice\".";

const SUB_EXAMPLES: &str = "\
Examples:
  macula sub 'be.cortexiq.provider.*'
  macula sub 'be.cortexiq.#' --output json | jq 'select(.class == \"event\") | .json'
  macula sub be.cortexiq.home.initialized --retained --count 10
  macula sub example.image --raw --count 1 > image.png
  macula sub '$sys.#' --retained";

#[derive(Debug, clap::Args)]
pub(crate) struct GetArgs {
    /// Topic or pattern; quote it, since the shell knows * and # too
    #[arg(value_parser = pattern)]
    pub(crate) pattern: Pattern,
    /// Write nothing but the payloads, byte for byte, with nothing in between
    #[arg(long)]
    pub(crate) raw: bool,
}

const MESH_ABOUT: &str = "\
Show the gateways of the mesh and the links between them, as each gateway has told of itself within the last minute: \
round-trip time, rates, what waits and what was lost. Below stands who cannot be reached, and why.";

const MESH_EXAMPLES: &str = "\
Examples:
  macula mesh
  macula mesh --output json | jq '.links[] | {peer, round_trip_ms}'
  watch -n1 macula mesh

JSON is one object for each gateway, the value of $sys.mesh.state.";

const GET_EXAMPLES: &str = "\
Examples:
  macula get example.room.temperature
  macula get 'be.cortexiq.home.*' --output json | jq .key

What is printed is as in macula sub. It is an error when no value is kept.";

#[derive(Debug, clap::Args)]
pub(crate) struct CallArgs {
    /// Procedure, such as be.cortexiq.query.homes
    #[arg(value_parser = topic)]
    pub(crate) procedure: Topic,
    /// The argument; - reads it from stdin, nothing is an empty one
    #[arg(allow_negative_numbers = true)]
    pub(crate) payload: Option<String>,
    #[command(flatten)]
    pub(crate) encoding: EncodingArgs,
    /// Header; may be given several times
    #[arg(long = "header", value_parser = header, value_name = "NAME=VALUE")]
    pub(crate) headers: Vec<(String, String)>,
    /// How long the call may take, with all that it streams
    #[arg(long, value_parser = duration, value_name = "TIME", default_value = "5s")]
    pub(crate) timeout: Duration,
    /// Take the results of a procedure that answers in parts, each as it comes
    #[arg(long)]
    pub(crate) stream: bool,
    /// Ask every provider in the mesh; each answer begins with the provider's id
    #[arg(long, conflicts_with_all = ["stream", "raw"])]
    pub(crate) all: bool,
    /// Write the result byte for byte, without a newline
    #[arg(long)]
    pub(crate) raw: bool,
}

const CALL_EXAMPLES: &str = "\
Examples:
  macula call be.cortexiq.simulation.set_speed '{\"speed\":1000}' --type cortexiq.v1.SetSpeedRequest
  macula call example.upper hello --timeout 2s
  macula call example.report - --json < query.json | jq .
  macula call example.ticks --stream --timeout 1h
  macula call example.version --all

An error is told on stderr as CODE: message, such as
  NOT_FOUND: nobody has registered `example.upper`";

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("answer").required(true).args(["echo", "command"])))]
pub(crate) struct ServeArgs {
    /// Procedure, or a pattern of procedures
    #[arg(value_parser = pattern)]
    pub(crate) procedure: Pattern,
    /// Answer every call with its argument
    #[arg(long)]
    pub(crate) echo: bool,
    /// How one of several providers is chosen
    #[arg(long, value_enum, default_value_t, value_name = "POLICY")]
    pub(crate) policy: Policy,
    /// Media type of the results, such as application/json
    #[arg(long, value_name = "TYPE", value_parser = content_type, conflicts_with_all = ["echo", "message"])]
    pub(crate) content_type: Option<String>,
    /// The command speaks JSON and its results are sent as this protobuf message
    #[arg(long = "type", value_name = "MESSAGE", conflicts_with = "echo", value_parser = crate::input::message_type)]
    pub(crate) message: Option<String>,
    /// Send every line that the command writes as a result of its own, as it comes
    #[arg(long, conflicts_with = "echo")]
    pub(crate) lines: bool,
    /// Command to run for every call
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

const SERVE_ABOUT: &str = "\
Offer a procedure that a command answers, until Ctrl-C.

The command is run once for every call, several at a time. It gets the argument on stdin, and what it writes to stdout \
is the result; with --lines, every line is one of a stream that the caller takes by --stream. When it fails, the \
caller gets INTERNAL with what it wrote to stderr; when the caller gives up, it is killed. In its environment are CALL_PROCEDURE, CALL_CALLER and CALL_CONTENT_TYPE.

With --type, arguments that are messages of CortexIQ come as JSON.";

const SERVE_USAGE: &str = "\
macula serve [OPTIONS] <PROCEDURE> --echo
       macula serve [OPTIONS] <PROCEDURE> -- <COMMAND>...";

const SERVE_EXAMPLES: &str = "\
Examples:
  macula serve example.echo --echo
  macula serve example.upper -- tr a-z A-Z
  macula serve 'example.files.*' --policy round-robin -- sh -c 'cat \"/srv/${CALL_PROCEDURE##*.}\"'
  macula serve example.ticks --lines -- sh -c 'while sleep 1; do date; done'
  macula serve example.now --content-type application/json -- date '+{\"time\":%s}'";

const DOCTOR_ABOUT: &str = "\
Check the way to the gateway step by step, and say what to do.

For every gateway of --url: is its name resolved, does it answer over UDP, is its certificate trusted, does it take \
realm and token, does a message go through it and back, and do all gateways of the mesh know a new subscription? \
Exits with 1 if a step failed.";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  macula doctor
  macula doctor --url https://gateway-antwerp:9443,https://gateway-brabant:9443
  macula doctor --output json | jq -r '.steps[] | select(.status == \"failed\") | .remedy'";

/// How one of several providers of a procedure is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Policy {
    /// There is only one; another is refused
    #[default]
    Single,
    /// One after the other
    RoundRobin,
    /// Any
    Random,
    /// The one that registered first
    First,
    /// The one that registered last
    Last,
    /// The one with the fewest calls under way
    LeastLoaded,
}

impl From<Policy> for CallPolicy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Single => Self::Single,
            Policy::RoundRobin => Self::RoundRobin,
            Policy::Random => Self::Random,
            Policy::First => Self::First,
            Policy::Last => Self::Last,
            Policy::LeastLoaded => Self::LeastLoaded,
        }
    }
}

fn topic(text: &str) -> Result<Topic, String> {
    text.parse().map_err(|error: macula_sdk::topic::TopicError| error.to_string())
}

fn pattern(text: &str) -> Result<Pattern, String> {
    text.parse().map_err(|error: macula_sdk::pattern::PatternError| error.to_string())
}

fn class(text: &str) -> Result<Class, String> {
    match text {
        "event" => Ok(Class::Event),
        "telemetry" => Ok(Class::Telemetry),
        _ => Err("write event or telemetry".to_owned()),
    }
}

fn key(text: &str) -> Result<String, String> {
    within(text, limits::KEY_BYTES)
}

fn content_type(text: &str) -> Result<String, String> {
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return Err("it has control characters; write it as in text/plain".to_owned());
    }
    within(text, limits::HEADER_BYTES)
}

fn within(text: &str, limit: usize) -> Result<String, String> {
    let bytes = text.len();
    if bytes > limit {
        Err(format!("it has {bytes} bytes, at most {limit} are allowed"))
    } else {
        Ok(text.to_owned())
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as name=value".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| "write a number above 0, such as 10 or 0.5".to_owned())
}

/// A time such as `5s`, `250ms`, `1.5m` or `2h`; a bare number is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => Some(1.0),
        "ms" => Some(0.001),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    };
    let seconds = unit.and_then(|unit| Some(unit * digits.parse::<f64>().ok()?));
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "write a time such as 5s, 250ms or 2m".to_owned())
}

/// Where a payload is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Standard input, to its end.
    Stdin,
    /// The command line.
    Text(String),
}

impl Source {
    /// What the positional argument means.
    pub(crate) fn of(argument: Option<String>) -> Self {
        match argument.as_deref() {
            Some("-") => Self::Stdin,
            _ => Self::Text(argument.unwrap_or_default()),
        }
    }
}

impl ConnectionArgs {
    /// The flags that were given, by the name of the environment variable that each stands for.
    pub(crate) fn as_vars(&self) -> Vec<(String, String)> {
        let flags = [
            ("MACULA_URL", &self.url),
            ("MACULA_REALM", &self.realm),
            ("MACULA_CA", &self.ca),
            ("MACULA_TOKEN", &self.token),
            ("MACULA_TOKEN_FILE", &self.token_file),
        ];
        flags.into_iter().filter_map(|(name, flag)| Some((name.to_owned(), flag.clone()?))).collect()
    }
}

#[cfg(test)]
mod tests;

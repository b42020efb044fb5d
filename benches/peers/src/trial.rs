//! One run: one kind of work with one system.

use crate::nats::Nats;
use crate::relay_client::Relay;
use crate::rows::{Measure, Row, Work};
use crate::servers::{Peer, Place, Programs, Server};
use crate::zenoh_peer::Zenoh;
use macula_load::spread::{Children, Share, await_word, tell};
use macula_load::{Io, Macula, Outcome, Part, System, Threads, pubsub, rpc, server, storm};
use macula_sdk::{Builder, Class};
use std::path::PathBuf;

/// What came of a run.
pub struct Trial {
    /// Name of the row.
    pub row: &'static str,
    /// The system.
    pub peer: Peer,
    /// Which of the repetitions.
    pub pair: usize,
    /// Memory of the server before anybody came, in bytes.
    pub idle: u64,
    /// What was counted.
    pub outcome: Outcome,
}

impl Trial {
    /// A figure of it.
    pub fn measure(&self, measure: Measure) -> Option<f64> {
        let outcome = &self.outcome;
        Some(match measure {
            Measure::Rate => outcome.rate(),
            Measure::Cpu => outcome.cpu_us()?,
            Measure::Median => outcome.part.latency.quantile(0.5) as f64,
            Measure::P99 => outcome.part.latency.quantile(0.99) as f64,
            Measure::Cores => outcome.cores()?,
            Measure::Memory => outcome.resident? as f64,
            Measure::Idle => self.idle as f64,
            Measure::Session => {
                let more = outcome.part.resident?.saturating_sub(self.idle);
                more as f64 / outcome.part.received.max(1) as f64
            }
        })
    }

    /// It on one line, for who watches.
    pub fn line(&self, row: &Row) -> String {
        let mut line = format!("{} {:<8} {:<12}", self.pair + 1, row.name, self.peer.name());
        let mut shown: Vec<Measure> = row.targets.iter().map(|target| target.measure).collect();
        shown.dedup();
        for measure in shown {
            if let Some(value) = self.measure(measure) {
                line += &format!(" {} {},", measure.show(value), measure.title());
            }
        }
        if !self.outcome.is_valid() {
            let part = &self.outcome.part;
            line += &format!(" INVALID: {} of {}, {:?}", part.received, self.outcome.expected, part.faults);
        }
        line
    }
}

/// Longest wait for the clients to get ready, and then to end.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(90);

/// Starts the server and its clients, and measures.
pub fn run(row: &Row, peer: Peer, pair: usize, programs: &Programs, place: &Place) -> anyhow::Result<Trial> {
    let server = Server::start(peer, programs, place)?;
    let idle = server::resident(server.pid())?;
    let mut work = row.work.clone();
    if let Work::Storm(storm) = &mut work {
        storm.server = Some(server.pid());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let mut command = tokio::process::Command::new(std::env::current_exe()?);
        command.args(["client", "--work", &serde_json::to_string(&work)?]);
        command.arg("--port").arg(server.port.to_string()).arg("--ca").arg(&place.ca);
        command
            .arg("--system")
            .arg(clap::ValueEnum::to_possible_value(&peer).expect("none is hidden").get_name());
        let started = tokio::time::timeout(LONGEST, Children::start(vec![command])).await;
        let children = match started.unwrap_or_else(|_| Err(anyhow::anyhow!("no start within {LONGEST:?}"))) {
            Ok(children) => children,
            Err(error) => return Ok(failed(&work, &error)),
        };
        let before = server::cpu(server.pid())?;
        let (mut after, mut resident) = (None, None);
        let ended =
            || (after, resident) = (server::cpu(server.pid()).ok(), server::resident(server.pid()).ok());
        let ran = tokio::time::timeout(LONGEST, children.run(ended)).await;
        let part = match ran.unwrap_or_else(|_| Err(anyhow::anyhow!("it did not end within {LONGEST:?}"))) {
            Ok(part) => part,
            Err(error) => return Ok(failed(&work, &error)),
        };
        let cpu = after.map(|after| after.saturating_sub(before));
        anyhow::Ok(Outcome { expected: work.expected(), part, cpu, resident })
    })?;
    Ok(Trial { row: row.name, peer, pair, idle, outcome })
}

/// A run that came to nothing.
fn failed(work: &Work, error: &anyhow::Error) -> Outcome {
    let part = Part { faulty: 1, faults: vec![format!("{error:#}")], ..Part::default() };
    Outcome { expected: work.expected(), part, cpu: None, resident: None }
}

/// What the process of clients is told.
#[derive(Debug, clap::Args)]
pub struct ClientArgs {
    #[arg(long, value_enum)]
    system: Peer,
    #[arg(long)]
    port: u16,
    #[arg(long)]
    ca: PathBuf,
    #[arg(long, value_parser = |text: &str| serde_json::from_str::<Work>(text))]
    work: Work,
}

/// Is the clients.
pub fn client(args: ClientArgs) -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (port, ca) = (args.port, args.ca);
    match args.system {
        Peer::Macula => {
            let builder = Builder::default().url(format!("https://localhost:{port}")).ca(ca);
            let mut system = Macula::at(builder.wait_for_gateway());
            match &args.work {
                Work::PubSub(work) if work.rate.is_some() => system.class = Class::Telemetry,
                Work::Rpc(_) => system.io = Io::Runtime,
                Work::PubSub(_) | Work::Storm(_) => {}
            }
            on(one_thread()?, &system, &args.work)
        }
        Peer::Nats => {
            let waiting = match &args.work {
                Work::PubSub(work) if work.subs < 100 => work.pubs * work.messages as usize + 1,
                _ => 64 << 10,
            };
            let system = Nats { port, ca, threads: Threads::Shared, waiting };
            on(threads(2)?, &system, &args.work)
        }
        // Publishing blocks a thread while a queue is full.
        Peer::Zenoh => on(threads(20)?, &Zenoh { port, ca }, &args.work),
        Peer::Relay => {
            let at_once = matches!(&args.work, Work::PubSub(work) if work.rate.is_some());
            on(one_thread()?, &Relay { port, ca, at_once }, &args.work)
        }
    }
}

fn one_thread() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn threads(count: usize) -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(count).enable_all().build()
}

fn on(runtime: tokio::runtime::Runtime, system: &impl System, work: &Work) -> anyhow::Result<()> {
    let part = runtime.block_on(async {
        let (share, seen) = (Share::ALL, std::sync::Arc::default());
        match work {
            Work::PubSub(work) => pubsub::run(system, work, share, await_word(), seen).await,
            Work::Rpc(work) => rpc::run(system, work, share, await_word(), seen).await,
            Work::Storm(work) => storm::run(system, work, share, await_word(), seen).await,
        }
    })?;
    tell(&part)?;
    // Threads of client libraries would be waited for.
    std::process::exit(0)
}

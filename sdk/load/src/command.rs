//! The command: what `macula bench` and the load generator of the benches have in common.

use crate::macula::{Io, Macula};
use crate::report::{Format, Outcome, Part, print};
use crate::spread::{Children, Share, Working, await_word, tell};
use crate::{pubsub, rpc, server, storm};
use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use macula_sdk::{Builder, Class, Overflow};
use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A load for a gateway.
#[derive(Debug, clap::Args)]
pub struct Bench {
    /// What to do.
    #[command(subcommand)]
    pub kind: Kind,
}

/// Kinds of load.
#[derive(Debug, clap::Subcommand)]
pub enum Kind {
    /// Publish and subscribe, as fast as it goes or at a fixed rate; a message that is missing, doubled or out of order fails it
    #[command(after_help = PUBSUB_EXAMPLES)]
    Pubsub {
        /// How much.
        #[command(flatten)]
        work: pubsub::Work,
        /// Delivery class
        #[arg(long, value_enum, default_value_t)]
        class: LoadClass,
        /// What happens to messages of a subscriber that does not keep up; all but `block` may lose some, which it is told
        #[arg(long, value_enum, default_value_t)]
        overflow: LoadOverflow,
        /// Subscribe at this gateway, and publish at the other: through the mesh
        #[arg(long)]
        subscribe_url: Option<String>,
        /// What all loads have.
        #[command(flatten)]
        common: Common,
    },
    /// Call, one after the other or several in flight; an answer that is not the echo fails it
    #[command(after_help = RPC_EXAMPLES)]
    Rpc {
        /// How much.
        #[command(flatten)]
        work: rpc::Work,
        /// Answer at this gateway, and call at the other: through the mesh
        #[arg(long)]
        serve_url: Option<String>,
        /// What all loads have.
        #[command(flatten)]
        common: Common,
    },
    /// Connect many clients, as in a storm after a restart, and see what each costs
    #[command(after_help = CONNECT_EXAMPLES)]
    Connect {
        /// How much.
        #[command(flatten)]
        work: storm::Work,
        /// What all loads have.
        #[command(flatten)]
        common: Common,
    },
}

const PUBSUB_EXAMPLES: &str = "\
Examples:
  One publisher, four subscribers, 128 bytes:
    macula bench pubsub
  Sixteen pairs:
    macula bench pubsub --pubs 16 --subs 16 --topics 16
  Latency at 5,000 messages a second:
    macula bench pubsub --rate 5000 --messages 50000
  A mix of sizes, clients in two processes:
    macula bench pubsub --size 128:9,16384:1 --processes 2
  One slow reader beside three others:
    macula bench pubsub --class telemetry --overflow drop-oldest --slow 1
  Through the mesh:
    macula bench pubsub --url https://a:9443 --subscribe-url https://b:9443
  Among 100,000 other subscriptions:
    macula bench pubsub --idle-subs 100000";
const RPC_EXAMPLES: &str = "\
Examples:
  One call after the other:
    macula bench rpc
  Fifty in flight:
    macula bench rpc --in-flight 50 --calls 100000";
const CONNECT_EXAMPLES: &str = "\
Examples:
  A storm of a thousand:
    macula bench connect --clients 1000 --at-once 100";

/// What all loads have.
#[derive(Debug, clap::Args)]
pub struct Common {
    /// Processes that the clients are spread over
    #[arg(long, default_value_t = 1)]
    pub processes: usize,
    /// Where clients do their I/O
    #[arg(long, value_enum, default_value_t)]
    pub io: Io,
    /// Process of the gateway, for its CPU time and memory; found by its port when it runs on this machine
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// Print one line of names and one of values, whatever --output says
    #[arg(long)]
    pub csv: bool,
    /// This process is one of several
    #[arg(long, hide = true)]
    pub share: Option<Share>,
}

/// Delivery class of a load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LoadClass {
    /// At least once.
    #[default]
    Event,
    /// At most once.
    Telemetry,
}

/// Overflow policy of a load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "named as in the protocol")]
pub enum LoadOverflow {
    #[default]
    Block,
    DropOldest,
    DropNewest,
}

/// Where the gateway is.
#[derive(Clone, Debug)]
pub struct Target {
    /// How clients connect, without a gateway to connect to.
    pub base: Builder,
    /// Gateways, of which the first that answers is taken.
    pub urls: Vec<String>,
    /// Arguments of this program for the processes that share the work, which do not have the share.
    pub arguments: Vec<String>,
}

impl Bench {
    /// Does it, and prints what came of it: true when everything came as it must.
    ///
    /// # Errors
    /// When it cannot be done at all.
    pub async fn run(&self, target: &Target, format: Format) -> anyhow::Result<bool> {
        let near = target.base.clone().urls(&target.urls);
        let far =
            |url: &Option<String>| url.as_ref().map_or(near.clone(), |url| target.base.clone().url(url));
        let mut system = Macula::at(near.clone());
        let (Kind::Pubsub { common, .. } | Kind::Rpc { common, .. } | Kind::Connect { common, .. }) =
            &self.kind;
        system.io = common.io;
        match &self.kind {
            Kind::Pubsub { work, class, overflow, subscribe_url, common } => {
                system.far = far(subscribe_url);
                system.class = if *class == LoadClass::Event { Class::Event } else { Class::Telemetry };
                system.overflow = match overflow {
                    LoadOverflow::Block => Overflow::Block,
                    LoadOverflow::DropOldest => Overflow::DropOldest,
                    LoadOverflow::DropNewest => Overflow::DropNewest,
                };
                work.check()?;
                let run = Run { target, common, format, what: "deliveries", expected: work.expected() };
                run.run(work, async |share, begin: Word, seen| {
                    let crowd = if share.index == 0 { work.idle_subs } else { 0 };
                    let crowd = system.crowd(crowd).await?;
                    let part = pubsub::run(&system, work, share, begin.given(), seen).await;
                    crowd.close().await;
                    part
                })
                .await
            }
            Kind::Rpc { work, serve_url, common } => {
                system.far = far(serve_url);
                work.check()?;
                let expected = work.callers as u64 * u64::from(work.calls);
                let run = Run { target, common, format, what: "answers", expected };
                run.run(work, async |share, begin: Word, seen| {
                    rpc::run(&system, work, share, begin.given(), seen).await
                })
                .await
            }
            Kind::Connect { work, common } => {
                let mut work = work.clone();
                work.server = target.pid(common);
                let run = Run { target, common, format, what: "connections", expected: work.clients as u64 };
                run.run(&work, async |share, begin: Word, seen| {
                    storm::run(&system, &work, share, begin.given(), seen).await
                })
                .await
            }
        }
    }
}

impl Target {
    fn pid(&self, common: &Common) -> Option<u32> {
        common.server_pid.or_else(|| {
            let [url] = self.urls.as_slice() else { return None };
            let (host, port) = url.strip_prefix("https://")?.trim_end_matches('/').rsplit_once(':')?;
            let local = host == "localhost"
                || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
            local.then(|| port.parse().ok().and_then(server::of_udp_port))?
        })
    }
}

/// What says when to begin.
enum Word {
    /// The parent, on the standard input.
    OfParent,
    /// Nobody: at once, when the server's CPU time has been read.
    AtOnce(Clock),
}

/// The work is under way until this is dropped.
enum Under {
    Parent { _working: Working },
    Clock(Clock),
}

impl Word {
    async fn given(self) -> anyhow::Result<Under> {
        match self {
            Self::OfParent => Ok(Under::Parent { _working: await_word().await? }),
            Self::AtOnce(clock) => {
                clock.read();
                Ok(Under::Clock(clock))
            }
        }
    }
}

impl Drop for Under {
    fn drop(&mut self) {
        if let Self::Clock(clock) = self {
            clock.read();
        }
    }
}

/// CPU time of the server at the beginning of the work and at its end, and its memory then.
#[derive(Clone, Default)]
struct Clock {
    pid: Option<u32>,
    readings: Arc<Mutex<Readings>>,
}

#[derive(Clone, Default)]
struct Readings {
    cpu: Vec<Duration>,
    resident: Option<u64>,
}

impl Clock {
    fn read(&self) {
        let Some(pid) = self.pid else { return };
        let mut readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        readings.cpu.extend(server::cpu(pid).ok());
        readings.resident = server::resident(pid).ok();
    }

    fn readings(&self) -> Readings {
        self.readings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Run<'a> {
    target: &'a Target,
    common: &'a Common,
    format: Format,
    what: &'static str,
    expected: u64,
}

impl Run<'_> {
    async fn run(
        &self,
        work: &impl serde::Serialize,
        load: impl AsyncFnOnce(Share, Word, Arc<AtomicU64>) -> anyhow::Result<Part>,
    ) -> anyhow::Result<bool> {
        let seen = Arc::new(AtomicU64::new(0));
        if let Some(share) = self.common.share {
            tell(&load(share, Word::OfParent, seen).await?)?;
            return Ok(true);
        }
        ensure!(self.common.processes > 0, "--processes is at least 1");
        let pid = self.target.pid(self.common);
        if let Some(pid) = self.common.server_pid {
            server::cpu(pid).with_context(|| format!("--server-pid {pid}: there is no such process"))?;
        }
        let clock = Clock { pid, ..Clock::default() };
        let part = if self.common.processes == 1 {
            let bar = self.progress(seen.clone(), pid);
            let part = load(Share::ALL, Word::AtOnce(clock.clone()), seen).await;
            bar.finish_and_clear();
            part?
        } else {
            let children = Children::start(self.children()?).await?;
            clock.read();
            children.run(|| clock.read()).await?
        };
        let Readings { cpu, resident } = clock.readings();
        let cpu = if let [before, after] = cpu[..] { Some(after.saturating_sub(before)) } else { None };
        let resident = part.resident.or(resident);
        let outcome = Outcome { expected: self.expected, part, cpu, resident };
        let format = if self.common.csv { Format::Csv } else { self.format };
        print(&outcome, self.what, work, format);
        Ok(outcome.is_valid())
    }

    /// This program again, for each share.
    fn children(&self) -> anyhow::Result<Vec<tokio::process::Command>> {
        let program = std::env::current_exe()?;
        let count = self.common.processes;
        let command = |index| {
            let mut command = tokio::process::Command::new(&program);
            command.args(&self.target.arguments).arg("--share").arg(format!("{index}/{count}"));
            command
        };
        Ok((0..count).map(command).collect())
    }

    fn progress(&self, seen: Arc<AtomicU64>, pid: Option<u32>) -> ProgressBar {
        if self.format != Format::Text || self.common.csv || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let template = "{bar:30} {human_pos}/{human_len}  {per_sec}  {eta}  {msg}";
        let style = ProgressStyle::with_template(template);
        let bar = ProgressBar::new(self.expected)
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let shown = bar.clone();
        tokio::spawn(async move {
            let mut last = None;
            while !shown.is_finished() {
                shown.set_position(seen.load(Ordering::Relaxed));
                if let Some((pid, cpu)) = pid.and_then(|pid| Some((pid, server::cpu(pid).ok()?))) {
                    let now = std::time::Instant::now();
                    if let Some((then, before)) = last.replace((now, cpu)) {
                        let cores = cpu.saturating_sub(before).as_secs_f64() / (now - then).as_secs_f64();
                        let memory = server::resident(pid).unwrap_or(0) as f64 / 1e6;
                        shown.set_message(format!("server {cores:.2} cores, {memory:.0} MB"));
                    }
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
        bar
    }
}

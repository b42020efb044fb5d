//! Medians, ratios, and whether they reach what they must.

use crate::rows::{Against, Measure, Row, Target};
use crate::servers::{Peer, Programs};
use crate::trial::Trial;
use anyhow::Context as _;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// How the result is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// Tables of Markdown.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// What all runs came to.
pub struct Summary {
    pairs: usize,
    rows: Vec<RowSummary>,
}

struct RowSummary {
    name: &'static str,
    title: &'static str,
    measures: Vec<Measure>,
    /// Medians of the valid runs, in the order of the measures.
    medians: Vec<(Peer, Vec<Option<Spread>>)>,
    /// Runs, and those of them that are invalid.
    runs: Vec<(Peer, usize, usize)>,
    verdicts: Vec<Verdict>,
}

/// A median, and the lowest and highest of the runs.
#[derive(Clone, Copy)]
struct Spread {
    lowest: f64,
    median: f64,
    highest: f64,
}

struct Verdict {
    target: Target,
    /// Median of the ratios of each pair.
    ratio: f64,
    /// That of the relay: what it misses is out of reach of the method.
    relay: Option<f64>,
}

impl Verdict {
    fn word(&self) -> String {
        let Target { must, aim, .. } = self.target;
        if self.target.is_met(self.ratio, aim) {
            "aim".to_owned()
        } else if self.target.is_met(self.ratio, must) {
            "must".to_owned()
        } else {
            match self.relay.filter(|_| self.relay_misses()) {
                Some(relay) => format!("below, as the relay: {}", self.show(relay)),
                None => "**below**".to_owned(),
            }
        }
    }

    fn relay_misses(&self) -> bool {
        self.relay.is_some_and(|relay| !self.target.is_met(relay, self.target.must))
    }

    fn is_accepted(&self) -> bool {
        self.target.is_met(self.ratio, self.target.must) || self.relay_misses()
    }

    fn show(&self, value: f64) -> String {
        match self.target.against {
            Against::Itself => self.target.measure.show(value),
            Against::Relay => format!("{:.0} %", value * 100.0),
            _ => format!("{value:.2}x"),
        }
    }
}

impl Summary {
    /// Of all runs.
    pub fn of(rows: &[Row], trials: &[Trial], pairs: usize) -> Self {
        Self { pairs, rows: rows.iter().map(|row| RowSummary::of(row, trials, pairs)).collect() }
    }

    /// Whether everything is as it must be or the relay misses it as well, and no run of ours was invalid.
    pub fn is_reached(&self) -> bool {
        self.rows.iter().all(|row| {
            row.verdicts.iter().all(Verdict::is_accepted)
                && row.runs.iter().all(|(peer, _, invalid)| *peer != Peer::Macula || *invalid == 0)
        })
    }

    /// To the terminal.
    pub fn print(&self, output: Output) {
        match output {
            Output::Text => println!("{}", self.tables()),
            Output::Json => println!("{:#}", self.json()),
        }
    }

    fn tables(&self) -> String {
        let mut text = String::new();
        let names: Vec<_> = Peer::ALL.iter().map(|peer| peer.name()).collect();
        let _ = writeln!(text, "| median (lowest-highest) | | {} |", names.join(" | "));
        let _ = writeln!(text, "|---|---|{}", "---|".repeat(names.len()));
        for row in &self.rows {
            for (index, measure) in row.measures.iter().enumerate() {
                let title = if index == 0 { row.title } else { "" };
                let _ = write!(text, "| {title} | {} |", measure.title());
                for peer in Peer::ALL {
                    let found = row.medians.iter().find(|(of, _)| *of == peer);
                    let cell = match found.and_then(|(_, medians)| medians[index]) {
                        Some(spread) => spread.show(*measure),
                        None => "–".to_owned(),
                    };
                    let _ = write!(text, " {cell} |");
                }
                text.push('\n');
            }
        }
        text.push_str(
            "\n| row | of macula | against | ratio | must | aim | reached |\n|---|---|---|---|---|---|---|\n",
        );
        for row in &self.rows {
            for verdict in &row.verdicts {
                let Target { measure, against, must, aim } = verdict.target;
                let _ = writeln!(
                    text,
                    "| {} | {} | {} | {} | {} | {} | {} |",
                    row.title,
                    measure.title(),
                    against.title(),
                    verdict.show(verdict.ratio),
                    verdict.show(must),
                    verdict.show(aim),
                    verdict.word()
                );
            }
            for (peer, runs, invalid) in row.runs.iter().filter(|(_, _, invalid)| *invalid > 0) {
                let _ = writeln!(
                    text,
                    "| {} | {invalid} of {runs} runs of {} are invalid: messages missing or out of order | | | | | |",
                    row.title,
                    peer.name()
                );
            }
        }
        text
    }

    fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let systems: Vec<Value> = row
                    .medians
                    .iter()
                    .map(|(peer, medians)| {
                        let mut object = json!({ "system": peer.name() });
                        for (measure, spread) in row.measures.iter().zip(medians) {
                            let values = spread.map(|spread| [spread.lowest, spread.median, spread.highest]);
                            object[format!("{measure:?}").to_lowercase()] = json!(values);
                        }
                        let counted = row.runs.iter().find(|(of, _, _)| of == peer);
                        object["runs"] = counted.map(|(_, runs, _)| *runs).into();
                        object["invalid"] = counted.map(|(_, _, invalid)| *invalid).into();
                        object
                    })
                    .collect();
                let ratios: Vec<Value> = row
                    .verdicts
                    .iter()
                    .map(|verdict| {
                        let Target { measure, against, must, aim } = verdict.target;
                        json!({
                            "measure": format!("{measure:?}").to_lowercase(),
                            "against": against.title(),
                            "ratio": verdict.ratio,
                            "must": must,
                            "aim": aim,
                            "relay": verdict.relay,
                            "reached": verdict.word().trim_matches('*'),
                        })
                    })
                    .collect();
                json!({ "row": row.name, "title": row.title, "systems": systems, "ratios": ratios })
            })
            .collect();
        json!({ "pairs": self.pairs, "reached": self.is_reached(), "rows": rows })
    }

    /// README.md, summary.json for the picture, and results.csv.
    pub fn write(&self, out: &Path, trials: &[Trial], programs: &Programs) -> anyhow::Result<()> {
        std::fs::create_dir_all(out)?;
        let commit = said(Command::new("git").args(["rev-parse", "--short", "HEAD"]));
        // zenohd logs, in colours, before it says its version in the last line.
        let version = |program: &Path| {
            let said = said(Command::new(program).arg("--version").env("RUST_LOG", "off"));
            said.lines().last().unwrap_or_default().to_owned()
        };
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("?");
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let versions = [&programs.gateway, &programs.nats, &programs.zenohd].map(|program| version(program));
        let mut text = format!(
            "# Beside its peers\n\n`benches/peers/compare --pairs {}`, commit `{commit}`; {cores} cores of {}, Linux {}, \
             servers and clients on the same machine, loopback, TLS 1.3 everywhere. Each run has a new server process and a \
             new process of clients, which decodes every message, hands it to a callback and checks that it came once and in \
             order; the systems take turns, and each pair begins with another one. A ratio is the median of the ratios of \
             pairs. CPU is that of the server process alone. Every run is in [results.csv](results.csv).\n\n![]({})\n\n{}\n",
            self.pairs,
            cpu.trim_start_matches([' ', '\t', ':']),
            kernel.trim(),
            "compare.svg",
            self.tables()
        );
        text.push_str("| system | version | packets | class | when a queue is full | settings |\n|---|---|---|---|---|---|\n");
        for (index, peer) in Peer::ALL.iter().enumerate() {
            let [mtu, class, policy, other] = peer.settings();
            let version = versions.get(index).map_or("of this commit, quinn 0.11", String::as_str);
            let _ = writeln!(text, "| {} | {version} | {mtu} | {class} | {policy} | {other} |", peer.name());
        }
        std::fs::write(out.join("README.md"), text).context("README.md of the run")?;
        std::fs::write(out.join("summary.json"), format!("{:#}\n", self.json()))?;
        let mut csv = String::from(
            "pair,row,system,version,mtu,class,policy,valid,expected,received,elapsed_s,rate_per_s,server_cpu_us,server_cores,\
             server_idle_bytes,server_bytes,bytes_all_connected,p50_us,p99_us,max_us\n",
        );
        for trial in trials {
            let outcome = &trial.outcome;
            let [mtu, class, policy, _] = trial.peer.settings().map(|text| text.replace(',', ";"));
            let index = Peer::ALL.iter().position(|peer| *peer == trial.peer);
            let version = index.and_then(|index| versions.get(index)).map_or("", String::as_str);
            let number = |value: Option<f64>| value.map(|value| format!("{value:.4}")).unwrap_or_default();
            let bytes = |value: Option<u64>| value.map(|value| value.to_string()).unwrap_or_default();
            let quantile = |share| outcome.part.latency.quantile(share);
            let _ = writeln!(
                csv,
                "{},{},{},{version},{mtu},{class},{policy},{},{},{},{:.4},{:.0},{},{},{},{},{},{},{},{}",
                trial.pair + 1,
                trial.row,
                trial.peer.name(),
                outcome.is_valid(),
                outcome.expected,
                outcome.part.received,
                outcome.elapsed().as_secs_f64(),
                outcome.rate(),
                number(outcome.cpu_us()),
                number(outcome.cores()),
                trial.idle,
                bytes(outcome.resident),
                bytes(outcome.part.resident),
                quantile(0.5),
                quantile(0.99),
                quantile(1.0),
            );
        }
        std::fs::write(out.join("results.csv"), csv).context("results.csv of the run")
    }
}

/// What a program says.
fn said(command: &mut Command) -> String {
    let output = command.output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

impl RowSummary {
    fn of(row: &Row, trials: &[Trial], pairs: usize) -> Self {
        let mut measures: Vec<Measure> = Vec::new();
        for target in row.targets {
            if !measures.contains(&target.measure) {
                measures.push(target.measure);
            }
        }
        let of = |peer| trials.iter().filter(move |trial| trial.row == row.name && trial.peer == peer);
        let valid = |peer| of(peer).filter(|trial| trial.outcome.is_valid());
        let (mut medians, mut runs) = (Vec::new(), Vec::new());
        for peer in Peer::ALL.into_iter().filter(|peer| of(*peer).next().is_some()) {
            let spreads = measures
                .iter()
                .map(|measure| Spread::of(valid(peer).filter_map(|trial| trial.measure(*measure)).collect()))
                .collect();
            medians.push((peer, spreads));
            runs.push((peer, of(peer).count(), of(peer).count() - valid(peer).count()));
        }
        let verdicts = row.targets.iter().filter_map(|target| {
            let ratio = |subject, pair| {
                let value = |peer| {
                    let trial = valid(peer).find(|trial| trial.pair == pair);
                    trial.and_then(|trial| trial.measure(target.measure))
                };
                let subject = value(subject)?;
                let better =
                    |a: f64, b: f64| if target.measure == Measure::Rate { a.max(b) } else { a.min(b) };
                let other = match target.against {
                    Against::Itself => 1.0,
                    Against::Nats => value(Peer::Nats)?,
                    Against::Relay => value(Peer::Relay)?,
                    Against::Peer => {
                        [value(Peer::Nats), value(Peer::Zenoh)].into_iter().flatten().reduce(better)?
                    }
                };
                Some(subject / other)
            };
            let median = |subject| {
                let ratios = (0..pairs).filter_map(|pair| ratio(subject, pair));
                Spread::of(ratios.collect()).map(|spread| spread.median)
            };
            let relay = median(Peer::Relay).filter(|_| target.against != Against::Relay);
            Some(Verdict { target: *target, ratio: median(Peer::Macula)?, relay })
        });
        let verdicts = verdicts.collect();
        Self { name: row.name, title: row.title, measures, medians, runs, verdicts }
    }
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.as_slice() {
            [] => return None,
            values if values.len() % 2 == 1 => values[middle],
            values => f64::midpoint(values[middle - 1], values[middle]),
        };
        Some(Self { lowest: values[0], median, highest: *values.last()? })
    }

    fn show(&self, measure: Measure) -> String {
        let [lowest, median, highest] =
            [self.lowest, self.median, self.highest].map(|value| measure.show(value));
        if lowest == highest { median } else { format!("{median} ({lowest}-{highest})") }
    }
}

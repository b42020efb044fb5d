//! What came of a run, for people and programs.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Latencies in microseconds: value and how often, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency(Vec<(u64, u64)>);

impl From<&Histogram<u64>> for Latency {
    fn from(histogram: &Histogram<u64>) -> Self {
        let recorded = histogram.iter_recorded();
        Self(recorded.map(|value| (value.value_iterated_to(), value.count_at_value())).collect())
    }
}

impl Latency {
    fn add(&mut self, other: &Self) {
        self.0.extend(&other.0);
        // Two runs in order. Values that both have become one, or a thousand clients would come to a hundred thousand.
        self.0.sort();
        self.0.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            kept.1 += if same { next.1 } else { 0 };
            same
        });
    }

    /// The latency, in microseconds, that this share was not above; 0 if there is none.
    pub fn quantile(&self, share: f64) -> u64 {
        let total: u64 = self.0.iter().map(|(_, count)| count).sum();
        let wanted = ((total as f64 * share).ceil() as u64).max(1);
        let mut counted = 0;
        let at = self.0.iter().find(|(_, count)| {
            counted += count;
            counted >= wanted
        });
        at.or(self.0.last()).map_or(0, |(value, _)| *value)
    }
}

/// What came of the clients of one process, or of all.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Part {
    /// Messages or calls that were sent.
    pub sent: u64,
    /// Messages, answers or connections that came.
    pub received: u64,
    /// Messages that were missing where others came after them, where some may be lost.
    pub missing: u64,
    /// Messages of which subscribers were told that they are lost.
    pub told: u64,
    /// How much was wrong.
    pub faulty: u64,
    /// Some of it in words.
    pub faults: Vec<String>,
    /// [When](crate::now) it began.
    pub first: u64,
    /// When the last came.
    pub last: u64,
    /// From when a message was due until it was handed over.
    pub latency: Latency,
    /// Memory of the server while all clients were there.
    pub resident: Option<u64>,
}

impl Part {
    /// Puts another one to it.
    pub fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.received += other.received;
        self.missing += other.missing;
        self.told += other.told;
        self.faulty += other.faulty;
        self.faults.extend(other.faults);
        self.faults.truncate(8);
        self.first = [self.first, other.first].into_iter().filter(|&at| at > 0).min().unwrap_or(0);
        self.last = self.last.max(other.last);
        self.latency.add(&other.latency);
        self.resident = self.resident.max(other.resident);
    }

    /// Something is wrong.
    pub(crate) fn fault(&mut self, fault: String) {
        self.faulty += 1;
        if self.faults.len() < 5 {
            self.faults.push(fault);
        }
    }
}

/// A whole run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Deliveries, answers or connections that there had to be.
    pub expected: u64,
    /// What came.
    pub part: Part,
    /// CPU time of the server, where it is known.
    pub cpu: Option<Duration>,
    /// Memory of the server, in bytes, where it is known.
    pub resident: Option<u64>,
}

/// How results are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object.
    Json,
    /// A line of names and a line of values.
    Csv,
}

impl Outcome {
    /// Whether nothing is missing but what subscribers were told of, and nothing was wrong.
    pub fn is_valid(&self) -> bool {
        self.part.faulty == 0 && self.part.received + self.part.told.max(self.part.missing) == self.expected
    }

    /// How long it took.
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.part.last.saturating_sub(self.part.first))
    }

    /// Deliveries, answers or connections a second.
    pub fn rate(&self) -> f64 {
        self.part.received as f64 / self.elapsed().as_secs_f64().max(1e-9)
    }

    /// CPU time of the server for each, in microseconds.
    pub fn cpu_us(&self) -> Option<f64> {
        self.cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / self.part.received.max(1) as f64)
    }

    /// Cores that the server was busy with.
    pub fn cores(&self) -> Option<f64> {
        self.cpu.map(|cpu| cpu.as_secs_f64() / self.elapsed().as_secs_f64().max(1e-9))
    }

    /// Names and values, in the order in which they are told.
    pub fn fields(&self) -> Vec<(&'static str, serde_json::Value)> {
        let quantile = |share| self.part.latency.quantile(share).into();
        let rounded = |value: Option<f64>| value.map(|value| (value * 1e4).round() / 1e4).into();
        vec![
            ("valid", self.is_valid().into()),
            ("expected", self.expected.into()),
            ("received", self.part.received.into()),
            ("told_lost", self.part.told.into()),
            ("faults", self.part.faulty.into()),
            ("elapsed_s", rounded(Some(self.elapsed().as_secs_f64()))),
            ("rate_per_s", self.rate().round().into()),
            ("server_cpu_us", rounded(self.cpu_us())),
            ("server_cores", rounded(self.cores())),
            ("server_resident_bytes", self.resident.into()),
            ("latency_p50_us", quantile(0.5)),
            ("latency_p90_us", quantile(0.9)),
            ("latency_p99_us", quantile(0.99)),
            ("latency_p999_us", quantile(0.999)),
            ("latency_max_us", quantile(1.0)),
        ]
    }
}

/// Prints a run. `what` is what was counted, such as `deliveries`; `work` is what was asked for.
pub fn print(outcome: &Outcome, what: &str, work: &impl Serialize, format: Format) {
    let asked = serde_json::to_value(work).unwrap_or_default();
    let asked = asked.as_object().cloned().unwrap_or_default();
    let fields = outcome.fields();
    match format {
        Format::Json => {
            let mut object = asked;
            object.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
            object.insert("messages_of_faults".to_owned(), outcome.part.faults.clone().into());
            println!("{:#}", serde_json::Value::from(object));
        }
        Format::Csv => {
            let all: Vec<_> = asked.iter().map(|(name, value)| (name.as_str(), value)).collect();
            let all: Vec<_> =
                all.into_iter().chain(fields.iter().map(|(name, value)| (*name, value))).collect();
            let plain = |value: &serde_json::Value| match value {
                serde_json::Value::Null => String::new(),
                serde_json::Value::String(text) if text.contains(',') => format!("\"{text}\""),
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            println!("{}", all.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(","));
            println!("{}", all.iter().map(|(_, value)| plain(value)).collect::<Vec<_>>().join(","));
        }
        Format::Text => print_text(outcome, what),
    }
}

fn print_text(outcome: &Outcome, what: &str) {
    let part = &outcome.part;
    println!(
        "{what:<16}{} of {} in {:.2} s",
        part.received,
        outcome.expected,
        outcome.elapsed().as_secs_f64()
    );
    println!("{:<16}{:.0}", format!("{what}/s"), outcome.rate());
    if let (Some(each), Some(cores)) = (outcome.cpu_us(), outcome.cores()) {
        println!("server CPU      {each:.3} µs each, {cores:.2} cores");
    }
    if let Some(resident) = outcome.resident {
        println!("server memory   {:.1} MB", resident as f64 / 1e6);
    }
    let quantile = |share| milliseconds(part.latency.quantile(share));
    println!(
        "latency         p50 {}, p90 {}, p99 {}, p99.9 {}, max {}",
        quantile(0.5),
        quantile(0.9),
        quantile(0.99),
        quantile(0.999),
        quantile(1.0)
    );
    if part.told > 0 {
        println!("lost and told   {}, to who did not keep up", part.told);
    }
    for fault in part.faults.iter().take(5) {
        println!("FAULT           {fault}");
    }
    if !outcome.is_valid() {
        let missing = outcome.expected.saturating_sub(part.received + part.told);
        println!("INVALID         {missing} are missing, {} faults", part.faulty);
    }
}

fn milliseconds(microseconds: u64) -> String {
    let decimals = if microseconds < 10_000 { 2 } else { 0 };
    format!("{:.decimals$} ms", microseconds as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_several_parts_are_those_of_all() {
        let part = |values: std::ops::RangeInclusive<u64>| {
            let mut histogram = Histogram::<u64>::new(3).unwrap();
            values.for_each(|value| histogram.record(value).unwrap());
            Part { latency: Latency::from(&histogram), ..Part::default() }
        };
        let mut whole = part(1..=50);
        whole.add(part(51..=100));
        assert_eq!([0.5, 0.99, 1.0].map(|share| whole.latency.quantile(share)), [50, 99, 100]);
        assert_eq!(Latency::default().quantile(0.5), 0);
    }
}

//! So many pages at once: sessions that subscribe and read as the page does, and what they cost a gateway and others.
//!
//! ```console
//! $ cargo run --release -p cortexiq-dashboard --example viewers -- https://localhost:9443 100 $(pgrep macula-gateway)
//! ```

use std::time::{Duration, Instant};

use macula_sdk::{Client, Notification, Overflow, Pattern, Windows};
use tokio::task::JoinSet;

/// What the overview asks for.
const PATTERNS: [&str; 6] = [
    "be.cortexiq.simulation.time_advanced",
    "be.cortexiq.simulation.state_changed",
    "be.cortexiq.projections.totals_calculated",
    "be.cortexiq.home.measured",
    "be.cortexiq.home.initialized",
    "be.cortexiq.home.contract.switched",
];
/// As in `web/src/live/link.ts`.
const WINDOW_BYTES: u64 = 128 << 10;
const SLOT: Duration = Duration::from_millis(100);
const SLOT_MESSAGES: u64 = 500;
const LONG: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("usage: viewers URL COUNT [PID...]")?;
    let count: usize = arguments.next().ok_or("how many?")?.parse()?;
    let mut processes: Vec<String> = arguments.collect();
    processes.push(std::process::id().to_string());
    let look = || processes.iter().map(|pid| usage(pid)).collect::<Result<Vec<_>, _>>();
    let before = look()?;
    let mut viewers = JoinSet::new();
    for _ in 0..count {
        let windows = Windows { telemetry: WINDOW_BYTES, ..Windows::default() };
        let client = Client::builder().url(url.as_str()).name("viewer").windows(windows).connect().await?;
        viewers.spawn(view(client));
    }
    let begun = Instant::now();
    let connected = look()?;
    // Before the first has ended, and with it what it holds.
    let ending = tokio::time::sleep(LONG - SLOT * 5);
    let mut messages = 0;
    ending.await;
    let (seconds, busy) = (begun.elapsed().as_secs_f64(), look()?);
    while let Some(read) = viewers.join_next().await {
        messages += read??;
    }
    let each = messages as f64 / LONG.as_secs_f64() / count as f64;
    println!("{count} pages read {each:.0} messages a second each");
    for ((before, connected), busy) in before.iter().zip(&connected).zip(&busy) {
        println!(
            "{}: {:.2} cores, {} MiB, of which {} KiB for each page",
            busy.name,
            (busy.cpu - connected.cpu) / seconds,
            busy.rss / 1024,
            busy.rss.saturating_sub(before.rss) / count as u64,
        );
    }
    Ok(())
}

/// Reads for a while as a page does; how many messages it took.
async fn view(client: Client) -> Result<u64, macula_sdk::SubscribeError> {
    let mut streams = Vec::new();
    for pattern in PATTERNS {
        let pattern: Pattern = pattern.parse().expect("a constant");
        let subscribe = client.subscribe(pattern).retained().overflow_events(Overflow::DropOldest);
        streams.push(subscribe.overflow_telemetry(Overflow::Conflate).await?);
    }
    let mut all = futures_util::stream::select_all(streams);
    let (begun, mut taken) = (Instant::now(), 0);
    while begun.elapsed() < LONG {
        let slot = tokio::time::sleep(SLOT);
        let mut of_slot = 0;
        while of_slot < SLOT_MESSAGES {
            let next = futures_util::StreamExt::next(&mut all);
            let Ok(Some(notification)) = tokio::time::timeout(SLOT, next).await else { break };
            of_slot += u64::from(matches!(notification, Notification::Message(_)));
        }
        taken += of_slot;
        slot.await;
    }
    Ok(taken)
}

/// What a process takes.
struct Usage {
    name: String,
    /// Resident memory, KiB.
    rss: u64,
    /// Seconds of CPU since it was started.
    cpu: f64,
}

fn usage(pid: &str) -> Result<Usage, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let rss = line("VmRSS:").ok_or("no VmRSS")?.trim_end_matches(" kB").parse()?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit_once(") ").ok_or("no stat")?.1.split(' ').collect();
    let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(Usage { name: line("Name:").unwrap_or_default().to_owned(), rss, cpu: ticks / 100.0 })
}

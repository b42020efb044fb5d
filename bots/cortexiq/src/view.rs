//! What people see while the world lives: a bar on a terminal, a line every few seconds otherwise.

use std::cell::Cell;
use std::io::{IsTerminal as _, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::duration::Length;
use crate::live::date;
use crate::world::Seen;

/// The view of one run.
#[derive(Debug)]
pub(crate) struct View {
    start_time: i64,
    /// On a terminal only.
    bar: Option<ProgressBar>,
    told: Cell<Duration>,
    measured: Cell<(Duration, u64)>,
}

impl View {
    /// Starts the log, so that its lines and the bar do not disturb each other.
    pub(crate) fn new(start_time: i64, length: Option<Length>) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = terminal.then(|| {
            let bar = ProgressBar::new(length.map_or(YEAR, Length::seconds) as u64);
            let style = "{prefix} [{bar:40.green}] {percent:>3}%  {msg}";
            bar.set_style(
                ProgressStyle::with_template(style).expect("a constant template").progress_chars("━╸ "),
            );
            bar
        });
        let filter =
            std::env::var("MACULA_LOG").unwrap_or_else(|_| if terminal { "warn" } else { "info" }.into());
        let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
        // A second view in one process, as in tests, keeps the first one's log.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(terminal)
            .with_writer(Above(bar.clone()))
            .try_init();
        let told = Cell::new(Duration::ZERO);
        Self { start_time, bar, told, measured: Cell::default() }
    }

    /// Shows how far the world is.
    pub(crate) fn show(&self, seen: &Seen, elapsed: Duration) {
        if seen.run == 0 {
            return;
        }
        let (since, before) = self.measured.get();
        let seconds = elapsed.saturating_sub(since).as_secs_f64();
        if let Some(bar) = &self.bar {
            let passed = (seen.computed_until - self.start_time).max(0) as u64;
            bar.set_position(passed % (bar.length().unwrap_or(u64::MAX) + 1));
            bar.set_prefix(date(seen.computed_until));
            if seconds >= 1.0 {
                self.measured.set((elapsed, seen.measured));
                bar.set_message(self.line(seen, before, seconds));
            }
        } else if elapsed.saturating_sub(self.told.get()) >= TELL {
            self.told.set(elapsed);
            self.measured.set((elapsed, seen.measured));
            tracing::info!("{}: {}", date(seen.computed_until), self.line(seen, before, seconds));
        }
    }

    fn line(&self, seen: &Seen, before: u64, seconds: f64) -> String {
        let rate = seen.measured.saturating_sub(before) as f64 / seconds.max(0.001);
        format!(
            "{} homes, {rate:.0} measurements/s, {} contracts, {} min behind",
            seen.homes,
            seen.confirmed,
            seen.lag / 60
        )
    }

    /// Says what goes on after the clock has stopped.
    pub(crate) fn say(&self, what: &'static str) {
        match &self.bar {
            Some(bar) => bar.set_message(what),
            None => tracing::info!("{what}"),
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Writes log lines above the bar.
#[derive(Debug, Clone)]
struct Above(Option<ProgressBar>);

impl<'a> MakeWriter<'a> for Above {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Above {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match &self.0 {
            Some(bar) => bar.suspend(|| std::io::stderr().write(bytes)),
            None => std::io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// Without an end, the bar shows one year after the other.
const YEAR: i64 = 31_536_000;
/// Between two lines where there is no terminal.
const TELL: Duration = Duration::from_secs(5);

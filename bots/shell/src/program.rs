//! The life of a bot as a process: log, settings, run, stop.

use std::fmt::Display;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use macula_proto::vars::{EXIT_CONFIG, Problems, Setting, Vars};
use tokio_util::sync::CancellationToken;

/// A bot's executable.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What it does, in one sentence.
    pub about: &'static str,
}

impl Program {
    /// Lives until the bot fails or SIGTERM or Ctrl-C comes. Flags and environment are those of this process; wrong
    /// settings are told all at once, with exit code 78.
    pub fn run<C, E: Display, F>(
        self,
        settings: &'static [Setting],
        read: impl FnOnce(Vars) -> Result<C, Problems>,
        run: impl FnOnce(C, CancellationToken) -> F,
    ) -> ExitCode
    where
        F: Future<Output = Result<(), E>>,
    {
        let command = clap::Command::new(self.name).version(self.version).about(self.about);
        self.run_with(Vars::from_process(command, settings), read, run)
    }

    /// As [`run`](Self::run), with flags and environment that have been taken in.
    pub fn run_with<C, E: Display, F>(
        self,
        vars: Vars,
        read: impl FnOnce(Vars) -> Result<C, Problems>,
        run: impl FnOnce(C, CancellationToken) -> F,
    ) -> ExitCode
    where
        F: Future<Output = Result<(), E>>,
    {
        let Self { name, version, .. } = self;
        start_log(&vars.text("MACULA_LOG", "info"), &vars.text("MACULA_LOG_FORMAT", "text"));
        tracing::info!(version, "{name} starts");
        let config = match read(vars) {
            Ok(config) => config,
            Err(problems) => {
                eprintln!("{name}: the settings are wrong:\n{problems}");
                return ExitCode::from(EXIT_CONFIG as u8);
            }
        };
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                eprintln!("{name}: no runtime: {error}");
                return ExitCode::FAILURE;
            }
        };
        let code = runtime.block_on(async {
            let shutdown = CancellationToken::new();
            let mut signals = match Signals::new() {
                Ok(signals) => signals,
                Err(error) => {
                    eprintln!("{name}: signals cannot be handled: {error}");
                    return ExitCode::FAILURE;
                }
            };
            let mut running = std::pin::pin!(run(config, shutdown.clone()));
            let result = tokio::select! {
                result = &mut running => result,
                () = signals.next() => {
                    tracing::info!("{name} stops");
                    shutdown.cancel();
                    tokio::select! {
                        result = running => result,
                        // Whoever asks twice does not want to wait.
                        () = signals.next() => return ExitCode::FAILURE,
                    }
                }
            };
            match result {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("{name}: {error}");
                    ExitCode::FAILURE
                }
            }
        });
        // The system may still look for a name, for many seconds when DNS is gone too; nobody waits for that.
        runtime.shutdown_background();
        code
    }
}

/// SIGTERM and Ctrl-C.
#[derive(Debug)]
pub struct Signals {
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// From now on neither ends the process by itself.
    pub fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())? })
    }

    /// The next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    }
}

/// Starts the log on stderr. A filter that is none counts as `info`.
pub fn start_log(filter: &str, format: &str) {
    let filter = tracing_subscriber::EnvFilter::try_new(filter)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        "json" => log.json().init(),
        _ => log.init(),
    }
}

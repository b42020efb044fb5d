//! `cortexiq homes-bot` and `cortexiq utilities-bot`: one bot as a process of its own, for tests that kill it.

use std::process::ExitCode;

use cortexiq_shell::{Program, RunError, merged};
use macula_proto::vars::{Problems, Setting, Vars, with_flags};
use tokio_util::sync::CancellationToken;

pub(crate) fn homes(arguments: Vec<String>) -> ExitCode {
    run(
        "cortexiq homes-bot",
        cortexiq_homes::SETTINGS,
        arguments,
        cortexiq_homes::Config::read,
        cortexiq_homes::run,
    )
}

pub(crate) fn utilities(arguments: Vec<String>) -> ExitCode {
    let read = cortexiq_utilities::Config::read;
    run("cortexiq utilities-bot", cortexiq_utilities::SETTINGS, arguments, read, cortexiq_utilities::run)
}

fn run<C, F: Future<Output = Result<(), RunError>>>(
    name: &'static str,
    settings: &[Setting],
    arguments: Vec<String>,
    read: impl FnOnce(Vars) -> Result<C, Problems>,
    run: impl FnOnce(C, CancellationToken) -> F,
) -> ExitCode {
    let program =
        Program { name, version: env!("CARGO_PKG_VERSION"), about: "One bot with its own settings" };
    let settings = merged(settings);
    let command = with_flags(clap::Command::new(name).about(program.about), settings);
    let matches = command.get_matches_from(std::iter::once(name.to_owned()).chain(arguments));
    program.run_with(Vars::from_matches(&matches, settings), read, run)
}

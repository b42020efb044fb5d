//! `cortexiq gateway`: one gateway as a process of its own, for tests that kill it.

use std::process::ExitCode;

use cortexiq_shell::Program;
use macula_gateway::{Gateway, SETTINGS, Settings, StartError};
use macula_proto::vars::{Vars, with_flags};

pub(crate) fn run(arguments: Vec<String>) -> ExitCode {
    let program = Program {
        name: "cortexiq gateway",
        version: env!("CARGO_PKG_VERSION"),
        about: "One gateway, as macula-gateway",
    };
    let command = with_flags(clap::Command::new(program.name).about(program.about), SETTINGS);
    let matches = command.get_matches_from(std::iter::once(program.name.to_owned()).chain(arguments));
    program.run_with(
        Vars::from_matches(&matches, SETTINGS),
        Settings::read,
        |settings, shutdown| async move {
            let gateway = Gateway::start(settings).await?;
            shutdown.cancelled().await;
            gateway.shutdown().await;
            Ok::<_, StartError>(())
        },
    )
}

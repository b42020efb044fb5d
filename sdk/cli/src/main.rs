//! `macula`: see the library of this crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    macula_cli::main()
}

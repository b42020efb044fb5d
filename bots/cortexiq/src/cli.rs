//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use cortexiq_domain::time::Day;
use cortexiq_projections::{Database, Keep};
use cortexiq_simulation::clock::check_speed;

use crate::duration::Length;
use crate::ledger::Sizes;
use crate::mesh::{DEFAULT_BASE_PORT, Ports};
use crate::{gateway, homes, live, process, verify};

/// The whole simulated energy world on this machine: four gateways meshed over QUIC, the homes and providers of three
/// Belgian regions, one clock, and the read models.
#[derive(Debug, Parser)]
#[command(name = "cortexiq", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    live: Live,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Computes a run without any network; the same seed always prints the same bytes
    Ledger(Ledger),
    /// Computes a stored run again from its recorded prices and contracts and prints every difference
    Verify(Verify),
    /// Checks files of homes, or prints their JSON Schema
    Homes(Homes),
    /// The homes of one region alone, with the settings of cortex-iq-homes
    #[command(hide = true, disable_help_flag = true)]
    HomesBot {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// The providers of one region alone, with the settings of cortex-iq-utilities
    #[command(hide = true, disable_help_flag = true)]
    UtilitiesBot {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// A gateway alone, with the settings of macula-gateway
    #[command(hide = true, disable_help_flag = true)]
    Gateway {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

#[derive(Debug, Args)]
struct Live {
    /// Simulate so much time, compare what is stored with what must be, and exit: 12h, 7d, 1y
    #[arg(long = "for", value_name = "LENGTH")]
    length: Option<Length>,
    /// What --for prints on standard output; logs go to standard error
    #[arg(long, value_enum, default_value_t, requires = "length")]
    output: Output,
    /// Simulated seconds per real second; the default is a year in five minutes
    #[arg(long, default_value_t = cortexiq_simulation::DEFAULT_SPEED, value_parser = speed)]
    speed: u32,
    #[command(flatten)]
    world: World,
    /// UDP port of the hub's gateway; the regions' are 100, 200 and 300 higher, admin ports one higher. 0: free ports
    #[arg(long, value_name = "PORT", default_value_t = DEFAULT_BASE_PORT)]
    base_port: u16,
    /// TCP port of the dashboard. The default is 30000, or a free port with --base-port 0
    #[arg(long, value_name = "PORT")]
    page_port: Option<u16>,
    /// Where to keep the read models: sqlite://path or postgres://user:password@host:5432/name. Without it they are kept
    /// in a temporary file until the end
    #[arg(long, value_name = "URL")]
    database: Option<Database>,
    /// Newest simulated months of which quarter-hours are kept; sums of days and trades stay. All unless given
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(2..))]
    keep_months: Option<u32>,
    /// Newest runs that are kept, the current one among them. All unless given
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    keep_runs: Option<u32>,
}

/// What decides a run, live or not.
#[derive(Debug, Args)]
struct World {
    /// Seed of all random numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Homes in all, divided among the three regions; those beyond the 50 of a region's file are grown from them with the
    /// seed. The default is 150
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(3..=300_000))]
    homes: Option<u32>,
    /// Providers of each region
    #[arg(long, value_name = "COUNT", default_value_t = cortexiq_utilities::DEFAULT_PROVIDERS as u32, value_parser = clap::value_parser!(u32).range(1..=100))]
    providers: u32,
    /// First day, from its midnight in Brussels
    #[arg(long, value_name = "DATE", default_value = cortexiq_simulation::DEFAULT_START, value_parser = start)]
    start: Day,
}

#[derive(Debug, Args)]
struct Homes {
    /// Files to check as one population: every mistake of all of them is told
    #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present = "schema")]
    check: Vec<String>,
    /// Print the JSON Schema of such files
    #[arg(long, conflicts_with = "check")]
    schema: bool,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, Args)]
struct Ledger {
    /// How much time to compute: 12h, 7d, 1y
    #[arg(long = "for", value_name = "LENGTH")]
    length: Length,
    /// On how many threads; as many as there are processors unless given. It changes nothing but the time it takes
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    world: World,
}

#[derive(Debug, Args)]
struct Verify {
    /// The read models: sqlite://path or postgres://user:password@host:5432/name
    #[arg(long, value_name = "URL")]
    database: Database,
    /// Which run; the newest unless given
    #[arg(long)]
    run: Option<u64>,
    /// What to print
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// What is printed on standard output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// Exactly one JSON object.
    Json,
}

/// Reads the command line of this process and does what it says.
pub fn main() -> ExitCode {
    let Cli { command, live } = Cli::parse();
    match command {
        None => live.run(),
        Some(Command::Ledger(command)) => command.run(),
        Some(Command::Verify(command)) => verify::run(&command.database, command.run, command.output),
        Some(Command::Homes(command)) => command.run(),
        Some(Command::HomesBot { arguments }) => process::homes(arguments),
        Some(Command::UtilitiesBot { arguments }) => process::utilities(arguments),
        Some(Command::Gateway { arguments }) => gateway::run(arguments),
    }
}

impl Live {
    fn run(self) -> ExitCode {
        let sizes = self.world.sizes();
        let last = cortexiq_simulation::clock::last_instant();
        if self.length.is_some_and(|length| sizes.start_time + length.seconds() > last) {
            eprintln!("cortexiq: --for: the clock ends with 2089");
            return ExitCode::FAILURE;
        }
        live::run(live::Request {
            length: self.length,
            output: self.output,
            speed: self.speed,
            sizes,
            ports: Ports { base: self.base_port },
            page: self.page_port.unwrap_or(if self.base_port == 0 { 0 } else { DEFAULT_PAGE_PORT }),
            database: self.database,
            keep: Keep { months: self.keep_months.unwrap_or(0), runs: self.keep_runs.unwrap_or(0) },
        })
    }
}

impl World {
    fn sizes(&self) -> Sizes {
        Sizes {
            seed: self.seed,
            start_time: self.start.start().time(),
            homes: self.homes.map(|homes| homes as usize),
            providers: self.providers as usize,
        }
    }
}

impl Homes {
    fn run(self) -> ExitCode {
        if self.schema {
            print!("{}", cortexiq_domain::home_file::SCHEMA);
            return ExitCode::SUCCESS;
        }
        homes::check(&self.check, self.output)
    }
}

impl Ledger {
    fn run(self) -> ExitCode {
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = self.threads.map_or_else(processors, |threads| threads as usize);
        let ledger = crate::ledger::compute(self.world.sizes(), self.length, threads);
        match self.output {
            Output::Text => print!("{}", crate::ledger::text(&ledger, self.length)),
            Output::Json => print_json(&ledger),
        }
        ExitCode::SUCCESS
    }
}

pub(crate) fn print_json(value: &impl serde::Serialize) {
    let text = serde_json::to_string_pretty(value).expect("numbers and texts can be written as JSON");
    println!("{text}");
}

/// As in the deployment.
const DEFAULT_PAGE_PORT: u16 = 30_000;

fn speed(text: &str) -> Result<u32, String> {
    let speed = text.parse::<u32>().map_err(|error| error.to_string())?;
    check_speed(speed).map_err(|error| error.to_string())?;
    Ok(speed)
}

fn start(text: &str) -> Result<Day, String> {
    let day = text.parse::<Day>().map_err(|error| error.to_string())?;
    match day.start().time() < cortexiq_simulation::clock::last_instant() {
        true => Ok(day),
        false => Err("the clock ends with 2089".to_owned()),
    }
}

/// The file of a database that has one.
pub(crate) fn file_of(database: &Database) -> Option<&PathBuf> {
    match database {
        Database::Sqlite(path) => Some(path),
        Database::Postgres(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn mistakes_are_refused_in_one_clear_sentence() {
        let told = |arguments: &[&str]| {
            let arguments = ["cortexiq"].iter().chain(arguments);
            Cli::try_parse_from(arguments).expect_err("a mistake").to_string()
        };
        assert!(told(&["--for", "seven"]).contains("such as 12h, 7d or 1y"));
        assert!(told(&["--speed", "0"]).contains("0 is not between 1 and"));
        assert!(told(&["--start", "2025-13-01"]).contains("is no date"));
        assert!(told(&["--homes", "0"]).contains("0 is not in 3..=300000"));
        assert!(told(&["--database", "mysql://x"]).contains("write postgres://"));
        assert!(told(&["ledger"]).contains("--for"));
    }
}

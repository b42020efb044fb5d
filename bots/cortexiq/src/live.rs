//! `cortexiq`: lets the world live, for a while or until Ctrl-C.

use std::process::ExitCode;
use std::time::Duration;

use cortexiq_domain::time::Day;
use cortexiq_projections::{Database, Keep};
use cortexiq_shell::Signals;

use crate::cli::{Output, print_json};
use crate::duration::Length;
use crate::ledger::Sizes;
use crate::mesh::{Place, Ports};
use crate::outcome::{Meant, Outcome};
use crate::view::View;
use crate::world::{Config, Replicas, World};

/// What was asked for on the command line.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) length: Option<Length>,
    pub(crate) output: Output,
    pub(crate) speed: u32,
    pub(crate) sizes: Sizes,
    pub(crate) ports: Ports,
    pub(crate) page: u16,
    pub(crate) database: Option<Database>,
    pub(crate) keep: Keep,
}

pub(crate) fn run(request: Request) -> ExitCode {
    let view = View::new(request.sizes.start_time, request.length);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "cortexiq starts");
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cortexiq: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(live(&request, &view));
    view.finish();
    match result {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(outcome)) => {
            match request.output {
                Output::Text => print!("{}", outcome.text()),
                Output::Json => print_json(&outcome),
            }
            ExitCode::from(u8::from(!outcome.is_good()))
        }
        Err(error) => {
            // Errors of the world tell their causes themselves.
            eprintln!("cortexiq: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Gives the outcome of a run of a given length; without a length, nothing, when Ctrl-C comes.
async fn live(request: &Request, view: &View) -> anyhow::Result<Option<Outcome>> {
    let mut signals = Signals::new()?;
    // Lives as long as this function when nobody said where to keep the read models.
    let directory = tempfile::Builder::new().prefix("cortexiq-").tempdir()?;
    let database =
        request.database.clone().unwrap_or_else(|| Database::Sqlite(directory.path().join("cortexiq.db")));
    let config = Config {
        sizes: request.sizes,
        speed: request.speed,
        until: request.length.map(|length| request.sizes.start_time + length.seconds()),
        ports: request.ports,
        database,
        keep: request.keep,
        page: Some(request.page),
        replicas: Replicas::default(),
    };
    let shown = config.database.shown();
    let mut world = tokio::select! {
        world = World::start(config) => world?,
        () = signals.next() => anyhow::bail!("stopped before the world had started"),
    };
    announce(&world, &shown);
    let lived = tokio::select! {
        lived = watch(&mut world, view) => lived,
        () = signals.next() => match request.length {
            Some(length) => Err(anyhow::anyhow!("stopped before {length} had passed")),
            None => Ok(()),
        },
    };
    let outcome = match (lived, request.length) {
        (Ok(()), Some(length)) => {
            view.say("storing the last rows");
            outcome(&mut world, request, length, view).await.map(Some)
        }
        (Ok(()), None) => Ok(None),
        (Err(error), _) => Err(error),
    };
    tracing::info!("the world stops");
    tokio::select! {
        () = world.stop() => {}
        // Whoever asks twice does not want to wait.
        () = signals.next() => {}
    }
    outcome
}

/// Resolves when all homes have lived to the end.
async fn watch(world: &mut World, view: &View) -> anyhow::Result<()> {
    let mut look = tokio::time::interval(LOOK);
    loop {
        look.tick().await;
        if let Some(failed) = world.failure() {
            return Err(failed.into());
        }
        view.show(&world.seen(), world.elapsed());
        if world.is_lived() {
            return Ok(());
        }
    }
}

async fn outcome(
    world: &mut World,
    request: &Request,
    length: Length,
    view: &View,
) -> anyhow::Result<Outcome> {
    let counts = match world.stored().await {
        Ok(counts) => counts,
        Err(error) => {
            // What is missing shows in the comparison.
            tracing::error!("{error}");
            world.reader().counts(world.seen().run).await?
        }
    };
    let elapsed_s = world.elapsed().as_secs_f64();
    let Sizes { start_time, seed, .. } = request.sizes;
    view.say("computing everything again");
    let meant = Meant { length, start_time, seed, elapsed_s };
    Ok(Outcome::read(world.reader(), world.seen().run, meant, &counts).await?)
}

fn announce(world: &World, database: &str) {
    for (place, url, admin) in world.mesh().places() {
        match admin {
            Some(admin) => eprintln!("{:<18}{url}   metrics http://localhost:{admin}/metrics", place.name()),
            None => eprintln!("{:<18}{url}", place.name()),
        }
    }
    eprintln!("{:<18}{database}", "read models");
    if let Some(port) = world.page() {
        eprintln!("{:<18}http://localhost:{port}", "dashboard");
    }
    let url = world.mesh().url(Place::Hub);
    eprintln!("{:<18}MACULA_URL={url} macula sub 'be.cortexiq.provider.*'", "listen with");
}

/// Shows an instant as people of the simulated world would.
pub(crate) fn date(time: i64) -> String {
    Day::containing(time).to_string()
}

const LOOK: Duration = Duration::from_millis(200);

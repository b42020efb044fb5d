//! A small world lives some days in this process, over real QUIC, and everything it stored is right.

mod ledger;

use std::time::Duration;

use cortexiq::ledger::Sizes;
use cortexiq::mesh::{Place, Ports};
use cortexiq::outcome::{Meant, Outcome};
use cortexiq::world::{Config, Replicas, World};
use cortexiq_domain::time::Day;
use cortexiq_domain::topics;
use cortexiq_projections::{Database, Keep};
use cortexiq_proto::{ControlResult, ResetRequest};
use macula_sdk::Client;

#[test]
fn days_are_stored_as_they_must_be() {
    let outcome = live(async |_| 0);
    assert!(outcome.equal, "{}", outcome.text());
    assert_eq!((outcome.homes, outcome.measured, outcome.lost), (30, 30 * 2 * 96, 0));
    assert_eq!(outcome.traded, 30 * 2 * 24);
    assert_eq!(outcome.totals, outcome.verify);
    assert!(outcome.cross_region_contracts > 0, "{}", outcome.text());
}

#[test]
fn days_under_contracts_are_those_of_the_ledger() {
    let (directory, sizes) = (tempfile::tempdir().expect("a directory"), sizes(45));
    let length: cortexiq::duration::Length = "5d".parse().expect("a length");
    let config = Config {
        sizes,
        // A simulated day is nearly three seconds: longer than anybody should be late.
        speed: 30_000,
        until: Some(sizes.start_time + length.seconds()),
        ports: Ports { base: 0 },
        database: Database::Sqlite(directory.path().join("world.db")),
        page: None,
        replicas: Replicas::default(),
        keep: Keep::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let different = runtime.block_on(async {
        let mut world = World::start(config).await.expect("the world starts");
        wait(&mut world, "five days of 14 s", World::is_lived).await;
        if let Err(error) = world.stored().await {
            println!("{error}");
        }
        let plan = cortexiq::ledger::plan(sizes, length, 1);
        let different = ledger::differences(plan, world.reader(), world.seen().run).await;
        world.stop().await;
        different
    });
    assert_eq!(different, [""; 0]);
}

#[test]
fn a_reset_begins_another_run_that_is_as_right() {
    let outcome = live(async |world| {
        wait(world, "the first half day", |world| world.seen().computed_until > start() + 43_200).await;
        let client = Client::connect(world.mesh().url(Place::Hub)).await.expect("connects");
        let reset = client.call_typed(&*topics::RESET_SIMULATION.name, &ResetRequest {}).await;
        let reset: ControlResult = reset.expect("an answer");
        client.close().await.expect("closes");
        reset.run
    });
    assert!(outcome.equal, "{}", outcome.text());
    assert_eq!((outcome.homes, outcome.measured, outcome.lost), (30, 30 * 2 * 96, 0));
}

/// Lets 30 homes live two days; `meanwhile` may disturb them and tells the run that has to be reached at least.
fn live(meanwhile: impl AsyncFnOnce(&mut World) -> u64) -> Outcome {
    let directory = tempfile::tempdir().expect("a directory");
    let sizes = sizes(30);
    let length: cortexiq::duration::Length = "2d".parse().expect("a length");
    let config = Config {
        sizes,
        speed: 50_000,
        until: Some(sizes.start_time + length.seconds()),
        ports: Ports { base: 0 },
        database: Database::Sqlite(directory.path().join("world.db")),
        page: None,
        replicas: Replicas::default(),
        keep: Keep::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut world = World::start(config).await.expect("the world starts");
        let run = meanwhile(&mut world).await;
        wait(&mut world, "two days of 3.5 s", |world| world.seen().run >= run && world.is_lived()).await;
        let counts = world.stored().await.expect("everything is stored");
        let meant = Meant { length, start_time: sizes.start_time, seed: 1, elapsed_s: 0.0 };
        let run = world.seen().run;
        let outcome = Outcome::read(world.reader(), run, meant, &counts).await.expect("it can be verified");
        world.stop().await;
        outcome
    })
}

fn sizes(homes: usize) -> Sizes {
    Sizes { seed: 1, start_time: start(), homes: Some(homes), providers: 5 }
}

fn start() -> i64 {
    "2025-06-01".parse::<Day>().expect("a day").start().time()
}

async fn wait(world: &mut World, what: &str, is_so: impl Fn(&World) -> bool) {
    let waiting = async {
        while !is_so(world) {
            if let Some(failed) = world.failure() {
                panic!("{failed}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(60), waiting).await.is_err() {
        panic!("not within a minute: {what}; {:?}", world.seen());
    }
}

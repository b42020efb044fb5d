//! A small world lives a day in this process, over real QUIC, and everything it stored is right.

use cortexiq::ledger::Sizes;
use cortexiq::mesh::Ports;
use cortexiq::outcome::{Meant, Outcome};
use cortexiq::world::{Config, World};
use cortexiq_domain::time::Day;
use cortexiq_projections::Database;

#[test]
fn a_day_is_stored_as_it_must_be() {
    let directory = tempfile::tempdir().expect("a directory");
    let start: Day = "2025-06-01".parse().expect("a day");
    let sizes = Sizes { seed: 1, start_time: start.start().time(), homes: Some(10), providers: 5 };
    let length: cortexiq::duration::Length = "1d".parse().expect("a length");
    let config = Config {
        sizes,
        speed: 50_000,
        until: Some(sizes.start_time + length.seconds()),
        ports: Ports { base: 0 },
        database: Database::Sqlite(directory.path().join("world.db")),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let outcome = runtime.block_on(async {
        let mut world = World::start(config).await.expect("the world starts");
        let lived = async {
            while !world.is_lived() {
                if let Some(failed) = world.failure() {
                    panic!("{failed}");
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        let patience = std::time::Duration::from_secs(60);
        if tokio::time::timeout(patience, lived).await.is_err() {
            panic!("a day of 1.7 s is not over after {patience:?}: {:?}", world.seen());
        }
        let counts = world.stored().await.expect("everything is stored");
        let meant = Meant { length, start_time: sizes.start_time, seed: 1, elapsed_s: 0.0 };
        let run = world.seen().run;
        let outcome = Outcome::read(world.reader(), run, meant, &counts).await.expect("it can be verified");
        world.stop().await;
        outcome
    });
    assert!(outcome.equal, "{}", outcome.text());
    assert_eq!((outcome.homes, outcome.measured, outcome.lost), (30, 30 * 96, 0));
    assert_eq!(outcome.traded, 30 * 24);
    assert_eq!(outcome.totals, outcome.verify);
    assert!(outcome.cross_region_contracts > 0, "{}", outcome.text());
}

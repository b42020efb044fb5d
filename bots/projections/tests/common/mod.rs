//! What the tests of the store share: a small world on the wire, and databases to put it in.
#![allow(dead_code, reason = "every test program uses its own part")]

use std::sync::{Arc, Mutex};

use cortexiq_domain::agent::HomeEvent;
use cortexiq_domain::home::Home;
use cortexiq_domain::ledger::{Ledger, Plan, RUN, observed};
use cortexiq_domain::region::Region;
use cortexiq_domain::time::Day;
use cortexiq_domain::topics::{self, Subject};
use cortexiq_domain::{home_file, population, provider};
use cortexiq_projections::message::Message;
use cortexiq_projections::projector::Projector;
use cortexiq_projections::{Batch, Store};
use cortexiq_proto::{Payload, TimeAdvanced};

/// A run and everything that was said in it.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) ledger: Ledger,
    /// Topic and payload, in order for every home.
    pub(crate) said: Vec<(&'static str, Vec<u8>)>,
}

impl World {
    /// A run of `days` days with `count` homes of every region.
    pub(crate) fn new(days: i64, count: usize) -> Self {
        let first: Day = "2025-01-29".parse().expect("a day");
        let file =
            |region: Region| home_file::parse(region.name(), home_file::builtin(region)).expect("right");
        let homes = |region| population::population(&file(region), count, 1);
        let plan = Plan {
            seed: 3,
            start_time: first.start().time(),
            end_time: first.plus(days).start().time(),
            homes: Region::ALL.into_iter().flat_map(homes).collect(),
            providers: Region::ALL.into_iter().flat_map(|region| provider::roster(region, 3)).collect(),
            threads: 1,
        };
        let tick = TimeAdvanced {
            run: RUN,
            tick: 1000,
            simulation_time: plan.end_time,
            speed: 105_120,
            seed: plan.seed,
            start_time: plan.start_time,
            ..TimeAdvanced::default()
        };
        let mut said = vec![on(&topics::TIME_ADVANCED, &tick)];
        said.extend(
            plan.homes
                .iter()
                .map(|home| on(&topics::HOME_INITIALIZED, &home.initialized(RUN, plan.start_time))),
        );
        said.extend(
            plan.providers
                .iter()
                .map(|one| on(&topics::PROVIDER_INITIALIZED, &one.initialized(RUN, plan.start_time))),
        );
        let said = Mutex::new(said);
        let ledger = observed(&plan, &|home, event| {
            said.lock().expect("no panic").extend(said_by(home, event));
        });
        let mut said = said.into_inner().expect("no panic");
        said.extend(ledger.prices.iter().map(|prices| on(&topics::SPOT_PRICE_UPDATED, prices)));
        said.extend(ledger.confirmed.iter().map(|contract| on(&topics::CONTRACT_CONFIRMED, contract)));
        Self { plan, ledger, said }
    }

    /// All of it in batches of `rows`.
    pub(crate) fn batches(&self, rows: usize) -> Vec<Arc<Batch>> {
        let mut projector = Projector::default();
        let mut batches = Vec::new();
        for (topic, payload) in &self.said {
            projector.apply(Message::decode(topic, payload).expect("a right message"), payload);
            if projector.waiting() >= rows {
                batches.push(Arc::new(projector.take()));
            }
        }
        batches.push(Arc::new(projector.take()));
        batches
    }

    /// Puts it into a store.
    pub(crate) async fn fill(&self, store: &Store) {
        for batch in self.batches(2_000) {
            store.write(batch).await.expect("written");
        }
    }
}

/// A message on its topic.
pub(crate) fn on<T: Payload>(subject: &Subject<T>, payload: &T) -> (&'static str, Vec<u8>) {
    (subject.topic, payload.encode_to_vec())
}

fn said_by(home: &Home, event: &HomeEvent) -> Option<(&'static str, Vec<u8>)> {
    Some(match event {
        HomeEvent::Measured(reading) => on(&topics::HOME_MEASURED, &reading.measured(RUN, &home.id)),
        HomeEvent::Traded(trade) => on(&topics::HOME_TRADED, trade),
        HomeEvent::Signed(signed) => on(&topics::CONTRACT_SIGNED, signed),
        HomeEvent::Switched(switched) => on(&topics::CONTRACT_SWITCHED, switched),
        HomeEvent::Expired(expired) => on(&topics::CONTRACT_EXPIRED, expired),
        HomeEvent::Accept { .. } => return None,
    })
}

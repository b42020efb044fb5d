//! A live run against the ledger of its seed: nothing that happens between processes may change what homes do. Whether all of it
//! is stored is for other tests to say: on a machine that is too busy telemetry is lost, and counted.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use cortexiq_domain::agent::HomeEvent;
use cortexiq_domain::ledger::{Plan, observed};
use cortexiq_domain::verify::{Stored as _, StoredMeasurement};
use cortexiq_projections::Reader;

/// What is stored and differs from the ledger: prices, contracts, and of every home the first quarter-hour.
pub(crate) async fn differences(plan: Plan, reader: &Reader, run: u64) -> Vec<String> {
    let must = Mutex::new(BTreeMap::<String, Vec<StoredMeasurement>>::new());
    let ledger = observed(&plan, &|home, event| {
        if let HomeEvent::Measured(reading) = event {
            let mut must = must.lock().expect("no test panics with it");
            must.entry(home.id.clone()).or_default().push(reading.into());
        }
    });
    let must = must.into_inner().expect("no test panicked with it");
    let recorded = reader.recorded(run).await.expect("the run is recorded");
    let mut different = Vec::new();
    for day in &ledger.prices {
        let found = recorded.prices.iter().find(|other| other.day == day.day);
        if found.is_none_or(|found| found.prices != day.prices) {
            let missing = found.map(|found| &found.missing_regions);
            different.push(format!("prices of {}, missing {missing:?}", day.day));
        }
    }
    let ids = |contracts: &[cortexiq_proto::ContractConfirmed]| {
        let mut ids: Vec<_> = contracts.iter().map(|contract| contract.contract_id.clone()).collect();
        ids.sort();
        ids
    };
    let (wanted, found) = (ids(&ledger.confirmed), ids(&recorded.contracts));
    if wanted != found {
        different.push(format!("contracts {found:?} instead of {wanted:?}"));
    }
    let mut stored = reader.stored(run);
    let reading = tokio::task::spawn_blocking(move || {
        for (home, must) in must {
            let rows = stored.measurements(&home).expect("rows can be read");
            if rows.len() * 10 < must.len() * 9 {
                different.push(format!("{home} has only {} rows of {}", rows.len(), must.len()));
            }
            let must: HashMap<_, _> = must.iter().map(|row| (row.time, row)).collect();
            if let Some(row) = rows.iter().find(|row| must.get(&row.time) != Some(row)) {
                different.push(format!("{home}: {row:?} instead of {:?}", must.get(&row.time)));
            }
        }
        different
    });
    reading.await.expect("reads")
}

//! Taking up a run where the database stands.

use std::collections::BTreeSet;

use cortexiq_proto::HomeMeasured;
use prost::Message as _;

use super::{Latest, Projector, Run};
use crate::store::{Failure, Reader};

impl Projector {
    /// Takes up the newest run of the read models, if there is one.
    pub async fn restore(&mut self, reader: &Reader) -> Result<(), Failure> {
        let Some(number) = reader.newest_stored_run().await? else { return Ok(()) };
        let counts = reader.counts(number).await?;
        let mut run = Run {
            complete: true,
            measured: counts.measurements,
            switches: counts.contract_switches,
            ..Run::default()
        };
        for (home_id, connected) in reader.homes(number).await? {
            let facts = run.homes.entry(home_id).or_default();
            (facts.introduced, facts.connected) = (true, connected);
        }
        run.providers = reader.providers(number).await?.into_iter().collect::<BTreeSet<_>>();
        for message in reader.states(number).await? {
            let Ok(measured) = HomeMeasured::decode(&*message) else { continue };
            run.homes.entry(measured.home_id.clone()).or_default().latest = Some(Latest::of(&measured));
        }
        for money in reader.money(number).await? {
            run.periods.months.insert(money.month);
            run.homes.entry(money.home_id.clone()).or_default().ledger.restore(money);
        }
        if let Some(extent) = reader.extent(number).await? {
            run.periods.restore(extent, &reader.summed_days(number).await?);
        }
        self.runs.insert(number, run);
        self.sum_over(number);
        Ok(())
    }

    /// Reads the registers of money again where an hour came that is not newer than the newest. Only while no batch is
    /// being written: stored trades and those that wait here have to be all there are.
    pub async fn reread(&mut self, reader: &Reader) -> Result<(), Failure> {
        for (run, home_id) in self.stale.clone() {
            let trades = reader.traded(run, &home_id).await?;
            self.rebuild(run, &home_id, trades);
        }
        Ok(())
    }
}

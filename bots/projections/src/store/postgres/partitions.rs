//! The months of quarter-hours, a partition each: made ahead, and dropped when nothing of them is kept.

use std::collections::BTreeSet;

use cortexiq_domain::time::{Month, Quarter};
use tokio_postgres::{Client, GenericClient};

use super::super::batch::Batch;
use super::super::error::Failure;
use super::super::gone::Gone;
use super::{NO_LONG_WAIT, SCHEMA_LOCK};

/// Makes a partition for every month of a batch and the month after it, but for those that are known to be there.
pub(super) async fn make(client: &Client, known: &mut BTreeSet<Month>, batch: &Batch) -> Result<(), Failure> {
    let (mut first, mut last) = (i32::MAX, i32::MIN);
    for row in &batch.measurements {
        (first, last) = (first.min(row.quarter), last.max(row.quarter));
    }
    if first > last {
        return Ok(());
    }
    let month_of = |quarter: i32| Quarter::containing(i64::from(quarter) * 900).day().month();
    let mut month = month_of(first);
    let until = after(month_of(last));
    while month <= until {
        if !known.contains(&month) {
            let (name, [from, to]) = (name(month), quarters(month));
            // One transaction, since sent as one, which ends also when it fails. Two that create the same at once would both find it
            // missing.
            let sql = format!(
                "SELECT pg_advisory_xact_lock({SCHEMA_LOCK}); \
                CREATE TABLE IF NOT EXISTS {name} PARTITION OF measurements FOR VALUES FROM ({from}) TO ({to})"
            );
            client.batch_execute(&sql).await?;
            known.insert(month);
        }
        month = after(month);
    }
    Ok(())
}

/// Drops the partitions that hold nothing but what has gone, and tells which.
pub(super) async fn drop_gone(client: &mut Client, gone: &Gone) -> Result<Vec<Month>, Failure> {
    let mut dropped = Vec::new();
    for row in client.query(PARTITIONS, &[]).await? {
        let Some(month) = month_of(row.get(0)) else { continue };
        if !is_gone(client, month, gone).await? {
            continue;
        }
        let transaction = client.transaction().await?;
        transaction.batch_execute(NO_LONG_WAIT).await?;
        transaction.batch_execute("LOCK TABLE ONLY measurements IN ACCESS EXCLUSIVE MODE").await?;
        // A new run may have begun with it meanwhile; from here on nobody can.
        if is_gone(&transaction, month, gone).await? {
            transaction.batch_execute(&format!("DROP TABLE {}", name(month))).await?;
            transaction.commit().await?;
            dropped.push(month);
        }
    }
    Ok(dropped)
}

/// Whether nothing in a partition is kept. One that is empty has gone with the months around it.
async fn is_gone(client: &impl GenericClient, month: Month, gone: &Gone) -> Result<bool, Failure> {
    let [_, end] = quarters(month);
    let mut runs = Vec::new();
    // From run to run along the key.
    let next = format!("SELECT min(run) FROM {} WHERE run > $1", name(month));
    let mut run = i64::MIN;
    while let Some(found) = client.query_one(&next, &[&run]).await?.get::<_, Option<i64>>(0) {
        runs.push(found as u64);
        run = found;
    }
    let has_gone = |kept_from: i32| i64::from(kept_from) >= end;
    Ok(match runs.is_empty() {
        true => gone.runs().any(|(_, kept_from)| kept_from != Gone::ALL && has_gone(kept_from)),
        false => runs.iter().all(|run| has_gone(gone.kept_from(*run))),
    })
}

fn after(month: Month) -> Month {
    month.first_day().plus_months(1).month()
}

/// The first quarter-hour of a month, and the one after its last.
fn quarters(month: Month) -> [i64; 2] {
    [month, after(month)].map(|month| month.first_day().start().number())
}

fn name(month: Month) -> String {
    format!("measurements_{:04}_{:02}", month.year, month.month)
}

fn month_of(name: &str) -> Option<Month> {
    let (year, month) = name.strip_prefix("measurements_")?.split_once('_')?;
    Some(Month {
        year: year.parse().ok()?,
        month: month.parse().ok().filter(|month| (1..=12).contains(month))?,
    })
}

const PARTITIONS: &str = "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'measurements'::regclass ORDER BY c.relname";

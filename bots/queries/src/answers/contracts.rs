//! What happened to contracts.

use cortexiq_projections::store::{Row, Value};
use cortexiq_proto::{
    ContractConfirmed, ContractEvent, ContractEventsPage, ContractRejected, ContractSwitched,
    GetContractEventsRequest,
};

use super::{Answers, message};
use crate::arguments::{cut, no_cursor, page_size};
use crate::error::QueryError;

impl Answers {
    /// Events of contracts, newest first, by home or provider.
    pub async fn get_contract_events(
        &self,
        request: &GetContractEventsRequest,
    ) -> Result<ContractEventsPage, QueryError> {
        let size = page_size(request.page_size)?;
        let before = Place::parse(&request.cursor)?;
        let now = self.now().await?;
        let home = match request.home_id.as_str() {
            "" => 0,
            home_id => self.home(&now, home_id).await?.0,
        };
        let provider = match request.provider_id.as_str() {
            "" => 0,
            provider_id => self.provider(&now, provider_id).await?,
        };
        let Place([time, by_home, event, subject]) = before;
        let (sql, of) = match (home, provider) {
            (0, 0) => (EVENTS, 0),
            (home, 0) => (EVENTS_OF_HOME, home),
            (0, provider) => (EVENTS_OF_PROVIDER, provider),
            (home, _) => (EVENTS_OF_BOTH, home),
        };
        let numbers = [time, by_home, event, subject, size as i64 + 1, of, provider];
        let [time, by_home, event, subject, limit, of, provider] = numbers.map(Value::from);
        let values = [now.run.into(), time, by_home, event, subject, limit, of, provider];
        let mut rows = self.read(sql, values).await?;
        let next_cursor =
            cut(&mut rows, size, |row| Place([0, 1, 2, 3].map(|column| row.int(column))).show());
        Ok(ContractEventsPage { events: rows.iter().map(event_of).collect(), next_cursor })
    }
}

/// The key of an event: time, home, kind, subject.
struct Place([i64; 4]);

impl Place {
    fn parse(cursor: &str) -> Result<Self, QueryError> {
        if cursor.is_empty() {
            return Ok(Self([i64::MAX, i32::MAX.into(), i16::MAX.into(), i32::MAX.into()]));
        }
        let numbers: Option<Vec<i64>> = cursor.split('.').map(|part| part.parse().ok()).collect();
        let place: Option<[i64; 4]> = numbers.and_then(|numbers| numbers.try_into().ok());
        // Databases would refuse what does not fit their columns.
        let fits = |[_, home, event, subject]: &[i64; 4]| {
            i32::try_from(*home).is_ok() && i16::try_from(*event).is_ok() && i32::try_from(*subject).is_ok()
        };
        place.filter(fits).map(Self).ok_or_else(|| no_cursor(cursor))
    }

    fn show(&self) -> String {
        self.0.map(|number| number.to_string()).join(".")
    }
}

fn event_of(row: &Row) -> ContractEvent {
    let mut event = ContractEvent {
        time: row.int(0),
        home_id: row.text(4).to_owned(),
        provider_id: row.text(6).to_owned(),
        ..ContractEvent::default()
    };
    let subject = row.text(5).to_owned();
    match row.int(2) {
        1 => {
            let confirmed: ContractConfirmed = message(row, 7);
            (event.event, event.contract_id, event.reason) = ("confirmed".into(), subject, confirmed.reason);
        }
        2 => {
            let rejected: ContractRejected = message(row, 7);
            (event.event, event.detail) = ("rejected".into(), rejected.detail);
        }
        3 => (event.event, event.contract_id) = ("signed".into(), subject),
        4 => {
            let switched: ContractSwitched = message(row, 7);
            (event.event, event.contract_id, event.reason) = ("switched".into(), subject, switched.reason);
            event.from_provider_id = switched.from_provider_id;
            event.projected_savings = switched.projected_savings;
        }
        _ => (event.event, event.contract_id) = ("expired".into(), subject),
    }
    event
}

/// The page first, then the names of what is on it. Each selection has an index that is read backwards.
macro_rules! events {
    ($($of:literal)?) => {
        concat!(
            "SELECT e.time, e.home, e.event, e.subject, h.name, s.name, p.name, e.message
            FROM (
                SELECT time, home, event, subject, provider, message FROM contract_events
                WHERE run = $1 AND time <= $2 AND (time, home, event, subject) < ($2, $3, $4, $5) ",
            $($of,)?
            " ORDER BY time DESC, home DESC, event DESC, subject DESC LIMIT $6
            ) e
            LEFT JOIN names h ON h.id = e.home
            LEFT JOIN names s ON s.id = e.subject
            LEFT JOIN names p ON p.id = e.provider
            ORDER BY e.time DESC, e.home DESC, e.event DESC, e.subject DESC"
        )
    };
}

const EVENTS: &str = events!();
const EVENTS_OF_HOME: &str = events!("AND home = $7");
const EVENTS_OF_PROVIDER: &str = events!("AND provider = $7");
const EVENTS_OF_BOTH: &str = events!("AND home = $7 AND provider = $8");

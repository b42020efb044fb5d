//! Homes with their latest state.

use cortexiq_projections::store::{Row, Value};
use cortexiq_proto::{
    GetHomeRequest, GetHomesByLocationRequest, GetHomesRequest, HomeSummary, HomesPage, SearchHomesRequest,
};
use tokio::try_join;

use super::{Answers, Now, message};
use crate::arguments::{cut, page_size, region, required};
use crate::error::QueryError;

/// The page first, then what belongs to its homes: for each of them some rows by their keys.
macro_rules! homes {
    ($wanted:literal $(, $customers:ident)?) => {
        concat!(
            "SELECT h.message, s.message, coalesce(o.connected, 0), c.provider_id, c.contract_id, c.contract_end_time,
            (SELECT CAST(sum(m.cost) AS bigint) FROM monthly m WHERE m.run = $1 AND m.home = h.home),
            (SELECT CAST(sum(m.revenue) AS bigint) FROM monthly m WHERE m.run = $1 AND m.home = h.home),
            (SELECT CAST(sum(v.saving) AS bigint) FROM (
                SELECT sum(m.saving) AS saving FROM monthly m WHERE m.run = $1 AND m.home = h.home AND m.month < $4
                GROUP BY m.month
            ) v WHERE v.saving > 0),
            (SELECT count(*) FROM contract_switches w WHERE w.run = $1 AND w.home = h.home)
            FROM (SELECT h.run, h.home, h.home_id, h.message FROM homes h ",
            $(concat!("JOIN ", stringify!($customers), " c ON c.run = h.run AND c.home = h.home "),)?
            "WHERE h.run = $1 AND h.home_id > $2 ", $wanted, " ORDER BY h.home_id LIMIT $3) h
            JOIN customers c ON c.run = $1 AND c.home = h.home
            LEFT JOIN home_states s ON s.run = $1 AND s.home = h.home
            LEFT JOIN home_connections o ON o.run = $1 AND o.home = h.home
            ORDER BY h.home_id"
        )
    };
}

/// How many there are of which [`homes!`] shows a page; the parameters are the run and those of the selection.
macro_rules! count {
    ($wanted:literal $(, $customers:ident)?) => {
        concat!(
            "SELECT count(*) FROM homes h ",
            $(concat!("JOIN ", stringify!($customers), " c ON c.run = h.run AND c.home = h.home "),)?
            "WHERE h.run = $1 ", $wanted
        )
    };
}

/// Which homes are meant.
enum Wanted<'a> {
    All,
    Region(&'a str),
    Provider(&'a str),
    RegionAndProvider(&'a str, &'a str),
    City(&'a str),
    /// Lower case, as a pattern of `LIKE`.
    Like(String),
    Id(&'a str),
}

impl Answers {
    /// Homes by region or provider, in the order of their ids.
    pub async fn get_homes(&self, request: &GetHomesRequest) -> Result<HomesPage, QueryError> {
        let wanted = match (region(&request.region)?, request.provider_id.as_str()) {
            ("", "") => Wanted::All,
            (region, "") => Wanted::Region(region),
            ("", provider_id) => Wanted::Provider(provider_id),
            (region, provider_id) => Wanted::RegionAndProvider(region, provider_id),
        };
        self.page(wanted, request.page_size, &request.cursor).await
    }

    /// One home.
    pub async fn get_home(&self, request: &GetHomeRequest) -> Result<HomeSummary, QueryError> {
        let home_id = required("home_id", &request.home_id)?;
        let now = self.now().await?;
        let found = self.homes(&now, &Wanted::Id(home_id), "", 1).await?.pop();
        found.ok_or_else(|| QueryError::Unknown(format!("home {home_id:?}")))
    }

    /// Homes by part of an id, name, EAN, city or postal code.
    pub async fn search_homes(&self, request: &SearchHomesRequest) -> Result<HomesPage, QueryError> {
        let text = required("query", &request.query)?.to_lowercase();
        if text.chars().count() < 2 {
            return Err(QueryError::argument("query", "needs at least two characters"));
        }
        let plain = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        self.page(Wanted::Like(format!("%{plain}%")), request.page_size, &request.cursor).await
    }

    /// Homes of a municipality.
    pub async fn get_homes_by_location(
        &self,
        request: &GetHomesByLocationRequest,
    ) -> Result<HomesPage, QueryError> {
        let city = required("city", &request.city)?;
        let page = self.page(Wanted::City(city), request.page_size, &request.cursor).await?;
        match page.total {
            0 => Err(QueryError::Unknown(format!("home in {city:?}"))),
            _ => Ok(page),
        }
    }

    async fn page(&self, wanted: Wanted<'_>, size: u32, cursor: &str) -> Result<HomesPage, QueryError> {
        let size = page_size(size)?;
        let now = self.now().await?;
        let (one, other) = wanted.values();
        let (mut homes, total) = try_join!(
            self.homes(&now, &wanted, cursor, size as i64 + 1),
            self.read(wanted.sql().1, [now.run.into(), one, other]),
        )?;
        let id = |home: &HomeSummary| home.home.as_ref().map(|home| home.home_id.clone()).unwrap_or_default();
        let next_cursor = cut(&mut homes, size, id);
        Ok(HomesPage { homes, next_cursor, total: total[0].int(0) as u32 })
    }

    async fn homes(
        &self,
        now: &Now,
        wanted: &Wanted<'_>,
        cursor: &str,
        limit: i64,
    ) -> Result<Vec<HomeSummary>, QueryError> {
        let (one, other) = wanted.values();
        let values = [now.run.into(), cursor.into(), limit.into(), now.month().into(), one, other];
        Ok(self.read(wanted.sql().0, values).await?.iter().map(summary).collect())
    }
}

fn summary(row: &Row) -> HomeSummary {
    HomeSummary {
        home: Some(message(row, 0)),
        latest: row.has(1).then(|| message(row, 1)),
        connected: row.int(2) != 0,
        provider_id: row.text(3).to_owned(),
        contract_id: row.text(4).to_owned(),
        contract_end_time: row.int(5),
        cost: row.int(6),
        revenue: row.int(7),
        savings: row.int(8),
        contract_switches: row.int(9) as u32,
    }
}

impl Wanted<'_> {
    /// What the statements' last parameters are.
    fn values(&self) -> (Value, Value) {
        match self {
            Self::All => (Value::Null, Value::Null),
            Self::Region(text) | Self::Provider(text) | Self::City(text) | Self::Id(text) => {
                ((*text).into(), Value::Null)
            }
            Self::Like(text) => (text.into(), Value::Null),
            Self::RegionAndProvider(region, provider) => ((*region).into(), (*provider).into()),
        }
    }

    /// A page of such homes, and how many there are of them.
    fn sql(&self) -> (&'static str, &'static str) {
        match self {
            Self::All => (homes!(""), count!("")),
            Self::Region(_) => (homes!("AND h.region = $5"), count!("AND h.region = $2")),
            Self::City(_) => (homes!("AND h.city = $5"), count!("AND h.city = $2")),
            Self::Like(_) => {
                (homes!("AND h.search LIKE $5 ESCAPE '\\'"), count!("AND h.search LIKE $2 ESCAPE '\\'"))
            }
            Self::Id(_) => (homes!("AND h.home_id = $5"), count!("AND h.home_id = $2")),
            Self::Provider(_) => {
                (homes!("AND c.provider_id = $5", customers), count!("AND c.provider_id = $2", customers))
            }
            Self::RegionAndProvider(..) => (
                homes!("AND h.region = $5 AND c.provider_id = $6", customers),
                count!("AND h.region = $2 AND c.provider_id = $3", customers),
            ),
        }
    }
}

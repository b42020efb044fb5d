//! Homes with their latest state.

use cortexiq_projections::store::Row;
use cortexiq_proto::{
    GetHomeRequest, GetHomesByLocationRequest, GetHomesRequest, HomeSummary, HomesPage, SearchHomesRequest,
};

use super::{Answers, message};
use crate::arguments::{cut, page_size, region, required};
use crate::error::QueryError;

/// Which homes are meant; what is empty does not limit.
#[derive(Default)]
struct Wanted<'a> {
    region: &'a str,
    provider_id: &'a str,
    city: &'a str,
    like: String,
    home_id: &'a str,
}

impl Answers {
    /// Homes by region or provider, in the order of their ids.
    pub async fn get_homes(&self, request: &GetHomesRequest) -> Result<HomesPage, QueryError> {
        let wanted = Wanted {
            region: region(&request.region)?,
            provider_id: &request.provider_id,
            ..Wanted::default()
        };
        self.page(wanted, request.page_size, &request.cursor).await
    }

    /// One home.
    pub async fn get_home(&self, request: &GetHomeRequest) -> Result<HomeSummary, QueryError> {
        let home_id = required("home_id", &request.home_id)?;
        let found = self.page(Wanted { home_id, ..Wanted::default() }, 1, "").await?.homes.pop();
        found.ok_or_else(|| QueryError::Unknown(format!("home {home_id:?}")))
    }

    /// Homes by part of an id, name, EAN, city or postal code.
    pub async fn search_homes(&self, request: &SearchHomesRequest) -> Result<HomesPage, QueryError> {
        let text = required("query", &request.query)?.to_lowercase();
        if text.chars().count() < 2 {
            return Err(QueryError::argument("query", "needs at least two characters"));
        }
        let plain = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        let wanted = Wanted { like: format!("%{plain}%"), ..Wanted::default() };
        self.page(wanted, request.page_size, &request.cursor).await
    }

    /// Homes of a municipality.
    pub async fn get_homes_by_location(
        &self,
        request: &GetHomesByLocationRequest,
    ) -> Result<HomesPage, QueryError> {
        let city = required("city", &request.city)?;
        let page =
            self.page(Wanted { city, ..Wanted::default() }, request.page_size, &request.cursor).await?;
        match page.total {
            0 => Err(QueryError::Unknown(format!("home in {city:?}"))),
            _ => Ok(page),
        }
    }

    async fn page(&self, wanted: Wanted<'_>, size: u32, cursor: &str) -> Result<HomesPage, QueryError> {
        let size = page_size(size)?;
        let now = self.now().await?;
        let Wanted { region, provider_id, city, like, home_id } = wanted;
        let filter = [
            now.run.into(),
            region.into(),
            provider_id.into(),
            city.into(),
            like.as_str().into(),
            home_id.into(),
        ];
        let [run, by_region, by_provider, by_city, by_text, by_id] = filter.clone();
        let rest = [cursor.into(), (size as i64 + 1).into(), now.month().into()];
        let [after, limit, month] = rest;
        let values = [run, by_region, by_provider, by_city, by_text, by_id, after, limit, month];
        let mut homes: Vec<HomeSummary> = self.read(HOMES, values).await?.iter().map(summary).collect();
        let id = |home: &HomeSummary| home.home.as_ref().map(|home| home.home_id.clone()).unwrap_or_default();
        let next_cursor = cut(&mut homes, size, id);
        let total = self.read(COUNT, filter).await?[0].int(0) as u32;
        Ok(HomesPage { homes, next_cursor, total })
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

macro_rules! wanted {
    () => {
        "WHERE h.run = $1 AND ($2 = '' OR h.region = $2) AND ($3 = '' OR c.provider_id = $3)
    AND ($4 = '' OR h.city = $4) AND ($5 = '' OR h.search LIKE $5 ESCAPE '\\') AND ($6 = '' OR h.home_id = $6)"
    };
}

const HOMES: &str = concat!(
    "SELECT h.message, s.message, coalesce(o.connected, 0), c.provider_id, c.contract_id, c.contract_end_time,
    (SELECT CAST(sum(m.cost) AS bigint) FROM monthly m WHERE m.run = h.run AND m.home = h.home),
    (SELECT CAST(sum(m.revenue) AS bigint) FROM monthly m WHERE m.run = h.run AND m.home = h.home),
    (SELECT CAST(sum(v.saving) AS bigint) FROM savings v
        WHERE v.run = h.run AND v.home = h.home AND v.month < $9 AND v.saving > 0),
    (SELECT count(*) FROM contract_switches w WHERE w.run = h.run AND w.home = h.home)
    FROM homes h
    LEFT JOIN customers c ON c.run = h.run AND c.home = h.home
    LEFT JOIN home_states s ON s.run = h.run AND s.home = h.home
    LEFT JOIN home_connections o ON o.run = h.run AND o.home = h.home ",
    wanted!(),
    " AND h.home_id > $7 ORDER BY h.home_id LIMIT $8"
);
const COUNT: &str = concat!(
    "SELECT count(*) FROM homes h LEFT JOIN customers c ON c.run = h.run AND c.home = h.home ",
    wanted!()
);

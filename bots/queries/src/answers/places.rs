//! Municipalities with homes.

use cortexiq_proto::{GetLocationsRequest, Location, LocationsPage};

use super::Answers;
use crate::arguments::{cut, no_cursor, page_size, region};
use crate::error::QueryError;

impl Answers {
    /// Municipalities by name.
    pub async fn get_locations(&self, request: &GetLocationsRequest) -> Result<LocationsPage, QueryError> {
        let size = page_size(request.page_size)?;
        let region = region(&request.region)?;
        let (city, after) = match request.cursor.as_str() {
            "" => ("", ""),
            cursor => cursor.split_once('\n').ok_or_else(|| no_cursor(cursor))?,
        };
        let now = self.now().await?;
        let limit = (size as i64 + 1).into();
        let values = [now.run.into(), region.into(), city.into(), after.into(), limit];
        let rows = self.read(LOCATIONS, values).await?;
        let location = |row: &cortexiq_projections::store::Row| Location {
            city: row.text(0).to_owned(),
            region: row.text(1).to_owned(),
            latitude: row.real(2),
            longitude: row.real(3),
            homes: row.int(4) as u32,
            grid_w: row.int(5),
            production_w: row.int(6) as u64,
            consumption_w: row.int(7) as u64,
        };
        let mut locations: Vec<Location> = rows.iter().map(location).collect();
        let next_cursor = cut(&mut locations, size, |last| format!("{}\n{}", last.city, last.region));
        let total = self.read(COUNT, [now.run.into(), region.into()]).await?[0].int(0) as u32;
        Ok(LocationsPage { locations, next_cursor, total })
    }
}

const LOCATIONS: &str = "SELECT h.city, h.region, avg(h.latitude), avg(h.longitude), count(*),
    CAST(coalesce(sum(s.grid_w), 0) AS bigint), CAST(coalesce(sum(s.production_w), 0) AS bigint),
    CAST(coalesce(sum(s.consumption_w), 0) AS bigint)
    FROM homes h LEFT JOIN home_states s ON s.run = h.run AND s.home = h.home
    WHERE h.run = $1 AND ($2 = '' OR h.region = $2) AND (h.city, h.region) > ($3, $4)
    GROUP BY h.city, h.region ORDER BY h.city, h.region LIMIT $5";
const COUNT: &str = "SELECT count(*) FROM (SELECT DISTINCT city, region FROM homes
    WHERE run = $1 AND ($2 = '' OR region = $2)) places";

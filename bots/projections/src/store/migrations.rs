//! The schema, step by step. Steps are never changed once they are released; a change is a new step.

/// The steps from the beginning, each one text for both databases.
pub(super) const STEPS: &[&str] = &[
    include_str!("../../migrations/0001_read_models.sql"),
    include_str!("../../migrations/0002_daily.sql"),
    include_str!("../../migrations/0003_roll_ups.sql"),
    include_str!("../../migrations/0004_retention.sql"),
];

/// A step as SQLite reads it.
pub(super) fn for_sqlite(step: &str) -> String {
    fill(step, ["INTEGER", "text", "WITHOUT ROWID", "WITHOUT ROWID", "WITHOUT ROWID"])
}

/// A step as PostgreSQL reads it.
pub(super) fn for_postgres(step: &str) -> String {
    let serial = "integer GENERATED ALWAYS AS IDENTITY";
    fill(step, [serial, "text COLLATE \"C\"", "", "PARTITION BY RANGE (quarter)", "WITH (fillfactor = 60)"])
}

fn fill(step: &str, with: [&str; 5]) -> String {
    const PLACES: [&str; 5] = ["{serial}", "{text}", "{clustered}", "{by month}", "{filled}"];
    // The comments at the top explain the places; they are not to be filled.
    let body: Vec<&str> = step.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    PLACES.iter().zip(with).fold(body.join("\n"), |text, (place, with)| text.replace(place, with))
}

#[cfg(test)]
mod tests {
    use super::{STEPS, for_postgres, for_sqlite};

    #[test]
    fn no_place_is_left_open() {
        for step in STEPS {
            assert!(!for_sqlite(step).contains(['{', '}']));
            assert!(!for_postgres(step).contains(['{', '}']));
        }
    }
}

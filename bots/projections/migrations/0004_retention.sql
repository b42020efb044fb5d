-- What is not kept of a run, and with every day what is asked of quarter-hours that have gone.
CREATE TABLE retention (
    run bigint PRIMARY KEY,
    -- Quarter-hours before this one are removed, and not stored when they come late. The largest number: the run is removed.
    quarter integer NOT NULL
) {clustered};

-- The first quarter-hour with the day's largest import.
ALTER TABLE daily ADD COLUMN peak_quarter integer NOT NULL DEFAULT 0;
UPDATE daily SET peak_quarter = coalesce((
    SELECT min(m.quarter) FROM measurements m WHERE m.run = daily.run AND m.home = daily.home
        AND m.quarter >= daily.quarter AND m.quarter < daily.until AND m.import_wh = daily.peak_wh), 0);

-- A home's local day in energy: the sums of its stored quarter-hours, once the last of them has come. Where an earlier one comes
-- later, the day is summed again, so what stands here is always the sum of what is stored. A day that is not here has not ended.
CREATE TABLE daily (
    run bigint NOT NULL,
    home integer NOT NULL,
    -- The day's first quarter-hour, and the one after its last.
    quarter integer NOT NULL,
    until integer NOT NULL,
    pv_wh integer NOT NULL,
    load_wh integer NOT NULL,
    import_wh integer NOT NULL,
    export_wh integer NOT NULL,
    charge_wh integer NOT NULL,
    discharge_wh integer NOT NULL,
    -- At its end.
    state_of_charge smallint NOT NULL,
    -- The largest import of a quarter-hour.
    peak_wh integer NOT NULL,
    quarters integer NOT NULL,
    PRIMARY KEY (run, home, quarter)
) {clustered};

-- Roll-ups of regions and providers. Each is summed again, in the transaction that changes what it is the sum of, from what is
-- stored: so it is exact whatever comes late or twice. What is not here has not ended: it is summed from the rows themselves.
-- `month` is a local month as 202501; `day` and `until` are the quarter-hours in which a local day begins and the next one does.

-- A region's hours, days and months in energy, of all its homes.
CREATE TABLE region_hours (
    run bigint NOT NULL,
    region {text} NOT NULL,
    hour integer NOT NULL,
    pv_wh bigint NOT NULL,
    load_wh bigint NOT NULL,
    import_wh bigint NOT NULL,
    export_wh bigint NOT NULL,
    charge_wh bigint NOT NULL,
    discharge_wh bigint NOT NULL,
    quarters bigint NOT NULL,
    PRIMARY KEY (run, region, hour)
) {clustered};

CREATE TABLE region_days (
    run bigint NOT NULL,
    region {text} NOT NULL,
    month integer NOT NULL,
    day integer NOT NULL,
    until integer NOT NULL,
    pv_wh bigint NOT NULL,
    load_wh bigint NOT NULL,
    import_wh bigint NOT NULL,
    export_wh bigint NOT NULL,
    charge_wh bigint NOT NULL,
    discharge_wh bigint NOT NULL,
    quarters bigint NOT NULL,
    PRIMARY KEY (run, region, day)
) {clustered};

CREATE VIEW region_months AS
SELECT run, region, month, CAST(sum(pv_wh) AS bigint) AS pv_wh, CAST(sum(load_wh) AS bigint) AS load_wh,
    CAST(sum(import_wh) AS bigint) AS import_wh, CAST(sum(export_wh) AS bigint) AS export_wh,
    CAST(sum(charge_wh) AS bigint) AS charge_wh, CAST(sum(discharge_wh) AS bigint) AS discharge_wh,
    CAST(sum(quarters) AS bigint) AS quarters
FROM region_days GROUP BY run, region, month;

-- Hours, days and months in money: what the homes of a region traded with a provider.
CREATE TABLE market_hours (
    run bigint NOT NULL,
    hour integer NOT NULL,
    region {text} NOT NULL,
    provider integer NOT NULL,
    import_wh bigint NOT NULL,
    export_wh bigint NOT NULL,
    cost bigint NOT NULL,
    revenue bigint NOT NULL,
    trades bigint NOT NULL,
    PRIMARY KEY (run, hour, region, provider)
) {clustered};

CREATE TABLE market_days (
    run bigint NOT NULL,
    month integer NOT NULL,
    day integer NOT NULL,
    until integer NOT NULL,
    region {text} NOT NULL,
    provider integer NOT NULL,
    import_wh bigint NOT NULL,
    export_wh bigint NOT NULL,
    cost bigint NOT NULL,
    revenue bigint NOT NULL,
    trades bigint NOT NULL,
    PRIMARY KEY (run, day, region, provider)
) {clustered};

-- From the registers of the homes, so that it is there as soon as a month has ended.
CREATE TABLE market_months (
    run bigint NOT NULL,
    month integer NOT NULL,
    region {text} NOT NULL,
    provider integer NOT NULL,
    import_wh bigint NOT NULL,
    export_wh bigint NOT NULL,
    cost bigint NOT NULL,
    revenue bigint NOT NULL,
    PRIMARY KEY (run, month, region, provider)
) {clustered};

-- What the homes of a region saved in a month that has ended: settled home by home, where positive.
CREATE TABLE saving_months (
    run bigint NOT NULL,
    month integer NOT NULL,
    region {text} NOT NULL,
    savings bigint NOT NULL,
    commission bigint NOT NULL,
    PRIMARY KEY (run, month, region)
) {clustered};

-- A home's hours in energy, as its quarter-hours are stored.
CREATE VIEW home_hours AS
SELECT run, home, quarter / 4 AS hour, CAST(sum(pv_wh) AS bigint) AS pv_wh, CAST(sum(load_wh) AS bigint) AS load_wh,
    CAST(sum(import_wh) AS bigint) AS import_wh, CAST(sum(export_wh) AS bigint) AS export_wh,
    CAST(sum(charge_wh) AS bigint) AS charge_wh, CAST(sum(discharge_wh) AS bigint) AS discharge_wh,
    count(*) AS quarters
FROM measurements GROUP BY run, home, quarter / 4;

-- The months of a run, and all homes of one.
CREATE INDEX monthly_by_month ON monthly (run, month);

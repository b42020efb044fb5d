-- The read models of domain events, one text for both databases.
--
-- In braces stands what differs: {serial} an integer that counts itself, {text} text compared by bytes, {clustered} rows
-- kept in the order of their key, {by month} range partitions by simulated month, {filled} room for rows to be renewed.
-- Rows are identified by what they are about, so that a message that comes twice is one row.
-- Times are seconds since 1970, `quarter` and `hour` are such times in units of 900 and 3600 seconds; energy is Wh, money
-- nano-euro, prices micro-euro per kWh. `message` is the encoded payload of the event.

-- Short keys of homes, providers, contracts and offers.
CREATE TABLE names (
    id {serial} PRIMARY KEY,
    name {text} NOT NULL UNIQUE
);

-- Runs of the simulation with their newest tick.
CREATE TABLE runs (
    run bigint PRIMARY KEY,
    tick bigint NOT NULL,
    simulation_time bigint NOT NULL,
    speed bigint NOT NULL,
    paused smallint NOT NULL,
    seed bigint NOT NULL,
    start_time bigint NOT NULL
);

CREATE TABLE homes (
    run bigint NOT NULL,
    home integer NOT NULL,
    home_id {text} NOT NULL,
    region {text} NOT NULL,
    city {text} NOT NULL,
    latitude double precision NOT NULL,
    longitude double precision NOT NULL,
    -- What a person may look for, in small letters.
    search text NOT NULL,
    message bytea NOT NULL,
    PRIMARY KEY (run, home)
) {clustered};
CREATE UNIQUE INDEX homes_by_id ON homes (run, home_id);
CREATE INDEX homes_by_city ON homes (run, city, home_id);

CREATE TABLE home_connections (
    run bigint NOT NULL,
    home integer NOT NULL,
    time bigint NOT NULL,
    connected smallint NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (run, home)
) {clustered};

-- The latest measurement of every home, with its registers.
CREATE TABLE home_states (
    run bigint NOT NULL,
    home integer NOT NULL,
    quarter integer NOT NULL,
    production_w bigint NOT NULL,
    consumption_w bigint NOT NULL,
    battery_w bigint NOT NULL,
    grid_w bigint NOT NULL,
    production_wh bigint NOT NULL,
    consumption_wh bigint NOT NULL,
    import_wh bigint NOT NULL,
    export_wh bigint NOT NULL,
    message bytea NOT NULL,
    PRIMARY KEY (run, home)
) {filled};

CREATE TABLE measurements (
    run bigint NOT NULL,
    home integer NOT NULL,
    quarter integer NOT NULL,
    pv_wh integer NOT NULL,
    load_wh integer NOT NULL,
    import_wh integer NOT NULL,
    export_wh integer NOT NULL,
    charge_wh integer NOT NULL,
    discharge_wh integer NOT NULL,
    curtailed_wh integer NOT NULL,
    import_t1_wh integer NOT NULL,
    import_t2_wh integer NOT NULL,
    export_t1_wh integer NOT NULL,
    export_t2_wh integer NOT NULL,
    state_of_charge smallint NOT NULL,
    tariff smallint NOT NULL,
    PRIMARY KEY (run, home, quarter)
) {by month};

-- A name of 0 is none.
CREATE TABLE trades (
    run bigint NOT NULL,
    home integer NOT NULL,
    hour integer NOT NULL,
    contract integer NOT NULL,
    provider integer NOT NULL,
    left_contract integer NOT NULL,
    left_provider integer NOT NULL,
    import_wh integer NOT NULL,
    export_wh integer NOT NULL,
    cost bigint NOT NULL,
    revenue bigint NOT NULL,
    import_price bigint NOT NULL,
    export_price bigint NOT NULL,
    left_cost bigint NOT NULL,
    left_revenue bigint NOT NULL,
    PRIMARY KEY (run, home, hour)
) {clustered};

-- Trades by home, local month (as 202501) and provider: registers of money, written as they stand and never added to.
CREATE TABLE monthly (
    run bigint NOT NULL,
    home integer NOT NULL,
    month integer NOT NULL,
    provider integer NOT NULL,
    import_wh bigint NOT NULL,
    export_wh bigint NOT NULL,
    cost bigint NOT NULL,
    revenue bigint NOT NULL,
    saving bigint NOT NULL,
    -- The newest hour in it.
    hour integer NOT NULL,
    PRIMARY KEY (run, home, month, provider)
) {filled};
CREATE INDEX monthly_by_provider ON monthly (run, provider);

CREATE TABLE contracts (
    run bigint NOT NULL,
    contract integer NOT NULL,
    home integer NOT NULL,
    provider integer NOT NULL,
    home_region {text} NOT NULL,
    provider_region {text} NOT NULL,
    reason smallint NOT NULL,
    accepted_time bigint NOT NULL,
    start_time bigint NOT NULL,
    end_time bigint NOT NULL,
    message bytea NOT NULL,
    PRIMARY KEY (run, contract)
) {clustered};
CREATE INDEX contracts_by_home ON contracts (run, home, start_time);
CREATE INDEX contracts_by_provider ON contracts (run, provider, start_time);

-- confirmed 1, rejected 2, signed 3, switched 4, expired 5; the subject is the contract, of a rejection the offer.
CREATE TABLE contract_events (
    run bigint NOT NULL,
    time bigint NOT NULL,
    home integer NOT NULL,
    event smallint NOT NULL,
    subject integer NOT NULL,
    provider integer NOT NULL,
    message bytea NOT NULL,
    PRIMARY KEY (run, time, home, event, subject)
) {clustered};
CREATE INDEX contract_events_by_home ON contract_events (run, home, time);
CREATE INDEX contract_events_by_provider ON contract_events (run, provider, time);

CREATE TABLE contract_switches (
    run bigint NOT NULL,
    home integer NOT NULL,
    to_contract integer NOT NULL,
    time bigint NOT NULL,
    start_time bigint NOT NULL,
    from_contract integer NOT NULL,
    from_provider integer NOT NULL,
    to_provider integer NOT NULL,
    projected_savings bigint NOT NULL,
    switching_discount bigint NOT NULL,
    days_before_expiry bigint NOT NULL,
    reason smallint NOT NULL,
    PRIMARY KEY (run, home, to_contract)
) {clustered};
CREATE INDEX contract_switches_by_time ON contract_switches (run, time);

CREATE TABLE providers (
    run bigint NOT NULL,
    provider integer NOT NULL,
    provider_id {text} NOT NULL,
    region {text} NOT NULL,
    message bytea NOT NULL,
    PRIMARY KEY (run, provider)
) {clustered};
CREATE UNIQUE INDEX providers_by_id ON providers (run, provider_id);

CREATE TABLE offers (
    run bigint NOT NULL,
    offer integer NOT NULL,
    provider integer NOT NULL,
    valid_from bigint NOT NULL,
    valid_until bigint NOT NULL,
    message bytea NOT NULL,
    PRIMARY KEY (run, offer)
) {clustered};
CREATE INDEX offers_by_provider ON offers (run, provider, valid_from);

CREATE TABLE prices (
    run bigint NOT NULL,
    time bigint NOT NULL,
    day {text} NOT NULL,
    message bytea NOT NULL,
    PRIMARY KEY (run, time)
) {clustered};

CREATE TABLE region_balances (
    run bigint NOT NULL,
    region {text} NOT NULL,
    time bigint NOT NULL,
    message bytea NOT NULL,
    PRIMARY KEY (run, region, time)
) {clustered};

-- Messages that could not be stored, identified by their publisher's count; run 0 is unknown.
CREATE TABLE rejected (
    publisher bytea NOT NULL,
    epoch bigint NOT NULL,
    class smallint NOT NULL,
    sequence bigint NOT NULL,
    run bigint NOT NULL,
    topic text NOT NULL,
    reason text NOT NULL,
    payload bytea NOT NULL,
    PRIMARY KEY (publisher, epoch, class, sequence)
) {clustered};

-- How far a projection has come with each publisher; written with the rows.
CREATE TABLE projection_offsets (
    projection {text} NOT NULL,
    slot smallint NOT NULL,
    publisher bytea NOT NULL,
    epoch bigint NOT NULL,
    class smallint NOT NULL,
    sequence bigint NOT NULL,
    PRIMARY KEY (projection, slot, publisher, epoch, class)
) {clustered};

-- Latest state and totals of every region: energy from registers, money from trades.
CREATE VIEW regions AS
SELECT h.run, h.region, count(*) AS homes,
    CAST(coalesce(sum(s.production_w), 0) AS bigint) AS production_w,
    CAST(coalesce(sum(s.consumption_w), 0) AS bigint) AS consumption_w,
    CAST(coalesce(sum(s.grid_w), 0) AS bigint) AS grid_w,
    CAST(coalesce(sum(s.battery_w), 0) AS bigint) AS battery_w,
    CAST(coalesce(sum(s.production_wh), 0) AS bigint) AS production_wh,
    CAST(coalesce(sum(s.consumption_wh), 0) AS bigint) AS consumption_wh,
    CAST(coalesce(sum(s.import_wh), 0) AS bigint) AS import_wh,
    CAST(coalesce(sum(s.export_wh), 0) AS bigint) AS export_wh,
    CAST(coalesce(sum(m.cost), 0) AS bigint) AS cost,
    CAST(coalesce(sum(m.revenue), 0) AS bigint) AS revenue,
    CAST(coalesce(max(s.quarter), 0) AS bigint) AS quarter
FROM homes h
LEFT JOIN home_states s ON s.run = h.run AND s.home = h.home
LEFT JOIN (
    SELECT run, home, sum(cost) AS cost, sum(revenue) AS revenue FROM monthly GROUP BY run, home
) m ON m.run = h.run AND m.home = h.home
GROUP BY h.run, h.region;

-- The regions together.
CREATE VIEW system_totals AS
SELECT run, CAST(sum(homes) AS bigint) AS homes,
    CAST(sum(production_w) AS bigint) AS production_w, CAST(sum(consumption_w) AS bigint) AS consumption_w,
    CAST(sum(grid_w) AS bigint) AS grid_w, CAST(sum(battery_w) AS bigint) AS battery_w,
    CAST(sum(production_wh) AS bigint) AS production_wh, CAST(sum(consumption_wh) AS bigint) AS consumption_wh,
    CAST(sum(import_wh) AS bigint) AS import_wh, CAST(sum(export_wh) AS bigint) AS export_wh,
    CAST(sum(cost) AS bigint) AS cost, CAST(sum(revenue) AS bigint) AS revenue, max(quarter) AS quarter
FROM regions GROUP BY run;

-- Savings of a home in a local month: settled when positive.
CREATE VIEW savings AS
SELECT run, home, month, CAST(sum(saving) AS bigint) AS saving FROM monthly GROUP BY run, home, month;

-- Whose customer a home is at the newest tick: the contract that began last, or the spot tariff of its region.
CREATE VIEW customers AS
SELECT h.run, h.home, h.home_id, h.region,
    CASE WHEN c.contract IS NOT NULL THEN n.name ELSE h.home_id || '_spot' END AS contract_id,
    CASE WHEN c.contract IS NOT NULL THEN p.name
        WHEN h.region = 'antwerp' THEN 'ant_p01'
        WHEN h.region = 'brabant' THEN 'bra_p01'
        ELSE 'efl_p01' END AS provider_id,
    coalesce(c.end_time, 0) AS contract_end_time
FROM homes h
JOIN runs r ON r.run = h.run
LEFT JOIN contracts c ON c.run = h.run
    AND c.contract = (
        SELECT k.contract FROM contracts k
        WHERE k.run = h.run AND k.home = h.home AND k.start_time <= r.simulation_time
        ORDER BY k.start_time DESC, k.accepted_time DESC LIMIT 1)
    AND (c.end_time = 0 OR c.end_time > r.simulation_time)
LEFT JOIN names n ON n.id = c.contract
LEFT JOIN names p ON p.id = c.provider;

//! Both databases give the same answers, and the answers add up.

use cortexiq_domain::ledger::RUN;
use cortexiq_projections::fixtures::{Postgres, World, on, plans};
use cortexiq_projections::message::Message;
use cortexiq_projections::projector::Projector;
use cortexiq_projections::{Database, Store};
use cortexiq_proto::{
    ContractOffered, GetContractEventsRequest, GetHomeBillRequest, GetHomeHistoryRequest, GetHomeRequest,
    GetHomeTradesRequest, GetHomesByLocationRequest, GetHomesRequest, GetLocationsRequest, GetPricesRequest,
    GetProviderRequest, GetProvidersRequest, GetSavingsHistoryRequest, HomeConnected, HomeSummary,
    Resolution, SearchHomesRequest,
};
use cortexiq_queries::{Answers, QueryError};
use macula_sdk::{CallFailure, Code};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_databases_give_the_same_answers() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Postgres::start().expect("a server");
    // Four days of January and twelve of February: one month is over.
    let world = World::new(16, 5);
    let file = Database::Sqlite(directory.path().join("world.db"));
    let served = server.database().await.expect("a database");
    let (sqlite, postgres) = (answers(&world, &file).await, answers(&world, &served).await);
    let told = story(&world, &sqlite).await;
    let again = story(&world, &postgres).await;
    assert_eq!(told, again);
    // Whatever was asked by now reads no year. What PostgreSQL sums is planned anew each time, by the size that tables have then.
    no_year_is_read(&served, &plans::asked()).await;
    no_year_is_read(&file, &[plans::asked(), plans::sums()].concat()).await;
}

async fn no_year_is_read(database: &Database, statements: &[String]) {
    assert!(statements.len() > 30, "{} statements", statements.len());
    for sql in statements {
        let long = plans::long_reads(database, sql).await.expect("a plan");
        assert!(long.is_empty(), "{}: {long:#?} of {sql}", database.shown());
    }
}

#[tokio::test]
async fn before_anything_has_run_lists_are_empty() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = Database::Sqlite(directory.path().join("empty.db"));
    let missing = Answers::new(cortexiq_projections::Reader::new(&database));
    let failure = CallFailure::from(missing.get_overview().await.expect_err("there is no file"));
    assert_eq!(failure.code, Code::Unavailable);
    let store = Store::open(&database).await.expect("opens");
    let answers = Answers::new(store.reader().clone());
    assert_eq!(answers.get_homes(&GetHomesRequest::default()).await.expect("read").total, 0);
    assert_eq!(answers.get_regions().await.expect("read").regions, []);
    assert!(answers.get_overview().await.expect("read").totals.is_some());
    let savings = answers.get_savings_history(&GetSavingsHistoryRequest::default()).await.expect("read");
    assert_eq!(savings.points, []);
    assert_eq!(answers.get_prices(&GetPricesRequest::default()).await.expect("read").days, []);
}

#[tokio::test]
async fn bad_arguments_name_their_field() {
    let directory = tempfile::tempdir().expect("a directory");
    let world = World::new(1, 1);
    let answers = answers(&world, &Database::Sqlite(directory.path().join("world.db"))).await;
    let code = |error: QueryError| {
        let failure = CallFailure::from(error);
        (failure.code, failure.message.split(':').next().unwrap_or_default().to_owned())
    };
    let argument = |field: &str| (Code::InvalidArgument, field.to_owned());
    let homes =
        |page_size, region: &str| GetHomesRequest { page_size, region: region.into(), ..Default::default() };
    assert_eq!(code(answers.get_homes(&homes(101, "")).await.expect_err("wrong")), argument("page_size"));
    assert_eq!(code(answers.get_homes(&homes(0, "namur")).await.expect_err("wrong")), argument("region"));
    let one = SearchHomesRequest { query: "a".into(), ..Default::default() };
    assert_eq!(code(answers.search_homes(&one).await.expect_err("wrong")), argument("query"));
    assert_eq!(
        code(answers.get_home(&GetHomeRequest::default()).await.expect_err("wrong")),
        argument("home_id")
    );
    let bill = GetHomeBillRequest { home_id: "ant_001".into(), month: "January".into() };
    assert_eq!(code(answers.get_home_bill(&bill).await.expect_err("wrong")), argument("month"));
    let history = |from_time, until_time, cursor: &str| GetHomeHistoryRequest {
        home_id: "ant_001".into(),
        from_time,
        until_time,
        cursor: cursor.into(),
        ..Default::default()
    };
    let wrong =
        [(-5, 0, "", "from_time"), (2_000_000_000, 1_900_000_000, "", "until_time"), (0, 0, "x", "cursor")];
    for (from, until, cursor, field) in wrong {
        let error = answers.get_home_history(&history(from, until, cursor)).await.expect_err("wrong");
        assert_eq!(code(error), argument(field));
    }
    for cursor in ["1", "1.2.3.x", "1.99999999999.1.1"] {
        let events = GetContractEventsRequest { cursor: cursor.into(), ..Default::default() };
        assert_eq!(code(answers.get_contract_events(&events).await.expect_err("wrong")), argument("cursor"));
    }
    let unknown = GetHomeRequest { home_id: "ant_999".into() };
    let failure = CallFailure::from(answers.get_home(&unknown).await.expect_err("no such home"));
    assert_eq!((failure.code, failure.message.as_str()), (Code::NotFound, "there is no home \"ant_999\""));
    let unknown = GetProviderRequest { provider_id: "ant_p99".into() };
    let failure = CallFailure::from(answers.get_provider(&unknown).await.expect_err("no such provider"));
    assert_eq!(failure.code, Code::NotFound);
}

async fn answers(world: &World, database: &Database) -> Answers {
    let store = Store::open(database).await.expect("opens");
    world.fill(&store).await;
    let mut projector = Projector::default();
    let mut say = |(topic, payload): (&str, Vec<u8>)| {
        projector.apply(Message::decode(topic, &payload).expect("a right message"), &payload);
    };
    let connected = HomeConnected {
        run: RUN,
        time: world.plan.start_time,
        home_id: "ant_001".into(),
        ..Default::default()
    };
    say(on(&cortexiq_domain::topics::HOME_CONNECTED, &connected));
    for (offer_id, valid_from) in [("old", world.plan.start_time), ("next", world.plan.end_time + 86_400)] {
        let offer = ContractOffered {
            run: RUN,
            offer_id: offer_id.into(),
            provider_id: "bra_p02".into(),
            valid_from,
            ..Default::default()
        };
        say(on(&cortexiq_domain::topics::CONTRACT_OFFERED, &offer));
    }
    store.write(projector.take().into()).await.expect("written");
    Answers::new(store.reader().clone())
}

/// Asks everything, checks what adds up, and tells all of it.
async fn story(world: &World, answers: &Answers) -> Vec<String> {
    let mut told = Vec::new();
    let total = world.ledger.totals.total();
    let overview = answers.get_overview().await.expect("read");
    let totals = overview.totals.expect("totals");
    assert_eq!((totals.production_wh, totals.import_wh), (total.production_wh, total.import_wh));
    assert_eq!((totals.cost, totals.revenue), (total.cost, total.revenue));
    assert_eq!((totals.homes, totals.connected_homes, totals.providers), (15, 1, 9));
    told.push(format!("{overview:?}"));
    told.push(format!("{:?}", answers.get_regions().await.expect("read")));

    let homes = all_homes(answers).await;
    assert_eq!(homes.len(), 15);
    assert_eq!(homes.iter().map(|home| home.cost).sum::<i64>(), total.cost);
    assert_eq!(homes.iter().map(|home| home.savings).sum::<i64>(), totals.savings);
    told.push(format!("{homes:?}"));
    let ant_001 = answers.get_home(&GetHomeRequest { home_id: "ant_001".into() }).await.expect("a home");
    assert!(ant_001.connected);
    let identity = ant_001.home.clone().expect("an identity");
    for query in [&identity.meter_ean, &identity.city.to_uppercase(), "ANT_001"] {
        let search = SearchHomesRequest { query: query.to_owned(), ..Default::default() };
        let found = answers.search_homes(&search).await.expect("read");
        assert!(found.homes.contains(&ant_001), "{query}");
        told.push(format!("{found:?}"));
    }
    let nobody = SearchHomesRequest { query: "%_".into(), ..Default::default() };
    assert_eq!(answers.search_homes(&nobody).await.expect("read").total, 0);
    let there = GetHomesByLocationRequest { city: identity.city.clone(), ..Default::default() };
    assert!(answers.get_homes_by_location(&there).await.expect("read").homes.contains(&ant_001));
    let places = GetLocationsRequest { page_size: 100, ..Default::default() };
    let places = answers.get_locations(&places).await.expect("read");
    assert_eq!(places.locations.iter().map(|place| place.homes).sum::<u32>(), 15);
    assert_eq!(places.total as usize, places.locations.len());
    told.push(format!(
        "{:?}",
        places.locations.iter().map(|place| (&place.city, place.grid_w)).collect::<Vec<_>>()
    ));

    for resolution in [Resolution::QuarterHour, Resolution::Hour, Resolution::Day, Resolution::Month] {
        told.push(history(answers, &ant_001, resolution, world).await);
    }
    told.push(trades(answers, &ant_001).await);
    for month in ["2025-01", "2025-02"] {
        let bill = GetHomeBillRequest { home_id: "ant_001".into(), month: month.into() };
        let bill = answers.get_home_bill(&bill).await.expect("read");
        assert_eq!(bill.r#final, month == "2025-01");
        assert!(bill.lines.iter().any(|line| line.fee > 0) && bill.month_peak_w > 0, "{bill:?}");
        told.push(format!("{bill:?}"));
    }

    let providers = GetProvidersRequest { page_size: 4, ..Default::default() };
    let first = answers.get_providers(&providers).await.expect("read");
    let rest =
        GetProvidersRequest { cursor: first.next_cursor.clone(), page_size: 100, ..Default::default() };
    let rest = answers.get_providers(&rest).await.expect("read");
    let all: Vec<_> = first.providers.iter().chain(&rest.providers).collect();
    assert_eq!((all.len(), first.total), (9, 9));
    assert_eq!(all.iter().map(|one| one.customers).sum::<u32>(), 15);
    assert_eq!(all.iter().map(|one| one.revenue).sum::<i64>(), total.cost);
    assert!(all.is_sorted_by(|left, right| left.customers >= right.customers));
    told.push(format!("{all:?}"));
    let mut customers = 0;
    for one in &all {
        let provider_id = one.provider.clone().expect("an identity").provider_id;
        let detail = answers.get_provider(&GetProviderRequest { provider_id }).await.expect("read");
        customers += detail.customers[0].customers;
        told.push(format!("{detail:?}"));
    }
    assert_eq!(customers, 15, "at the end of a day every home is somebody's customer");
    let bra_p02 = GetProviderRequest { provider_id: "bra_p02".into() };
    let bra_p02 = answers.get_provider(&bra_p02).await.expect("read");
    assert_eq!(bra_p02.offers.len(), 2);
    assert_eq!(
        bra_p02.summary.and_then(|summary| summary.offer).map(|offer| offer.offer_id),
        Some("old".into())
    );

    told.push(events(world, answers).await);
    let savings = answers.get_savings_history(&GetSavingsHistoryRequest::default()).await.expect("read");
    assert_eq!(savings.points[0].month, "2025-01");
    assert_eq!(savings.points[0].savings, totals.savings);
    told.push(format!("{savings:?}"));
    let prices = GetPricesRequest { page_size: 100, ..Default::default() };
    assert_eq!(answers.get_prices(&prices).await.expect("read").days, world.ledger.prices);
    told
}

async fn all_homes(answers: &Answers) -> Vec<HomeSummary> {
    let mut homes = Vec::new();
    let mut request = GetHomesRequest { page_size: 4, ..Default::default() };
    loop {
        let page = answers.get_homes(&request).await.expect("read");
        assert_eq!(page.total, 15);
        homes.extend(page.homes);
        if page.next_cursor.is_empty() {
            return homes;
        }
        request.cursor = page.next_cursor;
    }
}

async fn history(answers: &Answers, home: &HomeSummary, resolution: Resolution, world: &World) -> String {
    let mut request = GetHomeHistoryRequest {
        home_id: "ant_001".into(),
        resolution: resolution.into(),
        page_size: 100,
        until_time: world.plan.end_time,
        ..Default::default()
    };
    let mut points = Vec::new();
    loop {
        let page = answers.get_home_history(&request).await.expect("read");
        points.extend(page.points);
        if page.next_cursor.is_empty() {
            break;
        }
        request.cursor = page.next_cursor;
    }
    let latest = home.latest.as_ref().expect("measured");
    assert_eq!(points.iter().map(|point| point.production_wh).sum::<u64>(), latest.production_wh);
    assert_eq!(points.iter().map(|point| point.quarter_hours).sum::<u32>(), 16 * 96);
    let steps = match resolution {
        Resolution::Hour => 16 * 24,
        Resolution::Day => 16,
        Resolution::Month => 2,
        _ => 16 * 96,
    };
    assert_eq!(points.len(), steps);
    format!("{points:?}")
}

async fn trades(answers: &Answers, home: &HomeSummary) -> String {
    let mut request =
        GetHomeTradesRequest { home_id: "ant_001".into(), page_size: 100, ..Default::default() };
    let mut trades = Vec::new();
    loop {
        let page = answers.get_home_trades(&request).await.expect("read");
        trades.extend(page.trades);
        if page.next_cursor.is_empty() {
            break;
        }
        request.cursor = page.next_cursor;
    }
    assert_eq!(trades.len(), 16 * 24);
    assert_eq!(trades.iter().map(|trade| trade.cost).sum::<i64>(), home.cost);
    format!("{trades:?}")
}

async fn events(world: &World, answers: &Answers) -> String {
    let mut request = GetContractEventsRequest { page_size: 7, ..Default::default() };
    let mut events = Vec::new();
    loop {
        let page = answers.get_contract_events(&request).await.expect("read");
        events.extend(page.events);
        if page.next_cursor.is_empty() {
            break;
        }
        request.cursor = page.next_cursor;
    }
    assert!(events.is_sorted_by(|left, right| left.time >= right.time));
    let confirmed = events.iter().filter(|event| event.event == "confirmed").count();
    assert_eq!(confirmed, world.ledger.contracts);
    let ours = GetContractEventsRequest { home_id: "ant_001".into(), ..Default::default() };
    let ours = answers.get_contract_events(&ours).await.expect("read");
    assert_eq!(ours.events.len(), events.iter().filter(|event| event.home_id == "ant_001").count());
    // The order within an instant follows the keys that a database gave.
    events.sort_by_key(|event| {
        (event.time, event.home_id.clone(), event.event.clone(), event.contract_id.clone())
    });
    format!("{events:?}")
}

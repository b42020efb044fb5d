//! How long answers take: every query of the market, asked over the mesh of a year that has been stored.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use cortexiq_domain::topics::{self, Procedure};
use cortexiq_proto::{
    GetContractEventsRequest, GetHomeBillRequest, GetHomeHistoryRequest, GetHomeRequest,
    GetHomeTradesRequest, GetHomesByLocationRequest, GetHomesRequest, GetLocationsRequest,
    GetOverviewRequest, GetPricesRequest, GetProviderRequest, GetProvidersRequest, GetRegionsRequest,
    GetSavingsHistoryRequest, Payload, Resolution, SearchHomesRequest,
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use hdrhistogram::Histogram;
use macula_sdk::Client;
use serde::Serialize;

/// A question, and how long its answers took, in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Answered {
    question: String,
    calls: u64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// Bytes of the largest answer.
    largest: usize,
}

impl Answered {
    pub(crate) fn line(&self) -> String {
        let Self { question, calls, p50_ms, p99_ms, max_ms, largest } = self;
        format!("{question:<44} {calls:>5} {p50_ms:>8.2} {p99_ms:>8.2} {max_ms:>8.2} {largest:>8}\n")
    }

    pub(crate) const HEAD: &str =
        "question                                     calls   p50 ms   p99 ms   max ms   bytes\n";
}

/// Asks every query so many times, one after the other, each time of another home, provider or day.
///
/// Then many pages of homes at once; how many of them are answered in a second comes with the rest.
pub(crate) async fn ask(url: &str, start: i64, end: i64) -> anyhow::Result<(Vec<Answered>, f64)> {
    let client = Client::connect(url).await?;
    let mut questions = Questions { client, answered: Vec::new() };
    let known = questions.known().await?;
    let home_id = |call: usize| known.homes[call * 7 % known.homes.len()].clone();
    let days = ((end - start) / DAY).max(1) as usize;
    let day = |call: usize| start + (call * 13 % days) as i64 * DAY;

    questions.time("get_overview", &topics::GET_OVERVIEW, |_| GetOverviewRequest {}).await?;
    questions.time("get_regions", &topics::GET_REGIONS, |_| GetRegionsRequest {}).await?;
    questions
        .time("get_homes, pages of 50", &topics::GET_HOMES, |call| {
            let cursor = known.cursors[call % known.cursors.len()].clone();
            GetHomesRequest { cursor, ..Default::default() }
        })
        .await?;
    questions
        .time("get_homes of a provider", &topics::GET_HOMES, |call| {
            let provider_id = known.providers[call % known.providers.len()].clone();
            GetHomesRequest { provider_id, ..Default::default() }
        })
        .await?;
    questions.time("get_home", &topics::GET_HOME, |call| GetHomeRequest { home_id: home_id(call) }).await?;
    let histories = [
        ("a day by quarter-hours", Resolution::QuarterHour, 1, 96),
        ("a week by hours", Resolution::Hour, 7, 100),
        ("a month by days", Resolution::Day, 30, 31),
        ("a year by days, first page", Resolution::Day, i64::MAX, 100),
        ("a year by months", Resolution::Month, i64::MAX, 12),
    ];
    for (length, resolution, days, page_size) in histories {
        let name = format!("get_home_history, {length}");
        questions
            .time(&name, &topics::GET_HOME_HISTORY, |call| {
                let from = if days == i64::MAX { start } else { day(call) };
                GetHomeHistoryRequest {
                    home_id: home_id(call),
                    from_time: from,
                    until_time: end.min(from.saturating_add(days.saturating_mul(DAY))),
                    resolution: resolution.into(),
                    page_size,
                    ..Default::default()
                }
            })
            .await?;
    }
    questions
        .time("get_home_trades, page of 50", &topics::GET_HOME_TRADES, |call| GetHomeTradesRequest {
            home_id: home_id(call),
            from_time: day(call),
            ..Default::default()
        })
        .await?;
    questions
        .time("get_home_bill", &topics::GET_HOME_BILL, |call| GetHomeBillRequest {
            home_id: home_id(call),
            month: known.months[call % known.months.len()].clone(),
        })
        .await?;
    questions
        .time("search_homes", &topics::SEARCH_HOMES, |call| SearchHomesRequest {
            query: home_id(call).get(..5).unwrap_or_default().to_owned(),
            ..Default::default()
        })
        .await?;
    questions.time("get_locations", &topics::GET_LOCATIONS, |_| GetLocationsRequest::default()).await?;
    questions
        .time("get_homes_by_location", &topics::GET_HOMES_BY_LOCATION, |call| GetHomesByLocationRequest {
            city: known.cities[call % known.cities.len()].clone(),
            ..Default::default()
        })
        .await?;
    questions.time("get_providers", &topics::GET_PROVIDERS, |_| GetProvidersRequest::default()).await?;
    questions
        .time("get_provider", &topics::GET_PROVIDER, |call| GetProviderRequest {
            provider_id: known.providers[call % known.providers.len()].clone(),
        })
        .await?;
    questions
        .time("get_contract_events, of a home", &topics::GET_CONTRACT_EVENTS, |call| {
            GetContractEventsRequest { home_id: home_id(call), ..Default::default() }
        })
        .await?;
    questions
        .time("get_contract_events, of all", &topics::GET_CONTRACT_EVENTS, |_| {
            GetContractEventsRequest::default()
        })
        .await?;
    questions
        .time("get_savings_history, of a home", &topics::GET_SAVINGS_HISTORY, |call| {
            GetSavingsHistoryRequest { home_id: home_id(call), ..Default::default() }
        })
        .await?;
    questions
        .time("get_savings_history, of all", &topics::GET_SAVINGS_HISTORY, |_| {
            GetSavingsHistoryRequest::default()
        })
        .await?;
    questions
        .time("get_prices, a week", &topics::GET_PRICES, |call| GetPricesRequest {
            from_time: day(call),
            until_time: day(call) + 7 * DAY,
            ..Default::default()
        })
        .await?;
    let per_s = questions.many(&known).await?;
    questions.client.close().await?;
    Ok((questions.answered, per_s))
}

struct Questions {
    client: Client,
    answered: Vec<Answered>,
}

/// What can be asked about.
struct Known {
    homes: Vec<String>,
    /// Where pages of homes begin.
    cursors: Vec<String>,
    providers: Vec<String>,
    cities: Vec<String>,
    months: Vec<String>,
}

impl Questions {
    async fn known(&self) -> anyhow::Result<Known> {
        let (mut homes, mut cursors) = (Vec::new(), vec![String::new()]);
        loop {
            let cursor = cursors.last().cloned().unwrap_or_default();
            let request = GetHomesRequest { page_size: 100, cursor, ..Default::default() };
            let page = self.call(&topics::GET_HOMES, &request).await?.0;
            homes.extend(page.homes.into_iter().filter_map(|summary| Some(summary.home?.home_id)));
            if page.next_cursor.is_empty() {
                break;
            }
            cursors.push(page.next_cursor);
        }
        let providers = self.call(&topics::GET_PROVIDERS, &GetProvidersRequest::default()).await?.0.providers;
        let providers: Vec<_> =
            providers.into_iter().filter_map(|summary| Some(summary.provider?.provider_id)).collect();
        let locations = self.call(&topics::GET_LOCATIONS, &GetLocationsRequest::default()).await?.0.locations;
        let cities: Vec<_> = locations.into_iter().map(|location| location.city).collect();
        let savings = self.call(&topics::GET_SAVINGS_HISTORY, &GetSavingsHistoryRequest::default()).await?.0;
        let months: Vec<_> = savings.points.into_iter().map(|point| point.month).collect();
        ensure!(
            !homes.is_empty() && !providers.is_empty() && !cities.is_empty() && !months.is_empty(),
            "nothing was stored that could be asked about"
        );
        Ok(Known { homes, cursors, providers, cities, months })
    }

    async fn time<Req: Payload, Res: Payload>(
        &mut self,
        question: &str,
        procedure: &Procedure<Req, Res>,
        request: impl Fn(usize) -> Req,
    ) -> anyhow::Result<()> {
        let mut times = Histogram::<u64>::new(3)?;
        let mut largest = 0;
        let begun = Instant::now();
        for call in 0..CALLS {
            let asked = Instant::now();
            let (_, size) = self.call(procedure, &request(call)).await?;
            times.record(asked.elapsed().as_micros() as u64)?;
            largest = largest.max(size);
            if begun.elapsed() > LONGEST {
                break;
            }
        }
        let at = |quantile| times.value_at_quantile(quantile) as f64 / 1000.0;
        self.answered.push(Answered {
            question: question.to_owned(),
            calls: times.len(),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            max_ms: times.max() as f64 / 1000.0,
            largest,
        });
        Ok(())
    }

    /// How many pages of homes are answered in a second when [`AT_ONCE`] are asked for all the time.
    async fn many(&self, known: &Known) -> anyhow::Result<f64> {
        let begun = Instant::now();
        let asked = stream::iter(0..MANY).map(|call| {
            let cursor = known.cursors[call % known.cursors.len()].clone();
            let request = GetHomesRequest { cursor, ..Default::default() };
            async move { self.call(&topics::GET_HOMES, &request).await.map(|_| ()) }
        });
        let () = asked.buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(MANY as f64 / begun.elapsed().as_secs_f64())
    }

    async fn call<Req: Payload, Res: Payload>(
        &self,
        procedure: &Procedure<Req, Res>,
        request: &Req,
    ) -> anyhow::Result<(Res, usize)> {
        let call = self.client.call(&*procedure.name, request.encode_to_vec());
        let reply = call.content_type(procedure.request_type()).timeout(PATIENCE).await;
        let reply = reply.with_context(|| format!("{}", procedure.name))?;
        Ok((Res::decode(&reply.payload()[..])?, reply.payload().len()))
    }
}

/// Calls of each question.
const CALLS: usize = 300;
/// Questions when many are asked at once, and how many of them at a time.
const MANY: usize = 2_000;
const AT_ONCE: usize = 32;
/// Longest time for one question, all its calls together.
const LONGEST: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(30);
const DAY: i64 = 86_400;

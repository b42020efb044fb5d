//! The queries on the mesh: every procedure offered, several processes side by side.

use std::sync::Arc;
use std::time::Duration;

use cortexiq_domain::topics::{self, Procedure};
use cortexiq_projections::Reader;
use cortexiq_proto::Payload;
use cortexiq_shell::{Feeds, RunError, close, topic};
use futures_util::future::try_join_all;
use macula_sdk::{CallFailure, CallPolicy, Client, Code, Pattern, Registration, Reply, Request};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::answers::Answers;
use crate::config::Config;
use crate::error::QueryError;
use crate::gauges::Gauges;

/// Queries that are offered.
#[derive(Debug)]
pub struct Queries {
    client: Client,
    feeds: Feeds<cortexiq_proto::TotalsCalculated>,
    totals: tokio::sync::mpsc::Receiver<cortexiq_proto::TotalsCalculated>,
    answers: Answers,
    _registrations: Vec<Registration>,
    _admin: Option<AbortOnDropHandle<()>>,
}

/// Answers questions until told to stop.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), RunError> {
    let queries = tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        started = Queries::start(config) => started?,
    };
    queries.run(shutdown).await
}

impl Queries {
    /// Connects and offers every procedure; when this resolves the whole mesh knows. The database is connected to when it
    /// is first asked, and again whenever it has gone: until then questions are answered `UNAVAILABLE`.
    pub async fn start(config: Config) -> Result<Self, RunError> {
        let gauges = Arc::new(Gauges::default());
        let admin = config.admin.serve(Arc::clone(&gauges)).await?;
        let answers = Answers::new(Reader::new(&config.database));
        let client = config.mesh.connect("cortex-iq-queries").await?;
        let (mut feeds, totals) = Feeds::new(&client);
        feeds.subscribe(&topics::TOTALS_CALCULATED, |totals| totals).await?;
        let registrations = offer_all(&client, &answers, &gauges).await?;
        gauges.presence.joined(&client);
        tracing::info!(database = config.database.shown(), "answering");
        Ok(Self { client, feeds, totals, answers, _registrations: registrations, _admin: admin })
    }

    /// Answers until told to stop.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), RunError> {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(totals) = self.totals.recv() => self.answers.on_totals(totals),
                ended = self.feeds.ended() => return Err(ended),
            }
        }
        close(&self.client).await;
        Ok(())
    }
}

async fn offer_all(
    client: &Client,
    answers: &Answers,
    gauges: &Arc<Gauges>,
) -> Result<Vec<Registration>, RunError> {
    macro_rules! offers {
        ($($procedure:ident => |$answers:ident, $request:pat_param| $answer:expr;)*) => {
            vec![$(
                Box::pin(offer(client, topics::$procedure, (answers.clone(), Arc::clone(gauges)), async |$answers: Answers, $request| $answer))
                    as std::pin::Pin<Box<dyn Future<Output = Result<Registration, RunError>> + Send>>,
            )*]
        };
    }
    let offers = offers! {
        GET_OVERVIEW => |answers, _| answers.get_overview().await;
        GET_HOMES => |answers, request| answers.get_homes(&request).await;
        GET_HOME => |answers, request| answers.get_home(&request).await;
        GET_HOME_HISTORY => |answers, request| answers.get_home_history(&request).await;
        GET_HOME_TRADES => |answers, request| answers.get_home_trades(&request).await;
        GET_HOME_BILL => |answers, request| answers.get_home_bill(&request).await;
        SEARCH_HOMES => |answers, request| answers.search_homes(&request).await;
        GET_LOCATIONS => |answers, request| answers.get_locations(&request).await;
        GET_HOMES_BY_LOCATION => |answers, request| answers.get_homes_by_location(&request).await;
        GET_PROVIDERS => |answers, request| answers.get_providers(&request).await;
        GET_PROVIDER => |answers, request| answers.get_provider(&request).await;
        GET_CONTRACT_EVENTS => |answers, request| answers.get_contract_events(&request).await;
        GET_SAVINGS_HISTORY => |answers, request| answers.get_savings_history(&request).await;
        GET_REGIONS => |answers, _| answers.get_regions().await;
        GET_PRICES => |answers, request| answers.get_prices(&request).await;
    };
    try_join_all(offers).await
}

async fn offer<Req, Res, F>(
    client: &Client,
    procedure: Procedure<Req, Res>,
    (answers, gauges): (Answers, Arc<Gauges>),
    answer: impl Fn(Answers, Req) -> F + Clone + Send + Sync + 'static,
) -> Result<Registration, RunError>
where
    Req: Payload,
    Res: Payload,
    F: Future<Output = Result<Res, QueryError>> + Send + 'static,
{
    let result_type = procedure.result_type();
    let pattern = Pattern::from(topic(&procedure.name));
    let handler = move |request: Request| {
        let (answers, answer, gauges) = (answers.clone(), answer.clone(), Arc::clone(&gauges));
        async move {
            let answered = async {
                let argument: Req = request.decode()?;
                // Nobody waits for an answer past its deadline.
                let patience = request.timeout().min(LONGEST_ANSWER);
                let answered = tokio::time::timeout(patience, answer(answers, argument)).await;
                let late = |_| CallFailure::new(Code::DeadlineExceeded, "the read models took too long");
                let result = answered.map_err(late)??;
                Ok(Reply::new(result.encode_to_vec()).with_content_type(result_type))
            }
            .await;
            gauges.count(&answered);
            answered
        }
    };
    let register = client.register(pattern, handler).policy(CallPolicy::LeastLoaded).scope_mesh();
    Ok(register.await?)
}

/// A bound for callers that would wait for ever; a guess, far past any answer.
const LONGEST_ANSWER: Duration = Duration::from_secs(30);

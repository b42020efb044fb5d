//! The providers on the mesh.

use cortexiq_domain::topics;
use cortexiq_proto::accept_offer_result::Answer;
use cortexiq_proto::{
    AcceptOfferRequest, AcceptOfferResult, ContractConfirmed, ContractExpired, ContractOffered,
    ContractRejected, ContractSwitched, ContractsHeld, ProviderInitialized, SpotPriceUpdated, TimeAdvanced,
};
use cortexiq_shell::{Channel, Feeds, RunError, close, register, retained, topic};
use macula_sdk::{CallFailure, Client, Code, Registration, Reply};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::book::Book;
use crate::config::Config;

/// Connected providers that have not seen a tick.
#[derive(Debug)]
pub struct Utilities {
    config: Config,
    client: Client,
    feeds: Feeds<Heard>,
    heard: mpsc::Receiver<Heard>,
    ticks: watch::Receiver<Option<TimeAdvanced>>,
    voice: Voice,
    /// What the mesh remembers of a process before this one.
    remembered: Remembered,
    /// What came for a run that has not begun here.
    early: Vec<Heard>,
    _procedures: Vec<Registration>,
}

/// What the mesh remembers of providers that were there before, and of their customers.
#[derive(Debug, Default)]
struct Remembered {
    offers: Vec<ContractOffered>,
    confirmed: Vec<ContractConfirmed>,
    held: Vec<ContractsHeld>,
}

/// What comes from outside.
#[derive(Debug)]
enum Heard {
    Prices(SpotPriceUpdated),
    Switched(ContractSwitched),
    Expired(ContractExpired),
    Accepted {
        /// Which provider is meant.
        provider: usize,
        request: AcceptOfferRequest,
        answer: oneshot::Sender<Result<AcceptOfferResult, CallFailure>>,
    },
}

/// What providers say.
#[derive(Debug)]
struct Voice {
    initialized: Channel<ProviderInitialized>,
    offered: Channel<ContractOffered>,
    confirmed: Channel<ContractConfirmed>,
    rejected: Channel<ContractRejected>,
}

impl Utilities {
    /// Connects, listens to clock, market and homes, and lets homes everywhere accept offers.
    pub async fn start(config: Config) -> Result<Self, RunError> {
        let client = config.mesh.connect(&format!("cortex-iq-utilities {}", config.region)).await?;
        let (mut feeds, heard) = Feeds::new(&client);
        feeds.subscribe(&topics::SPOT_PRICE_UPDATED, Heard::Prices).await?;
        feeds.subscribe(&topics::CONTRACT_SWITCHED, Heard::Switched).await?;
        feeds.subscribe(&topics::CONTRACT_EXPIRED, Heard::Expired).await?;
        let ours = |id: &str| config.providers.iter().any(|provider| provider.id == id);
        let remembered = Remembered {
            offers: retained(&client, &topics::CONTRACT_OFFERED, |offer| ours(&offer.provider_id)).await?,
            confirmed: retained(&client, &topics::CONTRACT_CONFIRMED, |by| ours(&by.provider_id)).await?,
            held: retained(&client, &topics::CONTRACTS_HELD, |held| {
                held.contracts.iter().any(|contract| ours(&contract.provider_id))
            })
            .await?,
        };
        let mut procedures = Vec::new();
        for (index, provider) in config.providers.iter().enumerate() {
            procedures.push(serve(&client, &provider.id, index, feeds.sink()).await?);
        }
        let ticks = feeds.ticks().await?;
        let voice = Voice {
            initialized: Channel::new(&client, &topics::PROVIDER_INITIALIZED),
            offered: Channel::new(&client, &topics::CONTRACT_OFFERED),
            confirmed: Channel::new(&client, &topics::CONTRACT_CONFIRMED),
            rejected: Channel::new(&client, &topics::CONTRACT_REJECTED),
        };
        let (early, _procedures) = (Vec::new(), procedures);
        Ok(Self { config, client, feeds, heard, ticks, voice, remembered, early, _procedures })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Lets them trade until told to stop.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), RunError> {
        let result = tokio::select! {
            error = self.trade() => Err(error),
            () = shutdown.cancelled() => Ok(()),
        };
        close(&self.client).await;
        result
    }

    /// Ends only by an error.
    async fn trade(&mut self) -> RunError {
        let mut book = None;
        loop {
            let turn = tokio::select! {
                changed = self.ticks.changed() => match changed {
                    Ok(()) => self.look_at_clock(&mut book).await,
                    Err(_) => Err(RunError::Ended(topics::TIME_ADVANCED.topic.to_owned())),
                },
                Some(heard) = self.heard.recv() => self.hear(&mut book, heard).await,
                error = self.feeds.ended() => Err(error),
            };
            if let Err(error) = turn {
                return error;
            }
        }
    }

    /// Takes the newest tick; the first of a run begins it.
    async fn look_at_clock(&mut self, present: &mut Option<Book>) -> Result<(), RunError> {
        let Some(tick) = *self.ticks.borrow_and_update() else { return Ok(()) };
        if present.as_ref().is_none_or(|book| book.run() < tick.run) {
            let mut book = Book::new(&tick, &self.config.providers);
            let Remembered { offers, confirmed, held } = std::mem::take(&mut self.remembered);
            offers.iter().for_each(|offer| book.restore(offer));
            held.iter().for_each(|held| book.restore_held(held));
            confirmed.iter().for_each(|contract| book.restore_confirmed(contract));
            self.config.progress.begin();
            tracing::info!(run = tick.run, region = %self.config.region, "a run begins");
            for provider in book.introductions() {
                self.voice.initialized.send(&provider).await?;
            }
            *present = Some(book);
            for early in std::mem::take(&mut self.early) {
                self.hear(present, early).await?;
            }
        }
        if let Some(book) = present {
            book.on_time(tick.simulation_time);
            self.offer(book).await?;
        }
        Ok(())
    }

    async fn hear(&mut self, present: &mut Option<Book>, heard: Heard) -> Result<(), RunError> {
        let begun = present.as_mut().filter(|book| heard.run().is_none_or(|run| run <= book.run()));
        let Some(book) = begun else {
            self.keep_early(heard);
            return Ok(());
        };
        match heard {
            Heard::Prices(event) => {
                if let Err(error) = book.on_prices(&event) {
                    tracing::warn!(%error, "prices that cannot be used");
                }
                self.offer(book).await?;
            }
            Heard::Switched(event) => book.on_switched(&event),
            Heard::Expired(event) => book.on_expired(&event),
            Heard::Accepted { provider, request, answer } => {
                let result = self.accept(book, provider, &request).await?;
                // The caller may have gone; it will ask again.
                let _ = answer.send(result);
            }
        }
        Ok(())
    }

    async fn offer(&self, book: &mut Book) -> Result<(), RunError> {
        for offer in book.due() {
            self.voice.offered.send(&offer).await?;
            self.config.progress.offers(1);
        }
        self.config.progress.reached(book.lag(), book.customers());
        Ok(())
    }

    /// Everyone hears of an acceptance before the caller does, and once however often it is asked for.
    async fn accept(
        &self,
        book: &mut Book,
        provider: usize,
        request: &AcceptOfferRequest,
    ) -> Result<Result<AcceptOfferResult, CallFailure>, RunError> {
        let acceptance = match book.accept(provider, request) {
            Ok(acceptance) => acceptance,
            Err(early) => return Ok(Err(CallFailure::new(Code::Unavailable, early.to_string()))),
        };
        match &acceptance.result.answer {
            _ if acceptance.repeated => {}
            Some(Answer::Confirmed(contract)) => {
                self.voice.confirmed.send(contract).await?;
                self.config.progress.one_confirmed();
            }
            Some(Answer::Rejected(refusal)) => {
                tracing::debug!(home = refusal.home_id, detail = refusal.detail, "refused");
                self.voice.rejected.send(refusal).await?;
                self.config.progress.one_rejected();
            }
            None => {}
        }
        Ok(Ok(acceptance.result))
    }

    /// A call is answered at once; events wait for their run.
    fn keep_early(&mut self, heard: Heard) {
        match heard {
            Heard::Accepted { answer, .. } => {
                let _ = answer.send(Err(CallFailure::new(Code::Unavailable, "that run has not begun here")));
            }
            event if self.early.len() < MOST_EARLY => self.early.push(event),
            _ => {}
        }
    }
}

impl Heard {
    /// None where the book itself looks at the run.
    fn run(&self) -> Option<u64> {
        match self {
            Self::Prices(event) => Some(event.run),
            Self::Switched(event) => Some(event.run),
            Self::Expired(event) => Some(event.run),
            Self::Accepted { .. } => None,
        }
    }
}

/// Offers a provider's procedure, whose calls go into the queue.
async fn serve(
    client: &Client,
    provider_id: &str,
    provider: usize,
    sink: mpsc::Sender<Heard>,
) -> Result<Registration, RunError> {
    let procedure = topics::accept_offer(provider_id);
    register(client, &topic(&procedure.name), move |call| {
        let sink = sink.clone();
        async move {
            let (answer, result) = oneshot::channel();
            let stopping = || CallFailure::new(Code::Unavailable, "the provider stops");
            let request = call.decode()?;
            let heard = Heard::Accepted { provider, request, answer };
            sink.send(heard).await.map_err(|_| stopping())?;
            let result = result.await.map_err(|_| stopping())??;
            Ok(Reply::typed(&result))
        }
    })
    .await
}

/// Prices of a run whose first tick is on its way; providers that join late get a year of them as retained values.
const MOST_EARLY: usize = 4096;

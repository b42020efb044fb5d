//! Every topic and procedure of the application, once, with the type of its payload.
//!
//! Ids are in the payload and in the message key, never in the topic; only a provider's own procedure carries its id.

use std::borrow::Cow;
use std::marker::PhantomData;

use cortexiq_proto as proto;
use cortexiq_proto::Payload;

/// How the mesh treats messages of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// At least once, with acknowledgement.
    Event,
    /// At most once; a newer value replaces an older one.
    Telemetry,
}

/// A topic with the type of its payloads.
#[derive(Debug)]
pub struct Subject<T> {
    /// The topic's name.
    pub topic: &'static str,
    /// How it is delivered.
    pub class: Class,
    /// Whether the mesh keeps the newest message of every key.
    pub retained: bool,
    key: fn(&T) -> &str,
}

impl<T: Payload> Subject<T> {
    /// The record key of a message on this topic: its home, provider, region or day. Empty when the topic has none.
    pub fn key<'a>(&self, payload: &'a T) -> &'a str {
        (self.key)(payload)
    }

    /// The content type of the payloads.
    pub const fn content_type(&self) -> &'static str {
        T::CONTENT_TYPE
    }
}

/// A procedure with the types of its argument and result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Procedure<Req, Res> {
    /// The procedure's name.
    pub name: Cow<'static, str>,
    types: PhantomData<fn(Req) -> Res>,
}

impl<Req: Payload, Res: Payload> Procedure<Req, Res> {
    const fn fixed(name: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), types: PhantomData }
    }

    /// The content type of the argument.
    pub const fn request_type(&self) -> &'static str {
        Req::CONTENT_TYPE
    }

    /// The content type of the result.
    pub const fn result_type(&self) -> &'static str {
        Res::CONTENT_TYPE
    }
}

/// Everything the application says: what projections subscribe to.
pub const EVERYTHING: &str = "be.cortexiq.#";
/// Every event of every home.
pub const EVERY_HOME: &str = "be.cortexiq.home.*";
/// Every event of every provider.
pub const EVERY_PROVIDER: &str = "be.cortexiq.provider.*";

macro_rules! subjects {
    ($($(#[$doc:meta])* $name:ident: $payload:ident = $topic:literal, $class:ident $retained:ident, $key:expr;)*) => {
        $(
            $(#[$doc])*
            pub const $name: Subject<proto::$payload> = Subject {
                topic: $topic,
                class: Class::$class,
                retained: subjects!(@ $retained),
                key: $key,
            };
        )*

        /// Topic, class, retained and content type of every subject.
        pub const ALL: &[(&str, Class, bool, &str)] =
            &[$(($name.topic, $name.class, $name.retained, proto::$payload::CONTENT_TYPE)),*];
    };
    (@ retained) => { true };
    (@ passing) => { false };
}

subjects! {
    /// The clock's tick.
    TIME_ADVANCED: TimeAdvanced = "be.cortexiq.simulation.time_advanced", Telemetry retained, |_| "";
    /// Control changed the clock.
    STATE_CHANGED: SimulationStateChanged = "be.cortexiq.simulation.state_changed", Event passing, |_| "";
    /// A new run begins. The procedure of the same name asks for it.
    RESET: SimulationReset = "be.cortexiq.simulation.reset", Event passing, |_| "";
    /// A home says who it is.
    HOME_INITIALIZED: HomeInitialized = "be.cortexiq.home.initialized", Event retained, |m| &m.home_id;
    /// A home is there.
    HOME_CONNECTED: HomeConnected = "be.cortexiq.home.connected", Event passing, |m| &m.home_id;
    /// A home is gone.
    HOME_DISCONNECTED: HomeDisconnected = "be.cortexiq.home.disconnected", Event passing, |m| &m.home_id;
    /// A quarter-hour of a home.
    HOME_MEASURED: HomeMeasured = "be.cortexiq.home.measured", Telemetry retained, |m| &m.home_id;
    /// An hour of a home in money.
    HOME_TRADED: HomeTraded = "be.cortexiq.home.traded", Event passing, |m| &m.home_id;
    /// Where a restarted home goes on.
    HOME_CHECKPOINTED: HomeCheckpointed = "be.cortexiq.home.checkpointed", Event retained, |m| &m.home_id;
    /// A home's first contract.
    CONTRACT_SIGNED: ContractSigned = "be.cortexiq.home.contract.signed", Event passing, |m| &m.home_id;
    /// A home leaves one contract for another.
    CONTRACT_SWITCHED: ContractSwitched = "be.cortexiq.home.contract.switched", Event passing, |m| &m.home_id;
    /// A contract ran out.
    CONTRACT_EXPIRED: ContractExpired = "be.cortexiq.home.contract.expired", Event passing, |m| &m.home_id;
    /// What a home has decided.
    CONTRACTS_HELD: ContractsHeld = "be.cortexiq.home.contract.held", Event retained, |m| &m.home_id;
    /// A region's day.
    REGION_BALANCED: RegionBalanced = "be.cortexiq.region.balanced", Event retained, |m| &m.region;
    /// A provider says who it is.
    PROVIDER_INITIALIZED: ProviderInitialized = "be.cortexiq.provider.initialized", Event retained, |m| &m.provider_id;
    /// A provider's offer for the days to come.
    CONTRACT_OFFERED: ContractOffered = "be.cortexiq.provider.contract.offered", Event retained, |m| &m.provider_id;
    /// A provider accepts a customer.
    CONTRACT_CONFIRMED: ContractConfirmed = "be.cortexiq.provider.contract.confirmed", Event retained, |m| &m.home_id;
    /// A provider refuses one.
    CONTRACT_REJECTED: ContractRejected = "be.cortexiq.provider.contract.rejected", Event passing, |m| &m.home_id;
    /// The prices of a local day.
    SPOT_PRICE_UPDATED: SpotPriceUpdated = "be.cortexiq.market.spot_price_updated", Event retained, |m| &m.day;
    /// Totals for display.
    TOTALS_CALCULATED: TotalsCalculated = "be.cortexiq.projections.totals_calculated", Telemetry retained, |_| "";
}

macro_rules! procedures {
    ($($(#[$doc:meta])* $name:ident: $request:ident => $result:ident = $procedure:literal;)*) => {
        $(
            $(#[$doc])*
            pub const $name: Procedure<proto::$request, proto::$result> = Procedure::fixed($procedure);
        )*

        /// Name, content type of the argument and of the result of every procedure with a fixed name.
        pub const PROCEDURES: &[(&str, &str, &str)] =
            &[$(($procedure, proto::$request::CONTENT_TYPE, proto::$result::CONTENT_TYPE)),*];
    };
}

procedures! {
    /// Freezes the clock.
    PAUSE: PauseRequest => ControlResult = "be.cortexiq.simulation.pause";
    /// Lets it run on.
    RESUME: ResumeRequest => ControlResult = "be.cortexiq.simulation.resume";
    /// Starts a new run.
    RESET_SIMULATION: ResetRequest => ControlResult = "be.cortexiq.simulation.reset";
    /// Changes the clock's speed.
    SET_SPEED: SetSpeedRequest => ControlResult = "be.cortexiq.simulation.set_speed";
    /// Totals and regions at a glance.
    GET_OVERVIEW: GetOverviewRequest => Overview = "be.cortexiq.queries.get_overview";
    /// Homes, by region or provider.
    GET_HOMES: GetHomesRequest => HomesPage = "be.cortexiq.queries.get_homes";
    /// One home.
    GET_HOME: GetHomeRequest => HomeSummary = "be.cortexiq.queries.get_home";
    /// A home's energy over time.
    GET_HOME_HISTORY: GetHomeHistoryRequest => HomeHistory = "be.cortexiq.queries.get_home_history";
    /// A home's hours in money.
    GET_HOME_TRADES: GetHomeTradesRequest => HomeTrades = "be.cortexiq.queries.get_home_trades";
    /// A home's month.
    GET_HOME_BILL: GetHomeBillRequest => HomeBill = "be.cortexiq.queries.get_home_bill";
    /// Homes by part of a name, EAN or place.
    SEARCH_HOMES: SearchHomesRequest => HomesPage = "be.cortexiq.queries.search_homes";
    /// Municipalities with homes.
    GET_LOCATIONS: GetLocationsRequest => LocationsPage = "be.cortexiq.queries.get_locations";
    /// Homes of a municipality.
    GET_HOMES_BY_LOCATION: GetHomesByLocationRequest => HomesPage = "be.cortexiq.queries.get_homes_by_location";
    /// Providers by share.
    GET_PROVIDERS: GetProvidersRequest => ProvidersPage = "be.cortexiq.queries.get_providers";
    /// One provider with its price and customer history.
    GET_PROVIDER: GetProviderRequest => ProviderDetail = "be.cortexiq.queries.get_provider";
    /// What happened to contracts.
    GET_CONTRACT_EVENTS: GetContractEventsRequest => ContractEventsPage = "be.cortexiq.queries.get_contract_events";
    /// Savings by month.
    GET_SAVINGS_HISTORY: GetSavingsHistoryRequest => SavingsHistory = "be.cortexiq.queries.get_savings_history";
    /// Regions with their totals.
    GET_REGIONS: GetRegionsRequest => Regions = "be.cortexiq.queries.get_regions";
    /// Day-ahead prices.
    GET_PRICES: GetPricesRequest => PricesPage = "be.cortexiq.queries.get_prices";
}

/// The procedure by which homes accept a provider's offer.
pub fn accept_offer(provider_id: &str) -> Procedure<proto::AcceptOfferRequest, proto::AcceptOfferResult> {
    Procedure { name: format!("be.cortexiq.provider.{provider_id}.accept_offer").into(), types: PhantomData }
}

#[cfg(test)]
mod tests {
    use super::{ALL, CONTRACT_OFFERED, Class, PROCEDURES, accept_offer};

    #[test]
    fn every_name_stands_once() {
        let mut topics: Vec<_> = ALL.iter().map(|subject| subject.0).collect();
        let mut procedures: Vec<_> = PROCEDURES.iter().map(|procedure| procedure.0).collect();
        for names in [&mut topics, &mut procedures] {
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count);
        }
    }

    #[test]
    fn an_offer_is_kept_by_provider() {
        let offer = cortexiq_proto::ContractOffered { provider_id: "bra_p01".into(), ..Default::default() };
        assert_eq!(CONTRACT_OFFERED.key(&offer), "bra_p01");
        assert!(ALL.contains(&(CONTRACT_OFFERED.topic, Class::Event, true, CONTRACT_OFFERED.content_type())));
        assert_eq!(accept_offer("bra_p01").name, "be.cortexiq.provider.bra_p01.accept_offer");
    }
}

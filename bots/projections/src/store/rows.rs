//! The rows of every table.

use super::record::{Name, Repeat, records};

records! {
    /// A run with its newest tick.
    RunRow in runs ("run", Repeat::Renew("new.tick >= old.tick")) {
        run: u64,
        tick: i64,
        simulation_time: i64,
        speed: i64,
        paused: i16,
        seed: u64,
        start_time: i64,
    }

    /// A home's identity.
    HomeRow in homes ("run, home", Repeat::Renew("new.message <> old.message")) {
        run: u64,
        home: Name,
        home_id: String,
        region: String,
        city: String,
        latitude: f64,
        longitude: f64,
        search: String,
        message: Vec<u8>,
    }

    /// Whether a home is there.
    ConnectionRow in home_connections ("run, home", Repeat::Renew("new.time >= old.time")) {
        run: u64,
        home: Name,
        time: i64,
        connected: i16,
        reason: String,
    }

    /// A home's latest measurement.
    StateRow in home_states ("run, home", Repeat::Renew("new.quarter > old.quarter")) {
        run: u64,
        home: Name,
        quarter: i32,
        production_w: i64,
        consumption_w: i64,
        battery_w: i64,
        grid_w: i64,
        production_wh: i64,
        consumption_wh: i64,
        import_wh: i64,
        export_wh: i64,
        message: Vec<u8>,
    }

    /// A quarter-hour.
    MeasurementRow in measurements ("run, home, quarter", Repeat::Bulk) {
        run: u64,
        home: Name,
        quarter: i32,
        pv_wh: i32,
        load_wh: i32,
        import_wh: i32,
        export_wh: i32,
        charge_wh: i32,
        discharge_wh: i32,
        curtailed_wh: i32,
        import_t1_wh: i32,
        import_t2_wh: i32,
        export_t1_wh: i32,
        export_t2_wh: i32,
        state_of_charge: i16,
        tariff: i16,
    }

    /// An hour in money.
    TradeRow in trades ("run, home, hour", Repeat::Bulk) {
        run: u64,
        home: Name,
        hour: i32,
        contract: Name,
        provider: Name,
        left_contract: Name,
        left_provider: Name,
        import_wh: i32,
        export_wh: i32,
        cost: i64,
        revenue: i64,
        import_price: i64,
        export_price: i64,
        left_cost: i64,
        left_revenue: i64,
    }

    /// A home's month with a provider, up to an hour.
    MonthRow in monthly ("run, home, month, provider", Repeat::Renew("new.hour >= old.hour")) {
        run: u64,
        home: Name,
        month: i32,
        provider: Name,
        import_wh: i64,
        export_wh: i64,
        cost: i64,
        revenue: i64,
        saving: i64,
        hour: i32,
    }

    /// A confirmed contract.
    ContractRow in contracts ("run, contract", Repeat::Same) {
        run: u64,
        contract: Name,
        home: Name,
        provider: Name,
        home_region: String,
        provider_region: String,
        reason: i16,
        accepted_time: i64,
        start_time: i64,
        end_time: i64,
        message: Vec<u8>,
    }

    /// Something that happened to a contract.
    ContractEventRow in contract_events ("run, time, home, event, subject", Repeat::Same) {
        run: u64,
        time: i64,
        home: Name,
        event: i16,
        subject: Name,
        provider: Name,
        message: Vec<u8>,
    }

    /// A home that left one contract for another.
    SwitchRow in contract_switches ("run, home, to_contract", Repeat::Same) {
        run: u64,
        home: Name,
        to_contract: Name,
        time: i64,
        start_time: i64,
        from_contract: Name,
        from_provider: Name,
        to_provider: Name,
        projected_savings: i64,
        switching_discount: i64,
        days_before_expiry: i64,
        reason: i16,
    }

    /// A provider's identity.
    ProviderRow in providers ("run, provider", Repeat::Renew("new.message <> old.message")) {
        run: u64,
        provider: Name,
        provider_id: String,
        region: String,
        message: Vec<u8>,
    }

    /// An offer.
    OfferRow in offers ("run, offer", Repeat::Same) {
        run: u64,
        offer: Name,
        provider: Name,
        valid_from: i64,
        valid_until: i64,
        message: Vec<u8>,
    }

    /// The prices of a local day.
    PriceRow in prices ("run, time", Repeat::Same) {
        run: u64,
        time: i64,
        day: String,
        message: Vec<u8>,
    }

    /// A region's day.
    BalanceRow in region_balances ("run, region, time", Repeat::Same) {
        run: u64,
        region: String,
        time: i64,
        message: Vec<u8>,
    }

    /// A message that could not be stored.
    RejectedRow in rejected ("publisher, epoch, class, sequence", Repeat::Same) {
        publisher: Vec<u8>,
        epoch: u64,
        class: i16,
        sequence: u64,
        run: u64,
        topic: String,
        reason: String,
        payload: Vec<u8>,
    }

    /// How far a projection has come with a publisher.
    OffsetRow in projection_offsets ("projection, slot, publisher, epoch, class", Repeat::Renew("new.sequence > old.sequence")) {
        projection: String,
        slot: i16,
        publisher: Vec<u8>,
        epoch: u64,
        class: i16,
        sequence: u64,
    }
}

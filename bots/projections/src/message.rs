//! What may arrive: every topic of the application with its payload, checked for what cannot be.

use cortexiq_domain::time::in_range;
use cortexiq_domain::topics;
use cortexiq_proto as proto;
use prost::Message as _;

/// A message that is understood.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "named as the messages they hold")]
pub enum Message {
    TimeAdvanced(proto::TimeAdvanced),
    HomeInitialized(proto::HomeInitialized),
    HomeConnected(proto::HomeConnected),
    HomeDisconnected(proto::HomeDisconnected),
    HomeMeasured(proto::HomeMeasured),
    HomeTraded(proto::HomeTraded),
    ContractSigned(proto::ContractSigned),
    ContractSwitched(proto::ContractSwitched),
    ContractExpired(proto::ContractExpired),
    RegionBalanced(proto::RegionBalanced),
    ProviderInitialized(proto::ProviderInitialized),
    ContractOffered(proto::ContractOffered),
    ContractConfirmed(proto::ContractConfirmed),
    ContractRejected(proto::ContractRejected),
    SpotPriceUpdated(proto::SpotPriceUpdated),
    /// Known, and nothing to store.
    Passing,
}

/// Why a message is not stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is no topic of the application.
    #[error("no such topic")]
    Topic,
    /// The payload is not of the topic's type.
    #[error("{0}")]
    Payload(#[from] prost::DecodeError),
    /// It says what cannot be.
    #[error("{problem}")]
    Impossible {
        /// Its run.
        run: u64,
        /// What cannot be.
        problem: String,
    },
}

impl Message {
    /// Decodes and checks the payload of a topic.
    pub fn decode(topic: &str, payload: &[u8]) -> Result<Self, Unfit> {
        // By traffic: most are measurements, then trades.
        let message = if topic == topics::HOME_MEASURED.topic {
            Self::HomeMeasured(proto::HomeMeasured::decode(payload)?)
        } else if topic == topics::HOME_TRADED.topic {
            Self::HomeTraded(proto::HomeTraded::decode(payload)?)
        } else if topic == topics::TIME_ADVANCED.topic {
            Self::TimeAdvanced(proto::TimeAdvanced::decode(payload)?)
        } else {
            Self::decode_seldom(topic, payload)?
        };
        message.check()?;
        Ok(message)
    }

    fn decode_seldom(topic: &str, payload: &[u8]) -> Result<Self, Unfit> {
        Ok(match topic {
            t if t == topics::HOME_INITIALIZED.topic => Self::HomeInitialized(decoded(payload)?),
            t if t == topics::HOME_CONNECTED.topic => Self::HomeConnected(decoded(payload)?),
            t if t == topics::HOME_DISCONNECTED.topic => Self::HomeDisconnected(decoded(payload)?),
            t if t == topics::CONTRACT_SIGNED.topic => Self::ContractSigned(decoded(payload)?),
            t if t == topics::CONTRACT_SWITCHED.topic => Self::ContractSwitched(decoded(payload)?),
            t if t == topics::CONTRACT_EXPIRED.topic => Self::ContractExpired(decoded(payload)?),
            t if t == topics::REGION_BALANCED.topic => Self::RegionBalanced(decoded(payload)?),
            t if t == topics::PROVIDER_INITIALIZED.topic => Self::ProviderInitialized(decoded(payload)?),
            t if t == topics::CONTRACT_OFFERED.topic => Self::ContractOffered(decoded(payload)?),
            t if t == topics::CONTRACT_CONFIRMED.topic => Self::ContractConfirmed(decoded(payload)?),
            t if t == topics::CONTRACT_REJECTED.topic => Self::ContractRejected(decoded(payload)?),
            t if t == topics::SPOT_PRICE_UPDATED.topic => Self::SpotPriceUpdated(decoded(payload)?),
            t if PASSING.contains(&t) => Self::Passing,
            _ => return Err(Unfit::Topic),
        })
    }

    fn check(&self) -> Result<(), Unfit> {
        match self {
            Self::HomeMeasured(m) => possible(m.run, measured(m)),
            Self::HomeTraded(t) => possible(t.run, traded(t)),
            Self::TimeAdvanced(t) => possible(t.run, time("simulation_time", t.simulation_time)),
            Self::HomeInitialized(h) => possible(
                h.run,
                id("home_id", &h.home_id)
                    .and_then(|()| cortexiq_domain::home::Home::from_initialized(h).map(drop)),
            ),
            Self::HomeConnected(c) => possible(c.run, at(c.time, &[("home_id", &c.home_id)])),
            Self::HomeDisconnected(c) => possible(c.run, at(c.time, &[("home_id", &c.home_id)])),
            Self::ContractSigned(c) => {
                possible(c.run, at(c.time, &contract(&c.home_id, &c.contract_id, &c.provider_id)))
            }
            Self::ContractSwitched(c) => {
                let ids = contract(&c.home_id, &c.to_contract_id, &c.to_provider_id);
                possible(
                    c.run,
                    at(c.time, &ids)
                        .and_then(|()| at(c.start_time, &[("from_contract_id", &c.from_contract_id)])),
                )
            }
            Self::ContractExpired(c) => {
                possible(c.run, at(c.time, &contract(&c.home_id, &c.contract_id, &c.provider_id)))
            }
            Self::ContractConfirmed(c) => {
                let ids = contract(&c.home_id, &c.contract_id, &c.provider_id);
                let terms = || c.terms.is_some().then_some(()).ok_or_else(|| "terms are missing".to_owned());
                possible(
                    c.run,
                    at(c.accepted_time, &ids).and_then(|()| at(c.start_time, &[])).and_then(|()| terms()),
                )
            }
            Self::ContractRejected(c) => {
                possible(c.run, at(c.time, &[("home_id", &c.home_id), ("offer_id", &c.offer_id)]))
            }
            Self::ProviderInitialized(p) => possible(p.run, id("provider_id", &p.provider_id)),
            Self::ContractOffered(o) => {
                let ids = [("offer_id", &*o.offer_id), ("provider_id", &*o.provider_id)];
                possible(o.run, at(o.valid_from, &ids))
            }
            Self::RegionBalanced(b) => possible(b.run, at(b.time, &[("region", &b.region)])),
            Self::SpotPriceUpdated(p) => {
                let some =
                    || (!p.prices.is_empty()).then_some(()).ok_or_else(|| "there are no prices".to_owned());
                possible(p.run, at(p.time, &[("day", &p.day)]).and_then(|()| some()))
            }
            Self::Passing => Ok(()),
        }
    }
}

fn decoded<T: prost::Message + Default>(payload: &[u8]) -> Result<T, prost::DecodeError> {
    T::decode(payload)
}

fn possible(run: u64, found: Result<(), String>) -> Result<(), Unfit> {
    let found = match run {
        0 => Err("run is missing".to_owned()),
        // Databases have signed numbers.
        run if i64::try_from(run).is_err() => Err(format!("run {run} is too large")),
        _ => found,
    };
    found.map_err(|problem| Unfit::Impossible { run: i64::try_from(run).map_or(0, |_| run), problem })
}

fn measured(m: &proto::HomeMeasured) -> Result<(), String> {
    id("home_id", &m.home_id)?;
    if m.provisional {
        return Ok(());
    }
    time("time", m.time)?;
    if m.time % 900 != 0 {
        return Err(format!("time {} is not the start of a quarter-hour", m.time));
    }
    let flows = [m.pv_wh, m.load_wh, m.import_wh, m.export_wh, m.charge_wh, m.discharge_wh, m.curtailed_wh];
    if let Some(wh) = flows.iter().find(|wh| **wh > LARGEST_FLOW_WH) {
        return Err(format!("{wh} Wh in a quarter-hour is more than a connection carries"));
    }
    let (from, to) = (m.pv_wh + m.import_wh + m.discharge_wh, m.load_wh + m.export_wh + m.charge_wh);
    if from != to {
        return Err(format!("{from} Wh come in and {to} Wh go out"));
    }
    let registers = [m.import_t1_wh, m.import_t2_wh, m.export_t1_wh, m.export_t2_wh];
    if let Some(wh) = registers.iter().find(|wh| i32::try_from(**wh).is_err()) {
        return Err(format!("a register of {wh} Wh is more than a home reaches"));
    }
    let watts = [
        ("production_w", i64::from(m.production_w), i64::from(m.pv_wh)),
        ("consumption_w", m.consumption_w.into(), m.load_wh.into()),
        ("battery_w", m.battery_w.into(), i64::from(m.charge_wh) - i64::from(m.discharge_wh)),
        ("grid_w", m.grid_w.into(), i64::from(m.import_wh) - i64::from(m.export_wh)),
    ];
    if let Some((name, w, wh)) = watts.iter().find(|(_, w, wh)| *w != wh * 4) {
        return Err(format!("{name} is {w} where the quarter-hour has {wh} Wh"));
    }
    if m.state_of_charge_pct > 1000 || !(1..=2).contains(&m.tariff) {
        return Err(format!("state of charge {} ‰ or tariff {} cannot be", m.state_of_charge_pct, m.tariff));
    }
    Ok(())
}

fn traded(t: &proto::HomeTraded) -> Result<(), String> {
    at(t.time, &contract(&t.home_id, &t.contract_id, &t.provider_id))?;
    if t.time % 3600 != 0 {
        return Err(format!("time {} is not the start of an hour", t.time));
    }
    if t.import_wh.max(t.export_wh) > 4 * LARGEST_FLOW_WH {
        return Err("more than a connection carries in an hour".into());
    }
    Ok(())
}

fn contract<'a>(home: &'a str, contract: &'a str, provider: &'a str) -> [(&'static str, &'a str); 3] {
    [("home_id", home), ("contract_id", contract), ("provider_id", provider)]
}

fn at(instant: i64, ids: &[(&str, &str)]) -> Result<(), String> {
    ids.iter().try_for_each(|(field, text)| id(field, text))?;
    time("time", instant)
}

fn id(field: &str, text: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
    match text {
        "" => Err(format!("{field} is missing")),
        _ if text.len() > LONGEST_ID || !text.bytes().all(plain) => Err(format!("{field} {text:?} is no id")),
        _ => Ok(()),
    }
}

fn time(field: &str, time: i64) -> Result<(), String> {
    in_range(time).then_some(()).ok_or_else(|| format!("{field} {time} is not between 2000 and 2100"))
}

/// Topics of the application that leave no rows.
const PASSING: [&str; 5] = [
    topics::STATE_CHANGED.topic,
    topics::RESET.topic,
    topics::TOTALS_CALCULATED.topic,
    // For homes and providers that restart.
    topics::HOME_CHECKPOINTED.topic,
    topics::CONTRACTS_HELD.topic,
];
/// 1 MWh in a quarter-hour, a connection of 4 MW: far past every home, and sums of it fit in 32 bits.
const LARGEST_FLOW_WH: u32 = 1_000_000;
/// Ids are made of a region, a number and what they are for; a guess, several times longer than any.
const LONGEST_ID: usize = 120;

#[cfg(test)]
mod tests {
    use super::{Message, Unfit};
    use cortexiq_proto::{HomeMeasured, HomeTraded};
    use prost::Message as _;

    const MEASURED: &str = "be.cortexiq.home.measured";

    fn measured(change: impl FnOnce(&mut HomeMeasured)) -> Result<Message, Unfit> {
        let mut measured = HomeMeasured {
            run: 1,
            home_id: "ant_001".into(),
            time: 1_735_689_600,
            consumption_w: 400,
            grid_w: 400,
            load_wh: 100,
            import_wh: 100,
            import_t2_wh: 100,
            tariff: 2,
            ..Default::default()
        };
        change(&mut measured);
        Message::decode(MEASURED, &measured.encode_to_vec())
    }

    #[test]
    fn what_cannot_be_is_told() {
        assert!(measured(|_| ()).is_ok());
        let problem = |change: fn(&mut HomeMeasured)| measured(change).expect_err("cannot be").to_string();
        assert_eq!(problem(|m| m.import_wh = 99), "99 Wh come in and 100 Wh go out");
        assert_eq!(problem(|m| m.time += 1), "time 1735689601 is not the start of a quarter-hour");
        assert_eq!(problem(|m| m.time = 0), "time 0 is not between 2000 and 2100");
        assert_eq!(problem(|m| m.grid_w = 1), "grid_w is 1 where the quarter-hour has 100 Wh");
        assert_eq!(problem(|m| m.home_id = "a b".into()), "home_id \"a b\" is no id");
        assert_eq!(problem(|m| m.run = 0), "run is missing");
        assert_eq!(problem(|m| m.run = u64::MAX), "run 18446744073709551615 is too large");
        let trade = HomeTraded { run: 1, home_id: "ant_001".into(), ..Default::default() };
        let wrong = Message::decode("be.cortexiq.home.traded", &trade.encode_to_vec());
        assert_eq!(wrong.expect_err("cannot be").to_string(), "contract_id is missing");
    }

    #[test]
    fn bytes_that_are_no_message_are_told() {
        assert!(matches!(Message::decode(MEASURED, &[255; 9]), Err(Unfit::Payload(_))));
        assert_eq!(Message::decode("be.cortexiq.home.sang", &[]), Err(Unfit::Topic));
        assert_eq!(Message::decode("be.cortexiq.simulation.reset", &[]), Ok(Message::Passing));
    }
}

//! JSON of the messages of this package: proto field names, prices and amounts in decimal euro.

use std::sync::LazyLock;

use macula_proto::schema::{Error, Schema};
use serde_json::Value;

use crate::{DESCRIPTORS, Payload};

/// This package's schema, for whoever shows payloads by content type.
pub fn schema() -> &'static Schema {
    static SCHEMA: LazyLock<Schema> =
        LazyLock::new(|| Schema::decode(DESCRIPTORS).expect("the committed descriptors decode"));
    &SCHEMA
}

/// Shows a payload; `message` is a full name or a content type.
pub fn to_json(message: &str, payload: &[u8]) -> Result<Value, Error> {
    schema().to_json(message, payload)
}

/// Encodes a JSON object as `message`, a full name or a content type.
pub fn from_json(message: &str, value: &Value) -> Result<Vec<u8>, Error> {
    schema().from_json(message, value)
}

/// Shows a message.
pub fn show<T: Payload>(message: &T) -> Value {
    to_json(T::CONTENT_TYPE, &message.encode_to_vec()).expect("a generated message is in its own schema")
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use serde_json::json;

    use super::{from_json, show};
    use crate::{AcceptOfferResult, ContractOffered, ContractType, HomeMeasured, HomeTraded, Payload};

    #[test]
    fn an_offer_reads_as_in_the_seed_document() {
        let offer = ContractOffered {
            provider_id: "bra_p01".into(),
            day_price: 150_000,
            contract_type: ContractType::Fixed.into(),
            valid_from: 1_735_689_600,
            ..Default::default()
        };
        let shown = show(&offer);
        assert_eq!(shown["provider_id"], "bra_p01");
        assert_eq!(shown["day_price"].to_string(), "0.15");
        assert_eq!(shown["contract_type"], "fixed");
        assert_eq!(shown["valid_from"], 1_735_689_600);
        let bytes = from_json(ContractOffered::CONTENT_TYPE, &shown).expect("its own JSON fits");
        assert_eq!(ContractOffered::decode(&bytes[..]).expect("decodes"), offer);
    }

    #[test]
    fn a_measurement_reads_as_in_the_seed_document() {
        let measured = HomeMeasured {
            home_id: "ant_001".into(),
            production_w: 3500,
            battery_w: -1200,
            state_of_charge_pct: 505,
            ..Default::default()
        };
        let shown = show(&measured);
        assert_eq!(shown["production_w"], 3500);
        assert_eq!(shown["battery_w"], -1200);
        assert_eq!(shown["state_of_charge_pct"].to_string(), "50.5");
        assert_eq!(shown["provisional"], false);
    }

    #[test]
    fn nano_euro_keep_every_digit() {
        let trade = HomeTraded { cost: 123_456_000_000_001, ..Default::default() };
        let shown = show(&trade);
        assert_eq!(shown["cost"].to_string(), "123456.000000001");
        let bytes = from_json("cortexiq.v1.HomeTraded", &shown).expect("its own JSON fits");
        assert_eq!(HomeTraded::decode(&bytes[..]).expect("decodes").cost, trade.cost);
    }

    #[test]
    fn a_mistake_names_its_field() {
        let wrong = |message, value| from_json(message, &value).expect_err("must not fit").to_string();
        assert!(wrong("cortexiq.v1.SetSpeedRequest", json!({"speed": -3})).starts_with("speed: "));
        assert!(wrong("cortexiq.v1.SetSpeedRequest", json!({"sped": 3})).starts_with("sped: "));
        assert!(
            wrong("cortexiq.v1.SpotPriceUpdated", json!({"prices": [0.1, "x"]})).starts_with("prices[1]: ")
        );
        assert!(
            wrong("cortexiq.v1.ContractOffered", json!({"contract_type": "free"})).contains("fixed, dynamic")
        );
    }

    #[test]
    fn an_absent_message_is_left_out() {
        assert_eq!(show(&AcceptOfferResult::default()), json!({}));
    }
}

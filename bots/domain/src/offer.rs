//! The offers that homes look at, and how one is chosen.

use std::collections::BTreeMap;
use std::sync::Arc;

use cortexiq_proto::{ContractOffered, ContractType};

use crate::contract::terms_of;
use crate::profile::Year;
use crate::random::{Random, of_name};

/// The newest offers of every provider, held once per process.
#[derive(Debug, Clone, Default)]
pub struct OfferBook {
    providers: BTreeMap<String, Vec<Arc<ContractOffered>>>,
}

impl OfferBook {
    /// Takes an offer, and those before it that it carries; what is known already changes nothing.
    pub fn on_offer(&mut self, mut offer: ContractOffered) {
        for earlier in std::mem::take(&mut offer.earlier) {
            self.add(earlier);
        }
        self.add(offer);
    }

    fn add(&mut self, offer: ContractOffered) {
        let offers = self.providers.entry(offer.provider_id.clone()).or_default();
        if offers.iter().any(|known| known.offer_id == offer.offer_id) {
            return;
        }
        let place = offers.partition_point(|known| known.valid_from <= offer.valid_from);
        offers.insert(place, Arc::new(offer));
        if offers.len() > KEPT_OFFERS {
            offers.remove(0);
        }
    }

    /// The offer of every provider that can be accepted at an instant, in order of provider.
    pub fn valid_at(&self, time: i64) -> impl Iterator<Item = &Arc<ContractOffered>> {
        self.providers.values().filter_map(move |offers| offers.iter().rfind(|offer| is_valid(offer, time)))
    }
}

/// Whether an offer can be accepted at an instant.
pub fn is_valid(offer: &ContractOffered, time: i64) -> bool {
    (offer.valid_from..offer.valid_until).contains(&time)
}

/// The offer a home would take.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The offer.
    pub offer: Arc<ContractOffered>,
    /// What the coming year costs less than under the terms it has, with the discount, nano-euro.
    pub saving: i64,
}

/// Who chooses, and what it has now.
#[derive(Debug, Clone, Copy)]
pub struct Chooser<'a> {
    /// The home's key.
    pub home: u64,
    /// Whether a battery or a car lets it use cheap hours.
    pub is_flexible: bool,
    /// Its year.
    pub year: &'a Year,
    /// What the coming year would cost without a change, nano-euro.
    pub stays_at: i64,
    /// Whose customer it is: who gets no welcome there.
    pub customer_of: &'a str,
}

/// The best of some offers.
///
/// A home feels more at ease with some providers than with others, and without anything to shift it would rather know its
/// price; such feelings weigh in the choice but are no saving.
pub fn best<'a>(
    chooser: Chooser<'_>,
    offers: impl Iterator<Item = &'a Arc<ContractOffered>>,
) -> Option<Choice> {
    let Chooser { home, is_flexible, year, stays_at, customer_of } = chooser;
    let liking = Random::new(0, of_name("liking"));
    let caution = CAUTION * liking.unit(home, CAUTIOUS) / if is_flexible { 3.0 } else { 1.0 };
    offers
        .map(|offer| {
            let welcome = if offer.provider_id == customer_of { 0 } else { offer.switching_discount };
            let saving = stays_at - year.cost(&terms_of(offer)) + welcome;
            let bonus = LIKING * liking.unit(home, of_name(&offer.provider_id) as i64);
            let doubt = if offer.contract_type() == ContractType::Dynamic { caution } else { 0.0 };
            (saving + (bonus - doubt) as i64, Choice { offer: Arc::clone(offer), saving })
        })
        .max_by_key(|(score, _)| *score)
        .map(|(_, choice)| choice)
}

/// A yearly saving below this is not worth the trouble: 75 €, nano-euro.
///
/// Belgian households who compared saved 93 € a year on electricity, and one in five to four changed its supplier in a year
/// (VREG for 2017 and 2021). Here a program compares every day and asks nobody, so the bar is a little lower and homes
/// change more often: about twice a year, of which `tests/believable.rs` keeps watch. At 30 € they hopped five times.
pub const SWITCH_THRESHOLD: i64 = 75_000_000_000;
/// Days between two switches.
pub const SWITCH_PAUSE_DAYS: i64 = 30;

/// Days of offers, so that a home that lags still finds those of its own time.
const KEPT_OFFERS: usize = 64;
/// How much a favourite provider may cost more in a year: 80 €, nano-euro. Guess, not measured.
const LIKING: f64 = 80e9;
/// What a home without battery and car would pay for a price that does not change by the hour: up to 180 € a year,
/// nano-euro. Guess: so that fixed contracts keep about half of the homes.
const CAUTION: f64 = 180e9;
/// Which of a home's feelings that is; no provider's name has this number.
const CAUTIOUS: i64 = -1;

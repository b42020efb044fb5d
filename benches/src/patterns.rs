//! Patterns and topics as the energy market has them, in any number.

use macula_core::Trie;
use macula_proto::{Pattern, Topic};

/// Like the keys of the gateway's own tables, eight bytes.
pub type Value = u64;

/// A row's name, how many patterns match each of its topics, and the topic of a number.
pub type Row = (&'static str, usize, fn(usize) -> String);

/// Kinds of topics.
pub const ROWS: [Row; 6] = [
    ("0 matches, unknown name", 0, |id| format!("be.cortexiq.home.stranger-{id:07}.measured")),
    ("0 matches, known name", 0, |id| format!("be.cortexiq.home.home-{:07}.silent", id / 10 * 10)),
    ("1 match, literal", 1, |id| format!("be.cortexiq.home.home-{:07}.measured", id / 10 * 10)),
    ("1 match, wildcard", 1, |id| format!("be.cortexiq.home.home-{:07}.battery.charged", id / 10 * 10 + 7)),
    ("1 match, eleven deep", 1, |id| {
        format!(
            "be.cortexiq.energy.grid.feeder-4.transformer-{:07}.phase.1.voltage.mean.minute",
            id / 10 * 10 + 9
        )
    }),
    ("10 matches", 10, |id| format!("be.cortexiq.market.area-{:07}.cleared", id / 100 * 100)),
];

/// Seven of ten are literal; every hundredth number is a market area with ten patterns, six of them its own.
pub fn trie(size: usize) -> Trie<Value> {
    let mut trie = Trie::new();
    let mut add = |text: &str| {
        let pattern = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        trie.insert(&pattern, text.len() as Value);
    };
    for shared in [
        "be.cortexiq.market.#",
        "be.cortexiq.market.*",
        "be.cortexiq.market.+.cleared",
        "be.+.market.*.cleared",
    ] {
        add(shared);
    }
    for id in 0..size {
        if id % 100 == 0 {
            let area = format!("area-{id:07}");
            add(&format!("be.cortexiq.market.{area}.cleared"));
            add(&format!("be.cortexiq.market.{area}.#"));
            add(&format!("be.cortexiq.market.{area}.*"));
            add(&format!("be.cortexiq.market.{area}.+"));
            add(&format!("be.cortexiq.+.{area}.cleared"));
            add(&format!("+.cortexiq.market.{area}.#"));
        } else {
            add(&pattern_text(id));
        }
    }
    trie
}

/// The pattern of a number.
pub fn pattern(id: usize) -> Pattern {
    pattern_text(id).parse().expect("the names above are legal")
}

/// The same as text.
pub fn pattern_text(id: usize) -> String {
    let ten = id / 10 * 10;
    match id % 10 {
        0 => format!("be.cortexiq.home.home-{id:07}.measured"),
        1 | 2 => format!("be.cortexiq.home.home-{id:07}.measured"),
        3 | 4 => format!("be.cortexiq.provider.provider-{id:07}.contract.offered"),
        5 => {
            format!("be.cortexiq.energy.grid.feeder-{}.transformer-{id:07}.phase.{}.voltage", id % 7, id % 3)
        }
        6 => format!("be.cortexiq.home.home-{id:07}.device.heat-pump.compressor.speed"),
        7 => format!("be.cortexiq.home.home-{id:07}.*"),
        8 => format!("be.cortexiq.+.home-{ten:07}.contract.signed"),
        _ => format!("be.cortexiq.energy.grid.+.transformer-{id:07}.phase.*.voltage.#"),
    }
}

/// The topics of the row, each number of the trie once, those of a market area excepted where they would differ.
pub fn topics(size: usize, topic: fn(usize) -> String) -> Vec<Topic> {
    let market = topic(0).contains("market");
    shuffled(size)
        .filter(|id| market == (id % 100 == 0) && (market || id % 100 >= 10))
        .map(|id| topic(id).parse().expect("the names above are legal"))
        .collect()
}

/// The numbers below the size in an order that jumps about.
pub fn shuffled(size: usize) -> impl Iterator<Item = usize> {
    const STRIDE: usize = 2_654_435_761;
    (0..size).map(move |step| step * STRIDE % size)
}

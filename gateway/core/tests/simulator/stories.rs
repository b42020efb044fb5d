//! Stories with names: what users of a mesh fear, each told over a few networks.

use crate::network::Network;
use crate::paths::Paths;
use crate::scenario::{Kind, Step};

/// A mesh of four with three clients, and what happens to it.
struct Scenario {
    name: &'static str,
    kind: Kind,
    story: &'static [Step],
}

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "two and two cannot reach each other for twenty seconds",
        kind: Kind::Gentle,
        story: &[
            Step::Publish(5),
            Step::Split(2),
            Step::Publish(10),
            Step::Wait(20_000),
            Step::Publish(10),
            Step::Heal,
        ],
    },
    Scenario {
        name: "a process is stopped for ten seconds",
        kind: Kind::Gentle,
        story: &[
            Step::Publish(10),
            Step::Wait(50),
            Step::Pause(3),
            Step::Publish(10),
            Step::Wait(10_000),
            Step::Continue(3),
        ],
    },
    Scenario {
        name: "one pair cannot reach each other, and everybody else can",
        kind: Kind::Gentle,
        story: &[
            Step::Cut(1, 2),
            Step::Publish(10),
            Step::Wait(30_000),
            Step::Publish(10),
            Step::Heal,
            Step::Publish(10),
        ],
    },
    Scenario {
        name: "a link breaks again and again, and is dialled from both sides",
        kind: Kind::Gentle,
        story: &[
            Step::Publish(20),
            Step::Break(0, 1),
            Step::Wait(200),
            Step::Dial(0, 1),
            Step::Dial(1, 0),
            Step::Wait(20),
            Step::Break(0, 1),
            Step::Publish(10),
            Step::Wait(300),
            Step::Silence(0, 1),
            Step::Dial(1, 0),
        ],
    },
    Scenario {
        name: "it falls apart twice, and a process sleeps through the first healing",
        kind: Kind::Gentle,
        story: &[
            Step::Publish(10),
            Step::Split(1),
            Step::Wait(5_000),
            Step::Pause(2),
            Step::Heal,
            Step::Wait(6_000),
            Step::Continue(2),
            Step::Publish(5),
            Step::Split(3),
            Step::Wait(9_000),
            Step::Publish(5),
            Step::Heal,
        ],
    },
    Scenario {
        name: "a gateway dies and is back before anybody misses it",
        kind: Kind::Harsh,
        story: &[
            Step::Publish(20),
            Step::Wait(60),
            Step::Kill(2),
            Step::Wait(100),
            Step::Start(2),
            Step::Publish(10),
        ],
    },
    Scenario {
        name: "a gateway dies and is back when it was given up",
        kind: Kind::Harsh,
        story: &[
            Step::Publish(20),
            Step::Wait(60),
            Step::Kill(1),
            Step::Publish(10),
            Step::Wait(20_000),
            Step::Start(1),
            Step::Publish(10),
        ],
    },
    Scenario {
        name: "everybody is started anew, one after the other",
        kind: Kind::Harsh,
        story: &[
            Step::Publish(10),
            Step::Stop(3),
            Step::Wait(2_000),
            Step::Start(3),
            Step::Wait(8_000),
            Step::Publish(10),
            Step::Stop(0),
            Step::Wait(2_000),
            Step::Start(0),
            Step::Wait(8_000),
            Step::Publish(10),
        ],
    },
    Scenario {
        name: "a gateway stops and starts again where it cannot reach the others, and takes events there",
        kind: Kind::Harsh,
        story: &[
            Step::Publish(10),
            Step::Stop(3),
            Step::Wait(1_000),
            Step::Split(3),
            Step::Start(3),
            Step::Wait(20_000),
            Step::Publish(10),
            Step::Wait(2_000),
            Step::Heal,
        ],
    },
    Scenario {
        name: "it dies there instead",
        kind: Kind::Harsh,
        story: &[
            Step::Publish(10),
            Step::Kill(3),
            Step::Wait(1_000),
            Step::Split(3),
            Step::Start(3),
            Step::Wait(20_000),
            Step::Publish(10),
            Step::Wait(2_000),
            Step::Heal,
        ],
    },
    Scenario {
        name: "it stops, and its next run dies where nobody has met it",
        kind: Kind::Harsh,
        story: &[
            Step::Publish(10),
            Step::Stop(3),
            Step::Wait(1_000),
            Step::Split(3),
            Step::Start(3),
            Step::Wait(12_000),
            Step::Publish(10),
            Step::Wait(2_000),
            Step::Kill(3),
            Step::Wait(100),
            Step::Heal,
            Step::Start(3),
        ],
    },
    Scenario {
        name: "three runs within a few seconds, the second of which nobody meets",
        kind: Kind::Harsh,
        story: &[
            Step::Publish(10),
            Step::Wait(2_000),
            Step::Stop(3),
            Step::Wait(1_000),
            Step::Split(3),
            Step::Start(3),
            Step::Come(3),
            Step::Wait(1_000),
            Step::Publish(10),
            Step::Wait(500),
            Step::Kill(3),
            Step::Wait(100),
            Step::Heal,
            Step::Start(3),
        ],
    },
    Scenario {
        name: "it is cut off, starts again, and stays away for longer than anything is held",
        kind: Kind::Harsh,
        story: &[
            Step::Split(3),
            Step::Publish(10),
            Step::Wait(1_000),
            Step::Stop(3),
            Step::Wait(1_000),
            Step::Start(3),
            Step::Wait(90_000),
            Step::Publish(10),
            Step::Wait(2_000),
            Step::Heal,
        ],
    },
    Scenario {
        name: "it stops before it is cut off, and stays away for longer than anything is held",
        kind: Kind::Harsh,
        story: &[
            Step::Publish(10),
            Step::Stop(3),
            Step::Wait(1_000),
            Step::Publish(10),
            Step::Split(3),
            Step::Start(3),
            Step::Wait(90_000),
            Step::Publish(10),
            Step::Wait(2_000),
            Step::Heal,
        ],
    },
    Scenario {
        name: "two and two cannot reach each other for longer than anything is held",
        kind: Kind::Harsh,
        story: &[Step::Split(2), Step::Publish(10), Step::Wait(90_000), Step::Publish(10), Step::Heal],
    },
];

/// `SIMULATION_STORY` tells one of them, whose name holds these words.
#[test]
fn stories() {
    let only = std::env::var("SIMULATION_STORY").unwrap_or_default();
    for Scenario { name, kind, story } in SCENARIOS.iter().filter(|scenario| scenario.name.contains(&only)) {
        eprintln!("{name}");
        crate::for_some_seeds("stories", 20, |mut rng| {
            let paths = Paths::random(&mut rng);
            let mut network = Network::new(rng, 4, paths);
            network.rest();
            crate::live_through(network, *kind, 3, story);
        });
    }
}

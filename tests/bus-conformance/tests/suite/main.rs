//! The embedded bus does what every bus does; and the suite would notice if it did not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod faults;

use proptest::prelude::*;
use sandbus_host::bus::conformance::{self, Act, EmbeddedEngine};

sandbus_host::bus_conformance!(EmbeddedEngine);

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let number = any::<u8>;
    let act = prop_oneof![
        12 => number().prop_map(Act::Publish),
        1 => number().prop_map(Act::PublishLater),
        16 => number().prop_map(Act::Claim),
        9 => number().prop_map(Act::Ack),
        4 => number().prop_map(Act::Retry),
        2 => number().prop_map(Act::Reject),
        2 => number().prop_map(Act::GiveBack),
        2 => number().prop_map(Act::Redrive),
        1 => number().prop_map(Act::Drop),
        1 => number().prop_map(Act::Pause),
        2 => number().prop_map(Act::Resume),
        1 => number().prop_map(Act::Replay),
        1 => number().prop_map(Act::StopReplays),
        1 => Just(Act::Redeclare),
        1 => Just(Act::Compact),
        4 => (0..4_u8).prop_map(Act::PassTime),
        1 => Just(Act::SetClockBack),
        2 => Just(Act::Crash),
        1 => Just(Act::Restart),
    ];
    proptest::collection::vec(act, 1..100)
}

/// How many plays the model is compared with; `PROPTEST_CASES` says otherwise.
fn cases() -> ProptestConfig {
    let usual = ProptestConfig { failure_persistence: None, max_shrink_iters: 500, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() { usual } else { ProptestConfig { cases: 64, ..usual } }
}

proptest! {
    #![proptest_config(cases())]

    /// Whatever happens, in whatever order, it happens as in the model.
    #[test]
    fn the_bus_does_what_the_model_does(acts in acts()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(conformance::play(&EmbeddedEngine, acts));
    }
}

//! The conformance suite on the embedded bus and on PostgreSQL, and proof that it detects faults.
#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod faults;
mod on_another_host;
mod on_postgres;

use proptest::prelude::*;
use sandbus_bus_conformance::PostgresFixture;
use sandbus_host::bus::EmbeddedFixture;
use sandbus_host::bus::conformance::{self, Action, BusFixture};

sandbus_host::bus_conformance!(EmbeddedFixture);

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let number = any::<u8>;
    let action = prop_oneof![
        12 => number().prop_map(Action::Publish),
        1 => number().prop_map(Action::PublishLater),
        16 => number().prop_map(Action::Claim),
        9 => number().prop_map(Action::Ack),
        4 => number().prop_map(Action::Retry),
        2 => number().prop_map(Action::Reject),
        2 => number().prop_map(Action::GiveBack),
        2 => number().prop_map(Action::Redrive),
        1 => number().prop_map(Action::Drop),
        1 => number().prop_map(Action::Pause),
        2 => number().prop_map(Action::Resume),
        1 => number().prop_map(Action::Replay),
        1 => number().prop_map(Action::StopReplays),
        1 => Just(Action::Redeclare),
        1 => Just(Action::Compact),
        4 => (0..4_u8).prop_map(Action::PassTime),
        1 => Just(Action::SetClockBack),
        2 => Just(Action::Crash),
        1 => Just(Action::Restart),
    ];
    proptest::collection::vec(action, 1..100)
}

/// The number of runs against the model. `PROPTEST_CASES` overrides it.
fn cases(usual_cases: u32) -> ProptestConfig {
    let usual = ProptestConfig { failure_persistence: None, max_shrink_iters: 500, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() { usual } else { ProptestConfig { cases: usual_cases, ..usual } }
}

fn run_against_model(fixture: &dyn BusFixture, actions: Vec<Action>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(conformance::run_against_model(fixture, actions));
}

proptest! {
    #![proptest_config(cases(64))]

    /// Random actions in random order have the same effects on the bus as on the model.
    #[test]
    fn the_bus_does_what_the_model_does(actions in actions()) {
        run_against_model(&EmbeddedFixture, actions);
    }
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn the_bus_on_postgres_does_what_the_model_does(actions in actions()) {
        run_against_model(&PostgresFixture, actions);
    }
}

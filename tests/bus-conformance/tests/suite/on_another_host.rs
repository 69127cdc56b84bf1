//! The conformance suite on a bus of another host: everything that the engine promises holds over the network.

use proptest::prelude::*;
use sandbus_host::bus::RemoteFixture;

use crate::{actions, cases, run_against_model};

sandbus_host::bus_conformance!(RemoteFixture);
sandbus_host::cluster_conformance!(RemoteFixture);

proptest! {
    #![proptest_config(cases(8))]

    #[test]
    fn the_bus_of_another_host_does_what_the_model_does(actions in actions()) {
        run_against_model(&RemoteFixture, actions);
    }
}

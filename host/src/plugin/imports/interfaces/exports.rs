//! The exports that hosts call.

use super::{Interfaces, Name, Platform, Purpose, find};

/// Routes for a component that does not describe itself.
const ROUTES: &str = "routes = [\"* /\", \"* /{*path}\"]";
/// A subscription for a component that does not describe itself.
const SUBSCRIPTION: &str = "[subscriptions.NAME] pattern = \"order.>\"";

/// All exports that are known.
pub(super) const EXPORTS: &[Interfaces] = &[
    Interfaces::new("sandbus:plugin", &["descriptor"], "the plugin's declarations").sandbus(&["0.1.x"]),
    Interfaces::new("sandbus:plugin", &["event-handler"], "events and schedules").sandbus(&["0.1.x"]),
    Interfaces::new("sandbus:plugin", &["http-handler"], "requests").purpose(Purpose::Handler).sandbus(&["0.1.x"]),
    Interfaces::new("wasi:http", &["incoming-handler"], "requests")
        .purpose(Purpose::Handler)
        .sandbus(&["0.2.x"])
        .spin(&["0.2.0-rc-2023-10-18", "0.2.0-rc-2023-11-10", "0.2.x"])
        .wasmcloud(&["0.2.x"])
        .needs(ROUTES),
    Interfaces::new("wasi:http", &["handler"], "requests")
        .purpose(Purpose::Handler)
        .sandbus(&["0.3.x"])
        .spin(&["0.3.0-rc-2026-03-15", "0.3.x"])
        .wasmcloud(&["0.3.x"])
        .wasi_0_3(&["0.3.x"])
        .needs(ROUTES),
    Interfaces::new(
        "wasi:cli",
        &["run"],
        "this host does not call `wasi:cli/run`; export a handler of `wasi:http`, or use a Sandbus SDK",
    )
    .wasmcloud(&["0.2.x", "0.3.x"])
    .wasi_0_3(&["0.3.x"]),
    Interfaces::new("wasi:messaging", &["incoming-handler"], "events")
        .purpose(Purpose::Messages)
        .sandbus(&["0.2.0-draft"])
        .needs(SUBSCRIPTION),
    Interfaces::new("wasmcloud:messaging", &["handler"], "events")
        .purpose(Purpose::Messages)
        .sandbus(&["0.2.0", "0.3.0"])
        .wasmcloud(&["0.2.0", "0.3.0"])
        .needs(SUBSCRIPTION),
    Interfaces::new(
        "spin:redis",
        &["inbound-redis"],
        "this host has no trigger for Redis; export `wasi:messaging/incoming-handler` and subscribe to events",
    )
    .purpose(Purpose::Messages)
    .spin(&["3.0.0"]),
    Interfaces::new(
        "fermyon:spin",
        &["inbound-redis"],
        "this host has no trigger for Redis; export `wasi:messaging/incoming-handler` and subscribe to events",
    )
    .purpose(Purpose::Messages)
    .spin(&[""]),
    Interfaces::new(
        "fermyon:spin",
        &["inbound-http"],
        "this host calls `wasi:http/incoming-handler`; build the component with a current SDK of Spin",
    )
    .purpose(Purpose::Handler)
    .spin(&[""]),
];

/// Whether a platform calls an export.
pub(super) fn calls(platform: Platform, export: &str) -> bool {
    let name = Name::parse(export);
    find(EXPORTS, name).is_some_and(|interfaces| name.is_one_of(interfaces.versions(platform)))
}

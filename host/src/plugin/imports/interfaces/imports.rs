//! The imports.

use super::{Interfaces, Purpose, Versions};

/// WASI 0.2, in every host.
const RELEASE_0_2: Versions = &["0.2.x"];
/// WASI 0.3, in every host.
const RELEASE_0_3: Versions = &["0.3.x"];
/// Both.
const RELEASES: Versions = &["0.2.x", "0.3.x"];
/// WASI in Spin, which also provides the drafts that earlier versions of Spin had.
const SPIN_0_2: Versions = &["0.2.0-rc-2023-10-18", "0.2.0-rc-2023-11-10", "0.2.x"];
const SPIN_0_3: Versions = &["0.3.0-rc-2026-03-15", "0.3.x"];
const SPIN_BOTH: Versions = &["0.2.0-rc-2023-10-18", "0.2.0-rc-2023-11-10", "0.2.x", "0.3.0-rc-2026-03-15", "0.3.x"];

/// Telemetry, in every host.
const OTEL: Versions = &["0.2.0-rc.2"];

const HTTP_GRANT: &str = "[grants] http = [\"api.example.com\"]";
const PUBLISH_GRANT: &str = "[grants] publish = [\"order.placed\"]";
const VALUES: &str = "[config]";

const NO_SQL: &str = "this host has no SQL database; use `spin:key-value` or `wasi:keyvalue`";
const NO_CONNECTIONS: &str =
    "this host opens no connections to databases and brokers; send requests with `wasi:http`, or publish events";
const OTHER_CONTRACT: &str = "this host offers versions 0.1.0 and 0.2.0 of the contract; upgrade the host, or build the component with the SDK of this host";

/// An interface that WASI 0.2 and 0.3 both have.
const fn in_both(package: &'static str, names: &'static [&'static str], about: &'static str) -> Interfaces {
    Interfaces::new(package, names, about).sandbus(RELEASES).spin(SPIN_BOTH).wasmcloud(RELEASES).wasi_0_3(RELEASE_0_3)
}

/// An interface of WASI 0.2.
const fn in_0_2(package: &'static str, names: &'static [&'static str], about: &'static str) -> Interfaces {
    Interfaces::new(package, names, about).sandbus(RELEASE_0_2).spin(SPIN_0_2).wasmcloud(RELEASE_0_2)
}

/// An interface of WASI 0.3.
const fn in_0_3(package: &'static str, names: &'static [&'static str], about: &'static str) -> Interfaces {
    Interfaces::new(package, names, about)
        .sandbus(RELEASE_0_3)
        .spin(SPIN_0_3)
        .wasmcloud(RELEASE_0_3)
        .wasi_0_3(RELEASE_0_3)
}

/// All imports that are known.
pub(super) const IMPORTS: &[Interfaces] = &[
    Interfaces::new("sandbus:plugin", &["bus"], "publish, cancel, reply, subscribe, unsubscribe")
        .purpose(Purpose::Messages)
        .sandbus(&["0.1.x"])
        .other_version(OTHER_CONTRACT),
    Interfaces::new("sandbus:plugin", &["numbers"], "counters and sequences in the state")
        .sandbus(&["0.2.x"])
        .other_version(OTHER_CONTRACT),
    Interfaces::new("sandbus:plugin", &["client"], "requests to granted servers, in one call")
        .purpose(Purpose::Http)
        .sandbus(&["0.1.x"])
        .needs(HTTP_GRANT)
        .other_version(OTHER_CONTRACT),
    Interfaces::new("sandbus:plugin", &["types", "rules"], "types of the contract")
        .sandbus(&["0.1.x"])
        .other_version(OTHER_CONTRACT),
    Interfaces::new("sandbus:runtime", &[], "only prepared runtimes import it; build the plugin with `sandbus build`"),
    in_both("wasi:cli", &["environment"], "no variables and no arguments"),
    in_both("wasi:cli", &["exit"], "ends the call with a failure"),
    in_both("wasi:cli", &["stdin", "stdout", "stderr"], "no input; output becomes log lines"),
    in_both(
        "wasi:cli",
        &["terminal-input", "terminal-output", "terminal-stdin", "terminal-stdout", "terminal-stderr"],
        "no terminals",
    ),
    in_0_3("wasi:cli", &["types"], "types of the package"),
    in_both("wasi:clocks", &["monotonic-clock"], "time"),
    in_0_2("wasi:clocks", &["wall-clock"], "time"),
    in_0_3("wasi:clocks", &["system-clock", "types"], "time"),
    Interfaces::new("wasi:clocks", &["timezone"], "the time zone is UTC; build the component without it"),
    in_both("wasi:filesystem", &["types", "preopens"], "no files"),
    in_both("wasi:http", &["types"], "types of requests and responses"),
    in_0_2("wasi:http", &["outgoing-handler"], "requests to granted servers").purpose(Purpose::Http).needs(HTTP_GRANT),
    in_0_3("wasi:http", &["client"], "requests to granted servers").purpose(Purpose::Http).needs(HTTP_GRANT),
    Interfaces::new(
        "wasi:http",
        &["handler"],
        "this host does not chain handlers; compose the component with its next handler, for example with `wac plug`",
    )
    .wasi_0_3(RELEASE_0_3),
    in_0_2("wasi:io", &["error", "poll", "streams"], "streams"),
    in_both("wasi:random", &["random", "insecure", "insecure-seed"], "random numbers"),
    in_both("wasi:sockets", &["ip-name-lookup"], "no sockets"),
    in_0_2(
        "wasi:sockets",
        &["instance-network", "network", "tcp", "tcp-create-socket", "udp", "udp-create-socket"],
        "no sockets",
    ),
    in_0_3("wasi:sockets", &["types"], "no sockets"),
    Interfaces::new("wasi:keyvalue", &["store", "atomics", "batch"], "the plugin's state")
        .purpose(Purpose::KeyValue)
        .sandbus(&["0.2.0-draft", "0.2.0-draft2"])
        .spin(&["0.2.0-draft2"])
        .wasmcloud(&["0.2.0-draft"]),
    Interfaces::new("wasi:config", &["store"], "the plugin's configuration")
        .purpose(Purpose::Configuration)
        .sandbus(&["0.2.0-draft", "0.2.0-draft-2024-09-27", "0.2.0-rc.1"])
        .spin(&["0.2.0-draft-2024-09-27"])
        .wasmcloud(&["0.2.0-rc.1"])
        .needs(VALUES),
    Interfaces::new("wasi:config", &["runtime"], "the plugin's configuration")
        .purpose(Purpose::Configuration)
        .sandbus(&["0.2.0-draft"])
        .needs(VALUES),
    Interfaces::new("wasi:logging", &["logging"], "log lines")
        .purpose(Purpose::Logs)
        .sandbus(&["", "0.1.0-draft"])
        .wasmcloud(&["0.1.0-draft"]),
    Interfaces::new("wasi:messaging", &["types", "producer"], "publishes events")
        .purpose(Purpose::Messages)
        .sandbus(&["0.2.0-draft"])
        .needs(PUBLISH_GRANT),
    Interfaces::new(
        "wasi:messaging",
        &["request-reply"],
        "a handler cannot wait for a reply, because its messages are published when it ends; use `producer`",
    ),
    Interfaces::new("wasi:otel", &["types"], "types of the package").sandbus(OTEL).spin(OTEL).wasmcloud(OTEL),
    Interfaces::new("wasi:otel", &["tracing"], "spans in the trace of the invocation")
        .sandbus(OTEL)
        .spin(OTEL)
        .wasmcloud(OTEL),
    Interfaces::new("wasi:otel", &["logs"], "log lines")
        .purpose(Purpose::Logs)
        .sandbus(OTEL)
        .spin(OTEL)
        .wasmcloud(OTEL),
    Interfaces::new("wasi:otel", &["metrics"], "accepted and dropped").sandbus(OTEL).spin(OTEL).wasmcloud(OTEL),
    Interfaces::new("wasi:blobstore", &[], "this host has no blob store; use `wasi:keyvalue`")
        .wasmcloud(&["0.2.0-draft"]),
    Interfaces::new("wasi:tls", &[], "this host opens no connections; send requests with `wasi:http`"),
    Interfaces::new(
        "wasi:snapshot-preview1",
        &[],
        "this host offers WASI 0.2, and adapts core modules of WASI 0.1, but not components",
    ),
    Interfaces::new(
        "",
        &["wasi_snapshot_preview1"],
        "this host offers WASI 0.2, and adapts core modules of WASI 0.1, but not components",
    ),
    Interfaces::new("spin:key-value", &["key-value"], "the plugin's state, as the store `default`")
        .purpose(Purpose::KeyValue)
        .sandbus(&["3.0.0"])
        .spin(&["3.0.0"]),
    Interfaces::new("spin:variables", &["variables"], "the plugin's configuration")
        .purpose(Purpose::Configuration)
        .sandbus(&["3.0.0"])
        .spin(&["3.0.0"])
        .needs(VALUES),
    Interfaces::new("spin:sqlite", &["sqlite"], NO_SQL).purpose(Purpose::Sql).spin(&["3.0.0", "3.1.0"]),
    Interfaces::new("spin:postgres", &["postgres"], NO_CONNECTIONS)
        .purpose(Purpose::Sql)
        .spin(&["3.0.0", "4.0.0", "4.1.0", "4.2.0"]),
    Interfaces::new("spin:mysql", &["mysql"], NO_CONNECTIONS).purpose(Purpose::Sql).spin(&["3.0.0"]),
    Interfaces::new("spin:redis", &["redis"], NO_CONNECTIONS).purpose(Purpose::Messages).spin(&["3.0.0"]),
    Interfaces::new("spin:mqtt", &["mqtt"], NO_CONNECTIONS).purpose(Purpose::Messages).spin(&["3.0.0"]),
    Interfaces::new("fermyon:spin", &["key-value"], "the plugin's state, as the store `default`")
        .purpose(Purpose::KeyValue)
        .sandbus(&["2.0.0"])
        .spin(&["", "2.0.0"]),
    Interfaces::new("fermyon:spin", &["variables"], "the plugin's configuration")
        .purpose(Purpose::Configuration)
        .sandbus(&["2.0.0"])
        .spin(&["2.0.0"])
        .needs(VALUES),
    Interfaces::new("fermyon:spin", &["config"], "use `fermyon:spin/variables@2.0.0` or `wasi:config/store`")
        .purpose(Purpose::Configuration)
        .spin(&[""]),
    Interfaces::new("fermyon:spin", &["http"], "use `wasi:http/outgoing-handler`").purpose(Purpose::Http).spin(&[""]),
    Interfaces::new("fermyon:spin", &["sqlite"], NO_SQL).purpose(Purpose::Sql).spin(&["", "2.0.0"]),
    Interfaces::new("fermyon:spin", &["postgres", "mysql", "rdbms-types"], NO_CONNECTIONS)
        .purpose(Purpose::Sql)
        .spin(&["", "2.0.0"]),
    Interfaces::new("fermyon:spin", &["redis"], NO_CONNECTIONS).purpose(Purpose::Messages).spin(&["", "2.0.0"]),
    Interfaces::new("fermyon:spin", &["mqtt"], NO_CONNECTIONS).purpose(Purpose::Messages).spin(&["2.0.0"]),
    Interfaces::new(
        "fermyon:spin",
        &["llm"],
        "this host runs no language models; send requests to a service that does",
    )
    .spin(&["", "2.0.0"]),
    Interfaces::new("wasmcloud:messaging", &["types", "consumer"], "publishes events")
        .purpose(Purpose::Messages)
        .sandbus(&["0.2.0", "0.3.0"])
        .wasmcloud(&["0.2.0", "0.3.0"])
        .needs(PUBLISH_GRANT),
    Interfaces::new(
        "wasmcloud:keyvalue",
        &["types", "store", "atomics", "cas", "batch"],
        "use `wasi:keyvalue`, which gives the plugin's state",
    )
    .purpose(Purpose::KeyValue)
    .wasmcloud(&["0.2.0"]),
    Interfaces::new("wasmcloud:blobstore", &[], "this host has no blob store; use `wasi:keyvalue`")
        .wasmcloud(&["0.1.0"]),
    Interfaces::new("wasmcloud:postgres", &[], NO_CONNECTIONS)
        .purpose(Purpose::Sql)
        .wasmcloud(&["0.1.1-draft", "0.2.0"]),
    Interfaces::new("wasmcloud:secrets", &[], "secrets are part of the configuration; use `wasi:config/store`")
        .purpose(Purpose::Configuration)
        .wasmcloud(&["2.1.0"]),
];

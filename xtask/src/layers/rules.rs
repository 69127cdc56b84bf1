//! The rules: which module of the host may use which, and which module owns a crate.

/// A module, and the names of the sibling modules that it may use.
pub(crate) type LayerRule = (&'static str, &'static str);

/// The top-level modules of the host, from the bottom up: each uses only modules listed before it.
pub(crate) const HOST: &[LayerRule] = &[
    ("descriptors", ""),
    ("files", ""),
    ("printable", ""),
    ("secrecy", ""),
    ("secrets", "files"),
    ("spelling", ""),
    ("stderr", ""),
    ("lock", "files"),
    ("threads", ""),
    // The vocabulary.
    ("model", "secrecy"),
    ("toml_file", "model spelling"),
    ("outbound", "files model secrecy"),
    ("otlp", "model outbound secrecy"),
    // The two largest modules, which do not know each other.
    ("bus", "files lock model"),
    ("plugin", "files model otlp outbound printable secrecy secrets threads toml_file"),
    ("api", "model"),
    ("observer", "bus model"),
    ("ledger", "bus files model"),
    ("access", "files model"),
    ("login", "access files model outbound"),
    ("backup", "bus files ledger lock model"),
    ("problem", "api bus model"),
    ("telemetry", "bus model otlp plugin printable stderr"),
    ("server", "model problem"),
    ("dispatcher", "bus ledger model observer otlp outbound plugin telemetry threads"),
    ("ingress", "bus ledger model observer otlp plugin problem server telemetry threads"),
    ("canary", "bus model plugin secrecy threads"),
    ("scenario", "api bus dispatcher files ingress model otlp outbound plugin problem toml_file"),
    (
        "admin",
        "access api backup bus canary files ingress ledger login model otlp outbound plugin problem scenario secrecy server telemetry threads",
    ),
    ("config", "bus files ingress ledger login model outbound plugin secrets server telemetry toml_file"),
    // The composition root, which uses everything that it connects.
    (
        "host",
        "access admin api backup bus canary config descriptors dispatcher files ingress ledger lock login model observer otlp outbound plugin problem scenario secrets server stderr telemetry threads",
    ),
    // Commands.
    ("console", "printable stderr"),
    ("projects", "console"),
    ("dev", "bus config console host ingress model observer otlp plugin printable projects scenario telemetry"),
    (
        "cli",
        "access api admin backup config console dev host model observer otlp outbound plugin printable projects scenario secrecy secrets spelling telemetry toml_file",
    ),
];

/// The layers of `plugin/`, from the bottom up.
pub(crate) const PLUGIN: &[LayerRule] = &[
    ("bindings", ""),
    ("manifest", "bindings"),
    ("invocation", "bindings manifest"),
    ("imports", "bindings invocation manifest"),
    ("run", "bindings imports invocation manifest"),
    ("load", "imports invocation manifest run"),
    ("deploy", "load manifest run"),
];

/// Crates that only some modules may name, by a prefix of their names.
pub(crate) const OWNED_CRATES: &[(&str, &str)] = &[
    ("wasmtime", "plugin"),
    ("wasmparser", "plugin"),
    ("rusqlite", "bus::embedded ledger"),
    ("tokio_postgres", "bus::postgres"),
    ("hdrhistogram", "ledger"),
    ("croner", "model::schedule"),
    ("metrics_exporter_prometheus", "telemetry"),
    ("comfy_table", "cli"),
    ("clap_complete", "cli"),
    ("clap_mangen", "cli::man"),
    ("tower_http", "ingress::cors"),
    ("opentelemetry_proto", "otlp"),
    ("prost", "otlp"),
];

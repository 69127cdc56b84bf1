//! Describes imports that the host does not offer.

use std::fmt::{self, Display, Formatter};

/// Imports of a component that the host does not offer.
#[derive(Debug)]
pub struct MissingImportsError {
    pub(super) imports: Vec<String>,
    /// The engine's error, if the name of every import is known but one of them has another type.
    pub(super) mismatch: Option<wasmtime::Error>,
}

impl Display for MissingImportsError {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        if let Some(error) = &self.mismatch {
            return write!(formatter, "{error:#}; this host offers the interface in another form");
        }
        for (index, import) in self.imports.iter().enumerate() {
            let separator = if index > 0 { "; " } else { "" };
            write!(formatter, "{separator}`{import}` ({})", remedy(import))?;
        }
        Ok(())
    }
}

/// How to avoid or provide an import.
fn remedy(import: &str) -> &'static str {
    let (interface, version) = import.split_once('@').unwrap_or((import, ""));
    if interface.starts_with("wasi:") && version.starts_with("0.3.") {
        return "this host offers WASI 0.2; build the component for it";
    }
    let (package, name) = interface.split_once('/').unwrap_or(("", interface));
    match (package, name) {
        ("wasi:http", _) => "this host offers WASI 0.2; build the component for it",
        ("sandbus:runtime", _) => "only prepared runtimes import it; build the plugin with `sandbus build`",
        ("sandbus:plugin", _) => {
            "this host offers versions 0.1.0 and 0.2.0 of the contract; upgrade the host, or build the component with the SDK of this host"
        }
        ("wasi:cli" | "wasi:clocks" | "wasi:filesystem" | "wasi:io" | "wasi:random" | "wasi:sockets", _) => {
            "this host offers WASI 0.2; build the component for it"
        }
        ("wasi:config" | "wasi:keyvalue" | "wasi:logging", _) => "this host offers other drafts, see wit/plugin.wit",
        ("wasi:messaging", "request-reply") => {
            "a handler cannot wait for a reply, because its messages are published when it ends; use `producer`"
        }
        ("wasi:messaging", _) => "this host offers version 0.2.0-draft",
        ("wasmcloud:messaging", _) => "this host offers version 0.2.0",
        ("wasi:snapshot-preview1", _) | ("", "wasi_snapshot_preview1") => {
            "this host offers WASI 0.2, and adapts core modules of WASI 0.1, but not components"
        }
        _ => "this host does not provide it; build the component without it",
    }
}

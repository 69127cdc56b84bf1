//! What to say of imports that are not offered.

use std::fmt::{self, Display, Formatter};

/// What a component imports and nobody offers.
#[derive(Debug)]
pub struct MissingImports {
    pub(super) imports: Vec<String>,
    /// What the engine says, where every import is known by its name and one of them is not what the component
    /// takes it for.
    pub(super) mismatch: Option<wasmtime::Error>,
}

impl Display for MissingImports {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        if let Some(error) = &self.mismatch {
            return write!(formatter, "{error:#}; its interfaces are known here in another form");
        }
        for (index, import) in self.imports.iter().enumerate() {
            let separator = if index > 0 { "; " } else { "" };
            write!(formatter, "{separator}`{import}` ({})", remedy(import))?;
        }
        Ok(())
    }
}

/// What would provide an import.
fn remedy(import: &str) -> &'static str {
    let (interface, version) = import.split_once('@').unwrap_or((import, ""));
    if interface.starts_with("wasi:") && version.starts_with("0.3.") {
        return "WASI 0.3 is not offered; build the component for WASI 0.2";
    }
    let (package, name) = interface.split_once('/').unwrap_or(("", interface));
    match (package, name) {
        ("wasi:http", _) => "WASI 0.2's is offered; build the component for it",
        ("sandbus:plugin", _) => {
            "this host offers versions 0.1.0 and 0.2.0 of the contract; run a Sandbus that offers this one, or build the component with the SDK of this host"
        }
        ("wasi:cli" | "wasi:clocks" | "wasi:filesystem" | "wasi:io" | "wasi:random" | "wasi:sockets", _) => {
            "WASI 0.2 is offered; build the component for it"
        }
        ("wasi:config" | "wasi:keyvalue" | "wasi:logging", _) => "other drafts are offered, see wit/plugin.wit",
        ("wasi:messaging", "request-reply") => {
            "no reply can come while a handler runs: what it sends is published when it ends; send by `producer`"
        }
        ("wasi:messaging", _) => "its draft 0.2.0-draft is offered",
        ("wasmcloud:messaging", _) => "its version 0.2.0 is offered",
        ("wasi:snapshot-preview1", _) | ("", "wasi_snapshot_preview1") => {
            "WASI 0.2 is offered; a module of WASI 0.1 is adapted where it is no component yet"
        }
        _ => "nothing in this host provides it; build the component without it",
    }
}

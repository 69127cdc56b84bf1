//! What a component's imports are satisfied by, and what there is to say when they are not.

use std::fmt::{self, Display, Formatter};

use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasSelf, InstancePre, Linker, ResourceType};

use super::draft_interfaces;
use super::invocation::Invocation;
use super::messaging;
use super::wasi;
use crate::plugin::bindings;
use crate::plugin::bindings::additions::numbers;
use crate::plugin::bindings::sandbus::plugin;
use crate::plugin::bindings::wasi::{config, keyvalue, logging};

/// Links components.
pub(crate) struct Linking {
    engine: Engine,
    /// The contract alone: for plugins of an SDK, whose `describe` is held to be pure down to the clock.
    contract: Linker<Invocation>,
    /// The contract, and all that language runtimes expect.
    everything: Linker<Invocation>,
    /// The same, with the later text of what has changed under its name.
    later: Linker<Invocation>,
}

/// What a component imports and nobody offers.
#[derive(Debug)]
pub struct Missing {
    imports: Vec<String>,
    /// What the engine says, where every import is known by its name and one of them is not what the component
    /// takes it for.
    mismatch: Option<wasmtime::Error>,
}

impl Linking {
    pub(crate) fn new(engine: &Engine) -> wasmtime::Result<Self> {
        let mut contract = Linker::new(engine);
        bindings::PluginWithClient::add_to_linker::<_, HasSelf<Invocation>>(&mut contract, |invocation| invocation)?;
        numbers::add_to_linker::<_, HasSelf<Invocation>>(&mut contract, |invocation| invocation)?;
        let mut everything = Linker::new(engine);
        link_own(&mut everything)?;
        draft_interfaces::link(&mut everything)?;
        messaging::link(&mut everything)?;
        wasi::link(&mut everything)?;
        let mut later = everything.clone();
        draft_interfaces::link_later(&mut later)?;
        Ok(Self { engine: engine.clone(), contract, everything, later })
    }

    /// Satisfies a component's imports.
    pub(crate) fn link(&self, component: &Component) -> Result<InstancePre<Invocation>, Missing> {
        let linked = self.contract.instantiate_pre(component);
        let linked = linked.or_else(|_| self.everything.instantiate_pre(component));
        // What is wrong with all of them is told as of the one that most were built for.
        let linked = linked.or_else(|error| self.later.instantiate_pre(component).map_err(|_| error));
        linked.map_err(|error| {
            let component_type = component.component_type();
            let imports = component_type.imports(&self.engine);
            let missing = imports.filter(|(name, import)| !self.offers(name, &import.ty));
            let imports: Vec<_> = missing.map(|(name, _)| name.to_owned()).collect();
            let mismatch = imports.is_empty().then_some(error);
            Missing { imports, mismatch }
        })
    }

    /// Checks imports by their names alone.
    pub(crate) fn check_names(&self, imports: &[String]) -> Result<(), Missing> {
        let missing = imports.iter().filter(|name| !self.has(name) && !self.has(&as_offered(name)));
        let imports: Vec<_> = missing.cloned().collect();
        if imports.is_empty() { Ok(()) } else { Err(Missing { imports, mismatch: None }) }
    }

    /// Whether there is an interface of this name, whatever is in it.
    fn offers(&self, name: &str, import: &ComponentItem) -> bool {
        // A type by itself is satisfied by what it is made of.
        matches!(import, ComponentItem::Type(_)) || self.has(name) || self.has(&as_offered(name))
    }

    /// A name can be given once: what cannot be defined is there.
    fn has(&self, name: &str) -> bool {
        let mut linker = self.everything.clone();
        linker.root().resource(name, ResourceType::host::<()>(), |_, _| Ok(())).is_err()
    }
}

/// The release of WASI 0.2 by which its interfaces are linked. The engine takes any of them for another.
const RELEASE: &str = "0.2.12";

/// The name by which an interface of any release of WASI 0.2 is linked.
fn as_offered(name: &str) -> String {
    match name.split_once("@0.2.") {
        Some((interface, patch)) if patch.bytes().all(|byte| byte.is_ascii_digit()) => format!("{interface}@{RELEASE}"),
        _ => name.to_owned(),
    }
}

/// Links the contract without the clock and the random numbers, which are WASI's.
fn link_own(linker: &mut Linker<Invocation>) -> wasmtime::Result<()> {
    type Own = HasSelf<Invocation>;
    plugin::types::add_to_linker::<_, Own>(linker, |invocation| invocation)?;
    plugin::rules::add_to_linker::<_, Own>(linker, |invocation| invocation)?;
    plugin::bus::add_to_linker::<_, Own>(linker, |invocation| invocation)?;
    plugin::client::add_to_linker::<_, Own>(linker, |invocation| invocation)?;
    numbers::add_to_linker::<_, Own>(linker, |invocation| invocation)?;
    keyvalue::store::add_to_linker::<_, Own>(linker, |invocation| invocation)?;
    keyvalue::atomics::add_to_linker::<_, Own>(linker, |invocation| invocation)?;
    config::store::add_to_linker::<_, Own>(linker, |invocation| invocation)?;
    logging::logging::add_to_linker::<_, Own>(linker, |invocation| invocation)
}

impl Display for Missing {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        if let Some(error) = &self.mismatch {
            return write!(formatter, "{error:#}; its interfaces are known here in another form");
        }
        for (place, import) in self.imports.iter().enumerate() {
            let separator = if place > 0 { "; " } else { "" };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::run::engine::{EngineConfig, settings};

    fn linking() -> Linking {
        let config = EngineConfig { concurrency: 1, memory_bytes: 1 << 20, source_lines: false };
        Linking::new(&Engine::new(&settings(config)).unwrap()).unwrap()
    }

    fn link(imports: &str) -> Result<(), String> {
        let linking = linking();
        let component = wat::parse_str(format!("(component {imports})")).unwrap();
        let component = Component::new(&linking.engine, component).unwrap();
        linking.link(&component).map(drop).map_err(|missing| missing.to_string())
    }

    #[test]
    fn everything_that_is_missing_is_named_with_what_would_provide_it() {
        let error = link(
            r#"(import "wasi:random/random@0.2.3" (instance (export "get-random-u64" (func (result u64)))))
            (import "wasi:clocks/monotonic-clock@0.3.0" (instance (export "now" (func (result u64)))))
            (import "acme:paint/brush@1.0.0" (instance (export "dip" (func))))
            (import "mix" (func))"#,
        );
        assert_eq!(
            error.unwrap_err(),
            "`wasi:clocks/monotonic-clock@0.3.0` (WASI 0.3 is not offered; build the component for WASI 0.2); \
             `acme:paint/brush@1.0.0` (nothing in this host provides it; build the component without it); \
             `mix` (nothing in this host provides it; build the component without it)"
        );
    }

    #[test]
    fn an_interface_that_is_not_as_the_component_takes_it_is_said_to_be_so() {
        let error =
            link(r#"(import "wasi:random/random@0.2.3" (instance (export "get-random-u64" (func))))"#).unwrap_err();
        assert!(error.contains("wasi:random/random") && error.contains("in another form"), "{error}");
    }

    #[test]
    fn all_of_wasi_is_there_in_each_of_its_releases() {
        let linking = linking();
        for interface in [
            "cli/environment",
            "cli/exit",
            "cli/stdin",
            "cli/stdout",
            "cli/stderr",
            "cli/terminal-input",
            "cli/terminal-output",
            "cli/terminal-stdin",
            "cli/terminal-stdout",
            "cli/terminal-stderr",
            "clocks/monotonic-clock",
            "clocks/wall-clock",
            "filesystem/preopens",
            "filesystem/types",
            "http/types",
            "http/outgoing-handler",
            "io/error",
            "io/poll",
            "io/streams",
            "random/random",
            "random/insecure",
            "random/insecure-seed",
            "sockets/instance-network",
            "sockets/ip-name-lookup",
            "sockets/network",
            "sockets/tcp",
            "sockets/tcp-create-socket",
            "sockets/udp",
            "sockets/udp-create-socket",
        ] {
            for release in ["0.2.0", "0.2.3", "0.2.9", "0.2.12"] {
                let name = format!("wasi:{interface}@{release}");
                assert!(linking.has(&as_offered(&name)), "{name}");
            }
            assert!(!linking.has(&as_offered(&format!("wasi:{interface}@0.3.0"))));
        }
    }

    #[test]
    fn drafts_of_other_hosts_link() {
        let bucket = "(import \"wasi:keyvalue/store@0.2.0-draft\" (instance $store
            (export \"bucket\" (type $bucket (sub resource)))
            (type $error (variant (case \"no-such-store\") (case \"access-denied\") (case \"other\" string)))
            (export \"error\" (type $named (eq $error)))
            (type $page (record (field \"keys\" (list string)) (field \"cursor\" (option u64))))
            (export \"key-response\" (type $pages (eq $page)))
            (export \"open\" (func (param \"identifier\" string) (result (result (own $bucket) (error $named)))))
            (export \"[method]bucket.list-keys\" (func (param \"self\" (borrow $bucket))
                (param \"cursor\" (option u64)) (result (result $pages (error $named)))))))
            (alias export $store \"bucket\" (type $bucket)) (alias export $store \"error\" (type $error))";
        let with_bucket = |interface: &str, functions: &str| {
            let uses = "(alias outer 1 $bucket (type $of)) (export \"bucket\" (type $bucket (eq $of)))
                (alias outer 1 $error (type $failure)) (export \"error\" (type $error (eq $failure)))";
            link(&format!("{bucket} (import \"wasi:keyvalue/{interface}\" (instance {uses} {functions}))")).unwrap();
        };
        let increment = "(export \"increment\" (func (param \"bucket\" (borrow $bucket)) (param \"key\" string)
            (param \"delta\" u64) (result (result u64 (error $error)))))";
        with_bucket("atomics@0.2.0-draft", increment);
        let get_many = "(export \"get-many\" (func (param \"bucket\" (borrow $bucket)) (param \"keys\" (list string))
            (result (result (list (option (tuple string (list u8)))) (error $error)))))";
        with_bucket("batch@0.2.0-draft", get_many);
        // Two texts have one name.
        with_bucket("batch@0.2.0-draft2", get_many);
        with_bucket(
            "batch@0.2.0-draft2",
            "(export \"get-many\" (func (param \"bucket\" (borrow $bucket)) (param \"keys\" (list string))
            (result (result (list (tuple string (option (list u8)))) (error $error)))))",
        );
        link(
            "(import \"wasi:logging/logging\" (instance
                (type $level (enum \"trace\" \"debug\" \"info\" \"warn\" \"error\" \"critical\"))
                (export \"level\" (type $named (eq $level)))
                (export \"log\" (func (param \"level\" $named) (param \"context\" string) (param \"message\" string)))))",
        )
        .unwrap();
    }

    #[test]
    fn a_function_of_any_release_links() {
        for release in ["0.2.0", "0.2.3", "0.2.9", "0.2.12"] {
            link(&format!(
                r#"(import "wasi:random/random@{release}" (instance (export "get-random-u64" (func (result u64)))))"#
            ))
            .unwrap();
        }
    }
}

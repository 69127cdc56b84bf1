//! Links a component's imports, with the first of a few linkers that has all of them.

use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre, Linker, ResourceType};

use super::missing::MissingImportsError;
use super::{CONTRACT, LATER, Link, PREPARED, PURE, RUNTIMES};
use crate::plugin::invocation::InvocationContext;

/// The linkers.
pub(crate) struct Linkers {
    engine: Engine,
    /// For plugins built with an SDK: only the contract. Their `describe` may not even read the clock.
    sdk: Linker<InvocationContext>,
    /// For all other plugins: the contract, and what language runtimes expect.
    runtimes: Linker<InvocationContext>,
    /// Like `runtimes`, with the later version of interfaces whose name has two versions.
    later: Linker<InvocationContext>,
    /// Like `runtimes`, with the program of a script, for prepared runtimes.
    prepared: Linker<InvocationContext>,
}

impl Linkers {
    pub(crate) fn new(engine: &Engine) -> wasmtime::Result<Self> {
        let sdk = linker(Linker::new(engine), &[&CONTRACT, &PURE])?;
        let runtimes = linker(Linker::new(engine), &[&CONTRACT, &RUNTIMES])?;
        let later = linker(runtimes.clone(), &[&LATER])?;
        let prepared = linker(runtimes.clone(), &[&PREPARED])?;
        Ok(Self { engine: engine.clone(), sdk, runtimes, later, prepared })
    }

    /// Links a component's imports.
    pub(crate) fn link(&self, component: &Component) -> Result<InstancePre<InvocationContext>, MissingImportsError> {
        let linked = self.sdk.instantiate_pre(component);
        let linked = linked.or_else(|_| self.runtimes.instantiate_pre(component));
        // If no linker fits, the error of `runtimes` is reported, because most components are built for it.
        let linked = linked.or_else(|error| self.later.instantiate_pre(component).map_err(|_| error));
        linked.map_err(|error| self.missing(component, error))
    }

    /// Links the imports of a prepared runtime.
    pub(crate) fn link_runtime(
        &self,
        component: &Component,
    ) -> Result<InstancePre<InvocationContext>, MissingImportsError> {
        self.prepared.instantiate_pre(component).map_err(|error| self.missing(component, error))
    }

    fn missing(&self, component: &Component, error: wasmtime::Error) -> MissingImportsError {
        let component_type = component.component_type();
        let imports = component_type.imports(&self.engine);
        let missing = imports.filter(|(name, import)| !self.offers(name, &import.ty));
        let imports: Vec<_> = missing.map(|(name, _)| name.to_owned()).collect();
        let mismatch = imports.is_empty().then_some(error);
        MissingImportsError { imports, mismatch }
    }

    /// Checks the names of imports.
    pub(crate) fn check_names(&self, imports: &[String]) -> Result<(), MissingImportsError> {
        let missing = imports.iter().filter(|name| !self.has(name) && !self.has(&as_offered(name)));
        let imports: Vec<_> = missing.cloned().collect();
        if imports.is_empty() { Ok(()) } else { Err(MissingImportsError { imports, mismatch: None }) }
    }

    /// Whether an interface of this name is offered, with any content.
    fn offers(&self, name: &str, import: &ComponentItem) -> bool {
        // A type needs nothing from the host.
        matches!(import, ComponentItem::Type(_)) || self.has(name) || self.has(&as_offered(name))
    }

    fn has(&self, name: &str) -> bool {
        has(&self.runtimes, name)
    }
}

/// Adds interfaces to a linker.
fn linker(
    mut linker: Linker<InvocationContext>,
    interfaces: &[&[Link]],
) -> wasmtime::Result<Linker<InvocationContext>> {
    for link in interfaces.iter().copied().flatten() {
        link(&mut linker)?;
    }
    Ok(linker)
}

/// Whether a linker defines a name. A name can be defined only once, so a failure to define it shows that it exists.
fn has(linker: &Linker<InvocationContext>, name: &str) -> bool {
    linker.clone().root().resource(name, ResourceType::host::<()>(), |_, _| Ok(())).is_err()
}

/// The release of WASI 0.2 under whose names the interfaces are linked. The engine treats all releases alike.
const RELEASE: &str = "0.2.12";

/// The name under which an interface of any release of WASI 0.2 is linked.
fn as_offered(name: &str) -> String {
    match name.split_once("@0.2.") {
        Some((interface, patch)) if name.starts_with("wasi:") && patch.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{interface}@{RELEASE}")
        }
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use wit_bindgen_core::wit_parser::{Resolve, World, WorldItem};

    use super::*;
    use crate::plugin::run::engine::{EngineConfig, settings};

    fn linkers() -> Linkers {
        let config = EngineConfig { concurrency: 1, memory_bytes: 1 << 20, source_lines: false };
        Linkers::new(&Engine::new(&settings(config)).unwrap()).unwrap()
    }

    fn link(imports: &str) -> Result<(), String> {
        let linkers = linkers();
        let component = wat::parse_str(format!("(component {imports})")).unwrap();
        let component = Component::new(&linkers.engine, component).unwrap();
        linkers.link(&component).map(drop).map_err(|missing| missing.to_string())
    }

    #[test]
    fn missing_imports_are_named_with_a_remedy() {
        let error = link(
            r#"(import "wasi:random/random@0.2.3" (instance (export "get-random-u64" (func (result u64)))))
            (import "wasi:clocks/monotonic-clock@0.3.0" (instance (export "now" (func (result u64)))))
            (import "acme:paint/brush@1.0.0" (instance (export "dip" (func))))
            (import "mix" (func))"#,
        );
        assert_eq!(
            error.unwrap_err(),
            "`wasi:clocks/monotonic-clock@0.3.0` (this host offers WASI 0.2; build the component for it); \
             `acme:paint/brush@1.0.0` (this host does not provide it; build the component without it); \
             `mix` (this host does not provide it; build the component without it)"
        );
    }

    #[test]
    fn an_interface_in_another_form_is_reported() {
        let error =
            link(r#"(import "wasi:random/random@0.2.3" (instance (export "get-random-u64" (func))))"#).unwrap_err();
        assert!(error.contains("wasi:random/random") && error.contains("in another form"), "{error}");
    }

    /// The imports of the contract's worlds, by name, including what the imported interfaces use.
    fn imports_of_contract() -> Vec<(String, Vec<String>)> {
        let mut resolve = Resolve::default();
        for version in ["../wit", "../wit/0.2.0"] {
            resolve.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(version)).unwrap();
        }
        let is_own = |world: &&World| world.package.is_some_and(|id| resolve.packages[id].name.namespace == "sandbus");
        let imports = |world: &World| {
            let interfaces = world.imports.values().map(|item| match item {
                WorldItem::Interface { id, .. } => resolve.id_of(*id).unwrap(),
                other => panic!("{other:?} is not an interface"),
            });
            (world.name.clone(), interfaces.collect())
        };
        resolve.worlds.iter().map(|(_, world)| world).filter(is_own).map(imports).collect()
    }

    #[test]
    fn each_linker_offers_all_of_the_contract() {
        let linkers = linkers();
        let worlds = imports_of_contract();
        assert_eq!(worlds.len(), 7, "the worlds of every version are looked at: {worlds:?}");
        for (world, interfaces) in &worlds {
            for interface in interfaces {
                let missing =
                    |linker| format!("{linker} do not offer `{interface}`, which the world `{world}` imports");
                assert!(linkers.has(&as_offered(interface)), "{}", missing("RUNTIMES"));
                assert!(has(&linkers.later, &as_offered(interface)), "{}", missing("LATER"));
                // WASI's HTTP comes with the rest of WASI.
                if world != "plugin-with-http" {
                    assert!(has(&linkers.sdk, interface), "{}", missing("PURE"));
                }
            }
        }
    }

    #[test]
    fn all_of_wasi_is_there_in_each_of_its_releases() {
        let linkers = linkers();
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
                assert!(linkers.has(&as_offered(&name)), "{name}");
            }
            assert!(!linkers.has(&as_offered(&format!("wasi:{interface}@0.3.0"))));
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
        // Two versions have this name.
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

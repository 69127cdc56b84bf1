//! Links a component's imports with the first linker that offers all of them.

use wasmtime::Engine;
use wasmtime::component::types::{ComponentExtern, ComponentItem};
use wasmtime::component::{Component, InstancePre, Linker, ResourceType};

use super::draft_interfaces::BatchDraft;
use super::interfaces::ImportName;
use super::labelled;
use super::missing::MissingImportsError;
use super::{CLOCK_AND_RANDOM, CONCURRENT, CONTRACT, LATER_DRAFTS, Link, OTHER_HOSTS, PREPARED, SYNCHRONOUS};
use crate::plugin::invocation::InstanceData;
use crate::plugin::invocation::guest_call::CallModel;
use crate::plugin::manifest::labelled_imports::{LabelledImport, LabelledKind};

/// The linkers.
pub(crate) struct Linkers {
    engine: Engine,
    model: CallModel,
    /// For components that import nothing but the contract, such as those of the Rust SDK. During `describe`, even the
    /// clock traps.
    contract: Linker<InstanceData>,
    /// For all other components: the contract, WASI, and interfaces of other hosts.
    with_wasi: Linker<InstanceData>,
    /// Like `with_wasi`, with the later draft of interfaces whose name has two drafts.
    later_drafts: Linker<InstanceData>,
    /// Like `with_wasi`, with the program of a script, for prepared runtimes.
    prepared: Linker<InstanceData>,
}

impl Linkers {
    pub(crate) fn new(engine: &Engine, model: CallModel) -> wasmtime::Result<Self> {
        let wasi: &[Link] = match model {
            CallModel::Synchronous => &SYNCHRONOUS,
            CallModel::Concurrent => &CONCURRENT,
        };
        let contract = linker(Linker::new(engine), &[&CONTRACT, &CLOCK_AND_RANDOM])?;
        let with_wasi = linker(Linker::new(engine), &[&CONTRACT, &OTHER_HOSTS, wasi])?;
        let later_drafts = linker(with_wasi.clone(), &[&LATER_DRAFTS])?;
        let prepared = linker(with_wasi.clone(), &[&PREPARED])?;
        Ok(Self { engine: engine.clone(), model, contract, with_wasi, later_drafts, prepared })
    }

    /// How components with these imports are called.
    pub(crate) fn model(&self) -> CallModel {
        self.model
    }

    /// Links a component's imports.
    pub(crate) fn link(&self, component: &Component) -> Result<InstancePre<InstanceData>, MissingImportsError> {
        let labelled = labelled::imports_of(component);
        if !labelled.is_empty() {
            return self.link_labelled(component, &labelled);
        }
        let linked = self.contract.instantiate_pre(component);
        let linked = linked.or_else(|_| self.with_wasi.instantiate_pre(component));
        // If no linker fits, the error of `with_wasi` is reported, because most components are built for it.
        let linked = linked.or_else(|error| self.later_drafts.instantiate_pre(component).map_err(|_| error));
        linked.map_err(|error| self.missing(component, error))
    }

    /// Links a component some of whose imports have labels. They differ between components, so each gets a linker.
    fn link_labelled(
        &self,
        component: &Component,
        imports: &[LabelledImport],
    ) -> Result<InstancePre<InstanceData>, MissingImportsError> {
        let link = |linker: &Linker<_>, draft| {
            let mut linker = linker.clone();
            labelled::link(&mut linker, imports, draft)?;
            linker.instantiate_pre(component)
        };
        let linked = link(&self.with_wasi, BatchDraft::Earlier);
        let linked = linked.or_else(|error| link(&self.later_drafts, BatchDraft::Later).map_err(|_| error));
        linked.map_err(|error| self.missing(component, error))
    }

    /// Links the imports of a prepared runtime.
    pub(crate) fn link_prepared_runtime(
        &self,
        component: &Component,
    ) -> Result<InstancePre<InstanceData>, MissingImportsError> {
        self.prepared.instantiate_pre(component).map_err(|error| self.missing(component, error))
    }

    fn missing(&self, component: &Component, error: wasmtime::Error) -> MissingImportsError {
        let component_type = component.component_type();
        let imports = component_type.imports(&self.engine);
        // A type needs nothing from the host.
        let others = imports.filter(|(_, import)| !matches!(import.ty, ComponentItem::Type(_)));
        let names = others.map(|(name, import)| name_of(name, &import));
        let imports: Vec<_> = names.filter(|import| !self.offers(import)).collect();
        let mismatch = imports.is_empty().then_some(error);
        MissingImportsError { imports, mismatch }
    }

    /// Checks the names of imports.
    pub(crate) fn check_names(&self, imports: &[ImportName]) -> Result<(), MissingImportsError> {
        let missing = imports.iter().filter(|import| !self.offers(import));
        let imports: Vec<_> = missing.cloned().collect();
        if imports.is_empty() { Ok(()) } else { Err(MissingImportsError { imports, mismatch: None }) }
    }

    /// Whether an import of this name is offered, with any content.
    fn offers(&self, import: &ImportName) -> bool {
        match &import.implements {
            Some(interface) => LabelledKind::of(interface).is_some(),
            None => self.has(&import.name) || self.has(&as_offered(&import.name)),
        }
    }

    fn has(&self, name: &str) -> bool {
        has(&self.with_wasi, name)
    }
}

fn name_of(name: &str, import: &ComponentExtern<'_>) -> ImportName {
    ImportName { name: name.to_owned(), implements: import.implements.map(str::to_owned) }
}

/// Adds interfaces to a linker.
fn linker(mut linker: Linker<InstanceData>, interfaces: &[&[Link]]) -> wasmtime::Result<Linker<InstanceData>> {
    for link in interfaces.iter().copied().flatten() {
        link(&mut linker)?;
    }
    Ok(linker)
}

/// Whether a linker defines a name. A name can be defined only once, so a failure to define it shows that it exists.
fn has(linker: &Linker<InstanceData>, name: &str) -> bool {
    linker.clone().root().resource(name, ResourceType::host::<()>(), |_, _| Ok(())).is_err()
}

/// The releases of WASI under whose names the interfaces are linked. The engine treats all releases with the same first
/// two numbers alike.
const RELEASES: [&str; 2] = ["0.2.12", "0.3.0"];

/// The name under which an interface of any release of WASI 0.2 or 0.3 is linked.
fn as_offered(name: &str) -> String {
    let Some((interface, version)) = name.split_once('@').filter(|_| name.starts_with("wasi:")) else {
        return name.to_owned();
    };
    let release = RELEASES.iter().find(|release| {
        let (series, _) = release.rsplit_once('.').expect("a release has three numbers");
        let patch = version.strip_prefix(series).and_then(|rest| rest.strip_prefix('.'));
        patch.is_some_and(|patch| patch.bytes().all(|byte| byte.is_ascii_digit()))
    });
    release.map_or_else(|| name.to_owned(), |release| format!("{interface}@{release}"))
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use wit_bindgen_core::wit_parser::{Resolve, World, WorldItem};

    use super::*;
    use crate::plugin::run::engine::{self, EngineConfig};

    impl Linkers {
        /// Whether an interface of this name is offered.
        pub(in crate::plugin::imports) fn offers_name(&self, name: &str) -> bool {
            self.offers(&ImportName { name: name.to_owned(), implements: None })
        }
    }

    fn linkers() -> Linkers {
        linkers_for(CallModel::Synchronous)
    }

    pub(in crate::plugin::imports) fn linkers_for(model: CallModel) -> Linkers {
        let config = EngineConfig {
            concurrency: 1,
            memory_bytes: 1 << 20,
            source_lines: false,
            wasi_0_3: true,
            labelled_imports: true,
        };
        Linkers::new(&engine::start(config, model).unwrap(), model).unwrap()
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
            (import "wasi:clocks/monotonic-clock@0.3.0-rc-2026-03-15" (instance (export "now" (func (result u64)))))
            (import "acme:paint/brush@1.0.0" (instance (export "dip" (func))))
            (import "mix" (func))"#,
        );
        assert_eq!(
            error.unwrap_err(),
            "`wasi:clocks/monotonic-clock@0.3.0-rc-2026-03-15` (this host offers WASI 0.3.0, but not its drafts; build the component for 0.3.0); \
             `acme:paint/brush@1.0.0`, `mix` (this host does not provide it; build the component without it)"
        );
    }

    #[test]
    fn interfaces_of_spin_and_wasmcloud_that_are_missing_come_with_a_remedy() {
        for (import, words) in [
            ("spin:sqlite/sqlite@3.1.0", "use `spin:key-value`"),
            ("fermyon:spin/redis@2.0.0", "opens no connections"),
            ("spin:postgres/postgres@4.2.0", "opens no connections"),
            ("fermyon:spin/llm@2.0.0", "runs no language models"),
            ("spin:key-value/key-value@4.0.0", "offers version 3.0.0"),
            ("wasi:otel/tracing@0.2.0-draft", "offers version 0.2.0-rc.2"),
            ("wasi:blobstore/blobstore@0.2.0-draft", "no blob store"),
            ("wasmcloud:secrets/store@0.1.0-draft", "part of the configuration"),
            ("wasi:http/handler@0.3.0", "does not chain handlers"),
            ("wasi:clocks/timezone@0.3.0", "time zone is UTC"),
            ("wasi:cli/nothing@0.3.0", "other interfaces of `wasi:cli`"),
            ("wasi:io/streams@0.2.0-rc-2023-11-10", "offers version 0.2.x"),
            ("wasi:keyvalue/store@0.2.0", "offers versions 0.2.0-draft and 0.2.0-draft2"),
        ] {
            let error = link(&format!("(import \"{import}\" (instance (export \"f\" (func))))")).unwrap_err();
            assert!(error.contains(words), "{import}: {error}");
        }
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
                assert!(linkers.has(&as_offered(interface)), "{}", missing("OTHER_HOSTS"));
                assert!(has(&linkers.later_drafts, &as_offered(interface)), "{}", missing("LATER_DRAFTS"));
                // WASI's HTTP comes with the rest of WASI.
                if world != "plugin-with-http" {
                    assert!(has(&linkers.contract, interface), "{}", missing("CLOCK_AND_RANDOM"));
                }
            }
        }
    }

    /// Interfaces that WASI 0.2 and 0.3 have under the same name.
    const IN_BOTH: [&str; 18] = [
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
        "filesystem/preopens",
        "filesystem/types",
        "http/types",
        "random/random",
        "random/insecure",
        "random/insecure-seed",
        "sockets/ip-name-lookup",
    ];

    #[test]
    fn all_of_wasi_is_there_in_each_of_its_releases() {
        let linkers = linkers();
        let only_here = [
            "clocks/wall-clock",
            "http/outgoing-handler",
            "io/error",
            "io/poll",
            "io/streams",
            "sockets/instance-network",
            "sockets/network",
            "sockets/tcp",
            "sockets/tcp-create-socket",
            "sockets/udp",
            "sockets/udp-create-socket",
        ];
        for interface in IN_BOTH.into_iter().chain(only_here) {
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
    fn all_of_wasi_0_3_is_there_for_concurrent_calls() {
        let linkers = linkers_for(CallModel::Concurrent);
        let only_here = ["cli/types", "clocks/system-clock", "clocks/types", "http/client", "sockets/types"];
        for interface in IN_BOTH.into_iter().chain(only_here) {
            for release in ["0.3.0", "0.3.2"] {
                assert!(linkers.has(&as_offered(&format!("wasi:{interface}@{release}"))), "{interface}@{release}");
            }
            let draft = format!("wasi:{interface}@0.3.0-rc-2026-03-15");
            assert!(!linkers.has(&as_offered(&draft)), "{draft}");
        }
        for interface in ["cli/stdout", "http/outgoing-handler", "io/streams", "random/random"] {
            assert!(linkers.has(&as_offered(&format!("wasi:{interface}@0.2.3"))), "{interface}");
        }
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

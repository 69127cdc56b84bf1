//! The imports and exports of a component.

use wasmparser::{ComponentTypeRef, Encoding, Parser, Payload};

use super::ScreeningError;
use super::features::has_async_functions;
use super::module::BuildTools;
use crate::plugin::imports::interfaces::ImportName;
use crate::plugin::manifest::labelled_imports::MAX_LABELS;

/// The names of a component's imports and exports.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ComponentInterface {
    /// The imports. Imported types are left out, because they need nothing from the host.
    pub(crate) imports: Vec<ImportName>,
    /// The exports, of any kind.
    pub(crate) exports: Vec<String>,
}

impl ComponentInterface {
    /// Reads the names from a valid component.
    pub(crate) fn of(component: &[u8]) -> Result<Self, ScreeningError> {
        let mut exterior = Self::default();
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(component) {
            let failed = |error: wasmparser::Error| ScreeningError::Malformed {
                offset: error.offset(),
                message: error.message().to_owned(),
            };
            match payload.map_err(failed)? {
                Payload::Version { encoding: Encoding::Module | Encoding::Component, .. } => depth += 1,
                Payload::End(_) => depth -= 1,
                Payload::ComponentImportSection(section) if depth == 1 => {
                    let imports = section.into_iter().flatten();
                    let imports = imports.filter(|import| !matches!(import.ty, ComponentTypeRef::Type(_)));
                    exterior.imports.extend(imports.map(|import| ImportName {
                        name: import.name.name.to_owned(),
                        implements: import.name.implements.map(str::to_owned),
                    }));
                }
                Payload::ComponentExportSection(section) if depth == 1 => {
                    exterior.exports.extend(section.into_iter().flatten().map(|export| export.name.name.to_owned()));
                }
                _ => {}
            }
        }
        Ok(exterior)
    }

    /// Whether the component needs concurrent calls: for WASI 0.3, or for asynchronous functions of its own.
    pub(crate) fn needs_concurrency(&self, component: &[u8]) -> bool {
        let is_of_wasi_0_3 = |name: &str| name.starts_with("wasi:") && name.contains("@0.3.");
        let imports = self.imports.iter().map(ImportName::interface);
        imports.chain(self.exports.iter().map(String::as_str)).any(is_of_wasi_0_3) || has_async_functions(component)
    }

    /// Whether it imports an interface under a label of its own.
    pub(crate) fn has_labels(&self) -> bool {
        self.imports.iter().any(|import| import.implements.is_some())
    }

    /// Checks that there is a handler to call, and that the number of labels is limited.
    pub(crate) fn check(&self) -> Result<(), ScreeningError> {
        const CALLED: [&str; 5] = [
            "sandbus:plugin/descriptor",
            "wasi:http/handler",
            "wasi:http/incoming-handler",
            "wasi:messaging/incoming-handler",
            "wasmcloud:messaging/handler",
        ];
        let draft = self.exports.iter().find(|export| export.starts_with("wasi:") && export.contains("@0.3.0-"));
        if let Some(draft) = draft {
            return Err(ScreeningError::Draft(draft.clone()));
        }
        if self.imports.iter().filter(|import| import.implements.is_some()).count() > MAX_LABELS {
            return Err(ScreeningError::TooManyLabels);
        }
        let has = |interface: &str| self.exports.iter().find(|export| export.split('@').next() == Some(interface));
        if CALLED.iter().any(|interface| has(interface).is_some()) {
            return Ok(());
        }
        Err(match has("wasi:cli/run") {
            Some(run) => {
                let version = if run.contains("@0.3.") { "0.3" } else { "0.2" };
                ScreeningError::Command { version, maker: BuildTools::default() }
            }
            None => ScreeningError::NoDescriptor,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_and_exports_are_read_and_checked() {
        let component = wat::parse_str(
            "(component
                (import \"wasi:io/error@0.2.0\" (instance $io))
                (import \"t\" (type (sub resource)))
                (import \"cache\" (implements \"wasi:keyvalue/store@0.2.0-draft2\") (instance))
                (component (import \"inner\" (instance $inner)) (export \"sandbus:plugin/descriptor\" (instance $inner)))
                (core module (import \"x\" \"y\" (func)))
                (export \"wasi:cli/run@0.2.3\" (instance $io)))",
        )
        .unwrap();
        let exterior = ComponentInterface::of(&component).unwrap();
        let imports: Vec<_> = exterior.imports.iter().map(ImportName::interface).collect();
        assert_eq!(imports, ["wasi:io/error@0.2.0", "wasi:keyvalue/store@0.2.0-draft2"]);
        assert!(exterior.has_labels());
        let label =
            |number| ImportName { name: format!("a{number}"), implements: Some("wasi:logging/logging".to_owned()) };
        for (count, is_accepted) in [(MAX_LABELS, true), (MAX_LABELS + 1, false)] {
            let exports = vec!["wasi:http/handler@0.3.0".to_owned()];
            let interface = ComponentInterface { imports: (0..count).map(label).collect(), exports };
            assert_eq!(interface.check().is_ok(), is_accepted, "{count} labels");
        }
        assert_eq!(exterior.exports, ["wasi:cli/run@0.2.3"]);
        let exporting = |names: &[&str]| {
            let exports = names.iter().map(|name| (*name).to_owned()).collect();
            ComponentInterface { imports: Vec::new(), exports }.check().map_err(|error| error.to_string())
        };
        let needs_concurrency = |text: &str| {
            let component = wat::parse_str(text).unwrap();
            ComponentInterface::of(&component).unwrap().needs_concurrency(&component)
        };
        assert!(!needs_concurrency("(component (import \"wasi:io/error@0.2.0\" (instance)))"));
        assert!(needs_concurrency("(component (import \"wasi:random/random@0.3.0\" (instance)))"));
        assert!(needs_concurrency("(component (import \"f\" (func async)))"));
        for called in [
            "sandbus:plugin/descriptor@0.1.0",
            "wasi:http/handler@0.3.0",
            "wasi:http/incoming-handler@0.2.4",
            "wasi:messaging/incoming-handler@0.2.0-draft",
            "wasmcloud:messaging/handler@0.2.0",
        ] {
            assert_eq!(exporting(&["wasi:cli/run@0.2.3", called]), Ok(()));
        }
        for (names, words) in [
            (&["wasi:cli/run@0.2.3"][..], "command of WASI 0.2"),
            (&["wasi:cli/run@0.3.0"], "command of WASI 0.3"),
            (&["wasi:http/handler@0.3.0-rc-2026-03-15"], "draft of WASI 0.3"),
            (&["acme:paint/brush"], "does not export"),
            (&[], "does not export"),
        ] {
            let error = exporting(names).unwrap_err();
            assert!(error.contains(words), "{names:?}: {error}");
        }
    }
}

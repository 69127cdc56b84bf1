//! The imports and exports of a component.

use wasmparser::{ComponentTypeRef, Encoding, Parser, Payload};

use super::ScreeningError;
use super::module::BuildTools;

/// The names of a component's imports and exports.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ComponentInterface {
    /// The imports, without types, which need nothing from the host.
    pub(crate) imports: Vec<String>,
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
                    exterior.imports.extend(imports.map(|import| import.name.name.to_owned()));
                }
                Payload::ComponentExportSection(section) if depth == 1 => {
                    exterior.exports.extend(section.into_iter().flatten().map(|export| export.name.name.to_owned()));
                }
                _ => {}
            }
        }
        Ok(exterior)
    }

    /// Checks that there is a handler to call.
    pub(crate) fn check_exports(&self) -> Result<(), ScreeningError> {
        const CALLED: [&str; 4] = [
            "sandbus:plugin/descriptor",
            "wasi:http/incoming-handler",
            "wasi:messaging/incoming-handler",
            "wasmcloud:messaging/handler",
        ];
        let has = |interface: &str| self.exports.iter().find(|export| export.split('@').next() == Some(interface));
        if CALLED.iter().any(|interface| has(interface).is_some()) {
            return Ok(());
        }
        if let Some(later) = self.exports.iter().find(|export| export.starts_with("wasi:") && export.contains("@0.3."))
        {
            return Err(ScreeningError::Later(later.clone()));
        }
        Err(match has("wasi:cli/run") {
            Some(_) => ScreeningError::Command { version: "0.2", maker: BuildTools::default() },
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
                (component (import \"inner\" (instance $inner)) (export \"sandbus:plugin/descriptor\" (instance $inner)))
                (core module (import \"x\" \"y\" (func)))
                (export \"wasi:cli/run@0.2.3\" (instance $io)))",
        )
        .unwrap();
        let exterior = ComponentInterface::of(&component).unwrap();
        assert_eq!(exterior.imports, ["wasi:io/error@0.2.0"]);
        assert_eq!(exterior.exports, ["wasi:cli/run@0.2.3"]);
        let exporting = |names: &[&str]| {
            let exports = names.iter().map(|name| (*name).to_owned()).collect();
            ComponentInterface { imports: Vec::new(), exports }.check_exports().map_err(|error| error.to_string())
        };
        for called in [
            "sandbus:plugin/descriptor@0.1.0",
            "wasi:http/incoming-handler@0.2.4",
            "wasi:messaging/incoming-handler@0.2.0-draft",
            "wasmcloud:messaging/handler@0.2.0",
        ] {
            assert_eq!(exporting(&["wasi:cli/run@0.2.3", called]), Ok(()));
        }
        for (names, words) in [
            (&["wasi:cli/run@0.2.3"][..], "command of WASI 0.2"),
            (&["wasi:http/handler@0.3.0"], "WASI 0.3"),
            (&["wasi:cli/run@0.3.0-rc-2025-09-16"], "WASI 0.3"),
            (&["acme:paint/brush"], "does not export"),
            (&[], "does not export"),
        ] {
            let error = exporting(names).unwrap_err();
            assert!(error.contains(words), "{names:?}: {error}");
        }
    }
}

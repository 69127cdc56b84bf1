//! Checks whether a core module can be made into a plugin, and otherwise what it was built for.

use std::fmt::{self, Display, Formatter};

use wasmparser::{CustomSectionReader, ExternalKind, KnownCustom, Parser, Payload, TypeRef};

use super::ScreeningError;

/// The languages and tools that built a module, as far as it names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildTools(Vec<String>);

impl Display for BuildTools {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [] => Ok(()),
            names => write!(formatter, " made by {}", names.join(" and ")),
        }
    }
}

impl BuildTools {
    /// Reads the names in a `producers` section (tool-conventions, ProducersSection.md).
    fn read(&mut self, section: &CustomSectionReader<'_>) {
        let KnownCustom::Producers(fields) = section.as_known() else { return };
        let values = fields.into_iter().flatten().flat_map(|field| field.values.into_iter().flatten());
        for name in values.map(|value| value.name.to_owned()) {
            if !self.0.contains(&name) && self.0.len() < 3 {
                self.0.push(name);
            }
        }
    }
}

/// Checks what a core module was built for.
pub(super) fn check(bytes: &[u8]) -> Result<(), ScreeningError> {
    let (mut is_typed, mut starts, mut imports, mut maker) = (false, false, Vec::new(), BuildTools::default());
    for payload in Parser::new(0).parse_all(bytes) {
        // The validator has accepted the module.
        let Ok(payload) = payload else { return Ok(()) };
        match payload {
            Payload::CustomSection(section) => {
                is_typed |= section.name().starts_with("component-type");
                maker.read(&section);
            }
            Payload::ImportSection(section) => {
                let all = section.into_imports().flatten();
                imports
                    .extend(all.filter(|import| !matches!(import.ty, TypeRef::Global(_))).map(|import| import.module));
            }
            Payload::ExportSection(section) => {
                starts |= section
                    .into_iter()
                    .flatten()
                    .any(|export| export.name == "_start" && export.kind == ExternalKind::Func);
            }
            _ => {}
        }
    }
    if let Some((import, origin)) = imports.iter().find_map(|module| Some((*module, foreign(module)?))) {
        return Err(ScreeningError::Foreign { maker, import: import.to_owned(), origin });
    }
    match (is_typed, starts) {
        (true, _) => Ok(()),
        (false, true) => Err(ScreeningError::Command { version: "0.1", maker }),
        (false, false) => Err(ScreeningError::Untyped { maker }),
    }
}

/// Which host provides an imported module, and what to do.
fn foreign(module: &str) -> Option<&'static str> {
    match module {
        _ if module == "wbg" || module.starts_with("__wbindgen") || module.ends_with("_bg.js") => Some(
            "wasm-bindgen provides in browsers; disable the features that use it, such as `js`, `wasmbind` or `wasm-bindgen`; `sandbus build` on its project names the crate",
        ),
        // The name after Emscripten's optimisation.
        "env" | "a" => Some(
            "the JavaScript of Emscripten or AssemblyScript provides, or a linker left unresolved; link everything into it, or build it for wasm32-unknown-unknown or WASI",
        ),
        "go" | "gojs" => Some(
            "the JavaScript of Go or TinyGo provides; build it with the SDK for Go, or with GOOS=wasip1 and component types, as guest-sdk/without-an-sdk.md shows",
        ),
        "wasix_32v1" | "wasix_64v1" => Some("only Wasmer provides (WASIX); build it for WASI"),
        _ if module.starts_with("./") || module.ends_with(".js") || module.ends_with(".mjs") => {
            Some("JavaScript next to it provides; build it for WASI, or as a component")
        }
        "wasi_unstable" => Some("is older than WASI 0.1; build it with a current compiler"),
        _ => None,
    }
}

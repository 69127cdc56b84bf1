//! What can be said of a file before it is compiled, which takes seconds: what it is in place of a plugin, which parts of
//! WebAssembly it needs that this host does not run, and what it is reached by.

use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};

use wasmparser::{
    ComponentTypeRef, CustomSectionReader, Encoding, ExternalKind, KnownCustom, Parser, Payload, TypeRef, Validator,
    WasmFeatures,
};

/// Why a file cannot be a plugin, whatever a compiler makes of it.
#[derive(Debug, thiserror::Error)]
pub enum ScreeningError {
    /// It is something else.
    #[error("it is not WebAssembly{0}; build it for wasm32-unknown-unknown or as a component")]
    NotWasm(&'static str),
    /// It uses what the engine does not have.
    #[error("it uses {0}")]
    Features(Features),
    /// It is malformed.
    #[error("it is malformed at byte {offset}, and may be truncated: {message}; copy or build it again")]
    Malformed {
        /// Where.
        offset: usize,
        /// What the validator says.
        message: String,
    },
    /// It is a program with a `main`.
    #[error(
        "it is a command of WASI {version}{maker}, a program that runs once from its `main`, and Sandbus calls handlers; build it as a library with a Sandbus SDK, or let it serve `wasi:http`"
    )]
    Command {
        /// Of which version.
        version: &'static str,
        /// What it was made by.
        maker: BuildTools,
    },
    /// It serves an interface that this host does not call.
    #[error("it exports `{0}`, which is of WASI 0.3, and this host offers WASI 0.2; build it for WASI 0.2")]
    Later(String),
    /// It needs somebody else's host.
    #[error("it is a core module{maker} that imports `{import}`, which {origin}")]
    Foreign {
        /// What it was made by.
        maker: BuildTools,
        /// The module that is imported.
        import: String,
        /// Who provides it, and what to do.
        origin: &'static str,
    },
    /// It is a module without the types of a component.
    #[error(
        "it is a core module{maker} without the types that make it a component; build it with a Sandbus SDK, or add them by `wasm-tools component embed --world plugin` as guest-sdk/without-an-sdk.md shows"
    )]
    Untyped {
        /// What it was made by.
        maker: BuildTools,
    },
    /// It exports nothing that this host calls.
    #[error(
        "it exports none of `sandbus:plugin/descriptor`, `wasi:http/incoming-handler` and `wasi:messaging/incoming-handler`; build it with a Sandbus SDK, or see wit/plugin.wit"
    )]
    NoDescriptor,
}

/// What a module was made by, as far as it says so.
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
    /// Names each language and tool of a `producers` section once (tool-conventions, ProducersSection.md).
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

impl ScreeningError {
    fn malformed_at(offset: u64, message: &str) -> Self {
        Self::Malformed { offset: usize::try_from(offset).unwrap_or(usize::MAX), message: message.to_owned() }
    }
}

/// Parts of WebAssembly that a file needs and this host does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features(Vec<WasmFeatures>);

/// What any engine of today runs, and so is nothing to complain of.
const COMMON: WasmFeatures = WasmFeatures::WASM1
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::CALL_INDIRECT_OVERLONG)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::COMPONENT_MODEL);

/// What the engine may run besides: it decides itself. A module has one memory, since the pool has room for one.
const POSSIBLE: WasmFeatures = COMMON.union(WasmFeatures::MEMORY64).union(WasmFeatures::FUNCTION_REFERENCES);

/// What to call a feature, and what to do about it.
const TOLD: [(WasmFeatures, &str, &str); 17] = [
    (
        WasmFeatures::GC,
        "garbage collection (WebAssembly GC)",
        "choose a language or a compiler that brings its own memory management",
    ),
    (
        WasmFeatures::EXCEPTIONS,
        "exceptions",
        "build it without them: in Rust with panic = \"abort\", in C++ with -fno-exceptions",
    ),
    (
        WasmFeatures::LEGACY_EXCEPTIONS,
        "exceptions in their first form",
        "build it without them: in Rust with panic = \"abort\", in C++ with -fno-exceptions",
    ),
    (
        WasmFeatures::THREADS,
        "threads (shared memory or atomics)",
        "build it without them: not for a `-threads` target, and without -pthread or the target feature `atomics`",
    ),
    (WasmFeatures::SHARED_EVERYTHING_THREADS, "threads (shared everything)", "build it without them"),
    (WasmFeatures::MULTI_MEMORY, "several memories", "build it with one memory"),
    (WasmFeatures::MEMORY64, "64-bit memory (memory64)", "build it for wasm32"),
    (WasmFeatures::FUNCTION_REFERENCES, "typed function references", "build it without them"),
    (WasmFeatures::STACK_SWITCHING, "stack switching", "build it without it"),
    (WasmFeatures::WIDE_ARITHMETIC, "wide arithmetic", "build it without the target feature `wide-arithmetic`"),
    (WasmFeatures::CUSTOM_PAGE_SIZES, "memory pages of another size", "build it with pages of 64 KiB"),
    (
        WasmFeatures::CM_ASYNC,
        "asynchronous functions of the component model (WASI 0.3)",
        "build it for WASI 0.2, with synchronous handlers",
    ),
    (
        WasmFeatures::CM_ASYNC_STACKFUL,
        "asynchronous functions of the component model (WASI 0.3)",
        "build it for WASI 0.2, with synchronous handlers",
    ),
    (
        WasmFeatures::CM_MORE_ASYNC_BUILTINS,
        "asynchronous functions of the component model (WASI 0.3)",
        "build it for WASI 0.2, with synchronous handlers",
    ),
    (WasmFeatures::CM_THREADING, "threads of the component model", "build it without them"),
    (WasmFeatures::CM_ERROR_CONTEXT, "error contexts of the component model", "build it for WASI 0.2"),
    (WasmFeatures::CM64, "64-bit memory (memory64)", "build it for wasm32"),
];

impl Display for Features {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let mut told = Vec::new();
        for feature in &self.0 {
            let known = TOLD.iter().find(|(one, ..)| one == feature);
            let text = match known {
                Some((_, name, remedy)) => format!("{name}, which this host does not run; {remedy}"),
                None => format!("{}, which this host does not run; build it without it", name_of(*feature)),
            };
            if !told.contains(&text) {
                told.push(text);
            }
        }
        formatter.write_str(&told.join(", and "))
    }
}

fn name_of(feature: WasmFeatures) -> String {
    let names: Vec<_> = feature.iter_names().map(|(name, _)| name.to_lowercase().replace('_', " ")).collect();
    format!("the proposal `{}`", names.join(", "))
}

/// Checks what a file begins with, and that its sections fill it exactly, without reading what they hold. The inner error
/// is what is wrong with the file.
pub(crate) fn check_outline(file: &File, length: u64) -> io::Result<Result<(), ScreeningError>> {
    const HEAD: usize = 512;
    const HEADER: u64 = 8;
    let mut file = BufReader::new(file);
    let head = file.fill_buf()?;
    if let Err(unsuitable) = check_magic(&head[..head.len().min(HEAD)]) {
        return Ok(Err(unsuitable));
    }
    file.seek_relative(HEADER.cast_signed())?;
    let mut offset = HEADER;
    while offset < length {
        let (width, size) = match section(&mut file)? {
            Ok(found) => found,
            Err(message) => return Ok(Err(ScreeningError::malformed_at(offset, message))),
        };
        let end = offset.saturating_add(width).saturating_add(size);
        if end > length {
            return Ok(Err(ScreeningError::malformed_at(offset, "a section is longer than the rest of the file")));
        }
        file.seek_relative(size.cast_signed())?;
        offset = end;
    }
    Ok(match offset == length {
        true => Ok(()),
        false => Err(ScreeningError::malformed_at(length, "it ends within its header")),
    })
}

/// The width of a section's header, and how many bytes the section has after it; the inner error says what is wrong.
fn section(file: &mut impl io::Read) -> io::Result<Result<(u64, u64), &'static str>> {
    /// An unsigned LEB128 of 32 bits has 5 bytes at most (WebAssembly 5.2.2).
    const MOST_WIDTH: u64 = 5;
    let mut byte = || -> io::Result<Option<u8>> {
        let mut byte = [0];
        Ok((file.read(&mut byte)? == 1).then_some(byte[0]))
    };
    let id = byte()?;
    let mut size = 0_u64;
    for width in 0..MOST_WIDTH {
        let Some(next) = byte()? else { return Ok(Err("it ends within the header of a section")) };
        size |= u64::from(next & 0x7f) << (7 * width);
        if next & 0x80 == 0 {
            // The name of a custom section takes at least its own length (WebAssembly 5.5.3).
            let is_nameless = id == Some(0) && size == 0;
            return Ok(if is_nameless { Err("a custom section has no name") } else { Ok((width + 2, size)) });
        }
    }
    Ok(Err("the length of a section is not a number of 32 bits"))
}

fn check_magic(bytes: &[u8]) -> Result<(), ScreeningError> {
    match bytes.get(..4) == Some(b"\0asm") {
        true => Ok(()),
        false => Err(ScreeningError::NotWasm(other_format(bytes))),
    }
}

/// Checks that a file is WebAssembly that the engine may run. It is read once for that, and not compiled.
pub(crate) fn check(bytes: &[u8]) -> Result<(), ScreeningError> {
    check_magic(bytes)?;
    match Validator::new_with_features(POSSIBLE).validate_all(bytes) {
        Ok(_) if Parser::is_component(bytes) => Ok(()),
        Ok(_) => check_module(bytes),
        Err(error) => Err(match features(bytes) {
            Some(features) => ScreeningError::Features(features),
            None => malformed(bytes)
                .unwrap_or(ScreeningError::Malformed { offset: error.offset(), message: error.message().to_owned() }),
        }),
    }
}

/// What is wrong with a file even if everything is allowed.
fn malformed(bytes: &[u8]) -> Option<ScreeningError> {
    let error = Validator::new_with_features(WasmFeatures::all()).validate_all(bytes).err()?;
    Some(ScreeningError::Malformed { offset: error.offset(), message: error.message().to_owned() })
}

/// The uncommon features that a file needs: without each of them alone it is not valid. None if it is not valid at all,
/// or needs nothing uncommon.
pub(crate) fn features(bytes: &[u8]) -> Option<Features> {
    let is_valid = |features| Validator::new_with_features(features).validate_all(bytes).is_ok();
    if !is_valid(WasmFeatures::all()) {
        return None;
    }
    let uncommon = WasmFeatures::all().difference(COMMON).iter();
    let without = |feature: WasmFeatures| {
        // Garbage collection brings typed function references with it.
        let is_part = feature == WasmFeatures::FUNCTION_REFERENCES;
        let feature = if is_part { feature.union(WasmFeatures::GC) } else { feature };
        WasmFeatures::all().difference(feature)
    };
    let mut needed: Vec<_> = uncommon.filter(|feature| !is_valid(without(*feature))).collect();
    // Some are built upon others, which are not worth a word then.
    if needed.contains(&WasmFeatures::GC) {
        needed.retain(|feature| ![WasmFeatures::FUNCTION_REFERENCES, WasmFeatures::EXCEPTIONS].contains(feature));
    }
    (!needed.is_empty()).then_some(Features(needed))
}

/// What a file is that is no WebAssembly, if its first bytes say so.
fn other_format(bytes: &[u8]) -> &'static str {
    let text = bytes.trim_ascii_start();
    match () {
        () if bytes.is_empty() => ": it is empty",
        () if text.starts_with(b"(module") || text.starts_with(b"(component") || text.starts_with(b";;") => {
            " but its text format; turn it into binary with `wasm-tools parse`"
        }
        () if bytes.starts_with(b"\x7fELF") || bytes.starts_with(b"\xcf\xfa\xed\xfe") || bytes.starts_with(b"MZ") => {
            " but a program or a library for a processor"
        }
        () if bytes.starts_with(b"!<arch>") => " but a static library",
        () if bytes.starts_with(b"\x1f\x8b")
            || bytes.starts_with(b"PK\x03\x04")
            || bytes.starts_with(b"\x28\xb5\x2f\xfd") =>
        {
            " but a compressed file; unpack it"
        }
        () => "",
    }
}

/// Checks what a core module is for.
fn check_module(bytes: &[u8]) -> Result<(), ScreeningError> {
    let (mut is_typed, mut starts, mut imports, mut maker) = (false, false, Vec::new(), BuildTools::default());
    for payload in Parser::new(0).parse_all(bytes) {
        // The validator has found it well-formed.
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

/// Whose host provides a module of imports, and what to do.
fn foreign(module: &str) -> Option<&'static str> {
    match module {
        _ if module == "wbg" || module.starts_with("__wbindgen") || module.ends_with("_bg.js") => Some(
            "wasm-bindgen provides in browsers; turn the features off that use it, such as `js`, `wasmbind` or `wasm-bindgen`; `sandbus build` on its project names the crate",
        ),
        // Emscripten renames it where it optimises.
        "env" | "a" => Some(
            "JavaScript of Emscripten or AssemblyScript provides, or a linker left open; link everything into it, or build it for wasm32-unknown-unknown or WASI",
        ),
        "go" | "gojs" => Some(
            "JavaScript of Go or TinyGo provides; build it with GOOS=wasip1 and the types of a component, as guest-sdk/without-an-sdk.md shows",
        ),
        "wasix_32v1" | "wasix_64v1" => Some("WASIX provides in Wasmer alone; build it for WASI"),
        _ if module.starts_with("./") || module.ends_with(".js") || module.ends_with(".mjs") => {
            Some("JavaScript beside it provides; build it for WASI, or as a component")
        }
        "wasi_unstable" => Some("is older than WASI 0.1; build it with a compiler of today"),
        _ => None,
    }
}

/// The names of what a component imports and exports.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ComponentInterface {
    /// What is imported, but for types, which stand for themselves.
    pub(crate) imports: Vec<String>,
    exports: Vec<String>,
}

impl ComponentInterface {
    /// Reads them from a component, which is valid.
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

    /// Checks that there is something to call.
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
    use wasmtime::Store;
    use wasmtime::component::{Component, Linker};

    use super::*;
    use crate::plugin::run::engine::{self, EngineConfig};

    fn wasm(text: &str) -> Vec<u8> {
        wat::parse_str(text).unwrap()
    }

    #[test]
    fn what_the_engine_does_not_run_is_named() {
        for (text, name) in [
            ("(module (type (struct (field i32))))", "garbage collection"),
            ("(module (func (drop (ref.i31 (i32.const 1)))))", "garbage collection"),
            ("(module (tag))", "exceptions"),
            ("(module (func (try_table)))", "exceptions"),
            ("(module (func try catch_all end))", "exceptions"),
            ("(module (memory 1 1 shared))", "threads"),
            ("(module (memory 1) (func (drop (i32.atomic.load (i32.const 0)))))", "threads"),
            ("(module (memory 1) (memory 1))", "several memories"),
            ("(module (memory i64 1))", "64-bit memory"),
            ("(module (type $f (func)) (func (param (ref $f))))", "function references"),
            ("(module (type $f (func)) (type $c (cont $f)))", "stack switching"),
            (
                "(module (func (param i64 i64 i64 i64) (result i64 i64)
                    (i64.add128 (local.get 0) (local.get 1) (local.get 2) (local.get 3))))",
                "wide arithmetic",
            ),
            ("(module (memory 1 (pagesize 1)))", "pages of another size"),
            ("(component (import \"f\" (func async)))", "asynchronous functions"),
            ("(component (type (stream u8)))", "asynchronous functions"),
            ("(component (type (future)))", "asynchronous functions"),
            ("(component (core module (memory 1 1 shared)))", "threads"),
            ("(component (core module (type (array i8))))", "garbage collection"),
        ] {
            let told = features(&wasm(text)).unwrap_or_else(|| panic!("nothing for {text}")).to_string();
            assert!(told.contains(name) && told.contains("; "), "{text}: {told}");
            assert!(!told.contains("the proposal"), "{text}: {told}");
        }
    }

    #[test]
    fn what_every_engine_runs_is_not_complained_of() {
        for text in [
            "(module (memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 1))))",
            "(module (func (result i32 i32) (i32.const 1) (i32.const 2)))",
            "(module (func (param externref)))",
            "(module (func (result v128) (v128.const i64x2 0 0)))",
            "(module (func (return_call 0)))",
            "(component (core module (func)))",
        ] {
            assert_eq!(features(&wasm(text)), None, "{text}");
        }
        assert_eq!(features(b"\0asm\x01\0\0\0\xff"), None, "nothing is valid about it");
    }

    /// What is let through and the engine does not run would be compiled first, which takes seconds.
    #[test]
    fn what_the_engine_does_not_run_is_refused_before_it_is_compiled() {
        let engine =
            engine::start(EngineConfig { concurrency: 1, memory_bytes: 1 << 20, source_lines: false }).unwrap();
        let linker = Linker::<()>::new(&engine);
        let runs = |bytes: &[u8]| {
            let component = Component::new(&engine, bytes)?;
            let mut store = Store::new(&engine, ());
            store.set_epoch_deadline(u64::MAX / 2);
            linker.instantiate(&mut store, &component).map(drop)
        };
        let in_component =
            |text: &str| wasm(&format!("(component (core module $m {text}) (core instance (instantiate $m)))"));
        let refused = [
            "(memory 1) (memory 1)",
            "(type (struct (field i32)))",
            "(func (param anyref))",
            "(tag)",
            "(func (try_table))",
            "(memory 1 1 shared)",
            "(memory 1) (func (drop (i32.atomic.load (i32.const 0))))",
            "(type $f (func)) (type $c (cont $f))",
            "(func (param i64 i64 i64 i64) (result i64 i64)
                (i64.add128 (local.get 0) (local.get 1) (local.get 2) (local.get 3)))",
            "(memory 1 (pagesize 1))",
        ];
        let of_components = ["(import \"f\" (func async))", "(type (stream u8))", "(type (future))"];
        let of_components = of_components.map(|text| wasm(&format!("(component {text})")));
        for bytes in refused.map(in_component).into_iter().chain(of_components) {
            let told = check(&bytes).unwrap_err().to_string();
            assert!(told.starts_with("it uses ") && told.contains("; "), "{told}");
        }
        let wrong: Vec<_> = [
            "(memory i64 1)",
            "(type $f (func)) (func (param (ref $f)))",
            "(func (result v128) (v128.const i64x2 0 0))",
            "(func (param v128 v128) (result v128) (i8x16.relaxed_swizzle (local.get 0) (local.get 1)))",
            "(func (return_call 0))",
            "(func (result i32 i32) (i32.const 1) (i32.const 2))",
            "(global i32 (i32.add (i32.const 1) (i32.const 2)))",
        ]
        .into_iter()
        .filter_map(|text| {
            let bytes = in_component(text);
            check(&bytes)
                .map_err(|error| error.to_string())
                .and_then(|()| runs(&bytes).map_err(|error| format!("{error:#}")))
                .err()
                .map(|error| (text, error))
        })
        .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn what_is_no_plugin_is_told_before_it_is_compiled() {
        let module = |imports: &str, exports: &str| wasm(&format!("(module {imports} {exports})"));
        let wasi = "(import \"wasi_snapshot_preview1\" \"fd_write\" (func (param i32 i32 i32 i32) (result i32)))";
        let start = "(func (export \"_start\"))";
        let import = |from: &str| format!("(import \"{from}\" \"f\" (func))");
        let go = "(@producers (language \"Go\" \"1.27\"))";
        let typed = "(@custom \"component-type:plugin\" \"\")";
        let cut = wasm("(module (func (export \"a\")) (func (export \"b\")))");
        for (bytes, words) in [
            (Vec::new(), "it is empty"),
            (b"(module)".to_vec(), "text format"),
            (b"  (component)".to_vec(), "text format"),
            (b"\x7fELF\x02\x01\x01".to_vec(), "for a processor"),
            (b"!<arch>\n".to_vec(), "static library"),
            (b"\x1f\x8b\x08".to_vec(), "compressed"),
            (b"remember the milk".to_vec(), "not WebAssembly; build it for"),
            (b"\0as".to_vec(), "not WebAssembly"),
            (b"\0asm".to_vec(), "malformed"),
            (b"\0asm\x07\0\0\0".to_vec(), "malformed"),
            (module(wasi, start), "command of WASI 0.1"),
            (module("", start), "command of WASI 0.1"),
            (module(wasi, ""), "without the types"),
            (module("", "(func (export \"run\"))"), "without the types"),
            (module(wasi, &format!("{start} {go}")), "command of WASI 0.1 made by Go"),
            (module(wasi, &format!("(func (export \"_initialize\")) {go}")), "core module made by Go"),
            (module(&import("gojs"), &go.replace("\"Go\"", "\"TinyGo\"")), "made by TinyGo"),
            (module(&import("a"), "(@producers (processed-by \"clang\" \"20\"))"), "made by clang"),
            (module(&import("a"), typed), "Emscripten"),
            (module(&import("./app_bg.js"), typed), "wasm-bindgen"),
            (module(&import("./app.uninstantiated.mjs"), typed), "JavaScript beside it"),
            (module(&import("wasix_32v1"), start), "Wasmer alone"),
            (module(wasi, &format!("{start} (memory 1 1 shared)")), "threads"),
            (module("", "(type (struct (field i32)))"), "garbage collection"),
            (module(&import("__wbindgen_placeholder__"), typed), "wasm-bindgen"),
            (module(&import("wbg"), ""), "wasm-bindgen"),
            (module(&import("env"), typed), "Emscripten"),
            (module(&import("gojs"), ""), "Go"),
            (module(&import("wasi_unstable"), start), "older than WASI 0.1"),
            (cut[..cut.len() - 3].to_vec(), ""),
        ] {
            let error = check(&bytes).unwrap_err().to_string();
            assert!(error.contains(words), "{}: {error}", String::from_utf8_lossy(&bytes));
        }
        assert!(check(&module(wasi, typed)).is_ok());
    }

    #[test]
    fn a_component_is_known_by_what_it_imports_and_exports() {
        let component = wasm(
            "(component
                (import \"wasi:io/error@0.2.0\" (instance $io))
                (import \"t\" (type (sub resource)))
                (component (import \"inner\" (instance $inner)) (export \"sandbus:plugin/descriptor\" (instance $inner)))
                (core module (import \"x\" \"y\" (func)))
                (export \"wasi:cli/run@0.2.3\" (instance $io)))",
        );
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
            (&["acme:paint/brush"], "exports none of"),
            (&[], "exports none of"),
        ] {
            let error = exporting(names).unwrap_err();
            assert!(error.contains(words), "{names:?}: {error}");
        }
    }
}

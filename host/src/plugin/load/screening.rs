//! Screens a file before it is compiled, because compiling takes seconds. Refuses files that are not plugins, that need
//! WebAssembly features this host does not support, or that have no handler to call.

mod features;
mod functions;
mod instances;
mod interface;
mod module;
mod outline;

use wasmparser::{Parser, Validator, WasmFeatures};

pub use self::features::Features;
use self::features::SUPPORTED;
pub(crate) use self::features::features;
pub(crate) use self::interface::ComponentInterface;
pub(crate) use self::module::BuildTools;
pub(crate) use self::outline::check_outline;
use crate::plugin::manifest::labelled_imports::MAX_LABELS;

/// Why a file cannot be a plugin.
#[derive(Debug, thiserror::Error)]
pub enum ScreeningError {
    /// The file is not WebAssembly.
    #[error("it is not WebAssembly{0}; build it for wasm32-unknown-unknown or as a component")]
    NotWasm(&'static str),
    /// The file needs features that the engine does not support.
    #[error("it uses {0}")]
    Features(Features),
    /// The file is malformed.
    #[error("it is malformed at byte {offset}, and may be truncated: {message}; copy or build it again")]
    Malformed {
        /// The position of the error.
        offset: usize,
        /// The validator's message.
        message: String,
    },
    /// The file is a program with a `main`.
    #[error(
        "it is a command of WASI {version}{maker}, which runs once from its `main`, but Sandbus calls handlers; build it as a library with a Sandbus SDK, or let it serve `wasi:http`"
    )]
    Command {
        /// The version of WASI.
        version: &'static str,
        /// The tools that built it.
        maker: BuildTools,
    },
    /// The file exports an interface of a draft of WASI 0.3.
    #[error("it exports `{0}`, a draft of WASI 0.3, but this host supports WASI 0.3.0; build it with current tools")]
    Draft(String),
    /// The file imports what only another host provides.
    #[error("it is a core module{maker} that imports `{import}`, which {origin}")]
    Foreign {
        /// The tools that built it.
        maker: BuildTools,
        /// The imported module.
        import: String,
        /// Which host provides the module, and what to do.
        origin: &'static str,
    },
    /// The file is a core module without component types.
    #[error(
        "it is a core module{maker} without component types; build it with a Sandbus SDK, or add the types with `wasm-tools component embed --world plugin` as guest-sdk/without-an-sdk.md shows"
    )]
    Untyped {
        /// The tools that built it.
        maker: BuildTools,
    },
    /// The file makes too many instances, or an unknown number of them.
    #[error(
        "it makes more than {} instances, or an instance of a component that it does not define; make fewer instances, and define each component in the file",
        instances::LIMIT
    )]
    TooManyInstances,
    /// The component has too many labelled imports, each of which is linked on its own.
    #[error("it has more than {MAX_LABELS} labelled imports; import some of the interfaces once")]
    TooManyLabels,
    /// The file has too many functions, each of which costs the compiler memory.
    #[error(
        "it has {0} functions, and a plugin has at most {limit}; split it into several plugins, or build it without what it does not use",
        limit = functions::LIMIT
    )]
    TooManyFunctions(u64),
    /// The file exports no handler that this host calls.
    #[error(
        "it does not export `sandbus:plugin/descriptor`, `wasi:http/incoming-handler`, `wasi:http/handler`, `wasi:messaging/incoming-handler` or `wasmcloud:messaging/handler`; build it with a Sandbus SDK, or see wit/plugin.wit"
    )]
    NoDescriptor,
}

impl ScreeningError {
    fn malformed_at(offset: u64, message: &str) -> Self {
        Self::Malformed { offset: usize::try_from(offset).unwrap_or(usize::MAX), message: message.to_owned() }
    }
}

/// Checks that a file is WebAssembly that the engine can run, without compiling it.
pub(crate) fn check(bytes: &[u8]) -> Result<(), ScreeningError> {
    outline::check_magic(bytes)?;
    functions::check(bytes)?;
    match Validator::new_with_features(SUPPORTED).validate_all(bytes) {
        Ok(_) if Parser::is_component(bytes) => instances::check(bytes),
        Ok(_) => module::check(bytes),
        Err(error) => Err(match features(bytes) {
            Some(features) => ScreeningError::Features(features),
            None => malformed(bytes)
                .unwrap_or(ScreeningError::Malformed { offset: error.offset(), message: error.message().to_owned() }),
        }),
    }
}

/// The fault of a file that is invalid even with all features enabled.
fn malformed(bytes: &[u8]) -> Option<ScreeningError> {
    let error = Validator::new_with_features(WasmFeatures::all()).validate_all(bytes).err()?;
    Some(ScreeningError::Malformed { offset: error.offset(), message: error.message().to_owned() })
}

#[cfg(test)]
mod tests {
    use wasmtime::Store;
    use wasmtime::component::{Component, Linker};

    use super::*;
    use crate::plugin::invocation::guest_call::CallModel;
    use crate::plugin::run::engine::{self, EngineConfig};

    fn wasm(text: &str) -> Vec<u8> {
        wat::parse_str(text).unwrap()
    }

    /// A file that passes and cannot run would be compiled first, which takes seconds.
    #[test]
    fn unsupported_features_are_refused_before_compiling() {
        let engine = EngineConfig {
            concurrency: 1,
            memory_bytes: 1 << 20,
            source_lines: false,
            wasi_0_3: true,
            labelled_imports: true,
        };
        let engine = engine::start(engine, CallModel::Synchronous).unwrap();
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
        for bytes in refused.map(in_component) {
            let error = check(&bytes).unwrap_err().to_string();
            assert!(error.starts_with("it uses ") && error.contains("; "), "{error}");
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
    fn other_files_are_recognised_before_compiling() {
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
            (module(wasi, ""), "without component types"),
            (module("", "(func (export \"run\"))"), "without component types"),
            (module(wasi, &format!("{start} {go}")), "command of WASI 0.1 made by Go"),
            (module(wasi, &format!("(func (export \"_initialize\")) {go}")), "core module made by Go"),
            (module(&import("gojs"), &go.replace("\"Go\"", "\"TinyGo\"")), "made by TinyGo"),
            (module(&import("a"), "(@producers (processed-by \"clang\" \"20\"))"), "made by clang"),
            (module(&import("a"), typed), "Emscripten"),
            (module(&import("./app_bg.js"), typed), "wasm-bindgen"),
            (module(&import("./app.uninstantiated.mjs"), typed), "JavaScript next to it"),
            (module(&import("wasix_32v1"), start), "only Wasmer"),
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
}

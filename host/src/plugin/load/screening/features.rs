//! Finds the WebAssembly features that a file needs and this host does not support.

use std::fmt::{self, Display, Formatter};

use wasmparser::{Validator, WasmFeatures};

/// Features that a file needs and this host does not support.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features(Vec<WasmFeatures>);

/// Features that every current engine supports.
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

/// Proposals of the component model that the engines support. Asynchronous functions have an engine of their own.
const COMPONENT_MODEL: WasmFeatures =
    WasmFeatures::CM_ASYNC.union(WasmFeatures::CM_IMPLEMENTS).union(WasmFeatures::CM_MAP);

/// Features that screening accepts. For those that are not common, the engine decides whether it supports them. A
/// module has one memory, because the pool has space for one.
pub(super) const SUPPORTED: WasmFeatures =
    COMMON.union(COMPONENT_MODEL).union(WasmFeatures::MEMORY64).union(WasmFeatures::FUNCTION_REFERENCES);

/// Whether a valid component has asynchronous functions, streams or futures.
pub(super) fn has_async_functions(component: &[u8]) -> bool {
    let features = SUPPORTED.difference(WasmFeatures::CM_ASYNC);
    Validator::new_with_features(features).validate_all(component).is_err()
}

/// The names of features, and how to avoid them.
const FEATURES: [(WasmFeatures, &str, &str); 16] = [
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
        WasmFeatures::CM_ASYNC_STACKFUL,
        "asynchronous functions of the component model without a callback",
        "build it with tools that pass a callback, as wit-bindgen does",
    ),
    (
        WasmFeatures::CM_MORE_ASYNC_BUILTINS,
        "asynchronous forms of the component model's built-in functions",
        "build it for WASI 0.3.0, or for WASI 0.2 with synchronous handlers",
    ),
    (WasmFeatures::CM_THREADING, "threads of the component model", "build it without them"),
    (WasmFeatures::CM_ERROR_CONTEXT, "error contexts of the component model", "build it for WASI 0.2"),
    (WasmFeatures::CM64, "64-bit memory (memory64)", "build it for wasm32"),
];

impl Display for Features {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let mut texts = Vec::new();
        for feature in &self.0 {
            let entry = FEATURES.iter().find(|(one, ..)| one == feature);
            let text = match entry {
                Some((_, name, remedy)) => format!("{name}, which this host does not support; {remedy}"),
                None => format!("{}, which this host does not support; build it without it", name_of(*feature)),
            };
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        formatter.write_str(&texts.join(", and "))
    }
}

fn name_of(feature: WasmFeatures) -> String {
    let names: Vec<_> = feature.iter_names().map(|(name, _)| name.to_lowercase().replace('_', " ")).collect();
    format!("the proposal `{}`", names.join(", "))
}

/// The uncommon features that a file needs: if a single one of them is missing, the file is invalid. `None` if the file
/// is invalid in any case, or needs no uncommon feature.
pub(crate) fn features(bytes: &[u8]) -> Option<Features> {
    let is_valid = |features| Validator::new_with_features(features).validate_all(bytes).is_ok();
    if !is_valid(WasmFeatures::all()) {
        return None;
    }
    let uncommon = WasmFeatures::all().difference(COMMON.union(COMPONENT_MODEL)).iter();
    let without = |feature: WasmFeatures| {
        // Garbage collection includes typed function references.
        let is_part = feature == WasmFeatures::FUNCTION_REFERENCES;
        let feature = if is_part { feature.union(WasmFeatures::GC) } else { feature };
        WasmFeatures::all().difference(feature)
    };
    let mut needed: Vec<_> = uncommon.filter(|feature| !is_valid(without(*feature))).collect();
    // Features that others are based on are omitted.
    if needed.contains(&WasmFeatures::GC) {
        needed.retain(|feature| ![WasmFeatures::FUNCTION_REFERENCES, WasmFeatures::EXCEPTIONS].contains(feature));
    }
    (!needed.is_empty()).then_some(Features(needed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wasm(text: &str) -> Vec<u8> {
        wat::parse_str(text).unwrap()
    }

    #[test]
    fn unsupported_features_are_named() {
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
            ("(component (core module (memory 1 1 shared)))", "threads"),
            ("(component (core module (type (array i8))))", "garbage collection"),
        ] {
            let text_of = features(&wasm(text)).unwrap_or_else(|| panic!("nothing for {text}")).to_string();
            assert!(text_of.contains(name) && text_of.contains("; "), "{text}: {text_of}");
            assert!(!text_of.contains("the proposal"), "{text}: {text_of}");
        }
    }

    #[test]
    fn common_features_are_not_reported() {
        for text in [
            "(module (memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 1))))",
            "(module (func (result i32 i32) (i32.const 1) (i32.const 2)))",
            "(module (func (param externref)))",
            "(module (func (result v128) (v128.const i64x2 0 0)))",
            "(module (func (return_call 0)))",
            "(component (core module (func)))",
            "(component (import \"f\" (func async)))",
            "(component (type (stream u8)))",
            "(component (type (future)))",
            "(component (type (map string u32)))",
            "(component (import \"a\" (implements \"wasi:io/poll@0.2.0\") (instance)))",
        ] {
            assert_eq!(features(&wasm(text)), None, "{text}");
        }
        assert_eq!(features(b"\0asm\x01\0\0\0\xff"), None, "it is invalid in any case");
    }
}

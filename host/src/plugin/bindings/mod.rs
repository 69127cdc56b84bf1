//! Bindings to the contract in `wit/`, made by wasmtime.

#![allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated code; the contract documents it")]

pub(super) mod resources;

wasmtime::component::bindgen!({
    path: "../wit",
    world: "plugin-with-client",
    ownership: Borrowing { duplicate_if_necessary: true },
    imports: { default: trappable },
    with: {
        "wasi:keyvalue/store.bucket": crate::plugin::bindings::resources::Bucket,
        "wasi:keyvalue/atomics.cas": crate::plugin::bindings::resources::Cas,
    },
});

/// What version 0.2.0 of the contract adds.
pub(super) mod additions {
    wasmtime::component::bindgen!({
        path: ["../wit", "../wit/0.2.0"],
        world: "sandbus:plugin/additions@0.2.0",
        imports: { default: trappable },
    });

    pub(crate) use sandbus::plugin0_2_0::numbers;
}

//! The functions that the SDK calls on its host: the imports of a component, or those of the fake host in a native
//! test. Both modules have the same functions.

#[cfg(target_family = "wasm")]
mod component;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod fake;

#[cfg(target_family = "wasm")]
pub(crate) use component::*;
#[cfg(not(target_family = "wasm"))]
pub(crate) use fake::imports::*;

//! Running: the engine, a generation of a plugin with its instances, and the calls of its handlers.

pub(super) mod admission;
pub(super) mod call_failure;
pub(super) mod engine;
pub(super) mod generation;
pub(super) mod health;
pub(super) mod instance_pool;
pub(super) mod linked;
#[cfg(test)]
mod pool_reset_tests;

//! Running: the engines, a generation of a plugin with its instances, and the calls of its handlers.

pub(super) mod admission;
pub(super) mod call_failure;
pub(super) mod delivery;
pub(super) mod engine;
mod error_response;
pub(super) mod generation;
pub(super) mod health;
pub(super) mod idle_instances;
pub(super) mod linked;
#[cfg(test)]
mod pool_reset_tests;
pub(super) mod request;

/// Converts names and values to the form of the bindings.
fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> Vec<(&'a str, &'a str)> {
    pairs.into_iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

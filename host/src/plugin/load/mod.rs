//! Loading: from the bytes of a file to a generation that can be invoked.

pub(super) mod compile;
mod engines;
pub(super) mod loader;
#[cfg(test)]
mod map_tests;
pub(super) mod program;
pub(super) mod screening;
pub(super) mod source;

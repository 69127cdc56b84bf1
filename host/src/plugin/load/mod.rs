//! Loading: from the bytes of a file to a generation that can be invoked.

pub(super) mod compile;
pub(super) mod loader;
pub(super) mod program;
pub(super) mod screening;
pub(super) mod source;

//! To be written.

pub(crate) fn run() {}

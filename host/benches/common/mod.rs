//! What the benchmarks share.

use std::path::PathBuf;

/// The bytes of a built guest.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/test-guests");
    let folder = std::env::var_os("SANDBUS_TEST_PLUGINS").map_or(here, PathBuf::from);
    let path = folder.join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask bench`", path.display()))
}

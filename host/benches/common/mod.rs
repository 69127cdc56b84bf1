//! What the benchmarks share.

use std::path::PathBuf;

/// The bytes of a built guest.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/test-guests");
    let folder = std::env::var_os("SANDBUS_TEST_PLUGINS").map_or(here, PathBuf::from);
    let path = folder.join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask bench`", path.display()))
}

/// The median of some figures, and the smallest and the largest.
pub(crate) fn spread(mut figures: Vec<f64>) -> (f64, f64, f64) {
    figures.sort_by(f64::total_cmp);
    (figures[figures.len() / 2], figures[0], figures[figures.len() - 1])
}

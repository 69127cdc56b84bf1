//! Writes `tests/frozen/VERSION` from the built guests and the host's binary. `cargo xtask freeze` runs it.

use clap::Parser;

#[derive(Debug, Parser)]
struct Arguments {
    /// The released version, such as 0.2.0
    version: String,
}

fn main() {
    sandbus_tests::release::freeze(&Arguments::parse().version);
}

//! Rebuilds the host when the built dashboard has changed.

fn main() {
    // The folder always exists; `cargo xtask dashboard` fills it.
    println!("cargo::rerun-if-changed=dashboard/dist");
}

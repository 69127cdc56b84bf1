//! Checks that `guest-sdk/sdk/src/bindings.rs` matches `wit/`. The bindings are checked in so that plugin builds need
//! no generator; `SANDBUS_BLESS=1 cargo test --workspace --test bindings` regenerates them.

use std::path::Path;

use wit_bindgen_core::{Files, WorldGenerator as _, wit_parser::Resolve};

#[test]
fn bindings_are_those_of_the_contract() {
    same("plugin", &["wit"], "bindings.rs");
}

/// The bindings of a later version contain its additions only, so that earlier bindings stay unchanged.
#[test]
fn additions_are_those_of_the_second_contract() {
    same("additions", &["wit", "wit/0.2.0"], "additions.rs");
}

/// Compares the bindings of a world in the last directory with a file of the SDK.
fn same(world: &str, contract: &[&str], file: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut resolve = Resolve::default();
    let packages = contract.iter().map(|path| resolve.push_dir(root.join(path)).expect("the contract parses").0);
    let package = packages.last().expect("there is one");
    let world = resolve.select_world(&[package], Some(world)).expect("the world exists");
    let options = wit_bindgen_rust::Opts {
        pub_export_macro: true,
        export_macro_name: Some("export".to_owned()),
        default_bindings_module: Some("sandbus_sdk::bindings".to_owned()),
        generate_all: true,
        ..Default::default()
    };
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files).expect("the bindings are generated");
    let (_, generated) = files.iter().find(|(name, _)| name.ends_with(".rs")).expect("a Rust file");
    let generated = String::from_utf8_lossy(generated);

    let path = root.join("guest-sdk/sdk/src").join(file);
    if std::env::var_os("SANDBUS_BLESS").is_some() {
        std::fs::write(&path, generated.as_bytes()).expect("the bindings are written");
    }
    let present = std::fs::read_to_string(&path).expect("the bindings are there");
    assert!(present == generated, "{} is stale; run this test with SANDBUS_BLESS=1", path.display());
}

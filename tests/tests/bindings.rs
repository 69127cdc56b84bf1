//! Checks that `guest-sdk/sdk/src/bindings.rs` and the types of Go components match `wit/`. They are checked in so that
//! plugin builds need no generator; `SANDBUS_BLESS=1 cargo test --workspace --test bindings` regenerates them.

use std::path::{Path, PathBuf};

use wit_bindgen_core::{
    Files, WorldGenerator as _,
    wit_parser::{Resolve, WorldId},
};

#[test]
fn bindings_are_those_of_the_contract() {
    same("plugin", &["wit"], "bindings.rs");
}

/// The bindings of a later version contain its additions only, so that earlier bindings stay unchanged.
#[test]
fn additions_are_those_of_the_second_contract() {
    same("additions", &["wit", "wit/0.2.0"], "additions.rs");
}

/// The types that `sandbus build` adds to a module of Go.
#[test]
fn types_of_go_components_are_those_of_the_second_contract() {
    let (resolve, world) = world("plugin-with-client", &["wit", "wit/0.2.0"]);
    let encoding = wit_component::StringEncoding::UTF8;
    let encoded = wit_component::metadata::encode(&resolve, world, encoding, None).expect("the world has an encoding");
    let path = root().join("guest-sdk/toolchain/src/languages/go/component-type.wasm");
    if std::env::var_os("SANDBUS_BLESS").is_some() {
        std::fs::write(&path, &encoded).expect("the types are written");
    }
    let present = std::fs::read(&path).expect("the types are there");
    assert!(present == encoded, "{} is stale; run this test with SANDBUS_BLESS=1", path.display());
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A world in the last directory.
fn world(name: &str, contract: &[&str]) -> (Resolve, WorldId) {
    let mut resolve = Resolve::default();
    let packages = contract.iter().map(|path| resolve.push_dir(root().join(path)).expect("the contract parses").0);
    let package = packages.last().expect("there is one");
    let world = resolve.select_world(&[package], Some(name)).expect("the world exists");
    (resolve, world)
}

/// Compares the bindings of a world in the last directory with a file of the SDK.
fn same(world: &str, contract: &[&str], file: &str) {
    let (mut resolve, world) = self::world(world, contract);
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

    let path = root().join("guest-sdk/sdk/src").join(file);
    if std::env::var_os("SANDBUS_BLESS").is_some() {
        std::fs::write(&path, generated.as_bytes()).expect("the bindings are written");
    }
    let present = std::fs::read_to_string(&path).expect("the bindings are there");
    assert!(present == generated, "{} is stale; run this test with SANDBUS_BLESS=1", path.display());
}

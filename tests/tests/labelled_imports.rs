//! A component that imports interfaces several times, under labels of its own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use sandbus_tests::languages::root;
use sandbus_tests::{Host, Setup, eventually, put};
use serde_json::{Value, json};
use wit_bindgen_core::wit_parser::Resolve;
use wit_component::{StringEncoding, embed_component_metadata};

/// The world of the component.
const WORLD: &str = "package sandbus:label-tests;

world keeper {
    import cache: wasi:keyvalue/store@0.2.0-draft2;
    import sessions: wasi:keyvalue/store@0.2.0-draft2;
    import database: wasi:config/store@0.2.0-rc.1;
    import audit: wasi:logging/logging@0.1.0-draft;
    export wasmcloud:messaging/handler@0.2.0;
}

package wasmcloud:messaging@0.2.0 {
    interface types {
        record broker-message {
            subject: string,
            body: list<u8>,
            reply-to: option<string>,
        }
    }

    interface handler {
        use types.{broker-message};

        handle-message: func(msg: broker-message) -> result<_, string>;
    }
}
";

/// Stores a message in one bucket, notes whether the other one has the same key, and logs a line.
const MODULE: &str = r#"(module
    (import "cache" "open" (func $open-cache (param i32 i32 i32)))
    (import "cache" "[method]bucket.set" (func $set-cache (param i32 i32 i32 i32 i32 i32)))
    (import "sessions" "open" (func $open-sessions (param i32 i32 i32)))
    (import "sessions" "[method]bucket.set" (func $set-sessions (param i32 i32 i32 i32 i32 i32)))
    (import "sessions" "[method]bucket.get" (func $get-sessions (param i32 i32 i32 i32)))
    (import "database" "get" (func $get-value (param i32 i32 i32)))
    (import "audit" "log" (func $log (param i32 i32 i32 i32 i32)))
    (memory (export "memory") 2)
    (data (i32.const 0) "default")
    (data (i32.const 8) "sessions")
    (data (i32.const 16) "message")
    (data (i32.const 24) "url")
    (data (i32.const 32) "alone")
    (data (i32.const 40) "stored")
    (global $free (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32)
        (global.get $free)
        (global.set $free (i32.and
            (i32.add (i32.add (global.get $free) (local.get $new)) (i32.const 15)) (i32.const -16))))
    (func (export "wasmcloud:messaging/handler@0.2.0#handle-message")
        (param $subject i32) (param $subject-length i32) (param $body i32) (param $length i32)
        (param $has-reply i32) (param $reply i32) (param $reply-length i32) (result i32)
        (local $cache i32) (local $sessions i32)
        (call $open-cache (i32.const 0) (i32.const 7) (i32.const 1024))
        (if (i32.load8_u (i32.const 1024)) (then unreachable))
        (local.set $cache (i32.load (i32.const 1028)))
        (call $open-sessions (i32.const 8) (i32.const 8) (i32.const 1024))
        (if (i32.load8_u (i32.const 1024)) (then unreachable))
        (local.set $sessions (i32.load (i32.const 1028)))
        (call $set-cache (local.get $cache) (i32.const 16) (i32.const 7)
            (local.get $body) (local.get $length) (i32.const 1024))
        (if (i32.load8_u (i32.const 1024)) (then unreachable))
        (call $get-sessions (local.get $sessions) (i32.const 16) (i32.const 7) (i32.const 1024))
        (if (i32.load8_u (i32.const 1024)) (then unreachable))
        (if (i32.eqz (i32.load8_u (i32.const 1028))) (then
            (call $set-sessions (local.get $sessions) (i32.const 32) (i32.const 5)
                (i32.const 16) (i32.const 7) (i32.const 1024))))
        (call $get-value (i32.const 24) (i32.const 3) (i32.const 1024))
        (if (i32.load8_u (i32.const 1024)) (then unreachable))
        (if (i32.eqz (i32.load8_u (i32.const 1028))) (then unreachable))
        (call $set-sessions (local.get $sessions) (i32.const 24) (i32.const 3)
            (i32.load (i32.const 1032)) (i32.load (i32.const 1036)) (i32.const 1024))
        (call $log (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 40) (i32.const 6))
        (i32.store8 (i32.const 1024) (i32.const 0))
        (i32.const 1024)))"#;

/// Writes the component as a core module with its component type, which the host encodes.
fn keeper(path: &Path) {
    let mut resolve = Resolve::default();
    for package in ["keyvalue", "config", "logging"] {
        resolve.push_dir(root().join("wit/deps").join(package)).unwrap();
    }
    let package = resolve.push_str("keeper.wit", WORLD).unwrap();
    let world = resolve.select_world(&[package], Some("keeper")).unwrap();
    let mut module = wat::parse_str(MODULE).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    put(path, &module);
}

const SUBSCRIPTION: &str = "[subscriptions.orders]\npattern = \"order.>\"\nmax_attempts = 1\n";

fn start(sidecar: &str, config: &str) -> Host {
    let setup = Setup::new().sidecar("keeper", &format!("{SUBSCRIPTION}{sidecar}")).config(config);
    keeper(&setup.path().join("plugins/keeper.wasm"));
    setup.start()
}

const VALUES: &str = "[imports.database.config]\nurl = \"https://db.example.com\"\n";

fn state(host: &Host, key: &str) -> String {
    let output = host.cli(&["state", "get", "keeper", key]);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn each_label_has_a_bucket_values_and_a_context_of_its_own() {
    let host = start(&format!("{VALUES}[imports.sessions]\nprefix = \"s:\"\n"), "");
    for id in ["1", "2"] {
        assert_eq!(host.publish("order.placed", id, json!("bread")).status, 202);
    }
    host.wait_until_idle();
    assert_eq!(host.dead_letters(), Vec::<Value>::new());
    eventually("the state is written", || (state(&host, "cache/message") == "\"bread\"").then_some(()));
    assert_eq!(state(&host, "s:url"), "https://db.example.com");
    // Neither of the two messages was found under the same key of the other bucket.
    assert_eq!(state(&host, "s:alone"), "message");
    let _ = host.wait_for_log(&["stored", "\"context\":\"audit\"", "\"plugin\":\"keeper\""]);
}

#[test]
fn labels_and_their_settings_are_checked_when_a_plugin_is_loaded() {
    for (sidecar, config, words) in [
        (
            "",
            "",
            "its import `database` of `wasi:config/store@0.2.0-rc.1` has no values; add [imports.database.config]",
        ),
        (&format!("{VALUES}[imports.cash]\nprefix = \"a\"\n"), "", "no labelled import `cash`; its labels are `cache`"),
        (&format!("{VALUES}[imports.audit]\nprefix = \"a\"\n"), "", "`prefix`, which `wasi:logging/logging"),
        (VALUES, "[sandbox]\nlabelled_imports = false", "set `[sandbox] labelled_imports = true`"),
    ] {
        let host = start(sidecar, config);
        let error = host.wait_until_refused("keeper.wasm");
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn labels_are_compared_with_other_hosts() {
    let host = start(VALUES, "");
    let inspect = |platform: &str| host.cli(&["inspect", "plugins/keeper.wasm", "--json", "--against", platform]);
    let output = inspect("wasmcloud");
    assert_eq!(output.status.code(), Some(1));
    let view: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&view["runs_here"], &view["runs_there"]), (&json!(true), &json!(false)), "{view}");
    let import = |label: &str| {
        let imports = view["imports"].as_array().unwrap();
        imports.iter().find(|import| import["name"] == label).unwrap_or_else(|| panic!("{view}")).clone()
    };
    assert_eq!(import("cache")["implements"], "wasi:keyvalue/store@0.2.0-draft2");
    let fix = "wasmCloud 2 offers version 0.2.0-draft; build the component for it";
    assert_eq!(import("cache")["platform"]["fix"], fix);
    assert_eq!(import("database")["sandbus"]["needs"], "[imports.database.config]");
    assert!(inspect("sandbus").status.success());
}

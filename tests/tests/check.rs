//! `sandbus check` finds all errors in one pass, without a host.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use sandbus_tests::{binary, guest};
use serde_json::Value;
use tempfile::TempDir;

/// A working directory with a plugin folder.
fn home(files: &[(&str, &[u8])]) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("plugins")).unwrap();
    for (name, bytes) in files {
        std::fs::write(home.path().join(name), bytes).unwrap();
    }
    home
}

/// The exit code and the output.
fn check(home: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(binary());
    command.current_dir(home).arg("check").args(arguments);
    let output = command.env_remove("SANDBUS_CONFIG").env_remove("SANDBUS_PLUGINS").output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), text)
}

fn entries(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names
}

#[test]
fn a_valid_installation_has_no_errors_and_stays_as_it_is() {
    let (echo, dice) = (guest("echo"), guest("dice"));
    let home = home(&[
        ("sandbus.toml", b"log = \"warn\"\n"),
        ("plugins/echo.wasm", &echo),
        ("plugins/echo.toml", b"[limits]\nconcurrency = 2\n"),
        ("plugins/dice.wasm", &dice),
        ("plugins/dice.toml", b"enabled = false\n"),
    ]);
    let (code, text) = check(home.path(), &[]);
    assert_eq!(code, 0, "{text}");
    for part in ["echo.wasm: echo ", "dice.wasm: disabled by its sidecar", "no errors"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(entries(home.path()), ["plugins", "sandbus.toml"]);
    assert_eq!(entries(&home.path().join("plugins")), ["dice.toml", "dice.wasm", "echo.toml", "echo.wasm"]);
    let (code, text) = check(home.path(), &["--json"]);
    let view: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &view["errors"]), (0, &serde_json::json!([])), "{text}");
    assert_eq!(view["plugins"][0]["name"], "echo");
}

#[test]
fn all_errors_of_all_files_are_found_in_one_pass() {
    let (echo, service) = (guest("echo"), guest("service"));
    let home = home(&[
        ("sandbus.toml", b"lissten = \"127.0.0.1:1\"\n[http]\nmax_body_bytes = \"many\"\n"),
        ("plugins/echo.wasm", &echo),
        (
            "plugins/echo.toml",
            b"[limits]\nmemory_byte = 1\nmemory_bytes = 5\n[config]\nnothing = \"x\"\n[rollback]\nwindow = \"0s\"\n[subscriptions.nobody]\nmax_attempts = 2\n",
        ),
        ("plugins/other.wasm", &echo),
        ("plugins/broken.wasm", b"\0asm, but not a component"),
        ("plugins/nobody.toml", b"enabled = \"yes\"\n"),
        ("plugins/s1.wasm", &service),
        ("plugins/s1.toml", b"routes = [\"GET /s/{*rest}\"]\n"),
        ("plugins/s2.wasm", &service),
        ("plugins/s2.toml", b"routes = [\"GET /s/x\"]\n"),
        ("plugins/s3.wasm", &service),
        ("plugins/s3.toml", b"routes = [\"GET /s/{*other}\"]\n"),
        ("plugins/s4.wasm", &service),
        ("plugins/s4.toml", b"routes = [\"GET /s/y\"]\n[grants]\nroutes = [\"GET /s/y\"]\n"),
        ("plugins/s5.wasm", &service),
    ]);
    let (code, text) = check(home.path(), &[]);
    assert_eq!(code, 1, "{text}");
    for part in [
        "sandbus.toml:1:1: `lissten`: unknown key; did you mean `listen`?",
        "sandbus.toml:3:18: `http.max_body_bytes`: found a string; write a whole number from 0",
        "plugins/echo.toml:2:1: `limits.memory_byte`: unknown key; did you mean `memory_bytes`?",
        "plugins/echo.toml: it grants 5 bytes of memory",
        "plugins/echo.toml: it sets the configuration key `nothing`",
        "plugins/echo.toml: rollback.window is zero",
        "plugins/echo.toml: it has rules for the subscription `nobody`",
        "plugins/other.wasm: its plugin `echo` is already loaded from echo.wasm",
        "plugins/broken.wasm: ",
        "plugins/nobody.toml: it is a sidecar without a plugin nobody.wasm",
        "plugins/nobody.toml:1:11: `enabled`: found a string; write true or false",
        "plugins/s2.wasm: its route `GET /s/x` would take requests from `GET /s/{*rest}` of plugin `s1`",
        "plugins/s3.wasm: its route `GET /s/{*other}` conflicts with a route of plugin `s1`",
        "plugins/s5.wasm: its sidecar is invalid: the plugin serves `wasi:http` and needs routes",
        "error: 14 errors",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("s4."), "{text}");
    assert!(!home.path().join("data").exists());
    let (code, text) = check(home.path(), &["--json"]);
    let view: Value = serde_json::from_str(text.split_once("error: ").unwrap().0).unwrap();
    assert_eq!((code, view["errors"].as_array().unwrap().len()), (1, 14), "{text}");
    let first = &view["errors"].as_array().unwrap().iter().find(|error| error["key"] == "lissten").unwrap();
    assert_eq!((&first["line"], &first["column"]), (&Value::from(1), &Value::from(1)));
}

#[test]
fn files_that_do_not_exist_are_errors() {
    let home = home(&[]);
    let (code, text) = check(home.path(), &["--config", "none.toml", "--plugins", "nowhere"]);
    assert_eq!(code, 1, "{text}");
    for part in ["none.toml: cannot read the file", "the plugin folder nowhere does not exist", "error: 2 errors"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// `serve` also names the key that was probably meant.
#[test]
fn a_host_does_not_start_with_an_unknown_key_and_names_the_nearest() {
    let home = home(&[("sandbus.toml", b"[sandbox]\ntimout = \"1s\"\n")]);
    let output = Command::new(binary()).current_dir(home.path()).arg("serve").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(text.contains("`sandbox.timout`: unknown key; did you mean `timeout`?"), "{text}");
}

//! Components that are built to harm the host: each is refused with its reason, or costs its own deliveries alone.

use sandbus_tests::{Setup, eventually, put};
use serde_json::json;

/// A component that handles messages. `core` is added to its module, and `around` to the component.
fn component(core: &str, around: &str) -> String {
    with_functions("(i32.const 1024)", "(i32.const 0)", "", core, around)
}

fn with_functions(realloc: &str, handle: &str, post_return: &str, core: &str, around: &str) -> String {
    format!(
        r#"(component
            (core module $m
                (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) {realloc})
                (func (export "handle") (param i32 i32 i32 i32 i32 i32 i32) (result i32)
                    (i32.store8 (i32.const 0) (i32.const 0)) {handle})
                (func (export "post-return") (param i32) {post_return})
                {core})
            (core instance $i (instantiate $m))
            (type $message
                (record (field "subject" string) (field "body" (list u8)) (field "reply-to" (option string))))
            (func $handle (param "msg" $message) (result (result (error string)))
                (canon lift (core func $i "handle") (memory (core memory $i "memory"))
                    (realloc (core func $i "realloc")) (post-return (func $i "post-return"))))
            (component $interface
                (type $record
                    (record (field "subject" string) (field "body" (list u8)) (field "reply-to" (option string))))
                (import "message" (type $given (eq $record)))
                (import "handle" (func $handle (param "msg" $given) (result (result (error string)))))
                (export $message "broker-message" (type $record))
                (export "handle-message" (func $handle)
                    (func (param "msg" $message) (result (result (error string))))))
            (instance $handler
                (instantiate $interface (with "message" (type $message)) (with "handle" (func $handle))))
            (export "wasmcloud:messaging/handler@0.2.0" (instance $handler))
            {around})"#
    )
}

const SIDECAR: &str = "[subscriptions.s]\npattern = \"a.>\"\nmax_attempts = 1\n[limits]\ntimeout = \"500ms\"\n";
const ENDLESS: &str = "(loop (br 0)) (unreachable)";

/// Ten levels of ten instances.
fn instance_bomb() -> String {
    let mut text = "(component $c0 (core module $x) (core instance (instantiate $x)))".to_owned();
    for level in 1..=10 {
        let made = "(instance (instantiate $p))".repeat(10);
        text += &format!("(component $c{level} (alias outer 1 $c{} (component $p)) {made})", level - 1);
    }
    text + "(instance (instantiate $c10))"
}

#[test]
fn components_that_are_out_of_bounds_are_refused_with_the_reason() {
    let host = Setup::new().own_code().start();
    let types = (1..=30).map(|level| format!("(type $t{level} (tuple $t{0} $t{0}))", level - 1)).collect::<String>();
    let modules = format!("(core module $e) {}", "(core instance (instantiate $e))".repeat(500));
    for (name, text, words) in [
        ("memories", component("(memory 1)", ""), "several memories"),
        ("table", component("(table 4000000000 funcref)", ""), "exceeds the limit"),
        ("tables", component(&"(table 1 funcref)".repeat(90), ""), "exceeds the per-instance limit"),
        ("modules", component("", &modules), "501 core module instances"),
        ("bomb", component("", &instance_bomb()), "more than 1000 instances"),
        ("types", component("", &format!("(type $t0 (tuple u8 u8)) {types}")), "type size exceeds the limit"),
        (
            "import",
            component("", "").replacen(
                "(component",
                r#"(component
                    (import "sandbus:plugin/bus@0.1.0" (instance (export "cancel" (func (param "id" u32)))))"#,
                1,
            ),
            "`cancel` has the wrong type",
        ),
    ] {
        put(&host.file(&format!("{name}.toml")), SIDECAR.as_bytes());
        put(&host.file(&format!("{name}.wasm")), &wat::parse_str(&text).unwrap());
        let refused = host.wait_until_refused(&format!("{name}.wasm"));
        assert!(refused.contains(words), "{name}: {refused}");
    }
}

#[test]
fn components_that_misbehave_cost_their_own_deliveries_alone() {
    let result = |realloc: &str, handle: &str, post: &str| with_functions(realloc, handle, post, "", "");
    let setup = Setup::new().plugin("ledger");
    let misbehaving = [
        ("start-loops", component("(func $s (loop (br 0))) (start $s)", ""), "timeout"),
        ("start-traps", component("(func $s unreachable) (start $s)", ""), "trap"),
        ("start-recurses", component("(func $s (call $s)) (start $s)", ""), "trap"),
        ("elements", component("(table 1 funcref) (func $f) (elem (i32.const 5) func $f)", ""), "trap"),
        ("data", component("(data (i32.const 65530) \"0123456789\")", ""), "trap"),
        ("post-loops", result("(i32.const 1024)", "(i32.const 0)", "(loop (br 0))"), "timeout"),
        ("post-traps", result("(i32.const 1024)", "(i32.const 0)", "unreachable"), "trap"),
        ("realloc-loops", result(ENDLESS, "(i32.const 0)", ""), "timeout"),
        ("realloc-outside", result("(i32.const 0x7ffffff0)", "(i32.const 0)", ""), "trap"),
        ("result-outside", result("(i32.const 1024)", "(i32.const 0x7ffffffc)", ""), "trap"),
    ];
    for (name, text, _) in &misbehaving {
        let setup = setup.path().join("plugins");
        put(&setup.join(format!("{name}.toml")), SIDECAR.as_bytes());
        put(&setup.join(format!("{name}.wasm")), &wat::parse_str(text).unwrap());
    }
    let host = setup.start();
    assert_eq!(host.publish("a.b", "1", json!({})).status, 202);
    let letters = eventually("each has failed", || {
        let letters = host.dead_letters();
        (letters.len() == misbehaving.len()).then_some(letters)
    });
    for (name, _, cause) in misbehaving {
        let letter = letters.iter().find(|letter| letter["subscription"] == format!("{name}/s"));
        assert_eq!(letter.map(|letter| &letter["cause"]), Some(&json!(cause)), "{name}: {letters:?}");
    }
    assert_eq!(host.publish("ledger.entry", "2", json!({})).status, 202);
    host.wait_until_idle();
    assert_eq!(host.get("/ledger").json()["booked"], 1);
}

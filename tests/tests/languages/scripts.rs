//! Scripts behave alike as components and as programs on a prepared runtime.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};

use sandbus_tests::languages::root;
use sandbus_tests::{Host, Setup, eventually};
use sandbus_toolchain::Project;
use serde_json::{Value, json};

/// Builds a guest from a script project and puts it into a host's plugin folder.
fn script(name: &str, setup: &Setup) {
    /// A build keeps its files in the project, so that a second test finds it built.
    static BUILDING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let project = Project::find(&root().join("tests/guests").join(name)).unwrap();
    let report = project.build(false, &mut |_| {}).unwrap();
    assert!(report.succeeded, "{:?}", report.messages);
    std::fs::copy(&report.artifacts[0].path, setup.path().join(format!("plugins/{name}.wasm"))).unwrap();
}

/// How a script runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As a component of its own, which `sandbus build` makes.
    Component,
    /// As a program on a prepared runtime, which `sandbus dev` makes.
    Program,
}

/// Both forms behave alike, so most tests run on both.
const FORMS: [Form; 2] = [Form::Component, Form::Program];

/// A host with a script.
fn scripted(name: &str, form: Form, sidecar: &str) -> Host {
    let setup = Setup::new().sidecar(name, sidecar);
    match form {
        Form::Component => {
            script(name, &setup);
            setup.start()
        }
        Form::Program => {
            // The test's folders, since the project's own ones outlive the test.
            let folders = ["--plugins", "plugins", "--data", "data"];
            let host = setup.develop_with(&root().join("tests/guests").join(name), &folders);
            let _ = host.wait_for_log(&["built for the prepared runtime", name]);
            host
        }
    }
}

const REUSED: &str = "[limits]\ncalls_per_instance = 8\n";

/// The random values that each of three requests got, by name.
fn drawn(host: &Host, path: &str) -> Vec<(String, String)> {
    let draw = || {
        let answer = host.get(path);
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(answer.json()["clock"]["since"].as_f64().unwrap() > 0.0, "the time goes on: {}", answer.body);
        assert_eq!(answer.json()["clock"]["zone"], 0);
        let chance = answer.json()["chance"].clone();
        let named = |(name, number): (String, &Value)| (name, number.to_string());
        match chance.as_object() {
            Some(numbers) => numbers.iter().map(|(name, number)| (name.clone(), number)).map(named).collect::<Vec<_>>(),
            None => {
                let numbers = chance.as_array().unwrap().iter().enumerate();
                numbers.map(|(index, number)| (index.to_string(), number)).map(named).collect()
            }
        }
    };
    (0..3).flat_map(|_| draw()).collect()
}

#[test]
fn a_snapshot_freezes_no_chance() {
    for (name, path) in [("script-js", "/js/chance"), ("script-python", "/python/chance")] {
        for (form, sidecar) in FORMS.into_iter().flat_map(|form| [(form, ""), (form, REUSED)]) {
            let mut host = scripted(name, form, sidecar);
            let mut all = drawn(&host, path);
            if form == Form::Component {
                host = host.crash_and_restart();
                all.extend(drawn(&host, path));
            }
            for (index, (number, value)) in all.iter().enumerate() {
                let again = all[..index].iter().any(|(other, drawn)| (other, drawn) == (number, value));
                assert!(!again, "{name} with {sidecar:?}: {number} was {value} twice");
            }
            // Three events, three values.
            let event = name.replace("script-", "probe.");
            for id in ["1", "2", "3"] {
                assert_eq!(host.publish(&event, id, json!({})).status, 202);
            }
            let lines = eventually("each event is handled and logged", || {
                let log = host.log();
                let drawn = log.lines().filter_map(|line| Some(line.split_once("drawn ")?.1.to_owned()));
                let drawn: Vec<_> = drawn.collect();
                (drawn.len() == 3).then_some(drawn)
            });
            let distinct: std::collections::HashSet<_> = lines.iter().collect();
            assert_eq!(distinct.len(), 3, "{lines:?}");
        }
    }
}

#[test]
fn no_text_and_no_number_of_a_script_traps_its_runtime() {
    let scripts = [("script-js", "/js"), ("script-python", "/python")];
    for (name, path, form) in scripts.into_iter().flat_map(|(name, path)| FORMS.map(|form| (name, path, form))) {
        let host = scripted(name, form, "");
        let answer = host.get(&format!("{path}/texts"));
        assert_eq!(answer.status, 200, "{}", answer.body);
        let calls = answer.json();
        let calls = calls.as_array().unwrap();
        assert!(calls.len() > 100, "{calls:?}");
        for call in calls {
            let (place, ended) = (call[0].as_str().unwrap(), call[1].as_str().unwrap());
            let identifies = ["get", "set", "remove", "increment", "keys", "config", "type", "subscription", "webhook"];
            let (what, text) = place.split_once(' ').unwrap();
            if ["high", "low", "reversed"].contains(&text) && identifies.contains(&what) {
                assert!(ended.contains("lone surrogate"), "{place}: {ended}");
            }
            if ["unnamed", "bytes", "concurrency", "delay", "sum"].contains(&what) {
                assert!(ended.contains("Error: "), "{place}: {ended}");
            }
        }
        for text in ["high", "low", "reversed", "nul", "long"] {
            assert_eq!(host.get(&format!("{path}/answers/{text}")).status, 200, "{name}: {text}");
        }
    }
}

#[test]
fn headers_of_a_script_may_come_twice() {
    let scripts = [("script-js", "/js/cookies"), ("script-python", "/python/cookies")];
    for (name, path, form) in scripts.into_iter().flat_map(|(name, path)| FORMS.map(|form| (name, path, form))) {
        let host = scripted(name, form, "");
        // The raw response, since an HTTP client may merge headers of one name.
        let mut connection = TcpStream::connect(host.address()).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nx-tag: a\r\nx-tag: b, c\r\nconnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let cookies: Vec<_> = head.lines().filter_map(|line| line.strip_prefix("set-cookie: ")).collect();
        assert_eq!(cookies, ["a=1; Path=/", "b=2"], "{answer}");
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!((&body[0], &body[1]), (&json!(["a", "b, c"]), &json!("a, b, c")));
        assert!(name != "script-js" || body[2] == "\u{fffd}", "{body}");
    }
}

#[test]
fn a_script_is_told_where_it_fails_and_data_that_does_not_fit_is_rejected() {
    FORMS.into_iter().for_each(check_failures);
}

fn check_failures(form: Form) {
    let host = scripted("script-js", form, "");
    let sum = host.get("/js/sum").json();
    assert!(sum.as_str().unwrap().contains("2^53"), "{sum}");
    assert_eq!(host.publish("probe.schema", "fits", json!({ "order_id": 1 })).status, 202);
    assert_eq!(host.publish("probe.schema", "misfit", json!({ "order_id": "x" })).status, 202);
    for how in ["lone", "deep"] {
        assert_eq!(host.publish("probe.fails", how, json!({ "how": how })).status, 202);
    }
    host.wait_until_idle();
    let letters = host.dead_letters();
    let letter = |id: &str| letters.iter().find(|letter| letter["logged"]["event"]["id"] == id).unwrap();
    assert_eq!(letters.len(), 3, "{letters:?}");
    assert_eq!(letter("misfit")["cause"], "rejected");
    let reason = letter("misfit")["reason"].as_str().unwrap();
    assert_eq!(reason, "the event's data is invalid: /order_id: must be integer, not string");
    let reason = letter("lone")["reason"].as_str().unwrap();
    assert!(reason.contains("a\u{fffd}b") && reason.contains("src/plugin.js:"), "{reason}");
    let reason = letter("deep")["reason"].as_str().unwrap();
    assert!(reason.contains("calls itself"), "{reason}");
}

/// A component of a script is a module, and modules are strict. A prepared runtime must not run its program otherwise.
#[test]
fn a_script_in_javascript_is_strict() {
    let source = std::fs::read_to_string(root().join("tests/guests/script-js/src/plugin.js")).unwrap();
    let line = |name: &str| 1 + source.lines().position(|line| line.contains(&format!("{name:?}: ("))).unwrap();
    let thrown = |kind: &str, name: &str| format!("{kind} at plugin.js:{}", line(name));
    let [component, program] = FORMS.map(|form| scripted("script-js", form, "").get("/js/strict").json());
    assert_eq!(component, program);
    for (form, all) in FORMS.into_iter().zip([component, program]) {
        let result = |name: &str| {
            let found = all.as_array().unwrap().iter().find(|pair| pair[0] == name);
            found.unwrap_or_else(|| panic!("{name} in {all}"))[1].clone()
        };
        for (name, expected) in [
            ("this of a function", json!("undefined")),
            ("this of a method that lost its object", json!("undefined")),
            ("this of a number", json!("number")),
            ("this of a callback", json!("undefined")),
            ("arguments", json!(1)),
            ("arguments of the module", json!("undefined")),
            ("function in a block", json!("undefined")),
            ("CommonJS: this of a function", json!("undefined")),
            ("CommonJS: arguments", json!(1)),
            ("CommonJS: typeof this", json!("object")),
        ] {
            assert_eq!(result(name), expected, "{name} as {form:?}");
        }
        for name in [
            "frozen",
            "frozen array",
            "read-only",
            "only a getter",
            "no extensions",
            "property of a text",
            "undefined",
            "callee",
            "the function's own name",
        ] {
            assert_eq!(result(name), thrown("TypeError", name), "{name} as {form:?}");
        }
        // The engine takes this line for the one before it.
        assert!(result("delete").as_str().unwrap().starts_with("TypeError at plugin.js:"), "{all}");
        assert_eq!(result("undeclared"), thrown("ReferenceError", "undeclared"), "{form:?}");
        for (name, expected) in [
            ("CommonJS: undeclared", "ReferenceError at common.cjs:5"),
            ("CommonJS: frozen", "TypeError at common.cjs:6"),
        ] {
            assert_eq!(result(name), expected, "{name} as {form:?}");
        }
    }
}

#[test]
fn each_failure_has_its_own_cause() {
    for (name, form) in ["script-js", "script-python"].into_iter().flat_map(|name| FORMS.map(|form| (name, form))) {
        let host = scripted(name, form, "[grants]\nhttp = [\"127.0.0.1:1\"]\n");
        for how in ["retry", "reject", "type", "request"] {
            assert_eq!(host.publish("probe.fails", how, json!({ "how": how })).status, 202);
        }
        let letters = eventually("all have failed", || {
            let letters = host.dead_letters();
            (letters.len() == 4).then_some(letters)
        });
        for letter in &letters {
            let how = letter["logged"]["event"]["id"].as_str().unwrap();
            let expected = match how {
                "reject" => "rejected",
                "type" => "exception",
                other => other,
            };
            assert_eq!(letter["cause"], expected, "{name} as {form:?}: {letter}");
        }
    }
}

/// A language's error about memory is the cause only if the host has refused memory and the handler has not caught it.
#[test]
fn exhausted_memory_is_a_cause_of_its_own() {
    let scripts = [
        ("script-js", "/js", &["out-of-memory", "out-of-memory in a promise", "out-of-memory at once"][..]),
        ("script-python", "/python", &["out-of-memory", "out-of-memory at once"]),
    ];
    for ((name, path, memory), form) in scripts.into_iter().flat_map(|script| FORMS.map(|form| (script, form))) {
        let host = scripted(name, form, "");
        let pretended = if name == "script-js" { "exception null" } else { "exception pretended" };
        let failing: Vec<_> = memory.iter().copied().chain(["exception", pretended]).collect();
        for how in failing.iter().chain(&["acknowledged"]) {
            assert_eq!(host.publish("probe.hoards", how, json!({ "how": how })).status, 202);
        }
        host.wait_until_idle();
        let letters = host.dead_letters();
        assert_eq!(letters.len(), failing.len(), "{name} as {form:?}: {letters:?}");
        for letter in &letters {
            let how = letter["logged"]["event"]["id"].as_str().unwrap();
            let cause = how.split(' ').next().unwrap();
            assert_eq!(letter["cause"], cause, "{name} as {form:?}: {letter}");
            let is_told = letter["reason"].as_str().unwrap().contains("memory than its limit allows");
            assert_eq!(is_told, cause == "out-of-memory", "{letter}");
        }
        for how in failing {
            let answer = host.post(&format!("{path}/hoards"), json!({ "how": how }));
            let code = if how.starts_with("out") { "handler-out-of-memory" } else { "handler-failed" };
            assert_eq!((answer.status, answer.problem().as_str()), (500, code), "{name} as {form:?}: {how}");
        }
        assert_eq!(host.post(&format!("{path}/hoards"), json!({ "how": "acknowledged" })).status, 204);
    }
}

#[test]
fn the_reason_of_a_failed_route_is_logged_beyond_the_log_limit() {
    let scripts = [("script-js", "/js/chatter"), ("script-python", "/python/chatter")];
    for (name, path, form) in scripts.into_iter().flat_map(|(name, path)| FORMS.map(|form| (name, path, form))) {
        let host = scripted(name, form, "");
        assert_eq!(host.get(path).status, 500);
        let _ = host.wait_for_log(&["has reached its log limit"]);
        let line = host.wait_for_log(&["failed: uncaught", "the reason yyy", "(shortened)"]);
        assert!(line.to_string().len() < 8_000, "{line}");
    }
}

#[test]
fn modules_that_python_imports_late_are_there() {
    FORMS.into_iter().for_each(check_late_imports);
}

fn check_late_imports(form: Form) {
    let host = scripted("script-python", form, "");
    let answer = host.get("/python/late");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let late = answer.json();
    assert_eq!(late.as_array().unwrap()[..3], [json!("0.3"), json!(2), json!(28)]);
    assert_eq!(late[3], json!(["80", "20ac", "a4"]));
    assert_eq!(late[4], "plugins", "a declared dependency is part of it");
    assert!(late[5].as_str().unwrap().contains("sqlite3"), "{late}");
}

/// Promises and timers of a JavaScript handler run before its outcome is known. The engine's own queue would run after
/// the acknowledgement, or never.
#[test]
fn no_work_of_a_handler_in_javascript_is_lost() {
    for (form, sidecar) in FORMS.into_iter().flat_map(|form| [(form, ""), (form, REUSED)]) {
        let host = scripted("script-js", form, sidecar);
        let names = |of: &str| -> Vec<String> {
            let left = host.get("/js/left").json();
            left[of].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
        };
        let (left, fails) = (names("left"), names("fails"));
        for how in left.iter().chain(&fails) {
            assert_eq!(host.publish("probe.leaves", how, json!({ "how": how })).status, 202);
        }
        host.wait_until_idle();
        let mut expected: Vec<_> = left.iter().map(|how| format!("left {how}")).collect();
        expected.sort();
        assert_eq!(names("keys"), expected, "what is left behind happens, and what fails leaves nothing");

        let letters = host.dead_letters();
        assert_eq!(letters.len(), fails.len(), "{letters:?}");
        for letter in &letters {
            let (how, reason) = (letter["logged"]["event"]["id"].as_str().unwrap(), letter["reason"].as_str().unwrap());
            let (cause, told) = match how {
                "chosen" => ("rejected", "floats"),
                "waits" => ("exception", "setTimeout: a handler cannot wait for 100 ms"),
                "repeats" => ("exception", "setInterval"),
                never if never.starts_with("never") => ("exception", "a promise never settles"),
                _ => ("exception", "floats"),
            };
            assert_eq!(letter["cause"], cause, "{letter}");
            assert!(reason.contains(told), "{how}: {reason}");
            let is_placed = reason.contains("src/plugin.js:") && !reason.contains("@sandbus/sdk");
            assert!(is_placed || how == "chosen", "{how}: {reason}");
        }

        // The same for requests.
        assert_eq!(host.post("/js/forget", json!({})).status, 204);
        for how in &left {
            assert_eq!(host.post("/js/leaves", json!({ "how": how })).status, 204, "{how}");
        }
        for how in &fails {
            let answer = host.post("/js/leaves", json!({ "how": how }));
            assert_eq!(answer.status, if how == "chosen" { 422 } else { 500 }, "{how}: {}", answer.body);
            assert_eq!(answer.body.contains("floats"), how == "chosen", "{}", answer.body);
        }
        assert_eq!(names("keys"), expected);
    }
}

#[test]
fn a_script_draws_more_random_bytes_than_the_host_gives_at_once() {
    FORMS.into_iter().for_each(check_random_bytes);
}

fn check_random_bytes(form: Form) {
    let answer = scripted("script-js", form, "").get("/js/random").json();
    assert_eq!(answer[0], 5_000_000);
    assert!(answer[1].as_str().unwrap().starts_with("TypeError: the count of random bytes"), "{answer}");
}

#[test]
fn no_work_of_a_handler_in_python_is_lost() {
    FORMS.into_iter().for_each(check_work_in_python);
}

fn check_work_in_python(form: Form) {
    let host = scripted("script-python", form, "");
    for how in ["runs", "drops", "leaves", "waits", "resolves"] {
        assert_eq!(host.publish("probe.leaves", how, json!({ "how": how })).status, 202);
    }
    host.wait_until_idle();
    assert_eq!(host.get("/python/left").json(), json!(["begun runs", "one", "two"]));
    let letters = host.dead_letters();
    let reason = |id: &str| {
        let letter = letters.iter().find(|letter| letter["logged"]["event"]["id"] == id);
        letter.map(|letter| letter["reason"].as_str().unwrap().to_owned()).unwrap_or_default()
    };
    assert_eq!(letters.len(), 4, "{letters:?}");
    assert!(reason("drops").contains("the coroutine of `saved` ("), "{}", reason("drops"));
    assert!(reason("leaves").contains("the task of `saved` ("), "{}", reason("leaves"));
    assert!(reason("waits").contains("waits for something that cannot happen"), "{}", reason("waits"));
    // The message shows the plugin's own lines, not those of Python's library.
    assert!(
        reason("resolves").contains("at leaves (") && !reason("resolves").contains("socket.py"),
        "{}",
        reason("resolves")
    );
}

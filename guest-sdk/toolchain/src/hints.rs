//! Detects code that cannot work in a component, in a crate's sources and in its compiled module, and suggests an
//! alternative.
//!
//! The target has no operating system. The SDK provides random numbers for every crate, but the standard library's
//! clock and output cannot be replaced from outside.

mod usages;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use self::usages::SourceFile;
use crate::artifact::Artifact;
use crate::cargo::CargoPackage;
use crate::error::at;
use crate::project::Project;
use crate::toolchain::TARGET;
use crate::{Error, files, run};

/// A part of the standard library that does not work in a plugin.
struct UnsupportedApi {
    /// A string that a compiled module contains if it uses this API, even after link-time optimization. Empty if the
    /// API leaves no such string.
    mark: &'static str,
    /// The forms in which sources use it.
    words: &'static [&'static str],
    /// The consequence, and what to write instead.
    hint: &'static str,
}

const UNSUPPORTED_APIS: [UnsupportedApi; 9] = [
    UnsupportedApi {
        mark: "time not implemented on this platform",
        words: &["SystemTime::now", "Instant::now", "Utc::now", "Local::now", "now_utc", "now_local"],
        hint: "SystemTime::now() and Instant::now() panic in a plugin; use sandbus_sdk::now(), and \
               convert it with chrono's DateTime::<Utc>::from or time's OffsetDateTime::from",
    },
    UnsupportedApi {
        mark: "",
        words: &["println!", "print!", "stdout()"],
        hint: "the output of print! and println! is lost in a plugin; log with info! or debug!",
    },
    UnsupportedApi {
        mark: "",
        words: &["eprintln!", "eprint!", "dbg!", "stderr()"],
        hint: "the output of eprint!, eprintln! and dbg! is lost in a plugin; log with warn! or debug!",
    },
    UnsupportedApi {
        mark: "failed to spawn thread",
        words: &["thread::spawn", "thread::scope", "thread::Builder"],
        hint: "a plugin has one thread, and starting another one panics; publish an event for work that can run separately",
    },
    UnsupportedApi {
        mark: "can't sleep",
        words: &["thread::sleep"],
        hint: "thread::sleep panics in a plugin; publish an event with .delay(delay), or return Failure::retry_after",
    },
    UnsupportedApi {
        mark: "",
        words: &[
            "fs::read",
            "fs::write",
            "fs::create_dir",
            "fs::remove",
            "fs::metadata",
            "File::open",
            "File::create",
            "OpenOptions::new",
        ],
        hint: "a plugin has no files, and each use of std::fs fails; keep data in the state, and embed fixed data with include_str!",
    },
    UnsupportedApi {
        mark: "",
        words: &["TcpStream::connect", "TcpListener::bind", "UdpSocket::bind", "to_socket_addrs"],
        hint: "a plugin has no sockets, and each use of std::net fails; send requests with sandbus_sdk::client",
    },
    UnsupportedApi {
        mark: "",
        words: &["env::var", "env::vars", "env::args", "env::current_dir", "env::temp_dir"],
        hint: "a plugin has no environment and no arguments; declare a setting with config: [\"KEY\" = \"default\"] in plugin!, and read it with config::get",
    },
    UnsupportedApi {
        mark: "",
        words: &["process::exit", "process::id", "process::Command", "Command::new", "stdin()"],
        hint: "a plugin is not a process: std::process traps or fails, and standard input is empty; return an error instead",
    },
];

/// The module that wasm-bindgen imports. Only wasm-bindgen's own tool can provide it.
const BINDGEN: &str = "__wbindgen_placeholder__";

/// Crates that call JavaScript by default, and how to turn that off.
const REMEDIES: [(&str, &str); 4] = [
    (
        "chrono",
        "depend on it as chrono = { version = \"0.4\", default-features = false, features = [\"std\"] }, and write \
         DateTime::<Utc>::from(sandbus_sdk::now()) instead of Utc::now()",
    ),
    ("uuid", "disable its feature `js`; the SDK provides its random numbers"),
    ("getrandom", "disable its feature `js` or `wasm_js`; the SDK provides its random numbers"),
    (
        "time",
        "disable its feature `wasm-bindgen`, and write OffsetDateTime::from(sandbus_sdk::now()) instead of \
         now_utc()",
    ),
];

/// Hints for the author of a component's crate.
///
/// # Errors
/// If the component cannot be read.
pub fn hints(project: &Project, artifact: &Artifact) -> Result<Vec<String>, Error> {
    let Some(unit) = &project.package else { return Ok(Vec::new()) };
    let module = files::read(&artifact.path).map_err(at(&artifact.path))?;
    let sources: Vec<_> = std::iter::once(&project.directory)
        .chain(project.path_dependencies.iter().filter(|directory| !is_sdk(directory)))
        .flat_map(|directory| SourceFile::below(directory))
        .collect();
    let mut hints = unsupported_apis(&module, &sources, &project.directory);
    if contains(&module, BINDGEN) {
        hints.push(bindgen_hint(&chain(unit, &project.directory).unwrap_or_default()));
    }
    Ok(hints)
}

/// Whether a directory contains a crate of the SDK.
fn is_sdk(directory: &Path) -> bool {
    std::fs::read_to_string(directory.join("Cargo.toml")).is_ok_and(|text| text.contains("name = \"sandbus-sdk"))
}

/// The unsupported usages in some sources, each with its first location.
fn unsupported_apis(module: &[u8], sources: &[SourceFile], directory: &Path) -> Vec<String> {
    let hints = UNSUPPORTED_APIS.iter().filter_map(|api| {
        // Code that would leave a mark but has left none is unreachable.
        if !api.mark.is_empty() && !contains(module, api.mark) {
            return None;
        }
        let usages: Vec<_> = sources.iter().flat_map(|source| source.usages(api.words)).collect();
        match (usages.as_slice(), api.mark) {
            ([], "") => None,
            ([], _) => Some(format!("in a crate that it depends on: {}", api.hint)),
            ([first, more @ ..], _) => {
                let first = first.strip_prefix(&format!("{}/", directory.display())).unwrap_or(first);
                let more = if more.is_empty() { String::new() } else { format!(" (and {} more)", more.len()) };
                Some(format!("{first}{more}: {}", api.hint))
            }
        }
    });
    hints.collect()
}

fn contains(module: &[u8], text: &str) -> bool {
    module.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Names the crates that lead from the plugin to wasm-bindgen, and a remedy for the first of them.
fn bindgen_hint(chain: &[String]) -> String {
    let remedy = chain.iter().find_map(|name| REMEDIES.iter().find(|(crate_name, _)| crate_name == name));
    let culprit = remedy.map(|(name, _)| *name).or_else(|| chain.get(1).map(String::as_str));
    let text = match (culprit, remedy) {
        (Some(name), Some((_, remedy))) => format!("the crate `{name}` does so: {remedy}"),
        (Some(name), None) => format!(
            "the crate `{name}` does so: switch off its feature for JavaScript or `wasm`, which may be on by default"
        ),
        (None, _) => {
            "`cargo tree --target wasm32-unknown-unknown --invert wasm-bindgen` shows which crate does so".to_owned()
        }
    };
    let path = if chain.is_empty() { String::new() } else { format!(" ({})", chain.join(" -> ")) };
    format!("the component calls JavaScript through wasm-bindgen, which no host provides; {text}{path}")
}

/// The shortest dependency path from a plugin to wasm-bindgen.
fn chain(unit: &CargoPackage, directory: &Path) -> Result<Vec<String>, Error> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(directory).args(["metadata", "--format-version=1", "--filter-platform", TARGET]);
    let metadata = serde_json::from_str(&run::output(&mut cargo)?);
    Ok(metadata.map(|metadata| shortest(&metadata, &unit.id)).unwrap_or_default())
}

fn shortest(metadata: &Value, from: &str) -> Vec<String> {
    let list = |list: &Value| list.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let names: BTreeMap<_, _> =
        list(&metadata["packages"]).iter().map(|package| (text(&package["id"]), text(&package["name"]))).collect();
    let is_normal = |dependency: &Value| list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
    let uses = |node: &Value| {
        let used = list(&node["deps"]).into_iter().filter(|dependency| is_normal(dependency));
        used.map(|dependency| text(&dependency["pkg"])).collect::<Vec<_>>()
    };
    let nodes: BTreeMap<_, _> =
        list(&metadata["resolve"]["nodes"]).iter().map(|node| (text(&node["id"]), uses(node))).collect();
    let mut before: BTreeMap<String, Option<String>> = BTreeMap::from([(from.to_owned(), None)]);
    let mut queue = VecDeque::from([from.to_owned()]);
    while let Some(id) = queue.pop_front() {
        if names.get(&id).is_some_and(|name| name == "wasm-bindgen") {
            let back = std::iter::successors(Some(&id), |id| before.get(*id)?.as_ref());
            let mut way: Vec<_> = back.filter_map(|id| names.get(id).cloned()).collect();
            way.reverse();
            return way;
        }
        for used in nodes.get(&id).into_iter().flatten() {
            if !before.contains_key(used) {
                before.insert(used.clone(), Some(id.clone()));
                queue.push_back(used.clone());
            }
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_missing_part_of_the_standard_library_is_reported_with_its_first_use() {
        let home = tempfile::tempdir().unwrap();
        for (code, mark, hint) in [
            (
                "let t = std::time::SystemTime::now();",
                "time not implemented on this platform",
                Some("sandbus_sdk::now()"),
            ),
            ("let t = std::time::SystemTime::now();", "", None),
            ("chrono::Utc::now();", "time not implemented on this platform", Some("chrono")),
            ("println!(\"{a}\");", "", Some("info!")),
            ("dbg!(a);", "", Some("warn!")),
            ("std::thread::spawn(f);", "failed to spawn thread", Some("one thread")),
            ("std::thread::sleep(d);", "can't sleep", Some(".delay(delay)")),
            ("std::fs::read_to_string(p)", "", Some("no files")),
            ("TcpStream::connect(a)", "", Some("client")),
            ("std::env::var(\"HOME\")", "", Some("config::get")),
            ("std::process::exit(1)", "", Some("return an error")),
            ("info!(\"println! {a}\"); // println!", "", None),
        ] {
            let path = home.path().join("src/util/mod.rs");
            crate::files::write_file(&path, &format!("fn f() {{\n    {code}\n}}\n")).unwrap();
            let found = unsupported_apis(mark.as_bytes(), &SourceFile::below(home.path()), home.path());
            match hint {
                None => assert!(found.is_empty(), "{code}: {found:?}"),
                Some(hint) => {
                    assert!(found.len() == 1 && found[0].contains(hint), "{code}: {found:?}");
                    assert!(found[0].starts_with("src/util/mod.rs:2: "), "{found:?}");
                }
            }
        }
        let twice = "fn f() { println!() }\nfn g() { print!() }\n";
        crate::files::write_file(&home.path().join("src/util/mod.rs"), twice).unwrap();
        assert!(
            unsupported_apis(b"", &SourceFile::below(home.path()), home.path())[0]
                .starts_with("src/util/mod.rs:1 (and 1 more): ")
        );
        let elsewhere = unsupported_apis(b"time not implemented on this platform", &[], home.path());
        assert!(elsewhere[0].starts_with("in a crate that it depends on: "), "{elsewhere:?}");
    }

    #[test]
    fn the_crate_that_calls_javascript_is_named_with_the_remedy() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (chain, parts) in [
            (
                &["orders", "chrono", "js-sys", "wasm-bindgen"][..],
                &["`chrono`", "default-features = false", "orders -> chrono"][..],
            ),
            (&["orders", "shared", "uuid", "wasm-bindgen"], &["`uuid`", "`js`"]),
            (&["orders", "gadget", "wasm-bindgen"], &["`gadget`", "switch off"]),
            (&[], &["cargo tree"]),
        ] {
            let hint = bindgen_hint(&names(chain));
            assert!(parts.iter().all(|part| hint.contains(part)), "{hint}");
        }
    }

    #[test]
    fn the_shortest_way_to_wasm_bindgen_leaves_out_what_is_for_builds_and_tests() {
        let package = |name: &str| json!({ "id": format!("{name} 1"), "name": name });
        let node = |name: &str, uses: &[(&str, Value)]| {
            let deps: Vec<_> = uses
                .iter()
                .map(|(used, kind)| json!({ "pkg": format!("{used} 1"), "dep_kinds": [{ "kind": kind }] }))
                .collect();
            json!({ "id": format!("{name} 1"), "deps": deps })
        };
        let packages = ["orders", "tests", "chrono", "js-sys", "wasm-bindgen"].map(package);
        let metadata = json!({
            "packages": packages,
            "resolve": { "nodes": [
                node("orders", &[("tests", json!("dev")), ("chrono", Value::Null)]),
                node("tests", &[("wasm-bindgen", Value::Null)]),
                node("chrono", &[("js-sys", Value::Null)]),
                node("js-sys", &[("wasm-bindgen", Value::Null)]),
                node("wasm-bindgen", &[]),
            ] },
        });
        assert_eq!(shortest(&metadata, "orders 1"), ["orders", "chrono", "js-sys", "wasm-bindgen"]);
        assert!(shortest(&metadata, "js 1").is_empty());
    }
}

//! Tells from what a crate was compiled to that something in it cannot work in a component, and what to write instead.
//!
//! The target has no operating system. The SDK has random numbers for every crate; a clock and an output that others
//! could use cannot be given to the standard library from outside.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::discover::cargo::Crate;
use crate::project::Project;
use crate::{Artifact, Error, TARGET, run};

/// What the compiler leaves in a module that uses something, and what to do about it.
const SIGNS: [(&str, &str); 3] = [
    (
        "time not implemented on this platform",
        "SystemTime::now() and Instant::now() panic in a plugin; take the time by sandbus_sdk::now(), from which \
         chrono's DateTime::<Utc>::from and time's OffsetDateTime::from make theirs",
    ),
    ("5stdio6_print", "what print! and println! write is lost in a plugin; log it by info! or debug!"),
    ("5stdio7_eprint", "what eprint!, eprintln! and dbg! write is lost in a plugin; log it by warn! or debug!"),
];

/// The module that wasm-bindgen imports, of which nothing but its own tool can make JavaScript.
const BINDGEN: &str = "__wbindgen_placeholder__";

/// Crates that use JavaScript unless they are told otherwise, and how they are told.
const REMEDIES: [(&str, &str); 4] = [
    (
        "chrono",
        "depend on it as chrono = { version = \"0.4\", default-features = false, features = [\"std\"] }, and take the time \
         by DateTime::<Utc>::from(sandbus_sdk::now()) in the place of Utc::now()",
    ),
    ("uuid", "leave out its feature `js`; the SDK has random numbers for it"),
    ("getrandom", "leave out its feature `js` or `wasm_js`; the SDK has random numbers for it"),
    (
        "time",
        "leave out its feature `wasm-bindgen`, and take the time by OffsetDateTime::from(sandbus_sdk::now()) in the \
         place of now_utc()",
    ),
];

/// What a crate's author should know of a component that was built of it.
///
/// # Errors
/// If the component cannot be read.
pub fn hints(project: &Project, artifact: &Artifact) -> Result<Vec<String>, Error> {
    let Some(unit) = &project.unit else { return Ok(Vec::new()) };
    let module = std::fs::read(&artifact.path).map_err(run::at(&artifact.path))?;
    let mut hints: Vec<_> = signs(&module).map(str::to_owned).collect();
    if contains(&module, BINDGEN) {
        hints.push(of_bindgen(&chain(unit, &project.directory).unwrap_or_default()));
    }
    Ok(hints)
}

fn signs(module: &[u8]) -> impl Iterator<Item = &'static str> {
    SIGNS.into_iter().filter(|(sign, _)| contains(module, sign)).map(|(_, hint)| hint)
}

fn contains(module: &[u8], text: &str) -> bool {
    module.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Names the crates that lead from the plugin to wasm-bindgen, and what to do about the first one.
fn of_bindgen(chain: &[String]) -> String {
    let remedy = chain.iter().find_map(|name| REMEDIES.iter().find(|(crate_name, _)| crate_name == name));
    let culprit = remedy.map(|(name, _)| *name).or_else(|| chain.get(1).map(String::as_str));
    let text = match (culprit, remedy) {
        (Some(name), Some((_, remedy))) => format!("the crate `{name}` does that: {remedy}"),
        (Some(name), None) => format!(
            "the crate `{name}` does that: switch off its feature for JavaScript or `wasm`, which may be a default one"
        ),
        (None, _) => {
            "`cargo tree --target wasm32-unknown-unknown --invert wasm-bindgen` shows which crate does that".to_owned()
        }
    };
    let path = if chain.is_empty() { String::new() } else { format!(" ({})", chain.join(" -> ")) };
    format!("it calls JavaScript through wasm-bindgen, and no host loads it so; {text}{path}")
}

/// The crates by which a plugin comes to depend on wasm-bindgen: the shortest way.
fn chain(unit: &Crate, directory: &Path) -> Result<Vec<String>, Error> {
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
    fn what_a_module_was_made_of_is_told_by_its_signs() {
        for (module, hint) in [
            ("..time not implemented on this platform..", "sandbus_sdk::now()"),
            ("_ZN3std2io5stdio6_print17h0123456789abcdefE", "println!"),
            ("_RNvNtNtCs3std2io5stdio7_eprint", "dbg!"),
        ] {
            let found: Vec<_> = signs(module.as_bytes()).collect();
            assert!(found.len() == 1 && found[0].contains(hint), "{module}: {found:?}");
        }
        assert_eq!(signs(b"_ZN3std2io5stdio6stdout17h0E").count(), 0);
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
            let hint = of_bindgen(&names(chain));
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

//! The documentation is true: its commands run, its links lead somewhere, and what it names exists.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test fails by panicking")]

mod page;
mod shell;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use page::{Kind, Page, root};
use sandbus_tests::binary;
use serde_json::Value;

/// The pages with commands that run.
const RUNNING: [&str; 3] = ["README.md", "docs/tutorial.md", "docs/operating.md"];

#[test]
fn the_commands_of_the_readme_run() {
    shell::run(&Page::read(RUNNING[0]));
}

#[test]
fn the_tutorial_runs() {
    shell::run(&Page::read(RUNNING[1]));
}

#[test]
fn the_commands_of_operating_run() {
    shell::run(&Page::read(RUNNING[2]));
}

#[test]
fn no_other_page_has_commands_that_nobody_runs() {
    let others = Page::all().into_iter().filter(|page| !RUNNING.iter().any(|path| page.path == Path::new(path)));
    for page in others {
        let runs = page.blocks().into_iter().find(|block| matches!(block.kind, Kind::Commands | Kind::Background));
        assert_eq!(runs, None, "{}: mark it `console no-run`, or name the page in RUNNING", page.path.display());
    }
}

/// The README has one handler in three languages, and all of them pass the first scenario of `docs/scenarios.md`.
#[test]
fn the_handlers_of_the_readme_pass_the_first_scenario() {
    let readme = Page::read("README.md");
    let scenario = Page::read("docs/scenarios.md").file("tests/welcome.toml");
    let home = tempfile::tempdir().unwrap();
    for (language, source) in [("rust", "src/lib.rs"), ("js", "src/plugin.js"), ("python", "src/welcome.py")] {
        let directory = home.path().join(language);
        std::fs::create_dir(&directory).unwrap();
        let sandbus = |arguments: &[&str]| {
            let output = Command::new(binary()).args(arguments).current_dir(&directory).output().unwrap();
            let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(output.status.success(), "{language}: {arguments:?}: {text}");
            text
        };
        sandbus(&["new", "welcome", "--lang", language]);
        std::fs::write(directory.join("welcome").join(source), readme.example(language)).unwrap();
        std::fs::write(directory.join("welcome/tests/scenarios.toml"), &scenario).unwrap();
        let played = sandbus(&["test", "welcome"]);
        assert!(played.contains("1 passed, 0 failed"), "{language}: {played}");
    }
}

/// What examples in JavaScript use, for those that do not import it.
const JAVASCRIPT: &str = "import { cancel, config, log, plugin, publish, reject, reply, state } from \"@sandbus/sdk\";
import * as client from \"@sandbus/sdk/client\";
import { FakeHost } from \"@sandbus/sdk/testing\";
";

/// Statements run on a fake host; plugins are declared.
#[test]
fn examples_in_javascript_run() {
    let home = tempfile::tempdir().unwrap();
    let packages = home.path().join("node_modules/@sandbus");
    std::fs::create_dir_all(&packages).unwrap();
    std::os::unix::fs::symlink(root().join("guest-sdk/js"), packages.join("sdk")).unwrap();
    let mut count = 0;
    for page in ["docs/writing-plugins.md", "docs/languages.md", "docs/tutorial.md", "README.md"].map(Page::read) {
        for block in page.blocks() {
            let source = match &block.kind {
                Kind::Other(info) if info == "js" => &block.text,
                Kind::File(path) if path.ends_with(".js") => &block.text,
                _ => continue,
            };
            let declares = source.contains("plugin(");
            let source = match (source.contains("from \"@sandbus/sdk\""), declares) {
                (true, _) => source.clone(),
                (false, true) => format!("{JAVASCRIPT}{source}"),
                (false, false) => {
                    let host = "new FakeHost(plugin({ name: \"example\", publishes: [\">\"] }))";
                    format!("{JAVASCRIPT}{host}.run(() => {{\n{source}}});\n")
                }
            };
            let file = home.path().join("example.mjs");
            std::fs::write(&file, &source).unwrap();
            let output = Command::new("node").arg(&file).output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}:{}: {errors}\n{source}", page.path.display(), block.line);
            count += 1;
        }
    }
    assert!(count > 8, "only {count} examples were found");
}

#[test]
fn links_lead_to_files_and_headings() {
    let mut wrong = Vec::new();
    for page in Page::all() {
        for link in page.links().into_iter().filter(|link| !link.starts_with("http")) {
            let (path, anchor) = link.split_once('#').map_or((&*link, None), |(path, anchor)| (path, Some(anchor)));
            let target = match path {
                "" => page.path.clone(),
                path => page.path.parent().unwrap().join(path),
            };
            let has_anchor =
                |anchor: &str| Page::read(target.to_str().unwrap()).anchors().iter().any(|one| one == anchor);
            if !root().join(&target).exists() || anchor.is_some_and(|anchor| !has_anchor(anchor)) {
                wrong.push(format!("{}: {link}", page.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The sources in a folder, in Rust and C, with their paths.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                _ if path.is_dir() => folders.push(path),
                Some("rs" | "c") => found.push((path.clone(), std::fs::read_to_string(&path).unwrap())),
                _ => {}
            }
        }
    }
    found
}

/// Whether some source defines a name by one of the words in front of it, such as `fn`.
fn defines(sources: &[(PathBuf, String)], words: &[&str], name: &str) -> bool {
    let ends = |rest: &str| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_');
    sources.iter().any(|(_, text)| {
        words.iter().any(|word| {
            text.match_indices(&format!("{word} {name}")).any(|(at, found)| ends(&text[at + found.len()..]))
        })
    })
}

/// Whether a source has a function of a type that it defines or implements, or of the module that it is.
fn is_function_of(source: &(PathBuf, String), owner: &str, function: &str) -> bool {
    let owner = owner.rsplit("::").next().unwrap_or(owner);
    let (path, text) = source;
    let is_module = path.with_extension("").iter().rev().take(2).any(|part| part == owner);
    let has_type = text.lines().any(|line| {
        let is_head = ["impl", "pub trait", "trait", "pub struct"].iter().any(|word| line.starts_with(word));
        is_head && line.split(|char: char| !char.is_alphanumeric() && char != '_').any(|word| word == owner)
    });
    (is_module || has_type) && defines(std::slice::from_ref(source), &["fn"], function)
}

#[test]
fn the_life_of_an_event_names_functions_that_exist() {
    let host = sources("host/src");
    let is_file = |name: &str| host.iter().any(|(path, _)| path.ends_with(name));
    let names = Page::read("ARCHITECTURE.md").names("## The life of an event", Some("## Invariants"));
    let is_defined = |name: &str| match name.rsplit_once("::") {
        Some((owner, function)) => host.iter().any(|source| is_function_of(source, owner, function)),
        None => defines(&host, &["fn", "struct", "enum", "trait", "type"], name),
    };
    let exists = |name: &str| if name.contains('.') { is_file(name) } else { is_defined(name) };
    let named = names.iter().filter(|name| !name.contains(' ') && !["→", "⇒"].contains(&name.as_str()));
    let wrong: Vec<_> = named.filter(|name| !exists(name)).collect();
    assert!(names.len() > 30 && wrong.is_empty(), "{wrong:?}");
}

#[test]
fn the_folder_tree_is_that_of_the_repository() {
    let page = Page::read("ARCHITECTURE.md");
    let blocks = page.blocks();
    let tree = blocks.iter().find(|block| block.text.starts_with("wit/")).unwrap();
    let mut folders: Vec<PathBuf> = Vec::new();
    let mut wrong = Vec::new();
    for line in tree.text.lines() {
        let (depth, entry) = ((line.len() - line.trim_start().len()) / 2, line.trim_start());
        let names = entry.split_once("  ").map_or(entry, |(names, _)| names);
        folders.truncate(depth);
        let folder = folders.last().cloned().unwrap_or_default();
        for name in names.split(", ") {
            let path = folder.join(name);
            if !root().join(&path).exists() {
                wrong.push(path.clone());
            }
            folders.truncate(depth);
            folders.push(path);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    // Each part of the host has its line.
    let (_, host) = tree.text.split_once("host/src/").unwrap();
    for entry in std::fs::read_dir(root().join("host/src")).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
        let name = entry.file_name().into_string().unwrap();
        let stands = host.lines().any(|line| line.starts_with(&format!("  {name}/")));
        assert!(stands || name == "config", "host/src/{name} is not in the tree");
    }
}

/// Paths that begin with a folder of the repository.
#[test]
fn files_that_pages_name_exist() {
    let mut wrong = Vec::new();
    for page in Page::all() {
        let prose = page.prose();
        for name in prose.split('`').skip(1).step_by(2).filter(|name| !name.contains(['*', '{', ' '])) {
            let is_path =
                ["host/", "guest-sdk/", "tests/", "xtask/", "wit/", "docs/"].iter().any(|top| name.starts_with(top));
            let exists = root().join(name).exists() || root().join("guest-sdk/templates/any").join(name).exists();
            if is_path && !exists && name != "wit/0.3.0" {
                wrong.push(format!("{}: {name}", page.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_guarantee_names_tests_that_exist() {
    let all = [sources("host/src"), sources("tests")].concat();
    let names = Page::read("docs/guarantees.md").names("## Durability", Some("## What is not promised"));
    let tests: Vec<_> = names.iter().filter(|name| name.contains('_') || name.contains('-')).collect();
    let exists = |name: &str| {
        defines(&all, &["fn", "mod"], name) || all.iter().any(|(_, text)| text.contains(&format!("\"{name}\"")))
    };
    let wrong: Vec<_> = tests.iter().filter(|name| !exists(name)).collect();
    assert!(tests.len() > 30 && wrong.is_empty(), "{wrong:?}");
}

/// The names of the metrics that the sources of a directory create.
fn metrics_in(directory: &std::path::Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            names.extend(metrics_in(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = std::fs::read_to_string(path).unwrap();
            let created = ["counter!(\"", "gauge!(\"", "histogram!(\""];
            let created = created.iter().flat_map(|call| source.split(call).skip(1));
            names.extend(created.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
        }
    }
    names
}

/// A unit test compares the page with the definitions of the metrics.
#[test]
fn every_metric_is_documented() {
    let created = metrics_in(&root().join("host/src"));
    let documented = Page::read("docs/metrics.md").names("## Metrics", Some("## Alerts"));
    let missing: Vec<_> = created.iter().filter(|name| !documented.contains(*name)).collect();
    assert!(created.len() > 15 && missing.is_empty(), "add to host/src/telemetry/definitions.rs: {missing:?}");
}

const BEGIN: &str = "<!-- capabilities -->\n";
const END: &str = "<!-- /capabilities -->";

/// With `SANDBUS_BLESS=1` the table is written.
#[test]
fn the_table_of_names_is_that_of_the_sdks() {
    let json = std::fs::read_to_string(root().join("guest-sdk/conformance/capabilities.json")).unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    let mut table =
        "| Capability | Rust | JavaScript, TypeScript | Python | Go |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for row in json["capabilities"].as_array().unwrap() {
        let name = |language: &str| row[language].as_str().map_or("—".to_owned(), |name| format!("`{name}`"));
        let [rust, javascript, python, go] = ["rust", "javascript", "python", "go"].map(name);
        table += &format!("| {} | {rust} | {javascript} | {python} | {go} |\n", row["capability"].as_str().unwrap());
    }
    let page = Page::read("docs/languages.md");
    let (before, rest) = page.text.split_once(BEGIN).unwrap();
    let (written, after) = rest.split_once(END).unwrap();
    if std::env::var_os("SANDBUS_BLESS").is_some() {
        std::fs::write(root().join(&page.path), format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
    } else {
        assert_eq!(written, table, "run SANDBUS_BLESS=1 cargo test --workspace --test docs");
    }
}

#[test]
fn output_is_compared_with_wildcards() {
    assert_eq!(
        shell::commands("$ a \\\n    b\nout\n$ c\n"),
        [("a b".to_owned(), vec!["out".to_owned()]), ("c".to_owned(), vec![])]
    );
    for (expected, actual, fits) in [
        (&["a"][..], &["a"][..], true),
        (&["a"], &["b"], false),
        (&["a"], &["a", "b"], false),
        (&["...", "b"], &["a", "b"], true),
        (&["...", "b"], &["b"], true),
        (&["...", "b"], &["a"], false),
        (&["a ... c"], &["a b c"], true),
        (&["a ... c"], &["a b"], false),
        (&["...b..."], &["abc"], true),
        (&["..."], &[], true),
        (&["x  1"], &[" x 1"], true),
    ] {
        assert_eq!(shell::fits(expected, actual), fits, "{expected:?} {actual:?}");
    }
}

//! Decides whether a manifest belongs to a plugin or to something else in the repository.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::entry::javascript::has_default_export;
use crate::entry::{JavaScriptEntry, PythonEntry, python};
use crate::go_module::{self, GoModule};
use crate::language::Language;

/// Why a manifest is not a plugin, in cases where nobody expects one.
pub(super) const NO_PACKAGE: &str = "a workspace without a package of its own";
pub(super) const WORKSPACE_ROOT: &str = "the root of a workspace";
pub(super) const OTHER_MODULE: &str = "a Go module that does not require sandbus";

/// What a manifest stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ManifestKind {
    /// A plugin.
    Plugin,
    /// Something else. The reason is reported.
    Other(String),
    /// Apparently a plugin, but unusable. The error is reported.
    Broken(String),
}

use ManifestKind::{Broken, Other, Plugin};

/// Crates for libraries of other kinds that are also a `cdylib`.
const OTHER_CRATES: [(&str, &str); 6] = [
    ("wasm-bindgen", "a library for JavaScript"),
    ("pyo3", "an extension of Python"),
    ("napi", "an extension of Node"),
    ("neon", "an extension of Node"),
    ("jni", "an extension of Java"),
    ("extendr-api", "an extension of R"),
];

impl ManifestKind {
    /// Classifies a manifest. With `is_named`, the user has given the path of its directory, and weaker evidence is
    /// enough.
    pub(super) fn of(language: Language, manifest: &Path, is_named: bool) -> Self {
        let text = match fs::read_to_string(manifest) {
            Ok(text) => text,
            Err(error) => return Broken(format!("it cannot be read: {error}")),
        };
        let parsed = match language {
            Language::JavaScript => serde_json::from_str(&text).map_err(|error| error.to_string()),
            Language::Rust | Language::Python => toml::from_str(&text).map_err(|error| error.to_string()),
            Language::Go => Ok(Value::Null),
        };
        let parsed: Value = match parsed {
            Ok(parsed) => parsed,
            // A malformed manifest without a word about Sandbus is probably a fixture of another tool's tests.
            Err(error) if is_named || text.contains("sandbus") => return Broken(error.trim_end().to_owned()),
            Err(_) => return Other("malformed".to_owned()),
        };
        let directory = manifest.parent().unwrap_or(Path::new("."));
        match language {
            Language::Rust => of_crate(&parsed),
            Language::JavaScript => of_package_json(&parsed, directory, is_named),
            Language::Python => of_pyproject(&parsed, directory, is_named),
            Language::Go => of_go_mod(&text, is_named),
        }
    }
}

fn of_crate(manifest: &Value) -> ManifestKind {
    let Some(name) = manifest["package"]["name"].as_str() else {
        return Other(NO_PACKAGE.to_owned());
    };
    if name.contains("{{") {
        return Other("a template".to_owned());
    }
    if manifest["package"]["metadata"]["sandbus"] == false {
        return Other("package.metadata.sandbus is false".to_owned());
    }
    let library = &manifest["lib"];
    let kinds = [&library["crate-type"], &library["crate_type"]];
    if !kinds.iter().any(|kinds| kinds.as_array().into_iter().flatten().any(|kind| kind == "cdylib")) {
        return Other("no crate-type = [\"cdylib\"] under [lib]".to_owned());
    }
    let used = dependencies_of_crate(manifest);
    let uses = |name: &str| used.iter().any(|used| used == name);
    match OTHER_CRATES.iter().find(|(name, _)| uses(name)) {
        Some((name, what)) if !uses("sandbus-sdk") => Other(format!("{what}: it depends on {name}")),
        _ => Plugin,
    }
}

/// The names of a crate's dependencies on all platforms.
fn dependencies_of_crate(manifest: &Value) -> Vec<String> {
    let platforms = manifest["target"].as_object().into_iter().flat_map(|all| all.values());
    let tables = std::iter::once(manifest).chain(platforms).filter_map(|part| part["dependencies"].as_object());
    let name = |(name, how): (&String, &Value)| how["package"].as_str().unwrap_or(name).to_owned();
    tables.flatten().map(name).collect()
}

fn of_package_json(manifest: &Value, directory: &Path, is_named: bool) -> ManifestKind {
    const SDK: &str = "@sandbus/sdk";
    if manifest["name"].as_str().is_some_and(|name| name.contains("{{")) {
        return Other("a template".to_owned());
    }
    if manifest["sandbus"] == false {
        return Other("`sandbus` is false".to_owned());
    }
    let says_so = manifest["sandbus"].is_object() || manifest["sandbus"] == true;
    let is_root = !manifest["workspaces"].is_null() || directory.join("pnpm-workspace.yaml").is_file();
    let entry = JavaScriptEntry::of(manifest, directory);
    let verdict = match &entry {
        _ if says_so => Plugin,
        JavaScriptEntry::File(path) => {
            let source = fs::read_to_string(directory.join(path)).unwrap_or_default();
            let (uses_sdk, is_sdk_named) = (source.contains(SDK), uses_package(manifest, SDK));
            match has_default_export(&source) {
                _ if is_named && !is_root => Plugin,
                is_plugin if is_root && !JavaScriptEntry::is_named_in(manifest) && !(is_plugin && uses_sdk) => root(),
                _ if !is_sdk_named && !uses_sdk => Other(format!("it does not use {SDK}")),
                false => Other(format!("a library: {} has no default export, which is the plugin", path.display())),
                true => Plugin,
            }
        }
        JavaScriptEntry::Unnamed if is_root => root(),
        missing => Other(missing.to_string()),
    };
    match verdict {
        Plugin if manifest["name"].as_str().is_none() => Broken("it has no name".to_owned()),
        verdict => verdict,
    }
}

fn root() -> ManifestKind {
    Other(WORKSPACE_ROOT.to_owned())
}

fn uses_package(manifest: &Value, package: &str) -> bool {
    let tables = ["dependencies", "devDependencies", "peerDependencies", "optionalDependencies"];
    tables.iter().any(|table| !manifest[*table][package].is_null())
}

fn of_pyproject(manifest: &Value, directory: &Path, is_named: bool) -> ManifestKind {
    let tool = &manifest["tool"];
    if python::name(manifest).is_some_and(|name| name.contains("{{")) {
        return Other("a template".to_owned());
    }
    if tool["sandbus"] == false {
        return Other("tool.sandbus is false".to_owned());
    }
    let says_so = tool["sandbus"].is_object();
    if python::name(manifest).is_none() {
        return if says_so { Broken("it has no name".to_owned()) } else { Other("it has no [project]".to_owned()) };
    }
    let PythonEntry { module, root, source } = PythonEntry::of(manifest, directory);
    let file = root.join(module.replace('.', "/")).display().to_string();
    let dependencies = manifest["project"]["dependencies"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let uses = dependencies.into_iter().any(|dependency| requirement(dependency) == "sandbus")
        || !tool["poetry"]["dependencies"]["sandbus"].is_null();
    match source {
        _ if says_so => Plugin,
        None => Other(format!("there is no {file}.py")),
        Some(source) if is_named || uses || source.contains("sandbus") => Plugin,
        Some(_) => Other(format!("{file}.py does not use sandbus")),
    }
}

fn of_go_mod(text: &str, is_named: bool) -> ManifestKind {
    match GoModule::parse(text) {
        Some(module) if module.path.contains("{{") => Other("a template".to_owned()),
        Some(module) if module.uses_sdk => Plugin,
        Some(_) => Other(OTHER_MODULE.to_owned()),
        None if is_named || text.contains(go_module::SDK) => Broken("it has no line `module PATH`".to_owned()),
        None => Other("malformed".to_owned()),
    }
}

/// The name in a requirement of PEP 508, such as `sandbus>=1`.
fn requirement(text: &str) -> &str {
    text.split(|letter: char| !letter.is_alphanumeric() && !"-_.".contains(letter)).next().unwrap_or_default()
}

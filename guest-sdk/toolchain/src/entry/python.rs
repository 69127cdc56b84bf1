//! The entry of a Python project, in the layouts of setuptools, poetry, hatch, uv, pdm and of no tool.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Modules that often hold an application, below a package or by themselves.
const USUAL: [&str; 4] = ["plugin", "main", "app", "handlers"];

/// The module that defines a project's `plugin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PythonEntry {
    /// Its name.
    pub(crate) module: String,
    /// The directory that Python imports it from, in the project.
    pub(crate) root: PathBuf,
    /// Its source; for a package, the sources of all its modules. None if the module does not exist.
    pub(crate) source: Option<String>,
}

impl PythonEntry {
    /// The entry of the project in a directory: `tool.sandbus.module`, else the first of the usual modules that defines
    /// `plugin`, else the module with the project's name.
    pub(crate) fn of(manifest: &Value, directory: &Path) -> Self {
        let roots = roots(manifest, directory);
        let found = |root: &PathBuf, module: &str| Module::find(&directory.join(root), module);
        let entry =
            |root: &PathBuf, module: &str, source| Self { module: module.to_owned(), root: root.clone(), source };
        let all = |names: &[String]| -> Vec<Self> {
            let pairs = names.iter().flat_map(|name| roots.iter().map(move |root| (root, name)));
            pairs.filter_map(|(root, name)| Some(entry(root, name, Some(found(root, name)?.text)))).collect()
        };
        let first = roots.first().cloned().unwrap_or_else(|| "src".into());
        if let Some(module) = manifest["tool"]["sandbus"]["module"].as_str() {
            let existing = all(&[module.to_owned()]).into_iter().next();
            return existing.unwrap_or_else(|| entry(&first, module, None));
        }
        let names = module_names(manifest);
        let defines =
            |entry: &&Self| found(&entry.root, &entry.module).is_some_and(|module| defines_plugin(&module.own));
        let existing = all(&names);
        existing.iter().find(defines).or(existing.first()).cloned().unwrap_or_else(|| {
            let module = names.into_iter().next().unwrap_or_default();
            entry(&first, &module, None)
        })
    }
}

/// The project's name: of PEP 621, else of poetry.
pub(crate) fn name(manifest: &Value) -> Option<&str> {
    manifest["project"]["name"].as_str().or_else(|| manifest["tool"]["poetry"]["name"].as_str())
}

/// The directories that Python may import the project's modules from: those that its build tool names, `src`, and the
/// project itself.
fn roots(manifest: &Value, directory: &Path) -> Vec<PathBuf> {
    let tool = &manifest["tool"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let setuptools = &tool["setuptools"];
    let mut named: Vec<String> = Vec::new();
    named.extend(text(&setuptools["package-dir"][""]));
    named.extend(texts(&setuptools["packages"]["find"]["where"]));
    named.extend(list(&tool["poetry"]["packages"]).filter_map(|package| text(&package["from"])));
    named.extend(text(&tool["uv"]["build-backend"]["module-root"]));
    named.extend(text(&tool["pdm"]["build"]["package-dir"]));
    let wheel = &tool["hatch"]["build"]["targets"]["wheel"];
    named.extend(texts(&wheel["sources"]));
    named.extend(
        texts(&wheel["packages"]).filter_map(|package| package.rsplit_once('/').map(|(root, _)| root.to_owned())),
    );
    named.extend(["src".to_owned(), String::new()]);
    let mut roots: Vec<PathBuf> = Vec::new();
    for root in named.iter().map(|root| root.trim_start_matches("./").trim_end_matches('/')) {
        let root = PathBuf::from(if root == "." { "" } else { root });
        let is_within = root.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if is_within && directory.join(&root).is_dir() && !roots.contains(&root) {
            roots.push(root);
        }
    }
    roots
}

/// The names of modules that may define the plugin, the most likely one first.
fn module_names(manifest: &Value) -> Vec<String> {
    let tool = &manifest["tool"];
    let last = |path: String| path.rsplit('/').next().unwrap_or_default().to_owned();
    let mut packages: Vec<String> = name(manifest).map(module_of).into_iter().collect();
    packages
        .extend(list(&tool["poetry"]["packages"]).filter_map(|package| package["include"].as_str().map(str::to_owned)));
    packages.extend(tool["uv"]["build-backend"]["module-name"].as_str().map(str::to_owned));
    packages.extend(texts(&tool["hatch"]["build"]["targets"]["wheel"]["packages"]).map(last));
    packages.extend(texts(&tool["setuptools"]["packages"]));
    packages.extend(texts(&tool["setuptools"]["py-modules"]));
    let mut names = packages.clone();
    names.extend(packages.iter().flat_map(|package| USUAL.iter().map(move |name| format!("{package}.{name}"))));
    names.extend(USUAL.map(str::to_owned));
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// The module name that corresponds to a project's name.
pub(crate) fn module_of(name: &str) -> String {
    name.replace(['-', '.'], "_")
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The strings of a list.
pub(crate) fn texts(value: &Value) -> impl Iterator<Item = String> {
    list(value).filter_map(|text| text.as_str().map(str::to_owned))
}

/// Whether a source binds the name `plugin` at its top level: by an assignment or an import.
fn defines_plugin(source: &str) -> bool {
    source.lines().any(|line| {
        let assigned = line.strip_prefix("plugin").map(str::trim_start);
        let imported = line.strip_prefix("from ").and_then(|line| line.split_once(" import "));
        let names = |names: &str| {
            let names = names
                .split(',')
                .filter_map(|name| name.trim_matches([' ', '(', ')', '\\']).split(' ').next_back().map(str::to_owned));
            names.into_iter().any(|name| name == "plugin")
        };
        assigned.is_some_and(|rest| rest.starts_with('=') && !rest.starts_with("==") || rest.starts_with(':'))
            || imported.is_some_and(|(_, what)| names(what))
    })
}

/// A module or package in a directory.
struct Module {
    /// The module's own source.
    own: String,
    /// The sources of all modules in the package; for a module, its own source.
    text: String,
}

impl Module {
    fn find(root: &Path, name: &str) -> Option<Self> {
        let path = root.join(name.replace('.', "/"));
        if let Ok(own) = fs::read_to_string(with_suffix(&path)) {
            return Some(Self { text: own.clone(), own });
        }
        let own = fs::read_to_string(path.join("__init__.py")).ok()?;
        let entries = fs::read_dir(&path).ok()?.flatten().map(|entry| entry.path());
        let modules = entries.filter(|file| file.extension().is_some_and(|extension| extension == "py"));
        let text = modules.filter_map(|file| fs::read_to_string(file).ok()).fold(String::new(), |all, one| all + &one);
        Some(Self { own, text })
    }
}

fn with_suffix(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".py");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::write_file;

    const PLUGIN: &str = "from sandbus import Plugin\nplugin = Plugin()\n";

    #[test]
    fn the_entry_is_found_in_the_layouts_of_all_tools() {
        let pep = "[project]\nname = \"my-shop\"\n";
        let poetry = "[tool.poetry]\nname = \"my-shop\"\n";
        for (manifest, files, module, root) in [
            (pep.to_owned(), &[("src/my_shop.py", PLUGIN)][..], "my_shop", "src"),
            (pep.to_owned(), &[("src/my_shop/__init__.py", PLUGIN)], "my_shop", "src"),
            (
                pep.to_owned(),
                &[("src/my_shop/__init__.py", ""), ("src/my_shop/plugin.py", PLUGIN)],
                "my_shop.plugin",
                "src",
            ),
            (pep.to_owned(), &[("my_shop.py", PLUGIN)], "my_shop", ""),
            (
                pep.to_owned(),
                &[("my_shop/__init__.py", "from .app import plugin\n"), ("my_shop/app.py", PLUGIN)],
                "my_shop",
                "",
            ),
            (pep.to_owned(), &[("my_shop/__init__.py", ""), ("my_shop/app.py", PLUGIN)], "my_shop.app", ""),
            (pep.to_owned(), &[("main.py", PLUGIN)], "main", ""),
            (pep.to_owned(), &[("src/main.py", PLUGIN), ("main.py", "import src\n")], "main", "src"),
            (pep.to_owned(), &[("src/my_shop.py", "import sandbus\n")], "my_shop", "src"),
            (poetry.to_owned(), &[("my_shop/__init__.py", PLUGIN)], "my_shop", ""),
            (
                format!("{poetry}packages = [{{ include = \"shop\", from = \"lib\" }}]\n"),
                &[("lib/shop/__init__.py", PLUGIN)],
                "shop",
                "lib",
            ),
            (
                format!("{pep}[tool.uv.build-backend]\nmodule-name = \"shop\"\nmodule-root = \"\"\n"),
                &[("shop/__init__.py", PLUGIN)],
                "shop",
                "",
            ),
            (
                format!("{pep}[tool.hatch.build.targets.wheel]\npackages = [\"python/shop\"]\n"),
                &[("python/shop/plugin.py", PLUGIN), ("python/shop/__init__.py", "")],
                "shop.plugin",
                "python",
            ),
            (
                format!("{pep}[tool.setuptools.packages.find]\nwhere = [\"lib\"]\n"),
                &[("lib/my_shop.py", PLUGIN)],
                "my_shop",
                "lib",
            ),
            (format!("{pep}[tool.setuptools]\npy-modules = [\"shop\"]\n"), &[("shop.py", PLUGIN)], "shop", ""),
            (
                format!("{pep}[tool.sandbus]\nmodule = \"a.b\"\n"),
                &[("a/b.py", PLUGIN), ("src/my_shop.py", PLUGIN)],
                "a.b",
                "",
            ),
        ] {
            let home = tempfile::tempdir().unwrap();
            files.iter().for_each(|(file, text)| write_file(&home.path().join(file), text).unwrap());
            let entry = PythonEntry::of(&toml::from_str(&manifest).unwrap(), home.path());
            assert_eq!((entry.module.as_str(), entry.root), (module, PathBuf::from(root)), "{manifest} {files:?}");
            assert!(entry.source.is_some_and(|source| source.contains("sandbus")), "{manifest}");
        }
        let nowhere = PythonEntry::of(&toml::from_str(pep).unwrap(), Path::new("/nonexistent"));
        assert_eq!((nowhere.module.as_str(), nowhere.source), ("my_shop", None));
    }

    #[test]
    fn a_plugin_is_defined_by_an_assignment_or_an_import() {
        for source in [
            "plugin = Plugin()",
            "plugin: Plugin = Plugin()",
            "from .app import plugin",
            "from .app import (other, plugin)",
            "from .app import shop as plugin",
        ] {
            assert!(defines_plugin(source), "{source}");
        }
        for source in [
            "plugins = []",
            "if plugin == 1: pass",
            "def f():\n    plugin = 1",
            "from a import plugin as b",
            "plugin == 1",
        ] {
            assert!(!defines_plugin(source), "{source}");
        }
    }
}

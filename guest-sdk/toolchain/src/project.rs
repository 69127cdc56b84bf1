//! Projects: the plugin in a directory, its language, its manifest and its files.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::artifact::{Artifact, ArtifactForm};
use crate::cache::is_cached;
use crate::cargo::CargoPackage;
use crate::entry::{self, JavaScriptEntry, PythonEntry};
use crate::error::{at, manifest_error};
use crate::go_module::GoModule;
use crate::language::Language;
use crate::requirement::requirement_name;
use crate::shared_workspace::SharedWorkspace;
use crate::tool_directories::TOOL_DIRECTORIES;
use crate::{Error, build_cache, poetry, workspaces};

/// One plugin's sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// The name in its manifest.
    pub name: String,
    /// The directory of its manifest.
    pub directory: PathBuf,
    /// Its language.
    pub language: Language,
    /// Other directories with sources that it uses.
    pub path_dependencies: Vec<PathBuf>,
    /// The cargo package, if it is a crate.
    pub(crate) package: Option<CargoPackage>,
    /// The author's script, if the project was generated for a single file.
    pub(crate) single_file: Option<PathBuf>,
}

impl Project {
    /// A project in another language than Rust.
    pub(crate) fn interpreted(directory: PathBuf, language: Language) -> Result<Self, Error> {
        let manifest = Manifest::read(&directory, language)?;
        let path_dependencies = workspaces::local_packages(&directory, language);
        Ok(Self { name: manifest.name, directory, language, path_dependencies, package: None, single_file: None })
    }

    /// The name of its component's file, without `.wasm`.
    #[must_use]
    pub fn stem(&self) -> String {
        self.name.replace('_', "-")
    }

    /// The path of its sidecar, if it has one: next to its manifest, with the name that it has next to the component.
    #[must_use]
    pub fn sidecar(&self) -> PathBuf {
        self.home().join(format!("{}.toml", self.stem()))
    }

    /// The directory of the author's files: of the script for a single-file project, otherwise of the manifest.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.single_file.as_deref().and_then(Path::parent).unwrap_or(&self.directory)
    }

    /// The author's script, if the plugin has no project of its own.
    #[must_use]
    pub fn script(&self) -> Option<&Path> {
        self.single_file.as_deref()
    }

    /// The directory of a crate's workspace, and its target directory; none for other languages.
    #[must_use]
    pub fn cargo_workspace(&self) -> Option<(&Path, &Path)> {
        self.package.as_ref().map(|unit| (unit.workspace.as_path(), unit.target.as_path()))
    }

    /// The files that its last build for `dev` or `test` read, except those below its `src`: what its sources import or
    /// include, and other crates and packages of the repository. Installed packages are left out.
    #[must_use]
    pub fn inputs(&self) -> Vec<PathBuf> {
        let read = match &self.package {
            Some(package) => package.inputs(),
            None => build_cache::inputs_of(&self.directory),
        };
        let source = self.directory.join("src");
        let is_watched = |path: &PathBuf| !path.starts_with(&source) && !self.is_installed(path) && !is_cached(path);
        let own = self.single_file.iter().flat_map(|file| [file.clone(), self.sidecar()]);
        read.into_iter().filter(is_watched).chain(own).collect()
    }

    /// Whether a file is in a directory that tools write, such as `node_modules`. Parent directories of the project do
    /// not count.
    fn is_installed(&self, path: &Path) -> bool {
        let shared = self.directory.components().zip(path.components()).take_while(|(one, other)| one == other).count();
        path.components().skip(shared).any(|part| TOOL_DIRECTORIES.iter().any(|name| part.as_os_str() == *name))
    }

    /// Whether its manifest exists but cannot be used, for example because an editor has written half of it.
    #[must_use]
    pub fn has_broken_manifest(&self) -> bool {
        let manifest = self.directory.join(self.language.manifest());
        match self.language {
            _ if !manifest.is_file() => false,
            Language::Rust => {
                let parsed: Option<Value> =
                    std::fs::read_to_string(&manifest).ok().and_then(|text| toml::from_str(&text).ok());
                parsed.is_none_or(|manifest| manifest["package"]["name"].as_str().is_none())
            }
            Language::JavaScript | Language::Python | Language::Go => {
                Manifest::read(&self.directory, self.language).is_err()
            }
        }
    }

    pub(crate) fn artifact(&self, path: PathBuf, form: ArtifactForm) -> Artifact {
        Artifact { name: self.name.clone(), path, form }
    }
}

/// The manifest's data about a project in another language than Rust.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    pub(crate) description: Option<String>,
    /// The module with the plugin, of a Python project.
    pub(crate) module: Option<String>,
    /// The directories that a Python project's modules are imported from.
    pub(crate) roots: Vec<PathBuf>,
    /// The module with the plugin, of a JavaScript project.
    pub(crate) entry: JavaScriptEntry,
    /// The engine that a JavaScript project selects.
    pub(crate) engine: Option<String>,
    /// Whether quick builds run the plugin on a prepared runtime.
    pub(crate) is_prepared: bool,
    /// The dependencies that a Python project takes from a registry.
    pub(crate) dependencies: Vec<String>,
}

impl Manifest {
    pub(crate) fn read(directory: &Path, language: Language) -> Result<Self, Error> {
        let path = directory.join(language.manifest());
        let text = std::fs::read_to_string(&path).map_err(at(&path))?;
        let manifest_error = |what: String| manifest_error(&path, what);
        let manifest = match language {
            Language::Rust | Language::Python => {
                let all = toml::from_str(&text).map_err(|error| manifest_error(error.to_string()))?;
                Self::of_python(&all, directory)
            }
            Language::JavaScript => {
                let all = serde_json::from_str(&text).map_err(|error| manifest_error(error.to_string()))?;
                Self::of_javascript(&all, directory)
            }
            Language::Go => return Ok(Self::of_go(&GoModule::read(directory)?)),
        };
        manifest.ok_or_else(|| manifest_error("it has no name".to_owned()))
    }

    fn of_javascript(all: &Value, directory: &Path) -> Option<Self> {
        let field = |name: &str| all[name].as_str().map(str::to_owned);
        Some(Self {
            // The plugin's name omits npm's scope.
            name: field("name")?.rsplit('/').next().unwrap_or_default().to_owned(),
            version: field("version"),
            description: field("description"),
            module: None,
            roots: Vec::new(),
            entry: JavaScriptEntry::of(all, directory),
            engine: all["sandbus"]["engine"].as_str().map(str::to_owned),
            is_prepared: all["sandbus"]["prepared"].as_bool().unwrap_or(true),
            dependencies: Vec::new(),
        })
    }

    fn of_go(module: &GoModule) -> Self {
        Self {
            name: module.name().to_owned(),
            version: None,
            description: None,
            module: None,
            roots: Vec::new(),
            entry: JavaScriptEntry::Unnamed,
            engine: None,
            is_prepared: false,
            dependencies: Vec::new(),
        }
    }

    fn of_python(all: &Value, directory: &Path) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let field = |name: &str| text(&all["project"][name]).or_else(|| text(&all["tool"]["poetry"][name]));
        let listed = all["project"]["dependencies"].as_array().into_iter().flatten().filter_map(text);
        let local = workspaces::local_names(all);
        let is_local = |requirement: &String| {
            local.contains(&requirement_name(requirement)) || workspaces::local_requirement(requirement).is_some()
        };
        let entry = PythonEntry::of(all, directory);
        let packages = workspaces::local_packages(directory, Language::Python);
        let roots = std::iter::once(directory.join(&entry.root));
        Some(Self {
            name: entry::python::name(all)?.to_owned(),
            version: field("version"),
            description: field("description"),
            module: Some(entry.module),
            roots: roots
                .chain(packages.iter().map(|package| workspaces::python_root(package)))
                .chain(SharedWorkspace::around(directory).map(|workspace| workspace.root().join("vendor")))
                .collect(),
            entry: JavaScriptEntry::Unnamed,
            engine: None,
            is_prepared: all["tool"]["sandbus"]["prepared"].as_bool().unwrap_or(true),
            dependencies: listed.chain(poetry::requirements(all)).filter(|text| !is_local(text)).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(language: Language, text: &str) -> Result<Manifest, Error> {
        let directory = std::env::temp_dir().join(format!("sandbus-manifest-{}-{language:?}", std::process::id()));
        crate::files::write_file(&directory.join(language.manifest()), text)?;
        let manifest = Manifest::read(&directory, language);
        std::fs::remove_dir_all(&directory).map_err(at(&directory))?;
        manifest
    }

    #[test]
    fn manifests_name_their_projects() {
        let text = r#"{ "name": "@shop/orders", "version": "1.2.3", "sandbus": { "engine": "starlingmonkey" } }"#;
        let script = manifest(Language::JavaScript, text).unwrap();
        assert_eq!((script.name.as_str(), script.version.as_deref()), ("orders", Some("1.2.3")));
        assert_eq!(script.engine.as_deref(), Some("starlingmonkey"));
        let text = "[project]\nname = \"orders\"\ndescription = \"Sells\"\n[tool.sandbus]\nmodule = \"shop\"\n";
        let python = manifest(Language::Python, text).unwrap();
        assert_eq!((python.description.as_deref(), python.module.as_deref()), (Some("Sells"), Some("shop")));
        let text = "[tool.poetry]\nname = \"orders\"\nversion = \"2.0\"\n[tool.poetry.dependencies]\npython = \"^3.10\"\na = \"^1\"\n\
            b = { path = \"../b\" }\n";
        let poetry = manifest(Language::Python, text).unwrap();
        assert_eq!((poetry.name.as_str(), poetry.version.as_deref()), ("orders", Some("2.0")));
        assert_eq!(poetry.dependencies, ["a>=1,<2"]);
        let nameless = manifest(Language::JavaScript, "{}").unwrap_err().to_string();
        assert!(nameless.contains("package.json: it has no name"), "{nameless}");
    }
}

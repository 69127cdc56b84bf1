//! Projects: the plugin in a directory, its language, and how to build its component.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::build::{Artifact, BuildReport};
use crate::discover::cargo::CargoPackage;
use crate::run::{at, manifest_error};
use crate::unit::{BuildUnit, Goal};
use crate::{Discovery, Error};

/// A language of plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Language {
    /// Rust: a `Cargo.toml` whose library is a `cdylib`.
    Rust,
    /// JavaScript or TypeScript: a `package.json`.
    JavaScript,
    /// Python: a `pyproject.toml`.
    Python,
}

impl Language {
    pub(crate) const ALL: [Self; 3] = [Self::Rust, Self::JavaScript, Self::Python];

    /// The manifest's file name.
    #[must_use]
    pub fn manifest(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::JavaScript => "package.json",
            Self::Python => "pyproject.toml",
        }
    }
}

/// The file names of manifests.
pub const MANIFESTS: [&str; 3] = ["Cargo.toml", "package.json", "pyproject.toml"];

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
}

impl Project {
    /// The project in a directory.
    ///
    /// # Errors
    /// If there is none, or its manifest is invalid.
    pub fn find(directory: &Path) -> Result<Self, Error> {
        let found = Discovery::of(directory)?;
        let canonical = directory.canonicalize().map_err(at(directory))?;
        let mut projects = found.projects.into_iter();
        let project = projects.find(|project| project.directory == canonical);
        project.ok_or_else(|| found.broken.into_iter().next().unwrap_or(Error::NoProject { path: canonical }))
    }

    /// A project in another language than Rust.
    pub(crate) fn interpreted(directory: PathBuf, language: Language) -> Result<Self, Error> {
        let manifest = Manifest::read(&directory, language)?;
        Ok(Self { name: manifest.name, directory, language, path_dependencies: Vec::new(), package: None })
    }

    /// The name of its component's file, without `.wasm`.
    #[must_use]
    pub fn stem(&self) -> String {
        self.name.replace('_', "-")
    }

    /// The path of its sidecar, if it has one: next to its manifest, with the name that it has next to the component.
    #[must_use]
    pub fn sidecar(&self) -> PathBuf {
        self.directory.join(format!("{}.toml", self.stem()))
    }

    /// The directory of a crate's workspace, and its target directory; none for other languages.
    #[must_use]
    pub fn cargo_workspace(&self) -> Option<(&Path, &Path)> {
        self.package.as_ref().map(|unit| (unit.workspace.as_path(), unit.target.as_path()))
    }

    /// Builds its component for release, with the language's own tools. See [`BuildUnit::build`].
    ///
    /// # Errors
    /// If the tools cannot be set up or started.
    pub fn build(&self, colour: bool, say: &mut dyn FnMut(&str)) -> Result<BuildReport, Error> {
        BuildUnit { projects: vec![self.clone()] }.build(Goal::Release, colour, say)
    }

    pub(crate) fn artifact(&self, path: PathBuf) -> Artifact {
        Artifact { name: self.name.clone(), path }
    }
}

/// The manifest's data about the project.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    pub(crate) description: Option<String>,
    /// The module with the plugin, from a Python project's `[tool.sandbus]`.
    pub(crate) module: Option<String>,
    /// The engine that a JavaScript project selects.
    pub(crate) engine: Option<String>,
    /// The dependencies of a Python project, from `[project] dependencies`.
    pub(crate) dependencies: Vec<String>,
}

impl Manifest {
    pub(crate) fn read(directory: &Path, language: Language) -> Result<Self, Error> {
        let path = directory.join(language.manifest());
        let text = std::fs::read_to_string(&path).map_err(at(&path))?;
        let manifest_error = |what: String| manifest_error(&path, what);
        let (project, tool): (Value, Value) = if language == Language::Python {
            let all: Value = toml::from_str(&text).map_err(|error| manifest_error(error.to_string()))?;
            (all["project"].clone(), all["tool"]["sandbus"].clone())
        } else {
            let all: Value = serde_json::from_str(&text).map_err(|error| manifest_error(error.to_string()))?;
            (all.clone(), all["sandbus"].clone())
        };
        let field = |of: &Value, name: &str| of[name].as_str().map(str::to_owned);
        let name = field(&project, "name").ok_or_else(|| manifest_error("it has no name".to_owned()))?;
        Ok(Self {
            // The plugin's name omits npm's scope.
            name: name.rsplit('/').next().unwrap_or_default().to_owned(),
            version: field(&project, "version"),
            description: field(&project, "description"),
            module: field(&tool, "module"),
            engine: field(&tool, "engine"),
            dependencies: texts(&project["dependencies"]),
        })
    }
}

/// The strings of a list. npm's dependencies are an object, so the result is empty for them.
fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(language: Language, text: &str) -> Result<Manifest, Error> {
        let directory = std::env::temp_dir().join(format!("sandbus-manifest-{}-{language:?}", std::process::id()));
        crate::bundled::write_file(&directory.join(language.manifest()), text)?;
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
        let nameless = manifest(Language::JavaScript, "{}").unwrap_err().to_string();
        assert!(nameless.contains("package.json: it has no name"), "{nameless}");
    }
}

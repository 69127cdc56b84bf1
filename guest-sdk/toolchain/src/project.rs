//! Projects: what lies in a directory, in which language it is written, and how it becomes a component.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::build::{self, Artifact, BuildReport};
use crate::run::{at, misread};
use crate::{Error, Source, Toolchain, javascript, python};

/// A language that plugins are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Rust: a `Cargo.toml` whose library is a `cdylib`.
    Rust,
    /// JavaScript or TypeScript: a `package.json`.
    JavaScript,
    /// Python: a `pyproject.toml`.
    Python,
}

impl Language {
    const ALL: [Self; 3] = [Self::Rust, Self::JavaScript, Self::Python];

    /// The name of the file that a project has in its directory.
    #[must_use]
    pub fn manifest(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::JavaScript => "package.json",
            Self::Python => "pyproject.toml",
        }
    }
}

/// One plugin's sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Its name, as its manifest has it.
    pub name: String,
    /// The directory of its manifest.
    pub directory: PathBuf,
    /// What it is written in.
    pub language: Language,
}

impl Project {
    /// The project in a directory.
    ///
    /// # Errors
    /// If there is none, or its manifest is not understood.
    pub fn find(directory: &Path) -> Result<Self, Error> {
        let directory = directory.canonicalize().map_err(at(directory))?;
        let mut languages = Language::ALL.into_iter();
        let language = languages.find(|language| directory.join(language.manifest()).is_file());
        let language = language.ok_or_else(|| Error::NoProject { path: directory.clone() })?;
        if language == Language::Rust {
            let packages = build::packages(&directory)?;
            let package = packages.into_iter().find(|package| package.directory == directory);
            let package = package.ok_or(Error::NoProject { path: directory })?;
            return Ok(Self { name: package.name, directory: package.directory, language });
        }
        Self::scripted(directory, language)
    }

    /// The projects at a path that are not Rust's: the directory itself, or those that it contains.
    ///
    /// # Errors
    /// If a directory cannot be read, or a manifest is not understood.
    pub fn scripts(directory: &Path) -> Result<Vec<Self>, Error> {
        let directory = directory.canonicalize().map_err(at(directory))?;
        let script = |directory: &Path| {
            let mut languages = [Language::JavaScript, Language::Python].into_iter();
            languages.find(|language| directory.join(language.manifest()).is_file())
        };
        // What lies within a project, such as the SDK that it brings with it, is a part of it.
        if let Some(language) = script(&directory) {
            return Ok(vec![Self::scripted(directory, language)?]);
        }
        let entries = std::fs::read_dir(&directory).map_err(at(&directory))?.flatten();
        let mut directories: Vec<_> = entries.map(|entry| entry.path()).collect();
        directories.sort();
        let found = directories.into_iter().filter_map(|directory| Some((script(&directory)?, directory)));
        found.map(|(language, directory)| Self::scripted(directory, language)).collect()
    }

    fn scripted(directory: PathBuf, language: Language) -> Result<Self, Error> {
        let manifest = Manifest::read(&directory, language)?;
        Ok(Self { name: manifest.name, directory, language })
    }

    /// Makes a component of it with its language's own tools, which are set up where they are missing. `say` is
    /// told of each step that may take a while. What has not changed is not built again. A compiler error is no
    /// error of this function; it is in the report.
    ///
    /// # Errors
    /// If the tools cannot be set up or started.
    pub fn build(&self, colour: bool, say: &mut dyn FnMut(&str)) -> Result<BuildReport, Error> {
        match self.language {
            Language::Rust => self.build_rust(colour, say),
            Language::JavaScript => javascript::build(self, colour, say),
            Language::Python => python::build(self, say),
        }
    }

    fn build_rust(&self, colour: bool, say: &mut dyn FnMut(&str)) -> Result<BuildReport, Error> {
        let toolchain = Toolchain::ensure(Source::from_env()?, say)?;
        // Small and quick to instantiate, whatever the project's own profile says.
        let arguments = [
            "--release",
            "--config=profile.release.lto=true",
            "--config=profile.release.codegen-units=1",
            "--config=profile.release.panic=\"abort\"",
            "--config=profile.release.strip=\"debuginfo\"",
            "-p",
            &self.name,
        ];
        let mut report = build::build(&toolchain, &self.directory, &arguments, colour)?;
        let name = self.name.replace('-', "_");
        report.artifacts.retain(|artifact| artifact.name == name);
        Ok(report)
    }

    pub(crate) fn artifact(&self, path: PathBuf) -> Artifact {
        Artifact { name: self.name.clone(), path }
    }
}

/// What a manifest says of its project.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    pub(crate) description: Option<String>,
    /// The module that has the plugin, as a Python project's `[tool.sandbus]` names it.
    pub(crate) module: Option<String>,
    /// The engine that a script in JavaScript asks for.
    pub(crate) engine: Option<String>,
    /// The packages that a Python project depends on, as `[project] dependencies` has them.
    pub(crate) dependencies: Vec<String>,
}

impl Manifest {
    pub(crate) fn read(directory: &Path, language: Language) -> Result<Self, Error> {
        let path = directory.join(language.manifest());
        let text = std::fs::read_to_string(&path).map_err(at(&path))?;
        let misread = |what: String| misread(&path, what);
        let (project, tool): (Value, Value) = if language == Language::Python {
            let all: Value = toml::from_str(&text).map_err(|error| misread(error.to_string()))?;
            (all["project"].clone(), all["tool"]["sandbus"].clone())
        } else {
            let all: Value = serde_json::from_str(&text).map_err(|error| misread(error.to_string()))?;
            (all.clone(), all["sandbus"].clone())
        };
        let field = |of: &Value, name: &str| of[name].as_str().map(str::to_owned);
        let name = field(&project, "name").ok_or_else(|| misread("it has no name".to_owned()))?;
        Ok(Self {
            // A scope is no part of a plugin's name.
            name: name.rsplit('/').next().unwrap_or_default().to_owned(),
            version: field(&project, "version"),
            description: field(&project, "description"),
            module: field(&tool, "module"),
            engine: field(&tool, "engine"),
            dependencies: texts(&project["dependencies"]),
        })
    }
}

/// The texts of a list. npm's dependencies are an object, which has none.
fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(language: Language, text: &str) -> Result<Manifest, Error> {
        let directory = std::env::temp_dir().join(format!("sandbus-manifest-{}-{language:?}", std::process::id()));
        crate::embedded::write_file(&directory.join(language.manifest()), text)?;
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

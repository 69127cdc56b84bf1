//! A project's dependencies: resolved once into the project's lock file, and installed from there into the
//! project's own directory. The machine's packages are never used.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::error::{at, manifest_error};
use crate::files::write_file;
use crate::requirement::requirement_name;
use crate::{Error, run};

/// The name of the lock file next to the manifest: a file of requirements with hashes, as pip reads it.
const LOCK: &str = "requirements.lock";
/// The Python version of a component.
const PYTHON: &str = "3.14";
/// Only platform-independent wheels run in a component.
const PURE: [&str; 9] =
    ["--only-binary=:all:", "--platform", "any", "--implementation", "py", "--abi", "none", "--python-version", PYTHON];

/// A project's packages.
pub(crate) struct PythonDependencies {
    /// The lock file's text; none if the project has no dependencies.
    lock: Option<String>,
}

impl PythonDependencies {
    /// The lock of a project. It is written if it is missing or belongs to other dependencies.
    ///
    /// # Errors
    /// If pip cannot resolve them, for instance because one has no pure Python wheel.
    pub(crate) fn lock(project: &Path, declared: &[String], say: &mut dyn FnMut(&str)) -> Result<Self, Error> {
        // The SDK comes from the project or from this program, not from a registry.
        let wanted: Vec<_> = declared.iter().filter(|requirement| requirement_name(requirement) != "sandbus").collect();
        if wanted.is_empty() {
            return Ok(Self { lock: None });
        }
        let path = project.join(LOCK);
        let header = format!(
            "# Written by `sandbus build`, of the dependencies {}\n",
            Value::from_iter(wanted.iter().map(|text| text.as_str()))
        );
        if let Some(lock) = fs::read_to_string(&path).ok().filter(|lock| lock.starts_with(&header)) {
            return Ok(Self { lock: Some(lock) });
        }
        say(&format!("resolving the project's dependencies into {LOCK}"));
        let mut pip = pip();
        pip.args(["install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]).args(PURE);
        // pip allows the platform options only with `--target`; nothing is written there.
        pip.arg("--target").arg(project.join(".sandbus/unused")).args(&wanted);
        let report = run::output(&mut pip).map_err(|error| unresolved(&path, &error))?;
        let lock = format!("{header}{}", pinned(&report).map_err(|what| manifest_error(&path, what))?);
        write_file(&path, &lock)?;
        Ok(Self { lock: Some(lock) })
    }

    /// Installs the packages below the project's directory, unless they are installed. The result looks like a virtual
    /// environment, so that the componentizer takes packages from there only.
    ///
    /// # Errors
    /// If pip cannot install them.
    pub(crate) fn install(&self, project: &Path, say: &mut dyn FnMut(&str)) -> Result<Environment, Error> {
        let environment = Environment::at(project.join(".sandbus/python"));
        let stamp = environment.home.join("installed");
        let lock = self.lock.as_deref().unwrap_or_default();
        if environment.packages.is_dir() && fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock) {
            return Ok(environment);
        }
        if environment.home.exists() {
            fs::remove_dir_all(&environment.home).map_err(at(&environment.home))?;
        }
        fs::create_dir_all(&environment.packages).map_err(at(&environment.packages))?;
        if !lock.is_empty() {
            say("installing the project's dependencies");
            let requirements = environment.home.join(LOCK);
            write_file(&requirements, lock)?;
            let mut pip = pip();
            pip.args(["install", "--quiet", "--no-deps", "--require-hashes", "--no-compile"]).args(PURE);
            pip.arg("--target").arg(&environment.packages).arg("--requirement").arg(&requirements);
            run::output(&mut pip)?;
        }
        write_file(&stamp, lock)?;
        Ok(environment)
    }
}

/// The directory of a project's installed packages.
pub(crate) struct Environment {
    /// The directory that looks like a virtual environment.
    pub(crate) home: PathBuf,
    /// The packages, within it.
    pub(crate) packages: PathBuf,
}

impl Environment {
    fn at(home: PathBuf) -> Self {
        Self { packages: home.join("lib/site-packages"), home }
    }

    /// An environment without packages.
    pub(crate) fn empty(home: PathBuf) -> Result<Self, Error> {
        let environment = Self::at(home);
        fs::create_dir_all(&environment.packages).map_err(at(&environment.packages))?;
        Ok(environment)
    }
}

fn pip() -> Command {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "--disable-pip-version-check", "--no-input"]);
    pip
}

/// The lines of a lock, from pip's installation report.
fn pinned(report: &str) -> Result<String, String> {
    let report: Value = serde_json::from_str(report).map_err(|error| format!("pip's report: {error}"))?;
    let mut lines: Vec<String> = Vec::new();
    for package in report["install"].as_array().into_iter().flatten() {
        let field = |pointer: &str| package.pointer(pointer).and_then(Value::as_str);
        let (name, version) = (field("/metadata/name"), field("/metadata/version"));
        let hash = field("/download_info/archive_info/hashes/sha256");
        let (Some(name), Some(version), Some(hash)) = (name, version, hash) else {
            return Err(format!(
                "`{}` does not come from a registry; put its package into `vendor`",
                name.unwrap_or("a dependency")
            ));
        };
        lines.push(format!("{name}=={version} --hash=sha256:{hash}"));
    }
    lines.sort();
    Ok(lines.iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{line}");
        text
    }))
}

/// The error for dependencies that pip cannot resolve: pip's message with its usual cause.
fn unresolved(lock: &Path, error: &Error) -> Error {
    let said = match error {
        Error::Failed { output, .. } => output.clone(),
        other => other.to_string(),
    };
    let what = format!(
        "the dependencies cannot be resolved; a component can only contain packages with a pure Python wheel for Python \
         {PYTHON}, and no native code:\n{said}"
    );
    manifest_error(lock, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_has_a_version_and_a_hash_of_each_package() {
        let package = |name: &str| {
            serde_json::json!({
                "metadata": { "name": name, "version": "1.2" },
                "download_info": { "archive_info": { "hashes": { "sha256": "ab" } } },
            })
        };
        let report = serde_json::json!({ "install": [package("b"), package("a")] }).to_string();
        assert_eq!(pinned(&report).unwrap(), "a==1.2 --hash=sha256:ab\nb==1.2 --hash=sha256:ab\n");
        let local = r#"{ "install": [{ "metadata": { "name": "own", "version": "1" }, "download_info": {} }] }"#;
        assert!(pinned(local).unwrap_err().contains("`own` does not come from a registry"));
    }

    #[test]
    fn a_project_without_dependencies_has_no_lock() {
        let declared = ["sandbus>=0.1".to_owned()];
        let nowhere = Path::new("/nonexistent");
        assert!(PythonDependencies::lock(nowhere, &declared, &mut |_| {}).unwrap().lock.is_none());
    }
}

//! Single-file plugins without a project, such as `sandbus dev handler.js`. A project with a link to the file is
//! created in `.sandbus/files` next to the file.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::error::at;
use crate::files::write_file;
use crate::language::Language;
use crate::project::Project;
use crate::{Error, build_cache};

/// Whether a path has the name of a script that can be a plugin without a project.
#[must_use]
pub fn is_script(path: &Path) -> bool {
    language(path).is_some()
}

/// A script in a directory that uses the SDK, if there is one.
fn script_in(directory: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path());
    let uses_sdk = |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| text.contains("sandbus"));
    let mut scripts: Vec<_> = entries.filter(|path| is_script(path) && path.is_file()).filter(uses_sdk).collect();
    scripts.sort();
    scripts.into_iter().next()
}

impl Error {
    /// The directory contains no project.
    #[must_use]
    pub fn no_project(path: &Path) -> Self {
        Self::NoProject { path: path.to_owned(), script: script_in(path) }
    }
}

fn language(file: &Path) -> Option<Language> {
    match file.extension().and_then(OsStr::to_str)? {
        "js" | "mjs" | "ts" | "mts" => Some(Language::JavaScript),
        "py" => Some(Language::Python),
        _ => None,
    }
}

/// The project of a script; none if the file is something else.
///
/// # Errors
/// If the project cannot be written.
pub(crate) fn project(file: &Path) -> Result<Option<Project>, Error> {
    let Some(language) = language(file) else { return Ok(None) };
    let text = |part: Option<&OsStr>| part.and_then(OsStr::to_str).map(str::to_owned);
    let (Some(stem), Some(name)) = (text(file.file_stem()), text(file.file_name())) else { return Ok(None) };
    let Some(home) = file.parent().filter(|_| file.is_file()) else { return Ok(None) };
    let directory = build_cache::results_in(home)?.join("files").join(&stem);
    let plugin = stem.to_lowercase().replace(['_', ' ', '.'], "-");
    let manifest = match language {
        Language::Python => format!("[project]\nname = {plugin:?}\n\n[tool.sandbus]\nmodule = {stem:?}\n"),
        _ => json!({ "name": plugin, "private": true, "type": "module", "main": format!("src/{name}") }).to_string(),
    };
    let path = directory.join(language.manifest());
    // An unchanged manifest is not written, since `sandbus dev` watches it.
    if fs::read_to_string(&path).ok().as_deref() != Some(&manifest) {
        write_file(&path, &manifest)?;
    }
    let link = directory.join("src").join(name);
    fs::create_dir_all(directory.join("src")).map_err(at(&directory))?;
    match symlink(file, &link) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(at(&link)(error)),
        _ => {}
    }
    let project = Project::interpreted(directory, language)?;
    Ok(Some(Project { single_file: Some(file.to_owned()), ..project }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_about_a_path_without_a_project_says_what_to_do() {
        let home = tempfile::tempdir().unwrap();
        let said = |path: &str| {
            let path = home.path().join(path);
            match crate::Discovery::of(&path) {
                Ok(found) => {
                    assert!(found.projects.is_empty(), "{found:?}");
                    Error::no_project(&path).to_string()
                }
                Err(error) => error.to_string(),
            }
        };
        for name in ["handler.rs", "handler.go", "handler.wasm", "notes.txt"] {
            write_file(&home.path().join(name), "").unwrap();
            let error = said(name);
            assert!(error.contains("Rust and Go need a project") && error.contains("sandbus new"), "{error}");
            assert_eq!(error.contains("sandbus serve"), name.ends_with(".wasm"), "{error}");
        }
        assert!(!said(".").contains("path of a script"), "no file here is a plugin");
        write_file(&home.path().join("greet.py"), "from sandbus import Plugin").unwrap();
        write_file(&home.path().join("aside.py"), "print()").unwrap();
        let error = said(".");
        assert!(error.contains("give the path of a script, such as ") && error.contains("greet.py"), "{error}");
    }

    #[test]
    fn a_script_is_a_project_of_its_own() {
        let home = tempfile::tempdir().unwrap();
        for (name, plugin, manifest) in [
            ("send_mail.js", "send-mail", "package.json"),
            ("count.ts", "count", "package.json"),
            ("audit.py", "audit", "pyproject.toml"),
        ] {
            let file = home.path().join(name);
            write_file(&file, "").unwrap();
            for _ in 0..2 {
                let project = project(&file).unwrap().unwrap();
                assert_eq!(project.name, plugin);
                assert_eq!(project.sidecar(), home.path().join(format!("{plugin}.toml")));
                assert!(project.directory.join(manifest).is_file());
                assert!(project.inputs().contains(&file));
            }
        }
        for other in ["notes.txt", "absent.js"] {
            assert!(project(&home.path().join(other)).unwrap().is_none(), "{other}");
        }
    }
}

//! Copies of the Python sources that are links. The componentizer sees only the directories that it is given, so it
//! cannot follow a link that leads out of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::error::at;

/// The directory of the copies below that of a build's results.
const COPIES: &str = "links";

/// A directory that modules are imported from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImportRoot {
    /// The directory that the componentizer is given.
    pub(crate) path: PathBuf,
    /// The directory that the author knows it by.
    pub(crate) origin: PathBuf,
}

/// The roots, with a directory of copies before each root that has links among the imported modules. A package with
/// links is copied whole.
///
/// # Errors
/// If a file cannot be copied.
pub(crate) fn with_copies(roots: Vec<PathBuf>, modules: &[&str], results: &Path) -> Result<Vec<ImportRoot>, Error> {
    let home = results.join(COPIES);
    match fs::remove_dir_all(&home) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(at(&home)(error)),
        _ => {}
    }
    let imported: BTreeSet<&str> = modules.iter().filter_map(|module| module.split('.').next()).collect();
    let mut all = Vec::new();
    for (index, root) in roots.into_iter().enumerate() {
        let copies = home.join(index.to_string());
        let mut has_copies = false;
        for name in linked_entries(&root, &imported) {
            has_copies = true;
            copy(&root.join(&name), &copies.join(&name), &mut Vec::new())?;
        }
        if has_copies {
            all.push(ImportRoot { path: copies, origin: root.clone() });
        }
        all.push(ImportRoot { path: root.clone(), origin: root });
    }
    Ok(all)
}

/// The names of a root's entries that are links to files, and of imported packages that are or have links.
fn linked_entries(root: &Path, imported: &BTreeSet<&str>) -> Vec<PathBuf> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_copied = |path: &PathBuf| match path.is_dir() {
        true => {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| imported.contains(name))
                && has_links(path)
        }
        false => path.is_symlink() && path.is_file(),
    };
    entries.filter(is_copied).filter_map(|path| path.file_name().map(PathBuf::from)).collect()
}

/// Whether a path is a link, or a directory with links.
fn has_links(path: &Path) -> bool {
    let entries = || fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    path.is_symlink() || path.is_dir() && entries().any(|entry| has_links(&entry))
}

/// Copies files and directories, and what links lead to. Links that lead nowhere or upwards are left out.
fn copy(from: &Path, to: &Path, above: &mut Vec<PathBuf>) -> Result<(), Error> {
    if from.is_file() {
        let directory = to.parent().unwrap_or(to);
        fs::create_dir_all(directory).map_err(at(directory))?;
        return fs::copy(from, to).map(drop).map_err(at(from));
    }
    let Ok(canonical) = from.canonicalize() else { return Ok(()) };
    if !canonical.is_dir() || above.contains(&canonical) || from.ends_with("__pycache__") {
        return Ok(());
    }
    fs::create_dir_all(to).map_err(at(to))?;
    above.push(canonical);
    for entry in fs::read_dir(from).map_err(at(from))?.flatten() {
        copy(&entry.path(), &to.join(entry.file_name()), above)?;
    }
    above.pop();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::files::write_file;

    #[test]
    fn imported_modules_and_packages_are_copied_from_where_links_lead() {
        let home = tempfile::tempdir().unwrap();
        let at = |path: &str| home.path().join(path);
        for file in [
            "src/plain.py",
            "src/whole/__init__.py",
            "src/mixed/__init__.py",
            "src/mixed/own.py",
            "src/unused/a.py",
            "elsewhere/module.py",
            "elsewhere/package/__init__.py",
            "elsewhere/package/deep/data.json",
        ] {
            write_file(&at(file), file).unwrap();
        }
        for (link, target) in [
            ("src/module.py", at("elsewhere/module.py")),
            ("src/package", at("elsewhere/package")),
            ("src/relative.py", "../elsewhere/module.py".into()),
            ("src/mixed/part.py", at("elsewhere/module.py")),
            ("src/mixed/round", at("src/mixed")),
            ("src/mixed/nowhere.py", "/nowhere.py".into()),
            ("src/unused/link.py", at("elsewhere/module.py")),
            ("src/disk", "/".into()),
        ] {
            symlink(target, at(link)).unwrap();
        }
        let modules = ["module", "package", "package.deep", "mixed.part", "mixed", "plain", "whole"];
        let plain = at("elsewhere");
        for _ in 0..2 {
            let roots = with_copies(vec![plain.clone(), at("src")], &modules, &at("results")).unwrap();
            let [first, copies, last] = roots.as_slice() else { panic!("{roots:?}") };
            assert_eq!((&first.path, &last.path, &copies.origin), (&plain, &at("src"), &at("src")));
            let text = |path: &str| fs::read_to_string(copies.path.join(path)).ok();
            for (path, source) in [
                ("module.py", Some("elsewhere/module.py")),
                ("relative.py", Some("elsewhere/module.py")),
                ("package/deep/data.json", Some("elsewhere/package/deep/data.json")),
                ("mixed/own.py", Some("src/mixed/own.py")),
                ("mixed/part.py", Some("elsewhere/module.py")),
                ("mixed/round/own.py", None),
                ("mixed/nowhere.py", None),
                ("plain.py", None),
                ("whole/__init__.py", None),
                ("unused/link.py", None),
                ("disk", None),
            ] {
                assert_eq!(text(path).as_deref(), source, "{path}");
            }
            assert!(!copies.path.join("module.py").is_symlink());
        }
    }
}

//! Workspaces of npm, pnpm, yarn and uv: their members, and the packages in the same repository that a project depends
//! on.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::entry::python::{self, texts};
use crate::globs;
use crate::go_module::GoModule;
use crate::language::Language;
use crate::requirement::requirement_name;
use crate::tool_directories::TOOL_DIRECTORIES;

/// The members of the workspace whose root is a directory. Empty if the directory is not such a root.
pub(crate) fn members(directory: &Path, language: Language) -> BTreeSet<PathBuf> {
    let patterns = match language {
        Language::JavaScript => javascript_patterns(directory),
        Language::Python => python_patterns(directory),
        Language::Rust | Language::Go => Vec::new(),
    };
    let is_member = |path: &PathBuf| path != directory && path.join(language.manifest()).is_file();
    globs::directories(directory, &patterns).into_iter().filter(is_member).collect()
}

fn javascript_patterns(directory: &Path) -> Vec<String> {
    let workspaces = &manifest(directory, Language::JavaScript)["workspaces"];
    let list = if workspaces.is_array() { workspaces } else { &workspaces["packages"] };
    let mut patterns: Vec<_> = texts(list).collect();
    patterns
        .extend(fs::read_to_string(directory.join("pnpm-workspace.yaml")).map(|yaml| pnpm(&yaml)).unwrap_or_default());
    patterns
}

fn python_patterns(directory: &Path) -> Vec<String> {
    let workspace = &manifest(directory, Language::Python)["tool"]["uv"]["workspace"];
    let excluded = texts(&workspace["exclude"]).map(|pattern| format!("!{pattern}"));
    texts(&workspace["members"]).chain(excluded).collect()
}

/// The list `packages` of a `pnpm-workspace.yaml`, in YAML's block or flow style.
fn pnpm(yaml: &str) -> Vec<String> {
    let without_comment = |line: &str| line.split(" #").next().unwrap_or_default().trim_end().to_owned();
    let lines: Vec<_> = yaml.lines().map(without_comment).filter(|line| !line.trim_start().starts_with('#')).collect();
    let Some(start) = lines.iter().position(|line| line.starts_with("packages:")) else { return Vec::new() };
    let plain = |item: &str| item.trim().trim_matches(['"', '\'']).to_owned();
    let rest = lines[start].trim_start_matches("packages:").trim();
    let items: Vec<_> = if rest.starts_with('[') {
        let joined =
            std::iter::once(rest).chain(lines[start + 1..].iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
        let inner = joined.trim_start_matches('[').split(']').next().unwrap_or_default().to_owned();
        inner.split(',').map(plain).collect()
    } else {
        let block = lines[start + 1..].iter().filter(|line| !line.trim().is_empty());
        block.map_while(|line| line.trim_start().strip_prefix('-').map(plain)).collect()
    };
    items.into_iter().filter(|item| !item.is_empty()).collect()
}

/// The manifest of a directory; null if there is none that can be parsed.
pub(crate) fn manifest(directory: &Path, language: Language) -> Value {
    let text = fs::read_to_string(directory.join(language.manifest())).unwrap_or_default();
    match language {
        Language::JavaScript => serde_json::from_str(&text).unwrap_or_default(),
        Language::Rust | Language::Python => toml::from_str(&text).unwrap_or_default(),
        Language::Go => Value::Null,
    }
}

/// The directories of the packages in the repository that a script project depends on, directly or not.
pub(crate) fn local_packages(project: &Path, language: Language) -> Vec<PathBuf> {
    let direct: fn(&Path) -> Vec<PathBuf> = match language {
        Language::JavaScript => javascript_packages,
        Language::Python => python_packages,
        Language::Go => go_modules,
        Language::Rust => return Vec::new(),
    };
    let (mut found, mut next) = (vec![project.to_owned()], 0);
    while let Some(package) = found.get(next).cloned() {
        next += 1;
        for path in direct(&package).into_iter().filter_map(|path| path.canonicalize().ok()) {
            if path.is_dir() && !found.contains(&path) {
                found.push(path);
            }
        }
    }
    found.remove(0);
    found
}

/// Modules that the `go.mod` of a module replaces by directories.
fn go_modules(module: &Path) -> Vec<PathBuf> {
    GoModule::read(module).map(|found| found.local_modules(module)).unwrap_or_default()
}

/// Packages outside a project that its `package.json` refers to by path, or that `node_modules` links to.
fn javascript_packages(project: &Path) -> Vec<PathBuf> {
    let manifest = manifest(project, Language::JavaScript);
    let tables = ["dependencies", "devDependencies", "peerDependencies", "optionalDependencies"];
    let dependencies = tables.iter().filter_map(|table| manifest[*table].as_object()).flatten();
    let path = |(name, version): (&String, &Value)| {
        let version = version.as_str().unwrap_or_default();
        let by_path = ["file:", "link:", "portal:"].iter().find_map(|scheme| version.strip_prefix(scheme));
        by_path.map(|path| project.join(path)).or_else(|| linked(project, name))
    };
    let is_elsewhere = |path: &PathBuf| path.canonicalize().is_ok_and(|path| !path.starts_with(project));
    dependencies.filter_map(path).filter(is_elsewhere).collect()
}

/// The target of a package's link in the nearest `node_modules`. None if the target itself is in `node_modules`, as for
/// installed packages.
fn linked(project: &Path, name: &str) -> Option<PathBuf> {
    let link = project.ancestors().map(|above| above.join("node_modules").join(name)).find(|path| path.exists())?;
    let target = link.canonicalize().ok()?;
    let is_installed = target.components().any(|part| part.as_os_str() == "node_modules");
    (!is_installed).then_some(target)
}

/// Packages that `pyproject.toml` names by their path: in `[tool.uv.sources]`, in poetry's dependencies, or as
/// `NAME @ file:PATH`.
fn python_packages(project: &Path) -> Vec<PathBuf> {
    let manifest = manifest(project, Language::Python);
    let path = |(name, source): (&String, &Value)| match source["path"].as_str() {
        Some(path) => Some(project.join(path)),
        None if source["workspace"] == true => workspace_package(project, name),
        None => None,
    };
    let mut found: Vec<_> = python_dependencies(&manifest).filter_map(path).collect();
    let requirements = texts(&manifest["project"]["dependencies"]);
    found.extend(requirements.filter_map(|text| local_requirement(&text).map(|path| project.join(path))));
    found
}

/// The path in a requirement such as `shared @ file:../shared`.
pub(crate) fn local_requirement(requirement: &str) -> Option<&str> {
    let (_, url) = requirement.split_once('@')?;
    let path = url.trim().strip_prefix("file:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    Some(path.trim_start_matches("{root:uri}/").trim_start_matches("${PROJECT_ROOT}/"))
}

/// The member with a given name, of the uv workspace that a project belongs to.
fn workspace_package(project: &Path, name: &str) -> Option<PathBuf> {
    let roots = project.ancestors().skip(1);
    let named = |member: &PathBuf| {
        let manifest = manifest(member, Language::Python);
        python::name(&manifest).is_some_and(|own| requirement_name(own) == requirement_name(name))
    };
    roots.into_iter().find_map(|root| members(root, Language::Python).into_iter().find(named))
}

/// The names of the local packages that a Python project declares. They must not be looked up in a registry.
pub(crate) fn local_names(manifest: &Value) -> BTreeSet<String> {
    let is_local = |source: &Value| source["path"].is_string() || source["workspace"] == true;
    python_dependencies(manifest)
        .filter(|(_, source)| is_local(source))
        .map(|(name, _)| requirement_name(name))
        .collect()
}

/// The dependencies of a Python project in the tables of uv and poetry, which may name directories.
fn python_dependencies(manifest: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let (uv, poetry) = (&manifest["tool"]["uv"]["sources"], &manifest["tool"]["poetry"]["dependencies"]);
    [uv, poetry].into_iter().filter_map(Value::as_object).flatten()
}

/// The source files of local Python packages. They become part of a component that depends on them.
pub(crate) fn python_sources(packages: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories: Vec<_> = packages.iter().map(|package| python_root(package)).collect();
    while let Some(directory) = directories.pop() {
        for path in fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() && !name.starts_with('.') && !TOOL_DIRECTORIES.contains(&&*name) {
                directories.push(path);
            } else if name.ends_with(".py") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The directory that Python imports a local package from.
pub(crate) fn python_root(package: &Path) -> PathBuf {
    let manifest = manifest(package, Language::Python);
    package.join(python::PythonEntry::of(&manifest, package).root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::write_file;

    #[test]
    fn lists_of_pnpm_are_read_in_both_styles() {
        for yaml in [
            "packages:\n  - 'apps/*'\n  - \"!apps/x\" # not this one\n",
            "# all\ncatalog:\n  a: 1\npackages: ['apps/*', \"!apps/x\"]\nonlyBuiltDependencies:\n  - b\n",
            "packages: [\n  apps/*,\n  '!apps/x',\n]\n",
            "packages:\n- apps/*\n\n# a comment\n- '!apps/x'\ncatalog: {}\n",
        ] {
            assert_eq!(pnpm(yaml), ["apps/*", "!apps/x"], "{yaml}");
        }
        assert!(pnpm("catalog: {}\n").is_empty());
    }

    #[test]
    fn members_have_a_manifest() {
        let home = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| write_file(&home.path().join(path), text).unwrap();
        write("package.json", r#"{ "workspaces": { "packages": ["vendor/*", "."] } }"#);
        write("pyproject.toml", "[tool.uv.workspace]\nmembers = [\"py/*\"]\nexclude = [\"py/b\"]\n");
        for path in ["vendor/a/package.json", "vendor/b/README.md", "py/a/pyproject.toml", "py/b/pyproject.toml"] {
            write(path, "");
        }
        let found = |language| members(home.path(), language).into_iter().collect::<Vec<_>>();
        assert_eq!(found(Language::JavaScript), [home.path().join("vendor/a")]);
        assert_eq!(found(Language::Python), [home.path().join("py/a")]);
    }

    #[test]
    fn packages_of_the_repository_are_found_directly_and_through_others() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        let write = |path: &str, text: &str| write_file(&home.join(path), text).unwrap();
        write(
            "js/a/package.json",
            r#"{ "dependencies": { "b": "file:../b", "own": "file:vendor/own", "c": "workspace:*", "d": "1" } }"#,
        );
        write("js/a/vendor/own/package.json", "{}");
        write("js/b/package.json", r#"{ "dependencies": { "e": "link:../../e" } }"#);
        write("js/c/package.json", "{}");
        write("e/package.json", "{}");
        write("js/node_modules/d/package.json", "{}");
        std::os::unix::fs::symlink(home.join("js/c"), home.join("js/node_modules/c")).unwrap();
        let found = |project: &str, language| local_packages(&home.join(project), language);
        assert_eq!(found("js/a", Language::JavaScript), ["js/b", "js/c", "e"].map(|path| home.join(path)));

        write("pyproject.toml", "[tool.uv.workspace]\nmembers = [\"py/*\"]\n");
        write(
            "py/a/pyproject.toml",
            "[project]\nname = \"a\"\ndependencies = [\"b-c\", \"d @ file:../../d\"]\n[tool.uv.sources]\nb-c = { workspace = true }\n",
        );
        write(
            "py/b/pyproject.toml",
            "[project]\nname = \"B_c\"\n[tool.poetry.dependencies]\nf = { path = \"../f\" }\n",
        );
        write("py/f/pyproject.toml", "");
        write("d/pyproject.toml", "");
        assert_eq!(found("py/a", Language::Python), ["py/b", "d", "py/f"].map(|path| home.join(path)));
        let names = local_names(&manifest(&home.join("py/b"), Language::Python));
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["f"]);
    }
}

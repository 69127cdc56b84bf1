//! The entry of a JavaScript or TypeScript project, as its `package.json` and the usual layouts name it.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

/// Extensions of modules, in the order in which they are tried.
const EXTENSIONS: [&str; 7] = ["ts", "js", "mts", "mjs", "tsx", "jsx", "cjs"];

/// Directories of compiled files. Their sources are preferred.
const COMPILED: [&str; 5] = ["dist", "build", "lib", "out", "esm"];

/// Entries of projects whose `package.json` names none, without extensions.
const USUAL: [&str; 8] = ["src/plugin", "src/index", "src/main", "src/handler", "plugin", "index", "main", "handler"];

/// The conditions of `exports` under which the entry of a component may be listed.
const CONDITIONS: [&str; 7] = ["sandbus-component", "source", "import", "module", "default", "node", "require"];

/// The module with a project's default export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JavaScriptEntry {
    /// A file, by its path in the project.
    File(PathBuf),
    /// The manifest names a file that does not exist.
    Missing(String),
    /// The manifest names no file, and none has a usual name.
    Unnamed,
}

impl JavaScriptEntry {
    /// The entry of the project in a directory: `sandbus.main`, else `main`, `module` or `exports`, else a file with a
    /// usual name. If a compiled file is named, its source is preferred.
    pub(crate) fn of(manifest: &Value, directory: &Path) -> Self {
        let named: Vec<_> = names(manifest).into_iter().filter(|name| !name.ends_with(".d.ts")).collect();
        let found = named.iter().find_map(|name| resolve(directory, name));
        match (found, named.first()) {
            (Some(path), _) => Self::File(path),
            (None, Some(name)) => {
                usual(directory).filter(|_| is_compiled(name)).map_or_else(|| Self::Missing(name.clone()), Self::File)
            }
            (None, None) => usual(directory).map_or(Self::Unnamed, Self::File),
        }
    }

    /// Whether a manifest names an entry.
    pub(crate) fn is_named_in(manifest: &Value) -> bool {
        !names(manifest).is_empty()
    }
}

impl fmt::Display for JavaScriptEntry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "the entry is {}", path.display()),
            Self::Missing(name) => write!(formatter, "`main` names no file that exists: {name}"),
            Self::Unnamed => write!(formatter, "`main` names no file, and there is none named src/plugin or src/index"),
        }
    }
}

/// The names of the entry in a manifest, the most specific one first.
fn names(manifest: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    if let Some(main) = text(&manifest["sandbus"]["main"]) {
        return vec![main];
    }
    let mut names: Vec<_> = ["source", "main", "module"].iter().filter_map(|key| text(&manifest[*key])).collect();
    names.extend(exported(&manifest["exports"]));
    names
}

/// The files that `exports` lists for the package itself.
fn exported(exports: &Value) -> Vec<String> {
    match exports {
        Value::String(name) => vec![name.clone()],
        Value::Array(list) => list.iter().flat_map(exported).collect(),
        Value::Object(table) => match table.get(".") {
            Some(own) => exported(own),
            None => CONDITIONS.iter().filter_map(|condition| table.get(*condition)).flat_map(exported).collect(),
        },
        _ => Vec::new(),
    }
}

/// The file of a name, as bundlers resolve it: with an extension, or the index of a directory.
fn resolve(directory: &Path, name: &str) -> Option<PathBuf> {
    let path = within(name)?;
    let source = is_compiled(name).then(|| source_of(directory, &path)).flatten();
    source.or_else(|| file_of(directory, &path)).or_else(|| file_of(directory, &path.join("index")))
}

/// A path without `.`, if it stays in its directory.
fn within(name: &str) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for component in Path::new(name).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(path)
}

fn file_of(directory: &Path, path: &Path) -> Option<PathBuf> {
    let is_file = |path: &PathBuf| !path.as_os_str().is_empty() && directory.join(path).is_file();
    Some(path.to_owned()).filter(is_file).or_else(|| with_any_extension(directory, path))
}

/// The file with this path and any extension of modules.
fn with_any_extension(directory: &Path, path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_string_lossy();
    let paths = EXTENSIONS.iter().map(|extension| path.with_file_name(format!("{name}.{extension}")));
    paths.into_iter().find(|path| directory.join(path).is_file())
}

fn is_compiled(name: &str) -> bool {
    within(name).is_some_and(|path| COMPILED.iter().any(|compiled| path.starts_with(compiled)))
}

/// The source of a compiled file: `src/index.ts` of `dist/index.js`.
fn source_of(directory: &Path, compiled: &Path) -> Option<PathBuf> {
    let below: PathBuf = compiled.components().skip(1).collect();
    // Compilers of two module systems add a level: dist/esm/index.js.
    let deeper: PathBuf = below.components().skip(1).collect();
    [below, deeper].iter().filter(|path| !path.as_os_str().is_empty()).find_map(|path| {
        let stem = PathBuf::from("src").join(path).with_extension("");
        with_any_extension(directory, &stem)
    })
}

fn usual(directory: &Path) -> Option<PathBuf> {
    USUAL.iter().find_map(|name| with_any_extension(directory, Path::new(name)))
}

/// Whether a module's source has a default export, in any of the ways in which it can be written.
pub(crate) fn has_default_export(source: &str) -> bool {
    let words: Vec<_> = source.split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
    let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let has = |first: &str, second: &str| words.windows(2).any(|pair| pair == [first, second]);
    has("export", "default") || has("as", "default") || has("module", "exports")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::write_file;

    #[test]
    fn the_entry_is_found_as_tools_name_it() {
        for (manifest, files, expected) in [
            ("{}", &["src/plugin.js"][..], "src/plugin.js"),
            ("{}", &["src/plugin.ts", "src/plugin.js"], "src/plugin.ts"),
            ("{}", &["src/index.ts", "README.md"], "src/index.ts"),
            ("{}", &["index.mjs"], "index.mjs"),
            (r#"{ "main": "./a.js", "module": "b.js" }"#, &["a.js", "b.js"], "a.js"),
            (r#"{ "main": "a.js", "module": "b.js" }"#, &["b.js"], "b.js"),
            (r#"{ "main": "a" }"#, &["a.ts"], "a.ts"),
            (r#"{ "main": "src" }"#, &["src/index.ts"], "src/index.ts"),
            (r#"{ "main": "src/plugin.min" }"#, &["src/plugin.min.js", "src/plugin.js"], "src/plugin.min.js"),
            (r#"{ "main": "dist/plugin.js" }"#, &["dist/plugin.js", "src/plugin.ts"], "src/plugin.ts"),
            (r#"{ "main": "dist/cjs/a.cjs" }"#, &["src/a.ts"], "src/a.ts"),
            (r#"{ "main": "dist/bundle.js" }"#, &["src/index.ts"], "src/index.ts"),
            (r#"{ "main": "dist/only.js" }"#, &["dist/only.js"], "dist/only.js"),
            (r#"{ "exports": "./a.js" }"#, &["a.js"], "a.js"),
            (r#"{ "exports": { ".": { "types": "./a.d.ts", "default": "./a.js" } } }"#, &["a.js", "a.d.ts"], "a.js"),
            (r#"{ "exports": { "import": ["./a.mjs"] } }"#, &["a.mjs"], "a.mjs"),
            (
                r#"{ "exports": { ".": { "import": { "types": "./x.d.ts", "default": "./dist/a.js" } } } }"#,
                &["src/a.ts"],
                "src/a.ts",
            ),
            (r#"{ "main": "a.js", "sandbus": { "main": "b.js" } }"#, &["a.js", "b.js"], "b.js"),
        ] {
            let home = tempfile::tempdir().unwrap();
            files.iter().for_each(|file| write_file(&home.path().join(file), "").unwrap());
            let found = JavaScriptEntry::of(&serde_json::from_str(manifest).unwrap(), home.path());
            assert_eq!(found, JavaScriptEntry::File(expected.into()), "{manifest} {files:?}");
        }
    }

    #[test]
    fn an_entry_that_does_not_exist_is_named() {
        let home = tempfile::tempdir().unwrap();
        write_file(&home.path().join("src/plugin.js"), "").unwrap();
        let of = |manifest: &str| JavaScriptEntry::of(&serde_json::from_str(manifest).unwrap(), home.path());
        assert_eq!(of(r#"{ "main": "a.js" }"#), JavaScriptEntry::Missing("a.js".to_owned()));
        assert_eq!(of(r#"{ "main": "../a.js" }"#), JavaScriptEntry::Missing("../a.js".to_owned()));
        assert_eq!(of(r#"{ "exports": { "./x": "./x.js" } }"#), JavaScriptEntry::File("src/plugin.js".into()));
        std::fs::remove_dir_all(home.path().join("src")).unwrap();
        assert_eq!(of("{}"), JavaScriptEntry::Unnamed);
    }

    #[test]
    fn default_exports_are_found_as_they_are_written() {
        for source in [
            "export default plugin()",
            "export\n  default p;",
            "export { default } from \"./a.js\"",
            "export { a, b as default };",
            "export {default}from'./a.js'",
            "module.exports = plugin();",
        ] {
            assert!(has_default_export(source), "{source}");
        }
        for source in ["export const a = 1;", "export { a as b };", "switch (a) { default: }", ""] {
            assert!(!has_default_export(source), "{source}");
        }
    }
}

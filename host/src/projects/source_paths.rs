//! The paths of source files in messages. A component names its sources by paths from the project or from a directory
//! above it. In development they are shown by paths from the working directory, which terminals can open.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use sandbus_toolchain::Project;

use super::display_path;

/// The extensions of source files.
const EXTENSIONS: [&str; 8] = ["cjs", "js", "jsx", "mjs", "mts", "py", "rs", "ts"];

/// The directories in which the sources of a plugin are found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SourcePaths {
    directories: Vec<PathBuf>,
}

/// The source directories of all plugins, by the plugin's name. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct SourceIndex(Arc<RwLock<BTreeMap<String, SourcePaths>>>);

impl SourceIndex {
    /// Replaces the plugins by those of the projects.
    pub(crate) fn update(&self, projects: &[Project]) {
        let names = |project: &Project| [project.name.clone(), project.stem()];
        let all = projects.iter().flat_map(|project| names(project).map(|name| (name, SourcePaths::of(project))));
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = all.collect();
    }

    /// Replaces the paths in a text about a plugin as [`SourcePaths::locate`] does.
    pub(crate) fn locate(&self, plugin: &str, text: &str) -> String {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.get(plugin).map_or_else(|| text.to_owned(), |paths| paths.locate(text))
    }
}

impl SourcePaths {
    /// The directories of a project: its own first, since most paths start there.
    pub(crate) fn of(project: &Project) -> Self {
        let home = project.home();
        // Paths of crates start at the workspace, or with the name of the project's directory.
        let workspace = project.cargo_workspace().map(|(workspace, _)| workspace);
        let directories = [Some(home), Some(&*project.directory), workspace, home.parent()];
        Self { directories: directories.into_iter().flatten().map(Path::to_owned).collect() }
    }

    /// Replaces the paths of existing source files with line numbers, such as `src/plugin.ts:6`, by paths from the
    /// working directory.
    pub(crate) fn locate(&self, text: &str) -> String {
        let (mut located, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(position) = next_position(rest) {
            let (before, path) = rest[..position.end].split_at(position.start);
            located.push_str(before);
            located.push_str(&self.find(path).map_or_else(|| path.to_owned(), |file| display_path(&file)));
            rest = &rest[position.end..];
        }
        located + rest
    }

    /// Like [`Self::locate`], and quotes the source line below each line that ends with a position.
    pub(crate) fn quote(&self, text: &str) -> String {
        let mut lines = Vec::new();
        for line in text.lines() {
            lines.push(self.locate(line));
            lines.extend(self.source_line(line));
        }
        lines.join("\n")
    }

    fn source_line(&self, line: &str) -> Option<String> {
        let position = next_position(line)?;
        let file = self.find(&line[position.clone()])?;
        let after = line[position.end..].strip_prefix(':')?;
        let digits = after.find(|character: char| !character.is_ascii_digit()).unwrap_or(after.len());
        let number: usize = after[..digits].parse().ok()?;
        // Text behind the position, such as more frames, would be torn from it.
        if !after[digits..].trim_end().trim_end_matches(')').is_empty() {
            return None;
        }
        let source = fs::read_to_string(file).ok()?;
        let quoted = source.lines().nth(number.checked_sub(1)?)?.trim_end();
        Some(format!("      {number} | {quoted}"))
    }

    /// The file that a path names.
    fn find(&self, path: &str) -> Option<PathBuf> {
        let path = path.trim_start_matches("./");
        let file = self.directories.iter().map(|directory| directory.join(path)).find(|file| file.is_file())?;
        // A script is a link in its generated project.
        Some(file.canonicalize().unwrap_or(file))
    }
}

/// The range of the next path of a source file that a line number follows.
fn next_position(text: &str) -> Option<std::ops::Range<usize>> {
    for (end, _) in text.match_indices(':') {
        if !text[end + 1..].starts_with(|next: char| next.is_ascii_digit()) {
            continue;
        }
        let is_outside = |character: char| character.is_whitespace() || "()[]<>'\"`,;:=".contains(character);
        let start = text[..end]
            .rfind(is_outside)
            .map_or(0, |index| index + text[index..].chars().next().map_or(1, char::len_utf8));
        let extension = Path::new(&text[start..end]).extension().and_then(|extension| extension.to_str());
        if extension.is_some_and(|extension| EXTENSIONS.contains(&extension)) {
            return Some(start..end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn paths_of_all_languages_become_paths_of_files() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().canonicalize().unwrap();
        let project = root.join("plugins/orders");
        write(&project.join("src/plugin.ts"), "one\ntwo\n");
        write(&project.join("src/orders.py"), "");
        write(&project.join("src/lib.rs"), "");
        let paths = SourcePaths { directories: vec![project.clone(), root.clone(), root.join("plugins")] };
        let shown = |path: &str| format!("{}/{path}", project.display());
        let file = shown("src/plugin.ts");
        for (text, expected) in [
            ("at f (src/plugin.ts:6)", format!("at f ({file}:6)")),
            ("src/plugin.ts:6:3: no funds", format!("{file}:6:3: no funds")),
            ("no funds (./src/plugin.ts:6)", format!("no funds ({file}:6)")),
            ("at confirm (src/orders.py:9); next", format!("at confirm ({}:9); next", shown("src/orders.py"))),
            ("panicked at plugins/orders/src/lib.rs:52:39", format!("panicked at {}:52:39", shown("src/lib.rs"))),
            ("(in update at orders/src/lib.rs:52 < x)", format!("(in update at {}:52 < x)", shown("src/lib.rs"))),
            ("a src/plugin.ts:6 b src/plugin.ts:7", format!("a {file}:6 b {file}:7")),
            ("src/absent.ts:6 and other.txt:6 at 12:30:00", "src/absent.ts:6 and other.txt:6 at 12:30:00".to_owned()),
            ("src/plugin.ts without a line", "src/plugin.ts without a line".to_owned()),
            ("é:1 ü.ts:2 src/plugin.ts:x", "é:1 ü.ts:2 src/plugin.ts:x".to_owned()),
        ] {
            assert_eq!(paths.locate(text), expected);
        }
        let quoted = paths.quote("TypeError: no\n    at f (src/plugin.ts:2)\n    at src/plugin.ts:9");
        assert_eq!(quoted, format!("TypeError: no\n    at f ({file}:2)\n      2 | two\n    at {file}:9"));
    }
}

//! Expands the glob patterns with which workspaces of npm, pnpm, yarn and uv list their members.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// How many directory levels `**` matches.
const MAX_DEPTH: usize = 8;

/// The directories below a root that match one of the patterns, and none of those that begin with `!`.
pub(crate) fn directories(root: &Path, patterns: &[String]) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(excluded) => {
                let excluded = expand(root, excluded);
                found.retain(|path| !excluded.contains(path));
            }
            None => found.extend(expand(root, pattern)),
        }
    }
    found
}

fn expand(root: &Path, pattern: &str) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for pattern in alternatives(pattern) {
        let parts: Vec<_> = Path::new(&pattern).components().filter(|part| *part != Component::CurDir).collect();
        descend(root, &parts, 0, &mut found);
    }
    found
}

/// Expands the braces of a pattern: `a/{b,c}` becomes `a/b` and `a/c`.
fn alternatives(pattern: &str) -> Vec<String> {
    let braces = pattern.find('{').and_then(|open| Some((open, open + pattern[open..].find('}')?)));
    let Some((open, close)) = braces else { return vec![pattern.to_owned()] };
    let (before, choices, after) = (&pattern[..open], &pattern[open + 1..close], &pattern[close + 1..]);
    choices.split(',').flat_map(|choice| alternatives(&format!("{before}{choice}{after}"))).collect()
}

fn descend(directory: &Path, parts: &[Component<'_>], depth: usize, found: &mut BTreeSet<PathBuf>) {
    let Some((part, rest)) = parts.split_first() else {
        found.insert(directory.to_owned());
        return;
    };
    let part = part.as_os_str().to_string_lossy();
    if !part.contains(['*', '?']) {
        let below = directory.join(&*part);
        if below.is_dir() {
            descend(&below, rest, depth, found);
        }
        return;
    }
    if part == "**" {
        descend(directory, rest, depth, found);
    }
    for name in names_below(directory).into_iter().filter(|_| depth < MAX_DEPTH) {
        let below = directory.join(&name);
        match &*part {
            "**" if below.is_symlink() => {}
            "**" => descend(&below, parts, depth + 1, found),
            part if matches(part.as_bytes(), name.as_bytes()) => descend(&below, rest, depth + 1, found),
            _ => {}
        }
    }
}

/// The names of a directory's subdirectories, without hidden ones and `node_modules`, which are never members.
fn names_below(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.path().is_dir());
    let names = directories.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| !name.starts_with('.') && name != "node_modules").collect()
}

/// Whether a name matches a pattern with `*` and `?`.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            matches(rest, name) || name.split_first().is_some_and(|(_, shorter)| matches(pattern, shorter))
        }
        (Some((b'?', rest)), Some((_, name))) => matches(rest, name),
        (Some((one, rest)), Some((other, name))) if one == other => matches(rest, name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_directories() {
        let home = tempfile::tempdir().unwrap();
        for path in ["apps/a", "apps/b/deep/er", "packages/ui-x", "packages/ui-y", "node_modules/c", ".hidden/d", "one"]
        {
            std::fs::create_dir_all(home.path().join(path)).unwrap();
        }
        std::fs::write(home.path().join("apps/file"), "").unwrap();
        for (patterns, expected) in [
            (&["apps/*"][..], &["apps/a", "apps/b"][..]),
            (&["./apps/*", "one/"], &["apps/a", "apps/b", "one"]),
            (&["apps/**"], &["apps", "apps/a", "apps/b", "apps/b/deep", "apps/b/deep/er"]),
            (&["packages/ui-?", "!packages/ui-x"], &["packages/ui-y"]),
            (&["{apps,packages}/*", "!apps/b", "!packages/**"], &["apps/a"]),
            (&["*"], &["apps", "one", "packages"]),
            (&["nowhere/*", "node_modules/*"], &["node_modules/c"]),
        ] {
            let patterns: Vec<_> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
            let found = directories(home.path(), &patterns);
            let found: Vec<_> = found.iter().map(|path| path.strip_prefix(home.path()).unwrap()).collect();
            assert_eq!(found, expected.iter().map(Path::new).collect::<Vec<_>>(), "{patterns:?}");
        }
    }
}

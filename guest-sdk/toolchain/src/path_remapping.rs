//! Replaces the build machine's directories in components. Panic messages name source files, and a component must not
//! reveal its author's home directory.

use std::path::{Path, PathBuf};

/// Compiler flags that shorten paths below the user's home, cargo's home, and `sources` if given. If several prefixes
/// match a path, rustc applies the last one.
pub(crate) fn flags(sources: Option<&Path>) -> Vec<String> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    flags_of(home.as_deref(), cargo, sources)
}

fn flags_of(home: Option<&Path>, cargo: Option<PathBuf>, sources: Option<&Path>) -> Vec<String> {
    let cargo = cargo.or_else(|| home.map(|home| home.join(".cargo")));
    let all = [(home, "~"), (cargo.as_deref(), "/cargo"), (sources, ".")];
    // Skips the root directory, which is a prefix of every path.
    let named = all.into_iter().filter_map(|(path, name)| Some((path.filter(|path| path.parent().is_some())?, name)));
    named.map(|(path, name)| flag(path, name)).collect()
}

/// The flag that replaces a path prefix by a name.
pub(crate) fn flag(path: &Path, name: &str) -> String {
    format!("--remap-path-prefix={}={name}", path.display())
}

/// Formats flags as a list in cargo's configuration. In an environment variable, cargo would split paths at spaces.
pub(crate) fn list(flags: &[String]) -> String {
    toml::Value::from(flags.to_vec()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_directory_is_named_last() {
        let sources = Path::new("/home/ada l/shop");
        let flags = flags_of(Some(Path::new("/home/ada l")), None, Some(sources));
        let expected = ["/home/ada l=~", "/home/ada l/.cargo=/cargo", "/home/ada l/shop=."];
        assert_eq!(flags, expected.map(|pair| format!("--remap-path-prefix={pair}")));
        assert_eq!(
            flags_of(Some(Path::new("/")), Some("/opt/cargo".into()), None),
            ["--remap-path-prefix=/opt/cargo=/cargo"]
        );
        let parsed: toml::Table = format!("flags = {}", list(&flags)).parse().unwrap();
        assert_eq!(parsed["flags"].as_array().unwrap().len(), 3);
    }
}

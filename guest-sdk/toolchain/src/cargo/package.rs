//! A crate that is built as a plugin, and the files of its builds.

use std::path::PathBuf;

use crate::toolchain::TARGET;

/// A crate that becomes a plugin, as cargo knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CargoPackage {
    /// Cargo's package id. Unlike the name, it is unique.
    pub(crate) id: String,
    /// The name of its library, after which cargo names the file.
    pub(crate) lib_name: String,
    /// The directory of its workspace.
    pub(crate) workspace: PathBuf,
    /// The target directory of its workspace.
    pub(crate) target: PathBuf,
}

impl CargoPackage {
    /// The target directory of quick builds, which `sandbus dev` and `sandbus test` share.
    pub(crate) fn quick_target(&self) -> PathBuf {
        self.target.join("sandbus-dev/build")
    }

    /// The files that its last quick build read, as cargo lists them in the syntax of make.
    pub(crate) fn inputs(&self) -> Vec<PathBuf> {
        let file = format!("{}.d", self.lib_name.replace('-', "_"));
        let path = self.quick_target().join(TARGET).join("release").join(file);
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let inputs = text.lines().filter_map(|line| line.split_once(": ")).flat_map(|(_, inputs)| make_words(inputs));
        inputs.map(|input| self.workspace.join(input)).collect()
    }
}

/// The words of a list in which spaces within words are escaped.
fn make_words(list: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut characters = list.chars();
    while let Some(character) = characters.next() {
        match (character, words.last_mut()) {
            ('\\', Some(word)) => word.extend(characters.next()),
            (' ', _) => words.push(String::new()),
            (_, Some(word)) => word.push(character),
            (_, None) => {}
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_in_paths_do_not_split_them() {
        assert_eq!(make_words("/a/b.rs /home/ada\\ l/c.rs  /d"), ["/a/b.rs", "/home/ada l/c.rs", "/d"]);
        assert!(make_words("").is_empty());
    }
}

//! Go modules, as their `go.mod` describes them.

use std::path::{Path, PathBuf};

use crate::Error;
use crate::error::{at, manifest_error};
use crate::language::Language;

/// The path of the module that the SDK is.
pub(crate) const SDK: &str = "sandbus";

/// A module's `go.mod`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GoModule {
    /// The path of the module.
    pub(crate) path: String,
    /// Whether it requires the SDK.
    pub(crate) uses_sdk: bool,
    /// The directories that replace other modules, as they are written, with the paths of these modules.
    replaced: Vec<(String, String)>,
}

impl GoModule {
    /// Reads the `go.mod` of a directory.
    pub(crate) fn read(directory: &Path) -> Result<Self, Error> {
        let path = directory.join(Language::Go.manifest());
        let text = std::fs::read_to_string(&path).map_err(at(&path))?;
        Self::parse(&text).ok_or_else(|| manifest_error(&path, "it has no line `module PATH`".to_owned()))
    }

    /// Parses directives, each in a line of its own or in a block: `require (`. None without a path of the module.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (mut module, mut block) = (Self::default(), String::new());
        for line in text.lines() {
            let line = line.split("//").next().unwrap_or_default();
            let mut words: Vec<_> = line.split_whitespace().map(|word| word.trim_matches(['"', '`'])).collect();
            match words[..] {
                [] => continue,
                [")"] => {
                    block.clear();
                    continue;
                }
                [name, "("] => {
                    name.clone_into(&mut block);
                    continue;
                }
                _ if !block.is_empty() => words.insert(0, &block),
                _ => {}
            }
            module.add(&words);
        }
        (!module.path.is_empty()).then_some(module)
    }

    fn add(&mut self, words: &[&str]) {
        match words {
            ["module", path] => (*path).clone_into(&mut self.path),
            ["require", SDK, ..] => self.uses_sdk = true,
            ["replace", module, rest @ ..] => {
                let directory = rest.iter().skip_while(|word| **word != "=>").nth(1);
                let local = directory.filter(|path| path.starts_with(['.', '/']));
                self.replaced.extend(local.map(|path| ((*module).to_owned(), (*path).to_owned())));
            }
            _ => {}
        }
    }

    /// The name of its plugin: the last part of the path, without a major version.
    pub(crate) fn name(&self) -> &str {
        let is_version = |part: &str| {
            part.strip_prefix('v')
                .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
        };
        self.path.rsplit('/').find(|part| !is_version(part)).unwrap_or(&self.path)
    }

    /// The directories of other modules that it uses by their paths, except that of the SDK.
    pub(crate) fn local_modules(&self, directory: &Path) -> Vec<PathBuf> {
        let others = self.replaced.iter().filter(|(module, _)| module != SDK);
        others.map(|(_, path)| directory.join(path)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_has_a_name_and_local_dependencies() {
        let text = "// A plugin.\nmodule example.com/shop/orders/v2 // this one\n\ngo 1.24\n\nrequire (\n\tsandbus v0.0.0\n\
            \texample.com/shared v1.0.0 // indirect\n)\n\nreplace sandbus => ./third_party/sandbus-go\n\
            replace (\n\texample.com/shared v1.0.0 => ../shared\n\texample.com/fork => example.com/other v1.2.3\n)\n";
        let module = GoModule::parse(text).unwrap();
        assert_eq!((module.name(), module.uses_sdk), ("orders", true));
        assert_eq!(module.local_modules(Path::new("/shop/orders")), [Path::new("/shop/orders/../shared")]);
        assert_eq!(GoModule::parse("module \"a\"\n").unwrap().name(), "a");
        assert_eq!(GoModule::parse("go 1.24\n"), None);
        assert!(!GoModule::parse("module a\nrequire sandbus.example v1.0.0\n").unwrap().uses_sdk);
    }
}

//! Programs of scripts for prepared runtimes. `sandbus dev` and `sandbus test` run them; see `wit/runtime`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use wasmparser::{Encoding, Parser, Payload};
use wasmtime::component::Component;

use super::compile::{CodeCache, CompileError};
use super::source::{self, Symlinks};
use crate::plugin::manifest::digest::Digest;

/// The custom section of a program's file. It is the only section of the file.
const SECTION: &str = "sandbus:program";
/// The file of a runtime's component, in the directory that is named after the runtime's id.
const COMPONENT: &str = "runtime.wasm";

/// A program, and the runtime that it was made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// The name of the runtime's directory.
    runtime: String,
    /// The digest of the runtime's component.
    digest: String,
    /// The program's text.
    pub(crate) source: Arc<str>,
}

/// Why a program cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The host has no prepared runtimes.
    #[error(
        "it is the program of a script, which only `sandbus dev` and `sandbus test` run; build a component with `sandbus build`"
    )]
    NotInDevelopment,
    /// The section is malformed.
    #[error("it is a malformed program; build it again")]
    Malformed,
    /// The runtime is missing, or differs from the one that the program was made for.
    #[error("its runtime `{0}` is missing or has changed; build the plugin again")]
    Runtime(String),
    /// The runtime does not compile.
    #[error("its runtime: {0}")]
    Compile(#[from] CompileError),
}

impl Program {
    /// The program in a file; none if the file is something else.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Self>, ProgramError> {
        let mut payloads = Parser::new(0).parse_all(bytes);
        let Some(Ok(Payload::Version { encoding: Encoding::Component, .. })) = payloads.next() else {
            return Ok(None);
        };
        let content = match payloads.next() {
            Some(Ok(Payload::CustomSection(section))) if section.name() == SECTION => section.data(),
            _ => return Ok(None),
        };
        let text = std::str::from_utf8(content).map_err(|_| ProgramError::Malformed)?;
        let (head, source) = text.split_once('\n').ok_or(ProgramError::Malformed)?;
        let (runtime, digest) = head.split_once(' ').ok_or(ProgramError::Malformed)?;
        // The id becomes part of a path.
        if runtime.is_empty() || !runtime.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(ProgramError::Malformed);
        }
        Ok(Some(Self { runtime: runtime.to_owned(), digest: digest.to_owned(), source: source.into() }))
    }
}

/// Where the prepared runtimes of this machine are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreparedRuntimePaths {
    /// The directory of the runtimes.
    pub runtimes: PathBuf,
    /// The directory of their compiled code.
    pub code: PathBuf,
}

/// The prepared runtimes of this machine.
#[derive(Debug)]
pub(crate) struct PreparedRuntimes {
    directory: PathBuf,
    cache: CodeCache,
    /// Compiled runtimes by digest.
    compiled: Mutex<HashMap<String, Component>>,
}

impl PreparedRuntimes {
    pub(crate) fn new(directory: PathBuf, cache: CodeCache) -> Self {
        Self { directory, cache, compiled: Mutex::default() }
    }

    /// The component of a program's runtime. Blocks while it compiles.
    pub(crate) fn component(&self, program: &Program) -> Result<Component, ProgramError> {
        // Held while compiling, so that a runtime is compiled once.
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(component) = compiled.get(&program.digest) {
            return Ok(component.clone());
        }
        let missing = || ProgramError::Runtime(program.runtime.clone());
        let path = self.directory.join(&program.runtime).join(COMPONENT);
        let bytes = source::read_plugin(&path, Symlinks::Follow).map_err(|_| missing())?;
        let digest = Digest::of(&bytes);
        if digest.as_str() != program.digest {
            return Err(missing());
        }
        let component = self.cache.component(&bytes, &digest)?;
        compiled.insert(program.digest.clone(), component.clone());
        Ok(component)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component with one custom section.
    fn file(name: &str, content: &str) -> Vec<u8> {
        let section = [&[u8::try_from(name.len()).unwrap()][..], name.as_bytes(), content.as_bytes()].concat();
        let head = [&b"\0asm\x0d\0\x01\0\0"[..], &[u8::try_from(section.len()).unwrap()]].concat();
        [head, section].concat()
    }

    #[test]
    fn a_program_is_told_from_a_component() {
        let program = Program::parse(&file(SECTION, "js-1-0a ff\nlet a;\nlet b;")).unwrap().unwrap();
        assert_eq!((program.runtime.as_str(), program.digest.as_str()), ("js-1-0a", "ff"));
        assert_eq!(&*program.source, "let a;\nlet b;");
        for other in [
            Vec::new(),
            b"\0asm".to_vec(),
            wat::parse_str("(component)").unwrap(),
            wat::parse_str("(module)").unwrap(),
            file("name", "js-1-0a ff\nlet a;"),
        ] {
            assert!(Program::parse(&other).unwrap().is_none(), "{other:?}");
        }
        for malformed in ["", "js-1", "js-1 ff", "../js ff\n", "a/b ff\n", " ff\n"] {
            let error = Program::parse(&file(SECTION, malformed)).unwrap_err();
            assert!(matches!(error, ProgramError::Malformed), "{malformed:?}: {error}");
        }
    }
}

//! From a file's bytes to compiled code: a core module that carries its component type is made into a
//! component, and what was compiled is kept on disk.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use sha2::{Digest as _, Sha256};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as WASI_0_1, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as WASI_0_1_ADAPTER,
};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use crate::threads;

/// The SHA-256 of a plugin's file, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

impl Digest {
    /// The digest of a file's bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(hex(&Sha256::digest(bytes)))
    }

    /// All of it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Enough of it for a person.
    #[must_use]
    pub fn short(&self) -> &str {
        short(&self.0)
    }
}

/// Enough of a digest for a person. What stands in a file may be no digest.
pub(super) fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Why bytes cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// They are no WebAssembly.
    #[error("it is not WebAssembly; build it for wasm32-unknown-unknown or as a component")]
    NotWasm,
    /// They are a module without the types that make it a component.
    #[error(
        "it is a core module that cannot be made into a component: {0:#}; build it with a Sandbus SDK, or as a component"
    )]
    NotComponent(anyhow::Error),
    /// They are a module that only works in a browser.
    #[error(
        "it calls JavaScript through wasm-bindgen, which no host of components provides; `sandbus build` on its project names the crate that does so, and what to do"
    )]
    ForJavaScript,
    /// They do not compile.
    #[error("it does not compile, and may be truncated: {0:#}")]
    Invalid(wasmtime::Error),
}

/// How much compiled code is kept. A language's runtime has some 60 MiB, a plugin in Rust half of one.
const CACHE_BYTES: u64 = 2 << 30;

/// Compiled code on disk, by the digest of what it was made from and by the engine that made it.
#[derive(Clone, Debug)]
pub(super) struct CodeCache {
    directory: PathBuf,
    engine: Engine,
    /// Differs between engines whose code does not fit each other.
    engine_key: String,
    /// Threads that give way to every guest: what runs is not held up by what is to come.
    compilers: Arc<ThreadPool>,
}

impl CodeCache {
    /// # Errors
    /// If no thread can be started.
    pub(super) fn new(directory: PathBuf, engine: Engine) -> Result<Self, ThreadPoolBuildError> {
        use std::hash::{Hash as _, Hasher as _};
        let mut hasher = std::hash::DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let name = |number| format!("compiler-{number}");
        let compilers = ThreadPoolBuilder::new().thread_name(name).start_handler(|_| threads::step_back()).build()?;
        let engine_key = format!("{:016x}", hasher.finish());
        Ok(Self { directory, engine_key, engine, compilers: Arc::new(compilers) })
    }

    /// The component of a file: from the cache, else compiled and put there. Takes as long as a compiler.
    pub(super) fn component(&self, bytes: &[u8], digest: &Digest) -> Result<Component, CompileError> {
        let path = self.directory.join(format!("{}-{}.code", digest.as_str(), self.engine_key));
        if let Some(component) = self.load(&path) {
            return Ok(component);
        }
        let compiled = self.compilers.install(|| Ok(Component::new(&self.engine, as_component(bytes)?)));
        let component = compiled?.map_err(CompileError::Invalid)?;
        if let Err(error) = self.keep(&path, &component) {
            tracing::warn!(path = %path.display(), %error, "compiled code could not be cached; the next start compiles it again");
        }
        Ok(component)
    }

    /// Code from the cache. A file that is damaged, or that another engine made, is a miss.
    #[allow(unsafe_code, reason = "wasmtime's interface demands it")]
    fn load(&self, path: &Path) -> Option<Component> {
        let mut file = File::open(path).ok()?;
        // So that what is used stays. A directory that cannot be written is as good to read.
        drop(file.set_modified(now()));
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        let (checksum, code) = bytes.split_at_checked(32)?;
        if Sha256::digest(code).as_slice() != checksum {
            tracing::warn!(path = %path.display(), "cached code is damaged and is compiled again");
            return None;
        }
        // SAFETY: `deserialize` demands bytes that `serialize` of wasmtime made. This directory belongs to
        // the host, which alone writes it; the checksum shows that the bytes are as they were written, and
        // wasmtime itself refuses those of another version or other settings.
        unsafe { Component::deserialize(&self.engine, code) }.ok()
    }

    /// Writes beside the final place and renames, so that no half-written file is ever found.
    fn keep(&self, path: &Path, component: &Component) -> std::io::Result<()> {
        let code = component.serialize().map_err(std::io::Error::other)?;
        let mut bytes = Sha256::digest(&code).to_vec();
        bytes.extend_from_slice(&code);
        write_whole(path, &bytes)?;
        self.prune(CACHE_BYTES)
    }

    /// Removes what was used longest ago while there is more than so much.
    fn prune(&self, most_bytes: u64) -> std::io::Result<()> {
        let files = std::fs::read_dir(&self.directory)?.flatten().filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
            Some((metadata.modified().ok()?, metadata.len(), entry.path()))
        });
        let mut files: Vec<_> = files.collect();
        files.sort_unstable();
        let mut kept_bytes: u64 = files.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in files {
            if kept_bytes <= most_bytes {
                break;
            }
            std::fs::remove_file(path)?;
            kept_bytes -= size;
        }
        Ok(())
    }

    /// A small text beside the code, such as the descriptor.
    pub(super) fn note(&self, digest: &Digest) -> Option<String> {
        std::fs::read_to_string(self.note_path(digest)).ok()
    }

    pub(super) fn keep_note(&self, digest: &Digest, text: &str) {
        let path = self.note_path(digest);
        if let Err(error) = write_whole(&path, text.as_bytes()) {
            tracing::warn!(path = %path.display(), %error, "a descriptor could not be cached; the next start asks for it again");
        }
    }

    fn note_path(&self, digest: &Digest) -> PathBuf {
        self.directory.join(format!("{}-{}.json", digest.as_str(), env!("CARGO_PKG_VERSION")))
    }
}

#[allow(clippy::disallowed_methods, reason = "files have the system's time")]
fn now() -> SystemTime {
    SystemTime::now()
}

fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let partial = path.with_extension(format!("partial-{}", std::process::id()));
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(&partial, bytes)?;
    std::fs::rename(&partial, path)
}

/// Makes a component of a core module, which may have been made for WASI 0.1; a component stays as it is.
pub(crate) fn as_component(bytes: &[u8]) -> Result<std::borrow::Cow<'_, [u8]>, CompileError> {
    // The WebAssembly specification, binary format: the magic number, then the version and the layer.
    match bytes.get(..8) {
        Some(b"\0asm\x01\0\0\0") => {
            // The encoder trusts what it is given; a truncated module would make it panic.
            Module::validate(&Engine::default(), bytes).map_err(CompileError::Invalid)?;
            let encoder = wit_component::ComponentEncoder::default().validate(true);
            let encoded = encoder.module(bytes).and_then(|encoder| encoder.adapter(WASI_0_1, WASI_0_1_ADAPTER));
            let encoded = encoded.and_then(|mut encoder| encoder.encode());
            encoded.map(Into::into).map_err(|error| match format!("{error:#}").contains("__wbindgen") {
                true => CompileError::ForJavaScript,
                false => CompileError::NotComponent(error),
            })
        }
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => Ok(bytes.into()),
        _ => Err(CompileError::NotWasm),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_module_for_a_browser_is_told_apart() {
        let module = |import: &str| wat::parse_str(format!("(module (import {import} (func)))")).unwrap();
        let bindgen = as_component(&module("\"__wbindgen_placeholder__\" \"__wbindgen_throw\"")).unwrap_err();
        assert!(matches!(bindgen, CompileError::ForJavaScript), "{bindgen}");
        let other = as_component(&module("\"env\" \"paint\"")).unwrap_err();
        assert!(matches!(other, CompileError::NotComponent(_)), "{other}");
    }

    #[test]
    fn code_that_was_used_longest_ago_goes_first() {
        let home = tempfile::tempdir().unwrap();
        let cache = CodeCache::new(home.path().to_owned(), Engine::default()).unwrap();
        for (name, age) in [("a.code", 3), ("b.code", 1), ("c.code", 2)] {
            std::fs::write(home.path().join(name), [0; 100]).unwrap();
            let file = File::options().write(true).open(home.path().join(name)).unwrap();
            file.set_modified(now() - Duration::from_hours(age)).unwrap();
        }
        cache.prune(200).unwrap();
        assert!(!home.path().join("a.code").exists());
        assert!(cache.load(&home.path().join("c.code")).is_none(), "it is none, and was used nevertheless");
        cache.prune(100).unwrap();
        assert!(!home.path().join("b.code").exists());
        assert!(home.path().join("c.code").exists());
    }
}

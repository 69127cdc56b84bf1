//! Compiles components. A core module that carries its component type is made into a component first, and compiled code
//! is cached on disk.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as WASI_0_1, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as WASI_0_1_ADAPTER,
};
use wasmparser::Parser;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::screening::{self, ScreeningError};
use crate::files::sealed;
use crate::plugin::manifest::digest::Digest;
use crate::{files, threads};

/// Why a file cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// Screening refused the file.
    #[error(transparent)]
    Unsuitable(#[from] ScreeningError),
    /// The file is a core module that cannot be made into a component.
    #[error(
        "it is a core module that cannot be made into a component: {0:#}; build it with a Sandbus SDK, or as a component"
    )]
    NotComponent(anyhow::Error),
    /// The compiler refused the file.
    #[error("it does not compile: {0:#}")]
    Invalid(wasmtime::Error),
}

/// The size of the cache. The runtime of a scripting language takes some 60 MiB of code, a plugin in Rust half a MiB.
const CACHE_BYTES: u64 = 2 << 30;

/// The version of the validation of descriptors. Cached descriptors of another version are not used.
const DESCRIPTOR_RULES: u32 = 2;

/// Compiled code on disk, by the digest of the component and by the engine that compiled it.
#[derive(Clone, Debug)]
pub(crate) struct CodeCache {
    directory: PathBuf,
    engine: Engine,
    /// Differs between engines with incompatible code.
    engine_key: String,
    /// Threads with a lower priority than every guest, so that compiling does not delay running plugins.
    compilers: Arc<ThreadPool>,
}

impl CodeCache {
    /// # Errors
    /// If no thread can be started.
    pub(crate) fn new(directory: PathBuf, engine: Engine) -> Result<Self, ThreadPoolBuildError> {
        let name = |number| format!("compiler-{number}");
        let compilers =
            ThreadPoolBuilder::new().thread_name(name).start_handler(|_| threads::lower_compiler_priority()).build()?;
        let engine_key = key_of(&engine);
        Ok(Self { directory, engine_key, engine, compilers: Arc::new(compilers) })
    }

    /// A cache for another engine, in the same directory and with the same compilers.
    pub(crate) fn for_engine(&self, engine: Engine) -> Self {
        Self { engine_key: key_of(&engine), engine, ..self.clone() }
    }

    /// A cache in another directory, with the same compilers.
    pub(crate) fn in_directory(&self, directory: PathBuf) -> Self {
        Self { directory, ..self.clone() }
    }

    /// The component of a file: from the cache, or else compiled and added to the cache.
    pub(crate) fn component(&self, bytes: &[u8], digest: &Digest) -> Result<Component, CompileError> {
        match self.cached(digest) {
            Some(component) => Ok(component),
            None => self.compile(&as_component(bytes)?, digest),
        }
    }

    /// The component of a file with this digest, if its code is in the cache.
    pub(crate) fn cached(&self, digest: &Digest) -> Option<Component> {
        self.load(&self.code_path(digest))
    }

    /// Compiles the component of a file with this digest, and adds it to the cache. This takes seconds.
    pub(crate) fn compile(&self, component: &[u8], digest: &Digest) -> Result<Component, CompileError> {
        let compiled = self.compilers.install(|| Component::new(&self.engine, component));
        let compiled = compiled.map_err(|error| unsupported(component).unwrap_or(CompileError::Invalid(error)))?;
        let path = self.code_path(digest);
        if let Err(error) = self.store(&path, &compiled) {
            tracing::warn!(path = %path.display(), %error, "compiled code could not be cached; the next start compiles the component again");
        }
        Ok(compiled)
    }

    fn code_path(&self, digest: &Digest) -> PathBuf {
        self.directory.join(format!("{}-{}.code", digest.as_str(), self.engine_key))
    }

    /// Reads code from the cache. A damaged file, or one of another engine, is a miss.
    #[allow(unsafe_code, reason = "wasmtime's interface demands it")]
    fn load(&self, path: &Path) -> Option<Component> {
        let mut file = File::open(path).ok()?;
        // Marks the entry as recently used. A failure does not matter: the cache may be read-only.
        drop(file.set_modified(now()));
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        let Some(code) = sealed::unseal(path, &bytes) else {
            tracing::warn!(path = %path.display(), "cached code is damaged; compiling the component again");
            return None;
        };
        // SAFETY: `deserialize` demands bytes that `serialize` of wasmtime made. This directory belongs to
        // the host, which alone writes it; the checksum shows that the bytes are as they were written, and
        // wasmtime itself refuses those of another version or other settings.
        unsafe { Component::deserialize(&self.engine, code) }.ok()
    }

    /// Writes an entry atomically.
    fn store(&self, path: &Path, component: &Component) -> std::io::Result<()> {
        let code = component.serialize().map_err(std::io::Error::other)?;
        files::write_whole(path, &sealed::seal(path, &code))?;
        self.prune(CACHE_BYTES)
    }

    /// Removes the least recently used entries while the cache is larger than the limit.
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

    /// Reads the cached descriptor of a component. A damaged one is a miss.
    pub(crate) fn cached_descriptor(&self, digest: &Digest) -> Option<String> {
        let path = self.descriptor_path(digest);
        let bytes = std::fs::read(&path).ok()?;
        let text = sealed::unseal(&path, &bytes).map(|text| String::from_utf8_lossy(text).into_owned());
        if text.is_none() {
            tracing::warn!(path = %path.display(), "a cached descriptor is damaged; calling the component's `describe` again");
        }
        text
    }

    pub(crate) fn cache_descriptor(&self, digest: &Digest, text: &str) {
        let path = self.descriptor_path(digest);
        if let Err(error) = files::write_whole(&path, &sealed::seal(&path, text.as_bytes())) {
            tracing::warn!(path = %path.display(), %error, "a descriptor could not be cached; the next start calls `describe` again");
        }
    }

    fn descriptor_path(&self, digest: &Digest) -> PathBuf {
        self.directory.join(format!("{}-{}-{DESCRIPTOR_RULES}.descriptor", digest.as_str(), env!("CARGO_PKG_VERSION")))
    }
}

/// Differs between engines whose code is incompatible.
fn key_of(engine: &Engine) -> String {
    use std::hash::{Hash as _, Hasher as _};
    let mut hasher = std::hash::DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[allow(clippy::disallowed_methods, reason = "modification times follow the system's clock")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// Converts a core module, which may target WASI 0.1, into a component. A component stays as it is.
pub(crate) fn as_component(bytes: &[u8]) -> Result<std::borrow::Cow<'_, [u8]>, CompileError> {
    // The encoder trusts its input; a truncated module would make it panic.
    screening::check(bytes)?;
    if Parser::is_component(bytes) {
        return Ok(bytes.into());
    }
    let encoder = wit_component::ComponentEncoder::default().validate(true);
    let encoded = encoder.module(bytes).and_then(|encoder| encoder.adapter(WASI_0_1, WASI_0_1_ADAPTER));
    let encoded = encoded.and_then(|mut encoder| encoder.encode());
    encoded.map(Into::into).map_err(|error| unsupported(bytes).unwrap_or(CompileError::NotComponent(error)))
}

/// The unsupported features that may have caused a failure, if there are any.
fn unsupported(bytes: &[u8]) -> Option<CompileError> {
    screening::features(bytes).map(|features| ScreeningError::Features(features).into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_module_for_a_browser_is_recognised() {
        let module = |import: &str| wat::parse_str(format!("(module (import {import} (func)))")).unwrap();
        let bindgen = as_component(&module("\"__wbindgen_placeholder__\" \"__wbindgen_throw\"")).unwrap_err();
        assert!(bindgen.to_string().contains("wasm-bindgen"), "{bindgen}");
        let other = as_component(&module("\"env\" \"paint\"")).unwrap_err();
        assert!(other.to_string().contains("`env`"), "{other}");
    }

    #[test]
    fn the_least_recently_used_code_is_removed_first() {
        let home = tempfile::tempdir().unwrap();
        let cache = CodeCache::new(home.path().to_owned(), Engine::default()).unwrap();
        for (name, age) in [("a.code", 3), ("b.code", 1), ("c.code", 2)] {
            std::fs::write(home.path().join(name), [0; 100]).unwrap();
            let file = File::options().write(true).open(home.path().join(name)).unwrap();
            file.set_modified(now() - Duration::from_hours(age)).unwrap();
        }
        cache.prune(200).unwrap();
        assert!(!home.path().join("a.code").exists());
        assert!(cache.load(&home.path().join("c.code")).is_none(), "it is a miss, but counts as used");
        cache.prune(100).unwrap();
        assert!(!home.path().join("b.code").exists());
        assert!(home.path().join("c.code").exists());
    }

    fn component(cache: &CodeCache, bytes: &[u8]) -> Component {
        cache.component(bytes, &Digest::of(bytes)).unwrap()
    }

    #[test]
    fn a_cache_entry_with_any_damage_is_a_miss_and_made_again() {
        let home = tempfile::tempdir().unwrap();
        let cache = CodeCache::new(home.path().to_owned(), Engine::default()).unwrap();
        let whole_component = wat::parse_str("(component)").unwrap();
        let digest = Digest::of(&whole_component);
        drop(component(&cache, &whole_component));
        cache.cache_descriptor(&digest, "{}");
        let entries = std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().path());
        let entries: Vec<_> = entries.collect();
        assert_eq!(entries.len(), 2);
        for path in entries {
            let whole = std::fs::read(&path).unwrap();
            for bytes in sealed::damaged(&whole) {
                std::fs::write(&path, bytes).unwrap();
                assert!(cache.load(&path).is_none());
                assert_eq!(cache.cached_descriptor(&digest).is_none(), path == cache.descriptor_path(&digest));
            }
            std::fs::write(&path, [0]).unwrap();
            drop(component(&cache, &whole_component));
            cache.cache_descriptor(&digest, "{}");
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
    }
}

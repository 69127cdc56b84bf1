//! Prepared runtimes: components with a language's engine and its SDK. `sandbus dev` and `sandbus test` compile one
//! once and give it the program of each script, so that a saved script needs no compiler.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use crate::build_cache::{self, BuildCache};
use crate::error::at;
use crate::files::{digest, write_file};
use crate::project::Project;
use crate::{Error, bundled, cache};

/// The directory of prepared runtimes below the cache directory. Each has a directory, which is named after its id.
const HOME: &str = "runtimes";
/// The file of a runtime's component.
const COMPONENT: &str = "runtime.wasm";
/// The file next to a program that has the id of its runtime.
const RUNTIME: &str = "runtime";
/// The custom section that makes a component file the program of a prepared runtime. The host reads it.
const SECTION: &[u8] = b"sandbus:program";

/// The directory in which the host finds prepared runtimes.
///
/// # Errors
/// If the cache directory is unknown.
pub fn directory() -> Result<PathBuf, Error> {
    Ok(cache::directory()?.join(HOME))
}

/// A runtime of an SDK.
#[derive(Clone, Debug)]
pub(crate) struct PreparedRuntime {
    id: String,
    /// The SHA-256 of its component, in hexadecimal.
    digest: String,
}

impl PreparedRuntime {
    /// The runtime of an SDK, which `build` writes to a path if it is missing. `recipe` names the language and changes
    /// with the versions of its tools.
    ///
    /// # Errors
    /// If the runtime cannot be built.
    pub(crate) fn ensure(
        recipe: &str,
        sdk: &Path,
        build: impl FnOnce(&Path) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let mut hasher = DefaultHasher::new();
        (bundled::digest(), build_cache::hash_directory(sdk)?).hash(&mut hasher);
        let id = format!("{recipe}-{:016x}", hasher.finish());
        // Somebody may have deleted the component since.
        if !is_complete(&id)? {
            cache::invalidate(&format!("{HOME}/{id}"))?;
        }
        let home = cache::once(&format!("{HOME}/{id}"), |home| {
            let component = home.join(COMPONENT);
            build(&component)?;
            let bytes = fs::read(&component).map_err(at(&component))?;
            write_file(&home.join("digest"), &digest(&bytes))
        })?;
        let path = home.join("digest");
        Ok(Self { id, digest: fs::read_to_string(&path).map_err(at(&path))? })
    }

    /// Writes the file of a program: an empty component with a custom section, which has the id and the digest of the
    /// runtime, and the program's text.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn write_program(&self, cache: &BuildCache, program: &str) -> Result<(), Error> {
        let content = format!("{} {}\n{program}", self.id, self.digest);
        let mut section = leb128(SECTION.len());
        section.extend([SECTION, content.as_bytes()].concat());
        let mut file = b"\0asm\x0d\0\x01\0\0".to_vec();
        file.extend(leb128(section.len()));
        file.extend(section);
        fs::write(cache.component(), file).map_err(at(cache.component()))?;
        write_file(&cache.directory().join(RUNTIME), &self.id)
    }
}

/// Whether a project's last program was made from the current sources, and its runtime still exists.
pub(crate) fn is_current(cache: &BuildCache) -> Result<bool, Error> {
    match fs::read_to_string(cache.directory().join(RUNTIME)) {
        Ok(id) if cache.is_current() => is_complete(&id),
        _ => Ok(false),
    }
}

/// Says why a project does not run on a prepared runtime.
pub(crate) fn announce_snapshots(project: &Project, reason: &str, say: &mut dyn FnMut(&str)) {
    say(&format!("{} has {reason}, so each build makes a snapshot, which takes seconds", project.name));
}

fn is_complete(id: &str) -> Result<bool, Error> {
    Ok(directory()?.join(id).join(COMPONENT).is_file())
}

/// A number as unsigned LEB128 (WebAssembly 5.2.2).
fn leb128(number: usize) -> Vec<u8> {
    let (mut rest, mut bytes) = (number, Vec::new());
    loop {
        let low = u8::try_from(rest & 0x7f).unwrap_or_default();
        rest >>= 7;
        if rest == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_leb128() {
        for (number, bytes) in [(0, &[0][..]), (127, &[0x7f]), (128, &[0x80, 1]), (624_485, &[0xe5, 0x8e, 0x26])] {
            assert_eq!(leb128(number), bytes, "{number}");
        }
    }
}

//! What tells one file of a plugin from another.

use std::io;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::files::sealed::hex;

/// The SHA-256 of a plugin's file, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(Arc<str>);

impl Digest {
    /// The digest of a file's bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(hex(&Sha256::digest(bytes)).into())
    }

    /// All of it, shared.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// The digest of what can be read, which is not held in memory.
    pub(crate) fn of_file(mut file: impl io::Read) -> io::Result<Self> {
        const CHUNK_BYTES: usize = 64 << 10;
        let (mut hasher, mut chunk) = (Sha256::new(), vec![0; CHUNK_BYTES]);
        loop {
            match file.read(&mut chunk)? {
                0 => return Ok(Self(hex(&hasher.finalize()).into())),
                count => hasher.update(&chunk[..count]),
            }
        }
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
pub(crate) fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

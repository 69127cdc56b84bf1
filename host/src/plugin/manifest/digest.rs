//! The digest that identifies a component.

use std::io;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::files::sealed::hex;

/// The SHA-256 of a component, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(Arc<str>);

impl Digest {
    /// Computes the digest of bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(hex(&Sha256::digest(bytes)).into())
    }

    /// The digest as a shared text.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// Computes the digest of a stream, which is not read into memory as a whole.
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

    /// The digest as a text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// An abbreviation for people.
    #[must_use]
    pub fn short(&self) -> &str {
        short(&self.0)
    }
}

/// An abbreviation for people. The text comes from a file and may not be a digest.
pub(crate) fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

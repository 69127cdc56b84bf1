//! Token files: one token per line, so that an old and a new token can be valid at the same time. A changed file is
//! read again within a second.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hmac::digest::CtOutput;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// How long a file's tokens are used before the file is read again.
const REREAD_AFTER: Duration = Duration::from_secs(1);
/// The maximum size of a token file, in bytes.
const LIMIT_BYTES: u64 = 64 << 10;
/// The mode bits that give access to every user.
const OTHERS_ACCESS: u32 = 0o007;

/// A token file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the token file {path}: {what}")]
pub struct TokenFileError {
    path: PathBuf,
    what: TokenFileFault,
}

#[derive(Debug, thiserror::Error)]
enum TokenFileFault {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    #[error("every user of this machine has access to it; run chmod 600 on it")]
    Accessible,
    #[error("it is larger than {LIMIT_BYTES} bytes")]
    TooLarge,
    #[error("it has no token; write one per line")]
    Empty,
    #[error("line {0} is not a token; a token has visible ASCII characters and no spaces")]
    Malformed(usize),
    #[error("no random numbers are available: {0}")]
    NoRandomNumbers(getrandom::Error),
}

/// A token hashed with a key of this process, so that comparing takes constant time.
type Hashed = CtOutput<Hmac<Sha256>>;

/// A token file with its current tokens.
pub(super) struct TokenFile {
    path: PathBuf,
    key: Hmac<Sha256>,
    current: Mutex<CurrentTokens>,
}

struct CurrentTokens {
    tokens: Vec<Hashed>,
    read_at: Instant,
}

impl std::fmt::Debug for TokenFile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("TokenFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl TokenFile {
    /// Opens a token file.
    ///
    /// # Errors
    /// If the file cannot be read, has no valid token, or is accessible to every user.
    pub(super) fn open(path: PathBuf) -> Result<Self, TokenFileError> {
        let unusable = |what| TokenFileError { path: path.clone(), what };
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| unusable(TokenFileFault::NoRandomNumbers(error)))?;
        let key = Hmac::new_from_slice(&key).expect("HMAC takes keys of any length");
        let tokens = read(&path, &key).map_err(unusable)?;
        let current = Mutex::new(CurrentTokens { tokens, read_at: Instant::now() });
        Ok(Self { path, key, current })
    }

    /// Whether the file contains a token.
    pub(super) async fn accept(&self, token: &str) -> bool {
        if self.is_due() {
            let (path, key) = (self.path.clone(), self.key.clone());
            let found = tokio::task::spawn_blocking(move || read(&path, &key)).await;
            // If the read panicked, the current tokens stay.
            if let Ok(found) = found {
                self.put(found);
            }
        }
        let given = hash(&self.key, token);
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // Compares all tokens, so that the time does not reveal which one matches.
        current.tokens.iter().fold(false, |found, one| (*one == given) | found)
    }

    /// Whether the file is due to be read again. The first caller reads it.
    fn is_due(&self) -> bool {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = current.read_at.elapsed() >= REREAD_AFTER;
        if is_due {
            current.read_at = Instant::now();
        }
        is_due
    }

    /// Replaces the tokens. An unusable file has no valid tokens.
    fn put(&self, found: Result<Vec<Hashed>, TokenFileFault>) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let had_tokens = !current.tokens.is_empty();
        current.tokens = found.unwrap_or_else(|what| {
            if had_tokens {
                tracing::error!(path = %self.path.display(), "cannot use the token file; its producer cannot publish until it is fixed: {what}");
            }
            Vec::new()
        });
    }
}

fn hash(key: &Hmac<Sha256>, token: &str) -> Hashed {
    key.clone().chain_update(token.as_bytes()).finalize()
}

fn read(path: &Path, key: &Hmac<Sha256>) -> Result<Vec<Hashed>, TokenFileFault> {
    // Opening a pipe would wait for its other end.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    // The metadata of the open file: a path could refer to another file by now.
    let metadata = file.metadata()?;
    if metadata.mode() & OTHERS_ACCESS != 0 {
        return Err(TokenFileFault::Accessible);
    }
    let mut text = String::new();
    file.take(LIMIT_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LIMIT_BYTES {
        return Err(TokenFileFault::TooLarge);
    }
    let mut tokens = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let token = line.trim();
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenFileFault::Malformed(index + 1));
        }
        if !token.is_empty() {
            tokens.push(hash(key, token));
        }
    }
    if tokens.is_empty() { Err(TokenFileFault::Empty) } else { Ok(tokens) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn write(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_trusted_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        let error = |text: &str, mode| {
            write(&path, text, mode);
            TokenFile::open(path.clone()).unwrap_err().to_string()
        };
        assert!(error("secret\n", 0o644).contains("chmod 600"));
        assert!(error("secret\n", 0o602).contains("chmod 600"));
        assert!(error("\n\n", 0o600).contains("no token"));
        assert!(error("good\nnot good\n", 0o600).contains("line 2"));
        assert!(error(&"x".repeat(70_000), 0o600).contains("larger"));
        let missing = TokenFile::open(directory.path().join("missing")).unwrap_err().to_string();
        assert!(missing.contains("missing") && missing.contains("cannot be read"), "{missing}");
        write(&path, "secret\n", 0o640);
        assert!(TokenFile::open(path).is_ok(), "a group may be trusted");
    }

    #[tokio::test]
    async fn a_file_is_read_again_when_it_may_have_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        write(&path, "old\nnew\n", 0o600);
        let file = TokenFile::open(path.clone()).unwrap();
        assert!(file.accept("old").await && file.accept("new").await);
        for wrong in ["", "ol", "oldx", "OLD"] {
            assert!(!file.accept(wrong).await, "{wrong}");
        }
        let forget = || file.current.lock().unwrap().read_at = Instant::now().checked_sub(2 * REREAD_AFTER).unwrap();
        write(&path, "new\n", 0o600);
        forget();
        assert!(!file.accept("old").await && file.accept("new").await);
        std::fs::remove_file(&path).unwrap();
        forget();
        assert!(!file.accept("new").await, "a file that is gone lets nobody in");
        write(&path, "newest\n", 0o600);
        forget();
        assert!(file.accept("newest").await);
    }
}

//! Files of tokens: one token a line, so that an old and a new one are good for a while. A file that changes is read
//! again within a second.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hmac::digest::CtOutput;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// How long what was read is good.
const FRESH: Duration = Duration::from_secs(1);
/// The largest file of tokens, in bytes.
const LIMIT_BYTES: u64 = 64 << 10;
/// The bits of a mode that let everybody else read or write.
const OTHERS: u32 = 0o007;

/// A file of tokens cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the token file {path}: {what}")]
pub struct Unusable {
    path: PathBuf,
    what: What,
}

#[derive(Debug, thiserror::Error)]
enum What {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    #[error("everybody on this machine can read it; run chmod 600 on it")]
    Open,
    #[error("it is larger than {LIMIT_BYTES} bytes")]
    Large,
    #[error("it has no token; put one on each line")]
    Empty,
    #[error("line {0} is no token; one is of visible ASCII characters without spaces")]
    Malformed(usize),
    #[error("there are no random numbers: {0}")]
    Chance(getrandom::Error),
}

/// A token under a key of this process, so that comparing takes the same time whatever is compared.
type Hashed = CtOutput<Hmac<Sha256>>;

/// A file of tokens, as it was read last.
pub(super) struct TokenFile {
    path: PathBuf,
    key: Hmac<Sha256>,
    known: Mutex<Known>,
}

struct Known {
    tokens: Vec<Hashed>,
    read_at: Instant,
}

impl std::fmt::Debug for TokenFile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("TokenFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl TokenFile {
    /// Reads a file.
    ///
    /// # Errors
    /// If there is no token to be read in it, or others may read it too.
    pub(super) fn open(path: PathBuf) -> Result<Self, Unusable> {
        let unusable = |what| Unusable { path: path.clone(), what };
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| unusable(What::Chance(error)))?;
        let key = Hmac::new_from_slice(&key).expect("HMAC takes keys of any length");
        let tokens = read(&path, &key).map_err(unusable)?;
        let known = Mutex::new(Known { tokens, read_at: Instant::now() });
        Ok(Self { path, key, known })
    }

    /// Whether a token is one of them.
    pub(super) async fn accept(&self, token: &str) -> bool {
        if self.is_due() {
            let (path, key) = (self.path.clone(), self.key.clone());
            let found = tokio::task::spawn_blocking(move || read(&path, &key)).await;
            // A panic while reading leaves what was known.
            if let Ok(found) = found {
                self.put(found);
            }
        }
        let given = hash(&self.key, token);
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // All of them are compared, so that the time does not tell which one it is.
        known.tokens.iter().fold(false, |found, one| (*one == given) | found)
    }

    /// Whether the file is to be read again. Whoever asks first reads it.
    fn is_due(&self) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = known.read_at.elapsed() >= FRESH;
        if is_due {
            known.read_at = Instant::now();
        }
        is_due
    }

    /// Takes what was read. Of a file that cannot be used no token is good any more.
    fn put(&self, found: Result<Vec<Hashed>, What>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let had_tokens = !known.tokens.is_empty();
        known.tokens = found.unwrap_or_else(|what| {
            if had_tokens {
                tracing::error!(path = %self.path.display(), "the token file cannot be used, and its producer publishes nothing until it can: {what}");
            }
            Vec::new()
        });
    }
}

fn hash(key: &Hmac<Sha256>, token: &str) -> Hashed {
    key.clone().chain_update(token.as_bytes()).finalize()
}

fn read(path: &Path, key: &Hmac<Sha256>) -> Result<Vec<Hashed>, What> {
    let file = File::open(path)?;
    // Of the file that is open, which nobody exchanges meanwhile.
    let metadata = file.metadata()?;
    if metadata.mode() & OTHERS != 0 {
        return Err(What::Open);
    }
    let mut text = String::new();
    file.take(LIMIT_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LIMIT_BYTES {
        return Err(What::Large);
    }
    let mut tokens = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let token = line.trim();
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(What::Malformed(index + 1));
        }
        if !token.is_empty() {
            tokens.push(hash(key, token));
        }
    }
    if tokens.is_empty() { Err(What::Empty) } else { Ok(tokens) }
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
        let forget = || file.known.lock().unwrap().read_at = Instant::now().checked_sub(2 * FRESH).unwrap();
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

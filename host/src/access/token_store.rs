//! The file of tokens. The host reads it again when it has changed, so that a command can create the first token next
//! to a running host.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::token::{NewToken, Secret, TokenId, TokenRecord};
use crate::clock::Timestamp;
use crate::files;

/// The file in the data directory.
pub(crate) const FILE: &str = "tokens.json";
/// The lock of writers, which are the host and commands.
const LOCK_FILE: &str = "tokens.lock";
/// The largest file.
const MAX_BYTES: u64 = 4 << 20;
/// The largest number of tokens.
const MAX_TOKENS: usize = 10_000;
/// The largest number of logins of one person. Another one ends the oldest.
const MAX_LOGINS: usize = 16;
/// The version of the file.
const VERSION: u32 = 1;

/// The tokens of a host.
#[derive(Debug)]
pub struct TokenStore {
    directory: PathBuf,
    current: Mutex<Current>,
}

/// The tokens that the file had when it was read last.
#[derive(Debug, Default)]
struct Current {
    tokens: Arc<Vec<TokenRecord>>,
    state: Option<FileState>,
    fault: Option<String>,
}

/// The properties of the file that show whether it has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileState {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

/// The content of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    tokens: Vec<TokenRecord>,
}

/// The tokens cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum TokenStoreError {
    /// The file cannot be read or written.
    #[error("the tokens in {}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: std::io::Error,
    },
    /// The file has no tokens that this version understands.
    #[error("the tokens in {}: {what}; restore the file from a backup, or delete it and create new tokens", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The reason.
        what: String,
    },
    /// There are too many tokens.
    #[error("there are too many tokens; revoke some")]
    TooMany,
    /// No token has the id.
    #[error("there is no token {0}; `sandbus token list` shows all tokens")]
    NotFound(TokenId),
    /// The system has no random numbers.
    #[error("no random numbers are available: {0}")]
    NoRandomNumbers(getrandom::Error),
}

/// Why a presented token gives no access.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RejectedToken {
    /// The text is malformed, or no token has this secret (any more).
    #[error("the token is malformed, unknown or revoked")]
    Unknown,
    /// It has expired.
    #[error("the token {id} expired at {at}")]
    Expired {
        /// The token.
        id: TokenId,
        /// When.
        at: Timestamp,
    },
    /// The tokens cannot be read.
    #[error("the host cannot read its tokens; see its log")]
    Unreadable,
}

impl TokenStore {
    /// The tokens of a data directory. A missing file has no tokens.
    #[must_use]
    pub fn open(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), current: Mutex::default() }
    }

    fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    /// The record of a presented token. Blocks while the file is read.
    ///
    /// # Errors
    /// If the token gives no access.
    pub fn authenticate(&self, presented: &str, now: Timestamp) -> Result<TokenRecord, RejectedToken> {
        let secret = Secret::parse(presented).ok_or(RejectedToken::Unknown)?;
        let tokens = self.current().map_err(|_| RejectedToken::Unreadable)?;
        let record = tokens.iter().find(|token| token.id == *secret.id()).ok_or(RejectedToken::Unknown)?;
        if !record.hash.is(&secret.hash()) {
            return Err(RejectedToken::Unknown);
        }
        match record.expires_at {
            Some(at) if record.is_expired(now) => Err(RejectedToken::Expired { id: record.id.clone(), at }),
            _ => Ok(record.clone()),
        }
    }

    /// Whether a token that was authenticated earlier is still valid. Blocks while the file is read.
    #[must_use]
    pub fn is_valid(&self, token: &TokenRecord, now: Timestamp) -> bool {
        let tokens = self.current().unwrap_or_default();
        !token.is_expired(now) && tokens.iter().any(|one| one.id == token.id && one.hash.is(&token.hash))
    }

    /// All tokens, oldest first. Blocks while the file is read.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn list(&self) -> Result<Arc<Vec<TokenRecord>>, TokenStoreError> {
        self.current()
    }

    /// Creates a token.
    ///
    /// # Errors
    /// If the file cannot be read or written, or there are too many tokens.
    pub fn create(&self, token: NewToken, now: Timestamp) -> Result<(Secret, TokenRecord), TokenStoreError> {
        let _lock = self.lock()?;
        let mut tokens = self.read_current()?.to_vec();
        // Nobody looks for logins of the past.
        tokens.retain(|token| !token.is_login() || !token.is_expired(now));
        if token.created_by == TokenRecord::LOGIN {
            // Nobody can use up the tokens by logging in again and again.
            let is_own = |other: &TokenRecord| other.is_login() && other.name == token.name;
            let surplus = (tokens.iter().filter(|other| is_own(other)).count() + 1).saturating_sub(MAX_LOGINS);
            let oldest: Vec<_> =
                tokens.iter().filter(|other| is_own(other)).take(surplus).map(|one| one.id.clone()).collect();
            tokens.retain(|other| !oldest.contains(&other.id));
        }
        if tokens.len() >= MAX_TOKENS {
            return Err(TokenStoreError::TooMany);
        }
        let secret = loop {
            let secret = Secret::random().map_err(TokenStoreError::NoRandomNumbers)?;
            if tokens.iter().all(|token| token.id != *secret.id()) {
                break secret;
            }
        };
        let record = TokenRecord::new(token, &secret, now);
        tokens.push(record.clone());
        self.write(tokens)?;
        Ok((secret, record))
    }

    /// Revokes a token.
    ///
    /// # Errors
    /// If no token has the id, or the file cannot be read or written.
    pub fn revoke(&self, id: &TokenId) -> Result<TokenRecord, TokenStoreError> {
        let _lock = self.lock()?;
        let mut tokens = self.read_current()?.to_vec();
        let index = tokens.iter().position(|token| token.id == *id);
        let revoked = tokens.remove(index.ok_or_else(|| TokenStoreError::NotFound(id.clone()))?);
        self.write(tokens)?;
        Ok(revoked)
    }

    /// Keeps other writers out until it is dropped.
    fn lock(&self) -> Result<File, TokenStoreError> {
        let lock = files::make_directory(&self.directory)
            .and_then(|()| files::open_private(&self.directory.join(LOCK_FILE)))
            .and_then(|file| self.give_to_owner(&self.directory.join(LOCK_FILE)).map(|()| file))
            .and_then(|file| file.lock().map(|()| file));
        lock.map_err(|error| self.fault(error))
    }

    /// A command may run as root next to a host of another user, which must still read and lock the files.
    fn give_to_owner(&self, path: &Path) -> std::io::Result<()> {
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let owner = std::fs::metadata(&self.directory)?;
        std::os::unix::fs::chown(path, Some(owner.uid()), Some(owner.gid()))
    }

    fn fault(&self, error: std::io::Error) -> TokenStoreError {
        TokenStoreError::File { path: self.path(), error }
    }

    fn write(&self, tokens: Vec<TokenRecord>) -> Result<(), TokenStoreError> {
        let content = Content { version: VERSION, tokens };
        let bytes = serde_json::to_vec_pretty(&content).expect("records can be written as JSON");
        if bytes.len() as u64 > MAX_BYTES {
            return Err(TokenStoreError::TooMany);
        }
        let written = files::write_durably(&self.path(), &bytes).and_then(|()| self.give_to_owner(&self.path()));
        written.map_err(|error| self.fault(error))?;
        self.current().map(drop)
    }

    /// The tokens of the file, which is read even if it does not seem changed.
    fn read_current(&self) -> Result<Arc<Vec<TokenRecord>>, TokenStoreError> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).state = None;
        self.current()
    }

    /// The tokens of the file, which is read again if it has changed.
    fn current(&self) -> Result<Arc<Vec<TokenRecord>>, TokenStoreError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match self.refresh(&mut current) {
            Ok(()) => {
                current.fault = None;
                Ok(Arc::clone(&current.tokens))
            }
            Err(error) => {
                // Nobody gets access until the file is valid again. Each fault is logged once.
                *current = Current { fault: current.fault.take(), ..Current::default() };
                let fault = error.to_string();
                if current.fault.as_ref() != Some(&fault) {
                    tracing::error!("cannot use the tokens of the admin interface: {fault}");
                    current.fault = Some(fault);
                }
                Err(error)
            }
        }
    }

    fn refresh(&self, current: &mut Current) -> Result<(), TokenStoreError> {
        // Opening a pipe would wait for its other end.
        if let Ok(metadata) = std::fs::metadata(self.path())
            && !metadata.is_file()
        {
            return Err(TokenStoreError::Malformed { path: self.path(), what: "it is not a regular file".to_owned() });
        }
        let file = match File::open(self.path()) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                (current.tokens, current.state) = Default::default();
                return Ok(());
            }
            Err(error) => return Err(self.fault(error)),
        };
        let metadata = file.metadata().map_err(|error| self.fault(error))?;
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        let state = FileState { inode: metadata.ino(), bytes: metadata.len(), modified };
        if current.state == Some(state) {
            return Ok(());
        }
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| self.fault(error))?;
        current.tokens = Arc::new(self.parse(&bytes)?);
        current.state = Some(state);
        Ok(())
    }

    fn parse(&self, bytes: &[u8]) -> Result<Vec<TokenRecord>, TokenStoreError> {
        let malformed = |what: String| TokenStoreError::Malformed { path: self.path(), what };
        if bytes.len() as u64 > MAX_BYTES {
            return Err(malformed(format!("the file has more than {MAX_BYTES} bytes")));
        }
        let content: Content = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        if content.version != VERSION {
            let what = format!("the file has version {}, and this host reads version {VERSION}", content.version);
            return Err(malformed(what));
        }
        Ok(content.tokens)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use super::super::role::Role;
    use super::super::token::NewTokenError;
    use super::*;

    const NOW: Timestamp = Timestamp(1_893_456_000_000);

    fn token(role: Role) -> NewToken {
        NewToken {
            name: None,
            role,
            plugin: None,
            hide_payloads: false,
            expires_at: None,
            created_by: "a test".to_owned(),
        }
    }

    #[test]
    fn a_token_is_valid_until_it_expires_or_is_revoked() {
        let data = tempfile::tempdir().unwrap();
        let store = TokenStore::open(data.path());
        assert_eq!(store.authenticate("sbt_12345678_x", NOW).unwrap_err(), RejectedToken::Unknown);
        let expires_at = NOW.after(Duration::from_secs(10));
        let (view, _) = store.create(token(Role::View), NOW).unwrap();
        let expiring = NewToken { expires_at: Some(expires_at), ..token(Role::Admin) };
        let (admin, record) = store.create(expiring, NOW).unwrap();
        assert_eq!(store.authenticate(view.expose(), NOW).unwrap().role, Role::View);
        assert_eq!(store.authenticate(admin.expose(), NOW).unwrap().role, Role::Admin);
        let expired = RejectedToken::Expired { id: record.id.clone(), at: expires_at };
        assert_eq!(store.authenticate(admin.expose(), expires_at).unwrap_err(), expired);
        // The id is public, and does not replace the secret.
        let guess = format!("sbt_{}_x", record.id);
        assert_eq!(store.authenticate(&guess, NOW).unwrap_err(), RejectedToken::Unknown);

        // Another process sees and revokes them.
        let other = TokenStore::open(data.path());
        assert_eq!(other.list().unwrap().len(), 2);
        other.revoke(view.id()).unwrap();
        assert_eq!(store.authenticate(view.expose(), NOW).unwrap_err(), RejectedToken::Unknown);
        assert!(matches!(other.revoke(view.id()), Err(TokenStoreError::NotFound(_))));
        let text = std::fs::read_to_string(data.path().join(FILE)).unwrap();
        assert!(!text.contains(admin.expose()), "only the hash is stored");
        let mode = std::fs::metadata(data.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_file_gives_nobody_access_and_is_not_overwritten() {
        let data = tempfile::tempdir().unwrap();
        let store = TokenStore::open(data.path());
        let (secret, _) = store.create(token(Role::Admin), NOW).unwrap();
        let path = data.path().join(FILE);
        let whole = std::fs::read(&path).unwrap();
        for damaged in [&b"{"[..], b"", br#"{"version":2,"tokens":[]}"#, &whole[..whole.len() - 3]] {
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(store.authenticate(secret.expose(), NOW).unwrap_err(), RejectedToken::Unreadable);
            assert!(matches!(store.create(token(Role::Admin), NOW), Err(TokenStoreError::Malformed { .. })));
            assert_eq!(std::fs::read(&path).unwrap(), damaged);
        }
        std::fs::write(&path, &whole).unwrap();
        assert!(store.authenticate(secret.expose(), NOW).is_ok());
    }

    #[test]
    fn a_file_that_would_be_too_large_is_not_written() {
        let data = tempfile::tempdir().unwrap();
        let store = TokenStore::open(data.path());
        let (first, _) = store.create(token(Role::View), NOW).unwrap();
        let long = NewToken { name: Some("n".repeat(1 << 20)), ..token(Role::View) };
        let refused = (0..9).find_map(|_| store.create(long.clone(), NOW).err());
        assert!(matches!(refused, Some(TokenStoreError::TooMany)), "{refused:?}");
        assert!(store.authenticate(first.expose(), NOW).is_ok());
        store.revoke(first.id()).unwrap();
    }

    #[test]
    fn a_token_is_checked_before_it_is_created() {
        let checked = |new: NewToken, expires_in| new.checked(expires_in, NOW).map(|token| token.expires_at);
        let day = Duration::from_secs(86_400);
        assert_eq!(checked(token(Role::View), None), Ok(None));
        assert_eq!(checked(token(Role::View), Some(day)), Ok(Some(NOW.after(day))));
        let named = |name: &str| NewToken { name: Some(name.to_owned()), ..token(Role::View) };
        for name in ["", "a\nb", &"x".repeat(101)] {
            assert_eq!(checked(named(name), None), Err(NewTokenError::Name), "{name}");
        }
        let of = |plugin: &str, role| NewToken { plugin: Some(plugin.to_owned()), ..token(role) };
        for plugin in ["", "a b", "operator"] {
            assert_eq!(checked(of(plugin, Role::View), None), Err(NewTokenError::Plugin(plugin.to_owned())));
        }
        assert_eq!(checked(of("echo", Role::Admin), None), Err(NewTokenError::RestrictedAdmin));
        for time in [Duration::ZERO, Duration::from_secs(99_999_999_999)] {
            assert_eq!(checked(token(Role::View), Some(time)), Err(NewTokenError::Expiry));
        }
    }

    #[test]
    fn writers_do_not_overwrite_each_other() {
        let data = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let store = TokenStore::open(data.path());
                    (0..5).for_each(|_| drop(store.create(token(Role::View), NOW).unwrap()));
                });
            }
        });
        assert_eq!(TokenStore::open(data.path()).list().unwrap().len(), 40);
    }
}

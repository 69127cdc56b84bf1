//! Secrets of plugins. Sidecars name where a value comes from: a file, an environment variable, or a credential of
//! systemd. The value itself is in none of the host's own files.

mod environment;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::files::links::LinkRoots;

pub(crate) use environment::take_environment;
pub use environment::{ENVIRONMENT_PREFIX, EnvironmentError};

/// The largest secret, in bytes.
const MAX_BYTES: u64 = 64 << 10;

/// Settings of secrets.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SecretsConfig {
    /// The directories whose files sidecars may name.
    pub directories: Vec<PathBuf>,
}

impl Default for SecretsConfig {
    fn default() -> Self {
        Self { directories: vec![PathBuf::from("/run/secrets")] }
    }
}

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SecretSource {
    /// A file below one of the configured directories. A line break at its end does not count.
    File(PathBuf),
    /// The environment variable `SANDBUS_SECRET_NAME`, by its name after the prefix.
    Env(String),
    /// A credential of the systemd service, by its name.
    Credential(String),
}

impl fmt::Display for SecretSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "the file {}", path.display()),
            Self::Env(name) => write!(formatter, "the environment variable {ENVIRONMENT_PREFIX}{name}"),
            Self::Credential(name) => write!(formatter, "the credential `{name}`"),
        }
    }
}

/// Why a secret cannot be read. The message does not contain its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The file of a secret cannot be read.
    #[error("cannot read the secret file {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not, and what to do.
        reason: String,
    },
    /// The environment variable is not set.
    #[error("the environment variable {ENVIRONMENT_PREFIX}{0} is not set, or is empty; set it, and restart the host")]
    NoVariable(String),
    /// The host was not started by systemd with credentials.
    #[error(
        "the credential `{0}` does not exist, because CREDENTIALS_DIRECTORY is not set; add LoadCredential={0} to the systemd service"
    )]
    NoCredentials(String),
    /// The name of a credential is the name of no file.
    #[error("`{0}` is not the name of a credential; write a name without `/`, as in LoadCredential=")]
    CredentialName(String),
}

/// Reads secrets.
#[derive(Clone, Debug, Default)]
pub struct SecretStore {
    directories: Arc<[PathBuf]>,
    roots: LinkRoots,
    environment: Arc<Variables>,
    credentials: Option<Arc<Path>>,
}

/// The secrets of the environment, which debug output does not show.
#[derive(Default)]
struct Variables(BTreeMap<String, String>);

impl std::fmt::Debug for Variables {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

impl SecretStore {
    /// The secrets that this process may read.
    #[must_use]
    pub fn new(config: &SecretsConfig) -> Self {
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from).map(Arc::from);
        Self::with(config.directories.clone(), environment::taken(), credentials)
    }

    fn with(directories: Vec<PathBuf>, environment: BTreeMap<String, String>, credentials: Option<Arc<Path>>) -> Self {
        let roots = LinkRoots::new(directories.iter().cloned());
        Self { directories: directories.into(), roots, environment: Arc::new(Variables(environment)), credentials }
    }

    /// Reads a secret. Blocks.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(&self, source: &SecretSource) -> Result<String, SecretError> {
        match source {
            SecretSource::File(path) => self.read_file(path),
            SecretSource::Env(name) => {
                let value = self.environment.0.get(name.strip_prefix(ENVIRONMENT_PREFIX).unwrap_or(name));
                let value = value.filter(|value| !value.is_empty());
                value.cloned().ok_or_else(|| SecretError::NoVariable(name.clone()))
            }
            SecretSource::Credential(name) => {
                let path = self.credential(name)?;
                let fail = |reason| SecretError::File { path: path.clone(), reason };
                let roots = LinkRoots::new(path.parent().map(Path::to_owned));
                read_value(roots.open(&path).map_err(|error| fail(error.to_string()))?).map_err(fail)
            }
        }
    }

    /// The file that a secret is read from, if it comes from a file.
    pub(crate) fn file_of(&self, source: &SecretSource) -> Option<PathBuf> {
        match source {
            SecretSource::File(path) => Some(path.clone()),
            SecretSource::Env(_) => None,
            SecretSource::Credential(name) => self.credential(name).ok(),
        }
    }

    fn read_file(&self, path: &Path) -> Result<String, SecretError> {
        let fail = |reason| SecretError::File { path: path.to_owned(), reason };
        let file = self.roots.open(path).map_err(|error| {
            fail(match error.kind() {
                io::ErrorKind::PermissionDenied if self.is_outside(path) => {
                    let directories: Vec<_> = self.directories.iter().map(|one| one.display().to_string()).collect();
                    let directories = if directories.is_empty() { "none".to_owned() } else { directories.join(", ") };
                    format!("it is outside the directories of secrets ({directories}); move it there, or add its directory to [secrets] directories in sandbus.toml")
                }
                _ => error.to_string(),
            })
        })?;
        read_value(file).map_err(fail)
    }

    fn is_outside(&self, path: &Path) -> bool {
        self.roots.resolve(path).is_err()
    }

    fn credential(&self, name: &str) -> Result<PathBuf, SecretError> {
        if name.is_empty() || name.contains('/') || name == "." || name == ".." {
            return Err(SecretError::CredentialName(name.to_owned()));
        }
        let directory = self.credentials.as_deref().ok_or_else(|| SecretError::NoCredentials(name.to_owned()))?;
        Ok(directory.join(name))
    }
}

/// Reads the value of a secret.
fn read_value(file: std::fs::File) -> Result<String, String> {
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let mut value = String::new();
    let read = file.take(MAX_BYTES + 1).read_to_string(&mut value);
    read.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => "it is not UTF-8; encode it, such as in base64".to_owned(),
        _ => error.to_string(),
    })?;
    if value.len() as u64 > MAX_BYTES {
        return Err(format!("it has more than {MAX_BYTES} bytes"));
    }
    let length = value.strip_suffix('\n').map_or(value.len(), |text| text.strip_suffix('\r').unwrap_or(text).len());
    value.truncate(length);
    if value.is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_from_its_source() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        std::fs::create_dir(path("secrets")).unwrap();
        std::fs::create_dir(path("secrets/directory")).unwrap();
        for (name, content) in [
            ("secrets/key", "s3cret\n"),
            ("secrets/windows", "s3cret\r\n"),
            ("secrets/lines", "a\nb\n\n"),
            ("secrets/empty", "\n"),
            ("outside", "s3cret"),
            ("stripe", "cr3dential"),
        ] {
            std::fs::write(path(name), content).unwrap();
        }
        std::fs::write(path("secrets/binary"), b"\xff").unwrap();
        std::fs::write(path("secrets/large"), vec![b'a'; 70_000]).unwrap();
        std::os::unix::fs::symlink(path("outside"), path("secrets/link")).unwrap();
        let environment = BTreeMap::from([("TOKEN".to_owned(), "t0ken".to_owned())]);
        let store = SecretStore::with(vec![path("secrets")], environment, Some(Arc::from(home.path())));
        let file = |name: &str| SecretSource::File(path(name));
        for (source, expected) in [
            (file("secrets/key"), "s3cret"),
            (file("secrets/windows"), "s3cret"),
            (file("secrets/lines"), "a\nb\n"),
            (SecretSource::Env("TOKEN".to_owned()), "t0ken"),
            (SecretSource::Env("SANDBUS_SECRET_TOKEN".to_owned()), "t0ken"),
            (SecretSource::Credential("stripe".to_owned()), "cr3dential"),
        ] {
            assert_eq!(store.read(&source).as_deref(), Ok(expected), "{source:?}");
        }
        for (source, words) in [
            (file("secrets/missing"), "No such file"),
            (file("secrets/empty"), "it is empty"),
            (file("secrets/binary"), "not UTF-8"),
            (file("secrets/large"), "more than 65536 bytes"),
            (file("secrets/directory"), "not a regular file"),
            (file("outside"), "outside the directories of secrets"),
            (file("secrets/link"), "outside the directories of secrets"),
            (file("secrets/../outside"), "outside the directories of secrets"),
            (SecretSource::Env("OTHER".to_owned()), "SANDBUS_SECRET_OTHER is not set"),
            (SecretSource::Credential("missing".to_owned()), "No such file"),
            (SecretSource::Credential("../outside".to_owned()), "not the name of a credential"),
        ] {
            let refused = store.read(&source).map_err(|error| error.to_string());
            assert!(refused.as_ref().is_err_and(|reason| reason.contains(words)), "{source:?}: {refused:?}");
            assert!(!format!("{refused:?}").contains("s3cret"));
        }
        let without = SecretStore::with(Vec::new(), BTreeMap::new(), None);
        let error = without.read(&SecretSource::Credential("stripe".to_owned())).unwrap_err().to_string();
        assert!(error.contains("LoadCredential=stripe"), "{error}");
        assert!(!format!("{store:?}").contains("t0ken"));
    }
}

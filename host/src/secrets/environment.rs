//! Secrets in environment variables, which the process removes from its environment.
//!
//! The kernel shows the environment that a process started with to all processes of the same user (proc(5),
//! `/proc/PID/environ`), and removing a variable later does not change that. The process therefore executes itself
//! again without the variables, and hands their values over in an anonymous file.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use rustix::fs::MemfdFlags;

/// The beginning of the names of all secrets in the environment.
pub const ENVIRONMENT_PREFIX: &str = "SANDBUS_SECRET_";
/// The variable with the descriptor of the anonymous file.
const DESCRIPTOR: &str = "SANDBUS_SECRETS_FD";
/// The name of the anonymous file, as the kernel shows it.
const FILE_NAME: &str = "sandbus-secrets";

/// The secrets that were removed from the environment.
static TAKEN: OnceLock<BTreeMap<String, String>> = OnceLock::new();

/// Why the secrets cannot be removed from the environment.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// A variable is not UTF-8.
    #[error("the environment variable {0} is not UTF-8; encode its value, such as in base64")]
    Encoding(String),
    /// The process cannot execute itself again.
    #[error("cannot remove secrets from the environment: {0}; give them as files instead")]
    Handover(#[from] io::Error),
}

/// Removes the secrets from the environment. Executes the process again if there are any, so call it before anything
/// else.
///
/// # Errors
/// If a secret is not UTF-8, or the process cannot be executed again.
pub(crate) fn take_environment() -> Result<(), EnvironmentError> {
    let mut secrets = received()?;
    let mut names = Vec::new();
    for (variable, value) in std::env::vars_os() {
        if !variable.as_encoded_bytes().starts_with(ENVIRONMENT_PREFIX.as_bytes()) {
            continue;
        }
        let unreadable = || EnvironmentError::Encoding(variable.to_string_lossy().into_owned());
        let name = variable.to_str().ok_or_else(unreadable)?[ENVIRONMENT_PREFIX.len()..].to_owned();
        let value =
            value.into_string().map_err(|_| EnvironmentError::Encoding(format!("{ENVIRONMENT_PREFIX}{name}")))?;
        secrets.insert(name, value);
        names.push(variable);
    }
    if names.is_empty() {
        // The first call decides. There is only one.
        TAKEN.set(secrets).ok();
        return Ok(());
    }
    let file = hand_over(&secrets)?;
    let mut arguments = std::env::args_os();
    let mut command = Command::new(executable());
    command.arg0(arguments.next().unwrap_or_default()).args(arguments);
    command.env(DESCRIPTOR, file.as_raw_fd().to_string());
    for name in names {
        command.env_remove(name);
    }
    // Returns only if it fails.
    Err(command.exec().into())
}

/// The file of this process. The name of a file that was replaced since would lead to another program.
fn executable() -> PathBuf {
    const OPENED: &str = "/proc/self/exe";
    // The kernel marks a file that was deleted in this way, and another file may have that name.
    let is_deleted = |path: &PathBuf| path.as_os_str().as_encoded_bytes().ends_with(b" (deleted)");
    let same = |path: &PathBuf| !is_deleted(path) && path.canonicalize().is_ok_and(|file| file == *path);
    std::env::current_exe().ok().filter(same).unwrap_or_else(|| OPENED.into())
}

/// The secrets that were removed from the environment, by their names without the prefix.
pub(super) fn taken() -> BTreeMap<String, String> {
    TAKEN.get().cloned().unwrap_or_default()
}

/// Writes the secrets to an anonymous file, which the executed process inherits.
fn hand_over(secrets: &BTreeMap<String, String>) -> io::Result<OwnedFd> {
    let descriptor = rustix::fs::memfd_create(FILE_NAME, MemfdFlags::empty())?;
    let mut file = File::from(descriptor);
    file.write_all(&serde_json::to_vec(secrets)?)?;
    Ok(file.into())
}

/// Reads the anonymous file of the process before, if there is one, and empties it: child processes inherit it, too.
fn received() -> io::Result<BTreeMap<String, String>> {
    let Some(descriptor) = std::env::var(DESCRIPTOR).ok().and_then(|number| number.parse::<u32>().ok()) else {
        return Ok(BTreeMap::new());
    };
    let path = PathBuf::from(format!("/proc/self/fd/{descriptor}"));
    let is_ours =
        std::fs::read_link(&path).is_ok_and(|name| name.to_string_lossy().starts_with(&format!("/memfd:{FILE_NAME}")));
    if !is_ours {
        return Ok(BTreeMap::new());
    }
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    file.set_len(0)?;
    // A child process finds the file empty.
    if text.is_empty() { Ok(BTreeMap::new()) } else { Ok(serde_json::from_str(&text)?) }
}

//! The file of a Unix socket: private, not taken from a running host, and removed at the end.

use std::fs::{self, Metadata, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixSocket};

/// Only the user of the host may connect.
const PRIVATE: u32 = 0o600;
/// The number of connections that wait to be accepted.
const BACKLOG: u32 = 128;

/// The reason why a socket cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another process accepts connections on it.
    #[error("the socket {} is in use by another process; stop that process, or choose another path", .0.display())]
    InUse(PathBuf),
    /// The file is not a socket.
    #[error("the file {} is not a socket; move it away, or choose another path for the socket", .0.display())]
    NotASocket(PathBuf),
    /// The system refuses it.
    #[error("cannot listen on the socket {}: {source}; choose a path in a directory that the host can write to", .path.display())]
    Refused {
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// The file of a bound socket. It is removed with this value, unless it belongs to another socket by then.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl SocketFile {
    /// Binds a socket to a path. Replaces a socket on which nobody accepts connections.
    pub(super) fn bind(path: &Path) -> Result<(UnixListener, Self), SocketError> {
        remove_stale(path)?;
        let refused = |source| SocketError::Refused { path: path.to_owned(), source };
        let socket = UnixSocket::new_stream().map_err(refused)?;
        socket.bind(path).map_err(refused)?;
        let bound = Self { path: path.to_owned(), identity: identity(path) };
        // Nobody can connect before `listen`, so nobody connects with wider permissions.
        fs::set_permissions(path, Permissions::from_mode(PRIVATE)).map_err(refused)?;
        Ok((socket.listen(BACKLOG).map_err(refused)?, bound))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// The device and the number of a file.
fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|found: Metadata| (found.dev(), found.ino()))
}

/// Removes a socket that a host has left behind. Any other file stays.
fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let refused = |source| SocketError::Refused { path: path.to_owned(), source };
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refused(error)),
    };
    if !found.file_type().is_socket() {
        return Err(SocketError::NotASocket(path.to_owned()));
    }
    // The probe is a datagram socket: connecting it to a stream socket always fails at once, so it never waits in the
    // queue of a hung host. The error is a refusal only if no process has the socket open.
    match UnixDatagram::unbound().and_then(|probe| probe.connect(path)) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(refused),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(refused(error)),
        Ok(_) | Err(_) => Err(SocketError::InUse(path.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn a_socket_is_private_and_ends_with_its_listener() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("admin.sock");
        let bound = SocketFile::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, PRIVATE);
        assert!(UnixStream::connect(&path).is_ok());
        assert!(matches!(SocketFile::bind(&path), Err(SocketError::InUse(_))));
        drop(bound);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_other_files_are_not() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("admin.sock");
        // The standard library's listener leaves its file behind.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        assert!(SocketFile::bind(&path).is_ok());
        for (name, is_link) in [("file", false), ("link", true)] {
            let other = home.path().join(name);
            match is_link {
                true => std::os::unix::fs::symlink("/nonexistent", &other).unwrap(),
                false => fs::write(&other, "precious").unwrap(),
            }
            assert!(matches!(SocketFile::bind(&other), Err(SocketError::NotASocket(_))), "{name}");
            assert!(other.symlink_metadata().is_ok(), "{name}");
        }
        let nowhere = home.path().join("absent/admin.sock");
        assert!(matches!(SocketFile::bind(&nowhere), Err(SocketError::Refused { .. })));
    }

    #[tokio::test]
    async fn the_socket_of_another_listener_stays() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("admin.sock");
        let first = SocketFile::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        // Another link keeps the inode number of the first file in use.
        let second = SocketFile::bind(&path).unwrap();
        let is_reused = first.1.identity == second.1.identity;
        drop(first);
        assert!(is_reused || path.exists());
    }
}

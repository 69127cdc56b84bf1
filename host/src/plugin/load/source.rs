//! Reads untrusted files. Never reads more than a limit, never blocks on a pipe, and reads a plugin's file only once
//! its outline shows that it can be a component.

use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::screening::{self, ScreeningError};
use crate::files::links::LinkRoots;
use crate::plugin::manifest::digest::Digest;

/// The largest component, in bytes. Those with a scripting language's runtime have some 20 MB.
pub const FILE_LIMIT_BYTES: u64 = 256 << 20;

/// The largest sidecar, in bytes.
pub(crate) const SIDECAR_LIMIT_BYTES: u64 = 1 << 20;

/// Whether to follow symbolic links.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Symlinks<'a> {
    /// Follow them: a person gave the path.
    Follow,
    /// Refuse them: others may write to the folder.
    Refuse,
    /// Follow them if they lead into these directories.
    Within(&'a LinkRoots),
}

/// Why a plugin's file is not read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The system refuses to read it, or it is not a regular file.
    #[error(transparent)]
    Unread(#[from] io::Error),
    /// The file is too large.
    #[error(
        "it has {0} bytes, and a plugin has at most {FILE_LIMIT_BYTES}; strip its debug information, and load large data over HTTP"
    )]
    TooLarge(u64),
    /// Its outline is not that of a component.
    #[error(transparent)]
    Unsuitable(#[from] ScreeningError),
}

/// Reads a plugin's file. Its length, its first bytes and the headers of its sections are checked before, with little
/// memory.
///
/// # Errors
/// If it cannot be read, or cannot be a plugin.
pub(crate) fn read_plugin(path: &Path, links: Symlinks<'_>) -> Result<Vec<u8>, SourceError> {
    let mut file = open(path, links)?;
    let length = file.metadata()?.len();
    if length > FILE_LIMIT_BYTES {
        return Err(SourceError::TooLarge(length));
    }
    screening::check_outline(&file, length)??;
    file.rewind()?;
    read_bounded(file, FILE_LIMIT_BYTES)?.map_err(SourceError::TooLarge)
}

/// Reads a regular file of at most this many bytes. The inner error is the size of a larger one.
///
/// # Errors
/// If it cannot be read, or is not a regular file.
pub(crate) fn read(path: &Path, links: Symlinks<'_>, most_bytes: u64) -> io::Result<Result<Vec<u8>, u64>> {
    let file = open(path, links)?;
    match file.metadata()?.len() {
        length if length > most_bytes => Ok(Err(length)),
        _ => read_bounded(file, most_bytes),
    }
}

/// Reads the text of a sidecar whose path a person gave.
///
/// # Errors
/// If it cannot be read, is too large, or is not text.
pub(crate) fn read_sidecar(path: &Path) -> io::Result<String> {
    read_text(path, Symlinks::Follow)
}

/// Reads the text of a sidecar in the plugin folder.
///
/// # Errors
/// As [`read_sidecar`], or if it is a symbolic link that leads elsewhere than into these directories.
pub(crate) fn read_sidecar_of_folder(path: &Path, roots: &LinkRoots) -> io::Result<String> {
    read_text(path, Symlinks::Within(roots))
}

fn read_text(path: &Path, links: Symlinks<'_>) -> io::Result<String> {
    let bytes = read(path, links, SIDECAR_LIMIT_BYTES)?.map_err(|length| {
        io::Error::other(format!("it has {length} bytes; a sidecar has at most {SIDECAR_LIMIT_BYTES}"))
    })?;
    String::from_utf8(bytes).map_err(|_| io::Error::other("the file is not UTF-8"))
}

/// The digest of a regular file, which is not read into memory as a whole.
///
/// # Errors
/// If it cannot be read, or is not a regular file.
pub(crate) fn digest(path: &Path, links: Symlinks<'_>) -> io::Result<Digest> {
    Digest::of_file(open(path, links)?)
}

fn read_bounded(file: File, most_bytes: u64) -> io::Result<Result<Vec<u8>, u64>> {
    let length = file.metadata()?.len().min(most_bytes);
    // One more byte detects the end without another allocation.
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 1);
    // The file may grow while it is read.
    file.take(most_bytes + 1).read_to_end(&mut bytes)?;
    let length = bytes.len() as u64;
    Ok(if length > most_bytes { Err(length) } else { Ok(bytes) })
}

/// Opens a regular file. Neither waits for the writer of a pipe nor triggers the side effects of opening a device, even
/// if the file is replaced at that moment.
fn open(path: &Path, links: Symlinks<'_>) -> io::Result<File> {
    use rustix::fs::OFlags;
    let refuse = |file_type: FileType| irregular(file_type).map_or(Ok(()), |reason| Err(io::Error::other(reason)));
    let own_metadata = path.symlink_metadata()?;
    let (metadata, flags) = match links {
        Symlinks::Follow => (path.metadata()?, OFlags::NONBLOCK),
        Symlinks::Within(roots) if own_metadata.is_symlink() => {
            refuse(roots.resolve(path)?.symlink_metadata()?.file_type())?;
            let file = roots.open(path)?;
            refuse(file.metadata()?.file_type())?;
            return Ok(file);
        }
        Symlinks::Refuse | Symlinks::Within(_) => (own_metadata, OFlags::NONBLOCK | OFlags::NOFOLLOW),
    };
    refuse(metadata.file_type())?;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    refuse(file.metadata()?.file_type())?;
    Ok(file)
}

/// Why a file is not a regular one, if it is not.
pub(crate) fn irregular(file_type: FileType) -> Option<&'static str> {
    match () {
        () if file_type.is_file() => None,
        () if file_type.is_symlink() => Some(
            "it is a symbolic link, which could lead anywhere; put the file itself there, or add the directory that it leads into to `link_roots` in sandbus.toml",
        ),
        () if file_type.is_dir() => Some("it is a directory; put the file itself there"),
        () if file_type.is_fifo() => Some("it is a named pipe; put a regular file there"),
        () if file_type.is_socket() => Some("it is a socket; put a regular file there"),
        () => Some("it is a device; put a regular file there"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    /// The peak memory of this process, in bytes (proc(5), `VmHWM`).
    fn peak_bytes() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    #[test]
    fn a_file_whose_sections_fill_it_is_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wasm");
        let large = format!("(module (memory 1) (data (i32.const 0) \"{}\"))", "x".repeat(100_000));
        for text in ["(module)", "(component)", "(component (core module (func)) (component))", &large] {
            let bytes = wat::parse_str(text).unwrap();
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(read_plugin(&path, Symlinks::Refuse).unwrap(), bytes);
            std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
            let error = read_plugin(&path, Symlinks::Refuse).unwrap_err().to_string();
            assert!(error.contains("truncated"), "{error}");
        }
    }

    /// Sparse files take no space on disk, but would take their full length in memory.
    #[test]
    fn a_file_that_cannot_be_a_plugin_is_refused_unread() {
        let folder = tempfile::tempdir().unwrap();
        let sparse = |name: &str, begin: &[u8], length: u64| {
            let path = folder.path().join(name);
            std::fs::write(&path, begin).unwrap();
            File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
            path
        };
        let module = b"\0asm\x01\0\0\0";
        let component = b"\0asm\x0d\0\x01\0";
        let before = peak_bytes();
        for (begin, length, words) in [
            (&b""[..], FILE_LIMIT_BYTES + 1, "a plugin has at most"),
            (module, 1 << 40, "a plugin has at most"),
            (b"", FILE_LIMIT_BYTES, "not WebAssembly"),
            (b"\x1f\x8b\x08", FILE_LIMIT_BYTES, "compressed"),
            (b"\x7fELF", FILE_LIMIT_BYTES, "for a processor"),
            (module, FILE_LIMIT_BYTES, "malformed"),
            (component, FILE_LIMIT_BYTES, "malformed"),
            // A section longer than the file, and one with an invalid length.
            (b"\0asm\x01\0\0\0\x01\xff\xff\xff\xff\x0f", FILE_LIMIT_BYTES, "truncated"),
            (b"\0asm\x01\0\0\0\x01\xff\xff\xff\xff\xff\xff", FILE_LIMIT_BYTES, "malformed"),
            (b"\0asm\x01\0\0\0\x01", 9, "truncated"),
            (b"\0asm", 4, "truncated"),
            (b"", 0, "it is empty"),
        ] {
            let error = read_plugin(&sparse("a.wasm", begin, length), Symlinks::Refuse).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("; "), "{words}: {error}");
        }
        assert!(peak_bytes() - before < 192 << 20, "{} bytes", peak_bytes() - before);
    }

    #[test]
    fn irregular_files_are_refused_without_blocking() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), [7; 100]).unwrap();
        std::fs::create_dir(path("directory")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, path("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .unwrap();
        let _socket = UnixListener::bind(path("socket")).unwrap();
        for (link, target) in [("link", "file"), ("dangling", "nowhere"), ("loop", "loop"), ("to-pipe", "pipe")] {
            symlink(path(target), path(link)).unwrap();
        }
        symlink("/dev/zero", path("device")).unwrap();
        for (name, refused, followed) in [
            ("file", None, None),
            ("directory", Some("directory"), Some("directory")),
            ("pipe", Some("named pipe"), Some("named pipe")),
            ("socket", Some("socket"), Some("socket")),
            ("link", Some("symbolic link"), None),
            ("dangling", Some("symbolic link"), Some("No such file")),
            ("loop", Some("symbolic link"), Some("symbolic links")),
            ("to-pipe", Some("symbolic link"), Some("named pipe")),
            ("device", Some("symbolic link"), Some("device")),
            ("missing", Some("No such file"), Some("No such file")),
        ] {
            for (links, words) in [(Symlinks::Refuse, refused), (Symlinks::Follow, followed)] {
                let found = read(&path(name), links, 100).map_err(|error| error.to_string());
                match words {
                    None => assert_eq!(found, Ok(Ok(vec![7; 100])), "{name} {links:?}"),
                    Some(words) => {
                        assert!(found.as_ref().is_err_and(|error| error.contains(words)), "{name}: {found:?}")
                    }
                }
                assert_eq!(digest(&path(name), links).is_ok(), words.is_none(), "{name} {links:?}");
            }
        }
        assert_eq!(read(&path("file"), Symlinks::Refuse, 99).unwrap(), Err(100));
        assert_eq!(digest(&path("file"), Symlinks::Refuse).unwrap(), Digest::of(&[7; 100]));
    }
}

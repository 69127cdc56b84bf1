//! The files of the audit log. Each is named by the number of its first entry.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::files;

const EXTENSION: &str = "jsonl";

/// The files of a log, oldest first.
#[derive(Debug)]
pub(super) struct Segments(Vec<(u64, PathBuf)>);

impl Segments {
    /// The files in a directory. A missing directory has none.
    pub(super) fn of(directory: &Path) -> io::Result<Self> {
        let entries = match std::fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self(Vec::new())),
            entries => entries?,
        };
        let mut segments = Vec::new();
        for entry in entries {
            let entry = entry?;
            // Opening a pipe would wait for its other end.
            if !entry.file_type()?.is_file() {
                continue;
            }
            let path = entry.path();
            let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            if let Some(number) = number.filter(|_| path.extension().is_some_and(|extension| extension == EXTENSION)) {
                segments.push((number, path));
            }
        }
        segments.sort();
        Ok(Self(segments))
    }

    pub(super) fn oldest_first(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|(_, path)| path.as_path())
    }

    /// The files with the numbers of their first entries, oldest first.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (u64, &Path)> {
        self.0.iter().map(|(number, path)| (*number, path.as_path()))
    }

    pub(super) fn newest_first(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().rev().map(|(_, path)| path.as_path())
    }

    /// Deletes the oldest files until the rest have at most `max_bytes`. Keeps the newest file.
    pub(super) fn remove_oldest_beyond(&self, max_bytes: u64) -> io::Result<()> {
        let mut sizes = Vec::new();
        for path in self.oldest_first() {
            sizes.push((path, std::fs::metadata(path)?.len()));
        }
        let mut total: u64 = sizes.iter().map(|(_, bytes)| bytes).sum();
        sizes.pop();
        for (path, bytes) in sizes {
            if total <= max_bytes {
                break;
            }
            std::fs::remove_file(path)?;
            total -= bytes;
        }
        Ok(())
    }
}

/// A file that is written.
#[derive(Debug)]
pub(super) struct LogFile {
    file: File,
    path: PathBuf,
    /// The length of the whole lines.
    bytes: u64,
}

impl LogFile {
    /// Creates a file for the entries from a number on.
    pub(super) fn create(directory: &Path, first: u64) -> io::Result<Self> {
        files::make_directory(directory)?;
        let path = directory.join(format!("{first:020}.{EXTENSION}"));
        let file = files::open_private(&path)?;
        // After a failed write, a file may have no complete line.
        file.set_len(0)?;
        files::sync_directory(directory)?;
        Ok(Self { file, path, bytes: 0 })
    }

    /// Opens a file, and removes a line without an end. Returns its text.
    pub(super) fn open(path: &Path) -> io::Result<(Self, String)> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if whole < bytes.len() {
            tracing::warn!(file = %path.display(), "the last entry of the audit log was cut off and is removed");
            file.set_len(whole as u64)?;
            file.sync_all()?;
            bytes.truncate(whole);
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok((Self { file, path: path.to_owned(), bytes: whole as u64 }, text))
    }

    /// Whether the path still leads to this file. Otherwise, entries would be written to a file that was deleted or
    /// renamed.
    pub(super) fn is_in_place(&self) -> bool {
        let named = std::fs::metadata(&self.path).map(|metadata| (metadata.dev(), metadata.ino()));
        let own = self.file.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
        matches!((named, own), (Ok(named), Ok(own)) if named == own)
    }

    /// The length.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends a line durably. After a failure, the next line replaces what was written of this one.
    pub(super) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.bytes))?;
        let written = self.file.write_all(line).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => {
                self.bytes += line.len() as u64;
                Ok(())
            }
            Err(error) => {
                // If this fails as well, the next line overwrites the rest.
                drop(self.file.set_len(self.bytes));
                Err(error)
            }
        }
    }
}

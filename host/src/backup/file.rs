//! The file of a backup: private, and complete or absent.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::error::BackupError;
use super::manifest::Manifest;
use super::reader::verify;
use crate::clock::Timestamp;
use crate::files;

/// The file of a backup that is being written, under a temporary name. Dropping it deletes what was written.
#[derive(Debug)]
pub struct BackupFile {
    path: PathBuf,
    partial: PathBuf,
}

/// The path of a backup: the given file, or a new one in the given directory.
#[must_use]
pub fn target_in(target: &Path, now: Timestamp) -> PathBuf {
    if !target.is_dir() {
        return target.to_owned();
    }
    let time = now.to_string().replace(['-', ':'], "");
    target.join(format!("sandbus-{time}.tar"))
}

impl BackupFile {
    /// Begins a backup.
    ///
    /// # Errors
    /// If the file exists, or its directory does not.
    pub fn create(path: &Path) -> Result<(Self, File), BackupError> {
        if path.symlink_metadata().is_ok() {
            return Err(BackupError::Exists { path: path.to_owned(), hint: "choose another name" });
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".partial-{}", std::process::id()));
        let partial = path.with_file_name(name);
        // A process that was killed may have left this file. It is deleted and created again, because in a shared
        // directory it could be a link.
        drop(std::fs::remove_file(&partial));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial);
        let file = file.map_err(BackupError::of(&partial))?;
        Ok((Self { path: path.to_owned(), partial }, file))
    }

    /// The directory of the file.
    #[must_use]
    pub fn directory(&self) -> &Path {
        files::parent(&self.path)
    }

    /// Verifies what was written, makes it durable, and gives it its name.
    ///
    /// # Errors
    /// If it is incomplete, or the file cannot be written.
    pub fn finish(self) -> Result<Manifest, BackupError> {
        let failed = BackupError::of(&self.partial);
        File::open(&self.partial).and_then(|file| file.sync_all()).map_err(&failed)?;
        let manifest = verify(&self.partial)?;
        std::fs::rename(&self.partial, &self.path).map_err(&failed)?;
        files::sync_directory(self.directory()).map_err(&failed)?;
        Ok(manifest)
    }
}

impl Drop for BackupFile {
    fn drop(&mut self) {
        // After the renaming there is nothing to delete.
        drop(std::fs::remove_file(&self.partial));
    }
}

//! Restores a backup into directories, completely or not at all.
//!
//! A directory is written next to its final path, and renamed at the end. The data directory is renamed last.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::error::BackupError;
use super::manifest::{DATA, Manifest, Member, PLUGINS};
use super::reader::{check_store, read_verified, verify};
use crate::clock::Timestamp;
use crate::files;
use crate::files::sealed::hex;
use crate::lock::Locked;

/// Where a backup is restored.
#[derive(Clone, Debug)]
pub struct Target {
    /// The data directory.
    pub data: PathBuf,
    /// The plugin folder. None leaves out the plugins.
    pub plugins: Option<PathBuf>,
    /// Whether existing directories are moved aside.
    pub replace: bool,
}

/// A backup that was restored.
#[derive(Clone, Debug)]
pub struct Restored {
    /// Its content.
    pub manifest: Manifest,
    /// The directories that were moved aside.
    pub moved: Vec<PathBuf>,
}

/// Verifies a backup, and restores it. Blocks.
///
/// # Errors
/// If the backup cannot be used, a host uses the data directory, or a directory is not empty and is not to be replaced.
pub fn restore(file: &Path, target: &Target, now: Timestamp) -> Result<Restored, BackupError> {
    let manifest = verify(file)?;
    let data = Place::of(&target.data)?;
    let plugins = target.plugins.as_deref().map(Place::of).transpose()?;
    if let Some(plugins) = &plugins
        && (plugins.path.starts_with(&data.path) || data.path.starts_with(&plugins.path))
    {
        let error = io::Error::other("the plugin folder and the data directory must not contain each other");
        return Err(BackupError::File { path: plugins.path.clone(), error });
    }
    // Held until the old directory is moved aside, so that no host starts in it.
    let in_use = data.lock_existing()?;
    data.check_free(target.replace)?;
    let plugins = match plugins {
        Some(plugins) if plugins.has_files(&manifest)? => None,
        Some(plugins) => {
            plugins.check_free(target.replace)?;
            Some(plugins)
        }
        None => None,
    };
    let data_parts = data.begin(true)?;
    let plugin_parts = plugins.as_ref().map(|plugins| plugins.begin(false)).transpose()?;
    let below = |member: &str| path_in(&data, plugins.as_ref(), member);
    let written = write(file, below)?;
    if written != manifest {
        return Err(BackupError::unusable(file, "it changed while it was restored"));
    }
    check_store(file, &data.partial.join("bus.db"), &manifest)?;
    // Somebody may have begun to use the directories since then.
    let _in_use = if in_use.is_none() { data.lock_existing()? } else { in_use };
    data.check_free(target.replace)?;
    if let Some(plugins) = &plugins {
        plugins.check_free(target.replace)?;
    }
    let mut moved = Vec::new();
    if let Some(plugins) = plugins {
        moved.extend(plugins.commit(now)?);
    }
    moved.extend(data.commit(now)?);
    drop((data_parts, plugin_parts));
    Ok(Restored { manifest, moved })
}

/// Where a member is written. None for a member that is left out.
fn path_in(data: &Place, plugins: Option<&Place>, member: &str) -> Option<PathBuf> {
    let member = Member { name: member.to_owned(), bytes: 0, sha256: String::new() };
    if let Some(name) = member.path_in(DATA) {
        return Some(data.partial.join(name));
    }
    Some(plugins?.partial.join(member.path_in(PLUGINS)?))
}

/// Writes the members, durably.
fn write(file: &Path, path_of: impl Fn(&str) -> Option<PathBuf>) -> Result<Manifest, BackupError> {
    let mut directories = BTreeSet::new();
    let open = |name: &str| -> Result<Output, BackupError> {
        let Some(path) = path_of(name) else { return Ok(Output(None)) };
        let failed = BackupError::of(&path);
        files::make_directory(files::parent(&path)).map_err(&failed)?;
        directories.insert(files::parent(&path).to_owned());
        Ok(Output(Some(files::open_private(&path).map_err(&failed)?)))
    };
    let close = |name: &str, output: Output| match output.0 {
        Some(file) => file.sync_all().map_err(|error| BackupError::Member { member: name.to_owned(), error }),
        None => Ok(()),
    };
    let manifest = read_verified(file, open, close)?;
    for directory in directories {
        files::sync_directory(&directory).map_err(BackupError::of(&directory))?;
    }
    Ok(manifest)
}

/// A file, or nothing for a member that is left out.
struct Output(Option<File>);

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.as_mut().map_or(Ok(bytes.len()), |file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A directory to be restored.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    /// The directory under its temporary name.
    partial: PathBuf,
}

/// Deletes a directory that was not completed. Holds its lock.
#[derive(Debug)]
struct Partial {
    path: PathBuf,
    _lock: Option<Locked>,
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After the renaming there is nothing to delete.
        drop(std::fs::remove_dir_all(&self.path));
    }
}

impl Place {
    fn of(path: &Path) -> Result<Self, BackupError> {
        let failed = BackupError::of(path);
        // A link to a directory stays, and leads to the restored one.
        let path = if path.exists() { path.canonicalize() } else { std::path::absolute(path) }.map_err(&failed)?;
        let Some(name) = path.file_name() else {
            return Err(failed(io::Error::other("a directory with a name is needed")));
        };
        let mut partial = name.to_owned();
        partial.push(".restoring");
        let partial = path.with_file_name(partial);
        Ok(Self { path, partial })
    }

    fn is_empty(&self) -> Result<bool, BackupError> {
        match std::fs::read_dir(&self.path) {
            Ok(mut entries) => Ok(entries.next().is_none()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(BackupError::File { path: self.path.clone(), error }),
        }
    }

    /// Locks a data directory that has files.
    fn lock_existing(&self) -> Result<Option<Locked>, BackupError> {
        if self.is_empty()? {
            return Ok(None);
        }
        let lock = Locked::try_new(&self.path).map_err(BackupError::of(&self.path))?;
        let in_use =
            || BackupError::InUse { path: self.path.clone(), hint: "stop the host, or name another directory" };
        lock.map(Some).ok_or_else(in_use)
    }

    fn check_free(&self, replace: bool) -> Result<(), BackupError> {
        if replace || self.is_empty()? {
            return Ok(());
        }
        let hint = "name another directory, or move this one aside with --replace";
        Err(BackupError::Exists { path: self.path.clone(), hint })
    }

    /// Whether the plugin folder already has exactly the files of a backup, for example from a restore that was killed.
    fn has_files(&self, manifest: &Manifest) -> Result<bool, BackupError> {
        let entries = match std::fs::read_dir(&self.path) {
            Ok(entries) => entries.count(),
            Err(_) => return Ok(false),
        };
        if entries != manifest.plugin_files() {
            return Ok(false);
        }
        let files = manifest.members.iter().filter_map(|member| Some((member, member.path_in(PLUGINS)?)));
        Ok(files.into_iter().all(|(member, name)| {
            std::fs::read(self.path.join(name)).is_ok_and(|bytes| hex(&Sha256::digest(bytes)) == member.sha256)
        }))
    }

    /// Begins to write the directory. Deletes what a restore that was killed has left. The lock of the data directory
    /// keeps out other restores.
    fn begin(&self, is_locked: bool) -> Result<Partial, BackupError> {
        let failed = BackupError::of(&self.partial);
        files::make_directory(&self.partial).map_err(&failed)?;
        let lock = match is_locked {
            true => Some(self.lock_partial()?),
            false => None,
        };
        for entry in std::fs::read_dir(&self.partial).map_err(&failed)? {
            let path = entry.map_err(&failed)?.path();
            let removed = match path.file_name().is_some_and(|name| name == "lock") {
                true => Ok(()),
                false if path.is_dir() => std::fs::remove_dir_all(&path),
                false => std::fs::remove_file(&path),
            };
            removed.map_err(&failed)?;
        }
        Ok(Partial { path: self.partial.clone(), _lock: lock })
    }

    fn lock_partial(&self) -> Result<Locked, BackupError> {
        let lock = Locked::try_new(&self.partial).map_err(BackupError::of(&self.partial))?;
        let hint = "another restore writes it; wait until that ends";
        lock.ok_or_else(|| BackupError::Exists { path: self.partial.clone(), hint })
    }

    /// Gives the directory its name. Returns where the former directory is now.
    fn commit(&self, now: Timestamp) -> Result<Option<PathBuf>, BackupError> {
        let failed = BackupError::of(&self.path);
        let moved = match self.is_empty()? {
            true => None,
            false => {
                let mut aside = self.path.file_name().unwrap_or_default().to_owned();
                aside.push(format!(".replaced-{}", now.to_string().replace(['-', ':'], "")));
                let aside = self.path.with_file_name(aside);
                std::fs::rename(&self.path, &aside).map_err(&failed)?;
                Some(aside)
            }
        };
        if let Err(error) = std::fs::rename(&self.partial, &self.path) {
            if let Some(aside) = &moved {
                drop(std::fs::rename(aside, &self.path));
            }
            return Err(failed(error));
        }
        files::sync_directory(files::parent(&self.path)).map_err(&failed)?;
        Ok(moved)
    }
}

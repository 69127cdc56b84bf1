//! Changes of plugin files through the host: uploads, sidecars and removals. A change takes effect, or the former file
//! is restored.

use std::io;
use std::path::{Path, PathBuf};

use tokio::sync::oneshot;

use super::command::{Command, FileChange, FileChangeError};
use super::loading::run_blocking_io;
use super::{CanaryRunner, Reconciler, ReconcilerHandle, Scan, SubscriptionRegistrar};
use crate::files;
use crate::plugin::deploy::folder::{FileFingerprint, PluginFolder};
use crate::plugin::deploy::{file_name, folder};
use crate::plugin::load::source::{self, Symlinks};
use crate::plugin::manifest::digest::Digest;

/// A change that is waiting for the new file to be loaded or refused.
#[derive(Debug)]
pub(super) struct PendingChange {
    stem: String,
    /// The file that was written.
    file: PathBuf,
    /// The former file under another name; `None` if there was none.
    former: Option<PathBuf>,
    /// The plugin's files after the change; `None` if it was removed.
    written: Option<FileFingerprint>,
    answer: oneshot::Sender<Result<(), FileChangeError>>,
}

impl ReconcilerHandle {
    /// Changes a plugin's files, and waits until the change has taken effect or was refused.
    ///
    /// # Errors
    /// If the change has no effect.
    pub async fn change(&self, stem: &str, change: FileChange) -> Result<(), FileChangeError> {
        let (answer, answered) = oneshot::channel();
        let command = Command::ChangeFile { stem: stem.to_owned(), change, answer };
        self.commands.send(command).await.map_err(|_| FileChangeError::Stopping)?;
        answered.await.map_err(|_| FileChangeError::Stopping)?
    }

    /// The sidecar of a plugin's file, if there is one.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn sidecar(&self, stem: &str) -> io::Result<Option<String>> {
        let (directory, stem) = (self.directory.clone(), stem.to_owned());
        run_blocking_io(move || match directory.read_sidecar(&stem) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        })
        .await
    }

    /// A text that changes with the content of a plugin's files; `None` if there is no component.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub async fn revision(&self, stem: &str) -> io::Result<Option<String>> {
        let (directory, name) = (self.directory.clone(), stem.to_owned());
        let found = run_blocking_io(move || folder::fingerprint(&directory, &name)).await?;
        let Some(found) = found else { return Ok(None) };
        if let Some((_, revision)) = self.revisions().get(stem).filter(|(fingerprint, _)| *fingerprint == found) {
            return Ok(Some(revision.clone()));
        }
        let directory = self.directory.clone();
        let (wasm, sidecar) = (directory.wasm_path(stem), directory.sidecar_path(stem));
        let revision = run_blocking_io(move || {
            let digest = |path: &Path| match directory.digest(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
                digest => digest.map(|digest| digest.as_str().to_owned()),
            };
            Ok(format!("{} {}", digest(&wasm)?, digest(&sidecar)?))
        });
        let revision = revision.await?;
        self.revisions().insert(stem.to_owned(), (found, revision.clone()));
        Ok(Some(revision))
    }
}

impl<S: SubscriptionRegistrar + CanaryRunner> Reconciler<S> {
    pub(super) async fn change_file(
        &mut self,
        stem: String,
        change: FileChange,
        answer: oneshot::Sender<Result<(), FileChangeError>>,
    ) {
        let directory = self.directory.clone();
        let result = match self.check_change(&stem) {
            Ok(()) => {
                let stem = stem.clone();
                let changed = tokio::task::spawn_blocking(move || apply(&directory, &stem, change)).await;
                changed.unwrap_or_else(|error| Err(FileChangeError::Unwritable(error.to_string())))
            }
            Err(error) => Err(error),
        };
        match result {
            Ok(Applied { file, former, written, awaits_load: true }) => {
                self.changes.push(PendingChange { stem, file, former, written, answer });
            }
            // The client may have disconnected, here and below.
            Ok(Applied { former, .. }) => drop(answer.send(discard(former).await)),
            Err(error) => drop(answer.send(Err(error))),
        }
    }

    fn check_change(&self, stem: &str) -> Result<(), FileChangeError> {
        file_name::check_stem(stem.as_ref()).map_err(|reason| FileChangeError::Name(reason.to_owned()))?;
        let stems = self.present.iter().map(String::as_str).chain([stem]);
        if let Some(other) = file_name::case_conflicts(stems, &self.present).remove(stem) {
            return Err(FileChangeError::Name(format!("the name differs from {other}.wasm only in case")));
        }
        if self.changes.iter().any(|pending| pending.stem == stem) {
            return Err(FileChangeError::Busy);
        }
        Ok(())
    }

    /// Answers the change of a file that was loaded, or refused for a reason. Restores the former file if it was
    /// refused.
    pub(super) async fn end_changes(&mut self, stem: &str, refusal: Option<&str>) {
        for pending in self.changes.extract_if(.., |pending| pending.stem == stem).collect::<Vec<_>>() {
            let PendingChange { file, former, answer, .. } = pending;
            let refusal = refusal.map(str::to_owned);
            let ended = tokio::task::spawn_blocking(move || match refusal {
                None => remove_former(former.as_deref()),
                Some(refusal) => Err(restore(&file, former.as_deref(), refusal)),
            });
            let ended = ended.await.unwrap_or_else(|error| Err(FileChangeError::Unwritable(error.to_string())));
            drop(answer.send(ended));
        }
    }

    /// Ends the removals that have taken effect, and the changes whose files somebody else has changed since. Does not
    /// restore former files.
    pub(super) async fn end_superseded(&mut self, scan: &Scan) {
        let differs = |pending: &mut PendingChange| scan.found.get(&pending.stem) != pending.written.as_ref();
        let superseded: Vec<_> = self.changes.extract_if(.., differs).collect();
        for PendingChange { former, answer, .. } in superseded {
            // If the former file cannot be removed, a start after a crash does not restore it, because the current file
            // differs from the one that was written.
            discard(former).await.ok();
            drop(answer.send(Err(FileChangeError::Superseded)));
        }
        let is_gone = |pending: &mut PendingChange| pending.written.is_none();
        self.changes.extract_if(.., is_gone).for_each(|pending| drop(pending.answer.send(Ok(()))));
    }

    /// Answers all changes if the folder cannot be read.
    pub(super) fn abandon_changes(&mut self, fault: &str) {
        for pending in self.changes.drain(..) {
            drop(pending.answer.send(Err(FileChangeError::Unwritable(fault.to_owned()))));
        }
    }
}

/// A change on disk.
struct Applied {
    file: PathBuf,
    former: Option<PathBuf>,
    written: Option<FileFingerprint>,
    /// Whether the change leads to a load or to the removal of a plugin. A sidecar without a component leads to
    /// neither.
    awaits_load: bool,
}

fn apply(folder: &PluginFolder, stem: &str, change: FileChange) -> Result<Applied, FileChangeError> {
    let (wasm, sidecar) = (folder.wasm_path(stem), folder.sidecar_path(stem));
    let has_component = wasm.is_file();
    let applied = |file: &Path, former: Option<PathBuf>| {
        let written = folder::fingerprint(folder, stem).map_err(unwritable)?;
        Ok(Applied { file: file.to_owned(), former, written, awaits_load: true })
    };
    match change {
        FileChange::PutComponent(bytes) => {
            let former = write(&wasm, &bytes)?;
            applied(&wasm, former)
        }
        FileChange::PutSidecar(text) => {
            let former = write(&sidecar, text.as_bytes())?;
            Ok(Applied { awaits_load: has_component, ..applied(&sidecar, former)? })
        }
        FileChange::RemoveSidecar => {
            let former = keep(&sidecar, None).map_err(unwritable)?.ok_or_else(|| no_file(&sidecar))?;
            remove(&sidecar)?;
            Ok(Applied { awaits_load: has_component, ..applied(&sidecar, Some(former))? })
        }
        FileChange::RemovePlugin => {
            if !has_component {
                return Err(no_file(&wasm));
            }
            if sidecar.is_dir() {
                return Err(FileChangeError::Unwritable(format!("{} is a directory", sidecar.display())));
            }
            // The component first: without its sidecar, the plugin would have more rights for a moment.
            remove(&wasm)?;
            match remove(&sidecar) {
                Ok(()) | Err(FileChangeError::NoFile(_)) => applied(&wasm, None),
                Err(error) => Err(error),
            }
        }
    }
}

/// Writes a file, and keeps the former one under another name.
fn write(path: &Path, bytes: &[u8]) -> Result<Option<PathBuf>, FileChangeError> {
    let former = keep(path, Some(bytes)).map_err(unwritable)?;
    match files::write_durably(path, bytes) {
        Ok(()) => Ok(former),
        Err(error) => {
            former.map_or(Ok(()), std::fs::remove_file).ok();
            Err(unwritable(error))
        }
    }
}

/// Links a file under a hidden name, which no scan reads; `None` if there is no file. The name has the digest of the
/// new content, so that a start after a crash can tell whether the file is still the one of this change.
fn keep(path: &Path, new: Option<&[u8]>) -> io::Result<Option<PathBuf>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let former = path.with_file_name(format!(".{name}{FORMER}{}", mark(new.map(Digest::of).as_ref())));
    let absent = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        result => result.map(|()| true),
    };
    absent(std::fs::remove_file(&former))?;
    Ok(absent(std::fs::hard_link(path, &former))?.then_some(former))
}

/// The part of a former file's name before the digest.
const FORMER: &str = ".former-";

/// The digest of a file's new content in the name of the former file.
fn mark(digest: Option<&Digest>) -> &str {
    digest.map_or("none", Digest::short)
}

/// Restores the files of changes that a crash interrupted, if they have not been changed since. No client was told that
/// such a change has taken effect.
pub(super) fn restore_interrupted(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for former in entries.flatten().map(|entry| entry.path()) {
        let name = former.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some((file, written)) = name.strip_prefix('.').and_then(|name| name.rsplit_once(FORMER)) else { continue };
        let path = folder.join(file);
        let present = source::digest(&path, Symlinks::Refuse).ok();
        let is_of_change = mark(present.as_ref()) == written && (present.is_some() || !path.exists());
        let ended = if is_of_change { std::fs::rename(&former, &path) } else { std::fs::remove_file(&former) };
        match ended.and_then(|()| files::sync_directory(folder)) {
            Ok(()) if is_of_change => {
                tracing::warn!(file, "restored the former file, because a crash interrupted a change of it");
            }
            Ok(()) => {}
            Err(error) => tracing::error!(file, %error, "cannot restore the former file after a crash"),
        }
    }
}

/// Removes the former file of a change that has ended, on a thread that may block.
async fn discard(former: Option<PathBuf>) -> Result<(), FileChangeError> {
    let removed = tokio::task::spawn_blocking(move || remove_former(former.as_deref())).await;
    removed.unwrap_or_else(|error| Err(FileChangeError::Unwritable(error.to_string())))
}

/// Removes the former file durably. Otherwise, the start after a crash would undo a change that was acknowledged.
fn remove_former(former: Option<&Path>) -> Result<(), FileChangeError> {
    let Some(former) = former else { return Ok(()) };
    let removed = std::fs::remove_file(former).and_then(|()| files::sync_directory(files::parent(former)));
    removed.map_err(|error| {
        let former = former.display();
        FileChangeError::Unwritable(format!(
            "the change has taken effect, but the next start undoes it unless you remove {former}: {error}"
        ))
    })
}

fn remove(path: &Path) -> Result<(), FileChangeError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(no_file(path)),
        removed => removed.and_then(|()| files::sync_directory(files::parent(path))).map_err(unwritable),
    }
}

/// Restores the former file after a refusal. The result is the error for the client.
fn restore(file: &Path, former: Option<&Path>, refusal: String) -> FileChangeError {
    let restored = match former {
        Some(former) => std::fs::rename(former, file),
        None => std::fs::remove_file(file),
    };
    match restored.and_then(|()| files::sync_directory(files::parent(file))) {
        Ok(()) => FileChangeError::Refused(refusal),
        Err(error) => FileChangeError::Unwritable(format!("{refusal}; the former file could not be restored: {error}")),
    }
}

fn no_file(path: &Path) -> FileChangeError {
    FileChangeError::NoFile(file_name::printable(path.file_name().unwrap_or_default()))
}

#[allow(clippy::needless_pass_by_value, reason = "passed as a function")]
fn unwritable(error: io::Error) -> FileChangeError {
    FileChangeError::Unwritable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::SecretStore;

    fn apply(folder: &Path, stem: &str, change: FileChange) -> Result<Applied, FileChangeError> {
        super::apply(&PluginFolder::new(folder.to_owned(), &[], SecretStore::default()), stem, change)
    }

    fn entries(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_refused_change_restores_the_former_file() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("a.wasm");
        let put = |bytes: &[u8]| apply(home.path(), "a", FileChange::PutComponent(bytes.to_vec())).unwrap();
        let first = put(b"1");
        assert!(first.former.is_none() && first.awaits_load);
        let refused = restore(&file, None, "no".to_owned());
        assert!(matches!(refused, FileChangeError::Refused(_)) && entries(home.path()).is_empty());
        drop(put(b"1"));
        // The link of the former file stays until the change has ended.
        let second = put(b"2");
        std::fs::remove_file(second.former.unwrap()).unwrap();
        let third = put(b"3");
        assert_eq!(std::fs::read(&file).unwrap(), b"3");
        drop(restore(&file, third.former.as_deref(), "no".to_owned()));
        assert_eq!((std::fs::read(&file).unwrap(), entries(home.path())), (b"2".to_vec(), vec!["a.wasm".to_owned()]));
    }

    #[test]
    fn files_are_removed_together() {
        let home = tempfile::tempdir().unwrap();
        let change = |change| apply(home.path(), "a", change);
        assert!(matches!(change(FileChange::RemovePlugin), Err(FileChangeError::NoFile(_))));
        assert!(matches!(change(FileChange::RemoveSidecar), Err(FileChangeError::NoFile(_))));
        assert!(!change(FileChange::PutSidecar("enabled = false\n".to_owned())).unwrap().awaits_load);
        assert!(change(FileChange::PutComponent(b"1".to_vec())).unwrap().awaits_load);
        assert!(change(FileChange::PutSidecar(String::new())).unwrap().awaits_load);
        assert!(change(FileChange::RemovePlugin).unwrap().written.is_none());
        assert!(entries(home.path()).iter().all(|name| name.starts_with('.')), "{:?}", entries(home.path()));
    }

    #[test]
    fn a_change_that_a_crash_interrupted_is_undone_unless_the_file_has_changed_since() {
        for (change, by_hand, expected) in [
            (FileChange::PutComponent(b"2".to_vec()), None, "1"),
            (FileChange::PutComponent(b"2".to_vec()), Some("3"), "3"),
        ] {
            let home = tempfile::tempdir().unwrap();
            let file = home.path().join("a.wasm");
            std::fs::write(&file, "1").unwrap();
            drop(apply(home.path(), "a", change).unwrap());
            by_hand.into_iter().for_each(|text| std::fs::write(&file, text).unwrap());
            restore_interrupted(home.path());
            assert_eq!(std::fs::read_to_string(&file).unwrap(), expected);
            assert_eq!(entries(home.path()), ["a.wasm"]);
        }
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("a.toml"), "x = 1").unwrap();
        drop(apply(home.path(), "a", FileChange::RemoveSidecar).unwrap());
        restore_interrupted(home.path());
        assert_eq!(entries(home.path()), ["a.toml"]);
    }
}

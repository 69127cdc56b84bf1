//! Changes of plugin files through the host: uploads, sidecars and removals. A change takes effect, or the former file
//! is restored.

use std::io;
use std::path::{Path, PathBuf};

use tokio::sync::oneshot;

use super::command::{Command, FileChange, FileChangeError};
use super::loading::run_blocking_io;
use super::{CanaryRunner, Folder, Reconciler, Scan, SubscriptionRegistrar};
use crate::files;
use crate::plugin::supervise::{file_name, folder};

/// A change that is waiting for the new file to be loaded or refused.
#[derive(Debug)]
pub(super) struct PendingChange {
    stem: String,
    /// The file that was written.
    file: PathBuf,
    /// The former file under another name; `None` if there was none.
    former: Option<PathBuf>,
    is_removal: bool,
    answer: oneshot::Sender<Result<(), FileChangeError>>,
}

impl Folder {
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
        let path = folder::sidecar_path(&self.path, stem);
        run_blocking_io(move || match crate::plugin::load::source::read_sidecar_of_folder(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        })
        .await
    }

    /// A text that changes whenever one of a plugin's files does; `None` if there is no component.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub async fn revision(&self, stem: &str) -> io::Result<Option<String>> {
        let (path, stem) = (self.path.clone(), stem.to_owned());
        let fingerprint = run_blocking_io(move || folder::fingerprint(&path, &stem)).await?;
        Ok(fingerprint.map(|fingerprint| format!("{fingerprint:?}")))
    }
}

impl<S: SubscriptionRegistrar + CanaryRunner> Reconciler<S> {
    pub(super) async fn change_file(
        &mut self,
        stem: String,
        change: FileChange,
        answer: oneshot::Sender<Result<(), FileChangeError>>,
    ) {
        let path = self.path.clone();
        let result = match self.check_change(&stem) {
            Ok(()) => {
                let stem = stem.clone();
                let changed = tokio::task::spawn_blocking(move || apply(&path, &stem, change)).await;
                changed.unwrap_or_else(|error| Err(FileChangeError::Unwritable(error.to_string())))
            }
            Err(error) => Err(error),
        };
        match result {
            Ok(Applied { file, former, is_removal, awaits_load: true }) => {
                self.changes.push(PendingChange { stem, file, former, is_removal, answer });
            }
            // The client may have disconnected, here and below.
            Ok(_) => drop(answer.send(Ok(()))),
            Err(error) => drop(answer.send(Err(error))),
        }
    }

    fn check_change(&self, stem: &str) -> Result<(), FileChangeError> {
        let is_one_component = Path::new(stem).file_name().is_some_and(|name| name == stem);
        if !is_one_component || stem.starts_with('.') || stem.contains('\0') {
            return Err(FileChangeError::Name(format!("`{stem}` cannot be the name of a file")));
        }
        file_name::check_stem(stem.as_ref()).map_err(|reason| FileChangeError::Name(reason.to_owned()))?;
        let lower = stem.to_lowercase();
        if let Some(other) = self.present.iter().find(|other| *other != stem && other.to_lowercase() == lower) {
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
                None => former.map_or(Ok(()), std::fs::remove_file).or(Ok(())),
                Some(refusal) => Err(restore(&file, former.as_deref(), refusal)),
            });
            let ended = ended.await.unwrap_or_else(|error| Err(FileChangeError::Unwritable(error.to_string())));
            drop(answer.send(ended));
        }
    }

    /// Answers the removals of files that the folder no longer has.
    pub(super) fn end_removals(&mut self, scan: &Scan) {
        let is_gone = |pending: &mut PendingChange| pending.is_removal && !scan.found.contains_key(&pending.stem);
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
    is_removal: bool,
    /// Whether the change leads to a load or to the removal of a plugin. A sidecar without a component leads to neither.
    awaits_load: bool,
}

fn apply(folder: &Path, stem: &str, change: FileChange) -> Result<Applied, FileChangeError> {
    let (wasm, sidecar) = (folder::wasm_path(folder, stem), folder::sidecar_path(folder, stem));
    let has_component = wasm.is_file();
    let applied = |file: &Path, former: Option<PathBuf>, is_removal| Applied {
        file: file.to_owned(),
        former,
        is_removal,
        awaits_load: true,
    };
    match change {
        FileChange::PutComponent(bytes) => {
            let former = write(&wasm, &bytes)?;
            Ok(applied(&wasm, former, false))
        }
        FileChange::PutSidecar(text) => {
            let former = write(&sidecar, text.as_bytes())?;
            Ok(Applied { awaits_load: has_component, ..applied(&sidecar, former, false) })
        }
        FileChange::RemoveSidecar => {
            let former = keep(&sidecar).map_err(unwritable)?.ok_or_else(|| no_file(&sidecar))?;
            remove(&sidecar)?;
            Ok(Applied { awaits_load: has_component, ..applied(&sidecar, Some(former), false) })
        }
        FileChange::RemovePlugin => {
            if !has_component {
                return Err(no_file(&wasm));
            }
            // The component first: without its sidecar, the plugin would have more rights for a moment.
            remove(&wasm)?;
            match remove(&sidecar) {
                Ok(()) | Err(FileChangeError::NoFile(_)) => Ok(applied(&wasm, None, true)),
                Err(error) => Err(error),
            }
        }
    }
}

/// Writes a file, and keeps the former one under another name.
fn write(path: &Path, bytes: &[u8]) -> Result<Option<PathBuf>, FileChangeError> {
    let former = keep(path).map_err(unwritable)?;
    files::write_durably(path, bytes).map_err(unwritable)?;
    Ok(former)
}

/// Links a file under a hidden name, which no scan reads; `None` if there is no file.
fn keep(path: &Path) -> io::Result<Option<PathBuf>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let former = path.with_file_name(format!(".{name}.former"));
    let absent = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        result => result.map(|()| true),
    };
    // Left over by a host that was killed.
    absent(std::fs::remove_file(&former))?;
    Ok(absent(std::fs::hard_link(path, &former))?.then_some(former))
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
        // A host that was killed leaves the link of the former file.
        drop(put(b"2"));
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
        assert!(change(FileChange::RemovePlugin).unwrap().is_removal);
        assert!(entries(home.path()).iter().all(|name| name.starts_with('.')), "{:?}", entries(home.path()));
    }
}

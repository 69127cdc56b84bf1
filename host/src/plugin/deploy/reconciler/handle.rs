//! The handle of the reconciler: the status of the plugin folder, and commands. The admin interface uses it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::command::Command;
use crate::plugin::deploy::archive::Archive;
use crate::plugin::deploy::folder::{FileFingerprint, PluginFolder};
use crate::plugin::deploy::generation_record::{ArchivedGeneration, Pin};
use crate::secrets::SecretStore;

/// The status of one file in the folder.
#[derive(Clone, Debug, Default)]
pub struct FileStatus {
    /// The plugin that is loaded from the file, if any.
    pub plugin: Option<String>,
    /// The reason why the newest content of the file is not running. `None` if it is.
    pub error: Option<String>,
    /// Whether the sidecar disables the plugin.
    pub disabled: bool,
    /// The plugin that was loaded from the file before it was disabled, if this process has loaded it.
    pub disabled_plugin: Option<String>,
    /// The pin, if an operator or a rule rolled the plugin back.
    pub rolled_back: Option<Pin>,
    /// The archived generations, in the order in which they last took over.
    pub generations: Vec<ArchivedGeneration>,
}

/// The revision of each file's content, by stem, with the fingerprint that it belongs to.
pub(super) type Revisions = BTreeMap<String, (FileFingerprint, String)>;

/// Reads the status of the plugin folder, and sends commands to its reconciler. Clones are cheap.
#[derive(Clone, Debug)]
pub struct ReconcilerHandle {
    statuses: Arc<Mutex<BTreeMap<String, FileStatus>>>,
    ignored: Arc<Mutex<BTreeMap<String, String>>>,
    fault: Arc<Mutex<Option<String>>>,
    pub(super) commands: mpsc::Sender<Command>,
    /// The directory.
    pub(super) directory: PluginFolder,
    /// The generations that are kept for rollbacks.
    pub(super) archive: Archive,
    revisions: Arc<Mutex<Revisions>>,
}

impl ReconcilerHandle {
    /// Creates a handle that sends commands to a reconciler.
    pub(super) fn new(commands: mpsc::Sender<Command>, directory: PluginFolder, archive: Archive) -> Self {
        Self {
            statuses: Arc::default(),
            ignored: Arc::default(),
            fault: Arc::default(),
            commands,
            directory,
            archive,
            revisions: Arc::default(),
        }
    }

    /// Applies a new configuration: replaces the rules for links and secrets, and loads all plugins again.
    pub async fn reload(&self, link_roots: &[PathBuf], secrets: SecretStore) {
        self.directory.set_rules(link_roots, secrets);
        // A reconciler that has stopped loads nothing.
        drop(self.commands.send(Command::Reload).await);
    }

    /// The revisions of files that were read, so that an unchanged file is read once.
    pub(super) fn revisions(&self) -> MutexGuard<'_, Revisions> {
        self.revisions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The status of each plugin file, by stem.
    #[must_use]
    pub fn statuses(&self) -> BTreeMap<String, FileStatus> {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Files that look like plugins and are ignored, by their printable names, each with the reason.
    #[must_use]
    pub fn ignored(&self) -> BTreeMap<String, String> {
        self.ignored.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many files are refused or ignored.
    pub(super) fn refused_files(&self) -> usize {
        let statuses = self.statuses.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = statuses.values().filter(|status| status.error.is_some()).count();
        refused + self.ignored.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Replaces the ignored files, and logs those that are new.
    pub(super) fn set_ignored(&self, ignored: BTreeMap<String, String>) {
        let mut before = self.ignored.lock().unwrap_or_else(PoisonError::into_inner);
        for (file, reason) in ignored.iter().filter(|(file, reason)| before.get(*file) != Some(*reason)) {
            tracing::warn!(file, "ignored a file in the plugin folder: {reason}");
        }
        *before = ignored;
    }

    /// The reason why the folder cannot be read. `None` if it can. The loaded plugins keep running.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets or clears the fault of the folder, and logs a change.
    pub(super) fn set_fault(&self, fault: Option<String>) {
        let mut before = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*before, &fault) {
            (Some(_), None) => tracing::info!("the plugin folder can be read again"),
            (before, Some(fault)) if before.as_ref() != Some(fault) => {
                tracing::error!("{fault}; the loaded plugins keep running");
            }
            _ => {}
        }
        *before = fault;
    }

    pub(super) fn set(&self, stem: &str, status: Option<FileStatus>) {
        let mut statuses = self.statuses.lock().unwrap_or_else(PoisonError::into_inner);
        match status {
            Some(status) => drop(statuses.insert(stem.to_owned(), status)),
            None => drop(statuses.remove(stem)),
        }
    }
}

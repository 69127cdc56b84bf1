//! What is known of the folder, for whoever asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::command::Command;
use crate::plugin::supervise::record::{ArchivedGeneration, Pin};

/// What stands in the folder under one name.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The plugin that is loaded from it, if one is.
    pub plugin: Option<String>,
    /// Why its newest content is not what runs, if that is so.
    pub error: Option<String>,
    /// Whether the sidecar switches it off.
    pub disabled: bool,
    /// What runs in its place, if an operator or a rule went back to an earlier generation.
    pub rolled_back: Option<Pin>,
    /// The generations that are kept, in the order in which they took over last.
    pub generations: Vec<ArchivedGeneration>,
}

/// A handle on what is known of the folder, and on its reconciler. It clones cheaply.
#[derive(Clone, Debug)]
pub struct Folder {
    statuses: Arc<Mutex<BTreeMap<String, Status>>>,
    ignored: Arc<Mutex<BTreeMap<String, String>>>,
    pub(super) commands: mpsc::Sender<Command>,
}

impl Folder {
    /// A handle on the reconciler that takes these commands.
    pub(super) fn new(commands: mpsc::Sender<Command>) -> Self {
        Self { statuses: Arc::default(), ignored: Arc::default(), commands }
    }

    /// What stands in the folder, by the stems of the files.
    #[must_use]
    pub fn statuses(&self) -> BTreeMap<String, Status> {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What looks like a plugin and is not loaded, by its name in the folder, with the reason.
    #[must_use]
    pub fn ignored(&self) -> BTreeMap<String, String> {
        self.ignored.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes what is not loaded. What was not there before is news.
    pub(super) fn set_ignored(&self, ignored: BTreeMap<String, String>) {
        let mut before = self.ignored.lock().unwrap_or_else(PoisonError::into_inner);
        for (file, reason) in ignored.iter().filter(|(file, reason)| before.get(*file) != Some(*reason)) {
            tracing::warn!(file, "ignored in the plugin folder: {reason}");
        }
        *before = ignored;
    }

    pub(super) fn set(&self, stem: &str, status: Option<Status>) {
        let mut statuses = self.statuses.lock().unwrap_or_else(PoisonError::into_inner);
        match status {
            Some(status) => drop(statuses.insert(stem.to_owned(), status)),
            None => drop(statuses.remove(stem)),
        }
    }
}
